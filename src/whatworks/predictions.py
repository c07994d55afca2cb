"""How ``predict`` is answered: search, join with the evidence, estimate, write a receipt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whatworks import choosing, learning, rank, receipts
from whatworks.answers import Answers
from whatworks.checks import Chance, micros
from whatworks.errors import NotFoundError
from whatworks.evidence import questions
from whatworks.evidence.questions import CellRow, PopulationRow, RecordRow
from whatworks.ids import uuid7
from whatworks.keeper import Keeper
from whatworks.records import Prediction, Why
from whatworks.vectors import Vectors

__all__ = ["Predictions"]

# Names the way estimates are made; raise when the same evidence gives other numbers.
POLICY = "kriging/1"
NOW = "now"

Vector = NDArray[np.float32]


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
        evidence = self._keeper.evidence()
        contexts, patterns = self._keeper.vectors("contexts"), self._keeper.vectors("patterns")
        query = self._keeper.embed_query(context)
        sums = self._population(as_of)
        whole = rank.population(*sums[:5])
        learned = self._learned(contexts, sums, whole, as_of, now)
        near, similarity = self._near(
            contexts, query, min(rank.neighbourhood(sums.cells), sums.cells), as_of
        )
        # A pattern without any evidence is worth showing if its description fits; of those that are
        # found, some are left out as of an earlier time.
        wide = choosing.reach(limit, chance)
        reach = wide if as_of is None else 4 * wide
        alike = patterns.search(query, reach if candidates is None else 0)
        rows = questions.records(
            evidence,
            numbers=sorted({cell.pattern_no for cell in near}),
            ids=alike.ids if candidates is None else candidates,
            leaders=wide if candidates is None else 0,
            prior=(rank.PRIOR_WEIGHT, rank.PRIOR_CAP),
            whole=(whole.mu, whole.kappa),
            as_of=as_of,
        )
        records = _records(rows)
        cells = _cells(near, rows, similarity, _vectors(contexts, near))
        made = rank.estimate(records, cells, whole, learned)
        distance = dict(zip(alike.ids, alike.distances.tolist(), strict=True))
        asked = None if candidates is None else set(candidates)
        order = sorted(
            (n for n, row in enumerate(rows) if asked is None or row.pattern_id in asked),
            key=lambda n: (
                -round(float(made.expected[n]), 9),
                distance.get(rows[n].pattern_id, 2.0),
                rows[n].pattern_id,
            ),
        )[:wide]
        told = receipts.answers(order, rows, records, near, similarity, made, whole, learned)
        receipt = {
            "prediction_id": uuid7(),
            "recorded_at": micros(now),
            "as_of": None if as_of is None else micros(as_of),
            "context": context,
            "policy": POLICY,
            "coverage": sums.coverage,
            **told,
            **choosing.placed(told["answers"], limit, chance),
        }
        self._keeper.note_down("prediction.made", receipt)
        shown = receipts.shown_contexts(receipt)
        return self._prediction(receipt, questions.context_texts(evidence, shown) if shown else {})

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
            learned_from, learned = self._learned_last(model, as_of)
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
                _without(_records(involved), involved, by_context[cell.context_id]),
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


def _records(rows: Sequence[RecordRow]) -> rank.Records:
    numbers = np.array([row[2:] for row in rows], float).reshape(-1, 4)
    prior_tries = rank.prior_tries(numbers[:, 2])
    rate = numbers[:, 3] / np.maximum(numbers[:, 2], 1)
    return rank.Records(numbers[:, 0], numbers[:, 1], prior_tries, prior_tries * rate)


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
