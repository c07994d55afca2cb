"""Tries as a whole: how they ended by tool, file or week; what changes together; clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast, get_args

from whatworks.analysis import Grouping, Together
from whatworks.memory import Memory
from whatworks.records import Cluster, Rate, RelatedFile
from whatworks.ui.asked import Asked

__all__ = ["GROUPINGS", "RatesPage", "RelatedPage", "clusters", "rates", "related"]

# The newest weeks first, then what is asked most.
GROUPINGS: tuple[str, ...] = ("week", "day", "tool", "file", "type", "source", "channel", "session")
MOST = 40


@dataclass(frozen=True, slots=True)
class RatesPage:
    """How tries ended, grouped by what they have in common."""

    by: str
    rows: list[Rate]


@dataclass(frozen=True, slots=True)
class RelatedPage:
    """The files that change together with one, in one try or in one session."""

    path: str
    together: str
    rows: list[RelatedFile]


def rates(memory: Memory, asked: Asked) -> RatesPage:
    """Asked with ``by`` and ``limit``."""
    by = asked.id("by") or GROUPINGS[0]
    limit = asked.count("limit", MOST, most=500)
    return RatesPage(by, memory.rates(cast("Grouping", by), limit=limit))


def related(memory: Memory, asked: Asked) -> RelatedPage:
    """Asked with ``path``, ``together`` and ``limit``."""
    path, together = asked.needed("path"), asked.id("together") or get_args(Together)[0]
    limit = asked.count("limit", MOST, most=500)
    found = memory.related_files(path, together=cast("Together", together), limit=limit)
    return RelatedPage(path, together, found)


def clusters(memory: Memory, asked: Asked) -> list[Cluster]:
    """Asked with nothing; of many patterns it takes seconds."""
    return memory.clusters()
