"""What works now, what rises, what falls: of all patterns, from their last days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whatworks import trends
from whatworks.beta import JEFFREYS, rate_interval
from whatworks.evidence import windows
from whatworks.findings import Mover, Overview, Working

if TYPE_CHECKING:
    from whatworks.answers import Answers
    from whatworks.evidence.windows import Windows
    from whatworks.keeper import Keeper
    from whatworks.records import Pattern

__all__ = ["overview"]

# The share of patterns that do not change whose change is beyond CHANGE_Z on one side.
ONE_SIDE = 0.05
# Exact intervals are made of so many times as many as are asked for, the best by approximation.
SHORTLIST = 5
NORMAL_95 = 1.96


def overview(keeper: Keeper, answers: Answers, window_days: int, limit: int) -> Overview:
    """The overview of a store: see ``Memory.overview``."""
    evidence = keeper.evidence()
    baseline = trends.BASELINE_WINDOWS * window_days
    seen = windows.windows(evidence, window_days, baseline)
    both = np.flatnonzero((seen.recent > 0) & (seen.before > 0))
    sure = trends.sureness(*(side[both] for side in seen[2:]))
    up, down = both[sure > trends.CHANGE_Z], both[sure < -trends.CHANGE_Z]
    order = dict(zip(both.tolist(), (-np.abs(sure)).tolist(), strict=True))
    rising, falling = (
        sorted(rows.tolist(), key=lambda row: (order[row], row))[:limit] for rows in (up, down)
    )
    best, ends = _best(seen, limit, down)
    untested_count, untested = windows.untested(evidence, limit)
    named = windows.names(evidence, seen.numbers[[*rising, *falling, *best]].tolist())
    found = answers.folded_patterns(sorted({*named.values(), *untested}))

    def of(row: int) -> Pattern | None:
        return found.get(named.get(int(seen.numbers[row]), ""))

    def movers(rows: Sequence[int]) -> tuple[Mover, ...]:
        return tuple(_mover(pattern, seen, row) for row in rows if (pattern := of(row)))

    return Overview(
        until=seen.until,
        window_days=window_days,
        baseline_days=baseline,
        compared=len(both),
        by_chance=ONE_SIDE * len(both),
        working=tuple(
            _working(pattern, seen, row, *end)
            for row, end in zip(best, ends, strict=True)
            if (pattern := of(row))
        ),
        rising=movers(rising),
        rising_count=len(up),
        falling=movers(falling),
        falling_count=len(down),
        untested=tuple(found[name] for name in untested if name in found),
        untested_count=untested_count,
    )


def _best(
    seen: Windows, limit: int, falling: NDArray[np.intp]
) -> tuple[list[int], list[tuple[float, float]]]:
    """The rows with the highest lower bounds, the highest first, and their intervals.

    What is falling worked before, and does not now.
    """
    count, total = seen.recent + seen.before, seen.recent_sum + seen.before_sum
    mean = (total + JEFFREYS) / (count + 2 * JEFFREYS)
    low = mean - NORMAL_95 * np.sqrt(mean * (1 - mean) / (count + 2 * JEFFREYS + 1))
    low[falling] = -np.inf
    rows: NDArray[np.intp] = np.argsort(-low, kind="stable")[: SHORTLIST * limit]
    rows = rows[np.isfinite(low[rows])]
    if not len(rows):
        return [], []
    lows, highs = rate_interval(total[rows], count[rows], trends.DAY_LEVEL)
    order = np.argsort(-lows, kind="stable")[:limit]
    pairs = zip(lows[order].tolist(), highs[order].tolist(), strict=True)
    return rows[order].tolist(), list(pairs)


def _working(pattern: Pattern, seen: Windows, row: int, low: float, high: float) -> Working:
    count = seen.recent[row] + seen.before[row]
    mean = (seen.recent_sum[row] + seen.before_sum[row]) / count
    return Working(pattern, int(count), float(mean), low, high)


def _mover(pattern: Pattern, seen: Windows, row: int) -> Mover:
    count, total, before, before_sum = (float(side[row]) for side in seen[2:])
    _, *told = trends.difference(count, total, before, before_sum)
    change, low, high, probability = (float(value or 0) for value in told)
    means = total / count, before_sum / before
    return Mover(pattern, int(count), means[0], int(before), means[1], change, low, high, probability)
