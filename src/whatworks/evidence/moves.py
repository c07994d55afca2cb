"""Which cells changed between two times, and through which events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from whatworks.evidence.database import Evidence
from whatworks.evidence.questions import naive, states_at

__all__ = ["EVENTS", "Move", "moves"]

# Ids of events that are named for a cell; the others are counted.
EVENTS = 10


class Move(NamedTuple):
    """A cell whose outcomes changed; ``context_id`` is ``None`` for tries without a context.

    Counts and sums of the outcomes known at the two times, the first ids of
    the events that changed, how many did, and when the last did.
    """

    pattern_no: int
    context_id: str | None
    tries_before: int
    total_before: float
    tries_after: int
    total_after: float
    events: tuple[str, ...]
    event_count: int
    moved_at: datetime

    @property
    def mean_before(self) -> float | None:
        """Mean of the outcomes known at first."""
        return self.total_before / self.tries_before if self.tries_before else None

    @property
    def mean_after(self) -> float | None:
        """Mean of the outcomes known at last."""
        return self.total_after / self.tries_after if self.tries_after else None


def moves(
    evidence: Evidence,
    earlier: datetime,
    later: datetime,
    *,
    numbers: Sequence[int],
    contexts: Sequence[str],
) -> list[Move]:
    """The cells of these patterns, and all cells of these contexts, that changed; oldest first."""
    query = f"""
        WITH {states_at("before", "start_moment")}, {states_at("after", "end_moment")},
        asked AS (SELECT context_no FROM context_rows WHERE context_id IN
            (SELECT unnest(from_json(?::JSON, '["VARCHAR"]')))),
        chosen AS (SELECT unnest(from_json(?::JSON, '["INTEGER"]')) AS pattern_no),
        sides AS (
            SELECT event_key, coalesce(a.pattern_no, b.pattern_no) AS pattern_no,
                   coalesce(a.context_no, b.context_no) AS context_no,
                   b.outcome AS was, a.outcome AS is_, was IS DISTINCT FROM is_ AS changed,
                   greatest(a.timestamp, a.since) AS moved_at
            FROM after a FULL JOIN before b USING (event_key)),
        cell AS (
            SELECT pattern_no, context_no, count(was) AS tries_before, coalesce(sum(was), 0) AS was,
                   count(is_) AS tries_after, coalesce(sum(is_), 0) AS is_,
                   list(event_key ORDER BY moved_at, event_key) FILTER (changed)[:{EVENTS}] AS keys,
                   count(*) FILTER (changed) AS changes, max(moved_at) FILTER (changed) AS moved_at
            FROM sides
            WHERE pattern_no IN (FROM chosen) OR context_no IN (FROM asked)
            GROUP BY pattern_no, context_no HAVING changes > 0)
        SELECT pattern_no, context_id, tries_before, was, tries_after, is_, keys, changes, moved_at
        FROM cell LEFT JOIN context_rows USING (context_no)
        ORDER BY moved_at, pattern_no, context_id
    """
    values = [
        naive(earlier),
        naive(later),
        orjson.dumps(list(contexts)).decode(),
        orjson.dumps(list(numbers)).decode(),
    ]
    rows = evidence.rows(query, values)
    names = _names(evidence, [key for row in rows for key in row[6]])
    return [Move._make((*row[:6], tuple(names[key] for key in row[6]), *row[7:])) for row in rows]


def _names(evidence: Evidence, keys: Sequence[int]) -> dict[int, str]:
    """The ids of events by their keys."""
    query = """
        SELECT event_key, event_id FROM event_rows
        WHERE event_key IN (SELECT unnest(from_json(?::JSON, '["UBIGINT"]')))
    """
    return dict(evidence.rows(query, [orjson.dumps(keys).decode()]))
