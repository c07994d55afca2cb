"""CSV and Parquet: the public views of patterns and of events."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from whatworks.errors import InvalidInputError
from whatworks.exporters.files import replacing
from whatworks.memory import Memory

__all__ = ["export_table"]

KINDS = ("events", "patterns")
FORMATS = ("csv", "parquet")


def export_table(
    memory: Memory,
    target: str | os.PathLike[str],
    *,
    kind: Literal["events", "patterns"] = "events",
    format: Literal["csv", "parquet"] = "csv",  # noqa: A002
) -> dict[str, int]:
    """Write all events or all patterns as a table, the oldest first, and return their count.

    The columns are those of the views ``usage_events`` and ``patterns``; times
    are UTC. In CSV, lists are JSON.

    Parameters
    ----------
    target
        A file, or a folder, in which the file is then named after ``kind``
        and ``format``. The file appears whole or not at all, and is readable
        by its owner only.

    Raises
    ------
    InvalidInputError
        Another kind or format, or the target's folder is missing.
    StoreError
        The file cannot be written; ``StoreFullError`` if the disk is full.
    """
    if kind not in KINDS:
        raise InvalidInputError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
    if format not in FORMATS:
        raise InvalidInputError(f"format is {format!r}; expected one of {', '.join(FORMATS)}")
    path = Path(target)
    if path.is_dir():
        path = path / f"{kind}.{format}"
    with replacing(path) as draft:
        return {kind: memory.copy_table(kind, draft, form=format)}
