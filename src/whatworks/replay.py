"""What the journal holds and the evidence does not yet, in an order that keeps cause before effect."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from whatworks import system
from whatworks.arrivals import nothing_arrives
from whatworks.errors import disk_error
from whatworks.segments import Record, Segment, appends, last, read, segments, writer_of

__all__ = ["FORGOTTEN", "MARK", "START", "Batch", "Mark", "News", "ahead", "batches", "look", "torn"]

# 30,000 events are about 13 MB of JSON: large enough to amortise a commit, small enough to stay far
# below the engine's memory limit, with the last append in one part (``fold.PART_BYTES``).
BATCH_RECORDS = 40_000
BATCH_BYTES = 13 << 20

# Records of this kind take back what was before them: they are a batch of their own.
FORGOTTEN = "forgotten"

Settled = tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a segment is folded.

    ``position`` is a byte, ``sequence`` that of the next record, ``stamp``
    that of the last one; ``damaged`` counts the records left out.
    """

    position: int = 0
    sequence: int = 0
    stamp: int = 0
    damaged: int = 0
    writer: str = ""

    @property
    def row(self) -> tuple[int | str, ...]:
        """The values in the order of ``MARK``."""
        return self.position, self.sequence, self.stamp, self.damaged, self.writer


START = Mark()
MARK = tuple(item.name for item in fields(Mark))


@dataclass(slots=True)
class Batch:
    """Bodies by kind, and how far the segments are folded with them.

    ``late`` are those that are older than what was folded before.
    """

    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    late: dict[str, list[bytes]] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    records: int = 0
    bytes: int = 0

    @property
    def full(self) -> bool:
        """Whether it is time to commit."""
        return self.records >= BATCH_RECORDS or self.bytes >= BATCH_BYTES


@dataclass(frozen=True, slots=True)
class News:
    """The segments as they are, and the stamp up to which they may be read."""

    segments: list[Segment]
    until: int


def look(folder: Path, marks: Mapping[str, Mark], settle: Callable[[], Settled]) -> News:
    """What there is to read behind ``marks``.

    A record may rest on one in another segment that was written before it,
    yet after that segment was looked at. So all are looked at twice: of what
    the second look shows, everything up to the newest record of the first is
    there. ``settle`` tells which segment this process writes, and how much of
    it is acknowledged. What others wrote is synced before it is used, so that
    no power cut takes it from under the evidence.
    """
    with nothing_arrives(folder):
        first = segments(folder)
        newest = (_newest(segment, marks) for segment in first if _grown(segment, marks))
        until = max(newest, default=0)
        second = segments(folder)
    own = settle()
    for n, segment in enumerate(second):
        if own is not None and segment.name == own[0]:
            second[n] = replace(segment, size=min(segment.size, own[1]))
        elif _grown(segment, marks):
            _sync(segment)
    return News(second, until)


def _grown(segment: Segment, marks: Mapping[str, Mark]) -> bool:
    return segment.size > marks.get(segment.name, START).position


def _newest(segment: Segment, marks: Mapping[str, Mark]) -> int:
    """Stamp of the last whole record; of a torn segment, of the last one before its end."""
    found = last(segment)
    if found is not None:
        return found.stamp
    behind = appends(segment, marks.get(segment.name, START).position)
    return max((record.stamp for append in behind for record in append), default=0)


def _sync(segment: Segment) -> None:
    try:
        system.sync(segment.path)
    except OSError as error:
        raise disk_error(error, f"sync the journal in {segment.path}") from error


def torn(segment: Segment, mark: Mark) -> bool:
    """Whether nothing but the rest of an append that is not whole lies behind the mark."""
    return next(appends(segment, mark.position), None) is None


def ahead(found: Sequence[Segment], marks: Mapping[str, Mark], *, thorough: bool = False) -> bool:
    """Whether the evidence has what the journal has lost; it must then be made anew.

    ``thorough`` also looks whether the last record folded of each segment is
    still the one that stands there. A segment that is gone altogether is not
    counted: its records may be nowhere else.
    """
    return any(
        segment.size < marks[segment.name].position
        or (thorough and not _stands(segment, marks[segment.name]))
        for segment in found
        if segment.name in marks
    )


def _stands(segment: Segment, mark: Mark) -> bool:
    """Whether the mark lies between the records that it says; one of them may be damaged by now."""
    before = last(replace(segment, size=mark.position))
    if before is not None:
        return (before.sequence, before.stamp or mark.stamp) == (mark.sequence - 1, mark.stamp)
    behind = next(read(segment, mark.position), None)
    return (behind is not None and behind.sequence == mark.sequence) or mark.position == segment.size


def batches(news: News, marks: Mapping[str, Mark]) -> Iterator[Batch]:
    """What the segments hold behind their marks, in the order of stamps."""
    grown = [segment for segment in news.segments if _grown(segment, marks)]
    starts = {s.name: marks.get(s.name) or Mark(writer=writer_of(s)) for s in grown}
    latest: dict[str, int] = {}  # stamp by writer
    for mark in marks.values():
        latest[mark.writer] = max(latest.get(mark.writer, 0), mark.stamp)
    newest = max(latest.values(), default=0)
    batch = Batch()
    streams = [_appends(segment, starts[segment.name], news.until) for segment in grown]
    for stamp, name, append in heapq.merge(*streams, key=lambda item: item[:2]):
        alone = FORGOTTEN in batch.bodies or (batch.marks and append[0].kind == FORGOTTEN)
        if batch.full or alone:
            yield batch
            batch = Batch()
        if stamp <= newest:
            for record in append:
                batch.late.setdefault(record.kind, []).append(record.body)
        starts[name] = batch.marks[name] = _add(batch, append, starts[name], latest)
    if batch.marks:
        yield batch


def _appends(segment: Segment, mark: Mark, until: int) -> Iterator[tuple[int, str, list[Record]]]:
    """Whole appends of a segment with the stamp they are sorted by."""
    stamp = mark.stamp
    for append in appends(segment, mark.position):
        stamp = max(stamp, append[0].stamp)
        if append[-1].end > segment.size or append[0].stamp > until:
            return
        yield stamp, segment.name, append


def _add(batch: Batch, append: list[Record], mark: Mark, latest: dict[str, int]) -> Mark:
    """Take the records of an append into the batch, but for damaged and repeated ones."""
    newest = latest.get(mark.writer, 0)
    sequence, stamp, damaged = mark.sequence, mark.stamp, mark.damaged
    if _is_plain(append, newest):
        sequence, newest = append[-1].sequence + 1, append[-1].stamp
        stamp = max(stamp, newest)
        batch.bodies.setdefault(append[0].kind, []).extend([record.body for record in append])
    else:
        for record in append:
            if record.kind == "damaged":
                damaged += 1
                continue
            sequence, given = record.sequence + 1, record.stamp
            stamp = max(stamp, given)
            if given:
                if given <= newest:
                    continue  # written again after a failed sync, and folded already
                newest = given
            batch.bodies.setdefault(record.kind, []).append(record.body)
    latest[mark.writer] = newest
    position = append[-1].end
    batch.records += len(append)
    batch.bytes += position - mark.position
    return Mark(position, sequence, stamp, damaged, mark.writer)


def _is_plain(append: list[Record], newest: int) -> bool:
    """Whether all records are of one kind and come later than ``newest``, in their order."""
    first = append[0]
    return (
        first.kind != "damaged"
        and first.stamp > newest
        and {record.kind for record in append} == {first.kind}
        and [record.stamp for record in append] == list(range(first.stamp, first.stamp + len(append)))
    )
