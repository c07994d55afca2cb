"""What a memory must answer, worked out the slow way from plain lists of events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from math import expm1, isclose, sqrt

from whatworks import Memory, Pattern, UsageEvent

# Tries, their outcomes, and when the last was made: of a context (None: of none) on a day.
Cell = tuple[int, float, datetime]
Place = tuple[str | None, date]
Vector = Sequence[float]


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
    cells: dict[Place, Cell] = field(default_factory=dict)


def recompute(events: Iterable[UsageEvent]) -> dict[str, Sums]:
    """Every count of every pattern that has events, from the events alone."""
    found: dict[str, Sums] = defaultdict(Sums)
    for event in events:
        _add(found[event.pattern_id], event)
    for sums in found.values():
        for place, (tries, total, _) in sums.cells.items():
            sums.effective += worth(place, tries)
            sums.effective_sum += worth(place, tries) * total / tries
    return dict(found)


def worth(place: Place, tries: int) -> float:
    """How many effective tries a cell holds: repeats in one context on one day count less."""
    return tries if place[0] is None else tries / (1 + 0.5 * (tries - 1))


def contexts_of(sums: Sums) -> dict[str, tuple[float, float]]:
    """Effective tries and mean outcome of a pattern in each context, its days by their worth."""
    found: dict[str, tuple[float, float]] = {}
    for place, (tries, total, _) in sums.cells.items():
        if place[0] is not None:
            own, more = found.get(place[0], (0.0, 0.0)), worth(place, tries)
            found[place[0]] = own[0] + more, own[1] + more * total / tries
    return {name: (n, total / n) for name, (n, total) in found.items()}


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
    place = event.context_id, day
    tries, total, last = sums.cells.get(place, (0, 0.0, event.timestamp))
    sums.cells[place] = tries + 1, total + outcome, max(last, event.timestamp)


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


Weights = tuple[float, ...]
PROFILES = ((1.0, 0.0, 0.0), (0.6, 0.2, 0.03), (0.6, 0.1, 0.2), (1.0, 0.02, 0.5), (1.0, 0.0, 0.7))


def centred(vectors: Sequence[Vector], center: Vector) -> list[list[float]]:
    """The directions of ``vectors`` as seen from ``center``, each of length 1."""
    found = []
    for vector in vectors:
        moved = [x - c for x, c in zip(vector, center, strict=True)]
        length = sqrt(sum(x * x for x in moved))
        found.append([x / length if length > 1e-9 else 0.0 for x in moved])
    return found


def cosine(one: Vector, other: Vector) -> float:
    """Of two vectors of length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def kernel(cosine: float, reach: float) -> float:
    """How far what was seen at this cosine reaches: 1 in the same direction, 0 at right angles."""
    return expm1(cosine / reach) / expm1(1 / reach)


def estimate(
    pattern: str,
    records: Mapping[str, tuple[float, float]],
    cells: Sequence[tuple[str, float, float, float]],
    between: Sequence[Sequence[float]],
    whole: tuple[float, float],
    weights: Weights,
    closeness: Weights,
    priors: Mapping[str, tuple[float, float]] | None = None,
    changed: Collection[str] = (),
) -> float:
    """The expected outcome of ``pattern``; cells are (pattern, cosine, effective tries, mean).

    ``between`` are the cosines among the cells' contexts, ``whole`` is (mu, kappa). For patterns
    that have ``changed`` kappa is 4 at most; what they were before is a pattern with a name of its own.
    """
    mu = whole[0]
    total = 0.0
    for (reach, shared, own), weight, close in zip(PROFILES, weights, closeness, strict=True):

        def level(name: str, crowd: float = own * close) -> float:
            tries, total = records.get(name, (0.0, 0.0))
            worth = 1 / (1 + crowd * max(tries - 1, 0))
            told_tries, told = (priors or {}).get(name, (0.0, 0.0))
            kappa = min(whole[1], 4.0) if name in changed else whole[1]
            return (worth * total + told + kappa * mu) / (worth * tries + told_tries + kappa)

        def scale(name: str) -> float:
            return max(sqrt(level(name) * (1 - level(name))), 0.1)

        def alike(a: str, b: str, cosine: float, own: float = own, shared: float = shared) -> float:
            return (shared + own * (a == b)) * kernel(cosine, reach)  # noqa: B023

        matrix = [
            [alike(a[0], b[0], between[i][j]) for j, b in enumerate(cells)] for i, a in enumerate(cells)
        ]
        for i, (_, _, tries, _) in enumerate(cells):
            matrix[i][i] += (1 - shared - own) / tries
        pull = solved(matrix, [alike(pattern, name, cosine) for name, cosine, _, _ in cells])
        shift = sum(
            w * (y - level(name)) / scale(name) for w, (name, _, _, y) in zip(pull, cells, strict=True)
        )
        total += weight * (level(pattern) + scale(pattern) * shift)
    return min(max(total, 0.01), 0.99)


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a symmetric positive definite system, by elimination."""
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    for i, row in enumerate(rows):
        for below in rows[i + 1 :]:
            factor = below[i] / row[i]
            for j in range(i, len(row)):
                below[j] -= factor * row[j]
    found = [0.0] * len(rows)
    for i in reversed(range(len(rows))):
        known = sum(rows[i][j] * found[j] for j in range(i + 1, len(rows)))
        found[i] = (rows[i][-1] - known) / rows[i][i]
    return found
