"""From evidence to estimates: pure mathematics, no input, no output, no clock.

Everything here works on NumPy arrays and returns new ones. ``docs/design.md``
tells how the pieces join; the formulas are these.

A *cell* is a (context, pattern) pair with ``n`` resolved tries of mean outcome
``y``. For the pattern ``a`` asked about in a context whose cosine similarity
to that of cell ``j`` is ``c_j``:

    e_j = n_j / (1 + (n_j - 1) / 2)                   effective tries
    m_a = (S_a + kappa mu) / (N_a + kappa)            the pattern's own record
    w_j = e_j exp((c_j - 1) / 0.15)                   weight of a cell
    d   = sum_j w_j (y_j - m_aj) / (sum_j w_j + 0.5)  how the situation deviates
    p_a = (m_a + d + sum_a w_j y_j) / (1 + sum_a w_j)

with ``N_a`` and ``S_a`` the sums of ``e_j`` and ``e_j y_j`` over all cells of
the pattern, and ``mu`` and ``kappa`` from ``population``. The sums run over
the neighbouring cells; those over ``a`` over the pattern's own among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "KERNEL_WIDTH",
    "Cells",
    "Estimates",
    "Population",
    "Records",
    "credible_interval",
    "effective_tries",
    "estimate",
    "fuse",
    "neighbourhood",
    "population",
    "prior_tries",
    "verdict",
]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# Tries in one context repeat each other: design effect with an intraclass
# correlation of 0.5 (Kish 1965, Survey Sampling, 8.2). A loop is worth two tries.
REPEAT_CORRELATION = 0.5
# exp((cos - 1) / 0.15) halves every 0.10 of cosine: chosen on the development
# logs of prediction benchmarks among 0.1 to 0.4.
KERNEL_WIDTH = 0.15
# Pseudo-tries that keep a few neighbours from ruling: of the pattern's own
# record against its own tries nearby, and of "no deviation" against all tries.
LOCAL_PRIOR = 1.0
SITUATION_PRIOR = 0.5
# Prior strength: bounds, and the value with fewer than three patterns.
KAPPA_BOUNDS = (10.0, 50.0)
KAPPA_DEFAULT = 15.0
# Shares of the outcome's variance that stay unknown in a given context: without
# any evidence nearby, and with any amount of it.
SPREAD_AWAY, SPREAD_FLOOR = 0.25, 0.10
# An imported aggregate is weighed as a fifth of its tries, and as five at most:
# nobody saw the single tries, and file memories mostly kept their successes.
PRIOR_WEIGHT, PRIOR_CAP = 0.2, 5.0
# Effective tries that a recommendation needs.
ENOUGH = 3.0
BOUNDS = (0.01, 0.99)
# Quantiles are sought between odds of e-36 and e36: 1 - 2e-16 is next to 1 in float64.
LOG_ODDS = 36.0
# Reciprocal rank fusion; the constant of Cormack, Clarke & Buettcher (2009, SIGIR).
RRF_K = 60


@dataclass(frozen=True, slots=True)
class Population:
    """All patterns together: mean outcome ``mu`` and how strongly it binds (``kappa`` tries)."""

    mu: float
    kappa: float


@dataclass(frozen=True, slots=True)
class Records:
    """The patterns' own records, one entry each.

    ``tries`` and ``total``: sums of effective tries and of their outcomes.
    ``prior_tries`` and ``prior_total``: the same for imported aggregates,
    already discounted.
    """

    tries: Float64
    total: Float64
    prior_tries: Float64
    prior_total: Float64


@dataclass(frozen=True, slots=True)
class Cells:
    """Neighbouring cells: pattern (index into the records), cosine, tries, mean outcome."""

    pattern: Int64
    similarity: Float64
    tries: Float64
    mean: Float64


@dataclass(frozen=True, slots=True)
class Estimates:
    """One entry per pattern; see ``Answer`` for the meaning, the module for the formulas.

    ``raw`` is the estimate before it is clipped to [0.01, 0.99]. ``weight``
    holds the ``w_j`` of the cells and ``level`` the ``m_a`` of the patterns,
    ``local`` the sum of ``w_j`` over each pattern's own cells.
    """

    raw: Float64
    expected: Float64
    variance: Float64
    n_effective: Float64
    level: Float64
    local: Float64
    weight: Float64
    deviation: Float64


def effective_tries(tries: Float64) -> Float64:
    """What ``tries`` in one context are worth, in [0, 2): n / (1 + 0.5 (n - 1)).

    Examples
    --------
    >>> effective_tries(np.array([0.0, 1.0, 2.0, 1000.0])).round(3)
    array([0.   , 1.   , 1.333, 1.998])

    References
    ----------
    Kish (1965), Survey Sampling, section 8.2: the design effect.
    """
    return tries / (1 + REPEAT_CORRELATION * (np.maximum(tries, 1) - 1))


def prior_tries(count: Float64) -> Float64:
    """What an imported aggregate of ``count`` tries is worth: a fifth, at most 5."""
    return np.minimum(PRIOR_WEIGHT * count, PRIOR_CAP)


def neighbourhood(cells: int) -> int:
    """How many of a store's ``cells`` to look at: 64, 128 from 1,000, 256 from 5,000."""
    return 64 if cells < 1_000 else 128 if cells < 5_000 else 256


def population(
    patterns: int, tries: float, total: float, tries_squared: float, spread: float
) -> Population:
    """Mean outcome of all patterns, and how much alike they are.

    Parameters
    ----------
    patterns
        How many patterns have been tried.
    tries, total
        Sums over patterns of ``N_a`` and ``S_a``.
    tries_squared
        Sum of ``N_a ** 2``.
    spread
        Sum of ``S_a ** 2 / N_a``.

    Returns
    -------
    ``mu = (total + 1) / (tries + 2)``; ``kappa`` is the variance within a
    pattern over that between patterns by the method of moments, in [10, 50],
    and 15 with fewer than three patterns.

    References
    ----------
    Robbins (1956); Efron & Morris (1975), JASA 70:311; the moment estimator
    is that of DerSimonian & Laird (1986), Controlled Clinical Trials 7:177.
    """
    mu = (total + 1) / (tries + 2)
    if patterns < 3 or tries <= 0:
        return Population(mu, KAPPA_DEFAULT)
    mean = total / tries
    within = max(mean * (1 - mean), 1e-9)
    observed = spread - tries * mean**2  # sum of N_a (rate_a - mean) ** 2
    between = (observed - (patterns - 1) * within) / max(tries - tries_squared / tries, 1e-9)
    kappa = within / between if between > 0 else np.inf
    return Population(mu, float(np.clip(kappa, *KAPPA_BOUNDS)))


def estimate(records: Records, cells: Cells, whole: Population) -> Estimates:
    """Expected outcome of each pattern in the context whose neighbouring cells are given.

    Parameters
    ----------
    records
        ``n`` patterns.
    cells
        ``k`` cells, ``k`` may be 0; not modified.
    whole
        The population the patterns are shrunk to.

    Returns
    -------
    Arrays of length ``n``, ``weight`` and ``deviation`` of length ``k``.
    Finite for any input; equal cells in any order give the same up to rounding.
    """
    tries = records.tries + records.prior_tries
    total = records.total + records.prior_total
    level = (total + whole.kappa * whole.mu) / (tries + whole.kappa)
    weight = effective_tries(cells.tries) * np.exp((cells.similarity - 1) / KERNEL_WIDTH)
    deviation = cells.mean - level[cells.pattern]
    situation = (weight @ deviation) / (weight.sum() + SITUATION_PRIOR)
    size = len(level)
    local = np.bincount(cells.pattern, weight, minlength=size).astype(float)
    own = np.bincount(cells.pattern, weight * cells.mean, minlength=size)
    raw = (LOCAL_PRIOR * (level + situation) + own) / (LOCAL_PRIOR + local)
    expected = np.clip(raw, *BOUNDS)
    # The record's own uncertainty, and what is special to a context: the latter
    # shrinks with the tries nearby, never to nothing.
    record = level * (1 - level) / (tries + whole.kappa + 1)
    special = SPREAD_FLOOR + (SPREAD_AWAY - SPREAD_FLOOR) / (LOCAL_PRIOR + local)
    bernoulli = expected * (1 - expected)
    variance = record + special * bernoulli
    n_effective = np.maximum(bernoulli / variance - 1, 1.0)
    return Estimates(raw, expected, variance, n_effective, level, local, weight, deviation)


def verdict(low: float, high: float, tries: float, default: float) -> str:
    """What an interval means for the one who must choose.

    ``recommended``: even the lower bound beats the default level, on at
    least three effective tries. ``worth trying``: the upper bound could.
    ``not recommended``: not even that. ``no evidence``: less than one
    effective try of any kind.
    """
    if tries < 1:
        return "no evidence"
    if low > default and tries >= ENOUGH:
        return "recommended"
    return "worth trying" if high > default else "not recommended"


def fuse(*rankings: list[str]) -> dict[str, float]:
    """Reciprocal rank fusion: for each id the sum of 1 / (60 + rank) over the rankings.

    Examples
    --------
    >>> {name: round(score, 4) for name, score in fuse(["a", "b"], ["b"]).items()}
    {'a': 0.0164, 'b': 0.0325}

    References
    ----------
    Cormack, Clarke & Buettcher (2009), SIGIR, 758-759.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, 1):
            scores[name] = scores.get(name, 0.0) + 1 / (RRF_K + rank)
    return scores


def credible_interval(mean: Float64, size: Float64, level: float) -> tuple[Float64, Float64]:
    """Equal-tailed interval of a Beta distribution by its mean and effective sample size.

    Parameters
    ----------
    mean
        Shape ``(n,)``, in (0, 1).
    size
        Shape ``(n,)``, positive: the distribution is Beta(mean * size, (1 - mean) * size).
    level
        Probability inside, in (0, 1), such as 0.8.

    Returns
    -------
    Lower and upper bounds, each of shape ``(n,)``, in [0, 1], to 1e-9.
    """
    a, b = np.tile(mean * size, 2), np.tile((1 - mean) * size, 2)
    tail = np.repeat([(1 - level) / 2, (1 + level) / 2], len(mean))
    low, high = np.split(_beta_quantile(a, b, tail), 2)
    return low, high


def _beta_quantile(a: Float64, b: Float64, probability: Float64) -> Float64:
    """Newton's method on the log odds, where a Beta distribution is nearly normal.

    Inside a bracket that only ever shrinks; where a step leaves it, halving.
    """
    log_beta = _lgamma(a) + _lgamma(b) - _lgamma(a + b)
    low, high = np.full_like(a, -LOG_ODDS), np.full_like(a, LOG_ODDS)
    # Start at the normal approximation; its quantile by Joiner & Rosenblatt (1971), JASA 66:394.
    z = 4.91 * (probability**0.14 - (1 - probability) ** 0.14)
    odds = np.log(a / b) + z * np.minimum(np.sqrt(1 / a + 1 / b), 1)
    found = np.zeros(a.shape, bool)
    for _ in range(80):
        x = 1 / (1 + np.exp(-odds))
        excess = _beta_cdf(x, a, b, log_beta) - probability
        low, high = np.where(excess < 0, odds, low), np.where(excess < 0, high, odds)
        with np.errstate(all="ignore"):
            step = excess / np.exp(a * np.log(x) + b * np.log1p(-x) - log_beta)
        inside = (odds - step > low) & (odds - step < high)
        found |= (np.abs(step) * x * (1 - x) < 1e-10) & (np.abs(excess) < 1e-6)
        # Beyond the border there are no digits left to find: the quantile is next to 1.
        found |= (odds > LOG_ODDS - 1) & (excess < 0)
        if found.all():
            break
        odds = np.where(found, odds, np.where(inside, odds - step, (low + high) / 2))
    return 1 / (1 + np.exp(-odds))


def _beta_cdf(x: Float64, a: Float64, b: Float64, log_beta: Float64) -> Float64:
    """Regularised incomplete beta function I_x(a, b): DLMF 8.17.4 and 8.17.22."""
    swap = x > (a + 1) / (a + b + 2)  # the fraction converges fast only below this
    x, a, b = np.where(swap, 1 - x, x), np.where(swap, b, a), np.where(swap, a, b)
    with np.errstate(divide="ignore"):
        front = np.exp(a * np.log(x) + b * np.log1p(-x) - log_beta) / a
    # The fraction 1/(1 + f1/(1 + f2/(1 + ...))) by Lentz's method (Thompson & Barnett 1986).
    c, d = np.ones_like(x), 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / (1 + even * d), 1 + even / c
        fraction = fraction * d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + odd * d), 1 + odd / c
        fraction = fraction * d * c
        if np.all(np.abs(d * c - 1) < 1e-13):
            break
    value: Float64 = np.clip(front * fraction, 0, 1)
    return np.where(swap, 1 - value, value)


def _lgamma(x: Float64) -> Float64:
    """Ln of the gamma function for x > 0: Stirling's series above 8 (DLMF 5.11.1), shifted below."""
    shift = np.zeros_like(x)
    for _ in range(8):
        small = x < 8
        shift = shift + np.where(small, np.log(np.where(small, x, 1)), 0)
        x = np.where(small, x + 1, x)
    inverse = 1 / (x * x)
    series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / x
    value: Float64 = (x - 0.5) * np.log(x) - x + 0.5 * np.log(2 * np.pi) + series - shift
    return value
