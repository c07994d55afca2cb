"""The public views, where they have to be fast as well as right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from whatworks.evidence.schema import ASIDE, LAST_ROWS, SCHEMA

ROWS = 250_000  # some blocks of the engine's 122,880
NEWEST = "SELECT event_id FROM usage_events ORDER BY timestamp DESC LIMIT 20"


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables with one pattern and a context, and no tries."""
    with duckdb.connect(str(tmp_path / "evidence.duckdb"), config={"threads": 1}) as con:
        con.execute(SCHEMA)
        con.execute("INSERT INTO pattern_rows (pattern_no, pattern_id) VALUES (0, 'p')")
        con.execute("INSERT INTO context_rows (context_no, context_id, text) VALUES (0, 'c', 'here')")
        yield con


def add(con: duckdb.DuckDBPyConnection, count: int, context: str = "0") -> None:
    """Tries one second after the other, named by their numbers."""
    con.execute(
        f"""
        INSERT INTO event_rows (event_id, pattern_no, context_no, timestamp, state)
        SELECT (n + (SELECT count(*) FROM event_rows))::VARCHAR, 0, {context},
               TIMESTAMP '2026-01-01' + to_seconds(n + (SELECT count(*) FROM event_rows)), 'pending'
        FROM range({count}) t(n)
        """
    )


def read(con: duckdb.DuckDBPyConnection, tmp_path: Path, query: str) -> int:
    """How many tries go through the joins of a query."""
    profile = tmp_path / "profile.json"
    con.execute(f"SET enable_profiling = 'json'; SET profiling_output = '{profile}'")
    con.execute(query).fetchall()
    con.execute("SET enable_profiling = 'no_output'")
    return max(_joined(orjson.loads(profile.read_bytes())))


def _joined(node: dict[str, Any]) -> Iterator[int]:
    # The second names are those of DuckDB 2.0.
    if node.get("operator_type", node.get("type")) == "HASH_JOIN":
        yield int(node.get("operator_cardinality", node.get("intermediate_rows")))
    for child in [*node.get("children", ()), *node.get("operator", ())]:
        yield from _joined(child)


def test_the_newest_tries_are_named_without_naming_the_older_ones(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    add(con, ROWS)
    con.execute("CHECKPOINT")
    newest = [(str(n),) for n in range(ROWS - 1, ROWS - 21, -1)]
    assert con.execute(NEWEST).fetchall() == newest
    assert read(con, tmp_path, NEWEST) < ROWS // 10
    # The same without what the view does for it.
    plain = "SELECT event_id, text FROM event_rows JOIN context_rows USING (context_no)"
    assert read(con, tmp_path, f"{plain} ORDER BY timestamp DESC LIMIT 20") > ROWS // 2


@pytest.mark.parametrize("count", [0, 1, LAST_ROWS - 1, LAST_ROWS, LAST_ROWS + 1, 3 * LAST_ROWS])
def test_each_try_is_there_once(con: duckdb.DuckDBPyConnection, count: int) -> None:
    add(con, count)
    con.execute("DELETE FROM event_rows WHERE event_id IN ('0', '1999', '2500')")
    con.execute("BEGIN")  # of what is not committed as well
    add(con, 5)
    seen = con.execute("SELECT event_id FROM usage_events ORDER BY ALL").fetchall()
    assert seen == con.execute("SELECT event_id FROM event_rows ORDER BY ALL").fetchall()


def test_a_try_in_no_context_is_there_without_one(con: duckdb.DuckDBPyConnection) -> None:
    add(con, 1, "0")
    add(con, 1, "NULL")
    add(con, 2, str(ASIDE))
    con.execute("UPDATE event_rows SET told_no = 0 WHERE event_id = '3'")
    rows = con.execute("SELECT event_id, context_id, context FROM usage_events ORDER BY ALL").fetchall()
    assert rows == [("0", "c", "here"), ("1", None, None), ("2", None, None), ("3", "c", "here")]
