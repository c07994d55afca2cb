"""The examination of stores that were broken on purpose, layer by layer."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from whatworks import Memory, NotFoundError
from whatworks.doctor import Finding, examine
from whatworks.embedders import minilm_parts
from whatworks.testing import HashEmbedder


@pytest.fixture
def healthy(filled: Any) -> Path:
    path: Path = filled.path
    path.chmod(0o700)
    return path


def faults(path: Path) -> list[Finding]:
    """All findings but those that all is well."""
    return [finding for finding in examine(path) if finding.status != "ok"]


def fault(path: Path) -> Finding:
    """The only fault."""
    found = faults(path)
    assert len(found) == 1, found
    return found[0]


def segment(path: Path) -> Path:
    (only,) = (path / "journal").glob("*.log")
    return only


def rebuild(path: Path) -> None:
    with Memory.open(path, embedder=HashEmbedder()) as memory:
        memory.rebuild()


def fingerprint(path: Path) -> dict[str, Any]:
    """Content, mode and time of every file and folder."""
    return {
        str(item): (
            item.stat().st_mode,
            item.stat().st_mtime_ns,
            sha256(item.read_bytes()).hexdigest() if item.is_file() else "",
        )
        for item in [path, *path.rglob("*")]
    }


# -- healthy stores -------------------------------------------------------------------------------


def test_every_layer_of_a_healthy_store_is_well(healthy: Path) -> None:
    found = examine(healthy)
    assert {finding.status for finding in found} == {"ok"}
    assert list(dict.fromkeys(finding.layer for finding in found)) == [
        "versions", "folder", "lock", "store.json", "journal", "evidence", "vectors", "embedder",
        "disk",
    ]  # fmt: skip
    assert not any(finding.remedy for finding in found)


def test_a_store_that_was_never_written_is_well(tmp_path: Path) -> None:
    Memory.open(tmp_path / "s").close()
    assert faults(tmp_path / "s") == []


def test_a_store_whose_events_have_no_context_is_well(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "store", embedder=HashEmbedder(), vectors="exact") as memory:
        memory.record(memory.add_pattern("try again").pattern_id, outcome=1.0)
        memory.flush()
    assert faults(tmp_path / "store") == []


def test_what_waits_is_no_fault(healthy: Path) -> None:
    with Memory.open(healthy, embedder="none") as memory:
        memory.add_pattern("A new one")
    assert faults(healthy) == []
    assert any("1 texts wait" in finding.message for finding in examine(healthy))


def test_an_examination_changes_nothing(healthy: Path) -> None:
    kill_while_writing(healthy)
    before = fingerprint(healthy)
    examine(healthy)
    assert fingerprint(healthy) == before
    (healthy / "keeper.lock").unlink()
    (healthy / "evidence.duckdb").unlink()
    shutil.rmtree(healthy / "vectors")
    before = fingerprint(healthy)
    examine(healthy)
    assert fingerprint(healthy) == before


def kill_while_writing(path: Path) -> None:
    """Leave what a killed process leaves: a write-ahead log, a journal that is ahead."""
    code = (
        "import os, signal, sys\nfrom whatworks import Memory\n"
        "memory = Memory.open(sys.argv[1], embedder='none')\n"
        "memory.add_pattern('one'); memory.stats(); memory.add_pattern('two')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_process_leaves_is_well(healthy: Path) -> None:
    kill_while_writing(healthy)
    assert (healthy / "evidence.duckdb.wal").exists()
    assert faults(healthy) == []


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="whatworks init"):
        examine(tmp_path / "none")


# -- folder, lock, store.json ---------------------------------------------------------------------


def test_a_folder_open_to_others_is_found(healthy: Path) -> None:
    healthy.chmod(0o755)
    found = fault(healthy)
    assert (found.layer, found.status) == ("folder", "warn")
    subprocess.run(shlex.split(found.remedy), check=True)
    assert faults(healthy) == []


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert ("folder", "bad") in [(item.layer, item.status) for item in examine(tmp_path / "file")]


def test_a_store_in_use_is_examined_as_far_as_that_is_safe(healthy: Path) -> None:
    with Memory.open(healthy, embedder="none") as memory:
        memory.add_pattern("A new one")
        found = examine(healthy)
    assert not {"evidence", "vectors"} & {finding.layer for finding in found}
    (lock,) = [finding for finding in found if finding.status != "ok"]
    assert (lock.layer, lock.status) == ("lock", "warn")
    assert f"process {os.getpid()};" in lock.message
    assert faults(healthy) == []


def test_two_examinations_do_not_disturb_each_other(healthy: Path) -> None:
    with open(healthy / "keeper.lock") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert faults(healthy) == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": "one"}', '{"format": 1}', '{"format": 99}']
)
def test_a_broken_configuration_is_found(healthy: Path, content: str) -> None:
    (healthy / "store.json").write_text(content)
    found = fault(healthy)
    assert (found.layer, found.status) == ("store.json", "bad")
    assert found.remedy


def test_a_missing_configuration_does_not_hide_the_rest(healthy: Path) -> None:
    (healthy / "store.json").unlink()
    corrupt(segment(healthy))
    assert [finding.layer for finding in faults(healthy)] == ["store.json", "journal"]


def test_an_engine_that_is_not_installed_is_found(healthy: Path) -> None:
    config = orjson.loads((healthy / "store.json").read_bytes())
    (healthy / "store.json").write_bytes(orjson.dumps(config | {"vectors": "abacus"}))
    found = faults(healthy)[0]
    assert (found.layer, found.status) == ("store.json", "bad")
    assert "abacus" in found.message and "abacus" in found.remedy


# -- journal --------------------------------------------------------------------------------------


def corrupt(path: Path, line: int = 3) -> int:
    """Flip one bit in the middle of a line, and return the line's offset."""
    data = path.read_bytes()
    offset = sum(len(item) + 1 for item in data.split(b"\n")[:line])
    place = offset + 20
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    return offset


def test_a_flipped_bit_in_the_journal_is_found(healthy: Path) -> None:
    offset = corrupt(segment(healthy))
    found = fault(healthy)
    assert (found.layer, found.status) == ("journal", "bad")
    assert f"1 damaged records, the first at byte {offset}" in found.message
    assert "backup" in found.remedy


def test_a_record_that_was_cut_out_is_found(healthy: Path) -> None:
    path = segment(healthy)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]) + lines[2])
    found = fault(healthy)
    assert (found.layer, found.status) == ("journal", "bad")
    assert "record 3 at byte" in found.message


def test_a_torn_end_is_found_and_can_be_cut_off(healthy: Path) -> None:
    path = segment(healthy)
    whole = path.stat().st_size
    with open(path, "ab") as file:
        file.write(b"0123abcd 77 event.rec")
    found = fault(healthy)
    assert (found.layer, found.status) == ("journal", "warn")
    assert "21 bytes" in found.message and "nothing is lost" in found.message
    subprocess.run(shlex.split(found.remedy), check=True)
    assert path.stat().st_size == whole
    assert faults(healthy) == []


def test_an_end_that_is_being_written_is_no_fault(healthy: Path) -> None:
    with open(segment(healthy), "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as whoever writes a segment does
        file.write(b"0123abcd 77 event.rec")
        file.flush()
        assert faults(healthy) == []
    assert fault(healthy).layer == "journal"


def test_a_segment_of_another_store_is_found(healthy: Path, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "other", embedder="none") as memory:
        memory.add_pattern("x")
    shutil.copy(segment(tmp_path / "other"), healthy / "journal")
    found = fault(healthy)
    assert (found.layer, found.status) == ("journal", "warn")
    assert "another store" in found.message


def test_a_missing_journal_is_found(healthy: Path) -> None:
    shutil.rmtree(healthy / "journal")
    assert ("journal", "bad") in [(item.layer, item.status) for item in faults(healthy)]


# -- evidence -------------------------------------------------------------------------------------


def test_missing_evidence_is_found_and_rebuilt(healthy: Path) -> None:
    (healthy / "evidence.duckdb").unlink()
    found = fault(healthy)
    assert (found.layer, found.status, found.remedy) == ("evidence", "warn", "whatworks rebuild")
    rebuild(healthy)
    assert faults(healthy) == []


def test_damaged_evidence_is_found_and_rebuilt(healthy: Path) -> None:
    path = healthy / "evidence.duckdb"
    path.write_bytes(b"no database" + path.read_bytes()[11:])
    found = fault(healthy)
    assert (found.layer, found.status, found.remedy) == ("evidence", "bad", "whatworks rebuild")
    rebuild(healthy)
    assert faults(healthy) == []


def test_evidence_that_was_moved_aside_is_found(healthy: Path) -> None:
    (healthy / "evidence.aside-20260101T000000.duckdb").write_text("old")
    found = fault(healthy)
    assert found.status == "warn"
    subprocess.run(shlex.split(found.remedy), check=True)
    assert faults(healthy) == []


def change(path: Path, statement: str) -> None:
    with duckdb.connect(str(path / "evidence.duckdb")) as con:
        con.execute(statement)


FIRST_CELL = "context_no = 0 AND day = (SELECT min(day) FROM cells WHERE context_no = 0)"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE pattern_rows SET used = used + 1 WHERE pattern_no = 0", "their events"),
        ("UPDATE pattern_rows SET outcome_sum = outcome_sum + 0.1 WHERE pattern_no = 0", "their days"),
        ("UPDATE days SET resolved = 0 WHERE pattern_no = 1", "1 patterns whose counts differ"),
        (f"UPDATE cells SET tries = tries + 1 WHERE {FIRST_CELL}", "1 cells"),
        (f"UPDATE cells SET last_at = last_at - INTERVAL 1 HOUR WHERE {FIRST_CELL}", "1 cells"),
        (f"DELETE FROM cells WHERE {FIRST_CELL}", "1 cells"),
        ("INSERT INTO event_rows FROM event_rows WHERE event_id = 'try-0'", "1 ids that stand twice"),
        ("UPDATE event_rows SET pattern_no = 9 WHERE event_id = 'open'", "1 events without"),
    ],
)
def test_evidence_that_does_not_add_up_is_found_and_rebuilt(
    healthy: Path, statement: str, message: str
) -> None:
    change(healthy, statement)
    found = faults(healthy)
    assert {(item.layer, item.status, item.remedy) for item in found} == {
        ("evidence", "bad", "whatworks rebuild")
    }
    assert any(message in item.message for item in found)
    rebuild(healthy)
    assert faults(healthy) == []


def test_evidence_of_another_version_is_found(healthy: Path) -> None:
    change(healthy, "UPDATE meta SET value = 0 WHERE name = 'version'")
    found = fault(healthy)
    assert (found.layer, found.remedy) == ("evidence", "whatworks rebuild")


def test_a_journal_that_lost_what_was_folded_is_found(healthy: Path) -> None:
    path = segment(healthy)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    found = fault(healthy)
    assert (found.layer, found.status) == ("evidence", "bad")
    assert f"has lost {len(lines[-1]):,} bytes" in found.message
    path.unlink()
    assert "was folded and is missing" in fault(healthy).message


# -- vectors, embedder, disk ----------------------------------------------------------------------


def manifest(path: Path) -> Path:
    return path / "vectors" / "1" / "contexts" / "manifest.json"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"sequence": "x"}', "7"])
def test_a_broken_manifest_is_found_and_made_again(healthy: Path, content: str) -> None:
    manifest(healthy).write_text(content)
    found = fault(healthy)
    assert (found.layer, found.status, found.remedy) == ("vectors", "warn", "whatworks rebuild")
    rebuild(healthy)
    assert faults(healthy) == []


@pytest.mark.parametrize("key", ["engine", "model", "dim", "build"])
def test_a_manifest_that_does_not_fit_is_found(healthy: Path, key: str) -> None:
    given = orjson.loads(manifest(healthy).read_bytes())
    manifest(healthy).write_bytes(orjson.dumps(given | {key: "other"}))
    assert f"another {key}" in fault(healthy).message


def test_a_vector_store_that_lost_vectors_is_found(healthy: Path) -> None:
    given = orjson.loads(manifest(healthy).read_bytes())
    shutil.rmtree(manifest(healthy).parent / "store")
    found = fault(healthy)
    assert (found.layer, found.status) == ("vectors", "bad")
    assert "not those that were written" in found.message
    manifest(healthy).write_bytes(orjson.dumps(given | {"files": {}}))
    assert "holds 0 of 5 vectors" in fault(healthy).message


def test_a_lance_store_is_examined_too(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Memory.open(path, embedder=HashEmbedder(), vectors="lance") as memory:
        memory.add_patterns(["one", "two", "three"])
        memory.flush()
    before = fingerprint(path)
    assert faults(path) == []
    assert fingerprint(path) == before
    rest = path / "vectors" / "1" / "patterns" / "store" / "vectors.lance" / "_versions"
    shutil.rmtree(rest)
    assert (fault(path).layer, fault(path).status) == ("vectors", "bad")
    assert not rest.exists()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM embeddings WHERE collection = 'patterns'", "patterns: 2 texts lack their vector"),
        (
            "UPDATE embeddings SET vector = 'ab'::BLOB WHERE collection = 'contexts'",
            "5 have an odd length",
        ),
    ],
)
def test_embeddings_that_are_lost_or_odd_are_found(healthy: Path, statement: str, message: str) -> None:
    change(healthy, statement)
    assert any(message in finding.message for finding in faults(healthy))
    rebuild(healthy)
    assert faults(healthy) == []


def test_vectors_of_an_earlier_generation_are_found(healthy: Path) -> None:
    (healthy / "vectors" / "7").mkdir()
    found = fault(healthy)
    assert "vectors/7 is left over" in found.message
    subprocess.run(shlex.split(found.remedy), check=True)
    assert faults(healthy) == []


def test_a_model_that_is_not_the_one_expected_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Memory.open(tmp_path / "s").close()
    monkeypatch.setattr(minilm_parts, "MODEL_SHA256", "0" * 64)
    found = fault(tmp_path / "s")
    assert (found.layer, found.status) == ("embedder", "bad")
    assert "pip install" in found.remedy


@pytest.mark.parametrize(("free", "status"), [(1 << 20, "bad"), (64 << 20, "warn")])
def test_a_disk_that_fills_up_is_found(
    healthy: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 0, free))
    found = fault(healthy)
    assert (found.layer, found.status) == ("disk", status)


def test_packages_that_do_not_fit_are_found(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    wanted = ["duckdb<1.1", "numpy>=1.26", "rich==0.0.1", "no-such-package>=1", 'x; extra == "x"']
    monkeypatch.setattr(metadata, "requires", lambda _: wanted)
    found = faults(healthy)
    assert [item.status for item in found] == ["warn", "warn", "bad"]
    assert [item.remedy for item in found] == [
        "pip install 'duckdb<1.1'", "pip install rich==0.0.1", "pip install 'no-such-package>=1'",
    ]  # fmt: skip
