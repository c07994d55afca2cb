"""What speaks against an estimate, and what would turn the order of two: from a receipt alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from whatworks import rank
from whatworks.records import Contribution

__all__ = ["Turn", "against", "turn"]

# Estimates nearer than this are ranked by other things: see the order of ``predict``.
TIE = 5e-10


def against(parts: Sequence[Contribution], expected: float, default: float) -> tuple[Contribution, ...]:
    """The cells among ``parts`` that pull ``expected`` back to ``default``, in their order.

    Above the default those with a value below 0, below it those above 0; none
    for an estimate that is the default.
    """
    side = expected - default
    return tuple(
        part for part in parts if part.kind in ("tries", "situation") and part.value * side < 0
    )


class Turn(NamedTuple):
    """The cells that make one pattern better than its neighbour.

    ``margin`` is what the better one is ahead by, ``left`` that without
    ``cells``: pairs of a cell's place in the receipt and what it adds to the
    margin, the largest first. ``left`` is 0 or above if all that make the
    margin do not suffice.
    """

    other_id: str
    margin: float
    cells: tuple[tuple[int, float], ...]
    left: float


def turn(answers: Sequence[Mapping[str, Any]], pattern_id: str) -> Turn | None:
    """How a pattern would change places with its neighbour in the order of estimates.

    Parameters
    ----------
    answers
        Of a receipt: with ``expected``, ``raw`` and ``effects``, pairs of a
        cell and its summand.
    pattern_id
        One of them; the first is compared with the second, any other with
        that above it.

    Returns
    -------
    The fewest cells that suffice, the largest first; ``None`` for a pattern
    that is alone. A cell that both answers keep counts by its difference; of
    one that only one of them keeps, the other's summand was too small to keep.
    """
    order = sorted(answers, key=lambda answer: -round(answer["expected"], 9))
    place = next(n for n, answer in enumerate(order) if answer["pattern_id"] == pattern_id)
    if len(order) < 2:
        return None
    upper, lower = (order[0], order[1]) if place == 0 else (order[place - 1], order[place])
    up, down = dict(upper["effects"]), dict(lower["effects"])
    lead = {j: up.get(j, 0.0) - down.get(j, 0.0) for j in up.keys() | down.keys()}
    taken: list[int] = []
    margin = left = _ahead(upper, lower, up, down, taken)
    for j in sorted((j for j in lead if lead[j] > 0), key=lambda j: (-lead[j], j)):
        if left < -TIE:
            break
        taken.append(j)
        left = _ahead(upper, lower, up, down, taken)
    other = lower if place == 0 else upper
    turned = left < -TIE
    return Turn(
        other["pattern_id"],
        margin,
        tuple((j, lead[j]) for j in taken),
        left if turned else max(left, 0.0),
    )


def _ahead(
    upper: Mapping[str, Any],
    lower: Mapping[str, Any],
    up: Mapping[int, float],
    down: Mapping[int, float],
    taken: Sequence[int],
) -> float:
    """How far ``upper`` is ahead of ``lower`` without the cells ``taken``."""
    low, high = rank.BOUNDS
    without = (
        answer["raw"] - sum(effects.get(j, 0.0) for j in taken)
        for answer, effects in ((upper, up), (lower, down))
    )
    best, other = (float(min(max(value, low), high)) for value in without)
    return best - other
