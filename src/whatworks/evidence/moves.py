"""Which cells changed between two times, and through which events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from whatworks.evidence.database import Evidence
from whatworks.evidence.questions import naive, states_at
from whatworks.evidence.schema import ASIDE, IDS, WORTH

__all__ = ["EVENTS", "Move", "moves"]

# Ids of events that are named for a cell; the others are counted.
EVENTS = 10


class Move(NamedTuple):
    """A cell whose outcomes changed; ``context_id`` is ``None`` for tries without a context.

    Counts and sums of the outcomes known at the two times, the first ids of
    the events that changed, how many did, and when the last did; then the
    same counts and sums in effective tries.
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
    worth_before: float
    worth_after: float
    weighed_before: float
    weighed_after: float

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
        asked AS (SELECT context_no FROM context_rows WHERE context_id IN {IDS}),
        chosen AS (SELECT unnest(from_json(?::JSON, '["INTEGER"]')) AS pattern_no),
        sides AS (
            SELECT event_key, coalesce(a.pattern_no, b.pattern_no) AS pattern_no,
                   coalesce(a.context_no, b.context_no) AS context_no,
                   b.outcome AS was, a.outcome AS is_, was IS DISTINCT FROM is_ AS changed,
                   coalesce(a.timestamp, b.timestamp)::DATE AS day,
                   greatest(a.timestamp, a.since) AS moved_at
            FROM after a FULL JOIN before b USING (event_key)),
        days AS (
            SELECT pattern_no, context_no, day, count(was) AS old, coalesce(sum(was), 0) AS old_sum,
                   count(is_) AS new, coalesce(sum(is_), 0) AS new_sum,
                   {WORTH.format(n="old")} AS old_worth, {WORTH.format(n="new")} AS new_worth,
                   list(event_key ORDER BY moved_at, event_key) FILTER (changed) AS keys,
                   count(*) FILTER (changed) AS changes, max(moved_at) FILTER (changed) AS moved_at
            FROM sides
            WHERE pattern_no IN (FROM chosen) OR context_no IN (FROM asked)
            GROUP BY pattern_no, context_no, day),
        cell AS (
            SELECT pattern_no, nullif(context_no, {ASIDE}) AS context_no,
                   sum(old)::BIGINT AS tries_before, sum(old_sum) AS was,
                   sum(new)::BIGINT AS tries_after, sum(new_sum) AS is_,
                   sum(old_worth) AS worth_before, sum(new_worth) AS worth_after,
                   coalesce(sum(old_worth * old_sum / nullif(old, 0)), 0) AS weighed_before,
                   coalesce(sum(new_worth * new_sum / nullif(new, 0)), 0) AS weighed_after,
                   flatten(list(keys ORDER BY moved_at) FILTER (changes > 0))[:{EVENTS}] AS keys,
                   sum(changes)::BIGINT AS changes, max(moved_at) AS moved_at
            FROM days GROUP BY pattern_no, nullif(context_no, {ASIDE}) HAVING sum(changes) > 0)
        SELECT pattern_no, context_id, tries_before, was, tries_after, is_, keys, changes, moved_at,
               worth_before, worth_after, weighed_before, weighed_after
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
