"""From daily sums to a trend: pure mathematics on calendar days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from math import erf, sqrt
from typing import NamedTuple

import numpy as np

from whatworks.beta import JEFFREYS, rate_interval
from whatworks.cache import HotCache
from whatworks.records import Direction, Trend, TrendDay

__all__ = ["BASELINE_WINDOWS", "DaySum", "trend"]

# The last window is compared with the four before it: four weeks for a week.
BASELINE_WINDOWS = 4
# Jeffreys' prior for a rate: half a success and half a failure.
DAY_LEVEL = 0.95
# Two-sided 90 %: the normal quantile of 0.95.
CHANGE_Z = 1.6449
# A change known to within this is called steady; less is known: too little data.
STEADY_WIDTH = 0.2
# To find the ends of an interval takes longer than all else here, however many are asked for.
_ENDS: HotCache[tuple[float, float]] = HotCache(8_192)
NO_ENDS = None, None


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
    span = timedelta(days=window_days)
    sums = np.array([[d.resolved, d.outcome_sum] for d in days], float).reshape(-1, 2)
    pairs = [*sums.tolist(), *_moving(days, sums, span).tolist()]
    ends = _intervals(pairs)
    found = [
        (int(count), _share(count, total), *(between if count else NO_ENDS))
        for (count, total), between in zip(pairs, ends, strict=True)
    ]
    rows = [
        TrendDay(d.day, d.used, *alone, *around)
        for d, alone, around in zip(days, found, found[len(days) :], strict=False)
    ]
    recent, before = _sides(days, sums, span)
    direction, change, change_low, change_high, probability = _change(recent, before)
    return Trend(
        pattern_id=pattern_id,
        window_days=window_days,
        baseline_days=BASELINE_WINDOWS * window_days,
        days=tuple(reversed(rows)),
        direction=direction,
        change=change,
        change_low=change_low,
        change_high=change_high,
        probability=probability,
    )


def _moving(days: Sequence[DaySum], sums: np.ndarray, span: timedelta) -> np.ndarray:
    """Counts and sums of the windows that end with each day."""
    moving, start = np.zeros_like(sums), 0
    for end, today in enumerate(days):
        before = today.day - span
        while days[start].day <= before:
            start += 1
        moving[end] = np.add.reduce(sums[start : end + 1])
    return moving


def _intervals(pairs: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Lower and upper ends for counts with their sums; days are much alike, so they are kept."""
    keys = [f"{count} {total}" for count, total in pairs]
    rows = dict(zip(keys, pairs, strict=True))

    def load(missing: list[str]) -> dict[str, tuple[float, float]]:
        count, total = np.array([rows[key] for key in missing]).T
        low, high = rate_interval(total, count, DAY_LEVEL)
        return dict(zip(missing, zip(low.tolist(), high.tolist(), strict=True), strict=True))

    known = _ENDS.many(list(rows), load)
    return [known[key] for key in keys]


def _share(count: float, total: float) -> float | None:
    return total / count if count else None


def _sides(days: Sequence[DaySum], sums: np.ndarray, span: timedelta) -> tuple[np.ndarray, np.ndarray]:
    """Count and sum of the last window with outcomes, and of the windows before it."""
    resolved = [d.day for d in days if d.resolved]
    if not resolved:
        return np.zeros(2), np.zeros(2)
    border = resolved[-1] - span
    first = border - BASELINE_WINDOWS * span
    recent = [n for n, d in enumerate(days) if d.day > border]
    before = [n for n, d in enumerate(days) if first < d.day <= border]
    return sums[recent].sum(axis=0), sums[before].sum(axis=0)


def _change(
    recent: np.ndarray, before: np.ndarray
) -> tuple[Direction, float | None, float | None, float | None, float | None]:
    if not recent[0] or not before[0]:
        return "too little data", None, None, None, None
    change = float(recent[1] / recent[0] - before[1] / before[0])
    (mean, variance), (other, other_variance) = _posterior(*recent), _posterior(*before)
    # Of the posteriors, not of the raw means: one success after one failure is no rise.
    shift, deviation = mean - other, sqrt(variance + other_variance)
    margin = CHANGE_Z * deviation
    low, high = max(-1.0, shift - margin), min(1.0, shift + margin)
    probability = 0.5 * (1 + erf(shift / deviation / sqrt(2)))
    return _direction(low, high, margin), change, low, high, probability


def _direction(low: float, high: float, margin: float) -> Direction:
    if low > 0 or high < 0:
        return "rising" if low > 0 else "falling"
    return "steady" if margin <= STEADY_WIDTH else "too little data"


def _posterior(count: float, total: float) -> tuple[float, float]:
    """Mean and variance of Beta(total + 1/2, count - total + 1/2)."""
    size = count + 2 * JEFFREYS
    mean = float((total + JEFFREYS) / size)
    return mean, mean * (1 - mean) / (size + 1)
