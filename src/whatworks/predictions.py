"""How ``predict`` is answered: search, join with the evidence, estimate, write a receipt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whatworks import choosing, learning, missing, rank, receipts
from whatworks.answers import Answers
from whatworks.checks import Chance, micros, moment_of
from whatworks.errors import NotFoundError
from whatworks.evidence import outcomes, questions
from whatworks.evidence.questions import CellRow, PopulationRow, RecordRow
from whatworks.ids import uuid7
from whatworks.keeper import Keeper
from whatworks.records import Prediction, Why
from whatworks.vectors import Vectors

__all__ = ["Gathered", "Predictions", "records_of"]

# Names the way estimates are made; raise when the same evidence gives other numbers.
POLICY = "kriging/1"
NOW = "now"
NO_CHANCE = Chance(0.0, 0.0, "normal", None)

Vector = NDArray[np.float32]
Receipt = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that the estimates for a context are made from, as of a time.

    ``near`` and ``cells`` are the same cells, the nearest first, ``vectors``
    those of their contexts; ``distance`` is that of the patterns whose
    descriptions fit; ``tries`` the effective ones of all patterns.
    """

    as_of: datetime | None
    rows: list[RecordRow]
    records: rank.Records
    near: list[CellRow]
    similarity: dict[str, float]
    vectors: list[Vector]
    cells: rank.Cells
    whole: rank.Population
    learned: rank.Learned
    distance: dict[str, float]
    tries: float
    coverage: float | None


class Predictions:
    """What will work in a situation, and why, from the layers of a keeper."""

    def __init__(self, keeper: Keeper, answers: Answers) -> None:
        self._keeper = keeper
        self._answers = answers

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
        wide = choosing.reach(limit, chance)
        asked = self.gather(context, limit=wide, candidates=candidates, as_of=as_of, now=now)
        receipt = self.receipt(
            context, asked, limit=limit, candidates=candidates, now=now, chance=chance
        )
        self._keeper.note_down("prediction.made", receipt)
        shown = receipts.shown_contexts(receipt)
        evidence = self._keeper.evidence()
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
        rows, records, whole, learned = asked.rows, asked.records, asked.whole, asked.learned
        made = rank.estimate(records, asked.cells, whole, learned)
        wanted = None if candidates is None else set(candidates)
        order = sorted(
            (n for n, row in enumerate(rows) if wanted is None or row.pattern_id in wanted),
            key=lambda n: (
                -round(float(made.expected[n]), 9),
                asked.distance.get(rows[n].pattern_id, 2.0),
                rows[n].pattern_id,
            ),
        )[: choosing.reach(limit, chance)]
        told = receipts.answers(
            order, rows, records, asked.near, asked.similarity, made, whole, learned
        )
        for answer, known in zip(told["answers"], self._known(order, asked, made), strict=True):
            answer.update(known)
        return {
            "prediction_id": uuid7(),
            "recorded_at": micros(now),
            "as_of": None if asked.as_of is None else micros(asked.as_of),
            "context": context,
            "policy": POLICY,
            "coverage": asked.coverage,
            **told,
            **choosing.placed(told["answers"], limit, chance),
        }

    def gather(
        self,
        context: str,
        *,
        limit: int,
        candidates: Sequence[str] | None,
        as_of: datetime | None,
        now: datetime,
    ) -> Gathered:
        """All that estimates for ``context`` are made from."""
        evidence = self._keeper.evidence()
        contexts, patterns = self._keeper.vectors("contexts"), self._keeper.vectors("patterns")
        query = self._keeper.embed_query(context)
        sums = self._population(as_of)
        whole = rank.population(*sums[:5])
        learned = self._learned(contexts, sums, whole, as_of, now)
        near, similarity = self._near(
            contexts, query, min(rank.neighbourhood(sums.cells), sums.cells), as_of
        )
        # A pattern without any evidence is worth showing if its description fits.
        alike = self._alike(patterns, query, limit, as_of) if candidates is None else {}
        rows = questions.records(
            evidence,
            numbers=sorted({cell.pattern_no for cell in near}),
            ids=list(alike) if candidates is None else candidates,
            leaders=limit if candidates is None else 0,
            prior=(rank.PRIOR_WEIGHT, rank.PRIOR_CAP),
            whole=(whole.mu, whole.kappa),
            as_of=as_of,
        )
        vectors = _vectors(contexts, near)
        cells = _cells(near, rows, similarity, vectors)
        return Gathered(
            as_of=as_of,
            rows=rows,
            records=records_of(rows),
            near=near,
            similarity=similarity,
            vectors=vectors,
            cells=cells,
            whole=whole,
            learned=learned,
            distance=alike,
            tries=sums.tries,
            coverage=sums.coverage,
        )

    def _alike(
        self, patterns: Vectors, query: Vector, limit: int, as_of: datetime | None
    ) -> dict[str, float]:
        """The patterns whose descriptions are nearest, as many as ``limit``, with their distances."""
        reach = limit
        while True:
            hits = patterns.search(query, reach)
            found = dict(zip(hits.ids, hits.distances.tolist(), strict=True))
            if as_of is None:
                return found
            there = questions.there(self._keeper.evidence(), hits.ids, as_of)
            found = dict([item for item in found.items() if item[0] in there][:limit])
            if len(found) == limit or len(hits.ids) < reach:
                return found
            reach *= 4

    def _known(
        self, order: Sequence[int], asked: Gathered, made: rank.Estimates
    ) -> list[dict[str, Any]]:
        """How many outcomes of each pattern are known, and what the others could change."""
        evidence = self._keeper.evidence()
        numbers = [asked.rows[n].pattern_no for n in order]
        counts = outcomes.known(evidence, numbers, asked.as_of)
        told = [missing.coverage(*counts.get(number, (0, 0))) for number in numbers]
        low = [place for place, item in enumerate(told) if missing.worth_bounds(item)]
        if low:
            chosen = np.array([order[place] for place in low])
            added = outcomes.added(evidence, [numbers[place] for place in low], asked.as_of)
            ends = missing.bounds(
                _of(asked.records, chosen),
                np.array([added[numbers[place]] for place in low]),
                asked.tries,
                asked.whole,
                asked.learned,
                made.raw[chosen],
                made.expected[chosen],
            )
            for place, *pair in zip(low, *(end.tolist() for end in ends), strict=True):
                told[place]["bounds"] = pair
        return told

    def why(self, prediction_id: str) -> Why:
        """The summands of each estimate of a prediction, from its receipt alone."""
        evidence = self._keeper.evidence(receipts=True)
        receipt = questions.receipt(evidence, prediction_id)
        if receipt is None:
            raise NotFoundError(
                f"there is no prediction {prediction_id!r} in this store; predict returns the id"
            )
        texts = questions.context_texts(evidence, receipts.named_contexts(receipt))
        return Why(
            self._prediction(receipt, texts),
            tuple(receipts.explanation(answer, receipt, texts) for answer in receipt["answers"]),
        )

    def _prediction(self, receipt: Mapping[str, Any], texts: Mapping[str, str]) -> Prediction:
        patterns = self._answers.patterns([answer["pattern_id"] for answer in receipt["answers"]])
        return receipts.prediction(receipt, patterns, texts)

    def _near(
        self,
        contexts: Vectors,
        query: Vector,
        k: int,
        as_of: datetime | None,
    ) -> tuple[list[CellRow], dict[str, float]]:
        """The ``k`` nearest cells, the nearest first, and the similarity of their contexts."""
        reach = max(k, 1)
        while True:
            # Contexts without a resolved try, or of later, have no cells: look beyond them.
            hits = contexts.search(query, reach)
            cells = questions.neighbours(self._keeper.evidence(), hits.ids, as_of)
            if len(cells) >= k or len(hits.ids) < reach:
                break
            reach *= 4
        similarity = {n: 1 - d for n, d in zip(hits.ids, hits.distances.tolist(), strict=True)}
        return _nearest(cells, similarity, k), similarity

    def _population(self, as_of: datetime | None) -> PopulationRow:
        evidence = self._keeper.evidence()
        if as_of is not None:
            return questions.population(evidence, as_of)
        found = self._keeper.sums.many([NOW], lambda _: {NOW: questions.population(evidence, None)})
        return found[NOW]

    # -- how local the world is -------------------------------------------------------------------

    def _learned(
        self,
        contexts: Vectors,
        sums: PopulationRow,
        whole: rank.Population,
        as_of: datetime | None,
        now: datetime,
    ) -> rank.Learned:
        """What the store's tries say of its world; learned anew when they have grown enough.

        It is written down, so that a question as of an earlier time is
        answered with what was known then.
        """
        model, kept = contexts.model, self._keeper.learned
        if as_of is not None:
            learned_from, learned = self._learned_then(contexts, as_of)
        else:
            found = kept.many([model], lambda _: {model: self._learned_last(model, None)})
            learned_from, learned = found[model]
        if not learning.due(sums.cells, learned_from):
            return learned
        learned = self._learn(contexts, sums.cells, whole, as_of)
        if as_of is None:
            body = {"recorded_at": micros(now), "cells": sums.cells, "model": model}
            self._keeper.note_down("world.learned", body | asdict(learned))
            kept.clear()
            kept.many([model], lambda _: {model: (sums.cells, learned)})
        return learned

    def _learned_last(self, model: str, as_of: datetime | None) -> tuple[int, rank.Learned]:
        """What was learned last by the embeddings of ``model``, and from how many cells."""
        body = questions.learned(self._keeper.evidence(receipts=True), model, as_of)
        return (0, rank.UNLEARNED) if body is None else (body["cells"], receipts.learned_of(body))

    def _learned_then(self, contexts: Vectors, as_of: datetime) -> tuple[int, rank.Learned]:
        """What had been learned by ``as_of``; what another model learned is learned by this one."""
        body = questions.learned(self._keeper.evidence(receipts=True), None, as_of)
        if body is None or body["model"] == contexts.model:
            return (0, rank.UNLEARNED) if body is None else (body["cells"], receipts.learned_of(body))
        then = moment_of(body["recorded_at"])
        sums = self._population(then)
        return sums.cells, self._learn(contexts, sums.cells, rank.population(*sums[:5]), then)

    def _learn(
        self, contexts: Vectors, cells: int, whole: rank.Population, as_of: datetime | None
    ) -> rank.Learned:
        chosen = questions.sample(self._keeper.evidence(), learning.sample_size(cells), as_of)
        vectors = contexts.get(list({cell.context_id for cell in chosen}))
        chosen = [cell for cell in chosen if cell.context_id in vectors]
        if not chosen:
            return rank.UNLEARNED
        matrix = np.array([vectors[cell.context_id] for cell in chosen], float)
        near = rank.closeness(learning.cosines(matrix))
        trials = self._trials(contexts, chosen, vectors, rank.neighbourhood(cells), as_of)
        return rank.learn(trials, whole, near)

    def _trials(
        self,
        contexts: Vectors,
        chosen: Sequence[CellRow],
        vectors: Mapping[str, Vector],
        k: int,
        as_of: datetime | None,
    ) -> Iterator[rank.Trial]:
        """Each cell of ``chosen`` with its neighbours but those of its own context."""
        evidence = self._keeper.evidence()
        hits = {name: contexts.search(vector, k + 1) for name, vector in vectors.items()}
        # A search need not find the context it starts from, where others are as near.
        seen = {*vectors, *(name for found in hits.values() for name in found.ids)}
        by_context: dict[str, list[CellRow]] = {}
        for cell in questions.neighbours(evidence, sorted(seen), as_of):
            by_context.setdefault(cell.context_id, []).append(cell)
        rows = {row.pattern_no: row for row in self._records_of(by_context, as_of)}
        known = contexts.get(sorted(seen))
        for cell in chosen:
            found = hits[cell.context_id]
            cosines = (1 - found.distances).tolist()
            similarity = dict(zip(found.ids, cosines, strict=True))
            similarity.pop(cell.context_id, None)
            around = [other for name in similarity for other in by_context.get(name, ())]
            around = _nearest(around, similarity, k)
            numbers = {cell.pattern_no, *(other.pattern_no for other in around)}
            involved = [rows[number] for number in sorted(numbers)]
            yield rank.Trial(
                _without(records_of(involved), involved, by_context[cell.context_id]),
                _cells(around, involved, similarity, [known[o.context_id] for o in around]),
                [row.pattern_no for row in involved].index(cell.pattern_no),
                cell.mean_outcome,
            )

    def _records_of(
        self, by_context: Mapping[str, Sequence[CellRow]], as_of: datetime | None
    ) -> list[RecordRow]:
        numbers = {cell.pattern_no for cells in by_context.values() for cell in cells}
        return questions.records(
            self._keeper.evidence(),
            numbers=sorted(numbers),
            ids=[],
            leaders=0,
            prior=(rank.PRIOR_WEIGHT, rank.PRIOR_CAP),
            whole=(0.5, 1.0),  # only ranks leaders
            as_of=as_of,
        )


def _nearest(cells: Sequence[CellRow], similarity: Mapping[str, float], k: int) -> list[CellRow]:
    """The ``k`` cells whose contexts are the most similar, the nearest first."""
    return sorted(cells, key=lambda c: (-similarity[c.context_id], c.context_id, c.pattern_no))[:k]


def _vectors(contexts: Vectors, near: Sequence[CellRow]) -> list[Vector]:
    found = contexts.get(list({cell.context_id for cell in near}))
    return [found[cell.context_id] for cell in near]


def records_of(rows: Sequence[RecordRow]) -> rank.Records:
    """The patterns' records as ``rank`` takes them."""
    numbers = np.array([row[2:] for row in rows], float).reshape(-1, 4)
    prior_tries = rank.prior_tries(numbers[:, 2])
    rate = numbers[:, 3] / np.maximum(numbers[:, 2], 1)
    return rank.Records(numbers[:, 0], numbers[:, 1], prior_tries, prior_tries * rate)


def _of(records: rank.Records, chosen: NDArray[np.int64]) -> rank.Records:
    """The records of these patterns alone."""
    return rank.Records(
        records.tries[chosen],
        records.total[chosen],
        records.prior_tries[chosen],
        records.prior_total[chosen],
    )


def _without(
    records: rank.Records, rows: Sequence[RecordRow], cells: Sequence[CellRow]
) -> rank.Records:
    """Records as they would be without these cells."""
    place = {row.pattern_no: n for n, row in enumerate(rows)}
    tries, total = records.tries.copy(), records.total.copy()
    for cell in cells:
        if cell.pattern_no in place:
            worth = float(rank.effective_tries(np.array(float(cell.tries))))
            tries[place[cell.pattern_no]] -= worth
            total[place[cell.pattern_no]] -= worth * cell.mean_outcome
    tries = np.maximum(tries, 0)
    return rank.Records(tries, np.clip(total, 0, tries), records.prior_tries, records.prior_total)


def _cells(
    near: Sequence[CellRow],
    rows: Sequence[RecordRow],
    similarity: Mapping[str, float],
    vectors: Sequence[Vector],
) -> rank.Cells:
    row_of = {row.pattern_no: n for n, row in enumerate(rows)}
    matrix = np.array(vectors, float) if near else np.empty((0, 1))
    return rank.Cells(
        np.array([row_of[cell.pattern_no] for cell in near], np.int64),
        np.array([similarity[cell.context_id] for cell in near], float),
        matrix @ matrix.T,
        np.array([cell.tries for cell in near], float),
        np.array([cell.mean_outcome for cell in near], float),
    )
