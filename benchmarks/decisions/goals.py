"""Goals and the reference to be matched, and whether what was measured meets them.

The reference is this project's published target: another implementation, scored
by the same harness on the same development logs. Figures are compared at the
digits they are given with.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "GOALS",
    "HOLDS",
    "REFERENCE",
    "REFERENCE_ONLINE",
    "REFERENCE_ROBUST",
    "Goal",
    "against_reference",
    "within",
    "word",
]

NS = (300, 1_000, 3_000)
DIGITS = {"skill": 3, "gain": 2, "ece": 3}
# (log, figure): {tries: value}
REFERENCE = {
    ("uniform", "skill"): dict(zip(NS, (0.033, 0.055, 0.077), strict=True)),
    ("uniform", "gain"): dict(zip(NS, (0.49, 0.52, 0.57), strict=True)),
    ("uniform", "ece"): {1_000: 0.029},
    ("biased", "skill"): dict(zip(NS, (0.021, 0.054, 0.077), strict=True)),
    ("biased", "gain"): dict(zip(NS, (0.44, 0.48, 0.58), strict=True)),
    ("biased", "ece"): {1_000: 0.051},
}
# These of the reference are from other data, which are kept aside.
REFERENCE_ROBUST = {
    ("drift", "err_broken"): 0.13,
    ("clean", "brier"): 0.1465,
    ("blocks", "brier"): 0.1495,
    ("spam", "shift_spammed"): 0.01,
    ("spam", "picked_spammed"): 0.004,
    ("clean", "auc"): 0.680,
    ("dup", "auc"): 0.679,
}
# Regret against the best single pattern, development data, 1,500 tries.
REFERENCE_ONLINE = {"reference, greedy": 102, "reference, Thompson": 144, "reference, UCB": 26}
# How often an interval of each level should hold the known chance.
HOLDS = {80: (0.78, 0.84), 95: (0.93, 0.97)}
ANY = 9.0  # no bound: beyond every figure


class Goal(NamedTuple):
    """What is asked for: a figure in [low, high], compared at ``digits``."""

    figure: str
    title: str
    target: str
    digits: int
    low: float = -ANY
    high: float = ANY


GOALS = (
    Goal("skill/uniform", "skill, 1,000 tries, uniform *", "at least 0.085", 3, low=0.085),
    Goal("skill/biased", "skill, 1,000 tries, biased *", "at least 0.070", 3, low=0.070),
    Goal("gain/uniform", "gain, 1,000 tries, uniform *", "at least 0.55", 2, low=0.55),
    Goal("gain/biased", "gain, 1,000 tries, biased *", "at least 0.55", 2, low=0.55),
    Goal("ece/uniform", "ECE, 1,000 tries, uniform *", "at most 0.03", 3, high=0.03),
    Goal("ece/biased", "ECE, 1,000 tries, biased *", "at most 0.03", 3, high=0.03),
    Goal("drift", "error after a pattern broke *", "at most 0.10", 2, low=-0.10, high=0.10),
    Goal("regret", "regret online, greedy *", "at most 20", 0, low=-1e9, high=20),
    Goal("regret/ucb", "regret online, UCB *", "at most 20", 0, low=-1e9, high=20),
)


def within(measured: float, low: float, high: float, digits: int) -> bool | None:
    """Whether a figure, rounded, lies in the bounds, ends included; None for NaN.

    Examples
    --------
    >>> within(0.7751, 0.78, 0.84, 2), within(0.774, 0.78, 0.84, 2)
    (True, False)
    """
    return None if measured != measured else low <= round(measured, digits) <= high


def word(met: bool | None) -> str:
    """How a page says it: a miss is a miss."""
    return "not measured" if met is None else "met" if met else "**missed**"


def against_reference(policy: str, figure: str, n: int, measured: float) -> bool | None:
    """Whether a figure is at least as good as the reference's; None without either."""
    target = REFERENCE.get((policy, figure), {}).get(n, float("nan"))
    if target != target:
        return None
    bounds = (-ANY, target) if figure == "ece" else (target, ANY)
    return within(measured, *bounds, DIGITS[figure])
