"""Reading apart: starts the process that reads, takes its items, and ends it if it does wrong.

What it says is not trusted: each line has a bound and must be an item of the format, all of them
together have one, and a process that says nothing for a minute is ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from whatworks.errors import InvalidInputError, MissingExtraError, StoreError, WhatWorksError
from whatworks.readers.child import MAX_LINE, End, Failed
from whatworks.readers.items import Fault, Link, printable
from whatworks.text import clean_text

__all__ = ["lines", "read"]

CHILD = "whatworks.readers.child"
# Nothing that is read takes this long between two items, on a machine that is busy.
SILENT_SECONDS = 60.0
# Processor time and waiting: what starting takes, and a slow parser for each byte.
LEAST_SECONDS = 120.0
BYTES_A_SECOND = 100_000
# What may come of the files: compressed ones hold more than they have bytes.
LEAST_BYTES, TIMES_BYTES = 1 << 30, 100
LONGEST_MESSAGE = 2_000
# Ids and times beside the names, and how many files are looked at to add their sizes up.
MOST_FILES = 200_000


def read(
    reader: str, items: Any, given: Mapping[str, Any], *, below: Sequence[str | os.PathLike[str]]
) -> Generator[Any, None, None]:
    """The items of some files, read in another process.

    Parameters
    ----------
    reader
        One of ``child.READERS``.
    items
        The types of its items, as a union.
    given
        The arguments of its ``read``, as JSON values.
    below
        The files and folders that it may open.

    Raises
    ------
    InvalidInputError
        The input is no such file; or the process died, took too long, or said what is no item.
    MissingExtraError
        A package is missing.
    StoreError
        The system starts no more processes.
    """
    what = ", ".join(printable(path) for path in below[:3])
    asked = lines(reader, given, [os.path.realpath(path) for path in below], what)
    with closing(asked) as said:
        yield from _items(said, _decoder(items), what)


@cache
def _decoder(items: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(items | End | Failed)


def _items(said: Iterator[bytes], decoder: msgspec.json.Decoder[Any], what: str) -> Iterator[Any]:
    for line in said:
        try:
            item = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise InvalidInputError(
                f"{what} was not read to its end: its reader sent what is none of its items"
            ) from None
        if isinstance(item, End):
            return
        if isinstance(item, Failed):
            raise _failure(item, what)
        yield _clean(item) if isinstance(item, Fault | Link) else item


def _failure(failed: Failed, what: str) -> WhatWorksError:
    said = " ".join(clean_text(failed.message, max_bytes=LONGEST_MESSAGE).split())
    if failed.error == "input":
        return InvalidInputError(said)
    if failed.error == "extra":
        return MissingExtraError(said)
    if failed.error == "memory":
        return InvalidInputError(
            f"{what} needs more memory than reading it may take; give a part of it"
        )
    return InvalidInputError(f"{what} cannot be read: {said}")


def _clean(item: Fault | Link) -> Fault | Link:
    """As it may be printed, whatever it was made of."""
    texts = (getattr(item, name) for name in item.__struct_fields__)
    return type(item)(
        *(" ".join(clean_text(text, max_bytes=LONGEST_MESSAGE).split()) for text in texts)
    )


def lines(
    reader: str, given: Mapping[str, Any], below: Sequence[str], what: str
) -> Generator[bytes, None, None]:
    """The lines that the process writes; it is gone when they end, for whatever reason."""
    size = sum(_size(Path(path)) for path in below)
    seconds = LEAST_SECONDS + size / BYTES_A_SECOND
    request = {"reader": reader, "given": given, "below": below, "seconds": seconds}
    child = _Child(json.dumps(request).encode(), what, seconds)
    try:
        yield from child.lines(LEAST_BYTES + TIMES_BYTES * size)
    finally:
        child.end()


def _size(path: Path) -> int:
    """The bytes of a file, or of the files below a folder as far as they can be seen."""
    if not path.is_dir():
        return path.stat().st_size if path.is_file() else 0
    total = looked = 0
    for folder, _, names in os.walk(path):
        for name in names:
            looked += 1
            if looked > MOST_FILES:
                return total
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:  # it is gone
                continue
    return total


class _Child:
    """A process that reads, and a thread that ends it when it is waited for too long."""

    def __init__(self, request: bytes, what: str, seconds: float) -> None:
        self._what, self._seconds = what, seconds
        self._why = ""
        self._waiting_since: float | None = None
        self._waited = 0.0
        try:
            self._process = subprocess.Popen(
                # Without -P a folder that somebody is in could bring modules of its own.
                [sys.executable, "-P", "-m", CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=1 << 20,
            )
        except OSError as error:
            raise StoreError(f"no process can be started to read {what}: {error.strerror}") from error
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="whatworks-reader", daemon=True).start()
        try:
            stdin = self._process.stdin
            assert stdin is not None
            stdin.write(request)
            stdin.close()
        except OSError:  # it died; reading says how
            pass

    def lines(self, most: int) -> Iterator[bytes]:
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            self._waiting_since = began = time.monotonic()
            line = stdout.readline(MAX_LINE + 1)
            self._waiting_since = None
            self._waited += time.monotonic() - began
            most -= len(line)
            if not line.endswith(b"\n") or len(line) > MAX_LINE or most < 0:
                break
            yield line
        raise InvalidInputError(f"{self._what} was not read to its end: {self._reason(line, most)}")

    def _reason(self, line: bytes, most: int) -> str:
        if self._why:
            return self._why
        if most < 0 or len(line) >= MAX_LINE:
            return "more came of it than of any such file; give a part of it"
        code = self._process.wait(SILENT_SECONDS)
        if sys.platform != "win32" and -code in (signal.SIGXCPU, signal.SIGKILL):
            return "it took too much processor time or memory; give a part of it"
        return f"its reader ended with {code}; the file is damaged, or made to do this"

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            since = self._waiting_since
            now = time.monotonic()
            if since is not None and now - since > SILENT_SECONDS:
                self._why = f"its reader said nothing for {SILENT_SECONDS:g} seconds"
            elif self._waited + (now - since if since else 0.0) > 2 * self._seconds:
                self._why = f"reading it takes more than {2 * self._seconds:,.0f} seconds"
            if self._why:
                self._process.kill()
                return

    def end(self) -> None:
        """End it, if it has not ended, and leave nothing behind."""
        self._ended.set()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
