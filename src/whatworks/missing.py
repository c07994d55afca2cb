"""Missing outcomes: how far they could move an estimate. Pure mathematics."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whatworks import rank

__all__ = ["ENOUGH", "Nearby", "bounds"]

Float64 = NDArray[np.float64]
Sums = tuple[int, float, float, float, float]

# Below this share of known outcomes an estimate is shown with its bounds: with a fifth of the
# outcomes missing they can move the rate of a long record by 0.2, as much as an interval is wide.
ENOUGH = 0.8


@dataclass(frozen=True, slots=True)
class Nearby:
    """Cells near the context asked about, ``k`` of them.

    ``pattern`` is an index into the records, ``similarity`` the centred cosine
    to the context, ``vectors`` are those of the cells' contexts, centred, ``(k,
    dim)``. ``known`` and ``total`` are the effective tries whose outcome is
    known, of which there may be none, and their outcomes; ``missing`` those of
    the pattern asked about that have none.
    """

    pattern: NDArray[np.int64]
    similarity: Float64
    vectors: Float64
    known: Float64
    total: Float64
    missing: Float64

    def cells(self, rate: float | None) -> rank.Cells:
        """The cells with the missing tries left out, or filled in with outcomes of a mean ``rate``."""
        tries = self.known if rate is None else self.known + self.missing
        total = self.total if rate is None else self.total + rate * self.missing
        there = tries > 0
        vectors = self.vectors[there]
        return rank.Cells(
            self.pattern[there],
            self.similarity[there],
            vectors @ vectors.T,
            tries[there],
            total[there] / tries[there],
        )


def bounds(
    own: int,
    records: rank.Records,
    added: tuple[float, float, float],
    near: Nearby,
    sums: Sums,
    learned: rank.Learned,
    raw: float,
    expected: float,
) -> tuple[float, float]:
    """The estimate of a pattern if all its missing tries had failed, and if all had worked.

    Parameters
    ----------
    own
        The pattern's place in ``records``, which hold those of ``near`` too.
    added
        Effective tries that the missing ones would add to its record, and
        what they would change its total by if they had failed (0 or below:
        repeats count less) and if they had worked.
    near
        The nearest cells; what those further away add is held fixed.
    sums
        What ``rank.population`` takes, of all patterns.
    learned
        How local the store's world is; held fixed.
    raw, expected
        The estimate before and after it was cut to its range.

    Returns
    -------
    ``low <= expected <= high``. The missing tries enter the cells nearby,
    the pattern's record and the population, and the estimate is made anew
    from these. Where an end would be on the other side of the estimate, as
    negative weights can make it, it is the estimate.

    References
    ----------
    Worst-case bounds: Manski (1990), American Economic Review 80:319-323.
    """
    asked = [own]
    now = rank.estimate(records, near.cells(None), rank.population(*sums), learned, asked).raw[0]
    ends = []
    for rate, change in enumerate(added[1:]):
        grown = _grown(records, own, added[0], change)
        whole = rank.population(*_summed(sums, records, grown, own))
        then = rank.estimate(grown, near.cells(float(rate)), whole, learned, asked).raw[0]
        ends.append(float(np.clip(raw + then - now, *rank.BOUNDS)))
    return min(ends[0], expected), max(ends[1], expected)


def _grown(records: rank.Records, own: int, tries: float, change: float) -> rank.Records:
    """The records with so many tries more in one of them."""
    grown, total = records.tries.copy(), records.total.copy()
    grown[own] += tries
    total[own] = np.clip(total[own] + change, 0, grown[own])
    return replace(records, tries=grown, total=total)


def _summed(sums: Sums, before: rank.Records, after: rank.Records, own: int) -> Sums:
    """The sums over all patterns when one record has changed."""
    patterns, tries, total, squared, spread = sums
    n, s = float(before.tries[own]), float(before.total[own])
    m, t = float(after.tries[own]), float(after.total[own])
    return (
        patterns + (n == 0 < m),
        tries + m - n,
        total + t - s,
        squared + m * m - n * n,
        spread + (t * t / m if m else 0) - (s * s / n if n else 0),
    )
