"""The change points of patterns: where each one's present record begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from whatworks import drift
from whatworks.evidence import cells, texts
from whatworks.evidence.cells import RecentRow
from whatworks.evidence.coincidences import coincidences
from whatworks.keeper import Keeper
from whatworks.neighbourhood import Points
from whatworks.records import ChangePoint, Coincidence

__all__ = ["Changes"]

# Cells of a pattern's life that are looked at one by one; those before are thinned to as many.
LOOKED_AT = 128


class Changes:
    """Finds change points, and remembers them until their pattern is tried again."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def of(self, records: Mapping[int, tuple[float, float]], as_of: datetime | None) -> Points:
        """The last change point of each pattern that has one.

        Parameters
        ----------
        records
            Effective tries and outcomes of the patterns over their whole life,
            by number.
        """
        asked = _watched(records)
        if as_of is not None:
            return self._found(asked, records, as_of)
        kept = self._keeper.changes.many(
            [str(number) for number in asked],
            lambda missing: self._cached([int(name) for name in missing], records),
        )
        return {int(name): point for name, point in kept.items() if point is not None}

    def last(self, pattern_id: str, as_of: datetime | None) -> ChangePoint | None:
        """The last change point of one pattern."""
        rows = cells.records(
            self._keeper.evidence(),
            numbers=[],
            ids=[pattern_id],
            leaders=0,
            prior=(0.0, 0.0),
            whole=(0.5, 1.0),
            as_of=as_of,
        )
        records = {row.pattern_no: (row.tries, row.total) for row in rows}
        if as_of is None and not self._keeper.all_embedded:
            # Contexts without embeddings excuse nothing: what is found may be found otherwise later.
            found = self._found(_watched(records), records, None)
        else:
            found = self.of(records, as_of)
        return next(iter(found.values()), None)

    def _cached(
        self, numbers: Sequence[int], records: Mapping[int, tuple[float, float]]
    ) -> dict[str, ChangePoint | None]:
        found = self._found(numbers, records, None)
        return {str(number): found.get(number) for number in numbers}

    def _found(
        self,
        numbers: Sequence[int],
        records: Mapping[int, tuple[float, float]],
        as_of: datetime | None,
    ) -> Points:
        if not numbers:
            return {}
        evidence = self._keeper.evidence()
        lives: dict[int, list[RecentRow]] = {}
        for row in cells.recent(evidence, numbers, LOOKED_AT, as_of):
            lives.setdefault(row.pattern_no, []).append(row)
        begun = {n: life[k].last_at for n, life in lives.items() if (k := self._begins(life))}
        if not begun:
            return {}
        sums = cells.since(evidence, begun, as_of)
        along = coincidences(evidence, begun, as_of)
        return {
            n: _point(at, records[n], sums[n], along.get(n, ())) for n, at in begun.items() if n in sums
        }

    def _begins(self, life: Sequence[RecentRow]) -> int:
        # A loop in one context says no more of a change than one try does.
        worth = np.array([min(row.worth, 1.0) if row.context_id else row.worth for row in life])
        outcome = np.array([row.mean_outcome for row in life])
        apart = np.array([a.last_at < b.last_at for a, b in pairwise(life)], bool)
        return drift.last_change(worth, outcome, apart, lambda: self._contexts(life))

    def _contexts(self, life: Sequence[RecentRow]) -> NDArray[np.float64]:
        """The embeddings of the contexts; zero for what has none."""
        names = sorted({row.context_id for row in life if row.context_id})
        ids, vectors = texts.of(
            self._keeper.evidence(), "contexts", self._keeper.config.embedder, names
        )
        if not ids:
            return np.zeros((len(life), 1))
        found = dict(zip(ids, vectors.astype(float), strict=True))
        nothing = np.zeros(vectors.shape[1])
        return np.array([found.get(row.context_id or "", nothing) for row in life])


def _watched(records: Mapping[int, tuple[float, float]]) -> list[int]:
    """The patterns with tries enough for a change to show."""
    return [number for number, (tries, _) in records.items() if tries >= 2 * drift.LEAST]


def _point(
    since: datetime,
    whole: tuple[float, float],
    after: tuple[float, float],
    along: tuple[Coincidence, ...],
) -> ChangePoint:
    tries = max(whole[0] - after[0], 0.0)
    total = min(max(whole[1] - after[1], 0.0), tries)
    before = total / tries if tries else 0.5
    return ChangePoint(since, tries, before, after[0], after[1] / after[0], along)
