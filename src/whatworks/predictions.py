"""How ``predict`` is answered: search, join with the evidence, estimate, write a receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whatworks import choosing, old_receipts, rank, receipts
from whatworks.answers import Answers
from whatworks.blas import one_thread
from whatworks.changes import Changes
from whatworks.checks import Chance, micros
from whatworks.coverage import Coverage
from whatworks.errors import NotFoundError
from whatworks.evidence import questions, trust
from whatworks.gathering import Gathered, Gathering
from whatworks.ids import uuid7
from whatworks.keeper import Keeper
from whatworks.records import Prediction, Why

__all__ = ["Predictions"]

# Names the way estimates are made; raise when the same evidence gives other numbers.
POLICY = "kriging/2"
# Estimates that differ by less are equal, and ordered by what fits.
DIGITS = 9
ALIKE = 10.0**-DIGITS
NO_CHANCE = Chance(0.0, 0.0, "normal", None)

Receipt = dict[str, Any]


class Predictions:
    """What will work in a situation, and why, from the layers of a keeper."""

    def __init__(self, keeper: Keeper, answers: Answers) -> None:
        self._keeper = keeper
        self._answers = answers
        self._changes = Changes(keeper)
        self._coverage = Coverage(keeper, answers)
        self.gathering = Gathering(keeper)

    def predict(
        self,
        context: str,
        *,
        limit: int,
        candidates: Sequence[str] | None,
        as_of: datetime | None,
        now: datetime,
        chance: Chance,
    ) -> Prediction:
        """What works in ``context``, best first; the receipt is written down."""
        wide, holds = choosing.reach(limit, chance), self._keeper.holds
        with one_thread():
            asked = self.gathering.gather(
                context, limit=wide, candidates=candidates, as_of=as_of, now=now
            )
            receipt = self.receipt(
                context, asked, limit=limit, candidates=candidates, now=now, chance=chance
            )
        self._keeper.note_down("prediction.made", receipt, holds)
        shown = receipts.shown_contexts(receipt)
        evidence = self._keeper.folded()
        return self._prediction(receipt, questions.context_texts(evidence, shown) if shown else {})

    def receipt(
        self,
        context: str,
        asked: Gathered,
        *,
        limit: int,
        candidates: Sequence[str] | None,
        now: datetime,
        chance: Chance = NO_CHANCE,
    ) -> Receipt:
        """What ``predict`` says, not yet written down."""
        rows = asked.rows
        known = asked.records, asked.cells, asked.whole, asked.learned
        expected = rank.expect(*known)
        wanted = None if candidates is None else set(candidates)
        shown = [
            n
            for n, row in enumerate(rows)
            if (row.pattern_no not in asked.hidden if wanted is None else row.pattern_id in wanted)
        ]
        order = self._ordered(shown, asked, expected, limit, chance)
        made = rank.estimate(*known, asked=order)
        numbers = [rows[n].pattern_no for n in order]
        strange = trust.unvouched(self._keeper.folded(), numbers, asked.as_of)
        points = {n: asked.points[n] for n in numbers if n in asked.points}
        changed = self._changes.told(points, asked.as_of)
        told = receipts.answers(order, asked, made, changed, strange)
        for answer, covered in zip(told["answers"], self._coverage.of(order, asked, made), strict=True):
            answer.update(covered)
        return {
            "prediction_id": uuid7(),
            "recorded_at": micros(now),
            "as_of": None if asked.as_of is None else micros(asked.as_of),
            "context": context,
            "policy": POLICY,
            "coverage": asked.sums.coverage,
            **told,
            **choosing.placed(told["answers"], limit, chance),
        }

    @staticmethod
    def _ordered(
        shown: Sequence[int],
        asked: Gathered,
        expected: NDArray[np.float64],
        limit: int,
        chance: Chance,
    ) -> list[int]:
        """The best of the patterns ``shown``, the best first, and the one that hope puts first."""

        def first(level: NDArray[np.float64], count: int) -> list[int]:
            near = shown
            if len(shown) > count:  # what may be among them, to be sorted: most is not
                levels = level[np.array(shown)]
                least = np.partition(levels, -count)[-count] - 2 * ALIKE
                near = [n for n, value in zip(shown, levels.tolist(), strict=True) if value >= least]
            return sorted(near, key=lambda n: (-round(float(level[n]), DIGITS), place(n)))[:count]

        def place(n: int) -> tuple[float, float, str]:
            name = asked.rows[n].pattern_id
            return -round(float(expected[n]), DIGITS), asked.distance.get(name, 2.0), name

        best = first(expected, choosing.reach(limit, chance))
        if not chance.optimistic or not best:
            return best
        (hoped,) = first(expected + rank.optimism(asked.records, asked.whole), 1)
        return best if hoped in best else [*best, hoped]

    def why(self, prediction_id: str) -> Why:
        """The summands of each estimate of a prediction, from its receipt alone; and who told of it."""
        evidence = self._keeper.evidence(receipts=True)
        found = questions.receipt(evidence, prediction_id)
        if found is None:
            raise NotFoundError(
                f"there is no prediction {prediction_id!r} in this store; predict returns the id"
            )
        receipt = old_receipts.readable(found)
        texts = questions.context_texts(evidence, receipts.named_contexts(receipt))
        made = self._prediction(receipt, texts)
        shown = {answer.pattern_id for answer in made.answers}
        told = [answer for answer in receipt["answers"] if answer["pattern_id"] in shown]
        tellers = trust.told(evidence, sorted(shown), made.made_at)
        return Why(
            made, tuple(receipts.explanation(answer, receipt, texts, tellers) for answer in told)
        )

    def _prediction(self, receipt: Mapping[str, Any], texts: Mapping[str, str]) -> Prediction:
        names = [answer["pattern_id"] for answer in receipt["answers"]]
        return receipts.prediction(receipt, self._answers.folded_patterns(names), texts)
