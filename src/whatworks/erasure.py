"""Erasing records from the journal: written over where they stand, in the same length.

So all that knows a position in a segment stays true, and processes that write to it need not
know. What is to be written over is put down first: a process that dies in the middle of it
leaves half a record, of which nobody could say any more what it was.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import orjson

from whatworks import failpoints, system
from whatworks.config import replace_file
from whatworks.errors import disk_error
from whatworks.evidence.forgetting import KINDS, key
from whatworks.replay import FORGOTTEN
from whatworks.segments import Record, Segment, read, segments

__all__ = ["Found", "Told", "find", "overwrite", "resume", "told"]

PLAN = "erasing.json"
ERASED = "erased"
# What names a record of each kind: by the kinds of what is forgotten, the field that has its id.
_NAMED: Mapping[str, Mapping[str, str]] = {
    "pattern.added": {"patterns": "pattern_id"},
    "prior.added": {"patterns": "pattern_id", "priors": "prior_id"},
    "event.recorded": {"patterns": "pattern_id", "events": "event_id"},
    "event.resolved": {"events": "event_id"},
    "prediction.made": {"predictions": "prediction_id"},
}
LEARNED = "world.learned"


class Place(NamedTuple):
    """Where a record stands, and what of it remains."""

    segment: str
    start: int
    length: int
    sequence: int
    stamp: int
    more: bool


@dataclass(slots=True)
class Told:
    """What the journal says is forgotten: by kind and key, up to which stamp."""

    keys: dict[str, dict[str, float]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    places: list[Place] = field(default_factory=list)  # of the records that say so
    stamp: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.places)

    def ends(self, known: Collection[str]) -> None:
        """Keys of patterns that exist again keep their end; of all others everything goes."""
        for name in self.keys["patterns"]:
            if name not in known:
                self.keys["patterns"][name] = inf


@dataclass(slots=True)
class Found:
    """Records to erase, and what was looked through for them."""

    places: list[Place] = field(default_factory=list)
    segments: int = 0
    bytes: int = 0
    unreadable: int = 0


def told(folder: Path) -> Told:
    """What the journal in ``folder`` says is forgotten, and is not erased yet."""
    found, mark = Told(), f" {FORGOTTEN} ".encode()
    for segment in segments(folder):
        if not _has(segment, mark):
            continue
        start = 0
        for record in read(segment):
            if record.kind == FORGOTTEN:
                found.places.append(_place(segment, start, record))
                found.stamp = max(found.stamp, record.stamp)
                for kind, names in orjson.loads(record.body).items():
                    ends = found.keys.setdefault(kind, {})
                    ends.update((name, max(record.stamp, ends.get(name, 0))) for name in names)
            start = record.end
    return found


def _has(segment: Segment, mark: bytes) -> bool:
    """Whether a segment may hold a mark: it is looked for before anything is taken apart."""
    rest = b""
    try:
        with open(segment.path, "rb") as file:
            while block := file.read(4 << 20):
                if mark in rest + block:
                    return True
                rest = block[-len(mark) :]
    except OSError as error:
        raise disk_error(error, f"read the journal in {segment.path}") from error
    return False


def find(folder: Path, forgotten: Told) -> Found:
    """All records of what is forgotten, in the journal in ``folder``."""
    found, known = Found(), _Keys()
    # By the kind of a record: the field with an id, and up to which stamp which ids are forgotten.
    wanted = {
        record: [(name, forgotten.keys[kind]) for kind, name in fields.items() if forgotten.keys[kind]]
        for record, fields in _NAMED.items()
    }
    for segment in segments(folder):
        found.segments += 1
        found.bytes += segment.size
        start = 0
        for record in read(segment):
            if record.kind == "damaged":
                found.unreadable += 1
            elif record.kind == LEARNED:  # from all tries there were
                if forgotten.keys["events"] and record.stamp <= forgotten.stamp:
                    found.places.append(_place(segment, start, record))
            elif fields := wanted.get(record.kind):
                body = orjson.loads(record.body)
                if any(record.stamp <= ends.get(known[body[name]], -1) for name, ends in fields):
                    found.places.append(_place(segment, start, record))
            start = record.end
    return found


def _place(segment: Segment, start: int, record: Record) -> Place:
    return Place(segment.name, start, record.end - start, record.sequence, record.stamp, record.more)


class _Keys(dict[str, str]):
    """Keys by id; most ids come many times."""

    def __missing__(self, name: str) -> str:
        if len(self) > 100_000:
            self.clear()
        self[name] = found = key(name)
        return found


# -- writing over ---------------------------------------------------------------------------------


def overwrite(folder: Path, journal: Path, places: list[Place]) -> None:
    """Write over records, in the journal of the store in ``folder``; on return they are gone."""
    if not places:
        return
    try:
        replace_file(folder / PLAN, orjson.dumps(list(map(list, places))))
        failpoints.reached("erasure.planned")
        _overwrite(journal, places)
        (folder / PLAN).unlink()
        system.sync(folder)
    except OSError as error:
        raise disk_error(error, f"erase records in {journal}") from error
    failpoints.reached("erasure.done")


def resume(folder: Path, journal: Path) -> None:
    """Finish what a process that died has begun to write over."""
    with suppress(FileNotFoundError):
        planned = [Place(*place) for place in orjson.loads((folder / PLAN).read_bytes())]
        overwrite(folder, journal, planned)


def _overwrite(journal: Path, places: list[Place]) -> None:
    for name, group in groupby(sorted(places), lambda place: place.segment):
        file = os.open(journal / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for place in group:
                os.pwrite(file, _erased(place), place.start)
            failpoints.reached("erasure.overwritten")
            system.sync_data(file)
        finally:
            os.close(file)


def _erased(place: Place) -> bytes:
    """A record of the same length, sequence and stamp that says nothing."""
    # Format 1 has no stamps.
    stamp = f" {place.stamp}{'+' if place.more else ''}" if place.stamp else ""
    head = f"{place.sequence}{stamp} {ERASED} ".encode()
    body = b"{" + b" " * (place.length - len(head) - len("12345678 {}\n")) + b"}"
    return b"%08x %s\n" % (crc32(head + body), head + body)
