from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

import orjson
import pytest

from whatworks import (
    StoreClosedError,
    StoreError,
    StoreFullError,
    failpoints,
    journal,
    segments,
)
from whatworks.journal import Durability, Journal, Record

OpenJournal = Callable[..., Journal]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def open_journal(folder: Path) -> Iterator[OpenJournal]:
    opened: list[Journal] = []

    def open_(durability: Durability = "durable") -> Journal:
        opened.append(Journal(folder, "store-1", durability))
        return opened[-1]

    yield open_
    for item in opened:
        item.close()


def records(folder: Path) -> list[Record]:
    """All records in order, without the one that begins each segment."""
    found = [record for segment in journal.segments(folder) for record in journal.read(segment)]
    return [record for record in found if record.kind != "segment"]


def numbers(folder: Path) -> list[int]:
    return [orjson.loads(record.body)["n"] for record in records(folder) if record.kind == "try"]


# -- frames -----------------------------------------------------------------------------------------


def test_a_record_is_one_line_with_its_checksum(folder: Path, open_journal: OpenJournal) -> None:
    open_journal().append("try", [{"n": 1}, {"n": 2, "text": "two\nlines"}])
    (segment,) = journal.segments(folder)
    head, first, second = segment.path.read_bytes().splitlines()
    checksum, payload = first.split(b" ", 1)
    assert int(checksum, 16) == crc32(payload)
    sequence, stamp, rest = payload.split(b" ", 2)
    assert (sequence, rest) == (b"1", b'try {"n":1}')
    assert stamp.endswith(b"+")  # the other record of the append follows
    sequence, later, kind, _ = second.split(b" ", 4)[1:]
    assert (sequence, kind) == (b"2", b"try")
    assert int(later) > int(stamp[:-1]) > 1_700_000_000_000_000
    sequence, stamp, kind, body = head.split(b" ", 4)[1:]
    assert (sequence, stamp, kind) == (b"0", b"0", b"segment")
    assert orjson.loads(body) == {
        "format": 2,
        "store_id": "store-1",
        "writer": segment.name,
        "pid": os.getpid(),
    }


def test_what_was_appended_is_read_with_sequence_and_end(
    folder: Path, open_journal: OpenJournal
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    opened.append("other", [{"n": 2}])
    (segment,) = journal.segments(folder)
    found = list(journal.read(segment))
    assert [(record.sequence, record.kind) for record in found] == [
        (0, "segment"),
        (1, "try"),
        (2, "other"),
    ]
    assert found[-1].end == segment.size
    assert list(journal.read(segment, found[0].end)) == found[1:]
    assert list(journal.read(segment, segment.size)) == []


def test_lines_that_cross_a_block_are_read(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "READ_BYTES", 7)
    open_journal().append("try", [{"n": n} for n in range(20)])
    assert numbers(folder) == list(range(20))


def test_nothing_is_written_for_nothing(folder: Path, open_journal: OpenJournal) -> None:
    opened = open_journal()
    assert opened.settle() is None
    assert journal.segments(folder) == []


def test_other_files_in_the_folder_are_no_segments(folder: Path, open_journal: OpenJournal) -> None:
    (folder / "notes.txt").write_text("x\n")
    open_journal().append("try", [{"n": 1}])
    assert numbers(folder) == [1]


# -- damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_without_its_end_was_never_acknowledged(
    folder: Path, open_journal: OpenJournal, cut: int
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    opened.append("try", [{"n": 2}])
    (segment,) = journal.segments(folder)
    os.truncate(segment.path, segment.size - cut)
    assert numbers(folder) == [1]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda line: line[:-1] + b"?", id="a byte of the body"),
        pytest.param(lambda line: b"00000000" + line[8:], id="the checksum"),
        pytest.param(lambda line: line.replace(b" ", b"", 1), id="a space is missing"),
        pytest.param(lambda line: b"", id="an empty line"),
        pytest.param(lambda line: b"\x00" * len(line), id="zeros"),
        pytest.param(lambda line: line[:4], id="cut short"),
        pytest.param(lambda line: b"zzzzzzzz" + line[8:], id="no checksum"),
    ],
)
def test_a_damaged_line_is_shown_as_such_and_its_neighbours_are_sound(
    folder: Path, open_journal: OpenJournal, damage: Callable[[bytes], bytes]
) -> None:
    open_journal().append("try", [{"n": 1}, {"n": 2}, {"n": 3}])
    (segment,) = journal.segments(folder)
    lines = segment.path.read_bytes().split(b"\n")
    lines[2] = damage(lines[2])
    segment.path.write_bytes(b"\n".join(lines))
    assert [record.kind for record in records(folder)] == ["try", "damaged", "try"]
    assert numbers(folder) == [1, 3]


def test_a_line_with_a_right_checksum_and_no_sense_is_damaged(folder: Path) -> None:
    payload = b"one two"
    (folder / "a.log").write_bytes(b"%08x %s\n" % (crc32(payload), payload))
    assert [record.kind for record in records(folder)] == ["damaged"]


# -- segments ---------------------------------------------------------------------------------------


def test_a_full_segment_is_followed_by_another(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 150)
    opened = open_journal()
    for n in range(30):
        opened.append("try", [{"n": n}])
    found = journal.segments(folder)
    assert len(found) > 5
    assert all(segment.size < 200 for segment in found)
    assert numbers(folder) == list(range(30))
    assert all(next(journal.read(segment)).kind == "segment" for segment in found)
    settled = opened.settle()
    assert settled == (found[-1].name, found[-1].size)


def test_a_new_segment_is_read_last_even_if_the_clock_was_set_back(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 1)
    opened = open_journal()
    opened.append("try", [{"n": 0}])
    monkeypatch.setattr(journal, "uuid7", lambda: "0190-earlier")
    for n in (1, 2, 3):
        opened.append("try", [{"n": n}])
    assert numbers(folder) == [0, 1, 2, 3]


AHEAD = "fffffff0-0000-7000-8000-00000000000f"


@pytest.mark.parametrize(
    ("there", "made"),
    [
        (AHEAD, f"{AHEAD}~000001"),
        (f"{AHEAD}~000009", f"{AHEAD}~000010"),
        (f"{AHEAD}~999999", f"{AHEAD}~999999~000001"),
        (f"{AHEAD}~~~", f"{AHEAD}~~~~000001"),
        (f"{AHEAD}~~~~000001", f"{AHEAD}~~~~000002"),
        (f"{AHEAD}~000001~", f"{AHEAD}~000001~~000001"),
        (AHEAD + 215 * "~", f"{AHEAD[:-1]}g~000001"),
        ("g-000007", "g-000007~000001"),
    ],
)
def test_a_name_behind_one_from_the_future_sorts_last_and_stays_short(
    folder: Path, open_journal: OpenJournal, there: str, made: str
) -> None:
    (folder / f"{there}.log").write_bytes(b"torn")
    open_journal().append("try", [{"n": 1}])
    assert [segment.name for segment in journal.segments(folder)] == [f"{there}.log", f"{made}.log"]


def test_any_number_of_segments_can_be_begun_behind_one_from_the_future(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 1)
    (folder / f"{AHEAD}.log").write_bytes(b"torn")
    opened = open_journal("process")
    for n in range(300):
        opened.append("try", [{"n": n}])
    assert numbers(folder) == list(range(300))


def test_two_that_begin_at_once_take_different_names(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / f"{AHEAD}.log").write_bytes(b"torn")
    seen = journal.segments(folder)
    one, other = open_journal(), open_journal()
    monkeypatch.setattr(one, "_resume", lambda: None)
    monkeypatch.setattr(other, "_resume", lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "segments", lambda folder: seen)  # neither sees what the other makes
        one.append("try", [{"n": 1}])
        other.append("try", [{"n": 2}])
    assert numbers(folder) == [1, 2]
    assert len(journal.segments(folder)) == 3


def test_a_whole_segment_is_gone_on_with(folder: Path, open_journal: OpenJournal) -> None:
    first = open_journal()
    first.append("try", [{"n": 1}])
    first.close()
    (segment,) = journal.segments(folder)
    open_journal().append("try", [{"n": 2}])
    assert journal.segments(folder)[0].name == segment.name
    assert len(journal.segments(folder)) == 1
    assert [(record.sequence, record.kind) for record in records(folder)] == [(1, "try"), (2, "try")]
    early, late = (record.stamp for record in records(folder))
    assert early < late


def test_a_full_segment_is_not_gone_on_with(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_journal()
    first.append("try", [{"n": 1}])
    first.close()
    (segment,) = journal.segments(folder)
    monkeypatch.setattr(journal, "SEGMENT_BYTES", segment.size)
    open_journal().append("try", [{"n": 2}])
    assert len(journal.segments(folder)) == 2


def test_files_are_private_to_their_owner(folder: Path, open_journal: OpenJournal) -> None:
    open_journal().append("try", [{"n": 1}])
    (segment,) = journal.segments(folder)
    assert segment.path.stat().st_mode & 0o777 == 0o600


# -- syncing ----------------------------------------------------------------------------------------


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Handles in the order in which they were synced."""
    done: list[int] = []
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        real(file)
        done.append(file)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return done


def test_a_durable_append_is_synced_before_it_returns(
    open_journal: OpenJournal, syncs: list[int]
) -> None:
    opened = open_journal()
    for n in range(3):
        opened.append("try", [{"n": n}])
        assert len(syncs) == n + 1
    opened.append("receipt", [{}], sync=False)
    assert len(syncs) == 3
    opened.settle()
    opened.settle()
    assert len(syncs) == 4


def test_at_level_process_nothing_is_synced_before_the_end(
    open_journal: OpenJournal, syncs: list[int]
) -> None:
    opened = open_journal("process")
    opened.sync()
    opened.append("try", [{"n": 1}])
    opened.settle()
    assert syncs == []
    opened.sync()
    opened.sync()
    assert len(syncs) == 1
    opened.append("try", [{"n": 2}])
    opened.close()
    assert len(syncs) == 2


def test_at_level_process_a_full_segment_is_synced(
    open_journal: OpenJournal, syncs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 1)
    opened = open_journal("process")
    for n in range(3):
        opened.append("try", [{"n": n}])
    assert len(syncs) == 2


def test_a_new_segment_is_findable_before_it_is_used(
    open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        synced.append(os.readlink(f"/proc/self/fd/{file}"))

    monkeypatch.setattr(os, "fsync", fsync)
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    opened.append("try", [{"n": 2}])
    assert synced == [str(opened._folder)]


def test_threads_that_append_at_once_share_syncs(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": -1}])
    first, waiting = threading.Event(), threading.Event()
    syncs = 0
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        nonlocal syncs
        syncs += 1
        first.set()
        waiting.wait(10)
        real(file)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(opened.append, "try", [{"n": 0}])]
        assert first.wait(10)
        done += [pool.submit(opened.append, "try", [{"n": n}]) for n in range(1, 8)]
        while opened._open is None or opened._open.sequence < 10:
            pass  # until all seven have written and wait for the sync
        waiting.set()
        for item in done:
            item.result()
    assert syncs == 2
    assert sorted(numbers(folder)) == list(range(-1, 8))


def test_many_threads_lose_and_mix_up_nothing(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 5_000)
    opened = open_journal()
    with ThreadPoolExecutor(8) as pool:
        work = lambda t: [opened.append("try", [{"n": 1_000 * t + n}, {"n": -1}]) for n in range(50)]  # noqa: E731
        list(pool.map(work, range(8)))
    found = [n for n in numbers(folder) if n >= 0]
    assert sorted(found) == sorted(1_000 * t + n for t in range(8) for n in range(50))
    for t in range(8):
        own = [n for n in found if n // 1_000 == t]
        assert own == sorted(own)
    for segment in journal.segments(folder):
        assert [r.sequence for r in journal.read(segment)] == list(
            range(len(list(journal.read(segment))))
        )


# -- refusals ---------------------------------------------------------------------------------------


class Disk:
    """Stands between the journal and the system calls; fails when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing: dict[str, int] = {}
        self.times: dict[str, int] = {}  # how often; without it, always
        self.room: int | None = None
        for name in ("write", "fdatasync", "ftruncate", "fsync", "open"):
            monkeypatch.setattr(journal.os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            if name in self.failing and self.times.get(name) != 0:
                if name in self.times:
                    self.times[name] -= 1
                raise OSError(self.failing[name], os.strerror(self.failing[name]))
            if name == "write" and self.room is not None:
                data = arguments[1][: self.room]  # type: ignore[index]
                self.room -= len(data)
                if not data:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return real(arguments[0], data)
            return real(*arguments)

        return call


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize("room", [0, 1, 10, 30, 60])
def test_a_full_disk_stores_all_of_an_append_or_nothing(
    folder: Path, open_journal: OpenJournal, disk: Disk, room: int
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    before = journal.segments(folder)
    disk.room = room
    with pytest.raises(StoreFullError, match="nothing was stored"):
        opened.append("try", [{"n": 2}, {"n": 3}, {"n": 4}])
    assert journal.segments(folder) == before
    disk.room = None
    opened.append("try", [{"n": 5}])
    assert numbers(folder) == [1, 5]
    assert [record.sequence for record in records(folder)] == [1, 2]


@pytest.mark.parametrize("room", [0, 20])
def test_a_segment_that_could_not_be_begun_is_not_used(
    folder: Path, open_journal: OpenJournal, disk: Disk, room: int
) -> None:
    opened = open_journal()
    disk.room = room
    with pytest.raises(StoreFullError):
        opened.append("try", [{"n": 1}])
    disk.room = None
    opened.append("try", [{"n": 2}])
    assert numbers(folder) == [2]
    used = [segment for segment in journal.segments(folder) if segment.size]
    assert next(journal.read(used[0])).kind == "segment"


@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_folder_that_refuses_is_a_store_error(
    folder: Path, open_journal: OpenJournal, disk: Disk, call: str
) -> None:
    opened = open_journal()
    disk.failing[call] = errno.EIO
    with pytest.raises(StoreError, match="nothing was stored"):
        opened.append("try", [{"n": 1}])
    disk.failing.clear()
    opened.append("try", [{"n": 2}])
    assert numbers(folder) == [2]


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EIO, StoreError), (errno.ENOSPC, StoreFullError), (errno.EDQUOT, StoreFullError)],
)
def test_a_failed_sync_acknowledges_nothing_and_keeps_nothing(
    folder: Path, open_journal: OpenJournal, disk: Disk, number: int, kind: type[StoreError]
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    disk.failing["fdatasync"] = number
    with pytest.raises(kind):
        opened.append("try", [{"n": 2}])
    assert opened.settle() is None
    assert numbers(folder) == [1]
    disk.failing.clear()
    opened.close()
    assert numbers(folder) == [1]


def test_after_a_failed_sync_the_file_is_never_written_or_synced_again(
    folder: Path, open_journal: OpenJournal, disk: Disk
) -> None:
    # The kernel may have dropped the pages and call the next sync a success.
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    failed = opened.settle()
    disk.failing["fdatasync"] = errno.EIO
    with pytest.raises(StoreError):
        opened.append("try", [{"n": 2}])
    disk.failing.clear()
    before = {segment.name: segment.size for segment in journal.segments(folder)}
    opened.append("try", [{"n": 3}])
    assert numbers(folder) == [1, 3]
    settled = opened.settle()
    assert settled is not None
    assert failed is not None
    assert settled[0] not in before
    after = {segment.name: segment.size for segment in journal.segments(folder)}
    assert before.items() <= after.items()


def test_no_thread_is_told_that_it_succeeded_when_the_shared_sync_failed(
    folder: Path, open_journal: OpenJournal, disk: Disk
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": -1}])

    def append(n: int) -> bool:
        try:
            opened.append("try", [{"n": n}])
        except StoreError:
            return False
        return True

    disk.failing["fdatasync"] = errno.EIO
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(append, range(40)))
    disk.failing.clear()
    assert append(100)
    assert numbers(folder) == [-1, 100]


def test_a_segment_that_cannot_be_cut_back_is_given_up(
    folder: Path, open_journal: OpenJournal, disk: Disk
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    disk.room, disk.failing["ftruncate"] = 10, errno.EIO
    with pytest.raises(StoreFullError):
        opened.append("try", [{"n": 2}])
    disk.room, disk.failing = None, {}
    opened.append("try", [{"n": 3}])
    assert numbers(folder) == [1, 3]


# -- failed syncs -----------------------------------------------------------------------------------


def append_at_once(opened: Journal, monkeypatch: pytest.MonkeyPatch, count: int) -> list[bool]:
    """Whether each of so many threads succeeded; none is synced before all have written."""
    written, real = threading.Barrier(count), failpoints.reached

    def reached(point: str) -> None:
        if point == "journal.written":
            written.wait(30)
        real(point)

    def append(n: int) -> bool:
        try:
            opened.append("try", [{"n": n}])
        except StoreError:
            return False
        return True

    with monkeypatch.context() as patch, ThreadPoolExecutor(count) as pool:
        patch.setattr(failpoints, "reached", reached)
        return list(pool.map(append, range(count)))


def test_what_one_disk_error_has_hit_is_written_again_and_acknowledged(
    folder: Path, open_journal: OpenJournal, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": -1}])
    disk.failing["fdatasync"], disk.times["fdatasync"] = errno.EIO, 1
    assert all(append_at_once(opened, monkeypatch, 8))
    old, fresh = journal.segments(folder)
    hit = list(journal.read(old))[2:]
    again = list(journal.read(fresh))[1:]
    assert sorted(orjson.loads(record.body)["n"] for record in hit) == list(range(8))
    assert [(r.stamp, r.kind, r.body) for r in again] == [(r.stamp, r.kind, r.body) for r in hit]
    assert segments.writer_of(fresh) == segments.writer_of(old) == old.name
    assert opened.settle() == (fresh.name, fresh.size)
    opened.append("try", [{"n": 8}])
    assert numbers(folder)[-1] == 8
    assert len(journal.segments(folder)) == 2


def test_an_append_that_is_written_again_stays_one_append(
    folder: Path, open_journal: OpenJournal, disk: Disk
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": 0}])
    disk.failing["fdatasync"], disk.times["fdatasync"] = errno.EIO, 1
    opened.append("try", [{"n": 1}, {"n": 2}, {"n": 3}])
    for segment in journal.segments(folder):
        *_, append = segments.appends(segment)
        assert [orjson.loads(record.body)["n"] for record in append] == [1, 2, 3]


def test_when_the_disk_fails_twice_nothing_comes_back(
    folder: Path, open_journal: OpenJournal, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": -1}])
    disk.failing["fdatasync"], disk.times["fdatasync"] = errno.EIO, 2
    assert append_at_once(opened, monkeypatch, 8) == [False] * 8
    assert numbers(folder) == [-1]
    sealed = {segment.name: segment.size for segment in journal.segments(folder)}
    other = open_journal()
    for n, each in enumerate((opened, other)):
        each.append("try", [{"n": 100 + n}])
    assert numbers(folder) == [-1, 100, 101]
    now = {segment.name: segment.size for segment in journal.segments(folder)}
    assert sealed.items() <= now.items()


def test_nobody_goes_on_in_a_segment_whose_records_were_written_again(
    folder: Path, open_journal: OpenJournal, disk: Disk
) -> None:
    # Its writer is known by the other one: what another process wrote there would seem repeated.
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    disk.failing["fdatasync"], disk.times["fdatasync"] = errno.EIO, 1
    opened.append("try", [{"n": 2}])
    before = {segment.name for segment in journal.segments(folder)}
    other = open_journal()
    other.append("try", [{"n": 3}])
    opened.close()
    open_journal().append("try", [{"n": 4}])
    writers = {segment.name: segments.writer_of(segment) for segment in journal.segments(folder)}
    for name, writer in writers.items():
        assert (name in before) or writer == name
    settled = other.settle()
    assert settled is not None
    assert settled[0] not in before
    assert len({writers[name] for name in before}) == 1


def test_what_is_acknowledged_at_level_process_survives_a_failed_sync(
    folder: Path, open_journal: OpenJournal, disk: Disk
) -> None:
    opened = open_journal("process")
    for n in range(3):
        opened.append("try", [{"n": n}])
    disk.failing["fdatasync"] = errno.EIO
    with pytest.raises(StoreError):
        opened.sync()
    disk.failing.clear()
    assert numbers(folder) == [0, 1, 2]
    opened.append("try", [{"n": 3}])
    assert numbers(folder) == [0, 1, 2, 3]


def test_a_sync_that_fails_while_closing_is_made_good(
    folder: Path, open_journal: OpenJournal, disk: Disk
) -> None:
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    opened.append("receipt", [{}], sync=False)
    disk.failing["fdatasync"], disk.times["fdatasync"] = errno.EIO, 1
    opened.close()
    _, fresh = journal.segments(folder)
    assert [record.kind for record in journal.read(fresh)] == ["segment", "receipt"]


# -- two processes ----------------------------------------------------------------------------------


def test_two_journals_never_write_one_segment(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 2_000)
    opened = [open_journal() for _ in range(4)]

    def work(each: int) -> set[str]:
        used = set()
        for n in range(60):
            opened[each].append("try", [{"n": 1_000 * each + n}])
            used.add((opened[each].position() or ("", 0))[0])
        return used

    with ThreadPoolExecutor(4) as pool:
        used = list(pool.map(work, range(4)))
    assert sorted(numbers(folder)) == sorted(1_000 * each + n for each in range(4) for n in range(60))
    for segment in journal.segments(folder):
        found = list(journal.read(segment))
        assert [record.sequence for record in found] == list(range(len(found)))
        stamps = [record.stamp for record in found]
        assert stamps == sorted(set(stamps))
    assert all(len(names) > 1 for names in used)
    current = [each.position() for each in opened]
    assert len({place[0] for place in current if place}) == 4


KILLED = """
import os, signal, sys
from pathlib import Path
from whatworks.journal import Journal
Journal(Path(sys.argv[1]), "store-1").append("try", [{"n": 1}])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_segment_of_a_killed_process_is_gone_on_with(
    folder: Path, open_journal: OpenJournal
) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False, timeout=60)
    (segment,) = journal.segments(folder)
    open_journal().append("try", [{"n": 2}])
    assert [each.name for each in journal.segments(folder)] == [segment.name]
    assert numbers(folder) == [1, 2]


def test_a_torn_segment_is_left_as_it_is(folder: Path, open_journal: OpenJournal) -> None:
    first = open_journal()
    first.append("try", [{"n": 1}])
    first.close()
    (segment,) = journal.segments(folder)
    with open(segment.path, "ab") as file:
        file.write(b"0123abcd 2 17")
    torn = segment.path.read_bytes()
    open_journal().append("try", [{"n": 2}])
    assert segment.path.read_bytes() == torn
    assert numbers(folder) == [1, 2]


def test_a_segment_that_ends_within_an_append_is_left_as_it_is(
    folder: Path, open_journal: OpenJournal
) -> None:
    first = open_journal()
    first.append("try", [{"n": 1}, {"n": 2}])
    first.close()
    (segment,) = journal.segments(folder)
    os.truncate(segment.path, list(segments.appends(segment))[1][0].end)
    open_journal().append("try", [{"n": 3}])
    assert numbers(folder) == [3]


def test_many_short_runs_share_a_file(folder: Path, open_journal: OpenJournal) -> None:
    for n in range(20):
        run = open_journal()
        run.append("try", [{"n": n}])
        run.close()
    assert len(journal.segments(folder)) == 1
    assert numbers(folder) == list(range(20))


# -- time -------------------------------------------------------------------------------------------


class Watch:
    """Stands for the module ``time``."""

    def __init__(self, micros: int) -> None:
        self.micros = micros

    def time_ns(self) -> int:
        return self.micros * 1_000


def stamps(folder: Path) -> list[int]:
    return [record.stamp for record in records(folder)]


def test_stamps_increase_also_when_the_clock_is_set_back(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(5_000)
    monkeypatch.setattr(journal, "time", watch)
    opened = open_journal()
    opened.append("try", [{"n": 1}, {"n": 2}])
    watch.micros = 10
    opened.append("try", [{"n": 3}])
    opened.close()
    open_journal().append("try", [{"n": 4}])  # another process goes on where the last stamp is
    watch.micros = 9_000
    open_journal()
    assert stamps(folder) == [5_000, 5_001, 5_002, 5_003]


def test_what_is_written_after_something_was_seen_has_a_later_stamp(
    folder: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "time", Watch(100))
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    opened.observe(7_000)
    assert opened.stamp == 7_000
    opened.append("try", [{"n": 2}])
    opened.observe(50)  # of one that is behind
    opened.append("try", [{"n": 3}])
    assert stamps(folder) == [100, 7_001, 7_002]


# -- closing ----------------------------------------------------------------------------------------


def test_closing_frees_the_segment_and_every_descriptor(
    folder: Path, open_journal: OpenJournal
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    opened.close()
    assert opened.settle() is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_closing_a_journal_that_never_wrote_leaves_no_file(
    folder: Path, open_journal: OpenJournal
) -> None:
    open_journal().close()
    assert journal.segments(folder) == []


def test_threads_that_write_while_it_is_closed_are_acknowledged_or_refused(
    folder: Path, open_journal: OpenJournal
) -> None:
    opened = open_journal()
    going = threading.Event()

    def work(thread: int) -> list[int]:
        done: list[int] = []
        with contextlib.suppress(StoreClosedError):
            for n in range(10_000):
                opened.append("try", [{"n": 10_000 * thread + n}])
                done.append(10_000 * thread + n)
                going.set()
        return done

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, thread) for thread in range(4)]
        assert going.wait(30)
        opened.close()
        acknowledged = [n for item in running for n in item.result(30)]
    assert set(acknowledged) <= set(numbers(folder))
    assert len(acknowledged) < 40_000


def test_a_closed_journal_refuses(folder: Path, open_journal: OpenJournal) -> None:
    opened = open_journal()
    opened.append("try", [{"n": 1}])
    opened.close()
    opened.close()
    with pytest.raises(StoreClosedError):
        opened.append("try", [{"n": 2}])
    assert numbers(folder) == [1]


def test_a_call_that_a_signal_cut_short_leaves_the_segment_in_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Journal(folder, "store")
    opened.append("event.recorded", [{"n": 0}])
    real = os.write

    def interrupted(file: int, data: bytes) -> int:
        real(file, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            opened.append("event.recorded", [{"n": 1}])
    opened.append("event.recorded", [{"n": 2}])
    opened.close()
    found = [r for s in journal.segments(folder) for r in journal.read(s) if r.kind != "segment"]
    assert [(r.sequence, orjson.loads(r.body)["n"]) for r in found] == [(1, 0), (2, 2)]


def test_a_segment_that_is_not_in_its_place_any_more_takes_nothing(folder: Path) -> None:
    opened = Journal(folder, "store")
    opened.append("event.recorded", [{"n": 0}])
    (segment,) = journal.segments(folder)
    segment.path.rename(folder / "elsewhere")
    with pytest.raises(StoreError, match="moved or replaced"):
        opened.append("event.recorded", [{"n": 1}])
