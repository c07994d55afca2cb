"""When the outcomes of a pattern changed: pure mathematics on its tries in the order of time.

For each place s in a series of n cells, of worth ``w`` and mean outcome ``y``, the
means before and after are compared with the mean m of all:

    G_s = 2 (N_before KL(before, m) + N_after KL(after, m)) / d
    z_s = sqrt(G_s (1 / N_before + 1 / N_after) / (1 / N_before + 1 / N_after + 4 M_s))

KL(p, q) = p ln(p / q) + (1 - p) ln((1 - p) / (1 - q)), N is the sum of the worths
and d the variance of the outcomes against that of coin flips, so that the root of G
is a standard deviation; for rates near 0 and 1, where a normal approximation would
raise alarms, it still is. ``M_s`` says how different the *contexts* before and after
are: the squared maximum mean discrepancy of their embeddings. Work that came in
blocks of another kind explains a difference, and a pattern is not to blame for harder
work. The largest ``z`` above the threshold is a change point; the search goes on behind it,
so that what is found is the last one.

References
----------
The likelihood ratio G: Wilks (1938), Annals of Mathematical Statistics 9:60.
Tests at an unknown place: Page (1954), Biometrika 41:100; Hawkins (1977), JASA 72:180.
Discrepancy: Gretton et al. (2012), JMLR 13:723, the unbiased estimate of equation 3.
Only the last of several: binary segmentation, Scott & Knott (1974), Biometrics 30:507.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from whatworks.rank import kernel

__all__ = ["last_change", "suspicious"]

Float64 = NDArray[np.float64]

# Chosen on development logs: with 3.5 chance alone split patterns that were tried rarely, which
# cost a tenth of the skill on biased logs; with 4 it costs nothing, and a break is seen a little later.
THRESHOLD = 4.0
# Effective tries that both sides need.
LEAST = 4.0
# How much a difference of contexts excuses. A pattern's own places alone would give 0.5; more
# costs nothing where the contexts stay the same, and spares patterns whose work comes in blocks.
EXCUSE = 4.0
REACH = 1.0
# Contexts as near as this are of one kind: "ticket 7" and "ticket 31" are no other work.
ALIKE = 0.6
# Graded outcomes vary less than coin flips; so little less is believed of a short series.
LEAST_DISPERSION = 0.1
TINY = 1e-9


def last_change(
    worth: Float64, outcome: Float64, apart: NDArray[np.bool_], vectors: Callable[[], Float64]
) -> int:
    """Where the last regime of a series begins; 0 if it never changed.

    Parameters
    ----------
    worth, outcome
        Shape ``(n,)``: effective tries and mean outcomes of a pattern's cells,
        the oldest first.
    apart
        Shape ``(n - 1,)``: whether time passed between a cell and the next. Of
        what happened at one time nobody knows which came first.
    vectors
        Gives the embeddings of the cells' contexts ``(n, dim)``, of length 1, or
        0 where there is none. Asked for only if the outcomes alone are suspicious.
    """
    start = 0
    known: Float64 | None = None
    apart = np.append(apart, False)
    while len(worth) - start > 1:
        ratios = _ratios(worth[start:], outcome[start:], apart[start:], np.zeros(1, np.int64))[:-1]
        if ratios.max() <= THRESHOLD**2:
            return start
        if known is None:
            known = vectors()
        excused = ratios * _left(worth[start:], known[start:])
        if excused.max() <= THRESHOLD**2:
            return start
        start += int(excused.argmax()) + 1
    return start


def suspicious(
    worth: Float64, outcome: Float64, apart: NDArray[np.bool_], starts: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of several series may have changed: of the others ``last_change`` says 0.

    Parameters
    ----------
    worth, outcome
        As in ``last_change``, one series behind the other, none of them empty.
    apart
        Of the same length; what it says at the end of a series does not count.
    starts
        Where each series begins.
    """
    apart = apart.copy()
    apart[np.append(starts[1:], len(worth)) - 1] = False
    ratios = _ratios(worth, outcome, apart, starts)
    # Sums over many series are rounded otherwise than those over one.
    found: NDArray[np.bool_] = np.maximum.reduceat(ratios, starts) > THRESHOLD**2 - 1e-6
    return found


def _ratios(
    worth: Float64, outcome: Float64, apart: NDArray[np.bool_], starts: NDArray[np.int64]
) -> Float64:
    """The likelihood ratio behind each place of several series, 0 where a side has too few tries."""
    lengths = np.diff(starts, append=len(worth))

    def so_far(values: Float64) -> Float64:
        sums = np.cumsum(values)
        return sums - np.repeat(sums[starts] - values[starts], lengths)

    def whole(values: Float64) -> Float64:
        return np.repeat(np.add.reduceat(values, starts), lengths)

    total, before, sums = whole(worth), so_far(worth), so_far(worth * outcome)
    after, late = total - before, whole(worth * outcome) - sums
    mean = np.clip((sums + late) / total, TINY, 1 - TINY)
    spread = whole(worth * (outcome - mean) ** 2) / total
    dispersion = np.clip(spread / (mean * (1 - mean)), LEAST_DISPERSION, 1.0)
    late = late / np.maximum(after, TINY)
    ratio = before * _divergence(sums / before, mean) + after * _divergence(late, mean)
    enough = (before >= LEAST) & (after >= LEAST) & apart
    return np.where(enough, 2 * ratio / dispersion, 0.0)


def _left(worth: Float64, vectors: Float64) -> Float64:
    """What the contexts leave of the ratio at each place, in (0, 1]."""
    before = np.cumsum(worth)[:-1]
    noise = 1 / before + 1 / np.maximum(worth.sum() - before, TINY)
    left: Float64 = noise / (noise + EXCUSE * _discrepancy(worth, vectors))
    return left


def _divergence(rate: Float64, mean: Float64) -> Float64:
    """KL(rate, mean) of coin flips."""
    p = np.clip(rate, TINY, 1 - TINY)
    found: Float64 = p * np.log(p / mean) + (1 - p) * np.log((1 - p) / (1 - mean))
    return found


def _discrepancy(worth: Float64, vectors: Float64) -> Float64:
    """Squared maximum mean discrepancy of the contexts before and after each place, at least 0."""
    cosine = np.minimum(vectors @ vectors.T, ALIKE) / ALIKE
    alike = kernel(cosine, REACH) * np.outer(worth, worth)
    np.fill_diagonal(alike, 0.0)
    sums = alike.cumsum(0).cumsum(1)
    place = np.arange(len(worth) - 1)
    early, whole = sums[place, place], sums[-1, -1]
    cross = sums[place, -1] - early
    late = whole - early - 2 * cross
    before, squares = np.cumsum(worth)[:-1], np.cumsum(worth**2)
    after = worth.sum() - before
    pairs_before = np.maximum(before**2 - squares[:-1], TINY)
    pairs_after = np.maximum(after**2 - (squares[-1] - squares[:-1]), TINY)
    found = early / pairs_before + late / pairs_after - 2 * cross / np.maximum(before * after, TINY)
    least: Float64 = np.maximum(found, 0.0)
    return least
