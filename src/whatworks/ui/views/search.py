"""Patterns by meaning and words, or the newest."""

from __future__ import annotations

from dataclasses import dataclass

from whatworks.memory import Memory
from whatworks.records import Match
from whatworks.ui.asked import Asked
from whatworks.ui.figures import Rated, rated

__all__ = ["Hit", "SearchPage", "search"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A pattern that fits: its cosine distance in [0, 2], and its places by meaning and by words."""

    found: Rated
    distance: float | None = None
    meaning: int | None = None
    words: int | None = None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """What was asked, and what fits; without a text the newest patterns."""

    q: str
    hits: list[Hit]


def search(memory: Memory, asked: Asked) -> SearchPage:
    """Asked with ``q`` and ``limit``."""
    q, limit = asked.text("q"), asked.count("limit", 20, most=200)
    if not q:
        return SearchPage(q, [Hit(item) for item in rated(memory.patterns(limit=limit))])
    matches = memory.find_similar(q, limit=limit)
    found = rated([match.pattern for match in matches])
    return SearchPage(q, [_hit(item, match) for item, match in zip(found, matches, strict=True)])


def _hit(found: Rated, match: Match) -> Hit:
    return Hit(found, match.distance, match.vector_rank, match.keyword_rank)
