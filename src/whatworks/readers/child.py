"""The process that reads one import's files: gives up all else, reads, writes lines of JSON, ends.

Reads a request from standard input. The last line says how it ended.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from whatworks.confined import give_up
from whatworks.errors import InvalidInputError, MissingExtraError, StoreError
from whatworks.readers.items import Fault, Item, RefusedError

__all__ = ["MAX_LINE", "READERS", "End", "Failed", "answer", "main"]

READERS = ("files", "jsonl", "junit", "notes", "scores.forms", "table", "transcripts")
# An item may hold all of a file that is read as a whole, escaped.
MAX_LINE = 128 << 20
# What is open at once: pipes, a file, and what an engine opens beside it.
FILES = 64
# As a decimal number it is still one.
LARGEST_BITS = 1_000
HELD_BYTES = 1 << 16
HELD_SECONDS = 1.0


class End(Item, frozen=True):
    """All was read."""


class Failed(Item, frozen=True):
    """Reading ended before that: the input is no such file, needs a package, or is too much."""

    error: Literal["input", "extra", "memory", "reader"]
    message: str


def main() -> None:
    """Answer the request on standard input."""
    request = json.loads(sys.stdin.buffer.read())
    given = request["given"]
    below = [Path(path) for path in request["below"]]
    import_module(f"whatworks.readers.{request['reader']}")
    out = sys.stdout.buffer
    try:
        give_up(request["seconds"], files=FILES, below=below)
    except StoreError as error:
        out.write(_line(Failed("reader", str(error))))
        return
    answer(request["reader"], given, out)


def answer(reader: str, given: dict[str, Any], out: BinaryIO) -> None:
    """Write what a reader yields, a line each, and how it ended."""
    if reader not in READERS:
        raise ValueError(f"there is no reader {reader!r}")
    module = import_module(f"whatworks.readers.{reader}")
    try:
        _write(module.read(**given), out)
        end: Item = End()
    except MissingExtraError as error:
        end = Failed("extra", str(error))
    except InvalidInputError as error:
        end = Failed("input", str(error))
    except (MemoryError, RecursionError):
        end = Failed("memory", "")
    except Exception as error:  # noqa: BLE001  a fault of ours, or of a parser: no traceback for it
        end = Failed("reader", f"{type(error).__name__}: {error}"[:1_000])
    out.write(_line(end))
    out.flush()


def _write(items: Iterator[Item], out: BinaryIO) -> None:
    held, taken, written = list[bytes](), 0, time.monotonic()
    for item in items:
        line = _line_or_fault(item)
        held.append(line)
        taken += len(line)
        if taken >= HELD_BYTES or time.monotonic() - written > HELD_SECONDS:
            out.write(b"".join(held))
            out.flush()
            held, taken, written = [], 0, time.monotonic()
    out.write(b"".join(held))


def _line_or_fault(item: Item) -> bytes:
    """An item that JSON cannot hold is refused, and the rest goes on."""
    try:
        return _line(item)
    except RefusedError as refused:
        place = getattr(item, "place", "") or f"line {getattr(item, 'number', 0)}"
        return _line(Fault(getattr(item, "path", ""), place, refused.reason))


def _line(item: Item) -> bytes:
    try:
        line = msgspec.json.encode(item) + b"\n"
    except (ValueError, OverflowError):  # half a character, or a number of thousands of digits
        line = msgspec.json.encode(_utf8(msgspec.to_builtins(item))) + b"\n"
    if len(line) > MAX_LINE:
        raise InvalidInputError(f"one item has {len(line):,} bytes; at most {MAX_LINE:,} are read")
    return line


def _utf8(value: Any) -> Any:
    """What JSON cannot hold as what it can: halves of characters, and whole numbers without end."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_utf8(key): _utf8(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_utf8(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 63:
        if value.bit_length() >= LARGEST_BITS:
            raise RefusedError("", "a whole number has more than 300 digits")
        return float(value)
    return value


if __name__ == "__main__":
    main()
