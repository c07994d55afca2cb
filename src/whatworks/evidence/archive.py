"""Archived patterns: kept with all their tries, and out of what is found, listed and recommended.

When a pattern was archived and for how long is a row of its own, so that ``as_of`` answers with the
patterns that were shown then. The last word stands, in the order of the journal: folding in batches of
any size ends in the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import orjson

from whatworks.checks import moment_of
from whatworks.evidence.rows import insert
from whatworks.evidence.schema import IDS, NUMBERS

if TYPE_CHECKING:
    import duckdb

__all__ = ["ARCHIVED", "SHOWN", "SHOWN_THEN", "Shelf", "Shelved", "archive", "shelf"]

# The record that says that a pattern is archived, or is no more.
ARCHIVED = "pattern.archived"
# A condition on whatever has ``pattern_no``: now, and at the ``instant`` of a table ``moment``.
SHOWN = "pattern_no NOT IN (SELECT pattern_no FROM archived_rows WHERE until IS NULL)"
SHOWN_THEN = """
    pattern_no NOT IN (SELECT pattern_no FROM archived_rows, moment
                       WHERE since <= instant AND (until IS NULL OR instant < until))
"""
_SHELF = """
    SELECT pattern_id, pattern_no, since, reason FROM archived_rows JOIN pattern_rows USING (pattern_no)
    WHERE until IS NULL
"""


class Shelved(NamedTuple):
    """An archived pattern: its number, since when (UTC), and why, if that was said."""

    number: int
    since: datetime
    reason: str | None


class Shelf(NamedTuple):
    """What is archived now: by id, and the numbers alone."""

    patterns: Mapping[str, Shelved]
    numbers: frozenset[int]


def shelf(con: duckdb.DuckDBPyConnection) -> Shelf:
    """What is archived in the tables of ``con``."""
    rows = con.execute(_SHELF).fetchall()
    found = {row[0]: Shelved(row[1], row[2].replace(tzinfo=UTC), row[3]) for row in rows}
    return Shelf(found, frozenset(item.number for item in found.values()))


def archive(con: duckdb.DuckDBPyConnection, bodies: Sequence[bytes]) -> set[str]:
    """Take down which patterns are archived and which no more; return their ids.

    Of a pattern that was forgotten meanwhile nothing is kept.
    """
    said = [orjson.loads(body) for body in bodies]
    numbers = _numbers(con, sorted({body["pattern_id"] for body in said}))
    listed = orjson.dumps(list(numbers.values())).decode()
    now = "SELECT pattern_no, reason, since FROM archived_rows WHERE until IS NULL"
    rows = con.execute(f"{now} AND pattern_no IN {NUMBERS}", [listed]).fetchall()
    current = {row[0]: row[1:] for row in rows}
    ended = []
    for body in said:
        number = numbers.get(body["pattern_id"])
        if number is None:
            continue
        at = moment_of(body["at"]).replace(
            tzinfo=None
        )  # times in the tables do not say that they are UTC
        before = current.pop(number, None)
        if before is not None and before[1] < at:
            ended.append((number, *before, at))
        if body["archived"]:
            current[number] = body["reason"], at
    con.execute(f"DELETE FROM archived_rows WHERE until IS NULL AND pattern_no IN {NUMBERS}", [listed])
    insert(con, "archived_rows", [*ended, *((n, *row, None) for n, row in sorted(current.items()))])
    return set(numbers)


def _numbers(con: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, int]:
    query = f"SELECT pattern_id, pattern_no FROM pattern_rows WHERE pattern_id IN {IDS}"
    return dict(con.execute(query, [orjson.dumps(ids).decode()]).fetchall())
