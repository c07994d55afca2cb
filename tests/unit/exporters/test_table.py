from __future__ import annotations

import csv
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from whatworks import InvalidInputError, Memory, StoreError
from whatworks.exporters import export_table
from whatworks.importers import import_table

START = datetime(2025, 1, 1, tzinfo=UTC)
COLUMNS = {
    name: name
    for name in (
        *("outcome", "context", "timestamp", "event_id", "session_id"),
        *("files", "tools", "duration_ms", "cost"),
    )
} | {"pattern": "pattern_id"}


@pytest.fixture
def filled(memory: Memory) -> Memory:
    memory.add_pattern('Words, "quoted"\nand more', pattern_id="p1", created_at=START)
    memory.record(
        "p1", outcome=0.25, context="a, b\nc", timestamp=START, event_id="e1", session_id="s",
        files=["a,b.py", "c;d.py"], tools=["rg"], duration_ms=1.5, cost=0.1, metadata={"k": [1]},
    )  # fmt: skip
    memory.record("p1", outcome=None, timestamp=START.replace(day=2), event_id="e2")
    return memory


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table as Python values."""
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def test_csv_holds_the_events_the_oldest_first(filled: Memory, tmp_path: Path) -> None:
    assert export_table(filled, tmp_path / "out.csv") == {"events": 2}
    first, second = rows(tmp_path / "out.csv")
    assert (first["event_id"], second["event_id"]) == ("e1", "e2")
    assert first["context"] == "a, b\nc"
    assert first["outcome"] == "0.25"
    assert first["files"] == '["a,b.py","c;d.py"]'
    assert first["metadata"] == '{"k":[1]}'
    assert first["timestamp"].startswith("2025-01-01 00:00:00")
    assert (second["outcome"], second["state"]) == ("", "pending")


def test_parquet_holds_the_events_with_their_types(filled: Memory, tmp_path: Path) -> None:
    assert export_table(filled, tmp_path / "out.parquet", format="parquet") == {"events": 2}
    first, second = rows(tmp_path / "out.parquet")
    assert first["files"] == ["a,b.py", "c;d.py"]
    assert first["timestamp"] == datetime(2025, 1, 1)
    assert (first["outcome"], second["outcome"]) == (0.25, None)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_patterns_are_exported_with_their_record(filled: Memory, tmp_path: Path, form: Any) -> None:
    export_table(filled, tmp_path / f"out.{form}", kind="patterns", format=form)
    (pattern,) = rows(tmp_path / f"out.{form}")
    assert pattern["description"] == 'Words, "quoted"\nand more'
    assert float(pattern["success_rate"]) == 0.25
    assert int(pattern["usage_count"]) == 2


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_exported_events_can_be_imported(
    filled: Memory, open_memory: Callable[..., Memory], tmp_path: Path, form: Any
) -> None:
    export_table(filled, tmp_path / f"out.{form}", format=form)
    other = open_memory(tmp_path / "other")
    assert import_table(other, tmp_path / f"out.{form}", columns=COLUMNS).skipped == []
    for name in ("e1", "e2"):
        ours, theirs = filled.get_event(name), other.get_event(name)
        for field in ("outcome", "context", "timestamp", "session_id", "files", "tools", "cost"):
            assert getattr(ours, field) == getattr(theirs, field)


def test_folder_gets_a_file_named_after_kind_and_format(filled: Memory, tmp_path: Path) -> None:
    export_table(filled, tmp_path, kind="patterns", format="parquet")
    assert (tmp_path / "patterns.parquet").is_file()


def test_file_is_private_and_nothing_else_is_left(filled: Memory, tmp_path: Path) -> None:
    folder = tmp_path / "it's * here"
    folder.mkdir()
    for _ in range(2):
        export_table(filled, folder / "out.csv")
    assert [path.name for path in folder.iterdir()] == ["out.csv"]
    assert stat.S_IMODE((folder / "out.csv").stat().st_mode) == 0o600


def test_export_that_fails_leaves_what_was_there(
    filled: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "out.csv").write_text("before")

    def fail(kind: str, path: Path, *, form: str) -> int:
        path.write_text("half")
        raise StoreError("no more")

    monkeypatch.setattr(filled, "copy_table", fail)
    with pytest.raises(StoreError, match="no more"):
        export_table(filled, folder / "out.csv")
    assert [path.read_text() for path in folder.iterdir()] == ["before"]


@pytest.mark.parametrize("change", [{"kind": "tables"}, {"format": "xlsx"}])
def test_other_kinds_and_formats_are_refused(filled: Memory, tmp_path: Path, change: Any) -> None:
    with pytest.raises(InvalidInputError, match="expected one of"):
        export_table(filled, tmp_path, **change)
    assert list(tmp_path.glob("*.*")) == []
