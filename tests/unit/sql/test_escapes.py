"""No statement reads, writes, reaches or runs what it may not; each layer is enough alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from whatworks import InvalidInputError, Memory

HERE = Path(__file__).parent
sys.path.append(str(HERE))

from escapes import CANARY, ESCAPES, NESTED  # noqa: E402


class Place(NamedTuple):
    """Where statements run: a copy of a store, and a folder they should not reach."""

    snapshot: Path
    outside: Path

    def statements(self, escapes: Sequence[str] = ESCAPES) -> list[str]:
        file, new = self.outside / "secret", self.outside / "new"
        return [escape.format(file=file, new=new) if "{" in escape else escape for escape in escapes]

    def run(self, statements: Sequence[str], layers: Sequence[str]) -> list[list[str]]:
        request = {"snapshot": str(self.snapshot), "statements": statements, "layers": layers}
        done = subprocess.run(
            [sys.executable, str(HERE / "layers.py")],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=True,
            cwd=self.outside,
        )
        answered = json.loads(done.stdout.splitlines()[-1])  # one of them writes there, too
        assert answered["kilobytes"] < 1_000_000
        said: list[list[str]] = answered["said"]
        return said

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.outside.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sql")
    with Memory.open(folder / "store", embedder="none") as memory:
        pattern = memory.add_pattern("read the traceback from the bottom")
        memory.record(pattern.pattern_id, outcome=1.0, context="a test that fails")
    shutil.copy(folder / "store" / "evidence.duckdb", folder / "snapshot.duckdb")
    return folder / "snapshot.duckdb"


@pytest.fixture
def place(snapshot: Path, tmp_path: Path) -> Place:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("secret", "secret.csv"):
        (outside / name).write_text(f"a\n{CANARY}\n")
    (outside / "secret.json").write_text(json.dumps({"a": CANARY}))
    shutil.copy(snapshot, tmp_path / "snapshot.duckdb")
    return Place(tmp_path / "snapshot.duckdb", outside)


def test_there_are_more_than_150_escapes_and_all_differ() -> None:
    assert len(set(ESCAPES)) == len(ESCAPES) >= 150


def test_no_escape_is_a_statement_that_may_run(place: Place) -> None:
    said = place.run(place.statements(), ["statement", "engine", "process"])
    ran = [query for query, (how, _) in zip(ESCAPES, said, strict=True) if how == "ran"]
    assert ran == []


@pytest.mark.parametrize("layers", [["engine"], ["process"], ["engine", "process"]], ids="+".join)
def test_without_a_look_at_the_statement_nothing_outside_is_read_or_written(
    place: Place, layers: list[str]
) -> None:
    before = place.files()
    said = place.run(place.statements(), layers)
    told = [query for query, (_, text) in zip(ESCAPES, said, strict=True) if CANARY in text]
    assert told == []
    assert place.files() == before


def test_without_any_layer_the_same_statements_read_the_file_and_write_others(place: Place) -> None:
    before = place.files()
    said = place.run(place.statements(), [])
    told = [query for query, (_, text) in zip(ESCAPES, said, strict=True) if CANARY in text]
    assert len(told) >= 20
    assert len(place.files().keys() - before.keys()) >= 1


def test_a_read_is_found_wherever_it_stands_in_a_statement(place: Place) -> None:
    said = place.run(place.statements(NESTED), ["statement"])
    assert {how for how, _ in said} == {"RefusedError"}


def test_what_is_asked_through_a_memory_tells_nothing_and_leaves_the_store_as_it_was(
    tmp_path: Path,
) -> None:
    (tmp_path / "secret").write_text(CANARY)
    some = [*ESCAPES[::12], "SELECT 1; SELECT 2"]
    with Memory.open(tmp_path / "store", embedder="none") as memory:
        pattern = memory.add_pattern("read the traceback from the bottom")
        for escape in some:
            query = escape.format(file=tmp_path / "secret", new=tmp_path / "new")
            with pytest.raises(InvalidInputError) as refused:
                memory.sql(query)
            assert CANARY not in str(refused.value)
            assert "\n" not in str(refused.value)
        assert memory.get_pattern(pattern.pattern_id) == pattern
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "store"]


def test_the_process_that_runs_it_has_no_right_to_open_anything(place: Place) -> None:
    tried: list[Any] = place.run(["SELECT * FROM read_text('/etc/hostname')"], ["process"])
    assert tried[0][0] == "IOException"
    assert "Too many open files" in tried[0][1]
