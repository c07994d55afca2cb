"""What other machines have written comes into a journal all at once for whoever reads it.

A record may rest on one of another machine in another segment. Their stamps do not say when they
came here, so a reader that looked at the two segments one after the other could see the second and
not the first. Nobody looks while records arrive.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whatworks import system
from whatworks.errors import disk_error

__all__ = ["arriving", "nothing_arrives"]

FILE = "arrivals.lock"


@contextmanager
def arriving(journal: Path) -> Iterator[None]:
    """Keep readers away while records of other machines are put into the journal."""
    with _locked(journal, os.O_RDWR | os.O_CREAT, shared=False):
        yield


@contextmanager
def nothing_arrives(journal: Path) -> Iterator[None]:
    """See the journal with all that came together or with none; free where none did."""
    if not (journal.parent / FILE).exists():
        yield
        return
    with _locked(journal, os.O_RDWR, shared=True):
        yield


@contextmanager
def _locked(journal: Path, flags: int, *, shared: bool) -> Iterator[None]:
    path = journal.parent / FILE
    try:
        file = system.hold(os.open(path, flags | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise disk_error(error, f"lock {path}") from error
    try:
        system.lock(file, shared=shared)
        yield
    finally:
        system.let_go(file)
