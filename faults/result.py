"""What a suite measured, what it was to hold, and what came of it with its guard taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Control",
    "Figure",
    "Result",
    "Size",
    "at_least",
    "at_most",
    "none_of",
    "not_run",
    "quantile",
]

Size = Literal["smoke", "full"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its goal; ``safety`` marks those that no machine is too slow for."""

    what: str
    value: float
    unit: str
    goal: str
    held: bool
    safety: bool = False


@dataclass(frozen=True, slots=True)
class Control:
    """The null control: which guard was taken out, and whether the suite found that out."""

    guard: str
    found: bool
    said: str


@dataclass(frozen=True, slots=True)
class Result:
    """What ``run(size, seed, folder)`` of a suite returns.

    ``options`` is all that is needed to repeat the run beside its size and
    seed. ``notes`` name each failure so that it can be made again.
    ``not_run`` says what was missing, where a suite could not run.
    """

    figures: tuple[Figure, ...] = ()
    options: str = ""
    control: Control | None = None
    notes: tuple[str, ...] = ()
    not_run: str = ""

    @property
    def sound(self) -> bool:
        """Nothing was lost, and the control was found out."""
        lost = any(figure.safety and not figure.held for figure in self.figures)
        return not lost and (self.control is None or self.control.found)


def at_most(what: str, value: float, goal: float, unit: str) -> Figure:
    """A figure that is better small; missing it is no error, for machines are noisy."""
    return Figure(what, value, unit, f"<= {goal:,g}", value <= goal)


def at_least(what: str, value: float, goal: float, unit: str) -> Figure:
    """A figure that is better large; missing it is no error."""
    return Figure(what, value, unit, f">= {goal:,g}", value >= goal)


def none_of(what: str, count: int, among: int, unit: str = "") -> Figure:
    """Something that must never happen, and among how many it was looked for: 0 of 0 is no proof."""
    held = count == 0 and among > 0
    return Figure(what, count, f"of {among:,} {unit}".rstrip(), "0", held, safety=True)


def not_run(why: str) -> Result:
    """The result of a suite that cannot run here."""
    return Result(not_run=why)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
