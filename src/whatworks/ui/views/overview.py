"""The first page: what works now, what moved, what is not known."""

from __future__ import annotations

from dataclasses import dataclass

from whatworks.ledgers import Calibration
from whatworks.memory import Memory
from whatworks.records import Overview, Stats
from whatworks.ui.asked import Asked

__all__ = ["Coverage", "OverviewPage", "calibration", "overview"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of how many tries the outcome is known, and of how many of the newest predictions."""

    tries: int
    known: int
    predictions: int
    closed: int


@dataclass(frozen=True, slots=True)
class OverviewPage:
    """Counts, coverage, and how patterns stand."""

    stats: Stats
    coverage: Coverage
    overview: Overview


def overview(memory: Memory, asked: Asked) -> OverviewPage:
    """Asked with ``days``, the window, and ``limit``."""
    window = asked.count("days", 7, most=365)
    stats = memory.stats()
    tries = stats.resolved + stats.pending + stats.unknown
    return OverviewPage(
        stats,
        Coverage(tries, stats.resolved, stats.shown, stats.shown_resolved),
        memory.overview(window_days=window, limit=asked.count("limit", 8, most=100)),
    )


def calibration(memory: Memory, asked: Asked) -> Calibration:
    """Whether predictions were right; asked with ``since``."""
    return memory.calibration(since=asked.time("since"))
