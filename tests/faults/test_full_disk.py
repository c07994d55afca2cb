"""A full disk: no false acknowledgement, reading goes on, writing resumes when there is room."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from whatworks import Memory, StoreFullError
from whatworks.journal import Journal
from whatworks.testing import HashEmbedder

MEGABYTE = 1 << 20


class SmallDisk:
    """A file system of 8 MB in memory; what is free on it can be taken away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, room: int) -> None:
        """Leave ``room`` bytes."""
        disk = os.statvfs(self.folder)
        (self.folder / "ballast").write_bytes(b"\0" * (disk.f_bavail * disk.f_bsize - room))

    def free(self) -> None:
        """Give back what ``leave`` took."""
        (self.folder / "ballast").unlink(missing_ok=True)


class FileSizeLimit(SmallDisk):
    """A limit on the size of each file, which needs no rights: the error is another, the rest alike."""

    def leave(self, room: int) -> None:
        self._set(max(path.stat().st_size for path in self.folder.rglob("*.log")) + room)

    def free(self) -> None:
        self._set(resource.RLIM_INFINITY)

    def _set(self, limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def mounted(folder: Path) -> bool:
    """Mount a small disk on ``folder``; false where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=True)


def kinds() -> list[str]:
    """Which kinds of small disk can be had here."""
    with TemporaryDirectory() as folder:
        if not mounted(Path(folder)):
            return ["limit"]
        unmount(Path(folder))
    return ["tmpfs", "limit"]


@pytest.fixture(params=kinds())
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = SmallDisk(folder) if request.param == "tmpfs" and mounted(folder) else FileSizeLimit(folder)
    yield disk
    disk.free()
    if request.param == "tmpfs":
        unmount(folder)


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
