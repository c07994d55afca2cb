"""The Beta distribution: intervals of a rate, exact and without SciPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["JEFFREYS", "beta_cdf", "credible_interval", "rate_interval"]

Float64 = NDArray[np.float64]

# Jeffreys' prior of a rate, Beta(1/2, 1/2): half a success and half a failure; Jeffreys (1946),
# Proceedings of the Royal Society A 186:453.
JEFFREYS = 0.5
# Quantiles are sought between odds of e-24 and e24, which are 4e-11 from 0 and 1.
LOG_ODDS = 24.0
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
    a, b = np.tile(mean * size, 2), np.tile((1 - mean) * size, 2)
    tail = np.repeat([(1 - level) / 2, (1 + level) / 2], len(mean))
    low, high = np.split(_beta_quantile(a, b, tail), 2)
    return low, high


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


def _beta_quantile(a: Float64, b: Float64, probability: Float64) -> Float64:
    """Halley's method on the log odds, where a Beta distribution is nearly normal.

    Its error is about the cube of the step before, as a share of the standard
    deviation. Inside a bracket that only ever shrinks; where a step leaves it, halving.
    """
    log_beta = _lgamma(a) + _lgamma(b) - _lgamma(a + b)
    low, high = np.full_like(a, -LOG_ODDS), np.full_like(a, LOG_ODDS)
    # Start at the normal approximation; its quantile by Joiner & Rosenblatt (1971), JASA 66:394.
    z = 4.91 * (probability**0.14 - (1 - probability) ** 0.14)
    deviation = np.minimum(np.sqrt(1 / a + 1 / b), 1)
    odds = np.log(a / b) + z * deviation
    found = np.zeros(a.shape, bool)
    for _ in range(80):
        x = 1 / (1 + np.exp(-odds))
        excess = _beta_cdf(x, a, b, log_beta) - probability
        low, high = np.where(excess < 0, odds, low), np.where(excess < 0, high, odds)
        with np.errstate(all="ignore"):
            step = excess / np.exp(a * np.log(x) + b * np.log1p(-x) - log_beta)
            # The density of the log odds grows by a - (a + b) x; far from the quantile it misleads.
            bend = 0.5 * step * (a - (a + b) * x)
            step = np.where(np.abs(bend) < 0.5, step / (1 - bend), step)
        inside = (odds - step > low) & (odds - step < high)
        done = inside & (np.abs(step) < 1e-3 * deviation) & (np.abs(excess) < 1e-3)
        # What is left beyond the borders is less than what is promised.
        done |= (odds > LOG_ODDS - 1) & (excess < 0)
        done |= (odds < 1 - LOG_ODDS) & (excess > 0)
        odds = np.where(found, odds, np.where(inside, odds - step, (low + high) / 2))
        found |= done
        if found.all():
            break
    return 1 / (1 + np.exp(-odds))


def _beta_cdf(x: Float64, a: Float64, b: Float64, log_beta: Float64) -> Float64:
    """Regularised incomplete beta function I_x(a, b): DLMF 8.17.4 and 8.17.22."""
    if len(x) > BLOCK:  # the terms of all take a kilobyte for each
        starts = range(BLOCK, len(x), BLOCK)
        blocks = zip(*(np.split(part, starts) for part in (x, a, b, log_beta)), strict=True)
        return np.concatenate([_beta_cdf(*block) for block in blocks])
    swap = x > (a + 1) / (a + b + 2)  # the fraction converges fast only below this
    x, a, b = np.where(swap, 1 - x, x), np.where(swap, b, a), np.where(swap, a, b)
    with np.errstate(divide="ignore"):
        front = np.exp(a * np.log(x) + b * np.log1p(-x) - log_beta) / a
    # The fraction 1/(1 + f1/(1 + f2/(1 + ...))) from its end, which takes few operations; where it
    # may end was found by Lentz's method (Thompson & Barnett 1986), to 1e-13 for sizes up to a million.
    terms = int(min(MOST_TERMS, 20 + np.sqrt(np.max(a + b, initial=0.0))))
    m = np.arange(1, terms + 1)[:, None]
    even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    tail = np.ones_like(x)
    for n in range(terms - 1, -1, -1):
        tail = 1 + even[n] / (1 + odd[n] / tail)
    fraction = 1 / (1 - (a + b) * x / (a + 1) / tail)
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
