from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from support.log import event, fill_lookup, pattern
from whatworks import Memory, StoreError, segments, upkeep
from whatworks.evidence import Evidence, questions, seals
from whatworks.evidence.schema import VERSION
from whatworks.journal import Journal
from whatworks.testing import HashEmbedder

FIRST_TREND = """
import sys
from whatworks import Memory, upkeep
upkeep.LOOK_SECONDS = 3600.0  # so that nothing is done in the background
with Memory.open(sys.argv[1], embedder="none") as memory:
    print(memory.trend("p").days[0].usage_count, *NEEDLESS & set(sys.modules))
    print(memory.stats().events, *{"duckdb"} & set(sys.modules))
"""
# What takes milliseconds, and a first trend does not need.
NEEDLESS = {
    "duckdb",
    "_hashlib",
    "importlib.metadata",
    "onnxruntime",
    "shutil",
    "subprocess",
    "zipfile",
}


@pytest.fixture
def log(tmp_path: Path) -> Journal:
    """A journal beside the evidence."""
    (tmp_path / "journal").mkdir()
    return Journal(tmp_path / "journal", "store")


@pytest.fixture
def closed(tmp_path: Path, log: Journal) -> Path:
    """Evidence of two tries that was closed with its lookup."""
    log.append("pattern.added", [pattern("p")[1]])
    log.append("event.recorded", [event(name, "p", 1.0)[1] for name in "ab"])
    evidence = fill_lookup(Evidence(tmp_path / "evidence.duckdb"))
    evidence.fold(tmp_path / "journal", log.settle)
    evidence.close()
    return tmp_path / "evidence.duckdb"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with two tries of ``p`` that was closed with its lookup."""
    folder = tmp_path / "store"
    with Memory.open(folder, embedder=HashEmbedder(), vectors="exact") as memory:
        memory.add_pattern("try again", pattern_id="p")
        memory.flush()
        for _ in range(2):
            memory.record("p", outcome=1.0, context="a case")
        memory.trend("p")
    return folder


def used(evidence: Evidence) -> int:
    found = questions.number_of(evidence, "p")
    assert found is not None
    return sum(day.used for day in questions.days(evidence, found.number, None))


def damage(path: Path) -> None:
    """Damage a file as a disk does it: without a trace."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[: 3 * 4_096] = bytes(3 * 4_096)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# -- what needs no engine -----------------------------------------------------------------------------


def test_a_first_trend_does_not_load_the_engine(store: Path) -> None:
    code = f"NEEDLESS = {NEEDLESS}\n{FIRST_TREND}"
    command = [sys.executable, "-W", "error", "-c", code, str(store)]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.split() == ["2", "2", "duckdb"]


def test_evidence_that_was_closed_answers_by_key_before_it_is_opened(
    closed: Path, log: Journal
) -> None:
    evidence = Evidence(closed)
    assert evidence.fold(closed.parent / "journal", log.settle) == set()
    assert used(evidence) == 2
    assert evidence.unopened
    assert questions.counts(evidence)["events"] == 2
    assert not evidence.unopened
    evidence.close()


def test_what_was_written_since_is_counted_by_the_first_answer(closed: Path, log: Journal) -> None:
    log.append("event.recorded", [event("c", "p", 1.0)[1]])
    evidence = Evidence(closed)
    assert evidence.fold(closed.parent / "journal", log.settle) == {"p"}
    assert used(evidence) == 3
    evidence.close()
    again = Evidence(closed)
    assert again.unopened
    assert again.fold(closed.parent / "journal", log.settle) == set()
    assert used(again) == 3
    again.close()


def test_what_the_journal_has_lost_is_in_no_answer(closed: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "journal")
    (tmp_path / "journal").mkdir()
    log = Journal(tmp_path / "journal", "store")
    log.append("pattern.added", [pattern("p")[1]])
    evidence = Evidence(closed)
    evidence.fold(tmp_path / "journal", log.settle)
    assert not evidence.unopened


def test_another_record_where_the_fold_ended_opens_it(closed: Path, log: Journal) -> None:
    (segment,) = segments.segments(closed.parent / "journal")
    record = list(segments.read(segment))[-1]
    line = segments.frame(record.sequence, record.stamp + 1, record.kind, record.body)
    whole = segment.path.read_bytes()
    segment.path.write_bytes(whole[: -len(line)] + line)
    evidence = Evidence(closed)
    evidence.fold(closed.parent / "journal", log.settle)
    assert not evidence.unopened
    evidence.close()


def test_a_seal_stays_as_long_as_nobody_writes(closed: Path, log: Journal) -> None:
    before = closed.with_name("evidence.duckdb.seal").read_bytes()
    for _ in range(2):
        evidence = Evidence(closed)
        evidence.fold(closed.parent / "journal", log.settle)
        evidence.close()
    assert closed.with_name("evidence.duckdb.seal").read_bytes() == before


# -- what is opened at once ---------------------------------------------------------------------------


def touched(path: Path) -> None:
    path.touch()


def copied(path: Path) -> None:
    other = path.with_name("copy")
    shutil.copy2(path, other)
    other.replace(path)


def with_a_log(path: Path) -> None:
    path.with_name(f"{path.name}.wal").write_bytes(b"")


def without_lookup(path: Path) -> None:
    path.with_name(f"{path.name}.lookup").unlink()


def with_a_flipped_seal(path: Path) -> None:
    seal = path.with_name(f"{path.name}.seal")
    content = bytearray(seal.read_bytes())
    content[-3] ^= 1
    seal.write_bytes(content)


def with_half_a_seal(path: Path) -> None:
    os.truncate(path.with_name(f"{path.name}.seal"), 20)


def with_an_empty_seal(path: Path) -> None:
    os.truncate(path.with_name(f"{path.name}.seal"), 0)


@pytest.mark.parametrize(
    "change",
    [
        touched,
        copied,
        with_a_log,
        without_lookup,
        with_a_flipped_seal,
        with_half_a_seal,
        with_an_empty_seal,
    ],
)
def test_what_may_have_changed_since_it_was_closed_is_opened(
    closed: Path, log: Journal, change: Callable[[Path], None]
) -> None:
    change(closed)
    evidence = Evidence(closed)
    assert not evidence.unopened
    evidence.fold(closed.parent / "journal", log.settle)
    assert used(evidence) == 2
    evidence.close()


def test_tables_of_another_version_are_opened(closed: Path) -> None:
    assert seals.read(closed, VERSION) is not None
    assert seals.read(closed, VERSION + 1) is None


def test_a_killed_process_leaves_no_seal_of_what_it_folded(store: Path) -> None:
    code = (
        "import os, sys; from whatworks import Memory; from whatworks.testing import HashEmbedder\n"
        "m = Memory.open(sys.argv[1], embedder=HashEmbedder()); m.record('p', outcome=0.0)\n"
        "m.trend('p'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(store)], timeout=60, check=False)
    assert seals.read(store / "evidence.duckdb", VERSION) is None
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        assert memory.trend("p").days[0].usage_count == 3


def test_what_is_to_be_erased_is_seen_to_by_the_next_keeper(store: Path) -> None:
    evidence = Evidence(store / "evidence.duckdb")
    evidence.write(lambda con: con.execute("INSERT INTO meta VALUES ('to_erase', 1)"))
    evidence.to_erase = True
    evidence.close()
    assert seals.read(store / "evidence.duckdb", VERSION) is None


def test_tries_that_are_held_back_are_counted_by_the_tables(store: Path) -> None:
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        memory.distrust("local")
        assert memory.trend("p").days == ()
    assert seals.read(store / "evidence.duckdb", VERSION) is None
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        assert memory.trend("p").days == ()


def test_the_first_fold_in_the_background_leaves_the_last_one_to_be_asked(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens the tables; while they are opened anew, nobody could ask and all would wait for it."""
    lost = list[bool]()
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 3600.0)  # only what is written wakes it
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        memory.trend("p")
        evidence, folded = memory._keeper.evidence(), threading.Event()
        reopen, apply = Evidence._reopen, Evidence._apply
        monkeypatch.setattr(Evidence, "_reopen", lambda self: (lost.append(True), reopen(self)))
        monkeypatch.setattr(Evidence, "_apply", lambda *args: (apply(*args), folded.set())[0])
        assert evidence.unopened
        memory.record("p", outcome=1.0)
        assert folded.wait(30)
        assert memory.trend("p").days[0].usage_count == 3
    assert lost == []


# -- what is found when it is opened ------------------------------------------------------------------


def test_damage_that_no_seal_shows_is_found_when_the_tables_are_needed(store: Path) -> None:
    damage(store / "evidence.duckdb")
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        assert memory.trend("p").days[0].usage_count == 2
        assert len(list(memory.iter_events())) == 2
        assert memory.trend("p").days[0].usage_count == 2
        assert any("rebuilt from the journal" in problem for problem in memory.stats().problems)


def test_damage_is_found_where_nobody_needs_the_tables(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 0.01)
    damage(store / "evidence.duckdb")
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        assert memory.trend("p").days[0].usage_count == 2
        until = time.monotonic() + 30
        while not list(store.glob("evidence.aside-*")) and time.monotonic() < until:
            time.sleep(0.01)
        assert list(store.glob("evidence.aside-*"))
        assert memory.trend("p").days[0].usage_count == 2


def test_damage_that_no_seal_shows_is_no_fault_of_a_statement(store: Path) -> None:
    damage(store / "evidence.duckdb")
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        assert memory.trend("p").days[0].usage_count == 2
        assert memory.sql("SELECT count(*) FROM usage_events").rows == ((2,),)


def test_another_file_under_the_seal_of_this_one_is_no_answer(
    closed: Path, log: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = Evidence(closed)
    evidence.fold(closed.parent / "journal", log.settle)
    Evidence(closed.with_name("other.duckdb")).close()
    closed.with_name("other.duckdb").replace(closed)
    with pytest.raises(StoreError, match="ask again"):
        questions.counts(evidence)
    assert evidence.lost
    evidence.fold(closed.parent / "journal", log.settle)
    assert questions.counts(evidence)["events"] == 2
    evidence.close()


def test_tables_that_do_not_open_are_tried_again_after_a_while(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Evidence) -> None:
        tried.append(time.monotonic())
        raise duckdb.IOException("IO Error: Could not set lock on file")

    tried = list[float]()
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(upkeep, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(Evidence, "_connect", refuse)
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        assert memory.trend("p").days[0].usage_count == 2
        time.sleep(0.5)
        assert memory.trend("p").days[0].usage_count == 2
    assert len(tried) == 1


def test_many_threads_open_the_tables_once(
    closed: Path, log: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = Evidence(closed)
    evidence.fold(closed.parent / "journal", log.settle)
    opened, real = list[Path](), Evidence._connect
    monkeypatch.setattr(Evidence, "_connect", lambda self: (opened.append(self._path), real(self))[1])
    counted = list[int]()
    threads = [
        threading.Thread(target=lambda: counted.append(questions.counts(evidence)["events"]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (opened, counted) == ([closed], [2] * 8)
    evidence.close()


def test_questions_are_answered_while_a_write_opens_the_tables(store: Path) -> None:
    def ask() -> None:
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            try:
                assert memory.stats().events
                memory.patterns()
            except StoreError as error:
                failed.append(error)

    failed = list[StoreError]()
    for _ in range(8):
        with Memory.open(store, embedder=HashEmbedder()) as memory:
            memory.trend("p")
            threads = [threading.Thread(target=ask) for _ in range(3)]
            for thread in threads:
                thread.start()
            memory.record("p", outcome=1.0)
            memory.trend("p")
            for thread in threads:
                thread.join()
    assert failed == []


def test_evidence_that_was_never_opened_is_closed_for_good(closed: Path, log: Journal) -> None:
    evidence = Evidence(closed)
    evidence.fold(closed.parent / "journal", log.settle)
    evidence.close()
    evidence.close()
    with pytest.raises(StoreError, match="closed"):
        questions.counts(evidence)
