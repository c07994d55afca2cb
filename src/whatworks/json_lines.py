"""Files of JSON lines that other programs write: what cannot be read is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

__all__ = ["objects"]

# What is longer is taken for several lines, and none of them can be read.
MAX_LINE = 8 << 20


def objects(path: Path, *, holding: bytes = b"") -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, one a line, of those lines that hold some bytes."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE):
            if holding not in line:
                continue
            with suppress(orjson.JSONDecodeError):
                held = orjson.loads(line)
                if isinstance(held, dict):
                    yield held
