"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whatworks.errors import InvalidInputError, disk_error

__all__ = ["replacing", "write_text"]


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A draft beside ``target`` to write to, which takes its place at the end.

    The draft can be read by its owner only, and is on the disk before it is
    renamed. After an error it is gone, and what was at ``target`` is still there.

    Raises
    ------
    InvalidInputError
        There is no such folder, or ``target`` is something else than a file.
    StoreFullError
        No room on the disk.
    StoreError
        The file cannot be written.
    """
    if os.path.lexists(target) and not os.path.isfile(target):
        raise InvalidInputError(f"{target} is no file; give a file to write to")
    if not os.path.isdir(target.parent):
        raise InvalidInputError(f"there is no folder {target.parent}; create it first")
    draft: str | None = None
    try:
        handle, draft = tempfile.mkstemp(prefix=".whatworks-", suffix=".tmp", dir=target.parent)
        os.close(handle)
        yield Path(draft)
        _sync(draft, os.O_RDWR)
        os.replace(draft, target)
        draft = None
        _sync(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise disk_error(error, f"write {target}; nothing was changed there") from error
    finally:
        if draft is not None and os.path.exists(draft):
            os.unlink(draft)


def _sync(path: str | os.PathLike[str], flags: int) -> None:
    handle = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(target: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file that is not ours: behind a link, with the mode that it has, or else ``mode``."""
    target = target.resolve()
    kept = target.stat().st_mode if target.exists() else mode
    with replacing(target) as draft, draft.open("w", newline="") as file:
        file.write(text)
    target.chmod(kept)
