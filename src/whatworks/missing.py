"""Missing outcomes: how many there are, and how far they could move an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whatworks import rank

__all__ = ["ENOUGH", "bounds", "coverage", "worth_bounds"]

Float64 = NDArray[np.float64]

# Below this share of known outcomes an estimate is shown with its bounds: with a fifth of the
# outcomes missing they can move the rate of a long record by 0.2, as much as an interval is wide.
ENOUGH = 0.8
_NO_CELLS = rank.Cells(np.empty(0, np.int64), np.empty(0), np.empty((0, 0)), np.empty(0), np.empty(0))


def coverage(resolved: int, missing: int) -> dict[str, Any]:
    """What a receipt says of a pattern's outcomes; ``coverage`` is ``None`` without any try."""
    tries = resolved + missing
    share = resolved / tries if tries else None
    return {"resolved": resolved, "missing": missing, "coverage": share, "bounds": None}


def worth_bounds(told: dict[str, Any]) -> bool:
    """Whether so many outcomes are missing that an estimate needs its bounds."""
    return bool(told["missing"]) and told["coverage"] < ENOUGH


def bounds(
    records: rank.Records,
    added: Float64,
    tries: float,
    whole: rank.Population,
    learned: rank.Learned,
    raw: Float64,
    expected: Float64,
) -> tuple[Float64, Float64]:
    """The estimates if all missing tries had failed, and if all had worked.

    Parameters
    ----------
    records
        Of ``n`` patterns.
    added
        Shape ``(n, 3)``: effective tries that the missing ones would add to
        each record, and the change of its total if they had failed (0 or
        below) and if they had worked.
    tries
        Effective tries of all patterns together.
    whole, learned
        Of the estimates.
    raw, expected
        The estimates before and after they were cut to their range.

    Returns
    -------
    Two arrays of length ``n``, ``low <= expected <= high``. The missing tries
    of a pattern enter its own record and the mean of all patterns, by the
    formulas of ``rank`` and under each profile. What the cells nearby add is
    held fixed, and so are the weights of the profiles and ``kappa``.

    References
    ----------
    Worst-case bounds: Manski (1990), American Economic Review 80:319-323.
    """
    ends = np.empty((2, len(added)))
    for n, (grown, *changes) in enumerate(added):
        own = [part[n : n + 1] for part in _parts(records)]
        now = _level(own, 0.0, 0.0, whole, learned)
        for end, change in enumerate(changes):
            # mu = (total + 1) / (tries + 2): see rank.population.
            mu = (whole.mu * (tries + 2) + change) / (tries + 2 + grown)
            then = _level(own, grown, change, rank.Population(mu, whole.kappa), learned)
            ends[end, n] = np.clip(raw[n] + then - now, *rank.BOUNDS)
    # They are on their sides of the estimate already, but for rounding.
    return np.minimum(ends[0], expected), np.maximum(ends[1], expected)


def _parts(records: rank.Records) -> tuple[Float64, Float64, Float64, Float64]:
    return records.tries, records.total, records.prior_tries, records.prior_total


def _level(
    own: Sequence[Float64],
    tries: float,
    total: float,
    whole: rank.Population,
    learned: rank.Learned,
) -> float:
    """A pattern's own record, averaged over the profiles, with so much added to it."""
    grown = own[0] + tries
    moved = rank.Records(grown, np.clip(own[1] + total, 0, grown), own[2], own[3])
    return float(rank.estimate(moved, _NO_CELLS, whole, learned).raw[0])
