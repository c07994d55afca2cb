"""Single rows with literal values."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from whatworks.evidence.rows import Table, insert, listed, read, select, update, written_out

if TYPE_CHECKING:
    import duckdb

THINGS = Table("things", ("place", "day"), ("number", "text", "seen"))
AT = datetime(2025, 3, 14, 1, 2, 3, 45)
DAY = date(2025, 3, 14)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    with duckdb.connect() as made:
        made.execute(
            "CREATE TABLE things (place INTEGER, day DATE, number DOUBLE, text VARCHAR, seen TIMESTAMP)"
        )
        yield made


def test_values_come_back_as_they_were(con: duckdb.DuckDBPyConnection) -> None:
    random = Random(1)
    numbers = [0.1, 1e16, 5e-324, 0.30000000000000004, -0.5, *(random.random() for _ in range(200))]
    given: list[Any] = [None, 7, 2**63 - 1, "it's", "\\'; --", "", "é😀\n", AT, DAY, ["a'b", "[]", ""]]
    (row,) = con.execute(f"SELECT {listed([*given, *numbers])}").fetchall()
    assert list(row) == given + numbers
    assert all(isinstance(value, float) for value in row[len(given) :])


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        listed([b"x"])


def test_rows_are_found_by_their_keys_also_where_these_are_null(con: duckdb.DuckDBPyConnection) -> None:
    rows = [(1, DAY, 0.5, "one", AT), (None, DAY, 1.5, None, None), (2, None, 2.5, "two", AT)]
    insert(con, "things", rows)
    insert(con, "things", [])
    assert read(con, THINGS, [(1, DAY), (None, DAY)]) == {row[:2]: row[2:] for row in rows[:2]}
    assert select(con, THINGS, [(2, None)]) == rows[2:]
    assert read(con, THINGS, []) == {}


def test_one_row_is_updated_as_several_are(con: duckdb.DuckDBPyConnection) -> None:
    insert(
        con, "things", [(1, DAY, 0.5, "one", AT), (None, DAY, 1.5, None, None), (3, DAY, 0.0, "", AT)]
    )
    update(con, THINGS, {})
    update(con, THINGS, {(None, DAY): (9.5, "nine", None)})
    assert read(con, THINGS, [(None, DAY)]) == {(None, DAY): (9.5, "nine", None)}
    changed = {(1, DAY): (4.5, None, None), (None, DAY): (0.1, "o'clock", AT)}
    update(con, THINGS, changed)
    assert read(con, THINGS, changed.keys()) == changed
    assert read(con, THINGS, [(3, DAY)]) == {(3, DAY): (0.0, "", AT)}


VALUES: list[Any] = [
    None, 0, -5, 2**40, 0.1, -1e-300, 1e300, float("inf"), AT, True,
    "", "it's", "a?b", "?", "'; DROP TABLE things; --", "back\\slash", "模式", "nul\0", "x" * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_a_value_written_out_is_the_value_that_was_bound(
    con: duckdb.DuckDBPyConnection, value: Any
) -> None:
    query = "SELECT ?, typeof(?) IS NOT NULL, ? IS NULL, 'x' || ?"
    bound = con.execute(query, [value, value, 7, "y"]).fetchall()
    text, left = written_out(query, [value, value, 7, "y"])
    assert text.count("?") >= len(left)
    assert con.execute(text, left).fetchall() == bound


def test_marks_that_are_no_marks_leave_the_question_as_it_is(con: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT 'what?' || ?"
    assert written_out(query, ["x"]) == (query, ["x"])
    assert con.execute(*written_out(query, ["x"])).fetchall() == [("what?x",)]


def test_questions_do_not_load_pandas(tmp_path: Path) -> None:
    """DuckDB loads it where it is installed, for any value that is bound."""
    (tmp_path / "pandas.py").write_text("raise SystemExit('pandas was loaded')")
    code = """
import sys
from whatworks import Memory
from whatworks.testing import HashEmbedder
with Memory.open(sys.argv[1], embedder=HashEmbedder()) as memory:
    memory.add_pattern("read the error", pattern_id="p")
    event = memory.record("p", outcome=1.0, context="a test fails")
    memory.stats()
with Memory.open(sys.argv[1], embedder="none") as memory:
    memory.get_pattern("p"), memory.get_event(event.event_id), memory.trend("p"), memory.events()
"""
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store")],
        env=os.environ | {"PYTHONPATH": paths},
        check=True,
    )
