"""A backup that is killed, or finds no room, leaves whole backups and the store as they were."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.disks import SmallDisk
from support.reference import assert_counts_agree
from support.snapshot import fill, snapshot
from whatworks import Memory, StoreError, StoreFullError, backup, failpoints
from whatworks.testing import HashEmbedder

MAKING = ["begun", "copied", "segment", "gathered", "verified", "synced", "renamed", "removing"]
RESTORING = ["verified", "copied:1", "copied:3", "synced", "renamed"]

BACK_UP = """
import sys, threading
from whatworks import Memory
from whatworks.testing import HashEmbedder
memory = Memory.open(sys.argv[1], embedder=HashEmbedder(), vectors="exact")
def write():
    n = 0
    while True:
        n += 1
        memory.record("p1", outcome=n % 2, context=f"case {n % 5}", event_id=f"{sys.argv[3]}-{n}")
threading.Thread(target=write, daemon=True).start()
for _ in range(3):
    memory.backup(sys.argv[2], keep=1)
"""
RESTORE = """
import sys
from pathlib import Path
from whatworks import backup
backup.restore(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def filled(store: Path, target: Path) -> Path:
    """A store, and its first backup."""
    with Memory.open(store, embedder=HashEmbedder(), vectors="exact") as memory:
        fill(memory)
        memory.find_similar("x")
        return Path(memory.backup(target).path)


def kill(code: str, point: str, *arguments: object) -> None:
    environment = os.environ | {"WHATWORKS_FAIL": point}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    assert subprocess.run(command, check=False, env=environment).returncode == 9, f"{point} not reached"


def finished(target: Path) -> list[Path]:
    return [path for path in target.iterdir() if path.name.startswith("whatworks-")]


def assert_whole(made: Path, folder: Path) -> None:
    """A backup can be restored, and what comes of it agrees with itself."""
    told = backup.restore(made, folder)
    with Memory.open(folder, embedder=HashEmbedder()) as memory:
        assert memory.stats().events == told.events >= 40
        assert memory.stats().problems == ()
        assert_counts_agree(memory)


@pytest.mark.parametrize("point", MAKING)
def test_a_killed_backup_leaves_whole_backups_only(
    point: str, filled: Path, store: Path, target: Path, tmp_path: Path
) -> None:
    kill(BACK_UP, f"backup.{point}", store, target, "a")
    assert finished(target), "the last good backup is gone"
    for n, made in enumerate(finished(target)):
        assert_whole(made, tmp_path / f"new{n}")
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        assert_counts_agree(memory)
        last = memory.backup(target, keep=1)
    assert [str(path) for path in target.iterdir()] == [last.path], "something was left over"


@pytest.mark.parametrize("point", RESTORING)
def test_a_killed_restore_leaves_nothing_or_a_store(point: str, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "new"
    kill(RESTORE, f"restore.{point}", filled, target)
    if not target.exists():
        backup.restore(filled, target)
    with Memory.open(target, embedder=HashEmbedder()) as memory:
        assert memory.stats().events == 40
        assert_counts_agree(memory)
    assert not list(tmp_path.glob(".*")), "something was left over"


def test_a_backup_without_its_rename_is_found_out(
    filled: Path, store: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The null control: one that is written under its own name is taken for whole when it is not."""

    def die(point: str) -> None:
        if point == "backup.segment":
            (draft,) = target.glob("*.partial")
            draft.rename(target / "whatworks-20990101T000000Z")
            raise KeyboardInterrupt

    monkeypatch.setattr(failpoints, "reached", die)
    with Memory.open(store, embedder=HashEmbedder()) as memory, pytest.raises(KeyboardInterrupt):
        memory.backup(target)
    with pytest.raises((StoreError, LookupError)):
        for n, made in enumerate(finished(target)):
            assert_whole(made, tmp_path / f"new{n}")


@pytest.mark.parametrize("room", [0, 300_000, 1_000_000, 3_000_000])
def test_without_room_there_is_no_backup_and_the_store_goes_on(
    room: int,
    filled: Path,
    store: Path,
    small_disk: SmallDisk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if type(small_disk) is not SmallDisk:
        (small_disk.folder / "some.log").write_bytes(b"")  # a limit goes by the largest of these
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        before = snapshot(memory, vectors=False)
        small_disk.leave(room)
        with pytest.raises(StoreFullError):
            memory.backup(small_disk.folder / "backups")
        small_disk.free()
        assert not list((small_disk.folder / "backups").iterdir())
        assert snapshot(memory, vectors=False) == before
        memory.record("p1", outcome=1.0)
        assert memory.stats().events == 41
        assert memory.backup(small_disk.folder / "backups").events == 41


def test_without_room_nothing_is_restored(filled: Path, small_disk: SmallDisk) -> None:
    if type(small_disk) is not SmallDisk:
        (small_disk.folder / "some.log").write_bytes(b"")
    small_disk.leave(300_000)
    with pytest.raises(StoreFullError):
        backup.restore(filled, small_disk.folder / "new")
    small_disk.free()
    assert backup.restore(filled, small_disk.folder / "new").events == 40


def test_where_nothing_may_be_written_there_is_no_backup(
    filled: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with Memory.open(store, embedder=HashEmbedder()) as memory:
        if os.geteuid():
            (tmp_path / "closed").mkdir(mode=0o500)
        else:  # root may write everywhere but here
            monkeypatch.setattr(Path, "mkdir", refuse)
        with pytest.raises(StoreError, match="Permission denied"):
            memory.backup(tmp_path / "closed" / "backups")
        monkeypatch.undo()
        assert memory.stats().events == 40
