"""The product's statistics on plain arrays: what ``Predictions.predict`` does, without a store.

Thousands of logs are replayed for the tables of ``docs/statistics.md``; through
files and a database that would take hours. Every number comes from
``whatworks.rank``, ``drift``, ``learning`` and ``choosing``; a test holds this against ``Memory``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whatworks import drift, learning, rank
from whatworks.beta import credible_interval
from whatworks.evidence import lives

__all__ = ["Optimist", "Replay"]

Vector = NDArray[np.float32]
Float64 = NDArray[np.float64]
DAY = 86_400.0


class Replay:
    """A system as the scoring harness takes it; patterns are called arms there."""

    def __init__(self) -> None:
        self._contexts: dict[str, int] = {}
        self._arms: dict[str, int] = {}
        self._vectors: list[Vector] = []
        # Tries, sum of outcomes and time of the last, by context, pattern and day.
        self._cells: dict[tuple[int, int, int], list[float]] = {}
        self._begun: dict[int, list[float]] = {}
        self._touched: set[int] = set()
        self._learned, self._learned_at = rank.UNLEARNED, 0
        self._stale = True

    def fit_event(self, vector: Vector, text: str, arm: str, outcome: float, ts: float) -> None:
        """Learn one resolved try."""
        context = self._contexts.setdefault(text, len(self._contexts))
        if context == len(self._vectors):
            self._vectors.append(np.asarray(vector, np.float32))
        pattern = self._arms.setdefault(arm, len(self._arms))
        cell = self._cells.setdefault((context, pattern, int(ts // DAY)), [0.0, 0.0, ts])
        cell[0] += 1
        cell[1] += outcome
        cell[2] = max(cell[2], ts)
        self._touched.add(pattern)
        self._stale = True

    def changes(self) -> dict[str, list[float]]:
        """When each arm was found to have changed, as of now: the last change only."""
        self._refresh()
        return {arm: self._begun[n] for arm, n in self._arms.items() if self._begun.get(n)}

    def _refresh(self) -> None:
        if not self._stale:
            return
        keys = np.array(list(self._cells), np.int64).reshape(-1, 3)
        tries, total, self._last = np.array(list(self._cells.values())).reshape(-1, 3).T
        self._context, self._pattern, self._day = keys.T
        self._worth, self._mean = rank.effective_tries(tries), total / tries
        self._matrix = np.array(self._vectors, float)
        self._near = rank.neighbourhood(len(keys))
        whole = self._sums(np.ones(len(keys), bool))
        self._whole = rank.population(
            len(self._arms),
            whole[0].sum(),
            whole[1].sum(),
            (whole[0] ** 2).sum(),
            (whole[1] ** 2 / whole[0]).sum(),
        )
        if learning.due(len(keys), self._learned_at):
            self._learned, self._learned_at = self._learn(*whole), len(keys)
        self._find_changes()
        self._split(*whole)
        self._stale = False

    def _sums(self, chosen: NDArray[np.bool_]) -> tuple[Float64, Float64]:
        """Effective tries and outcomes of every arm, of the chosen cells."""
        worth, size = np.where(chosen, self._worth, 0.0), len(self._arms)
        return (
            np.bincount(self._pattern, worth, minlength=size),
            np.bincount(self._pattern, worth * self._mean, minlength=size),
        )

    def _find_changes(self) -> None:
        for pattern in self._touched:
            life = np.flatnonzero(self._pattern == pattern)
            life = life[np.lexsort((self._context[life], self._last[life]))]
            place = len(life) - np.arange(len(life))  # the last is 1
            spared = lives.spared(self._context[life], self._day[life], len(life))
            life = life[(place <= lives.KEPT) | spared]
            contexts = self._context[life]

            def seen(contexts: NDArray[np.int64] = contexts) -> Float64:
                found: Float64 = self._matrix[contexts]
                return found

            worth = np.minimum(self._worth[life], 1.0)
            apart = np.diff(self._last[life]) > 0
            found = drift.last_change(worth, self._mean[life], apart, seen)
            self._begun[pattern] = [float(self._last[life[found]])] if found else []
        self._touched = set()

    def _split(self, tries: Float64, total: Float64) -> None:
        """Records of all arms, of an arm without a try, and of what changed arms were before."""
        size = len(self._arms)
        changed = [n for n in range(size) if self._begun.get(n)]
        since = np.array([(self._begun.get(n) or [-np.inf])[0] for n in range(size)])
        early = self._last < since[self._pattern]
        now_tries, now_total = self._sums(~early)
        place = np.zeros(size, np.int64)
        place[changed] = size + 1 + np.arange(len(changed))
        self._row = np.where(early, place[self._pattern], self._pattern)
        is_changed = np.isin(np.arange(size), changed).astype(float)
        nothing = np.zeros(size + 1 + len(changed))
        self._records = rank.Records(
            np.concatenate([now_tries, [0.0], (tries - now_tries)[changed]]),
            np.concatenate([now_total, [0.0], (total - now_total)[changed]]),
            nothing,
            nothing,
            np.concatenate([is_changed, [0.0], np.ones(len(changed))]),
        )

    def _learn(self, tries: Float64, total: Float64) -> rank.Learned:
        order = np.argsort(learning.shuffled(self._context, self._pattern), kind="stable")
        chosen = order[: learning.sample_size(len(order))]
        vectors = self._matrix[self._context[chosen]]
        center = tuple(vectors.mean(0).round(6).tolist())
        near = rank.closeness(learning.cosines(rank.centred(vectors, center)))
        trials = (self._trial(cell, tries, total, center) for cell in chosen)
        return rank.learn(trials, self._whole, near, center)

    def _trial(
        self, cell: int, tries: Float64, total: Float64, center: tuple[float, ...]
    ) -> rank.Trial:
        here = self._context == self._context[cell]
        there = self._sums(here)
        nothing = np.zeros(len(tries))
        left = np.maximum(tries - there[0], 0)
        away = rank.Records(left, np.clip(total - there[1], 0, left), nothing, nothing, nothing)
        vector = self._matrix[self._context[cell]]
        around = self._around(vector, np.flatnonzero(~here), self._pattern, center)
        return rank.Trial(away, around, self._pattern[cell], self._mean[cell])

    def _around(
        self,
        vector: Float64,
        among: NDArray[np.int64],
        row: NDArray[np.int64],
        center: tuple[float, ...],
    ) -> rank.Cells:
        """The nearest cells; the days of one context and arm together."""
        key = self._context[among] * (2 * len(self._arms) + 2) + row[among]
        _, first, place = np.unique(key, return_index=True, return_inverse=True)
        worth = np.bincount(place, self._worth[among])
        mean = np.bincount(place, self._worth[among] * self._mean[among]) / worth
        cell = among[first]
        similarity = self._matrix[self._context[cell]] @ vector
        nearest = np.argsort(-similarity, kind="stable")[: self._near]
        vectors = self._matrix[self._context[cell[nearest]]]
        seen = rank.centred(np.vstack([vectors, vector]), center)
        return rank.Cells(
            row[cell[nearest]],
            seen[:-1] @ seen[-1],
            seen[:-1] @ seen[:-1].T,
            worth[nearest],
            mean[nearest],
        )

    def _estimates(self, vector: Vector) -> rank.Estimates | None:
        if not self._cells:
            return None
        self._refresh()
        every = np.arange(len(self._context))
        cells = self._around(np.asarray(vector, float), every, self._row, self._learned.center)
        return rank.estimate(self._records, cells, self._whole, self._learned)

    def _rows(self, arms: Sequence[str]) -> NDArray[np.int64]:
        return np.array([self._arms.get(arm, len(self._arms)) for arm in arms])

    def predict(self, vector: Vector, text: str, arms: Sequence[str]) -> list[float]:
        """The expected outcome of each arm."""
        del text
        made = self._estimates(vector)
        if made is None:
            return [0.5] * len(arms)
        return [float(value) for value in made.expected[self._rows(arms)]]

    def predict_interval(
        self, vector: Vector, text: str, arms: Sequence[str], level: float
    ) -> list[tuple[float, float]]:
        """The credible interval of each arm's expected outcome."""
        del text
        made = self._estimates(vector)
        if made is None:
            return [(0.0, 1.0)] * len(arms)
        rows = self._rows(arms)
        low, high = credible_interval(made.expected[rows], made.n_effective[rows], level)
        return list(zip(low.tolist(), high.tolist(), strict=True))


class Optimist(Replay):
    """Chooses as ``predict`` does with ``explore="optimistic"``."""

    def choose(self, vector: Vector, text: str, arms: Sequence[str], rng: np.random.Generator) -> int:
        """The place of the arm to try."""
        expected = np.array(self.predict(vector, text, arms))
        if not self._cells:
            return int(rng.integers(len(arms)))
        hope = rank.optimism(self._records, self._whole)[self._rows(arms)]
        return int(np.argmax(expected + hope + 1e-9 * rng.random(len(arms))))
