"""Rates with their intervals and counts, for all that is shown of a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whatworks.beta import rate_interval
from whatworks.records import Pattern
from whatworks.trends import DAY_LEVEL

__all__ = ["Rate", "Rated", "rate", "rated", "rates"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A mean of ``count`` outcomes with its 95 % credible interval, all in [0, 1]."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Rated:
    """A pattern with its rate, ``None`` without known outcomes."""

    pattern: Pattern
    rate: Rate | None


def rates(pairs: Sequence[tuple[int, float]]) -> list[Rate | None]:
    """The rates of counts of outcomes and their means; without a count there is none."""
    counts = np.array([count for count, _ in pairs], np.float64)
    means = np.array([mean for _, mean in pairs], np.float64)
    known = np.flatnonzero(counts > 0)
    found: list[Rate | None] = [None] * len(pairs)
    if not len(known):
        return found
    lows, highs = rate_interval(means[known] * counts[known], counts[known], DAY_LEVEL)
    for place, low, high in zip(known.tolist(), lows.tolist(), highs.tolist(), strict=True):
        count, mean = pairs[place]
        found[place] = Rate(mean, low, high, count)
    return found


def rate(count: int, mean: float | None) -> Rate | None:
    """The rate of one mean."""
    return rates([(count, mean or 0.0)])[0]


def rated(patterns: Sequence[Pattern]) -> list[Rated]:
    """Patterns with their rates, in the same order."""
    found = rates([(item.resolved_count, item.success_rate or 0.0) for item in patterns])
    return [Rated(pattern, of) for pattern, of in zip(patterns, found, strict=True)]
