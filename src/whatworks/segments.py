r"""The files of a journal: how a record is written, and how it is read again.

A journal is a folder of segments. A segment is a text file with one record a
line::

    <crc32, 8 hex digits> <sequence> <stamp>[+] <kind> <body as JSON>\n

The checksum covers everything behind it up to the line end. Sequences count
from 0 within a segment; record 0 has the kind ``segment`` and names the store
and the writer. Stamps are microseconds of a hybrid logical clock (Kulkarni et
al. 2014, "Logical Physical Clocks"): what a process knew of when it wrote has
a smaller one. A ``+`` says that the next line belongs to the same append; an
append counts as a whole or not at all.

A line without its end was never acknowledged. Format 1, which knew one process
at a time, has neither stamps nor appends of several lines; it can be read.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from whatworks.errors import disk_error

__all__ = [
    "FORMAT",
    "Record",
    "Segment",
    "appends",
    "frame",
    "frames",
    "head",
    "last",
    "read",
    "segments",
    "sizes",
    "writer_of",
]

FORMAT = 2
READ_BYTES = 4 << 20
# Almost every record is shorter; the end of a file is looked for in steps that grow from here.
TAIL_BYTES = 64 << 10
HEAD_BYTES = 4 << 10


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the journal: its name and its size in bytes now."""

    name: str
    path: Path
    size: int


class Record(NamedTuple):
    """One record; ``end`` is the offset of the byte behind it.

    ``stamp`` is 0 where none was written, ``more`` says that its append goes
    on. ``kind`` is ``damaged`` for a line whose checksum fails; ``body`` is
    then the line as it stands.
    """

    sequence: int
    kind: str
    body: bytes
    end: int
    stamp: int = 0
    more: bool = False


def frame(sequence: int, stamp: int, kind: str, body: bytes, *, more: bool = False) -> bytes:
    """One line of a segment."""
    front = b"%d %d%b %b " % (sequence, stamp, b"+" if more else b"", kind.encode())
    return b"%08x %b%b\n" % (crc32(body, crc32(front)), front, body)


def frames(sequence: int, stamp: int, kind: str, bodies: Sequence[bytes]) -> list[bytes]:
    """The lines of one append; sequences and stamps count from those given."""
    final = len(bodies) - 1
    return [
        frame(sequence + nth, stamp + nth, kind, body, more=nth < final)
        for nth, body in enumerate(bodies)
    ]


def segments(folder: Path) -> list[Segment]:
    """The segments of a journal in the order of their names, the oldest first."""
    return [Segment(name, folder / name, size) for name, size in sorted(sizes(folder).items())]


def sizes(folder: Path, but: Collection[str] = ()) -> dict[str, int]:
    """The segments of a journal by name, and the bytes of each, ``but`` of some."""
    try:
        with os.scandir(folder) as entries:
            return {
                item.name: item.stat().st_size
                for item in entries
                if item.name.endswith(".log") and item.name not in but and item.is_file()
            }
    except OSError as error:
        raise disk_error(error, f"read the journal in {folder}") from error


def read(segment: Segment, offset: int = 0) -> Iterator[Record]:
    """The records of a segment from the byte ``offset`` on, which must begin a line.

    Damaged lines are returned as such; the records around them are sound. Ends
    before an append that is not whole: it may still be being written.
    """
    for append in appends(segment, offset):
        yield from append


def appends(segment: Segment, offset: int = 0) -> Iterator[list[Record]]:
    """The records from ``offset`` on, those of one append together."""
    append: list[Record] = []
    for line, end in _lines(segment, offset):
        record = _parse(line, end)
        append.append(record)
        if not record.more:  # a damaged line may have been the last one
            yield append
            append = []


def last(segment: Segment) -> Record | None:
    """The last whole record within ``segment.size``, ``None`` if the file does not end with one."""
    if segment.size == 0:
        return None
    length = TAIL_BYTES
    while True:
        start = max(0, segment.size - length)
        try:
            with open(segment.path, "rb") as file:
                file.seek(start)
                block = file.read(segment.size - start)
        except OSError as error:
            raise disk_error(error, f"read the journal in {segment.path}") from error
        lines = block.split(b"\n")
        if lines.pop() or not lines:
            return None
        if len(lines) > 1 or start == 0:
            record = _parse(lines[-1], segment.size)
            return None if record.kind == "damaged" else record
        length *= 8


def writer_of(segment: Segment) -> str:
    """Who writes a segment, as its first record says; without one it is its own writer.

    Two segments have one writer where the second repeats what the disk did
    not take in the first.
    """
    return str(head(segment).get("writer", segment.name))


def head(segment: Segment) -> dict[str, Any]:
    """What the first record of a segment says of it; nothing where it is another record."""
    try:
        with open(segment.path, "rb") as file:
            line = file.read(HEAD_BYTES).split(b"\n")[0]
    except OSError as error:
        raise disk_error(error, f"read the journal in {segment.path}") from error
    import orjson

    record = _parse(line, len(line) + 1)
    found: dict[str, Any] = orjson.loads(record.body) if record.kind == "segment" else {}
    return found


def _lines(segment: Segment, offset: int) -> Iterator[tuple[bytes, int]]:
    """Whole lines and where they end."""
    try:
        with open(segment.path, "rb") as file:
            file.seek(offset)
            rest = b""
            while block := file.read(READ_BYTES):
                lines = (rest + block).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    offset += len(line) + 1
                    yield line, offset
    except OSError as error:
        raise disk_error(error, f"read the journal in {segment.path}") from error


def _parse(line: bytes, end: int) -> Record:
    try:
        check, sequence, stamp, kind, body = line.split(b" ", 4)
        if b"%08x" % crc32(line[9:]) == check and stamp[:1].isdigit():
            more = stamp.endswith(b"+")
            given = int(stamp[:-1] if more else stamp)
            return Record(int(sequence), kind.decode(), body, end, given, more)
    except ValueError:  # perhaps it has no stamp, and so fewer spaces
        pass
    return _parse_older(line, end)


def _parse_older(line: bytes, end: int) -> Record:
    """A record of format 1, without a stamp, or a damaged one."""
    payload = line[9:]
    try:
        if b"%08x " % crc32(payload) == line[:9]:
            sequence, kind, body = payload.split(b" ", 2)
            if not kind[:1].isdigit():
                return Record(int(sequence), kind.decode(), body, end)
    except ValueError:
        pass
    return Record(-1, "damaged", line, end)
