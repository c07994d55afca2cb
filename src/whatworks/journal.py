r"""The journal: an append-only log of everything that was acknowledged. It is the truth.

A store's journal is a folder of segments. A segment is a text file with one
record a line::

    <crc32, 8 hex digits> <sequence> <kind> <body as JSON>\n

The checksum covers everything behind it up to the line end. Sequences count
from 0 within a segment; record 0 has the kind ``segment`` and names the store.
A line without its end, or whose checksum fails at the very end of a file, was
never acknowledged.

A record is acknowledged when ``append`` returns: at durability ``durable`` it
has then been synced to the disk (``fdatasync``), at ``process`` it has been
handed to the operating system, which survives the death of this process but
not a power cut in the next half minute.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import orjson

from whatworks.errors import StoreClosedError, StoreError, disk_error
from whatworks.ids import uuid7

__all__ = ["Durability", "Journal", "Record", "Segment", "read", "segments"]

Durability = Literal["durable", "process"]
# A segment is read from its start when a store is rebuilt; 64 MiB is about
# 200,000 events and one second of reading.
SEGMENT_BYTES = 64 << 20
READ_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the journal: its name and its size in bytes now."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Record:
    """One acknowledged record; ``end`` is the offset of the byte behind it.

    ``kind`` is ``damaged`` for a line whose checksum fails; ``body`` is then
    the line as it stands.
    """

    sequence: int
    kind: str
    body: bytes
    end: int


def frame(sequence: int, kind: str, body: bytes) -> bytes:
    """One line of a segment."""
    line = b"%d %s %s" % (sequence, kind.encode(), body)
    return b"%08x %s\n" % (crc32(line), line)


def segments(folder: Path) -> list[Segment]:
    """The segments of a journal, oldest first."""
    try:
        with os.scandir(folder) as entries:
            files = [item for item in entries if item.name.endswith(".log") and item.is_file()]
        found = sorted((item.name, item.stat().st_size) for item in files)
    except OSError as error:
        raise disk_error(error, f"read the journal in {folder}") from error
    return [Segment(name, folder / name, size) for name, size in found]


def read(segment: Segment, offset: int = 0) -> Iterator[Record]:
    """The records of a segment from the byte ``offset`` on, which must begin a line.

    Ends before a line that has no line end: it may still be being written.
    Damaged lines are returned as such; the records around them are sound.
    """
    try:
        with open(segment.path, "rb") as file:
            file.seek(offset)
            rest = b""
            while block := file.read(READ_BYTES):
                lines = (rest + block).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    offset += len(line) + 1
                    yield _parse(line, offset)
    except OSError as error:
        raise disk_error(error, f"read the journal in {segment.path}") from error


def _parse(line: bytes, end: int) -> Record:
    if len(line) > 9 and line[8:9] == b" ":
        payload = line[9:]
        parts = payload.split(b" ", 2)
        try:
            if len(parts) == 3 and int(line[:8], 16) == crc32(payload):
                return Record(int(parts[0]), parts[1].decode(), parts[2], end)
        except ValueError:
            pass
    return Record(-1, "damaged", line, end)


@dataclass(slots=True)
class _Open:
    """The segment being written: ``size`` bytes written, the first ``synced`` of them safe."""

    file: int
    name: str
    size: int = 0
    sequence: int = 0
    synced: int = 0
    failed: bool = False


class Journal:
    """Appends records to a segment of its own, from any number of threads.

    Parameters
    ----------
    folder
        The journal's folder; it must exist.
    store_id
        Written into record 0 of each segment.
    durability
        ``durable`` or ``process``; see the module's docstring.

    Threads that append at the same time share one sync.
    """

    def __init__(self, folder: Path, store_id: str, durability: Durability = "durable") -> None:
        self._folder = folder
        self._store_id = store_id
        self._durable = durability == "durable"
        self._write_lock = threading.Lock()
        self._sync_lock = threading.Lock()  # taken after the write lock, never before it
        self._open: _Open | None = None
        self._closed = False

    def resume(self, segment: Segment, sequence: int) -> None:
        """Go on writing ``segment``, whose last byte ends record ``sequence - 1``.

        Only for a segment that no process writes and that has been read to
        its very end; a torn one is left as it is and a new one begun.
        """
        if self._open is None and segment.size < SEGMENT_BYTES:
            file = os.open(segment.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._open = _Open(file, segment.name, segment.size, sequence, segment.size)

    def settle(self) -> tuple[str, int] | None:
        """Segment and offset behind the last record, after making all of them safe.

        ``None`` before the first record. At level ``process`` nothing is synced.
        Where the disk refuses, the offset is behind the last record that is safe.
        """
        with self._write_lock:
            opened = self._open
            if opened is None:
                return None
            end = opened.size
        if self._durable:
            with suppress(StoreError):
                self._sync(opened, end)
            end = min(end, opened.synced)
        return opened.name, end

    def sync(self) -> None:
        """Make all records safe, at any level."""
        with self._write_lock:
            opened = self._open
            end = opened.size if opened else 0
        if opened is not None:
            self._sync(opened, end)

    def append(self, kind: str, bodies: Sequence[dict[str, Any]], *, sync: bool = True) -> None:
        """Append one record per body; on return all are acknowledged, on an error none is.

        ``sync=False`` acknowledges at level ``process``, whatever the journal's level.

        Raises
        ------
        StoreFullError
            No room; the segment was cut back to where it was.
        StoreError
            The disk refused; the next append begins a new segment.
        """
        encoded = [orjson.dumps(body) for body in bodies]
        with self._write_lock:
            opened = self._writable()
            lines = [frame(opened.sequence + n, kind, body) for n, body in enumerate(encoded)]
            self._write(opened, b"".join(lines))
            opened.sequence += len(lines)
            end = opened.size
        if sync and self._durable:
            self._sync(opened, end)

    def _failed(self, error: OSError) -> StoreError:
        return disk_error(error, f"write the journal in {self._folder}; nothing was stored")

    def _writable(self) -> _Open:
        if self._closed:
            raise StoreClosedError("this memory is closed; open it again")
        opened = self._open
        if opened is not None and not opened.failed and opened.size < SEGMENT_BYTES:
            return opened
        if opened is not None:
            if not opened.failed:
                self._sync(opened, opened.size)
            self._open = None
            self._retire(opened)
        return self._begin()

    def _begin(self) -> _Open:
        name = self._next_name()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            opened = _Open(os.open(self._folder / name, flags, 0o600), name)
        except OSError as error:
            raise self._failed(error) from error
        try:
            self._write_head(opened)
        except BaseException:
            os.close(opened.file)
            raise
        self._open = opened
        return opened

    def _next_name(self) -> str:
        """A name behind all others: segments are read in the order of their names."""
        name = f"{uuid7()}.log"
        last = max((segment.name for segment in segments(self._folder)), default="")
        return name if name > last else last.replace(".log", "~.log")  # the clock was set back

    def _write_head(self, opened: _Open) -> None:
        body = {"format": 1, "store_id": self._store_id, "pid": os.getpid()}
        self._write(opened, frame(0, "segment", orjson.dumps(body)))
        opened.sequence = 1
        # A file is only found again after a power cut once its folder is synced.
        try:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._failed(error) from error

    def _write(self, opened: _Open, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(opened.file, view) :]
        except OSError as error:
            try:
                os.ftruncate(opened.file, opened.size)
            except OSError:
                opened.failed = True
            raise self._failed(error) from error
        opened.size += len(data)

    def _sync(self, opened: _Open, end: int) -> None:
        with self._sync_lock:
            if opened.synced >= end:
                return  # another thread's sync covered this record
            target = opened.size
            try:
                # After a failure the kernel may have dropped the pages: a second sync would lie.
                if opened.failed:
                    raise OSError(errno.EIO, "an earlier sync failed")
                os.fdatasync(opened.file)
            except OSError as error:
                opened.failed = True
                raise self._failed(error) from error
            opened.synced = target

    def _retire(self, opened: _Open) -> None:
        """Close a segment that nobody writes any more."""
        with self._sync_lock:
            if opened.failed and self._durable:  # what was not acknowledged must not come back
                with suppress(OSError):
                    os.ftruncate(opened.file, opened.synced)
            os.close(opened.file)

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        with self._write_lock:
            self._closed = True
            opened, self._open = self._open, None
            if opened is None:
                return
            try:
                if not opened.failed:
                    self._sync(opened, opened.size)
            finally:
                self._retire(opened)
