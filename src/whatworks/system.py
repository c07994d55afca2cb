"""Where operating systems differ: syncing, locking, sockets beside a store, forks.

Linux is what the tests run on. macOS has its own sync and its own way to name
the peer of a socket. Windows has neither ``flock`` nor these sockets: a store
there belongs to one process at a time.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "close_in_child",
    "connect",
    "give_back_memory",
    "hold",
    "let_go",
    "listen",
    "lock",
    "peer_uid",
    "sync",
    "sync_data",
    "taking_turns",
    "try_lock",
    "uncollected",
]

# The kernel's limit on the path of a socket, without its final zero.
SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
BACKLOG = 64

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_held: set[int] = set()
_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()


# -- the disk -------------------------------------------------------------------------------------


def sync_data(file: int) -> None:
    """Put what was written to ``file`` onto the disk, through the disk's own cache."""
    if sys.platform == "darwin":
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # fsync there leaves it in the disk's cache
    elif sys.platform == "win32":
        os.fsync(file)
    else:
        os.fdatasync(file)


def sync(path: Path) -> None:
    """Put a file onto the disk, or the names in a folder: else a new file may go with the power."""
    folder = path.is_dir()
    if sys.platform == "win32":
        if folder:
            return  # folders cannot be synced there
        flags = os.O_RDWR  # nor can files that were opened to be read
    else:
        flags = os.O_RDONLY | os.O_CLOEXEC
    file = os.open(path, flags)
    try:
        if folder and sys.platform != "darwin":
            os.fsync(file)  # fdatasync may leave out what is new in a folder
        else:
            sync_data(file)
    finally:
        os.close(file)


# -- locks ----------------------------------------------------------------------------------------


def try_lock(file: int, *, shared: bool = False) -> bool:
    """Lock a file for this process unless another one has it; the kernel frees it when we die.

    ``shared`` keeps out those who want it for themselves, and no others. Not
    ``lockf``: a POSIX record lock is lost as soon as anything in the process
    closes another handle on the file.
    """
    try:
        if sys.platform == "win32":
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def lock(file: int, *, shared: bool = False) -> None:
    """Lock a file, waiting for whoever has it; ``shared`` as in ``try_lock``."""
    if sys.platform == "win32":
        msvcrt.locking(file, msvcrt.LK_LOCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def hold(file: int) -> int:
    """Remember a descriptor that a forked child must not keep: its copy would hold the lock."""
    _held.add(file)
    return file


def let_go(file: int) -> None:
    """Close a descriptor given to ``hold``; in a child that has closed it already, do nothing."""
    if file in _held:
        _held.discard(file)
        os.close(file)


def close_in_child(connection: socket.socket) -> None:
    """Let a forked child close its copy: with it, the other end would take us for alive."""
    _sockets.add(connection)


def _close_held() -> None:
    for file in _held:
        with suppress(OSError):
            os.close(file)
    _held.clear()
    for connection in list(_sockets):
        connection.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_held)


# -- sockets --------------------------------------------------------------------------------------


def listen(path: Path) -> socket.socket | None:
    """A socket at ``path`` that only this user may connect to; ``None`` where there are none."""
    if not hasattr(socket, "AF_UNIX"):
        return None
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _Reachable(path) as address:
            path.unlink(missing_ok=True)  # of a keeper that was killed
            if sys.platform == "linux":
                os.fchmod(
                    made.fileno(), 0o600
                )  # the mode of what bind makes; a umask is of all threads
            made.bind(address)
            os.chmod(path, 0o600)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def connect(path: Path, timeout: float) -> socket.socket:
    """A connection to whoever listens at ``path``; ``OSError`` if nobody does."""
    if not hasattr(socket, "AF_UNIX"):
        raise FileNotFoundError(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(timeout)
        with _Reachable(path) as address:
            made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


def peer_uid(connection: socket.socket) -> int:
    """User id of the process at the other end."""
    if sys.platform == "darwin":
        # struct xucred { u_int cr_version; uid_t cr_uid; short cr_ngroups; gid_t cr_groups[16]; }
        found = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED
        return int(struct.unpack_from("II", found)[1])
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[1])


class _Reachable:
    """A path for a socket, short enough for the kernel, while entered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder: int | None = None

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= SOCKET_PATH_BYTES:
            return str(self._path)
        if not Path("/proc/self/fd").is_dir():
            raise OSError(f"the path {self._path} is too long for a socket; use a shorter one")
        self._folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            os.close(self._folder)


_uncollected = 0
_counting = threading.Lock()


@contextmanager
def uncollected() -> Iterator[None]:
    """Make much that holds no cycles without looking for any, in this process.

    Python looks again after each few hundred objects: recording five thousand
    tries at once takes a third less without that.
    """
    global _uncollected
    with _counting:
        ours = _uncollected > 0 or gc.isenabled()  # else whoever turned it off turns it on again
        _uncollected += ours
        gc.disable()
    try:
        yield
    finally:
        with _counting:
            _uncollected -= ours
            if ours and not _uncollected:
                gc.enable()


# How long a thread waits for its turn while another folds; Python's own 5 ms are a third of what it
# takes to write a thousand tries down.
TURN_SECONDS = 0.001
_taking_turns = 0
_turn_before = 0.0


@contextmanager
def taking_turns() -> Iterator[None]:
    """Let threads of this process wait for each other no longer than ``TURN_SECONDS``."""
    global _taking_turns, _turn_before
    with _counting:
        if not _taking_turns and (_turn_before := sys.getswitchinterval()) > TURN_SECONDS:
            sys.setswitchinterval(TURN_SECONDS)
        _taking_turns += 1
    try:
        yield
    finally:
        with _counting:
            _taking_turns -= 1
            if not _taking_turns:
                _turns_as_before()


def _turns_as_before() -> None:
    """Unless they were short before, or somebody has set them meanwhile."""
    if _turn_before > TURN_SECONDS and round(sys.getswitchinterval(), 6) == TURN_SECONDS:
        sys.setswitchinterval(_turn_before)


def _begin_anew() -> None:
    """A thread that made much, or folds, is not there in a forked child, and comes to no end."""
    global _uncollected, _counting, _taking_turns
    _counting = threading.Lock()
    if _uncollected:
        _uncollected = 0
        gc.enable()
    if _taking_turns:
        _taking_turns = 0
        _turns_as_before()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def give_back_memory() -> None:
    """Hand freed memory back to the system, where the C library keeps it otherwise (glibc)."""
    if sys.platform != "linux":
        return
    import ctypes

    with suppress(AttributeError, OSError):  # musl has no such function
        ctypes.CDLL(None).malloc_trim(0)
