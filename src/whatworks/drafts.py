"""Folders to build something in, which bear another name until it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from whatworks import system

__all__ = ["clear", "draft"]


@contextmanager
def draft(folder: Path, name: str = "whatworks") -> Iterator[Path]:
    """A private folder inside ``folder`` to build in; removed at the end unless it was renamed.

    It is locked as long as its maker lives, so that what is not may be cleared.
    """
    import shutil  # which loads all that may pack files

    draft, handle = _locked(folder, name)
    try:
        yield draft
    finally:
        os.close(handle)
        shutil.rmtree(draft, ignore_errors=True)


def _locked(folder: Path, name: str) -> tuple[Path, int]:
    """A new folder with its lock; one that somebody cleared before it was locked is made again."""
    while True:
        draft = folder / f".{name}-{os.getpid()}-{os.urandom(4).hex()}.partial"
        draft.mkdir(mode=0o700)
        with suppress(FileNotFoundError):
            handle = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            system.lock(handle)
            if draft.exists():
                return draft, handle
            os.close(handle)


def clear(folder: Path, name: str = "whatworks") -> None:
    """Remove what an interrupted maker has left in ``folder``."""
    import shutil

    for ending in ("partial", "removing"):
        for path in folder.glob(f".{escape(name)}-*.{ending}"):
            with suppress(OSError):
                handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if system.try_lock(handle):
                        shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(handle)
