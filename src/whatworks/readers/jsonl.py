"""The lines of an export that ``whatworks export`` has written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from whatworks.json_lines import numbered
from whatworks.readers.items import Fault, Item, printable
from whatworks.readers.walk import opened

__all__ = ["Items", "Line", "read"]

# More than the largest event: a context, metadata and two thousand names at their limits.
MAX_LINE_BYTES = 32 << 20


class Line(Item, frozen=True):
    """A line and its number; what stands in it is any JSON value."""

    number: int
    value: Any


Items = Line | Fault


def read(path: str) -> Iterator[Line | Fault]:
    """Every line that is not empty."""
    with opened(Path(path)) as file:
        for number, line in numbered(file, MAX_LINE_BYTES):
            try:
                yield Line(number, _parsed(line))
            except ValueError as error:
                yield Fault(printable(path), f"line {number}", str(error))


def _parsed(line: bytes) -> Any:
    if len(line) >= MAX_LINE_BYTES:
        raise ValueError(f"the line has {MAX_LINE_BYTES:,} bytes or more")
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at column {error.colno}") from error
