"""Stores that were broken on purpose, before and after ``whatworks doctor --repair``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import Result

from whatworks import Memory, NotFoundError, StoreBusyError
from whatworks.doctor import examine
from whatworks.repair import repair
from whatworks.testing import HashEmbedder

Run = Callable[..., Result]


@pytest.fixture
def healthy(filled: Any) -> Path:
    path: Path = filled.path
    path.chmod(0o700)
    return path


def faults(path: Path) -> list[tuple[str, str]]:
    return [(item.layer, item.message) for item in examine(path) if item.status != "ok"]


def events(path: Path) -> int:
    with Memory.open(path, embedder=HashEmbedder()) as memory:
        assert memory.find_similar("unresolved import")
        assert memory.stats().problems == ()
        return memory.stats().events


def segment(path: Path) -> Path:
    (only,) = (path / "journal").glob("*.log")
    return only


def state(path: Path) -> dict[str, Any]:
    return {
        str(item): (item.stat().st_mode, item.read_bytes() if item.is_file() else None)
        for item in [path, *path.rglob("*")]
        if item.suffix != ".seal"  # names the time of the file it is of, which opening changes
    }


def test_a_healthy_store_is_left_alone(healthy: Path) -> None:
    before = state(healthy)
    assert repair(healthy) == []
    assert state(healthy) == before


TORN = b"0123abcd 77 event.rec"


def test_a_torn_end_is_cut_off_and_kept(healthy: Path) -> None:
    whole = segment(healthy).read_bytes()
    segment(healthy).write_bytes(whole + TORN)
    (done,) = repair(healthy)
    assert done.layer == "journal" and "21 bytes" in done.message
    assert segment(healthy).read_bytes() == whole
    (kept,) = (healthy / "quarantine").glob("*.from-*")
    assert kept.read_bytes() == TORN and kept.name in done.message
    assert kept.name in (healthy / "quarantine" / "report.txt").read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert faults(healthy) == [] and events(healthy) == 32
    assert repair(healthy) == []


def test_an_end_that_another_process_is_writing_is_left_alone(healthy: Path) -> None:
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.flock(f, fcntl.LOCK_EX); "
        "f.write(sys.argv[2].encode()); f.flush(); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(segment(healthy)), TORN.decode()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"held\n"
        assert repair(healthy) == []
        assert segment(healthy).read_bytes().endswith(TORN)
        writer.communicate()
    assert [item.layer for item in repair(healthy)] == ["journal"]


def test_damaged_records_are_left_where_they_are(healthy: Path) -> None:
    data = segment(healthy).read_bytes()
    place = data.index(b"try-0")
    segment(healthy).write_bytes(data[:place] + b"x" + data[place + 1 :])
    (healthy / "evidence.duckdb").unlink()
    repair(healthy)
    assert [layer for layer, _ in faults(healthy)] == ["journal"]
    assert len(segment(healthy).read_bytes()) >= len(data)


@pytest.mark.parametrize("damage", ["header", "none", "half"])
def test_evidence_that_does_not_open_is_made_anew_and_kept(healthy: Path, damage: str) -> None:
    path = healthy / "evidence.duckdb"
    if damage == "header":
        path.write_bytes(b"no database" + path.read_bytes()[11:])
    elif damage == "half":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink()
    done = repair(healthy)
    assert "evidence" in {item.layer for item in done}
    assert (damage == "none") == (not (healthy / "quarantine").exists())
    assert faults(healthy) == [] and events(healthy) == 32


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pattern_rows SET used = used + 1",
        "DELETE FROM cells",
        "DELETE FROM embeddings WHERE collection = 'patterns'",
    ],
)
def test_evidence_that_does_not_add_up_is_made_anew(healthy: Path, statement: str) -> None:
    with duckdb.connect(str(healthy / "evidence.duckdb")) as con:
        con.execute(statement)
    done = repair(healthy)
    assert [item.layer for item in done][:1] == ["evidence"] and "made anew" in done[0].message
    assert faults(healthy) == [] and events(healthy) == 32


def test_vectors_that_do_not_fit_are_thrown_away(healthy: Path) -> None:
    shutil.rmtree(healthy / "vectors" / "1" / "contexts" / "store")
    assert [item.layer for item in repair(healthy)] == ["vectors"]
    assert faults(healthy) == [] and events(healthy) == 32


def test_modes_and_left_overs_are_mended(healthy: Path) -> None:
    healthy.chmod(0o755)
    segment(healthy).chmod(0o644)
    (healthy / "store.json.tmp").write_text("{")
    (healthy / "evidence.duckdb.new").write_bytes(b"half")
    (healthy / "vectors" / "7").mkdir()
    (healthy / "evidence.aside-20260101T000000.duckdb").write_text("old")
    messages = " ".join(item.message for item in repair(healthy))
    for name in ("store.json.tmp", "evidence.duckdb.new", "vectors/7", "evidence.aside-2026"):
        assert name in messages
    assert segment(healthy).stat().st_mode & 0o777 == 0o600
    assert faults(healthy) == [] and events(healthy) == 32
    assert (healthy / "quarantine" / "evidence.aside-20260101T000000.duckdb").exists()


def test_a_store_in_use_is_not_touched(healthy: Path) -> None:
    segment(healthy).chmod(0o644)
    with Memory.open(healthy, embedder="none") as memory:
        memory.stats()
        before = state(healthy / "journal")
        with pytest.raises(StoreBusyError):
            repair(healthy)
        assert state(healthy / "journal") == before


def test_nothing_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        repair(tmp_path / "none")
    assert not (tmp_path / "none").exists()


KILLED = "import sys; from whatworks.repair import repair; repair(sys.argv[1])"


@pytest.mark.parametrize("point", ["quarantined", "cut", "evidence"])
def test_a_killed_repair_can_be_repeated(healthy: Path, point: str) -> None:
    whole = segment(healthy).read_bytes()
    segment(healthy).write_bytes(whole + TORN)
    (healthy / "evidence.duckdb").write_bytes(b"no database")
    environment = os.environ | {"WHATWORKS_FAIL": f"repair.{point}"}
    command = [sys.executable, "-c", KILLED, str(healthy)]
    assert subprocess.run(command, check=False, env=environment).returncode == 9
    repair(healthy)
    assert segment(healthy).read_bytes() == whole
    assert [item.read_bytes() for item in (healthy / "quarantine").glob("*.from-*")] == [TORN]
    assert faults(healthy) == [] and events(healthy) == 32


# -- on the command line ------------------------------------------------------------------------------


def test_the_doctor_says_what_was_wrong_what_was_done_and_what_is_left(run: Run, healthy: Path) -> None:
    segment(healthy).write_bytes(segment(healthy).read_bytes() + TORN)
    result = run("doctor", "--repair", "--store", healthy, columns=200)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.index("1 to look at") < result.stdout.index("cut off the end")
    assert result.stdout.endswith("all is well\n")
    assert "nothing was repaired" in run("doctor", "--repair", "--store", healthy).stdout
    healthy.chmod(0o755)
    told = json.loads(run("doctor", "--repair", "--store", healthy, "--json").stdout)
    assert [item["status"] for item in told["before"]].count("ok") == len(told["before"]) - 1
    assert [item["layer"] for item in told["repairs"]] == ["folder"]
    assert {item["status"] for item in told["after"]} == {"ok"}


def test_the_doctor_repairs_nothing_in_a_store_in_use(run: Run, healthy: Path) -> None:
    with Memory.open(healthy, embedder="none"):
        assert run("doctor", "--repair", "--store", healthy).exit_code == 5


def test_what_cannot_be_repaired_stays_a_finding(run: Run, healthy: Path) -> None:
    (healthy / "store.json").write_text("{")
    result = run("doctor", "--repair", "--store", healthy)
    assert result.exit_code == 3 and "restore store.json" in " ".join(result.stdout.split())


def test_a_backup_made_and_restored_on_the_command_line_is_the_store(
    run: Run, healthy: Path, tmp_path: Path
) -> None:
    made = json.loads(run("backup", tmp_path / "b", "--store", healthy, "--json").stdout)
    assert (made["patterns"], made["events"], made["removed"]) == (2, 32, [])
    shown = run("restore", made["path"], "--store", tmp_path / "new").stdout
    assert str(tmp_path / "new") in shown and "2 patterns and 32 events, as of 20" in shown
    before, after = (
        run("events", "--limit", "99", "--store", store, "--json").stdout
        for store in (healthy, tmp_path / "new")
    )
    assert before == after
    assert faults(tmp_path / "new") == []
    again = run("backup", tmp_path / "b", "--keep", "1", "--store", healthy).stdout
    assert f"removed {made['path']}" in again.replace("\n", " ") or "removed" in again


def test_a_damaged_backup_and_a_full_folder_are_refused(
    run: Run, healthy: Path, tmp_path: Path
) -> None:
    made = json.loads(run("backup", tmp_path / "b", "--store", healthy, "--json").stdout)
    assert run("restore", made["path"], "--store", healthy).exit_code == 6
    assert run("restore", tmp_path / "b", "--store", tmp_path / "new").exit_code == 4
    assert run("backup", healthy / "b", "--store", healthy).exit_code == 2
    (Path(made["path"]) / "store.json").write_text("{}")
    result = run("restore", made["path"], "--store", tmp_path / "new")
    assert result.exit_code == 6 and "store.json" in result.stderr
    assert not (tmp_path / "new").exists()
