"""Bootstrap intervals of scores: contexts are drawn anew within each task.

Contexts, not answers: answers for one context go right or wrong together. A
context that several seeds ask about is drawn for all of them at once, and so it
is for the two systems of a paired difference. The logs stay as they are: what
another log would have changed is not in the intervals.

References: Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 8
(units that are drawn whole) and 13.3 (the percentile interval).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "brier", "difference", "gain", "interval", "mean_of", "skill"]

Float64 = NDArray[np.float64]
Row = dict[str, Any]
Means = dict[str, Float64]  # of each score, one value a draw
Statistic = Callable[[Means], Float64]

LEVEL = 95.0


class Interval(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def skill(means: Means) -> Float64:
    """1 - Brier / Brier of the log's mean outcome."""
    return 1 - means["brier"] / means["const"]


def gain(means: Means) -> Float64:
    """Share of the way from a random pattern to the best one."""
    return (means["top1"] - means["random"]) / (means["oracle"] - means["random"])


def brier(means: Means) -> Float64:
    return means["brier"]


def interval(
    rows: Sequence[Row], statistic: Statistic, *, draws: int = 1_000, seed: int = 0
) -> Interval:
    """The mean over tasks of the mean over seeds of ``statistic``."""
    return _quantiles(_by_task(rows, [rows], statistic, draws, seed)[0])


def difference(
    rows: Sequence[Row],
    others: Sequence[Row],
    statistic: Statistic,
    *,
    draws: int = 1_000,
    seed: int = 0,
) -> Interval:
    """``statistic`` of ``rows`` less that of ``others``, which were asked about the same contexts."""
    ours, theirs = _by_task(rows, [rows, others], statistic, draws, seed)
    return _quantiles(ours - theirs)


def mean_of(rows: Sequence[Row], *path: str) -> float:
    """The mean over tasks of the means over seeds of a figure; NaN where no row has it.

    Examples
    --------
    >>> rows = [{"task": "a", "ece": 1.0}, {"task": "a", "ece": 3.0}, {"task": "b", "ece": 6.0}]
    >>> mean_of(rows, "ece")
    4.0
    """
    by_task: dict[str, list[float]] = {}
    for row in rows:
        value: Any = row
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            by_task.setdefault(row["task"], []).append(float(value))
    return float(np.mean([np.mean(values) for values in by_task.values()])) if by_task else np.nan


def _by_task(
    rows: Sequence[Row], systems: list[Sequence[Row]], statistic: Statistic, draws: int, seed: int
) -> list[Float64]:
    """For each system the statistic as measured, then as drawn: arrays of length ``draws + 1``."""
    random = np.random.default_rng(seed)
    tasks = sorted({row["task"] for row in rows})
    found: list[list[Float64]] = [[] for _ in systems]
    for task in tasks:
        contexts = sorted({c for row in rows if row["task"] == task for c in row["context"]})
        times = random.multinomial(len(contexts), np.full(len(contexts), 1 / len(contexts)), draws)
        times = np.vstack([np.ones(len(contexts)), times])
        for values, system in zip(found, systems, strict=True):
            mine = [row for row in system if row["task"] == task]
            drawn = [
                statistic(_means(row, np.searchsorted(contexts, row["context"]), times)) for row in mine
            ]
            values.append(np.mean(drawn, axis=0))
    return [np.mean(values, axis=0) for values in found]


def _means(row: Row, where: NDArray[np.int64], times: Float64) -> Means:
    weights = times[:, where]
    weights /= weights.sum(1, keepdims=True)
    return {name: weights @ np.array(values) for name, values in row["per_context"].items()}


def _quantiles(values: Float64) -> Interval:
    low, high = np.percentile(values[1:], [50 - LEVEL / 2, 50 + LEVEL / 2])
    return Interval(float(values[0]), float(low), float(high))
