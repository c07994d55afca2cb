"""The change points of patterns: where each one's present record begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from whatworks import drift
from whatworks.checks import moment_of
from whatworks.evidence import cells
from whatworks.evidence.cells import Life
from whatworks.evidence.coincidences import coincidences
from whatworks.keeper import Keeper
from whatworks.neighbourhood import Points
from whatworks.records import ChangePoint

__all__ = ["Changes"]

Lives = Mapping[int, Life]


class Changes:
    """Finds change points, and remembers them until their pattern is tried again."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def of(self, tries: Mapping[int, float], as_of: datetime | None) -> Points:
        """The last change point of each pattern that has one, without what changed along with it.

        Parameters
        ----------
        tries
            Effective tries of the patterns, by number: with few of them there
            is nothing to look for.
        """
        asked = [number for number, n in tries.items() if n >= 2 * drift.LEAST]
        if as_of is not None:
            return {n: point for n, point in self._found(asked, as_of).items() if point}
        kept = self._keeper.changes.many(asked, self._kept)
        # What may not be kept is found anew.
        found = kept | self._found([number for number in asked if number not in kept], None)
        return {number: point for number, point in found.items() if point is not None}

    def last(self, number: int, tries: float, as_of: datetime | None) -> ChangePoint | None:
        """The last change point of one pattern, by its number and its effective tries."""
        return self.told(self.of({number: tries}, as_of), as_of).get(number)

    def told(self, points: Points, as_of: datetime | None) -> Points:
        """The same change points with what changed along with each: for those that are shown.

        That takes a look at all tries of a pattern, and no estimate needs it.
        """
        if not points:
            return points

        def looked(numbers: Sequence[int]) -> dict[int, ChangePoint]:
            begun = {number: points[number].since for number in numbers}
            along = coincidences(self._keeper.folded(), begun, as_of)
            return {n: replace(points[n], along=along.get(n, ())) for n in numbers}

        if as_of is not None:
            return looked(list(points))
        cache = self._keeper.told
        found = cache.many(list(points), looked)
        # A point may be another one since: tries or embeddings came.
        old = [n for n, point in points.items() if replace(found[n], along=()) != point]
        cache.invalidate(old)
        found |= cache.many(old, looked)
        return {number: found[number] for number in points}

    def _kept(self, numbers: Sequence[int]) -> dict[int, ChangePoint | None]:
        """What may be remembered: with the embeddings of all contexts, which excuse a change."""
        at, lives, vectors = self._keeper.folded().folded, self._lives(numbers, None), self._vectors()
        found = self._points(lives, vectors, None, at)
        return {n: point for n, point in found.items() if vectors.knew(lives[n])}

    def _found(self, numbers: Sequence[int], as_of: datetime | None) -> dict[int, ChangePoint | None]:
        if not numbers:
            return {}
        at = self._keeper.folded().folded
        return self._points(self._lives(numbers, as_of), self._vectors(), as_of, at)

    def _lives(self, numbers: Sequence[int], as_of: datetime | None) -> Lives:
        return cells.lives(self._keeper.folded(), numbers, as_of)

    def _vectors(self) -> _Vectors:
        return _Vectors(self._keeper)

    def _points(
        self, lives: Lives, vectors: _Vectors, as_of: datetime | None, at: int
    ) -> dict[int, ChangePoint | None]:
        """The points of lives that were read when ``at`` bytes were folded."""
        begun = {n: k for n in _suspects(lives) if (k := _begins(lives[n], vectors))}
        found: dict[int, ChangePoint | None] = dict.fromkeys(lives)
        if begun:
            sides = cells.sides(self._keeper.folded(), lives, begun, as_of, at)
            since = {n: moment_of(int(lives[n].last_at[k])) for n, k in begun.items()}
            found |= {n: _point(since[n], sums) for n, sums in sides.items()}
        return found


class _Vectors:
    """The embeddings of contexts, read when they are asked for: few lives need them."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._absent: set[int] = set()

    def of(self, life: Life) -> NDArray[np.float64]:
        """The vectors of a life's contexts ``(n, dim)``; zero for what has none."""
        names = cells.context_ids(self._keeper.folded(), _contexts(life))
        found = self._keeper.embeddings.embedded("contexts", sorted(names.values()))
        self._absent |= {number for number in _contexts(life) if names.get(number) not in found}
        nothing = np.zeros(len(next(iter(found.values()), ())))
        return np.array([found.get(names.get(n, ""), nothing) for n in life.context.tolist()], float)

    def knew(self, life: Life) -> bool:
        """Whether nothing of what a life's estimate needed was absent."""
        return not self._absent or self._absent.isdisjoint(_contexts(life))


def _contexts(life: Life) -> set[int]:
    return set(life.context[life.context >= 0].tolist())


def _worth(life: Life) -> NDArray[np.float64]:
    """A loop in one context says no more of a change than one try does."""
    return np.where(life.context >= 0, np.minimum(life.worth, 1.0), life.worth)


def _suspects(lives: Lives) -> list[int]:
    """The patterns that may have changed; to look at all at once takes a tenth of the time."""
    if not lives:
        return []
    whole = Life(*map(np.concatenate, zip(*lives.values(), strict=True)))
    ends = np.cumsum([len(life.worth) for life in lives.values()])
    apart = np.append(np.diff(whole.last_at) > 0, False)
    found = drift.suspicious(_worth(whole), whole.mean, apart, np.append(0, ends[:-1]))
    return [number for number, suspect in zip(lives, found.tolist(), strict=True) if suspect]


def _begins(life: Life, vectors: _Vectors) -> int:
    """Where the present regime begins in a pattern's life, 0 if it never changed."""
    apart = np.diff(life.last_at) > 0
    return drift.last_change(_worth(life), life.mean, apart, lambda: vectors.of(life))


def _point(since: datetime, sums: tuple[float, float, float, float]) -> ChangePoint | None:
    tries_before, before, tries_after, after = sums
    if not tries_after:  # it was corrected meanwhile
        return None
    rate = before / tries_before if tries_before else 0.5
    return ChangePoint(since, tries_before, rate, tries_after, after / tries_after)
