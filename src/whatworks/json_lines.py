"""Files of JSON lines that other programs write: what cannot be read is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

__all__ = ["MAX_LINE", "numbered", "objects"]

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


def numbered(file: BinaryIO, longest: int) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, but for empty ones; one that is too long is cut, and so is no JSON."""
    number = 0
    while line := file.readline(longest):
        number += 1
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(longest)
        if line.strip():
            yield number, line
