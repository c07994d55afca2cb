"""What is known of how useful each pattern is, as SQL: tries, last use, whether it was ever shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from whatworks.evidence.archive import SHOWN
from whatworks.evidence.database import Evidence

__all__ = ["Useful", "predictions_until", "useful", "uses_since"]


class Useful(NamedTuple):
    """A pattern that is not archived, with its own record.

    ``tries`` effective tries with outcomes of the sum ``total``; ``used`` counts all, ``imported``
    those of aggregates. ``shown``: whether a prediction ever named it. Times are in UTC.
    """

    pattern_id: str
    pattern_type: str
    description: str
    metadata: str
    created_at: datetime
    last_used_at: datetime | None
    used: int
    tries: float
    total: float
    imported: int
    shown: bool


def useful(evidence: Evidence) -> list[Useful]:
    """All patterns that are not archived, the oldest first."""
    query = f"""
        SELECT pattern_id, pattern_type, description, metadata, created_at, last_used_at, used,
               effective, effective_sum, prior_count,
               pattern_id IN (SELECT pattern_id FROM answer_rows)
        FROM pattern_rows WHERE {SHOWN} ORDER BY created_at, pattern_id
    """
    rows = evidence.rows(query)
    return [
        Useful(name, kind, text, metadata, created.replace(tzinfo=UTC), _utc(last), *rest)
        for name, kind, text, metadata, created, last, *rest in rows
    ]


def uses_since(evidence: Evidence, moment: datetime) -> int:
    """How many tries there were on the days behind that of a time."""
    day = moment.astimezone(UTC).date()
    query = f"SELECT coalesce(sum(used), 0)::BIGINT FROM days WHERE day > DATE '{day}'"
    return int(evidence.one(query)[0])


def predictions_until(evidence: Evidence, count: int) -> datetime | None:
    """When the ``count``-th of the newest predictions was made, ``None`` if there are fewer."""
    query = "SELECT made_at FROM prediction_rows ORDER BY made_at DESC LIMIT 1 OFFSET ?"
    rows = evidence.rows(query, [count - 1])
    return _utc(rows[0][0]) if rows else None


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
