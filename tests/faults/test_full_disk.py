"""A full disk: no false acknowledgement, reading goes on, writing resumes when there is room."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.disks import FileSizeLimit, SmallDisk
from whatworks import Memory, StoreFullError, keeper
from whatworks.evidence import database
from whatworks.journal import Journal
from whatworks.testing import HashEmbedder

MEGABYTE = 1 << 20


def fill(memory: Memory) -> list[str]:
    """Record until there is no room; return what was acknowledged."""
    made: list[str] = []
    with pytest.raises(StoreFullError):
        for n in range(100_000):
            context = f"situation {n} " + "x" * 3_000
            made.append(memory.record("p", outcome=1.0, context=context).event_id)
    return made


@pytest.mark.parametrize("room", [0.2, 0.7, 1.5])
def test_nothing_acknowledged_is_lost_and_writing_resumes(small_disk: SmallDisk, room: float) -> None:
    with Memory.open(small_disk.folder / "store", embedder=HashEmbedder(), vectors="exact") as memory:
        memory.add_pattern("try again", pattern_id="p")
        memory.stats()
        small_disk.leave(int(room * MEGABYTE))
        made = fill(memory)
        small_disk.free()
        made.append(memory.record("p", outcome=0.0, context="there is room again").event_id)
        assert sorted(e.event_id for e in memory.iter_events()) == sorted(made)
    with Memory.open(small_disk.folder / "store", embedder=HashEmbedder()) as memory:
        assert memory.get_pattern("p").usage_count == len(made)
        memory.rebuild()
        assert sorted(e.event_id for e in memory.iter_events()) == sorted(made)


def test_what_is_folded_can_be_read_while_the_disk_is_full(small_disk: SmallDisk) -> None:
    with Memory.open(small_disk.folder / "store", embedder=HashEmbedder(), vectors="exact") as memory:
        memory.add_pattern("try again", pattern_id="p")
        memory.record("p", outcome=1.0, context="somewhere")
        assert memory.predict("somewhere").answers
        small_disk.leave(0)
        with pytest.raises(StoreFullError):
            memory.record("p", outcome=1.0, context="x" * 60_000)
        assert memory.get_pattern("p").usage_count == 1
        assert memory.find_similar("try again")
        assert memory.trend("p").days
        assert memory.predict("somewhere").answers


# A log that any memory holds, and one that needs more of it than the engine usually has.
@pytest.mark.parametrize(
    ("usual", "grown"), [(MEGABYTE, 2 * MEGABYTE), (database.USUAL_LOG, 30 * MEGABYTE)]
)
def test_a_log_that_does_not_fit_into_the_file_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usual: int, grown: int
) -> None:
    monkeypatch.setattr(database, "USUAL_LOG", usual)
    monkeypatch.setattr(database, "LONG_BYTES", min(database.LONG_BYTES, usual // 4))
    path, disk = tmp_path / "store" / "evidence.duckdb", FileSizeLimit(tmp_path)
    lines, made = path.with_name("evidence.duckdb.wal"), 0
    with Memory.open(tmp_path / "store", embedder="none") as memory:
        memory.add_pattern("try again", pattern_id="p")
        while not lines.exists() or lines.stat().st_size < grown:
            tries = [
                {"pattern_id": "p", "outcome": 1.0, "context": f"{made + n} {'word ' * 20}"}
                for n in range(10_000)
            ]
            made += len(memory.record_many(tries))
            memory.trend("p")
        disk.limit(path.stat().st_size + MEGABYTE // 4)
        try:
            until = time.monotonic() + keeper.QUIET_SECONDS + 1.5  # then it has been tried
            while time.monotonic() < until:
                assert memory.stats().events == made
                assert memory.trend("p").days[0].usage_count == made
                assert memory.patterns()[0].usage_count == made
                time.sleep(0.1)
        finally:
            disk.free()
        assert memory.record("p", outcome=1.0)
        assert memory.stats().events == made + 1


def test_a_journal_that_swallows_the_error_is_found_out(
    small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The null control: without its guard, acknowledged events are lost."""
    honest = Journal._write

    def careless(self: Journal, opened: object, data: bytes) -> None:
        try:
            honest(self, opened, data)  # type: ignore[arg-type]
        except StoreFullError:
            lost.append(data)

    lost: list[bytes] = []
    monkeypatch.setattr(Journal, "_write", careless)
    with Memory.open(small_disk.folder / "store", embedder=HashEmbedder(), vectors="exact") as memory:
        memory.add_pattern("try again", pattern_id="p")
        memory.stats()
        small_disk.leave(MEGABYTE)
        made = []
        while not lost and len(made) < 2_000:
            made.append(memory.record("p", outcome=1.0, context="x" * 3_000).event_id)
        small_disk.free()
        assert {e.event_id for e in memory.iter_events()} < set(made)
