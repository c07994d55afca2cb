"""What comes last in a table: numbers given, and the times of last tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from whatworks.evidence.changed import Changed

if TYPE_CHECKING:
    import duckdb

__all__ = ["Next", "correct_tries", "correct_uses", "next_numbers"]


class Next(NamedTuple):
    """The numbers of a next pattern and context; ``change`` is that of the last text."""

    change: int
    pattern_no: int
    context_no: int


def next_numbers(con: duckdb.DuckDBPyConnection) -> Next:
    """The numbers that go on from those given."""
    # Of a text that was forgotten, the embeddings made later still know the number.
    query = """
        SELECT coalesce(max(change), 0), coalesce(max(pattern_no) + 1, 0),
               coalesce(max(context_no) + 1, 0)
        FROM (SELECT change, pattern_no, NULL AS context_no FROM pattern_rows
              UNION ALL SELECT change, NULL, context_no FROM context_rows
              UNION ALL SELECT value, NULL, NULL FROM meta WHERE starts_with(name, 'embedded '))
    """
    return Next(*con.execute(query).fetchall()[0])


def correct_uses(con: duckdb.DuckDBPyConnection, patterns: str, changed: Changed) -> None:
    """Find the last use of patterns anew: a try that turned out not to be one was perhaps it."""
    con.execute(
        f"""
        UPDATE pattern_rows p SET last_used_at = e.last_used_at
        FROM (SELECT pattern_no, max(timestamp) FILTER (state <> 'not_used') AS last_used_at
              FROM event_rows WHERE pattern_no IN ({patterns}) GROUP BY pattern_no) e
        WHERE p.pattern_no = e.pattern_no
        """
    )
    changed.read(con, "records", f"WHERE pattern_no IN ({patterns})")


def correct_tries(con: duckdb.DuckDBPyConnection, patterns: str, changed: Changed) -> None:
    """Find the last try in each cell of patterns anew: it was perhaps resolved no more."""
    con.execute(
        f"""
        UPDATE cells c SET last_at = e.last_at
        FROM (SELECT context_no, pattern_no, timestamp::DATE AS day, max(timestamp) AS last_at
              FROM event_rows WHERE state = 'resolved' AND pattern_no IN ({patterns})
              GROUP BY ALL) e
        WHERE c.context_no IS NOT DISTINCT FROM e.context_no
          AND c.pattern_no = e.pattern_no AND c.day = e.day
        """
    )
    which = f"WHERE pattern_no IN ({patterns})"
    changed.read(con, "cells", which)
    numbers = con.execute(f"SELECT pattern_no FROM pattern_rows {which}").fetchall()
    changed.corrected.update(number for (number,) in numbers)
