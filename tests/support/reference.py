"""What a memory must answer, worked out the slow way from plain lists of events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from math import exp, isclose

from whatworks import Memory, Pattern, UsageEvent

Cell = tuple[int, float]


@dataclass
class Sums:
    """All counts that a store keeps of one pattern."""

    used: int = 0
    resolved: int = 0
    outcome_sum: float = 0.0
    last_used_at: datetime | None = None
    effective: float = 0.0
    effective_sum: float = 0.0
    days: dict[date, tuple[int, int, float]] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)


def recompute(events: Iterable[UsageEvent]) -> dict[str, Sums]:
    """Every count of every pattern that has events, from the events alone."""
    found: dict[str, Sums] = defaultdict(Sums)
    for event in events:
        _add(found[event.pattern_id], event)
    for sums in found.values():
        for tries, total in sums.cells.values():
            worth = tries / (1 + 0.5 * (tries - 1))
            sums.effective += worth
            sums.effective_sum += worth * total / tries
    return dict(found)


def _add(sums: Sums, event: UsageEvent) -> None:
    if event.state == "not_used":
        return
    sums.used += 1
    sums.last_used_at = max(filter(None, (sums.last_used_at, event.timestamp)))
    day = event.timestamp.date()
    used, resolved, total = sums.days.get(day, (0, 0, 0.0))
    known = event.state == "resolved"
    outcome = event.outcome if known and event.outcome is not None else 0.0
    sums.days[day] = used + 1, resolved + known, total + outcome
    if not known:
        return
    sums.resolved += 1
    sums.outcome_sum += outcome
    if event.context_id is None:
        sums.effective += 1
        sums.effective_sum += outcome
    else:
        tries, total = sums.cells.get(event.context_id, (0, 0.0))
        sums.cells[event.context_id] = tries + 1, total + outcome


def assert_counts_agree(memory: Memory) -> None:
    """The patterns' counts and the trends of ``memory`` are those of its events."""
    events = list(memory.iter_events())
    assert len({event.event_id for event in events}) == len(events), "an event is there twice"
    expected = recompute(events)
    for pattern in memory.iter_patterns():
        assert_pattern_counts(pattern, expected.get(pattern.pattern_id, Sums()))
    stats = memory.stats()
    assert stats.events == len(events)
    assert stats.resolved == sum(event.state == "resolved" for event in events)
    assert stats.pending == sum(event.state == "pending" for event in events)


def assert_pattern_counts(pattern: Pattern, sums: Sums) -> None:
    """A pattern's own numbers are those of ``sums``."""
    assert (pattern.usage_count, pattern.resolved_count) == (sums.used, sums.resolved)
    assert pattern.last_used_at == sums.last_used_at
    if sums.resolved:
        assert pattern.success_rate is not None
        assert isclose(pattern.success_rate, sums.outcome_sum / sums.resolved, abs_tol=1e-9)
    else:
        assert pattern.success_rate is None


# -- the estimator ----------------------------------------------------------------------------------


def population(records: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """``mu`` and ``kappa`` from the effective tries and totals of the patterns that were tried."""
    tried = [(n, s) for n, s in records if n > 0]
    tries, total = sum(n for n, _ in tried), sum(s for _, s in tried)
    mu = (total + 1) / (tries + 2)
    if len(tried) < 3:
        return mu, 15.0
    mean = total / tries
    within = max(mean * (1 - mean), 1e-9)
    observed = sum(n * (s / n - mean) ** 2 for n, s in tried)
    between = (observed - (len(tried) - 1) * within) / (tries - sum(n * n for n, _ in tried) / tries)
    return mu, min(max(within / between, 10.0), 50.0) if between > 0 else 50.0


def estimate(
    pattern: str,
    records: Mapping[str, tuple[float, float]],
    cells: Sequence[tuple[str, float, int, float]],
    mu: float,
    kappa: float,
) -> float:
    """The expected outcome of ``pattern``; cells are (pattern, cosine, tries, mean outcome)."""

    def level(name: str) -> float:
        tries, total = records.get(name, (0.0, 0.0))
        return (total + kappa * mu) / (tries + kappa)

    def weight(cosine: float, tries: int) -> float:
        return tries / (1 + (tries - 1) / 2) * exp((cosine - 1) / 0.15)

    shift = sum(weight(c, n) * (y - level(name)) for name, c, n, y in cells)
    shift /= sum(weight(c, n) for _, c, n, _ in cells) + 0.5
    own = [(weight(c, n), y) for name, c, n, y in cells if name == pattern]
    value = level(pattern) + shift + sum(w * y for w, y in own)
    return min(max(value / (1 + sum(w for w, _ in own)), 0.01), 0.99)
