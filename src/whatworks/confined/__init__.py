"""What a process gives up before it meets what strangers wrote, so that nothing can give it back.

A child of ours that runs a statement (``sql``) or reads a file (``importers``) needs to compute,
to write to its pipe, and perhaps to read some files. The system takes everything else from it:
resource limits wherever there are any, and on Linux also a filter of system calls (``calls``) and
rules on which files may be opened (``paths``). Windows has none of these.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from whatworks.confined import calls, paths

__all__ = ["give_up"]

# What an engine maps, and Python, beside the memory that the work itself takes.
ADDRESSES = 4 << 30


def give_up(seconds: float, *, files: int = 0, below: Sequence[Path] = ()) -> None:
    """Write no file, open no socket, start no process from now on, and end in time.

    Parameters
    ----------
    seconds
        Of processor time, at least; the process is ended a second later.
    files
        How many files may be open at once, those that are open now among them; 0 lets none be opened.
    below
        With ``files``, the files and folders that may be read; whatever Python and its packages
        lie in stays readable. Where the kernel has no such rules (macOS, Linux before 5.13)
        every file stays readable.

    Raises
    ------
    StoreError
        The kernel has the filter or the rules, and did not put them in place.
    """
    if sys.platform == "win32":
        return
    if sys.platform == "linux":
        # First, for they are files themselves; without any to open they still stop signals.
        paths.only(below if files else ())
    _limit(seconds, files)
    if sys.platform == "linux":
        calls.refuse()


def _limit(seconds: float, files: int) -> None:
    import resource

    for what, most in (
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(seconds) + 1),
        (resource.RLIMIT_AS, ADDRESSES),
    ):
        try:
            resource.setrlimit(what, (most, most))
        except (ValueError, OSError):
            if what in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
                raise  # without these it does not run; macOS has no limit on addresses
