"""A full disk: no false acknowledgement, reading goes on, writing resumes when there is room."""

from __future__ import annotations

import pytest

from support.disks import SmallDisk
from whatworks import Memory, StoreFullError
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
