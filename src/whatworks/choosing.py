"""Which pattern is placed first, and what is withheld: chance, with its probabilities known.

Without exploring and masking the best by expected outcome stands first, always.
With ``explore = e`` the first place is drawn:

    P(first = a) = (1 - e) [a is the best] + e ((1 - f k) P(a is the best one) + f)

over the ``k`` plausible patterns ``a``: those of the best ten, five at most, whose upper bound
reaches the lower bound of the best and that are not advised against. With ``mask = m``
one of the answers worth showing is withheld with probability ``m``, each with the same. What
an answer carries as its propensity counts both: the probability that it is the
first one shown.

``explore = "optimistic"`` draws nothing: first stands the one with the largest
``p_a`` and ``rank.optimism``. In the replays of docs/statistics.md it loses as little on the way as
choosing the best does, and ends better; but it teaches nothing of other policies: its
propensities are 0 and 1.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whatworks.beta import beta_cdf
from whatworks.checks import Chance

__all__ = [
    "Choice",
    "chance_of_best",
    "choose",
    "first_places",
    "placed",
    "plausible",
    "reach",
]

Float64 = NDArray[np.float64]

# Patterns that exploring may put first, and how far down the list it looks for them.
PLAUSIBLE, REACH = 5, 10
# What exploring gives each plausible pattern at least. A logged try is weighed by one over its
# probability: with explore 0.1 no weight is above 200, however sure the estimates were.
FLOOR = 0.05
# Nodes and weights of Gauss and Legendre on [0, 1]: exact up to the fifth power, which the
# product of five distribution functions that are straight within a bin does not exceed.
NODES = (0.5 - 0.15**0.5, 0.5, 0.5 + 0.15**0.5)
SHARES = (5 / 18, 8 / 18, 5 / 18)
# Seeds stay whole numbers in every reader of JSON.
SEED_BITS = 53


@dataclass(frozen=True, slots=True)
class Choice:
    """One draw; patterns are places in the order by expected outcome, the best is 0.

    ``shown`` in the order shown. ``propensity``, shape ``(n,)``: the
    probability of being the first one shown; adds up to 1. ``masked`` was
    withheld, which had probability ``mask_propensity`` for each answer that
    qualified, 0 if none could be withheld.
    """

    shown: tuple[int, ...]
    propensity: Float64
    drawn: int
    masked: int | None
    mask_propensity: float


def reach(limit: int, chance: Chance) -> int:
    """How many of the best patterns must be known to choose ``limit`` of them."""
    return max(limit, REACH) if chance.explore or chance.optimistic else limit


def plausible(low: Float64, high: Float64, advised_against: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The places of the patterns that may be as good as the best one, at most five.

    Parameters
    ----------
    low, high
        Shape ``(n,)``: 80 % intervals, in the order by expected outcome, best first.
    advised_against
        Shape ``(n,)``: the verdict is "not recommended".

    Returns
    -------
    Ascending places. Empty if every pattern is advised against.
    """
    if not len(low):
        return np.empty(0, np.int64)
    return np.flatnonzero((high >= low[0]) & ~advised_against)[:PLAUSIBLE]


def chance_of_best(expected: Float64, spread: Float64) -> Float64:
    """The probability that each pattern's outcome is the largest, by integration.

    Parameters
    ----------
    expected, spread
        Shape ``(k,)``: means in (0, 1) and standard deviations of independent
        Beta distributions; spreads are taken to be between 0.001 and what a
        Beta distribution can have.

    Returns
    -------
    Shape ``(k,)``, adding up to 1 (to 1e-12 up to six patterns): the integral over x of
    ``f_a(x) prod F_b(x)``, the probability with which Thompson sampling picks ``a``. No
    random numbers: the same input gives the same output.

    References
    ----------
    Thompson (1933), Biometrika 25:285.
    """
    bernoulli = expected * (1 - expected)
    size = np.clip(bernoulli / np.maximum(spread, 1e-3) ** 2 - 1, 1e-2, None)
    around = expected[:, None] + np.sqrt(bernoulli / (size + 1))[:, None] * np.linspace(-6, 6, 97)
    grid = np.unique(np.concatenate([np.linspace(0, 1, 65), np.clip(around, 0, 1).ravel()]))
    below = np.array(
        [
            beta_cdf(grid, np.full_like(grid, mean), np.full_like(grid, n))
            for mean, n in zip(expected, size, strict=True)
        ]
    ).reshape(len(expected), len(grid))
    start, rise = below[:, :-1], np.diff(below)
    found = np.zeros_like(expected)
    for node, share in zip(NODES, SHARES, strict=True):
        at = start + node * rise
        for a in range(len(expected)):
            found[a] += share * float(rise[a] @ np.delete(at, a, 0).prod(0))
    shares: Float64 = found / found.sum()
    return shares


def first_places(
    expected: Float64,
    spread: Float64,
    low: Float64,
    high: Float64,
    advised_against: NDArray[np.bool_],
    explore: float,
) -> Float64:
    """With which probability each pattern is drawn for the first place.

    Parameters
    ----------
    expected, spread, low, high, advised_against
        Shape ``(n,)``, in the order by expected outcome: means, standard
        deviations of what is not known, 80 % intervals, verdicts.
    explore
        In [0, 0.5].

    Returns
    -------
    Shape ``(n,)``, adding up to 1; at least ``1 - explore`` for the best, and
    ``explore * 0.05`` for whatever is plausible.
    """
    chances = np.zeros_like(expected)
    if not len(chances):
        return chances
    may = plausible(low, high, advised_against)
    if not explore or not len(may):
        chances[0] = 1.0
        return chances
    best = chance_of_best(expected[may], spread[may])
    chances[may] = explore * ((1 - FLOOR * len(may)) * best + FLOOR)
    chances[0] += 1 - explore
    shares: Float64 = chances / chances.sum()
    return shares


def choose(
    chances: Float64, worth_showing: NDArray[np.bool_], *, limit: int, mask: float, seed: int
) -> Choice:
    """Draw the first place, then whether and what to withhold.

    Parameters
    ----------
    chances
        Shape ``(n,)``: the probabilities of the first place.
    worth_showing
        Shape ``(n,)``: recommended or worth trying, so that it may be withheld.
    limit
        How many are shown.
    mask
        Probability of withholding one of those shown, which never leaves nothing.
    seed
        The same one draws the same.
    """
    if not len(chances):
        return Choice((), chances, 0, None, 0.0)
    chance = random.Random(seed)
    drawn = _draw(chances, chance.random())
    slate = _slate(drawn, len(chances), limit)
    may = _maskable(slate, worth_showing, mask)
    withheld = bool(may) and chance.random() < mask
    masked = may[int(chance.random() * len(may))] if withheld else None
    return Choice(
        shown=tuple(n for n in slate if n != masked),
        propensity=_propensity(chances, worth_showing, limit, mask),
        drawn=drawn,
        masked=masked,
        mask_propensity=mask / len(may) if may else 0.0,
    )


def _draw(chances: Float64, uniform: float) -> int:
    found = int(np.searchsorted(np.cumsum(chances), uniform, side="right"))
    return min(found, int(np.flatnonzero(chances)[-1]))  # the sum may end just below 1


def _slate(first: int, n: int, limit: int) -> list[int]:
    return [first, *(other for other in range(min(n, limit + 1)) if other != first)][:limit]


def _maskable(slate: Sequence[int], worth_showing: NDArray[np.bool_], mask: float) -> list[int]:
    return [n for n in slate if worth_showing[n]] if mask and len(slate) > 1 else []


def _propensity(chances: Float64, worth_showing: NDArray[np.bool_], limit: int, mask: float) -> Float64:
    """The probability of being the first one shown: where the one drawn is withheld, the next is."""
    found = np.zeros_like(chances)
    for first in np.flatnonzero(chances).tolist():
        slate = _slate(first, len(chances), limit)
        may = _maskable(slate, worth_showing, mask)
        lost = mask / len(may) if first in may else 0.0
        found[first] += chances[first] * (1 - lost)
        if lost:
            found[slate[1]] += chances[first] * lost
    return found


def placed(entries: Sequence[Mapping[str, Any]], limit: int, chance: Chance) -> dict[str, Any]:
    """The part of a receipt that says what is shown in which order, and how likely that was.

    Parameters
    ----------
    entries
        The best patterns as a receipt has them, best first: ``reach(...)`` of them.
    limit
        How many are shown.
    chance
        What is left to chance; a seed is made up where it is needed and ``None``.

    Returns
    -------
    ``answers`` are shown; ``unshown`` are those that chance kept from it: together they are
    the same whatever was drawn. ``place`` is the one by expected outcome, from 0. ``draw``
    holds the probabilities of the first place before masking, in the order drawn from.
    """
    explore, mask, risk, seed, optimistic = chance
    if not explore and not mask:
        seed = None
    elif seed is None:
        seed = random.SystemRandom().getrandbits(SEED_BITS)
    chances = _hopeful(entries) if optimistic else _chances(entries, explore)
    shows = np.array([entry["verdict"] in ("recommended", "worth trying") for entry in entries], bool)
    choice = choose(chances, shows, limit=limit, mask=mask, seed=seed or 0)
    told = [
        {**entry, "place": n, "propensity": float(choice.propensity[n])}
        for n, entry in enumerate(entries)
    ]
    named = [n for n in range(len(entries)) if n < limit or chances[n]]
    return {
        "explore": explore,
        "optimistic": optimistic,
        "risk": risk,
        "mask": mask,
        "seed": seed,
        "answers": [told[n] for n in choice.shown],
        "unshown": [told[n] for n in named if n not in choice.shown],
        "explored": bool(choice.drawn),
        "masked": None if choice.masked is None else entries[choice.masked]["pattern_id"],
        "mask_propensity": choice.mask_propensity,
        "draw": [[entries[n]["pattern_id"], float(chances[n])] for n in named if chances[n]],
    }


def _hopeful(entries: Sequence[Mapping[str, Any]]) -> Float64:
    """Certainty for the one with the largest sum of what is expected and hoped for."""
    hope = [entry["expected"] + entry["hope"] for entry in entries]
    chances = np.zeros(len(entries))
    if len(entries):
        chances[int(np.argmax(np.round(hope, 9)))] = 1.0
    return chances


def _chances(entries: Sequence[Mapping[str, Any]], explore: float) -> Float64:
    expected, low, high, size = (
        np.array([entry[key] for entry in entries], float)
        for key in ("expected", "low", "high", "n_effective")
    )
    spread = np.sqrt(expected * (1 - expected) / (size + 1))  # of the Beta distribution shown
    against = np.array([entry["verdict"] == "not recommended" for entry in entries], bool)
    return first_places(expected, spread, low, high, against, explore)
