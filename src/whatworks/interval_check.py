"""Do intervals for a chance hold it, when all that is seen are outcomes? Pure mathematics."""

from __future__ import annotations

from math import erf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whatworks.beta import beta_cdf
from whatworks.calibration import EDGE, resampled
from whatworks.records import Estimate

__all__ = ["interval_coverage", "repeats"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# The normal quantile of 0.9: an 80 % interval reaches so many standard deviations.
INTERVAL_Z = 1.2816


def repeats(context: NDArray[Any], pattern: NDArray[Any]) -> tuple[Int64, Int64]:
    """Rows after which the same pattern was tried again in the same context, and those next rows.

    Rows are in the order of time.
    """
    order = np.lexsort((pattern, context))  # stable: time stays the last key
    first, then = order[:-1], order[1:]
    same = (context[first] == context[then]) & (pattern[first] == pattern[then])
    return first[same], then[same]


def interval_coverage(
    expected: Float64,
    low: Float64,
    high: Float64,
    n_effective: Float64,
    outcome: Float64,
    context: NDArray[Any],
    pairs: tuple[Int64, Int64],
    *,
    seed: int,
) -> tuple[Estimate | None, Estimate | None]:
    """How often the intervals hold the true rate, and how many times as wide they should be.

    An interval speaks of the rate q of a pattern in a situation; what is seen
    is one outcome, 0 or 1, which is inside hardly any interval. Nor can it be
    asked whether the *mean* outcome of many rows is inside their mean
    interval: deviations of many situations cancel each other, and much too
    narrow intervals would pass. One outcome in each situation says nothing of
    the width at all: if q is Beta(p, n), the outcome is 1 with chance p
    whatever n is.

    Two outcomes in the same situation do. If q varies around p as promised,
    with variance v = p (1 - p) / (n + 1), a first outcome y that deviates from
    p tells of the next one, y', by Beta-binomial updating

        E[y' - p | y] = (y - p) / (n + 1)

    and the ratio of both sides, summed with weights y - p over all repeats,

        D = d sum (y - p) (y' - p) / sum ((y - p)^2 / (n + 1))

    is the true over the promised variance of q. Because it looks at the second
    outcome given the first, it is right even if only failures are tried
    again. d = sum (y - p)^2 / sum p (1 - p) over all rows allows, roughly, for
    graded outcomes, which vary less than 0 and 1 do. The rate is taken to be
    the same in both tries: where it changes in between, D comes out too small.

    Coverage is the mean chance of the stored intervals under Beta
    distributions with D times the variance: 0.8 for D = 1. Width is sqrt(D).
    No Beta distribution is wider than p (1 - p), but rates can be where they
    were never expected: if a normal distribution of that width is inside less
    often, its chance is taken.

    Parameters
    ----------
    expected, low, high, n_effective, outcome, context
        Shape ``(n,)``, one row each prediction, in the order of time.
    pairs
        Of ``repeats``.

    Returns
    -------
    Coverage and width with 95 % intervals, ``None`` where nothing repeats.
    """
    first, then = pairs
    p = np.clip(expected, EDGE, 1 - EDGE)
    size = np.maximum(n_effective, EDGE)
    columns = np.zeros((4, len(p)))
    columns[0], columns[1] = (outcome - p) ** 2, p * (1 - p)
    deviation = outcome[first] - p[first]
    columns[2, first] = deviation * (outcome[then] - p[first])
    columns[3, first] = deviation**2 / (size[first] + 1)
    found = resampled(columns, context, _ratio, seed=seed)["ratio"]
    if found is None:
        return None, None
    bounds = [max(ratio, 0.0) for ratio in (found.value, found.low, found.high)]
    held = [_held(p[first], low[first], high[first], size[first], ratio) for ratio in bounds]
    width = [float(np.sqrt(ratio)) for ratio in bounds]
    return Estimate(held[0], min(held), max(held)), Estimate(*width)


def _ratio(sums: Float64) -> dict[str, Float64]:
    squares, promised, product, told = np.moveaxis(sums, -1, 0)
    scale = promised * told
    defined = scale > 1e-12
    return {"ratio": np.where(defined, product * squares / np.where(defined, scale, 1), np.nan)}


def _held(p: Float64, low: Float64, high: Float64, size: Float64, ratio: float) -> float:
    """Mean chance of the intervals if the variance is ``ratio`` times that of ``size``."""
    if ratio <= 0:
        return 1.0  # the rates are what was expected, and every interval holds that
    true = np.clip((size + 1) / ratio - 1, 0.01, 1e5)  # what ``beta_cdf`` is exact for
    inside = float((beta_cdf(high, p, true) - beta_cdf(low, p, true)).mean())
    return min(inside, erf(INTERVAL_Z / sqrt(2 * ratio)))
