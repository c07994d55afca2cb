"""Who says so, what others say of the same patterns, and what is held back."""

from __future__ import annotations

from dataclasses import dataclass

from whatworks.memory import Memory
from whatworks.records import Held, Import, Source
from whatworks.ui.asked import Asked
from whatworks.ui.figures import Rate, rate

__all__ = ["SourceRow", "SourcesPage", "sources"]

# Quarantined tries are listed by pattern, source and reason, so many lines at most.
HELD = 100


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source with its rates: of all its outcomes, and of those on patterns that others tried too.

    ``disagrees`` where what the others say lies outside the 95 % interval of the latter.
    """

    source: Source
    rate: Rate | None
    shared: Rate | None
    disagrees: bool


@dataclass(frozen=True, slots=True)
class SourcesPage:
    """All sources, those of the most tries first, and the tries that count for nothing.

    ``described`` has the descriptions of the patterns that these are of, by id; ``imports`` the files
    that tries were imported from, the last one first.
    """

    rows: list[SourceRow]
    held: list[Held]
    described: dict[str, str]
    imports: list[Import]


def sources(memory: Memory, asked: Asked) -> SourcesPage:
    """Asked with nothing."""
    held = memory.quarantine(limit=HELD)
    patterns = memory.get_patterns({item.pattern_id for item in held})
    return SourcesPage(
        [_row(item) for item in memory.sources()],
        held,
        {name: pattern.description for name, pattern in patterns.items()},
        memory.imports(),
    )


def _row(item: Source) -> SourceRow:
    shared, others = rate(item.shared, item.mean_shared), item.mean_others
    disagrees = shared is not None and others is not None and not shared.low <= others <= shared.high
    return SourceRow(item, rate(item.resolved, item.mean_outcome), shared, disagrees)
