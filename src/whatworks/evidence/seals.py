"""Which state the file of the evidence was closed in, for who can do without its engine.

To load the engine and open the file takes longer than all else that a first question needs, and what
the lookup can answer needs neither, if the file is still in the state that the lookup holds. When the
file is closed, that state is noted beside it, together with what a change of the file would change.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import orjson

from whatworks.replay import Mark

__all__ = ["put", "read"]

SUFFIX = ".seal"
Sealed = tuple[int, dict[str, Mark]]


def put(path: Path, version: int, build: int, marks: Mapping[str, Mark]) -> None:
    """Note that the file at ``path`` is closed, of this version and build, and how far it is folded.

    It is not put onto the disk, and where there is no room for it it is not there: that is no harm.
    """
    with suppress(OSError):
        if (identity := _identity(path)) is None:
            return
        rows = {segment: mark.row for segment, mark in marks.items()}
        body = orjson.dumps([identity, version, build, rows])
        draft, seal = (path.with_name(path.name + SUFFIX + more) for more in (".tmp", ""))
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(b"%08x %b" % (crc32(body), body))
        draft.replace(seal)


def read(path: Path, version: int) -> Sealed | None:
    """Build and marks of the file at ``path``; ``None`` if it may have changed since they were put."""
    try:
        check, body = path.with_name(path.name + SUFFIX).read_bytes().split(b" ", 1)
        if check != b"%08x" % crc32(body):
            return None
        identity, noted, build, rows = orjson.loads(body)
    except (OSError, ValueError):
        return None
    if noted != version or identity != _identity(path):
        return None
    return build, {segment: Mark(*row) for segment, row in rows.items()}


def _identity(path: Path) -> list[int] | None:
    """What is another after each change of the file; ``None`` where the engine has more in its log."""
    if path.with_name(f"{path.name}.wal").exists():
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]
