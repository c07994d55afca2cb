"""What a store has learned of its world from its own tries, and when it learns anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whatworks import learning, rank
from whatworks.checks import micros, moment_of
from whatworks.evidence import cells
from whatworks.evidence.cells import CellRow, PopulationRow, RecordRow
from whatworks.keeper import Keeper
from whatworks.neighbourhood import Cell, cells_of, merged, nearest, records_of, without
from whatworks.vectors import Vectors

__all__ = ["Worlds", "learned_of"]

NOW = "now"

Vector = NDArray[np.float32]


def learned_of(body: Mapping[str, Any]) -> rank.Learned:
    """What was learned, from a receipt or a record of the journal."""
    return rank.Learned(
        tuple(body["weights"]),
        tuple(body["closeness"]),
        float(body["dispersion"]),
        tuple(body.get("center", ())),
    )


def _outdated(body: Mapping[str, Any]) -> bool:
    """Whether it was learned by an earlier estimator, which knew no center."""
    return not body.get("center")


class Worlds:
    """The population of a store and how local its world is, now or as of a time."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def population(self, as_of: datetime | None) -> PopulationRow:
        """Sums over all patterns."""
        evidence = self._keeper.folded()
        if as_of is not None:
            return cells.population(evidence, as_of)
        found = self._keeper.sums.many([NOW], lambda _: {NOW: cells.population(evidence, None)})
        return found[NOW]

    def learned(
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
        model, kept, holds = contexts.model, self._keeper.learned, self._keeper.holds
        if as_of is not None:
            learned_from, learned = self._learned_then(contexts, as_of)
        else:
            found = kept.many([model], lambda _: {model: self._learned_last(model, None)})
            learned_from, learned = found[model]
        if not learning.due(sums.cells, learned_from):
            return learned
        learned = self._learn(contexts, sums.cells, whole, as_of)
        if as_of is None and learned.center:
            body = {"recorded_at": micros(now), "cells": sums.cells, "model": model}
            self._keeper.note_down("world.learned", body | asdict(learned), holds)
            kept.clear()
            kept.many([model], lambda _: {model: (sums.cells, learned)})
        return learned

    def _learned_last(self, model: str, as_of: datetime | None) -> tuple[int, rank.Learned]:
        """What was learned last by the embeddings of ``model``, and from how many cells."""
        body = cells.learned(self._keeper.evidence(receipts=True), model, as_of)
        if body is None or _outdated(body):
            return 0, rank.UNLEARNED
        return body["cells"], learned_of(body)

    def _learned_then(self, contexts: Vectors, as_of: datetime) -> tuple[int, rank.Learned]:
        """What had been learned by ``as_of``; what another model learned is learned by this one."""
        body = cells.learned(self._keeper.evidence(receipts=True), None, as_of)
        if body is None:
            return 0, rank.UNLEARNED
        if body["model"] == contexts.model and not _outdated(body):
            return body["cells"], learned_of(body)
        then = moment_of(body["recorded_at"])
        sums = self.population(then)
        return sums.cells, self._learn(contexts, sums.cells, rank.population(*sums[:5]), then)

    def _learn(
        self, contexts: Vectors, size: int, whole: rank.Population, as_of: datetime | None
    ) -> rank.Learned:
        chosen = cells.sample(self._keeper.folded(), learning.sample_size(size), as_of)
        vectors = contexts.get(list({cell.context_id for cell in chosen}))
        chosen = [cell for cell in chosen if cell.context_id in vectors]
        if not chosen:
            return rank.UNLEARNED
        matrix = np.array([vectors[cell.context_id] for cell in chosen], float)
        # Six digits, as it is written down: what is read again gives the same numbers.
        center = tuple(matrix.mean(0).round(6).tolist())
        near = rank.closeness(learning.cosines(rank.centred(matrix, center)))
        trials = self._trials(contexts, chosen, vectors, rank.neighbourhood(size), center, as_of)
        return rank.learn(trials, whole, near, center)

    def _trials(
        self,
        contexts: Vectors,
        chosen: Sequence[CellRow],
        vectors: Mapping[str, Vector],
        k: int,
        center: tuple[float, ...],
        as_of: datetime | None,
    ) -> Iterator[rank.Trial]:
        """Each cell of ``chosen`` with its neighbours but those of its own context."""
        evidence = self._keeper.folded()
        hits = {name: contexts.search(vector, k + 1) for name, vector in vectors.items()}
        # A search need not find the context it starts from, where others are as near.
        seen = {*vectors, *(name for found in hits.values() for name in found.ids)}
        by_context: dict[str, list[Cell]] = {}
        for cell in merged(cells.neighbours(evidence, sorted(seen), as_of), {}):
            by_context.setdefault(cell.context_id, []).append(cell)
        rows = {row.pattern_no: row for row in self._records_of(by_context, as_of)}
        known = contexts.get(sorted(seen))
        for trial in chosen:
            found = hits[trial.context_id]
            similarity = dict(zip(found.ids, (1 - found.distances).tolist(), strict=True))
            similarity.pop(trial.context_id, None)
            around = [other for name in similarity for other in by_context.get(name, ())]
            around = nearest(around, similarity, k)
            numbers = {trial.pattern_no, *(other.pattern_no for other in around)}
            involved = [rows[number] for number in sorted(numbers)]
            there = [known[other.context_id] for other in around]
            yield rank.Trial(
                without(records_of(involved, {}), involved, by_context[trial.context_id]),
                cells_of(around, involved, {}, vectors[trial.context_id], there, center),
                [row.pattern_no for row in involved].index(trial.pattern_no),
                trial.mean_outcome,
            )

    def _records_of(
        self, by_context: Mapping[str, Sequence[Cell]], as_of: datetime | None
    ) -> list[RecordRow]:
        numbers = {cell.pattern_no for found in by_context.values() for cell in found}
        evidence = self._keeper.folded()
        return cells.records(evidence, numbers=numbers, ids=[], as_of=as_of)
