"""Two patterns side by side."""

from __future__ import annotations

from dataclasses import dataclass

from whatworks import trends
from whatworks.errors import ModelMismatchError
from whatworks.memory import Memory
from whatworks.records import Trend
from whatworks.ui.asked import Asked
from whatworks.ui.figures import Rated, rated

__all__ = ["ComparePage", "Compared", "Gap", "compare"]

NEIGHBOURS = 8


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the two: its record and its trend."""

    rated: Rated
    trend: Trend


@dataclass(frozen=True, slots=True)
class Gap:
    """The first one's mean outcome minus the second's, with a 90 % credible interval.

    ``probability`` is that of the first one being better. ``None`` where one of
    them has no outcomes.
    """

    change: float | None
    low: float | None
    high: float | None
    probability: float | None


@dataclass(frozen=True, slots=True)
class ComparePage:
    """Both patterns, or one and those that are like it, to choose the other from.

    ``whole`` compares all outcomes, ``recent`` those of each one's last window.
    Contexts are not held alike: a pattern that is kept for hard cases looks worse.
    """

    a: Compared | None
    b: Compared | None
    whole: Gap | None
    recent: Gap | None
    neighbours: list[Rated]


def compare(memory: Memory, asked: Asked) -> ComparePage:
    """Asked with ``a``, ``b`` and ``days``."""
    window = asked.count("days", 7, most=365)
    a, b = (_compared(memory, asked.id(name), window) for name in ("a", "b"))
    if a is None or b is None:
        return ComparePage(a, b, None, None, _like(memory, a or b))
    return ComparePage(a, b, _whole(a, b), _recent(a, b), [])


def _compared(memory: Memory, name: str, window: int) -> Compared | None:
    if not name:
        return None
    return Compared(rated([memory.get_pattern(name)])[0], memory.trend(name, window_days=window))


def _like(memory: Memory, one: Compared | None) -> list[Rated]:
    if one is None:
        return rated(memory.patterns(limit=NEIGHBOURS))
    pattern = one.rated.pattern
    try:
        found = memory.find_similar(pattern.description, limit=NEIGHBOURS + 1)
    except ModelMismatchError:  # of another embedder: whatever there is will do to choose from
        return [item for item in rated(memory.patterns(limit=NEIGHBOURS)) if item.pattern != pattern]
    return rated([hit.pattern for hit in found if hit.pattern_id != pattern.pattern_id][:NEIGHBOURS])


def _whole(a: Compared, b: Compared) -> Gap:
    sides = [
        (item.rated.pattern.resolved_count, item.rated.pattern.success_rate or 0.0) for item in (a, b)
    ]
    return _gap(sides)


def _recent(a: Compared, b: Compared) -> Gap:
    days = [next((day for day in item.trend.days if day.moving_count), None) for item in (a, b)]
    return _gap([(day.moving_count, day.moving_avg or 0.0) if day else (0, 0.0) for day in days])


def _gap(sides: list[tuple[int, float]]) -> Gap:
    (count, mean), (other, other_mean) = sides
    found = trends.difference(count, count * mean, other, other * other_mean)
    return Gap(found.change, found.low, found.high, found.probability)
