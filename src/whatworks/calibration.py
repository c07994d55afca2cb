"""Were the probabilities right? Scores with intervals: pure mathematics, no I/O, no clock.

Rows are pairs of a prediction p and an outcome y, both in [0, 1]; an outcome
may be graded. Rows of one context are not independent: whatever has an
interval is resampled by whole contexts.

    brier       = mean (p - y)^2                              Brier (1950)
                = reliability - resolution + uncertainty + within
    reliability = sum_k n_k (p_k - y_k)^2 / n                 means p_k, y_k of bin k; Murphy (1973)
    resolution  = sum_k n_k (y_k - mean y)^2 / n
    uncertainty = mean (y - mean y)^2                         mean y (1 - mean y) for 0 and 1
    within      = sum_k n_k (var_k p - 2 cov_k(p, y)) / n     Stephenson et al. (2008)
    skill       = 1 - brier / uncertainty                     against the mean, known in hindsight
    log_loss    = -mean (y ln p + (1 - y) ln(1 - p))
    ece         = sum_k n_k |p_k - y_k| / n                   Naeini et al. (2015)

Murphy's parts add up only if all predictions of a bin are the same, and his
uncertainty is that of outcomes of 0 and 1. With the variance of the outcomes
in its place, and the two terms within bins, the sum is exact for any
predictions and for graded outcomes.

References
----------
Brier (1950), Mon. Weather Rev. 78:1-3. Murphy (1973), J. Appl. Meteorol. 12:595-600.
Stephenson, Coelho & Jolliffe (2008), Weather and Forecasting 23:752-757.
Naeini, Cooper & Hauskrecht (2015), AAAI 29:2901-2907.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whatworks.beta import rate_interval
from whatworks.ledgers import ReliabilityBin
from whatworks.rank import effective_tries
from whatworks.records import Estimate

__all__ = [
    "EDGE",
    "FEWEST",
    "PLAIN",
    "bins",
    "chance_error",
    "is_binary",
    "rate",
    "resampled",
    "score_sums",
    "scores",
    "scores_of",
    "table",
    "z_scores",
]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Figures = Mapping[str, Float64]

# Resampling fewer units than this gives intervals that are too narrow (Cameron, Gelbach &
# Miller 2008, Rev. Econ. Stat. 90:414-427, find tests reject too often below about 30).
FEWEST = 30
LEVEL = 0.95
# The ends of a 95 % interval move by about a tenth of its width between seeds.
REPLICATES = 1_000
# More contexts are put together at random to so many units: sums of independent things
# stay independent, and the cost stays bounded.
UNITS = 1_000
# At most ten bins, each of 20 rows or more where there are enough for two.
MOST_BINS, BIN_ROWS = 10, 20
# Columns of ``score_sums`` before those of bins.
PLAIN = 7
# Logarithms and Beta distributions need numbers inside (0, 1).
EDGE = 1e-6

_RANGES = {
    "bias": (-1.0, 1.0),
    "brier": (0.0, 1.0),
    "reliability": (0.0, 1.0),
    "resolution": (0.0, 1.0),
    "uncertainty": (0.0, 0.25),
    "within": (-1.0, 1.0),
    "skill": (-np.inf, 1.0),
    "log_loss": (0.0, np.inf),
    "ece": (0.0, 1.0),
    "ratio": (0.0, np.inf),
}
_ANY = (-np.inf, np.inf)


# -- bins -----------------------------------------------------------------------------------------


def bins(expected: Float64) -> Int64:
    """Number of the bin of each prediction: bins of nearly equal counts, in rising order.

    Equal predictions share a bin, so that the order of rows plays no part.

    Parameters
    ----------
    expected
        Shape ``(n,)``, ``n >= 1``.

    Returns
    -------
    Shape ``(n,)``, from 0 without gaps.
    """
    wanted = max(2, min(MOST_BINS, len(expected) // BIN_ROWS))
    _, place, counts = np.unique(expected, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    number = np.floor(middle * wanted / len(expected))
    return np.unique(number[place], return_inverse=True)[1].astype(np.int64)


def table(
    expected: Float64, outcome: Float64, context: NDArray[Any], bin_of: Int64
) -> tuple[ReliabilityBin, ...]:
    """What was said and what came of it, bin by bin, the lowest predictions first."""
    chosen = [bin_of == number for number in range(int(bin_of.max()) + 1)]
    seen = np.array([outcome[rows].mean() for rows in chosen])
    low, high = _rates(seen, np.array([_independent(context[rows]) for rows in chosen]))
    return tuple(
        ReliabilityBin(
            least=float(expected[rows].min()),
            most=float(expected[rows].max()),
            outcomes=int(rows.sum()),
            mean_prediction=float(expected[rows].mean()),
            mean_outcome=float(seen[n]),
            low=float(low[n]),
            high=float(high[n]),
        )
        for n, rows in enumerate(chosen)
    )


def rate(outcome: Float64, context: NDArray[Any]) -> Estimate:
    """The mean outcome with its 95 % interval, that of a rate under Jeffreys' prior.

    Good where all outcomes are the same, which resampling is not. n rows of one
    context count as many as ``rank.effective_tries`` says. For graded outcomes
    the interval is on the safe side.

    Parameters
    ----------
    outcome, context
        Shape ``(n,)``, ``n >= 1``.
    """
    mean = float(outcome.mean())
    low, high = _rates(np.array([mean]), np.array([_independent(context)]))
    return Estimate(mean, float(low[0]), float(high[0]))


def _rates(mean: Float64, size: Float64) -> tuple[Float64, Float64]:
    """Bounds of rates by their means and numbers of tries; they hold the means."""
    low, high = rate_interval(mean * size, size, LEVEL)
    return np.minimum(low, mean), np.maximum(high, mean)


def _independent(context: NDArray[Any]) -> float:
    """How many independent rows these rows are worth."""
    _, counts = np.unique(context, return_counts=True)
    return float(effective_tries(counts.astype(float)).sum())


# -- scores ---------------------------------------------------------------------------------------


def scores(
    expected: Float64, outcome: Float64, context: NDArray[Any], bin_of: Int64, *, seed: int
) -> dict[str, Estimate | None]:
    """All scores of the head of this module, each with a 95 % interval.

    Parameters
    ----------
    expected, outcome
        Shape ``(n,)``, in [0, 1], ``n >= 1``.
    context
        Shape ``(n,)``; rows with the same value are resampled together.
    bin_of
        Of ``bins``.
    seed
        The same seed, rows and contexts give the same intervals, in any order.

    Returns
    -------
    By name; ``None`` where a score is not defined: there is no skill against
    outcomes that are all the same. Also ``bias``, mean prediction minus mean
    outcome.
    """
    return resampled(score_sums(expected, outcome, bin_of), context, scores_of, seed=seed)


def score_sums(expected: Float64, outcome: Float64, bin_of: Int64) -> Iterator[Float64]:
    """What the scores are sums of, one value a row: ``PLAIN`` columns, then three times one a bin."""
    inside = np.clip(expected, EDGE, 1 - EDGE)
    yield np.ones_like(expected)
    yield expected
    yield outcome
    yield expected**2
    yield expected * outcome
    yield outcome**2
    yield -(outcome * np.log(inside) + (1 - outcome) * np.log1p(-inside))
    for part in (1.0, expected, outcome):
        for number in range(int(bin_of.max()) + 1):
            yield (bin_of == number) * part


def scores_of(sums: Float64) -> dict[str, Float64]:
    """The scores from sums of ``score_sums``, along the last axis."""
    n, p, y, pp, py, yy, loss = np.moveaxis(sums[..., :PLAIN], -1, 0)
    n_k, p_k, y_k = np.split(sums[..., PLAIN:], 3, axis=-1)
    size = np.maximum(n_k, 1)  # an empty bin adds nothing
    brier = (pp - 2 * py + yy) / n
    uncertainty = np.maximum(yy / n - (y / n) ** 2, 0)
    within = pp - (p_k**2 / size).sum(-1) - 2 * (py - (p_k * y_k / size).sum(-1))
    varied = uncertainty > 1e-12
    return {
        "bias": (p - y) / n,
        "brier": np.maximum(brier, 0),
        "reliability": ((p_k - y_k) ** 2 / size).sum(-1) / n,
        "resolution": np.maximum((y_k**2 / size).sum(-1) - y**2 / n, 0) / n,
        "uncertainty": uncertainty,
        "within": within / n,
        "skill": np.where(varied, 1 - brier / np.where(varied, uncertainty, 1), np.nan),
        "log_loss": loss / n,
        "ece": np.abs(p_k - y_k).sum(-1) / n,
    }


def chance_error(expected: Float64, outcome: Float64, context: NDArray[Any], bin_of: Int64) -> float:
    """The ECE to expect if every prediction were true: it is never 0, chance alone makes some.

    The mean outcome of a bin is then nearly normal around the mean prediction,
    with a mean absolute deviation of sqrt(2 / pi) standard deviations, of
    variance p (1 - p); where outcomes are graded, of the share of it that
    they have.
    """
    chance = expected * (1 - expected)
    crowd = len(expected) / _independent(context)
    if not is_binary(outcome):
        crowd *= min(1.0, float(((outcome - expected) ** 2).sum() / max(chance.sum(), EDGE)))
    deviation = np.sqrt(np.bincount(bin_of, chance) * crowd)
    return float(np.sqrt(2 / np.pi) * deviation.sum() / len(expected))


def is_binary(outcome: Float64) -> bool:
    """Whether all outcomes are 0 or 1."""
    return bool(np.isin(outcome, (0.0, 1.0)).all())


def z_scores(
    expected: Float64, outcome: Float64, context: NDArray[Any]
) -> tuple[float | None, float | None]:
    """Two tests of "every prediction is true", each standard normal if that is so.

    The first weighs all rows alike: above 0, predictions are too high on
    average. The second weighs them by 1 - 2 p, as the statistic of
    Spiegelhalter (1986), Statistics in Medicine 5:421-433, but less the mean
    of these weights, so that a mean difference alone does not move it: above
    0, the slope of outcomes on predictions is below 1. The variance is
    the larger one of that of the contexts' sums, which allows for what their
    rows share and for graded outcomes, and, where all outcomes are 0 or 1,
    Spiegelhalter's own, which is right where the outcomes happen to be all
    the same.

    Returns
    -------
    ``None`` where the variance is 0.
    """
    _, number = np.unique(context, return_inverse=True)
    chance = expected * (1 - expected)
    found: list[float | None] = []
    for weight in (-np.ones_like(expected), 2 * (expected.mean() - expected)):
        sums = np.bincount(number, weight * (outcome - expected))
        true = float((weight**2 * chance).sum()) if is_binary(outcome) else 0.0
        variance = max(float((sums**2).sum()), true)
        found.append(float(sums.sum() / np.sqrt(variance)) if variance > 1e-12 else None)
    return found[0], found[1]


# -- resampling -----------------------------------------------------------------------------------


def resampled(
    columns: Iterable[Float64],
    context: NDArray[Any],
    figures: Callable[[Float64], Figures],
    *,
    seed: int,
) -> dict[str, Estimate | None]:
    """Figures of sums, with 95 % intervals from a bootstrap by whole contexts.

    Intervals are the basic ones (Davison & Hinkley 1997, Bootstrap Methods,
    5.2): twice the value minus the quantiles of the replicates. Figures such
    as the ECE come out too high in every sample, and in a sample of a sample
    again; the basic interval takes that back, quantiles themselves would
    double it. They are cut to what is possible and hold the value.

    Parameters
    ----------
    columns
        m columns of shape ``(n,)``; their sums are what ``figures`` takes.
    context
        Shape ``(n,)``; rows with the same value are drawn together.
    figures
        From shape ``(..., m)`` to named arrays of shape ``(...)``; NaN where
        undefined, which gives ``None``.
    """
    random = np.random.default_rng(seed)
    _, number = np.unique(context, return_inverse=True)
    units = int(number.max()) + 1
    if units > UNITS:
        number, units = random.permutation(units)[number] % UNITS, UNITS
    sums = np.stack([np.bincount(number, column, units) for column in columns], 1)
    drawn = random.integers(units, size=(REPLICATES, units)) + units * np.arange(REPLICATES)[:, None]
    times = np.bincount(drawn.ravel(), minlength=REPLICATES * units).reshape(REPLICATES, units)
    values, replicates = figures(sums.sum(0)), figures(times.astype(float) @ sums)
    return {name: _figure(float(values[name]), replicates[name], _range(name)) for name in values}


def _range(name: str) -> tuple[float, float]:
    return _RANGES.get(name.removesuffix("_before").removesuffix("_after"), _ANY)


def _figure(value: float, replicates: Float64, range_: tuple[float, float]) -> Estimate | None:
    replicates = replicates[np.isfinite(replicates)]
    if not np.isfinite(value) or not len(replicates):
        return None
    tail = (1 - LEVEL) / 2
    low, high = 2 * value - np.quantile(replicates, [1 - tail, tail])
    return Estimate(
        value, float(min(max(low, range_[0]), value)), float(max(min(high, range_[1]), value))
    )
