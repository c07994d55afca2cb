from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.reading import read_here
from whatworks import InvalidInputError, Memory, NewEvent, UsageEvent
from whatworks.importers import import_table, intake
from whatworks.readers import table

Write = Callable[[str, Sequence[Mapping[str, Any]]], Path]
COLUMNS = {"pattern": "p", "outcome": "o"}
NOTHING = {"patterns": 0, "events": 0, "priors": 0}
FORMATS = ["csv", "tsv", "jsonl", "ndjson", "parquet"]
# Every example is an import of its own; the profile's size counts all the same.
few = settings(max_examples=settings().max_examples // 4)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows as a table, in the format that the file's ending names."""

    def write_(name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        if path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
        elif path.suffix in (".csv", ".tsv"):
            with open(path, "w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(
                    file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ","
                )
                table.writeheader()
                table.writerows(rows)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write_


def facts(events: Iterable[UsageEvent]) -> Counter[tuple[Any, ...]]:
    return Counter((e.pattern_id, e.outcome, e.state, e.context, e.timestamp) for e in events)


# -- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_same_rows_become_the_same_events_in_every_format(
    memory: Memory, write: Write, form: str
) -> None:
    rows = [
        {"p": "x", "o": "1", "c": 'a, "quoted"\ncontext', "t": "2025-07-01T12:00:00Z"},
        {"p": "x", "o": "0.25", "c": "ümläut\t", "t": "2025-07-01 13:00:00"},
        {"p": "y z", "o": "failed", "c": "", "t": "1751378400"},
        {"p": "x", "o": "", "c": "later", "t": "2025-07-01T15:00:00+00:00"},
    ]
    path = write(f"table.{form}", rows)
    report = import_table(memory, path, columns=COLUMNS | {"context": "c", "timestamp": "t"})
    assert report.to_dict() == {
        "read": {"rows": 4},
        "written": {"patterns": 2, "events": 4, "priors": 0},
        "skipped": [],
    }

    def at(hour: int) -> datetime:
        return datetime(2025, 7, 1, hour, tzinfo=UTC)

    assert facts(memory.iter_events()) == Counter(
        [
            ("x", 1.0, "resolved", 'a, "quoted"\ncontext', at(12)),
            ("x", 0.25, "resolved", "ümläut", at(13)),
            ("y z", 0.0, "resolved", None, at(14)),
            ("x", None, "pending", "later", at(15)),
        ]
    )


@pytest.mark.parametrize("form", FORMATS)
def test_all_fields_are_read(memory: Memory, write: Write, form: str) -> None:
    lists = form in ("jsonl", "ndjson", "parquet")
    row = {
        "what": "Run the linter",
        "kind": "testing",
        "how": "true",
        "id": "e1",
        "session": "s1",
        "files": ["a,b.py", "c.py"] if lists else "a,b.py;c.py",
        "tools": ["ruff"] if lists else "ruff",
        "ms": 1200.5 if form == "parquet" else "1200.5",
        "usd": 0.02 if lists else "0.02",
    }
    columns = {
        "pattern": "what", "pattern_type": "kind", "outcome": "how", "event_id": "id",
        "session_id": "session", "files": "files", "tools": "tools", "duration_ms": "ms", "cost": "usd",
    }  # fmt: skip
    assert not import_table(memory, write(f"t.{form}", [row]), columns=columns).skipped
    event = memory.get_event("e1")
    assert (event.session_id, event.files, event.tools) == ("s1", ("a,b.py", "c.py"), ("ruff",))
    assert (event.outcome, event.duration_ms, event.cost) == (1.0, 1200.5, 0.02)
    assert memory.get_pattern("Run the linter").pattern_type == "testing"


def test_parquet_types_are_read_as_what_they_mean(memory: Memory, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    noon = datetime(2025, 7, 1, 12, tzinfo=UTC)
    path = tmp_path / "t.parquet"
    table = {
        "p": pa.array([7]),
        "o": pa.array([True]),
        "t": pa.array([noon], pa.timestamp("ns", "Europe/Berlin")),
        'odd "name"': pa.array(["here"]),
    }
    pq.write_table(pa.table(table), path)
    columns = COLUMNS | {"timestamp": "t", "context": 'odd "name"'}
    assert not import_table(memory, path, columns=columns).skipped
    assert facts(memory.iter_events()) == Counter([("7", 1.0, "resolved", "here", noon)])


def test_json_values_are_read_as_what_they_mean(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"p": "a", "o": true, "t": 1751371200, "odd \\"key\\".x": "here"}\n{"o": 0, "p": "a"}\n'
    )
    columns = COLUMNS | {"timestamp": "t", "context": 'odd "key".x'}
    report = import_table(memory, path, columns=columns)
    assert (report.written["events"], report.skipped) == (2, [])
    contexts = {(e.outcome, e.context) for e in memory.iter_events()}
    assert contexts == {(1.0, "here"), (0.0, None)}


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_with_any_delimiter_line_end_and_mark_of_order(
    memory: Memory, tmp_path: Path, mark: str, end: str
) -> None:
    path = tmp_path / "t.csv"
    lines = [f"p{mark}o", f'"a{mark}b"{mark}1', "", f"c{mark}0"]
    path.write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode())
    report = import_table(memory, path, columns=COLUMNS)
    assert (report.read, report.skipped) == ({"rows": 2}, [])
    assert {pattern.description for pattern in memory.patterns()} == {f"a{mark}b", "c"}


def test_csv_with_line_ends_of_two_kinds_loses_no_row(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'p,o\n"a","1"\r\n"b","1"\n"c","1"\r\nd,1\n')
    assert import_table(memory, path, columns=COLUMNS).written["events"] == 4


def test_name_of_a_file_is_no_pattern_for_others(memory: Memory, tmp_path: Path) -> None:
    for name, pattern in (("t*.jsonl", "star"), ("t1.jsonl", "other")):
        (tmp_path / name).write_text(json.dumps({"p": pattern, "o": 1}) + "\n")
    import_table(memory, tmp_path / "t*.jsonl", columns=COLUMNS)
    assert [e.pattern_id for e in memory.iter_events()] == ["star"]


def test_name_of_a_file_is_no_sql(memory: Memory, write: Write) -> None:
    path = write("it's; DROP TABLE x --.parquet", [{"p": "a", "o": "1"}])
    assert import_table(memory, path, columns=COLUMNS).written["events"] == 1


# -- patterns -------------------------------------------------------------------------------------


def test_pattern_that_exists_is_used_as_it_is(memory: Memory, write: Write) -> None:
    long_id = "an id of 200 bytes " + "x" * 181
    for name in ("p1", long_id):
        memory.add_pattern(f"What {name} does", pattern_id=name, pattern_type="kept")
    rows = [{"p": "p1", "o": "1"}, {"p": long_id, "o": "1"}]
    assert import_table(memory, write("t.csv", rows), columns=COLUMNS).written["patterns"] == 0
    for name in ("p1", long_id):
        pattern = memory.get_pattern(name)
        assert (pattern.description, pattern.usage_count) == (f"What {name} does", 1)


@pytest.mark.parametrize(("text", "speaking"), [("x" * 128, True), ("x" * 129, False), ("a\nb", False)])
def test_new_pattern_has_its_description_as_id_where_that_can_be_one(
    memory: Memory, write: Write, text: str, speaking: bool
) -> None:
    import_table(memory, write("t.csv", [{"p": text, "o": "1"}] * 2), columns=COLUMNS)
    (pattern,) = memory.patterns()
    assert pattern.description == text
    assert (pattern.pattern_id == text) is speaking
    assert pattern.usage_count == 2


def test_row_that_is_refused_leaves_no_pattern(memory: Memory, write: Write) -> None:
    rows = [{"p": "x", "o": "2"}, {"p": "y", "o": "1", "t": "2999-01-01"}]
    path = write("t.csv", [{"t": ""} | row for row in rows])
    report = import_table(memory, path, columns=COLUMNS | {"timestamp": "t"})
    assert len(report.skipped) == 2
    assert memory.patterns() == []


# -- twice, and dry -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_rows_alike_are_several_tries_and_twice_is_once(
    memory: Memory, write: Write, form: str
) -> None:
    rows = [{"p": "x", "o": "1"}, {"p": "y", "o": "1"}, {"p": "x", "o": "1"}, {"p": "x", "o": "1"}]
    path = write(f"t.{form}", rows)
    predicted = import_table(memory, path, columns=COLUMNS, dry_run=True)
    assert memory.stats().events == 0
    assert import_table(memory, path, columns=COLUMNS).to_dict() == predicted.to_dict()
    assert predicted.written == {"patterns": 2, "events": 4, "priors": 0}
    before = memory.stats().journal_bytes
    assert import_table(memory, path, columns=COLUMNS).written == NOTHING
    assert import_table(memory, path, columns=COLUMNS, dry_run=True).written == NOTHING
    assert memory.stats().journal_bytes == before


def test_table_that_grew_adds_its_new_rows(memory: Memory, write: Write) -> None:
    rows = [{"p": "x", "o": "1"}, {"p": "y", "o": "0"}]
    import_table(memory, write("t.csv", rows), columns=COLUMNS)
    report = import_table(memory, write("t.csv", [*rows, *rows]), columns=COLUMNS)
    assert report.written == {"patterns": 0, "events": 2, "priors": 0}


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("batch", [1, 1_000])
def test_given_event_id_is_one_try_and_a_contradiction_is_told(
    memory: Memory, write: Write, monkeypatch: pytest.MonkeyPatch, dry_run: bool, batch: int
) -> None:
    monkeypatch.setattr(intake, "BATCH", batch)
    tries = [("1", "a"), ("1", "a"), ("0", "a"), ("", "a"), ("0", "b"), ("1", "b"), ("1", "c")]
    path = write("t.csv", [{"p": "x", "o": outcome, "e": name} for outcome, name in tries])
    report = import_table(memory, path, columns=COLUMNS | {"event_id": "e"}, dry_run=dry_run)
    assert report.written == {"patterns": 1, "events": 3, "priors": 0}
    assert [skip.place for skip in report.skipped] == ["row 3", "row 6"]
    assert "outcome 1.0, not 0.0" in report.skipped[0].reason


def test_row_without_the_event_id_that_others_have_gets_one(memory: Memory, write: Write) -> None:
    rows = [
        {"p": "x", "o": "1", "e": ""},
        {"p": "x", "o": "1", "e": "a"},
        {"p": "x", "o": "1", "e": ""},
    ]
    columns = COLUMNS | {"event_id": "e"}
    assert import_table(memory, write("t.csv", rows), columns=columns).written["events"] == 3
    assert import_table(memory, write("t.csv", rows), columns=columns).written["events"] == 0


# -- bad rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p": ""}, "column 'p' is empty"),
        ({"p": "x" * 70_000}, "column 'p' has 70,000 bytes"),
        ({"o": "maybe"}, "column 'o' is 'maybe'"),
        ({"o": "1.5"}, "column 'o' is 1.5"),
        ({"o": "nan"}, "column 'o' is 'nan'"),
        ({"c": "x" * 70_000}, "column 'c' has 70,000 bytes"),
        ({"t": "soon"}, "column 't' is 'soon'"),
        ({"t": "2199-01-01T00:00:00Z"}, "column 't' is 2199-01-01T00:00:00"),
        ({"t": "1751371200000"}, "expected ISO 8601 or seconds since 1970"),
        ({"t": "-5"}, "expected a time from 1970"),
        ({"e": "a\nb"}, "column 'e' is 'a.nb'; expected one line"),
        ({"s": "x" * 600}, "column 's' has 600 bytes"),
        ({"f": "[1]"}, "column 'f' has 1"),
        ({"d": "-1"}, "column 'd' is -1.0"),
        ({"d": "fast"}, "column 'd' is 'fast'"),
    ],
)
def test_bad_row_is_one_skip_and_the_others_are_imported(
    memory: Memory, write: Write, change: dict[str, str], reason: str
) -> None:
    good = {"p": "x", "o": "1", "c": "here", "t": "2025-01-01", "e": "", "s": "s", "f": "a", "d": "1"}
    path = write("t.csv", [good, good | change, good])
    more = {"context": "c", "timestamp": "t", "event_id": "e", "session_id": "s", "files": "f"}
    columns = COLUMNS | more | {"duration_ms": "d"}
    report = import_table(memory, path, columns=columns)
    (skip,) = report.skipped
    assert (skip.path, skip.place) == (str(path), "row 2")
    assert re.search(reason, skip.reason)
    assert report.read == {"rows": 2}
    assert report.written["events"] == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"x", "has 1 columns; the header has 2"),
        (b"x,1,2", "has 3 columns; the header has 2"),
        (b"x\xff,1", "is not UTF-8"),
        (b'"x"y,1', "lines 3 to 3 are no row: ',' expected after '\"'"),
        (b'"' + b"x" * 200_000 + b'",1', "lines 3 to 3 are no row: field larger than field limit"),
        (b"x" * (5 << 20) + b",1", "lines 3 to 3 are no row: a line has 4,194,304 characters or more"),
    ],
    ids=range(6),  # some are too long for a name
)
def test_broken_csv_row_is_one_skip_and_the_others_are_imported(
    memory: Memory, tmp_path: Path, row: bytes, reason: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"p,o\nx,1\n" + row + b"\ny,1\nz,bad\n")
    report = import_table(memory, path, columns=COLUMNS)
    assert [skip.place for skip in report.skipped] == ["row 2", "row 4"]
    assert report.skipped[0].reason.startswith(reason)
    assert {e.pattern_id for e in memory.iter_events()} == {"x", "y"}


def test_quote_without_its_end_names_the_lines_that_it_took(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('p,o\nx,1\n"y,1\nz,1\n')
    report = import_table(memory, path, columns=COLUMNS)
    assert [(skip.place, skip.reason) for skip in report.skipped] == [
        ("row 2", "lines 3 to 4 are no row: unexpected end of data")
    ]
    assert report.written["events"] == 1


@pytest.mark.parametrize("line", ["{torn", "[1, 2]", '"text"', "null", '{"p": "\\ud800", "o": 1}'])
def test_broken_json_line_is_one_skip_and_the_others_are_imported(
    memory: Memory, tmp_path: Path, line: str
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"p": "x", "o": 1}}\n{line}\n{{"p": "y", "o": 1}}\n')
    report = import_table(memory, path, columns=COLUMNS)
    assert [(skip.place, skip.reason) for skip in report.skipped] == [("row 2", "is no JSON object")]
    assert report.written["events"] == 2


# -- bad files and maps ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pattern": "p"}, "lacks outcome"),
        ({"outcome": "o"}, "lacks pattern"),
        (COLUMNS | {"result": "o"}, "unknown field 'result'.*context, timestamp"),
        (COLUMNS | {"context": "nope"}, "no column 'nope'; it has p, o, c"),
        (COLUMNS | {"context": ""}, "a column's name is empty"),
        (COLUMNS | {"context": 3}, "a column's name is int"),
        (COLUMNS | {"context": "\ud800"}, "hidden character"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_wrong_map_is_refused_and_says_what_there_is(
    memory: Memory, write: Write, form: str, columns: dict[str, Any], message: str
) -> None:
    path = write(f"t.{form}", [{"p": "x", "o": "1", "c": "here"}])
    # JSON keys have no order of their own.
    expected = message.replace("p, o, c", "c, o, p") if form == "jsonl" else message
    with pytest.raises(InvalidInputError, match=expected):
        import_table(memory, path, columns=columns)
    assert memory.stats().events == 0


def test_json_key_that_only_the_last_line_has_is_a_column(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    lines = ['{"p": "x", "o": 1}\n'] * 2_500 + ['{"p": "x", "o": 1, "c": "here"}\n']
    path.write_text("".join(lines))
    report = import_table(memory, path, columns=COLUMNS | {"context": "c"})
    assert report.written["events"] == 2_501


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "no column 'p'; it has none"),
        ("t.csv", b"p,o,o\nx,1,1\n", "several columns 'o'"),
        ("t.csv", "p,o\nx,1\n".encode("utf-16"), "no column 'p'"),
        ("t.jsonl", b"", "no column 'p'; it has none"),
        ("t.jsonl", b"\x00\xff", "no column 'p'; it has none"),
        ("t.parquet", b"", "cannot be read as parquet"),
        ("t.parquet", b"PAR1garbagegarbagePAR1", "cannot be read as parquet"),
        ("t.xlsx", b"PK", "ends in none of .csv, .tsv"),
        ("table", b"p,o\n", "ends in none of .csv, .tsv"),
    ],
)
def test_file_that_is_no_table_is_refused(
    memory: Memory, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match=message) as caught:
        import_table(memory, tmp_path / name, columns=COLUMNS)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_what_is_no_file_is_refused(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("folder.csv", "pipe.csv", "absent.csv"):
        with pytest.raises(InvalidInputError, match="is no file"):
            import_table(memory, tmp_path / name, columns=COLUMNS)


@few
@given(
    content=st.binary(max_size=200)
    | st.text(st.sampled_from('p,o"x1\r\n;'), max_size=60).map(str.encode)
)
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_any_file_is_read_or_refused_and_loses_nothing(
    open_memory: Callable[..., Memory], tmp_path: Path, form: str, content: bytes
) -> None:
    memory = open_memory(durability="process")
    memory.add_pattern("Kept as it is", pattern_id="x", pattern_type="kept")
    header = b"" if form == "parquet" else b"p,o\n"
    (tmp_path / f"t.{form}").write_bytes(header + content)
    try:
        with read_here():
            report = import_table(memory, tmp_path / f"t.{form}", columns=COLUMNS)
        json.dumps(report.to_dict())
    except InvalidInputError:
        pass
    assert memory.get_pattern("x").pattern_type == "kept"


@few
@given(data=st.data())
def test_csv_is_read_as_it_was_written(tmp_path: Path, data: st.DataObject) -> None:
    cells = st.text(st.sampled_from("ab ,;\"'\n\r\té"), max_size=6)
    rows = data.draw(st.lists(st.tuples(cells, st.sampled_from(["0", "1", "0.5"])), max_size=8))
    path = tmp_path / "t.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        end = data.draw(st.sampled_from(["\n", "\r\n"]))
        table = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL)
        table.writerows([("c", "o", "p"), *((c, o, "x") for c, o in rows)])
    assert list(_texts(path)) == [(o, c) for c, o in rows]


def _texts(path: Path) -> Iterable[Any]:
    for item in table.read(str(path), ["o", "c"], None):
        if not isinstance(item, table.Keys):
            yield item.texts if isinstance(item, table.Row) else item


# -- size -----------------------------------------------------------------------------------------


def test_table_is_written_in_batches_and_told_in_steps(
    memory: Memory, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    record_imported = memory.record_imported

    def counted(events: Iterable[NewEvent | Mapping[str, Any]], **options: Any) -> list[UsageEvent]:
        made = record_imported(events, **options)
        sizes.append(len(made))
        return made

    monkeypatch.setattr(memory, "record_imported", counted)
    done: list[int] = []
    rows = [{"p": f"p{n % 7}", "o": "1", "c": f"context {n % 100}"} for n in range(10_500)]
    columns = COLUMNS | {"context": "c"}
    report = import_table(memory, write("t.csv", rows), columns=columns, progress=done.append)
    assert report.written == {"patterns": 7, "events": 10_500, "priors": 0}
    assert sum(done) == 10_500
    assert len(done) > 5
    assert sum(sizes) == 10_500
    assert max(sizes) <= intake.BATCH


def test_large_contexts_make_smaller_batches(
    memory: Memory, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    record_imported = memory.record_imported

    def counted(events: Iterable[NewEvent | Mapping[str, Any]], **options: Any) -> list[UsageEvent]:
        made = record_imported(events, **options)
        batches.append(sum(len(event.context or "") for event in made))
        return made

    monkeypatch.setattr(memory, "record_imported", counted)
    rows = [{"p": "p", "o": "1", "c": f"{n}".ljust(60_000, "x")} for n in range(300)]
    import_table(memory, write("t.csv", rows), columns=COLUMNS | {"context": "c"})
    assert sum(batches) >= 300 * 60_000 - 300
    assert max(batches) <= 9 << 20
