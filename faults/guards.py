"""The guards that null controls take out, in the process that calls them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from whatworks.errors import StoreError
from whatworks.evidence import Evidence, damage
from whatworks.journal import Journal
from whatworks.stores import VectorStore
from whatworks.vectors import Vectors

__all__ = ["apart", "early", "swallow", "uncompared", "unsynced", "unwatched"]


def early() -> None:
    """``append`` returns before its events are written."""
    real, waiting = Journal.append, list[tuple[Any, ...]]()

    def append(self: Journal, kind: str, *arguments: Any, **options: Any) -> None:
        if kind.startswith("event"):
            waiting.append((self, (kind, *arguments), options))
        else:  # who adds a pattern is shown it at once
            real(self, kind, *arguments, **options)

    def write_later() -> None:
        while True:
            threading.Event().wait(0.1)
            while waiting:
                journal, arguments, options = waiting.pop(0)
                real(journal, *arguments, **options)

    Journal.append = append
    threading.Thread(target=write_later, daemon=True).start()


def swallow() -> None:
    """An error of ``append`` is passed over."""
    real = Journal.append

    def append(self: Journal, *arguments: Any, **options: Any) -> None:
        with suppress(StoreError):
            real(self, *arguments, **options)

    Journal.append = append


def _nothing(fd: Any) -> None:
    """Leave it to the operating system."""


def unsynced() -> None:
    """Nothing is ever synced to the disk."""
    os.fdatasync = os.fsync = _nothing


def apart() -> None:
    """What a step writes to the evidence is no transaction."""

    def write(self: Evidence, step: Callable[..., Any]) -> Any:
        return step(self._con)

    Evidence.write = write


def unwatched() -> None:
    """Damage to the evidence is an error like others, and its sums are not compared."""
    damage.shows = lambda _: False
    damage.check = _nothing


def uncompared() -> None:
    """The files of a vector store are opened as they are."""

    def found(self: Vectors) -> VectorStore:
        return self._open()

    Vectors._found = found
