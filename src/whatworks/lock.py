"""One process at a time, by locks that the kernel frees when it dies: above all, who keeps a store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from whatworks import system
from whatworks.errors import StoreBusyError, StoreError, disk_error

__all__ = ["KeeperLock", "holder", "locked"]

FILE = "keeper.lock"


@contextmanager
def locked(
    path: Path, doing: str, *, flags: int = os.O_RDWR | os.O_CREAT, shared: bool = False
) -> Iterator[None]:
    """Have the lock of a file or folder, after whoever has it; ``shared`` as in ``system.try_lock``.

    ``doing`` is what an error at opening it says could not be done.
    """
    try:
        file = system.hold(os.open(path, flags | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise disk_error(error, doing) from error
    try:
        system.lock(file, shared=shared)
        yield
    finally:
        system.let_go(file)


class KeeperLock:
    """An exclusive lock on ``keeper.lock``, which holds the owner's pid.

    Raises
    ------
    StoreBusyError
        Another process, or another lock of this one, has it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except NotADirectoryError as error:
            raise StoreError(f"{folder} is a file; expected the folder of a store") from error
        except OSError as error:
            raise disk_error(error, f"lock the store in {folder}") from error
        if not system.try_lock(file):
            os.close(file)
            pid = holder(folder)
            raise StoreBusyError(
                f"the store in {folder} is in use by process {pid or 'unknown'}; "
                "close it there, or wait until it ends",
                pid,
            )
        self._file = system.hold(file)
        with suppress(OSError):  # a full disk: the lock holds without the name of its holder
            os.ftruncate(file, 0)
            os.pwrite(file, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Free the store for others; the file stays."""
        system.let_go(self._file)


def holder(folder: Path) -> int | None:
    """The pid written in the lock of a store, ``None`` if there is none."""
    try:
        return int((folder / FILE).read_text())
    except (OSError, ValueError):
        return None
