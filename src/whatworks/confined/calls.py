"""Which system calls this process may still make: a filter in the Linux kernel (seccomp).

What reaches beyond the process is refused: sockets, other programs, signals of any kind, priorities
of others, memory shared with them, opening to write, names of files, the kernel itself. It fails
with "operation not permitted". Everything else goes on, so that an interpreter and an engine need
no list of what they call.
References: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Sequence

from whatworks.errors import StoreError

__all__ = ["refuse"]

_NO_NEW_PRIVILEGES = 38
_FILTER, _ALL_THREADS = 1, 1
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE = 0, 4
_WRITES = 0o1 | 0o2 | 0o100 | 0o1000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
_THREAD = 0x10000  # CLONE_THREAD: a thread of this process, not another process
# F_SETOWN, F_SETSIG, F_SETOWN_EX: a write to a pipe would send any signal to any process.
_OWNERS = (8, 10, 15)
# FIOSETOWN and SIOCSPGRP do the same; TIOCSTI and TIOCLINUX type into the terminal.
_CONTROLS = (0x8901, 0x8902, 0x5412, 0x541C)

# Names of numbers are those of the kernel (arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h).
_BOTH = (
    *(425, 426, 427),  # io_uring: would do all the rest unseen
    *(424, 434, 438, 440),  # pidfd_send_signal, pidfd_open, pidfd_getfd, process_madvise
    *(437, 452),  # openat2, fchmodat2
    *(428, 429, 430, 431, 432, 433, 442),  # other ways to mount
)
_X86 = (
    *(41, 42, 43, 44, 46, 49, 50, 53, 288, 307),  # sockets
    *(57, 58, 59, 322),  # fork, vfork, execve, execveat
    *(62, 200, 234, 129, 297),  # signals
    *(101, 310, 311),  # ptrace, memory of other processes
    *(82, 83, 84, 85, 86, 87, 88, 133, 258, 259, 263, 264, 265, 266, 316),  # names of files
    *(76, 90, 91, 92, 93, 94, 260, 268, 132, 235, 261, 280),  # truncate, modes, owners, times
    *(188, 189, 190, 197, 198, 199),  # extended attributes
    *(165, 166, 155, 161, 272, 308, 304, 169, 175, 313, 246, 320, 321, 298, 323),  # the kernel
    *(248, 249, 250, 240, 241),  # keys, message queues
    *(29, 30, 31, 64, 65, 66, 67, 68, 69, 70, 71, 220),  # shared memory, semaphores, more queues
    *(141, 142, 144, 203, 251, 314, 256, 279),  # priorities, processors and memory of others
)
_ARM = (
    *(198, 199, 200, 201, 202, 203, 206, 211, 242, 269),
    *(221, 281),
    *(129, 130, 131, 138, 240),
    *(117, 270, 271),
    *(33, 34, 35, 36, 37, 38, 276),
    *(45, 52, 53, 54, 55, 88),
    *(5, 6, 7, 14, 15, 16),
    *(39, 40, 41, 51, 97, 268, 265, 142, 105, 273, 104, 294, 280, 241, 282),
    *(217, 218, 219, 180, 181),
    *(186, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196, 197),
    *(140, 118, 119, 122, 30, 274, 238, 239),
)
# Machine: its mark, what is refused, and the numbers of open, openat, clone, prlimit64, fcntl, ioctl,
# seccomp.
_KNOWN = {
    "x86_64": (0xC000003E, _X86, (2, 257, 56, 302, 72, 16, 317)),
    "aarch64": (0xC00000B7, _ARM, (None, 56, 220, 261, 25, 29, 277)),
}
_CLONE3 = 435


def refuse() -> bool:
    """Refuse them from now on, in all threads; false where there is no such filter.

    Raises
    ------
    StoreError
        There is one, and it was not put in place.
    """
    if (known := _KNOWN.get(platform.machine())) is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    code = b"".join(_program(*known))
    held = ctypes.create_string_buffer(code, len(code))
    given = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    number = known[2][-1]
    done: int = libc.syscall(number, _FILTER, _ALL_THREADS, given)
    if done == 0:
        return True
    if _is_missing(libc, number):
        return False
    raise StoreError(
        "the filter of system calls was not put in place, so what strangers wrote is not read; does a "
        "sandbox around this process refuse it?"
    )


def _is_missing(libc: ctypes.CDLL, number: int | None) -> bool:
    """Whether the kernel has none; one that has would look where the filter is, which is nowhere."""
    libc.syscall(number, _FILTER, _ALL_THREADS, None)
    return ctypes.get_errno() in (errno.ENOSYS, errno.EINVAL)


def _program(machine: int, refused: tuple[int, ...], special: tuple[int | None, ...]) -> list[bytes]:
    """One decision after another, each over its own few lines."""
    opening, opening_at, clone, limits, files, devices = special[:6]
    fail = _line(_RETURN, _FAIL | errno.EPERM)
    lines = [
        _line(_LOAD, _MACHINE),
        _line(_EQUAL, machine, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER),
        _line(_AT_LEAST, 0x40000000, 0, 1),  # other numbers for the same calls
        _line(_RETURN, _KILL),
        # What it asks for stands in memory, where no filter can look: the C library tries clone then.
        _line(_EQUAL, _CLONE3, 0, 1),
        _line(_RETURN, _FAIL | errno.ENOSYS),
    ]
    for number in (*_BOTH, *refused):
        lines += [_line(_EQUAL, number, 0, 1), fail]
    for call, argument in ((opening, 1), (opening_at, 2)):
        if call is not None:
            lines += _if(call, argument, [_line(_ANY_BIT, _WRITES, 0, 1)], fail)
    lines += _if(clone or 0, 0, [_line(_ANY_BIT, _THREAD, 1, 0)], fail)
    lines += _if(limits or 0, 0, [_line(_EQUAL, 0, 1, 0)], fail)  # of others
    lines += _if(files or 0, 1, [_line(_EQUAL, what, 0, 1) for what in _OWNERS], fail)
    lines += _if(devices or 0, 1, [_line(_EQUAL, what, 0, 1) for what in _CONTROLS], fail)
    return [*lines, _line(_RETURN, _ALLOW)]


def _if(number: int, argument: int, tests: Sequence[bytes], fail: bytes) -> list[bytes]:
    """For one call: look at the lower half of an argument, and fail by any of the tests, or allow."""
    lines = [_line(_LOAD, 16 + 8 * argument)]
    for test in tests:
        lines += [test, fail]
    lines.append(_line(_RETURN, _ALLOW))
    return [_line(_EQUAL, number, 0, len(lines)), *lines]


def _line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
