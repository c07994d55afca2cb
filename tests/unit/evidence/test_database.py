from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.log import apply, event, pattern
from whatworks import StoreError, journal, replay, segments
from whatworks.errors import StoreFullError
from whatworks.evidence import Evidence, OutdatedError, database, questions
from whatworks.journal import Journal

Open = Callable[[str], Evidence]


@pytest.fixture
def log(tmp_path: Path) -> Journal:
    """A journal beside the evidence."""
    (tmp_path / "journal").mkdir()
    return Journal(tmp_path / "journal", "store")


def fold(evidence: Evidence, log: Journal, folder: Path) -> set[str]:
    return evidence.fold(folder / "journal", log.settle)


def test_a_new_file_is_private_and_empty(open_evidence: Open, tmp_path: Path) -> None:
    evidence = open_evidence("evidence")
    assert (tmp_path / "evidence.duckdb").stat().st_mode & 0o777 == 0o600
    assert questions.counts(evidence)["patterns"] == 0
    assert evidence.moved_aside is None


def test_nothing_is_drawn_between_what_a_prompt_prints(tmp_path: Path) -> None:
    asked = (
        "import sys, pathlib; from whatworks.evidence.database import connect;"
        "con = connect(pathlib.Path(sys.argv[1]));"
        "print(con.execute(\"SELECT current_setting('enable_progress_bar')\").fetchone()[0])"
    )
    program = [sys.executable, "-c", asked, str(tmp_path / "evidence.duckdb")]
    assert subprocess.run(program, check=True, capture_output=True, text=True).stdout == "False\n"


def test_what_was_folded_is_there_after_reopening(open_evidence: Open) -> None:
    evidence = open_evidence("evidence")
    apply(evidence, [pattern("p"), event("e", "p", 1.0)])
    build = evidence.build
    evidence.close()
    again = open_evidence("evidence")
    assert questions.counts(again)["events"] == 1
    assert again.build == build
    assert again.moved_aside is None


def test_two_files_are_two_builds(open_evidence: Open) -> None:
    assert open_evidence("one").build != open_evidence("other").build


# -- folding ----------------------------------------------------------------------------------------


def test_each_record_is_folded_once(open_evidence: Open, log: Journal, tmp_path: Path) -> None:
    evidence = open_evidence("evidence")
    log.append("pattern.added", [pattern("p")[1]])
    assert fold(evidence, log, tmp_path) == {"p"}
    assert fold(evidence, log, tmp_path) == set()
    body = event("e", "p", 1.0)[1] | {
        "given_id": False
    }  # only the watermark keeps it from counting twice
    log.append("event.recorded", [body])
    assert fold(evidence, log, tmp_path) == {"p"}
    evidence.close()
    again = open_evidence("evidence")
    assert fold(again, log, tmp_path) == set()
    assert questions.patterns(again, ["p"])["p"].usage_count == 1


@pytest.mark.parametrize(("records", "size"), [(1, 1 << 20), (3, 1 << 20), (1_000, 1), (1_000, 700)])
def test_a_long_journal_is_folded_in_batches(
    open_evidence: Open,
    log: Journal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    records: int,
    size: int,
) -> None:
    monkeypatch.setattr(replay, "BATCH_RECORDS", records)
    monkeypatch.setattr(replay, "BATCH_BYTES", size)
    log.append("pattern.added", [pattern("p")[1]])
    log.append("event.recorded", [event(f"e{n}", "p", n % 2)[1] for n in range(10)])
    evidence = open_evidence("evidence")
    fold(evidence, log, tmp_path)
    found = questions.patterns(evidence, ["p"])["p"]
    assert (found.usage_count, found.success_rate) == (10, 0.5)


def settings_of(evidence: Evidence) -> tuple[str, str]:
    query = "SELECT current_setting('checkpoint_threshold'), current_setting('memory_limit')"
    return evidence._con.execute(query).fetchall()[0]


@pytest.mark.parametrize("fails", [False, True])
def test_only_much_to_fold_lets_the_log_grow_and_until_no_more_comes(
    open_evidence: Open, log: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    evidence = open_evidence("evidence")
    seen = list[tuple[str, str]]()

    def applied(*_: object) -> set[str]:
        seen.append(settings_of(evidence))
        if fails:
            raise StoreError("refused")
        return set()

    usual = settings_of(evidence)
    monkeypatch.setattr("whatworks.evidence.fold.apply", applied)

    def folded(name: str, long_bytes: int) -> None:
        monkeypatch.setattr("whatworks.evidence.database.LONG_BYTES", long_bytes)
        log.append("pattern.added", [pattern(name)[1]])
        with suppress(StoreError):
            fold(evidence, log, tmp_path)

    folded("p", 1 << 20)
    folded("q", 1)
    folded("r", 1 << 20)
    assert seen[0] == usual
    assert seen[1] == seen[2] == settings_of(evidence)
    assert all(now != before for now, before in zip(seen[1], usual, strict=True))
    evidence.shorten()
    evidence.shorten()
    folded("s", 1 << 20)
    assert seen[3:] == [usual]
    folded("t", 1)
    evidence.replaced(lambda _: None)
    assert settings_of(evidence) == usual


@pytest.mark.parametrize("usual", [0, 1 << 30])
def test_a_log_that_has_grown_goes_into_the_file_once_no_more_comes(
    open_evidence: Open, log: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usual: int
) -> None:
    monkeypatch.setattr("whatworks.evidence.database.LONG_BYTES", 1)
    monkeypatch.setattr("whatworks.evidence.database.USUAL_LOG", usual)
    evidence = open_evidence("evidence")
    log.append("pattern.added", [pattern("p")[1]])
    fold(evidence, log, tmp_path)
    before = evidence._log.stat().st_size
    assert before > 0
    evidence.shorten()
    after = evidence._log.stat().st_size if evidence._log.exists() else 0
    assert after == (0 if usual == 0 else before)
    assert questions.patterns(evidence, ["p"])


def test_what_is_not_acknowledged_yet_is_not_folded(
    open_evidence: Open, log: Journal, tmp_path: Path
) -> None:
    evidence = open_evidence("evidence")
    log.append("pattern.added", [pattern("p")[1]])
    settled = log.settle()
    log.append("pattern.added", [pattern("q")[1]])
    evidence.fold(tmp_path / "journal", lambda: settled)
    assert set(questions.patterns(evidence, ["p", "q"])) == {"p"}
    fold(evidence, log, tmp_path)
    assert set(questions.patterns(evidence, ["p", "q"])) == {"p", "q"}


def test_a_segment_begun_while_folding_waits_for_the_next_fold(
    open_evidence: Open, log: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = open_evidence("evidence")
    log.append("pattern.added", [pattern("p")[1]])
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 1)

    def settle() -> tuple[str, int] | None:
        log.append("pattern.added", [pattern("q")[1]])
        return log.settle()

    assert evidence.fold(tmp_path / "journal", settle) == {"p"}
    assert fold(evidence, log, tmp_path) == {"q"}


def test_damaged_records_are_counted_and_left_out(
    open_evidence: Open, log: Journal, tmp_path: Path
) -> None:
    log.append("pattern.added", [pattern(name)[1] for name in "abc"])
    log.close()
    (segment,) = journal.segments(tmp_path / "journal")
    segment.path.write_bytes(
        segment.path.read_bytes().replace(b'"pattern_id":"b"', b'"pattern_id":"B"')
    )
    evidence = open_evidence("evidence")
    fold(evidence, log, tmp_path)
    assert set(questions.patterns(evidence, list("abcB"))) == {"a", "c"}
    assert evidence.damaged == 1
    evidence.close()
    assert open_evidence("evidence").damaged == 1


# -- files that cannot be used ------------------------------------------------------------------------


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def filled(open_evidence: Open, tmp_path: Path) -> Path:
    evidence = open_evidence("evidence")
    apply(evidence, [pattern(f"p{n}", f"words {n}") for n in range(200)])
    evidence.close()
    return tmp_path / "evidence.duckdb"


@pytest.mark.parametrize("place", [0, 10, 100, 4_096 + 5, 3 * 4_096 + 100, 12_288 + 20])
def test_a_damaged_file_is_moved_aside_and_begun_anew(
    open_evidence: Open, tmp_path: Path, place: int
) -> None:
    path = filled(open_evidence, tmp_path)
    flip(path, place)
    evidence = open_evidence("evidence")
    if evidence.moved_aside is None:  # the flip hit bytes that nobody reads
        assert questions.counts(evidence)["patterns"] == 200
    else:
        assert questions.counts(evidence)["patterns"] == 0
        assert evidence.moved_aside.exists()
        assert evidence.marks == {}


def test_a_flipped_header_is_noticed(open_evidence: Open, tmp_path: Path) -> None:
    path = filled(open_evidence, tmp_path)
    flip(path, 0)
    assert open_evidence("evidence").moved_aside is not None


@pytest.mark.parametrize("content", [b"", b"no database", b"\x00" * 100_000])
def test_another_file_in_its_place_is_moved_aside(
    open_evidence: Open, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "evidence.duckdb").write_bytes(content)
    evidence = open_evidence("evidence")
    assert questions.counts(evidence)["patterns"] == 0


def test_a_file_cut_short_is_moved_aside(open_evidence: Open, tmp_path: Path) -> None:
    path = filled(open_evidence, tmp_path)
    os.truncate(path, path.stat().st_size // 3)
    evidence = open_evidence("evidence")
    assert evidence.moved_aside is not None
    assert questions.counts(evidence)["patterns"] == 0


def test_a_file_of_another_version_is_left_as_it_is(
    open_evidence: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(open_evidence, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(database, "VERSION", database.VERSION + 1)
        with pytest.raises(OutdatedError):
            open_evidence("evidence")
    assert questions.counts(open_evidence("evidence"))["patterns"] == 200


def test_two_files_moved_aside_at_once_are_both_kept(open_evidence: Open, tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "evidence.duckdb").write_bytes(b"no database")
        open_evidence("evidence").close()
    aside = [p for p in tmp_path.iterdir() if ".aside-" in p.name and p.suffix == ".duckdb"]
    assert len(aside) == 2


CRASH = """
import os, sys
from pathlib import Path
from typing import Any
sys.path.insert(0, sys.argv[2])
from support.log import apply, pattern
from whatworks.evidence import Evidence
evidence = Evidence(Path(sys.argv[1]))
apply(evidence, [pattern(f"p{n}") for n in range(50)])
os._exit(0)
"""


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A file whose changes are still in the write-ahead log."""
    path = tmp_path / "evidence.duckdb"
    support = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", CRASH, str(path), support], check=True)
    assert (tmp_path / "evidence.duckdb.wal").stat().st_size > 0
    return path


def test_what_was_committed_before_a_crash_is_there(crashed: Path, open_evidence: Open) -> None:
    assert questions.counts(open_evidence("evidence"))["patterns"] == 50


@pytest.mark.parametrize("tail", [b"\x00" * 4_096, b"x" * 100], ids=["zeros", "text"])
def test_a_write_ahead_log_with_a_damaged_end_loses_nothing_or_everything(
    crashed: Path, open_evidence: Open, tail: bytes
) -> None:
    with open(f"{crashed}.wal", "ab") as wal:
        wal.write(tail)
    evidence = open_evidence("evidence")
    assert questions.counts(evidence)["patterns"] in (0, 50)
    assert (questions.counts(evidence)["patterns"] == 0) == (evidence.moved_aside is not None)


def test_a_write_ahead_log_without_its_file_is_not_replayed(crashed: Path, open_evidence: Open) -> None:
    crashed.unlink()
    evidence = open_evidence("evidence")
    assert questions.counts(evidence)["patterns"] == 0
    apply(evidence, [pattern("p")])
    evidence.close()
    assert set(questions.patterns(open_evidence("evidence"), ["p", "p1"])) == {"p"}


# -- reading and refusals -----------------------------------------------------------------------------


def test_readers_see_the_last_committed_state(open_evidence: Open) -> None:
    evidence = open_evidence("evidence")
    apply(evidence, [pattern("p")])
    seen: list[int] = []

    def step(con: object) -> None:
        con.execute("DELETE FROM pattern_rows")  # type: ignore[attr-defined]
        reader = threading.Thread(target=lambda: seen.append(questions.counts(evidence)["patterns"]))
        reader.start()
        reader.join()

    evidence.write(step)
    assert seen == [1]
    assert questions.counts(evidence)["patterns"] == 0


def test_writes_of_two_threads_take_turns(open_evidence: Open) -> None:
    evidence = open_evidence("evidence")
    within, failed = threading.Event(), list[Exception]()

    def slow(con: object) -> None:
        con.execute("INSERT INTO learned_rows VALUES (NULL, 1, 'first', '')")  # type: ignore[attr-defined]
        within.set()
        time.sleep(0.1)
        con.execute("INSERT INTO learned_rows VALUES (NULL, 1, 'second', '')")  # type: ignore[attr-defined]

    def first() -> None:
        try:
            evidence.write(slow)
        except StoreError as error:
            failed.append(error)

    writer = threading.Thread(target=first)
    writer.start()
    within.wait()
    evidence.write(lambda con: con.execute("INSERT INTO learned_rows VALUES (NULL, 1, 'third', '')"))
    writer.join()
    assert failed == []
    assert evidence.one("SELECT list(model) FROM learned_rows") == (["first", "second", "third"],)


def test_a_stream_is_of_one_state(open_evidence: Open) -> None:
    evidence = open_evidence("evidence")
    apply(evidence, [pattern(f"p{n:05}") for n in range(5_000)])
    stream = evidence.stream("SELECT pattern_id FROM pattern_rows")
    first = next(stream)
    evidence.write(lambda con: con.execute("DELETE FROM pattern_rows"))
    assert len([first, *stream]) == 5_000


def test_a_refused_question_is_a_store_error(open_evidence: Open) -> None:
    evidence = open_evidence("evidence")
    with pytest.raises(StoreError, match="cannot be read"):
        evidence.rows("SELECT nothing FROM nowhere")
    with pytest.raises(StoreError, match="cannot be written"):
        evidence.write(lambda con: con.execute("INSERT INTO nowhere VALUES (1)"))
    apply(evidence, [pattern("p")])
    assert questions.counts(evidence)["patterns"] == 1


def test_a_closed_database_is_a_store_error(open_evidence: Open) -> None:
    evidence = open_evidence("evidence")
    questions.counts(evidence)
    evidence.close()
    evidence.close()
    with pytest.raises(StoreError):
        questions.counts(evidence)
    with pytest.raises(StoreError):
        apply(evidence, [pattern("p")])
    with pytest.raises(StoreError):
        questions.patterns_after(evidence, None)
    with pytest.raises(StoreError):
        list(evidence.stream("SELECT 1"))


def test_after_a_fatal_error_the_database_is_opened_again(
    open_evidence: Open, log: Journal, tmp_path: Path
) -> None:
    import duckdb

    evidence = open_evidence("evidence")
    apply(evidence, [pattern("p")])

    def step(con: object) -> None:
        raise duckdb.FatalException("database has been invalidated")

    with pytest.raises(StoreError, match="reopened"):
        evidence.write(step)
    assert evidence.lost
    fold(evidence, log, tmp_path)
    assert questions.counts(evidence)["patterns"] == 1
    apply(evidence, [pattern("q")])
    assert questions.counts(evidence)["patterns"] == 2


def test_a_database_that_could_not_be_opened_again_is_tried_at_the_next_fold(
    open_evidence: Open, log: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    evidence = open_evidence("evidence")
    log.append("pattern.added", [pattern("p")[1]])
    fold(evidence, log, tmp_path)

    def invalidated(con: object) -> None:
        raise duckdb.FatalException("database has been invalidated")

    def full(self: Evidence) -> None:
        raise StoreFullError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Evidence, "_open", full)
        with pytest.raises(StoreError, match="reopened"):
            evidence.write(invalidated)
        with pytest.raises(StoreFullError):
            fold(evidence, log, tmp_path)
    assert evidence.lost
    log.append("pattern.added", [pattern("q")[1]])
    assert fold(evidence, log, tmp_path) == {"q"}
    assert questions.counts(evidence)["patterns"] == 2


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs the list of locks of Linux")
def test_a_closed_file_is_free_for_other_processes_whatever_its_readers_do(
    open_evidence: Open, tmp_path: Path
) -> None:
    """A thread that had just asked used to keep the file locked for as long as it took to end."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(30):
            evidence = open_evidence("evidence")
            asked = threading.Semaphore(0)

            def ask(evidence: Evidence = evidence, asked: threading.Semaphore = asked) -> None:
                questions.counts(evidence)
                asked.release()

            readers = [threading.Thread(target=ask) for _ in range(4)]
            for reader in readers:
                reader.start()
            for _ in readers:
                asked.acquire()
            evidence.close()
            held = f":{(tmp_path / 'evidence.duckdb').stat().st_ino} "
            assert held not in Path("/proc/locks").read_text()
            for reader in readers:
                reader.join()
    finally:
        sys.setswitchinterval(before)


def test_closing_ends_the_questions_of_other_threads(open_evidence: Open, tmp_path: Path) -> None:
    evidence = open_evidence("evidence")
    raised = list[str]()

    def ask() -> None:
        try:
            evidence.rows(LONG)
        except StoreError as error:
            raised.append(str(error))

    reader = threading.Thread(target=ask)
    reader.start()
    while not evidence._cursors:
        time.sleep(0.001)
    began = time.monotonic()
    evidence.close()
    assert time.monotonic() - began < 2
    reader.join(10)
    assert len(raised) == 1


def test_the_file_is_not_closed_in_the_middle_of_making_a_cursor(
    open_evidence: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = open_evidence("evidence")
    con, begun, ended = evidence._con, threading.Event(), list[str]()

    class Slow:
        def cursor(self) -> Any:
            begun.set()
            time.sleep(0.2)  # in which the file would be closed
            ended.append("cursor")
            return con.cursor()

        def close(self) -> None:
            ended.append("close")
            con.close()

    def ask() -> None:
        with suppress(StoreError):
            evidence.rows("SELECT 1")

    monkeypatch.setattr(evidence, "_con", Slow())
    reader = threading.Thread(target=ask)
    reader.start()
    assert begun.wait(10)
    evidence.close()
    reader.join()
    assert ended == ["cursor", "close"]


def test_who_finds_that_the_engine_has_shut_the_file_has_it_opened_again(
    open_evidence: Open, log: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    evidence = open_evidence("evidence")

    class Shut:
        def cursor(self) -> Shut:
            return self

        def execute(self, *_: object) -> None:
            raise duckdb.FatalException("FATAL Error: Failed: database has been invalidated")

        def close(self) -> None:
            pass

    whole = evidence.need()
    monkeypatch.setattr(evidence, "_con", Shut())
    with pytest.raises(StoreError, match="invalidated"):
        evidence.rows("SELECT 1")
    assert evidence.lost  # before the thread in which it happened says so
    monkeypatch.setattr(evidence, "_con", whole)
    fold(evidence, log, tmp_path)
    assert not evidence.lost and evidence.rows("SELECT 1") == [(1,)]


def test_a_larger_file_is_given_more_threads(
    open_evidence: Open, log: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    evidence = open_evidence("evidence")
    threads = "SELECT current_setting('threads')"
    assert evidence.one(threads) == (1,)
    monkeypatch.setattr(database, "BYTES_PER_THREAD", 1 << 10)
    log.append("pattern.added", [pattern("p")[1]])
    fold(evidence, log, tmp_path)
    assert evidence.one(threads) == (4,)


def test_while_much_is_written_a_processor_is_left_to_whoever_writes(
    open_evidence: Open, log: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(database, "BYTES_PER_THREAD", 1 << 10)
    evidence = open_evidence("evidence")
    threads = "SELECT current_setting('threads')"
    log.append("pattern.added", [pattern("p")[1]])
    fold(evidence, log, tmp_path)
    assert evidence.one(threads) == (2,)
    monkeypatch.setattr(database, "LONG_BYTES", 1)
    log.append("pattern.added", [pattern("q")[1]])
    fold(evidence, log, tmp_path)
    assert evidence.one(threads) == (1,)
    evidence.shorten()
    assert evidence.one(threads) == (2,)


def test_a_full_disk_says_so(open_evidence: Open) -> None:
    import duckdb

    evidence = open_evidence("evidence")

    def step(con: object) -> None:
        raise duckdb.IOException('Could not write file "x.wal": No space left on device')

    with pytest.raises(StoreFullError, match="is in the journal"):
        evidence.write(step)


def test_a_file_open_in_another_process_is_not_taken_for_damaged(
    open_evidence: Open, tmp_path: Path
) -> None:
    path = filled(open_evidence, tmp_path)
    code = (
        "import duckdb, sys; con = duckdb.connect(sys.argv[1]); "
        "print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StoreError, match="does not open"):
            open_evidence("evidence")
    assert questions.counts(open_evidence("evidence"))["patterns"] == 200


def test_the_views_are_there_for_readers_of_the_file(open_evidence: Open, tmp_path: Path) -> None:
    import duckdb

    evidence = open_evidence("evidence")
    apply(evidence, [pattern("p", metadata={"a": 1}), event("e", "p", 0.5, context="here")])
    evidence.close()
    shutil.copy(tmp_path / "evidence.duckdb", tmp_path / "copy.duckdb")
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as con:
        assert con.execute("SELECT success_rate, metadata->>'a' FROM patterns").fetchall() == [
            (0.5, "1")
        ]
        assert con.execute("SELECT pattern_id, context FROM usage_events").fetchall() == [("p", "here")]
        assert con.execute("SELECT text FROM contexts").fetchall() == [("here",)]
        assert con.execute("SELECT usage_count, avg_success FROM trend_daily").fetchall() == [(1, 0.5)]
        assert con.execute("SELECT count(*) FROM predictions").fetchall() == [(0,)]


# -- signals ----------------------------------------------------------------------------------------


class Interrupted:
    """A connection; a signal raises in the main thread once it has run ``statement``."""

    def __init__(self, con: Any, statement: str) -> None:
        self._con = con
        self._statement: str | None = statement

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)

    def execute(self, query: str, *parameters: Any) -> Any:
        result = self._con.execute(query, *parameters)
        if query == self._statement:
            self._statement = None
            raise KeyboardInterrupt
        return result


@pytest.mark.parametrize("statement", ["BEGIN", "COMMIT"])
def test_a_signal_beside_a_transaction_neither_doubles_nor_loses(
    open_evidence: Open,
    log: Journal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
) -> None:
    evidence = open_evidence("evidence")
    log.append("pattern.added", [pattern("p")[1]])
    fold(evidence, log, tmp_path)
    log.append("event.recorded", [event("e", "p", 1.0)[1] | {"given_id": False}])
    monkeypatch.setattr(evidence, "_con", Interrupted(evidence._con, statement))
    with pytest.raises(KeyboardInterrupt):
        fold(evidence, log, tmp_path)
    fold(evidence, log, tmp_path)
    assert questions.counts(evidence)["events"] == 1
    assert not evidence.behind(segments.sizes(tmp_path / "journal"))


LONG = "SELECT count(*) AS n FROM range(10_000_000_000)"


def raised_by_a_handler() -> tuple[type[BaseException], ...]:
    """DuckDB 2.0 does not hand on what the handler raised: there it is an error of ours."""
    import duckdb

    return (
        (KeyboardInterrupt,) if duckdb.__version__.startswith("1.") else (KeyboardInterrupt, StoreError)
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda evidence: evidence.rows(LONG),
        lambda evidence: evidence.columns(LONG),
        lambda evidence: list(evidence.stream(LONG)),
        lambda evidence: evidence.write(lambda con: con.execute(LONG).fetchall()),
    ],
    ids=["rows", "columns", "stream", "write"],
)
def test_what_the_handler_of_a_signal_raises_comes_out_of_a_long_statement(
    open_evidence: Open, ask: Callable[[Evidence], object]
) -> None:
    evidence = open_evidence("evidence")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(raised_by_a_handler()):
            ask(evidence)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    apply(evidence, [pattern("p")])
    assert questions.counts(evidence)["patterns"] == 1


OUT_OF_DESCRIPTORS = """
import os, pathlib, resource, sys
from whatworks import StoreError
from whatworks.evidence import Evidence
path = pathlib.Path(sys.argv[1])
Evidence(path).close()
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
held = []
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for free in range(8):
    try:
        Evidence(path).close()
        print("open")
    except StoreError as error:
        print(error)
    os.close(held.pop())
"""


def test_without_free_descriptors_opening_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "evidence.duckdb"
    command = [sys.executable, "-c", OUT_OF_DESCRIPTORS, str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert said[:6] == [f"cannot open the evidence {path}: Too many open files"] * 6
    assert said[6:] == ["open"] * 2
    assert not list(tmp_path.glob("*.aside-*"))


@pytest.mark.parametrize(("large", "answered"), [("256MB", True), ("40MB", False)])
def test_what_lacks_memory_is_done_again_with_more(
    open_evidence: Open, monkeypatch: pytest.MonkeyPatch, large: str, answered: bool
) -> None:
    monkeypatch.setattr(database, "LARGE_LIMIT", large)
    evidence = open_evidence("evidence")
    wide = "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(30_000)"
    if answered:
        assert evidence.one(wide) == (30_000_000,)
        evidence.write(lambda con: con.execute(f"CREATE TABLE wide AS {wide}"))
        assert evidence.one("FROM wide") == (30_000_000,)
    else:
        with pytest.raises(StoreError, match="Out of Memory"):
            evidence.one(wide)
    (limit,) = evidence.one("SELECT current_setting('memory_limit')")
    assert limit == "38.1 MiB"
