"""Disks that are full when a test says so."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["FileSizeLimit", "SmallDisk", "kinds", "mounted", "unmount"]


class SmallDisk:
    """A file system of 16 MB in memory; what is free on it can be taken away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, room: int) -> None:
        """Leave ``room`` bytes."""
        for _ in range(100):
            self.free()
            disk = os.statvfs(self.folder)
            try:
                (self.folder / "ballast").write_bytes(b"\0" * (disk.f_bavail * disk.f_bsize - room))
            except OSError as error:  # the background of a memory wrote meanwhile
                if error.errno != errno.ENOSPC:
                    raise
            else:
                return
        raise AssertionError("somebody writes all the time")

    def free(self) -> None:
        """Give back what ``leave`` took."""
        (self.folder / "ballast").unlink(missing_ok=True)


class FileSizeLimit(SmallDisk):
    """A limit on the size of each file, which needs no rights: the error is another, the rest alike."""

    def leave(self, room: int) -> None:
        self.limit(max(path.stat().st_size for path in self.folder.rglob("*.log")) + room)

    def free(self) -> None:
        self.limit(resource.RLIM_INFINITY)

    def limit(self, limit: int) -> None:
        """Let no file be longer than so many bytes."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def mounted(folder: Path) -> bool:
    """Mount a small disk on ``folder``; false where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
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
