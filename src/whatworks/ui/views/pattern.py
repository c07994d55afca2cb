"""One pattern: its record, how it develops, where it was tried, what forgetting it would take."""

from __future__ import annotations

from dataclasses import dataclass

from whatworks.memory import Memory
from whatworks.records import ContextMap, Forgotten, Pattern, Trend, UsageEvent
from whatworks.ui.asked import Asked
from whatworks.ui.figures import Rate, rated

__all__ = ["PER_PAGE", "ForgetPage", "PatternPage", "contexts", "forget", "pattern", "would_forget"]

PER_PAGE = 25
# Further back than this, events are better exported than leafed through.
MOST_PAGES = 40


@dataclass(frozen=True, slots=True)
class PatternPage:
    """A pattern, and a page of its tries, the newest first."""

    pattern: Pattern
    rate: Rate | None
    trend: Trend
    events: list[UsageEvent]
    page: int
    more: bool


@dataclass(frozen=True, slots=True)
class ForgetPage:
    """A pattern, and how much would go with it."""

    pattern: Pattern
    would_go: Forgotten


def pattern(memory: Memory, asked: Asked) -> PatternPage:
    """Asked with ``id``, ``days`` (of the moving average) and ``page``."""
    name, page = asked.needed("id"), asked.count("page", 1, most=MOST_PAGES)
    found = rated([memory.get_pattern(name)])[0]
    trend = memory.trend(name, window_days=asked.count("days", 7, most=365))
    events = memory.events(name, limit=page * PER_PAGE + 1)
    shown = events[(page - 1) * PER_PAGE : page * PER_PAGE]
    more = len(events) > page * PER_PAGE and page < MOST_PAGES
    return PatternPage(found.pattern, found.rate, trend, shown, page, more)


def contexts(memory: Memory, asked: Asked) -> ContextMap:
    """Asked with ``id``."""
    return memory.context_map(asked.needed("id"))


def forget(memory: Memory, asked: Asked) -> Pattern:
    """The pattern that may be forgotten; asked with ``id``."""
    return memory.get_pattern(asked.needed("id"))


def would_forget(memory: Memory, asked: Asked) -> ForgetPage:
    """How much would go; asked with ``id``, and nothing is forgotten by looking."""
    found = memory.get_pattern(asked.needed("id"))
    return ForgetPage(found, memory.forget(found.pattern_id, dry_run=True))
