"""``Memory.sql``: what is stored, asked by SELECT, in a process that can do nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from whatworks import InvalidInputError, Memory, StoreFullError, sql
from whatworks.desk import Desk
from whatworks.sql import Limits
from whatworks.sql.allowed import VIEWS


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        pattern = opened.add_pattern("read the traceback from the bottom", pattern_type="debugging")
        for number in range(4):
            opened.record(pattern.pattern_id, outcome=number % 2, context="a test that fails")
        yield opened


def test_rows_come_with_names_and_types(memory: Memory) -> None:
    found = memory.sql("SELECT pattern_type, usage_count, success_rate FROM patterns")
    assert found.columns == ("pattern_type", "usage_count", "success_rate")
    assert found.types == ("VARCHAR", "BIGINT", "DOUBLE")
    assert found.rows == (("debugging", 4, 0.5),)
    assert found.cut is None


def test_what_was_just_recorded_is_in_it(memory: Memory) -> None:
    (pattern,) = memory.patterns()
    memory.record(pattern.pattern_id, outcome=1.0)
    assert memory.sql("SELECT count(*) FROM usage_events").rows == ((5,),)


def test_every_documented_view_can_be_asked_and_described(memory: Memory) -> None:
    text = (Path(__file__).parents[3] / "docs" / "sql.md").read_text()
    for view in VIEWS:
        described = memory.sql(f"DESCRIBE {view}")
        section = text.split(f"### {view}\n")[1].split("###")[0]
        for row in described.rows:
            assert f"`{row[0]}`" in section
        assert memory.sql(f"FROM {view} LIMIT 1").columns == tuple(row[0] for row in described.rows)


def test_times_are_in_utc_and_say_so(memory: Memory) -> None:
    (event, *_) = memory.events()
    query = "SELECT max(timestamp), max(timestamp)::DATE, now() FROM usage_events"
    ((last, day, now),) = memory.sql(query).rows
    assert last == event.timestamp
    assert day == event.timestamp.date() and isinstance(day, date)
    assert isinstance(now, datetime) and abs(now - datetime.now(UTC)) < timedelta(minutes=5)


def test_values_that_json_has_not_are_given_as_what_comes_nearest(memory: Memory) -> None:
    query = """SELECT 1.5::DECIMAL(4, 2), 'ab'::BLOB, INTERVAL 90 SECONDS, {'a': [1, NULL]}, MAP {1: 2},
        170141183460469231731687303715884105727::HUGEINT, NULL,
        '00000000-0000-0000-0000-000000000001'::UUID"""
    ((decimal, blob, span, struct, mapped, huge, nothing, uuid),) = memory.sql(query).rows
    assert (decimal, blob, span, struct) == (1.5, "YWI=", 90.0, {"a": [1, None]})
    assert mapped == {"1": 2}
    assert (huge, nothing) == (2**127 - 1, None)
    assert uuid == "00000000-0000-0000-0000-000000000001"


def test_columns_may_have_the_same_name_and_any_characters(memory: Memory) -> None:
    found = memory.sql("""SELECT 1 AS a, 2 AS a, 3 AS "b""c" """)
    assert (found.columns, found.rows) == (("a", "a", 'b"c'), ((1, 2, 3),))


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("WITH x AS (SELECT 1 AS a) SELECT a + 1 FROM x", ((2,),)),
        ("WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 3) FROM x", 3),
        (
            "SELECT p.pattern_type FROM patterns p JOIN main.usage_events e USING (pattern_id)",
            4,
        ),
        ("SELECT unnest([1, 2])", ((1,), (2,))),
        ("FROM range(2)", ((0,), (1,))),
        ("SELECT count(*) FROM (SUMMARIZE usage_events)", ((20,),)),
        ("SELECT 1 AS x;", ((1,),)),
        ("-- a remark\nSELECT 1", ((1,),)),
        ("SELECT day, usage_count FROM trend_daily", 1),
        ("SELECT ';', 'read_text(''x'')'", ((";", "read_text('x')"),)),
    ],
)
def test_what_a_select_can_say_can_be_asked(memory: Memory, query: str, rows: object) -> None:
    found = memory.sql(query).rows
    assert (len(found) if isinstance(rows, int) else found) == rows


def test_the_first_rows_are_given_and_it_is_said_that_there_are_more(memory: Memory) -> None:
    assert memory.sql("FROM range(3)", limits=Limits(rows=3)).cut is None
    found = memory.sql("FROM range(4)", limits=Limits(rows=3))
    assert (found.rows, found.cut) == (((0,), (1,), (2,)), "rows")
    assert memory.sql("SELECT 1", limits=Limits(rows=0)).rows == ()


def test_the_order_that_was_asked_for_is_kept_also_with_zones(memory: Memory) -> None:
    query = "SELECT range AS n, now() AS at FROM range(3000) ORDER BY n DESC"
    found = memory.sql(query, limits=Limits(rows=3000))
    assert [n for n, _ in found.rows] == list(range(2999, -1, -1))


def test_an_answer_of_too_many_bytes_is_cut(memory: Memory) -> None:
    found = memory.sql("SELECT repeat('x', 1000) FROM range(100)", limits=Limits(bytes=5_000))
    assert (len(found.rows), found.cut) == (4, "bytes")


def test_what_takes_too_long_is_ended_and_refused(memory: Memory) -> None:
    start = time.monotonic()
    with pytest.raises(InvalidInputError, match=r"takes more than 0\.5 seconds"):
        memory.sql("SELECT count(*) FROM range(1000000000000)", limits=Limits(seconds=0.5))
    assert time.monotonic() - start < 15


def test_what_needs_too_much_memory_is_refused(memory: Memory) -> None:
    with pytest.raises(InvalidInputError, match=r"Out of Memory|too much memory"):
        memory.sql("SELECT list(r) FROM range(100000000) t(r)", limits=Limits(memory=8 << 20))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM patterns", 'Referenced column "nothing" not found'),
        ("DELETE FROM patterns", "only SELECT can run here: select from patterns, usage_events"),
        ("FROM event_rows", "there is no view 'event_rows' here: select from patterns"),
        ("FROM read_text('x')", "table function 'read_text' cannot be used here"),
        ("SELECT 1; SELECT 2", "one statement at a time, not 2"),
        ("SELECT 1 / 'x'", "Conversion Error"),
        ("SELECT error('two\nlines')", "two"),
        ("(" * 5_000, "syntax error|nest|recursion|memory"),
        (" ", "query is ' '; expected a SELECT as text"),
        (7, "query is 7; expected a SELECT as text"),
        ("SELECT '\ud800'", "query holds half a character"),
        ("SELECT '\0'", "expected at most 65,536, and no zero"),
        ("SELECT " + "1," * 40_000 + "1", "query has 80,008 bytes; expected at most 65,536"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(memory: Memory, query: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as refused:
        memory.sql(query)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": -1},
        {"rows": 1.5},
        {"rows": True},
        {"seconds": 0},
        {"memory": "1GB"},
        {"bytes": 1 << 40},
    ],
)
def test_limits_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match="expected a number from"):
        Limits(**wrong)  # type: ignore[arg-type]


def test_nothing_is_left_beside_the_store(memory: Memory, tmp_path: Path) -> None:
    memory.sql("SELECT 1")
    with pytest.raises(InvalidInputError):
        memory.sql("SELEC")
    assert list((tmp_path / "store").glob(".sql*")) == []


def test_a_copy_that_a_killed_process_left_goes_with_the_next_question(
    memory: Memory, tmp_path: Path
) -> None:
    left = tmp_path / "store" / ".sql-1-aaaaaaaa.partial"
    left.mkdir()
    (left / "evidence.duckdb").write_bytes(b"what was forgotten since")
    memory.sql("SELECT 1")
    assert not left.exists()


def test_another_process_may_keep_the_store(memory: Memory, tmp_path: Path) -> None:
    script = """if True:
        import sys
        from whatworks import Memory
        with Memory.open(sys.argv[1]) as memory:
            print(memory.sql("SELECT usage_count FROM patterns").rows[0][0])
    """
    words = [sys.executable, "-c", script, str(tmp_path / "store")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout == "4\n"


def test_a_copy_that_cannot_be_written_is_a_store_error(memory: Memory, tmp_path: Path) -> None:
    from whatworks import StoreError

    with memory._keeper._lock, pytest.raises(StoreError, match="cannot copy"):
        memory._keeper.folded().duplicate(tmp_path / "nowhere" / "copy")


def test_the_package_says_what_it_hands_out() -> None:
    assert set(sql.__all__) == {"Limits", "ask", "require_text", "starting"}


def test_no_process_is_left_where_no_copy_can_be_made(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, starting = list[subprocess.Popen[bytes]](), sql.starting

    @contextmanager
    def noted() -> Iterator[subprocess.Popen[bytes]]:
        with starting() as process:
            begun.append(process)
            yield process

    def full(self: object, target: str) -> None:
        raise StoreFullError("no room left")

    monkeypatch.setattr(sql, "starting", noted)
    monkeypatch.setattr(Desk, "snapshot", full)
    with pytest.raises(StoreFullError):
        memory.sql("SELECT 1")
    assert [process.returncode for process in begun] == [-signal.SIGKILL]


def test_a_day_that_python_has_not_is_given_as_text(memory: Memory) -> None:
    assert memory.sql("SELECT DATE '20000-01-01'").rows == (("20000-01-01",),)


def test_times_with_zones_may_stand_anywhere_and_be_named_alike(memory: Memory) -> None:
    found = memory.sql("SELECT now() AS a, [now()] AS a, {'t': now()} AS b; -- a remark")
    assert found.columns == ("a", "a", "b")
    assert isinstance(found.rows[0][0], datetime)


def test_the_copy_has_no_name_while_the_statement_runs(memory: Memory, tmp_path: Path) -> None:
    """So that what is forgotten meanwhile stays in no file."""
    seen: list[Path] = []

    def look() -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end and not list((tmp_path / "store").glob(".sql*/*")):
            time.sleep(0.005)
        while time.monotonic() < end and list((tmp_path / "store").glob(".sql*")):
            seen[:] = (tmp_path / "store").glob(".sql*/*")
            time.sleep(0.02)

    watching = threading.Thread(target=look)
    watching.start()
    memory.sql("SELECT count(*) FROM range(2000000000)", limits=Limits(seconds=60))
    watching.join()
    assert seen == []


def test_the_views_of_rates_and_pairs_say_what_the_methods_say(memory: Memory) -> None:
    (pattern,) = memory.patterns()
    memory.record_many(
        {"pattern_id": pattern.pattern_id, "outcome": outcome, "files": files, "tools": tools}
        for outcome, files, tools in (
            (1.0, ["a", "b", "b"], ["Bash"]),
            (0.0, ["a", "b"], ["Bash", "Edit"]),
            (None, ["a", "c"], ["Edit"]),
        )
    )
    for by, view in (("tool", "tool_rates"), ("file", "file_rates")):
        said = [(r.value, r.tries, r.resolved, r.mean_outcome) for r in memory.rates(by)]  # type: ignore[arg-type]
        assert sorted(said) == sorted(memory.sql(f"FROM {view}").rows)
    (week,) = memory.rates("week")
    ((_, _, tries, resolved, mean),) = memory.sql("FROM weekly_rates").rows
    assert (tries, resolved, mean) == (week.tries, week.resolved, week.mean_outcome)
    found = memory.sql("SELECT other, together FROM file_pairs WHERE file = 'a' ORDER BY other").rows
    assert found == (("b", 2), ("c", 1))
    assert {(r.file, r.together) for r in memory.related_files("a")} == set(found)
