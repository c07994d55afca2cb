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

from whatworks.lock import locked

__all__ = ["arriving", "nothing_arrives"]

FILE = "arrivals.lock"


@contextmanager
def arriving(journal: Path) -> Iterator[None]:
    """Keep readers away while records of other machines are put into the journal."""
    path = journal.parent / FILE
    with locked(path, f"lock {path}"):
        yield


@contextmanager
def nothing_arrives(journal: Path) -> Iterator[None]:
    """See the journal with all that came together or with none; free where none did."""
    path = journal.parent / FILE
    if not path.exists():
        yield
        return
    with locked(path, f"lock {path}", flags=os.O_RDWR, shared=True):
        yield
