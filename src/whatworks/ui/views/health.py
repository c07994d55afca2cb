"""Whether the store is sound, how large it is, and how long pages took."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from whatworks import doctor
from whatworks.memory import Memory
from whatworks.records import Stats
from whatworks.ui.asked import Asked

__all__ = ["HealthPage", "Latencies", "PageTimes", "findings", "health"]


@dataclass(frozen=True, slots=True)
class PageTimes:
    """How long the last ``requests`` of a page took, in milliseconds."""

    path: str
    requests: int
    median_ms: float
    p95_ms: float
    longest_ms: float


@dataclass(frozen=True, slots=True)
class HealthPage:
    """Sizes and state of the layers, and the pages' times."""

    stats: Stats
    times: list[PageTimes]


class Latencies:
    """The times of the last requests, by page."""

    def __init__(self, keep: int = 500) -> None:
        self._last: deque[tuple[str, float]] = deque(maxlen=keep)

    def add(self, path: str, milliseconds: float) -> None:
        """Take one down."""
        self._last.append((path, milliseconds))

    def pages(self) -> list[PageTimes]:
        """By page, in the order of their names."""
        by_path: dict[str, list[float]] = {}
        for path, taken in list(self._last):
            by_path.setdefault(path, []).append(taken)
        return [_times(path, sorted(taken)) for path, taken in sorted(by_path.items())]


def _times(path: str, taken: Sequence[float]) -> PageTimes:
    middle, late = taken[(len(taken) - 1) // 2], taken[ceil(0.95 * len(taken)) - 1]
    return PageTimes(path, len(taken), middle, late, taken[-1])


def health(memory: Memory, times: Latencies) -> HealthPage:
    """Asked with nothing."""
    return HealthPage(memory.stats(), times.pages())


def findings(memory: Memory, asked: Asked) -> list[doctor.Finding]:
    """What the doctor finds; it reads the whole journal, so only on demand."""
    return doctor.examine(memory.stats().path)
