"""Who owns a store: one process at a time, by a lock that the kernel frees when it dies."""

from __future__ import annotations

import fcntl
import os
import weakref
from contextlib import suppress
from pathlib import Path

from whatworks.errors import StoreBusyError, StoreError, disk_error

__all__ = ["KeeperLock"]


class KeeperLock:
    """An exclusive ``flock`` on ``keeper.lock``, which holds the owner's pid.

    Not ``lockf``: a POSIX record lock is lost as soon as anything in the
    process closes another handle on the file.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "keeper.lock"
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except NotADirectoryError as error:
            raise StoreError(f"{folder} is a file; expected the folder of a store") from error
        except OSError as error:
            raise disk_error(error, f"lock the store in {folder}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = holder(path)
            os.close(self._file)
            raise StoreBusyError(
                f"the store in {folder} is in use by process {pid or 'unknown'}; "
                "close it there, or wait until it ends",
                pid,
            ) from error
        with suppress(OSError):  # a full disk: the lock holds without the name of its holder
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, b"%d\n" % os.getpid(), 0)
        _held.add(self)

    def release(self) -> None:
        """Free the store for others; the file stays."""
        _held.discard(self)
        os.close(self._file)


_held: weakref.WeakSet[KeeperLock] = weakref.WeakSet()


def _let_go() -> None:
    """In a forked child: a handle left open would keep the store locked after its owner died."""
    for lock in _held:
        os.close(lock._file)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


def holder(path: Path) -> int | None:
    """The pid written in a lock file, ``None`` if there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
