"""Which files this process may still open: Landlock, rules of the Linux kernel since 5.13.

Its system calls have no wrapper in the C library, and the same numbers on every processor.
References: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from whatworks.errors import StoreError

__all__ = ["known", "only"]

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION, _BENEATH = 1, 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_NO_NEW_PRIVILEGES = 38
# How many rights on files each version knows; what is known and not granted is refused.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_LATEST = 16
# Where shared libraries and time zones lie that are loaded when they are first needed.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")
# Where engines look how much memory there is; DuckDB ends the process if it may not.
_MEMORY = ("/proc/meminfo", "/proc/self/cgroup", "/sys/fs/cgroup")


def known() -> bool:
    """Whether the kernel has such rules."""
    return _version(ctypes.CDLL(None, use_errno=True)) > 0


def _version(libc: ctypes.CDLL) -> int:
    version: int = libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    return version


def only(below: Sequence[Path]) -> bool:
    """Let nothing but this and Python be opened, and only to read; false without Landlock.

    Raises
    ------
    StoreError
        The kernel has Landlock, and the rules were not put in place.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = _version(libc)
    if version < 1:
        return False
    files = (1 << _RIGHTS.get(version, _LATEST)) - 1
    # Since version 4 TCP, since 6 sockets without a name and signals to others.
    ruled = struct.pack("=QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = libc.syscall(_CREATE, ruled, ctypes.c_size_t(size), 0)
    if rules < 0:
        raise _refused()
    for path in {*below, *_python()}:
        _allow(libc, rules, path)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    restricted: int = libc.syscall(_RESTRICT, rules, 0)
    os.close(rules)
    if restricted:
        raise _refused()
    return True


def _refused() -> StoreError:
    return StoreError(
        "the rules on files (Landlock) were not put in place, so what strangers wrote is not read; "
        "does a sandbox around this process refuse them?"
    )


def _python() -> Iterator[Path]:
    ours = Path(__file__).parents[1]
    yield from _there(
        [ours, *map(Path, (*sys.path, sys.prefix, sys.base_prefix, *_LIBRARIES, *_MEMORY))]
    )


def _there(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if path.is_absolute() and path.exists())


def _allow(libc: ctypes.CDLL, rules: int, path: Path) -> None:
    """What is not there needs no rule: it cannot be opened either."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    rights = _READ_FILE | (_READ_FOLDER if path.is_dir() else 0)
    libc.syscall(_ADD, rules, _BENEATH, struct.pack("=Qi", rights, handle), 0)
    os.close(handle)
