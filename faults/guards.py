"""The guards that null controls take out of the journal, in the process that calls them."""

from __future__ import annotations

import os
import threading
from typing import Any

from whatworks.errors import StoreError
from whatworks.journal import Journal

__all__ = ["early", "swallow", "unsynced"]


def early() -> None:
    """``append`` returns before its records are written."""
    real, waiting = Journal.append, list[tuple[Any, ...]]()

    def append(self: Journal, *arguments: Any, **options: Any) -> None:
        waiting.append((self, arguments, options))

    def write_later() -> None:
        while True:
            threading.Event().wait(0.02)
            while waiting:
                journal, arguments, options = waiting.pop(0)
                real(journal, *arguments, **options)

    Journal.append = append  # type: ignore[method-assign]
    threading.Thread(target=write_later, daemon=True).start()


def swallow() -> None:
    """An error of ``append`` is passed over."""
    real = Journal.append

    def append(self: Journal, *arguments: Any, **options: Any) -> None:
        try:
            real(self, *arguments, **options)
        except StoreError:
            pass

    Journal.append = append  # type: ignore[method-assign]


def unsynced() -> None:
    """Nothing is ever synced to the disk."""
    os.fdatasync = lambda _: None
    os.fsync = lambda _: None
