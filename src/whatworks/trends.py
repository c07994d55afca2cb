"""From daily sums to a trend: pure mathematics on calendar days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import erf, sqrt
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from whatworks.beta import JEFFREYS, rate_interval
from whatworks.frozen import maker
from whatworks.records import Direction, Trend, TrendDay

__all__ = [
    "BASELINE_WINDOWS",
    "CHANGE_Z",
    "DAY_LEVEL",
    "DaySum",
    "Difference",
    "difference",
    "sureness",
    "trend",
]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# The last window is compared with the four before it: four weeks for a week.
BASELINE_WINDOWS = 4
# Jeffreys' prior for a rate: half a success and half a failure.
DAY_LEVEL = 0.95
# Two-sided 90 %: the normal quantile of 0.95.
CHANGE_Z = 1.6449
# A change known to within this is called steady; less is known: too little data.
STEADY_WIDTH = 0.2
Number = TypeVar("Number", float, Float64)


class DaySum(NamedTuple):
    """What happened to one pattern on one day (UTC)."""

    day: date
    used: int
    resolved: int
    outcome_sum: float


def trend(pattern_id: str, days: Sequence[DaySum], window_days: int) -> Trend:
    """The trend of a pattern from its days, given in the order of time.

    The moving average of a day is the mean of all outcomes of the
    ``window_days`` calendar days that end with it: days count by their
    outcomes, absent days not at all. Intervals are those of a rate under
    Jeffreys' prior, Beta(s + 1/2, n - s + 1/2), at 95 %; for graded outcomes
    they are on the safe side. The change compares the last window with the
    four before it, by the normal approximation to the difference of two such
    posteriors.
    """
    day, used, *counts = zip(*days, strict=True) if days else ((),) * len(DaySum._fields)
    place = np.array([*map(date.toordinal, day)], np.int64)
    sums = np.array(counts, float)
    rates = _rates(np.concatenate([sums, _moving(place, sums, window_days)], 1))
    alone = [of_all[: len(days)] for of_all in rates]
    around = [of_all[len(days) :] for of_all in rates]
    rows = [*map(maker(TrendDay), day, used, *alone, *around)]
    recent, before = _sides(place, sums, window_days)
    found_change = difference(*recent.tolist(), *before.tolist())
    return Trend(
        pattern_id=pattern_id,
        window_days=window_days,
        baseline_days=BASELINE_WINDOWS * window_days,
        days=tuple(rows[::-1]),
        direction=found_change.direction,
        change=found_change.change,
        change_low=found_change.low,
        change_high=found_change.high,
        probability=found_change.probability,
    )


def _moving(place: Int64, sums: Float64, span: int) -> Float64:
    """Counts and sums of the windows of ``span`` days that end with each day."""
    if not len(place):
        return sums
    ends = np.arange(1, len(place) + 1)
    starts = np.searchsorted(place, place - span, "right")
    # Of each pair of borders what lies between them; the zeros are the border behind the last.
    padded = np.concatenate([sums, np.zeros((2, 1))], 1)
    moving: Float64 = np.add.reduceat(padded, np.column_stack([starts, ends]).ravel(), 1)[:, ::2]
    return moving


def _rates(sums: Float64) -> list[list[Any]]:
    """For counts and sums: counts, means and both ends of the means' intervals."""
    known = sums[0] > 0
    count, total = sums[:, known]
    low, high = rate_interval(total, count, DAY_LEVEL)

    def told(values: Float64) -> list[float | None]:
        found = np.full(len(known), None)
        found[known] = values
        return found.tolist()

    return [sums[0].astype(int).tolist(), *map(told, (total / count, low, high))]


def _sides(place: Int64, sums: Float64, span: int) -> tuple[Float64, Float64]:
    """Count and sum of the last window with outcomes, and of the windows before it."""
    resolved = np.flatnonzero(sums[0])
    if not len(resolved):
        return np.zeros(2), np.zeros(2)
    border = place[resolved[-1]] - span
    middle = np.searchsorted(place, border, "right")
    first = np.searchsorted(place, border - BASELINE_WINDOWS * span, "right")
    return sums[:, middle:].sum(axis=1), sums[:, first:middle].sum(axis=1)


class Difference(NamedTuple):
    """How one mean outcome differs from another; see ``Trend``. ``None`` where one has no outcomes."""

    direction: Direction
    change: float | None
    low: float | None
    high: float | None
    probability: float | None


def difference(count: float, total: float, before: float, before_total: float) -> Difference:
    """The mean of ``count`` outcomes with sum ``total`` minus that of the ``before``.

    ``low`` to ``high`` is a 90 % credible interval, ``probability`` that of a rise.
    """
    if not count or not before:
        return Difference("too little data", None, None, None, None)
    change = float(total / count - before_total / before)
    (mean, variance), (other, other_variance) = (
        _posterior(count, total),
        _posterior(before, before_total),
    )
    # Of the posteriors, not of the raw means: one success after one failure is no rise.
    shift, deviation = mean - other, sqrt(variance + other_variance)
    margin = CHANGE_Z * deviation
    low, high = max(-1.0, shift - margin), min(1.0, shift + margin)
    probability = 0.5 * (1 + erf(shift / deviation / sqrt(2)))
    return Difference(_direction(low, high, margin), change, low, high, probability)


def sureness(
    count: Float64, total: Float64, before: Float64, before_total: Float64
) -> NDArray[np.float64]:
    """How many standard deviations each difference is from zero, elementwise.

    Parameters
    ----------
    count, total, before, before_total
        Shape ``(n,)``, as in ``difference``; counts are positive.

    Returns
    -------
    Shape ``(n,)``. Beyond ``CHANGE_Z`` the direction is rising, below its
    negative falling.
    """
    (mean, variance), (other, other_variance) = (
        _posterior(count, total),
        _posterior(before, before_total),
    )
    return np.asarray((mean - other) / np.sqrt(variance + other_variance))


def _direction(low: float, high: float, margin: float) -> Direction:
    if low > 0 or high < 0:
        return "rising" if low > 0 else "falling"
    return "steady" if margin <= STEADY_WIDTH else "too little data"


def _posterior(count: Number, total: Number) -> tuple[Number, Number]:
    """Mean and variance of Beta(total + 1/2, count - total + 1/2)."""
    size = count + 2 * JEFFREYS
    mean = (total + JEFFREYS) / size
    return mean, mean * (1 - mean) / (size + 1)
