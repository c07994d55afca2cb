"""The product's statistics on plain arrays: what ``Predictions.predict`` does, without a store.

Thousands of logs are replayed for the tables of ``docs/statistics.md``; through
files and a database that would take hours. Every number comes from
``whatworks.rank`` and ``whatworks.learning``; a test holds this against ``Memory``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whatworks import learning, rank
from whatworks.beta import credible_interval

__all__ = ["Replay"]

Vector = NDArray[np.float32]


class Replay:
    """A system as the scoring harness takes it; patterns are called arms there."""

    def __init__(self) -> None:
        self._contexts: dict[str, int] = {}
        self._arms: dict[str, int] = {}
        self._vectors: list[Vector] = []
        self._cells: dict[tuple[int, int], list[float]] = {}
        self._learned, self._learned_at = rank.UNLEARNED, 0
        self._stale = True

    def fit_event(self, vector: Vector, text: str, arm: str, outcome: float, ts: float) -> None:
        """Learn one resolved try."""
        del ts
        context = self._contexts.setdefault(text, len(self._contexts))
        if context == len(self._vectors):
            self._vectors.append(np.asarray(vector, np.float32))
        pattern = self._arms.setdefault(arm, len(self._arms))
        cell = self._cells.setdefault((context, pattern), [0.0, 0.0])
        cell[0] += 1
        cell[1] += outcome
        self._stale = True

    def _refresh(self) -> None:
        if not self._stale:
            return
        keys = np.array(list(self._cells), np.int64).reshape(-1, 2)
        self._context, self._pattern = keys.T
        self._tries, total = np.array(list(self._cells.values())).reshape(-1, 2).T
        self._mean = total / self._tries
        self._matrix = np.array(self._vectors, float)
        effective = rank.effective_tries(self._tries)
        size = len(self._arms)
        tries = np.bincount(self._pattern, effective, minlength=size)
        total = np.bincount(self._pattern, effective * self._mean, minlength=size)
        nothing = np.zeros(size + 1)  # the last stands for every pattern without a try
        self._records = rank.Records(np.append(tries, 0.0), np.append(total, 0.0), nothing, nothing)
        self._whole = rank.population(
            size, tries.sum(), total.sum(), (tries**2).sum(), (total**2 / tries).sum()
        )
        self._near = rank.neighbourhood(len(keys))
        if learning.due(len(keys), self._learned_at):
            self._learned, self._learned_at = self._learn(), len(keys)
        self._stale = False

    def _learn(self) -> rank.Learned:
        order = np.argsort(learning.shuffled(self._context, self._pattern), kind="stable")
        chosen = order[: learning.sample_size(len(order))]
        vectors = self._matrix[self._context[chosen]]
        near = rank.closeness(learning.cosines(vectors))
        return rank.learn((self._trial(cell) for cell in chosen), self._whole, near)

    def _trial(self, cell: int) -> rank.Trial:
        here = self._context == self._context[cell]
        effective = rank.effective_tries(self._tries[here])
        size = len(self._records.tries)
        away = rank.Records(
            self._records.tries - np.bincount(self._pattern[here], effective, minlength=size),
            self._records.total
            - np.bincount(self._pattern[here], effective * self._mean[here], minlength=size),
            self._records.prior_tries,
            self._records.prior_total,
        )
        vector = self._matrix[self._context[cell]]
        return rank.Trial(
            away, self._around(vector, np.flatnonzero(~here)), self._pattern[cell], self._mean[cell]
        )

    def _around(self, vector: NDArray[np.float64], among: NDArray[np.int64]) -> rank.Cells:
        similarity = self._matrix[self._context[among]] @ vector
        nearest = np.argsort(-similarity, kind="stable")[: self._near]
        chosen = among[nearest]
        vectors = self._matrix[self._context[chosen]]
        return rank.Cells(
            self._pattern[chosen],
            similarity[nearest],
            vectors @ vectors.T,
            self._tries[chosen],
            self._mean[chosen],
        )

    def _estimates(self, vector: Vector) -> rank.Estimates | None:
        if not self._cells:
            return None
        self._refresh()
        cells = self._around(np.asarray(vector, float), np.arange(len(self._context)))
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
