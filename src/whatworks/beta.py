"""The Beta distribution: intervals of a rate, exact and without SciPy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from math import erfc, exp, lgamma, pi, sqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["JEFFREYS", "beta_cdf", "credible_interval", "rate_interval"]

Float64 = NDArray[np.float64]

# Jeffreys' prior of a rate, Beta(1/2, 1/2): half a success and half a failure; Jeffreys (1946),
# Proceedings of the Royal Society A 186:453.
JEFFREYS = 0.5
# Quantiles are sought between odds of e-24 and e24, which are 4e-11 from 0 and 1.
LOG_ODDS = 24.0
# Ends up to so many deviations from the mean are interpolated, from so many successes and failures
# on: Jeffreys' half, which may have been rounded.
FAR, LEAST = 2.0, 0.499
# Exact ends between which it is done: by the spread, which counts as spread / (SPREAD + spread), and by
# evenness. SPREAD was chosen for the smallest error.
PLACES = 15, 9
SPREAD = 3.0
WIDEST = 2 / (2 + SPREAD * LEAST)
LEVELS_KEPT = 16
AT_ONCE = 500  # products of larger matrices take several threads, and longer
# Below, the series of the polygamma functions are those of so much more.
FEW = 3
SIGNS = np.array([-1, 1, -1, 1, -1, 1])[:, None]  # of the cumulants of log odds
FACTORIALS = np.array([1.0, 1, 2, 6, 24, 120])[:, None, None]
# A step of so many deviations is the last one.
CLOSE = 1.5e-3
# Of the continued fraction; enough for a sample of a million.
MOST_TERMS = 500
BLOCK = 2_000


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
    low, high = _log_odds(mean * size, (1 - mean) * size, level)
    return 1 / (1 + np.exp(-low)), 1 / (1 + np.exp(-high))


def rate_interval(total: Float64, count: Float64, level: float) -> tuple[Float64, Float64]:
    """Equal-tailed interval of a rate under Jeffreys' prior.

    Parameters
    ----------
    total, count
        Shape ``(n,)``: sums of outcomes from 0 to 1, and how many there are.
    level
        As in ``credible_interval``.
    """
    size = count + 2 * JEFFREYS
    return credible_interval((total + JEFFREYS) / size, size, level)


def beta_cdf(x: Float64, mean: Float64, size: Float64) -> Float64:
    """Chance of at most ``x`` under a Beta distribution by its mean and effective sample size.

    Parameters
    ----------
    x
        Shape ``(n,)``, in [0, 1].
    mean, size
        As in ``credible_interval``; exact to 1e-9 for sizes from 0.01 to 100,000.
    """
    a, b = mean * size, (1 - mean) * size
    inside = np.clip(x, 1e-300, 1 - 1e-16)
    value = _beta_cdf(inside, a, b, _lgamma(a) + _lgamma(b) - _lgamma(a + b))
    return np.where(x <= 0, 0.0, np.where(x >= 1, 1.0, value))


def _log_odds(a: Float64, b: Float64, level: float) -> Float64:
    """The ends of the interval of Beta(a, b) as log odds, shape ``(2, n)``."""
    if _deviations(level) > FAR:
        return _searched(a, b, level)
    few = np.minimum(a, b) < LEAST
    if not few.any():
        return _interpolated(a, b, level)
    ends = np.empty((2, len(a)))
    ends[:, few] = _searched(a[few], b[few], level)
    ends[:, ~few] = _interpolated(a[~few], b[~few], level)
    return ends


def _interpolated(a: Float64, b: Float64, level: float) -> Float64:
    """The ends between exact ones, off by less than 4e-10 (measured).

    The middle of the ends is ``log(a / b) + (1 / a - 1 / b) * shift``, and they are ``sqrt(spread) *
    half`` from it, where the spread is ``1 / a + 1 / b``. By the expansion of Cornish & Fisher both
    ``shift`` and ``half`` are series of the spread and of ``1 / (a + b)``, so they are smooth; here
    they are polynomials of the spread and of evenness, which is ``4 ab / (a + b)**2``, through
    Chebyshev's points (Trefethen 2013, Approximation Theory and Approximation Practice).
    """
    if len(a) > AT_ONCE:
        blocks = _blocks(AT_ONCE, a, b)
        return np.concatenate([_interpolated(one, other, level) for one, other in blocks], 1)
    spread = 1 / a + 1 / b
    by_spread = _powers(2 / WIDEST * spread / (SPREAD + spread) - 1, PLACES[0])
    by_evenness = _powers(8 / (a + b) / spread - 1, PLACES[1])
    by_both = (_coefficients(level) @ by_spread).reshape(2, *by_evenness.shape)
    shift, half = np.einsum("pen,en->pn", by_both, by_evenness)
    middle, half = np.log(a / b) + (1 / a - 1 / b) * shift, np.sqrt(spread) * half
    return np.array([middle - half, middle + half])


@lru_cache(LEVELS_KEPT)
def _coefficients(level: float) -> Float64:
    """Of ``shift``, by powers of evenness and of the spread, and then of ``half``."""
    # In [0, 1], as powers have it: points with both ends for the spread, without them for evenness.
    at_spread = (1 - np.cos(np.linspace(0, np.pi, PLACES[0]))) / 2
    evenness = (1 - np.cos((np.arange(PLACES[1]) + 0.5) * np.pi / PLACES[1]))[:, None] / 2
    spread = SPREAD * WIDEST * at_spread[1:] / (1 - WIDEST * at_spread[1:])
    size, share = 4 / (spread * evenness), (1 - np.sqrt(1 - evenness)) / 2
    a, b = size * share, size * (1 - share)
    low, high = _searched(a.ravel(), b.ravel(), level).reshape(2, *a.shape)
    shift = ((low + high) / 2 - np.log(a / b)) / (1 / a - 1 / b)
    half = (high - low) / 2 / np.sqrt(spread)
    # Without any spread the first terms of Cornish & Fisher are all there is.
    z = _deviations(level)
    limits = np.repeat([[[-(z * z + 2) / 6]], [[z]]], PLACES[1], 1)
    values = np.concatenate([limits, [shift, half]], 2)
    rows = np.linalg.inv(_powers(2 * evenness.ravel() - 1, PLACES[1]).T)
    columns = np.linalg.inv(_powers(2 * at_spread - 1, PLACES[0]))
    coefficients: Float64 = rows @ values @ columns
    return coefficients.reshape(-1, PLACES[0])


def _powers(x: Float64, count: int) -> Float64:
    """The first powers of ``x`` from 0 on, shape ``(count, n)``."""
    found = np.ones((count, len(x)))
    for before, one in pairwise(found):
        np.multiply(before, x, one)
    return found


def _searched(a: Float64, b: Float64, level: float) -> Float64:
    """The ends by Halley's method.

    On log odds a Beta distribution is nearly normal; how nearly, its cumulants tell.
    """
    ends, deviation = _near_normal(a, b, _deviations(level))
    log_beta = _lgamma(a) + _lgamma(b) - _lgamma(a + b)
    both = (np.tile(part, 2) for part in (a, b, log_beta, np.minimum(deviation, 1)))
    tail = np.repeat([(1 - level) / 2, (1 + level) / 2], len(a))
    begin = np.clip(ends, -LOG_ODDS, LOG_ODDS).ravel()
    return _halley(begin, tail, *both).reshape(2, -1)


def _deviations(level: float) -> float:
    """How many standard deviations on either side hold ``level`` of a normal distribution."""
    tail = (1 - level) / 2
    # Joiner & Rosenblatt (1971), JASA 66:394; then Newton's method.
    z: float = 4.91 * ((1 - tail) ** 0.14 - tail**0.14)
    for _ in range(4):
        z += (erfc(z / sqrt(2)) / 2 - tail) * sqrt(2 * pi) * exp(z * z / 2)
    return z


def _near_normal(a: Float64, b: Float64, z: float) -> tuple[Float64, Float64]:
    """The log odds ``z`` deviations below and above the mean, and their standard deviation.

    By the first six cumulants, which are sums of polygamma functions; the expansion is that of
    Cornish & Fisher, Abramowitz & Stegun (1964), 26.2.49. Off by less than 0.1 deviations from
    half a success or failure on, by less than 0.005 from three (measured, up to two deviations).
    """
    of_a, of_b = np.swapaxes(_polygammas(np.array([a, b])), 0, 1)
    first, variance, *others = of_a + of_b * SIGNS
    mean, deviation = np.log(a / b) + first, np.sqrt(variance)
    k3, k4, k5, k6 = (
        cumulant / scale
        for cumulant, scale in zip(
            others,
            (variance * deviation, variance**2, variance**2 * deviation, variance**3),
            strict=True,
        )
    )
    s, q = z * z, z**4
    alike = (
        (s - 1) / 6 * k3
        + (q - 6 * s + 3) / 120 * k5
        - (q - 5 * s + 2) / 24 * k3 * k4
        + (12 * q - 53 * s + 17) / 324 * k3**3
    )
    apart = z * (
        1
        + (s - 3) / 24 * k4
        - (2 * s - 5) / 36 * k3**2
        + (q - 10 * s + 15) / 720 * k6
        - (3 * q - 24 * s + 29) / 384 * k4**2
        - (2 * q - 17 * s + 21) / 180 * k3 * k5
        + (14 * q - 103 * s + 107) / 288 * k3**2 * k4
        - (252 * q - 1688 * s + 1511) / 7776 * k3**4
    )
    return mean + deviation * np.array([alike - apart, alike + apart]), deviation


def _polygammas(x: Float64) -> Float64:
    """Digamma less the logarithm, and its first five derivatives, of ``x`` of shape ``(2, n)``.

    DLMF 5.11.2 and its derivatives; the terms left out are below 1e-3 of the whole at 3,
    1e-7 at 8. Below ``FEW`` by the recurrence, DLMF 5.15.5.
    """
    small = x < FEW
    found = _polygamma_series(np.where(small, x + FEW, x))
    if small.any():
        few = x[small]
        powers = np.cumprod(np.repeat(-1 / (few + np.arange(FEW)[:, None])[None], 6, 0), 0)
        found[:, small] += (FACTORIALS * powers).sum(1)
        found[0, small] += np.log1p(FEW / few)
    return found


def _polygamma_series(x: Float64) -> Float64:
    i = 1 / x
    s = i * i
    return np.array(
        [
            -i / 2 - s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s / 240))),
            i * (1 + i / 2 + s * (1 / 6 - s * (1 / 30 - s * (1 / 42 - s / 30)))),
            -s * (1 + i + s * (1 / 2 - s * (1 / 6 - s * (1 / 6 - s * 0.3)))),
            i * s * (2 + 3 * i + s * (2 - s * (1 - s * (4 / 3 - s * 3)))),
            -s * s * (6 + 12 * i + s * (10 - s * (7 - s * (12 - s * 33)))),
            i * s * s * (24 + 60 * i + s * (60 - s * (56 - s * (120 - s * 396)))),
        ]
    )


def _halley(
    odds: Float64, probability: Float64, a: Float64, b: Float64, log_beta: Float64, deviation: Float64
) -> Float64:
    """The log odds of quantiles, from log odds near them.

    Halley's method, and behind it what the series for the inverse has of the third power of the step:
    the error is about the fourth power of the step before, as a share of the standard deviation.
    Inside a bracket that only ever shrinks; where a step leaves it, halving.
    """
    low, high = np.full_like(a, -LOG_ODDS), np.full_like(a, LOG_ODDS)
    found, left = odds.copy(), np.arange(len(a))
    for _ in range(80):
        x = 1 / (1 + np.exp(-odds))
        excess = _beta_cdf(x, a, b, log_beta) - probability
        low, high = np.where(excess < 0, odds, low), np.where(excess < 0, high, odds)
        with np.errstate(all="ignore"):
            first = excess / np.exp(a * np.log(x) + b * np.log1p(-x) - log_beta)
            # How the logarithm of the density grows, and how that does; far off they mislead.
            slope, curve = a - (a + b) * x, -(a + b) * x * (1 - x)
            bend = 0.5 * first * slope
            better = first / (1 - bend) + (slope * slope - 2 * curve) / 12 * first**3
            step = np.where(np.abs(bend) < 0.5, better, first)
        inside = (odds - step > low) & (odds - step < high)
        done = inside & (np.abs(step) < CLOSE * deviation) & (np.abs(excess) < CLOSE)
        # What is left beyond the borders is less than what is promised.
        done |= (odds > LOG_ODDS - 1) & (excess < 0)
        done |= (odds < 1 - LOG_ODDS) & (excess > 0)
        odds = np.where(inside, odds - step, (low + high) / 2)
        found[left] = odds
        if done.all():
            break
        rest = ~done
        left, odds, low, high = left[rest], odds[rest], low[rest], high[rest]
        a, b, probability = a[rest], b[rest], probability[rest]
        log_beta, deviation = log_beta[rest], deviation[rest]
    return found


def _beta_cdf(x: Float64, a: Float64, b: Float64, log_beta: Float64) -> Float64:
    """Regularised incomplete beta function I_x(a, b): DLMF 8.17.4 and 8.17.22."""
    if len(x) > BLOCK:  # the terms of all take a kilobyte for each
        return np.concatenate([_beta_cdf(*block) for block in _blocks(BLOCK, x, a, b, log_beta)])
    swap = x > (a + 1) / (a + b + 2)  # the fraction converges fast only below this
    x, a, b = np.where(swap, 1 - x, x), np.where(swap, b, a), np.where(swap, a, b)
    with np.errstate(divide="ignore"):
        front = np.exp(a * np.log(x) + b * np.log1p(-x) - log_beta) / a
    # The fraction 1/(1 + f1/(1 + f2/(1 + ...))) from its end, which takes few operations; where it
    # may end was found by Lentz's method (Thompson & Barnett 1986), to 1e-13 for sizes up to a million.
    most = np.minimum(np.sqrt(a + b), np.maximum(25, 2.5 * np.sqrt(np.minimum(a, b))))
    terms = int(min(MOST_TERMS, 20 + np.max(most, initial=0.0)))
    m = np.arange(1, terms + 1)[:, None]
    even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    tail = np.ones_like(x)
    for one, other in zip(even[::-1], odd[::-1], strict=True):  # tail = 1 + one / (1 + other / tail)
        np.divide(other, tail, tail)
        tail += 1
        np.divide(one, tail, tail)
        tail += 1
    fraction = 1 / (1 - (a + b) * x / (a + 1) / tail)
    value: Float64 = np.clip(front * fraction, 0, 1)
    return np.where(swap, 1 - value, value)


def _blocks(size: int, *parts: Float64) -> Iterator[tuple[Float64, ...]]:
    """Arrays of one length, ``size`` of each at a time."""
    starts = range(size, len(parts[0]), size)
    return zip(*(np.split(part, starts) for part in parts), strict=True)


def _lgamma(x: Float64) -> Float64:
    return np.fromiter(map(lgamma, x.tolist()), float, len(x))
