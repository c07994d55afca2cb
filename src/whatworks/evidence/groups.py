"""Tries by what they have in common, and the files that are changed together, as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Literal, NamedTuple

import orjson

from whatworks.checks import micros, shown
from whatworks.errors import NotFoundError
from whatworks.evidence.archive import SHOWN
from whatworks.evidence.database import Evidence
from whatworks.evidence.questions import naive
from whatworks.evidence.schema import IDS, MOST_FILES

__all__ = [
    "MOST_FILES",
    "FileRow",
    "GroupRow",
    "Record",
    "WeekRow",
    "by",
    "file_changes",
    "records",
    "weeks",
]

# A change a year ago counts half: trees move. 0.1 to 0.3 of a year more or less makes no difference.
HALF_LIFE = 365.0
_HALF_LIFE_US = HALF_LIFE * 86_400e6

# What a group is called, by the way to group: of the tries themselves, and of the sums of a day.
_OF_TRIES = {
    "tool": "unnest(list_distinct(tools))",
    "file": "unnest(list_distinct(files))",
    "type": "pattern_type",
    "source": "source",
    "channel": "channel",
    "session": "session_id",
    "day": "strftime(timestamp, '%Y-%m-%d')",
    "week": "strftime(timestamp, '%G-W%V')",
}
_OF_DAYS = {
    "type": "pattern_type",
    "day": "strftime(day, '%Y-%m-%d')",
    "week": "strftime(day, '%G-W%V')",
}
_LISTS = {"tool": "len(tools) > 0", "file": "len(files) > 0"}
_TYPES = "JOIN (SELECT pattern_no, pattern_type FROM pattern_rows) USING (pattern_no)"


class GroupRow(NamedTuple):
    """Tries that have something in common."""

    value: str
    tries: int
    resolved: int
    total: float


class WeekRow(NamedTuple):
    """What a source told of a pattern in a week."""

    week: date
    source: str
    tries: int
    resolved: int
    total: float


class Record(NamedTuple):
    """A pattern with the sums of its tries."""

    description: str
    tries: int
    resolved: int
    total: float


class FileRow(NamedTuple):
    """A file by how often it was changed, and how often together with another."""

    file: str
    changes: int
    together: int
    recent: float
    recent_together: float
    resolved: int
    total: float


def by(
    evidence: Evidence, what: str, since: datetime | None, until: datetime | None, limit: int
) -> list[GroupRow]:
    """Tries grouped by one of ``tool``, ``file``, ``type``, ..., those with most outcomes first.

    Days and weeks come with the newest first.
    """
    bounds = [(">=", since), ("<", until)]
    given = [(sign, naive(moment)) for sign, moment in bounds if moment is not None]
    whole_days = all(moment.time() == time() for _, moment in given)
    if what in _OF_DAYS and whole_days:
        names, rows, column = _OF_DAYS, "days", "day"
        sums = "sum(used)::BIGINT, sum(resolved)::BIGINT, sum(outcome_sum)"
    else:
        names, column = _OF_TRIES, "timestamp"
        rows = "(SELECT * FROM event_rows WHERE state <> 'not_used')"
        sums = "count(*), count(outcome), coalesce(sum(outcome), 0)"
    conditions = [f"{column} {sign} ?" for sign, _ in given] + [_LISTS.get(what, "true")]
    order = "value DESC" if what in ("day", "week") else "3 DESC, 2 DESC, value"
    query = f"""
        SELECT value, {sums}
        FROM (SELECT {names[what]} AS value, * FROM {rows} {_TYPES if what == "type" else ""}
              WHERE {" AND ".join(conditions)})
        WHERE value IS NOT NULL GROUP BY value ORDER BY {order} LIMIT ?
    """
    values = [moment for _, moment in given]
    return [GroupRow(*row) for row in evidence.rows(query, [*values, limit])]


def weeks(evidence: Evidence, number: int) -> list[WeekRow]:
    """The tries of a pattern by week and source, in the order of time."""
    query = f"""
        SELECT date_trunc('week', timestamp)::DATE AS week, source, count(*),
               count(outcome) AS resolved, coalesce(sum(outcome), 0)
        FROM event_rows WHERE pattern_no = {number} GROUP BY ALL ORDER BY week, resolved DESC, source
    """
    return [WeekRow(*row) for row in evidence.rows(query)]


def records(evidence: Evidence, ids: Sequence[str]) -> dict[str, Record]:
    """The patterns of these ids, as far as they exist and are not archived."""
    query = f"""
        SELECT pattern_id, description, used, resolved, outcome_sum FROM pattern_rows
        WHERE pattern_id IN {IDS} AND {SHOWN}
    """
    rows = evidence.rows(query, [orjson.dumps(ids).decode()])
    return {name: Record(*record) for name, *record in rows}


def file_changes(
    evidence: Evidence, path: str, together: Literal["try", "session"], now: datetime
) -> tuple[float, float, list[FileRow]]:
    """Weights of all changes and of those of ``path``, and the files that were changed with it.

    A change is a try with files, or all tries of a session.
    """
    changes = """
        SELECT list_distinct(files) AS files, timestamp AS last, (outcome IS NOT NULL)::INT AS resolved,
               coalesce(outcome, 0) AS total
        FROM event_rows WHERE len(files) > 0
    """
    if together == "session":
        changes = """
            SELECT list_distinct(flatten(list(files))) AS files, max(timestamp) AS last,
                   count(outcome) AS resolved, coalesce(sum(outcome), 0) AS total
            FROM event_rows WHERE len(files) > 0
            GROUP BY coalesce(session_id, event_key::VARCHAR)
        """
    weighed = f"""
        WITH weighed AS (
            SELECT files, resolved, total, list_contains(files, ?) AS mine,
                   0.5 ** greatest((? - epoch_us(last)) / {_HALF_LIFE_US}, 0) AS weight
            FROM ({changes}) WHERE len(files) <= {MOST_FILES})
    """
    asked = [path, micros(now)]
    # First which files there are: what else happened to them takes longer than all others together.
    whole, own, files = evidence.one(
        f"""{weighed}
        SELECT sum(weight), sum(weight) FILTER (mine),
               list_distinct(flatten(list(files) FILTER (mine))) FROM weighed
        """,
        asked,
    )
    if not files:
        if evidence.rows("SELECT 1 FROM event_rows WHERE list_contains(files, ?) LIMIT 1", [path]):
            return 0.0, 0.0, []  # changed by what changes very many
        raise NotFoundError(f"no try has the file {shown(path)}; give it as the tries name it")
    if len(files) == 1:
        return 0.0, 0.0, []
    query = f"""{weighed}
        SELECT file, count(*), count(*) FILTER (mine), sum(weight),
               coalesce(sum(weight) FILTER (mine), 0), coalesce(sum(resolved) FILTER (mine), 0)::BIGINT,
               coalesce(sum(total) FILTER (mine), 0)
        FROM (SELECT unnest(files) AS file, mine, weight, resolved, total FROM weighed
              WHERE list_has_any(files, from_json(?::JSON, '["VARCHAR"]')))
        WHERE file IN {IDS} GROUP BY file
    """
    listed = orjson.dumps(files).decode()
    return whole, own, [FileRow(*row) for row in evidence.rows(query, [*asked, listed, listed])]
