"""Erasing records from the journal: written over where they stand, in the same length.

So all that knows a position in a segment stays true, and processes that write to it need not
know. What is to be written over is put down first: a process that dies in the middle of it
leaves half a record, of which nobody could say any more what it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from whatworks import failpoints, system
from whatworks.config import TEAM, replace_file
from whatworks.errors import disk_error
from whatworks.evidence.archive import ARCHIVED
from whatworks.evidence.forgetting import KINDS, RECORDS, key
from whatworks.evidence.quarantine import JUDGED
from whatworks.ids import uuid7
from whatworks.lock import locked
from whatworks.replay import FORGOTTEN
from whatworks.segments import Record, Segment, read, segments

__all__ = [
    "ERASED",
    "TO_SHIP",
    "Found",
    "Place",
    "Told",
    "erased",
    "find",
    "holding",
    "overwrite",
    "resume",
    "says",
    "stands",
    "told",
]

PLAN = "erasing.json"
# Where a store of a team keeps what was written over until the other machines know: a file each time.
TO_SHIP = "erased"
ERASED = "erased"
# What names a record of each kind: by the kinds of what is forgotten, the field that has its id.
_NAMED: Mapping[str, Mapping[str, str]] = {
    "pattern.added": {"patterns": "pattern_id"},
    "prior.added": {"patterns": "pattern_id", "priors": "prior_id"},
    "event.recorded": {"patterns": "pattern_id", "events": "event_id"},
    "event.resolved": {"events": "event_id"},
    "prediction.made": {"predictions": "prediction_id"},
    JUDGED: {"sources": "source"},
    "import.begun": {"imports": "import_id"},
    ARCHIVED: {"patterns": "pattern_id"},
}
# Words of the format, and hashes: nobody wrote them. A record that was written over for them would
# take an outcome along that the tables still have, and that is missing once they are made anew.
_NOBODYS = {"state", "trust", "context_id", "import_id"}
LEARNED = "world.learned"
BLOCK = 4 << 20
# How many records are looked at before it is asked again whether to go on.
LOOK = 10_000


class Place(NamedTuple):
    """Where a record stands, and what of it remains."""

    segment: str
    start: int
    length: int
    sequence: int
    stamp: int
    more: bool
    kind: str = ERASED


@dataclass(slots=True)
class Told:
    """What the journal says is forgotten: by kind and key, up to which stamp.

    ``records`` are single ones, by segment and sequence.
    """

    keys: dict[str, dict[str, float]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    records: set[tuple[str, int]] = field(default_factory=set)
    places: list[Place] = field(default_factory=list)  # of the records that say so
    stamp: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.places)


@dataclass(slots=True)
class Found:
    """Records to erase, and what was looked through for them."""

    places: list[Place] = field(default_factory=list)
    segments: int = 0
    bytes: int = 0
    unreadable: int = 0


# -- looking --------------------------------------------------------------------------------------


def told(folder: Path) -> Told:
    """What the journal in ``folder`` says is forgotten, and is not erased yet."""
    found, mark = Told(), f' {FORGOTTEN} {{"'.encode()
    for segment in segments(folder):
        if not _has(segment, mark):
            continue
        for start, record in _records(segment):
            if record.kind == FORGOTTEN and (body := orjson.loads(record.body)):
                # One that says nothing any more stays: what is before it is before it.
                found.places.append(_place(segment, start, record)._replace(kind=FORGOTTEN))
                found.stamp = max(found.stamp, record.stamp)
                found.records |= {(name, sequence) for name, sequence in body.pop(RECORDS, ())}
                for kind, names in body.items():
                    ends = found.keys.setdefault(kind, {})
                    ends.update((name, max(record.stamp, ends.get(name, 0))) for name in names)
    return found


def _has(segment: Segment, mark: bytes) -> bool:
    """Whether a segment may hold a mark: it is looked for before anything is taken apart."""
    rest = b""
    try:
        with open(segment.path, "rb") as file:
            while block := file.read(BLOCK):
                if mark in rest + block:
                    return True
                rest = block[-len(mark) :]
    except OSError as error:
        raise disk_error(error, f"read the journal in {segment.path}") from error
    return False


def find(folder: Path, forgotten: Told, check: Callable[[], object]) -> Found:
    """All records of what is forgotten, in the journal in ``folder``; ``check`` may end it."""
    known = _Keys()
    while True:
        search = _Search(forgotten, known)
        # Looked at twice: that a pattern was added again was written before what tells of it.
        before = {segment.name: segment.size for segment in segments(folder)}
        for segment in segments(folder):
            search.look(segment, before.get(segment.name, 0), check)
        found, events = search.end()
        if events <= forgotten.keys["events"].keys():
            return found
        # Tries that came later, of patterns that nobody has added again: their outcomes go, too.
        forgotten.keys["events"] |= dict.fromkeys(events, inf)


class _Search:
    """One look through all segments."""

    def __init__(self, forgotten: Told, known: _Keys) -> None:
        self._forgotten = forgotten
        self._known = known
        self._found = Found()
        self._later: list[tuple[str, Place, str]] = []  # pattern, where, event
        self._again: set[str] = set()  # patterns that were added again
        # By the kind of a record: the fields with ids, and up to which stamp which are forgotten.
        self._wanted = {
            kind: [(name, forgotten.keys[ids]) for ids, name in fields.items()]
            for kind, fields in _NAMED.items()
            if any(forgotten.keys[ids] for ids in fields)
        }

    def look(self, segment: Segment, before: int, check: Callable[[], object]) -> None:
        """Look through a segment, of which ``before`` bytes were there at the first look."""
        found = self._found
        found.segments += 1
        found.bytes += segment.size
        for n, (start, record) in enumerate(_records(segment)):
            if n % LOOK == 0:
                check()
            if record.end > segment.size:
                return
            if record.kind == "damaged":
                found.unreadable += 1
            elif self._is_gone(segment, start, record, early=record.end <= before):
                found.places.append(_place(segment, start, record))

    def _is_gone(self, segment: Segment, start: int, record: Record, *, early: bool) -> bool:
        forgotten = self._forgotten
        if (segment.name, record.sequence) in forgotten.records:
            return True
        if record.kind == LEARNED:  # from all tries there were
            return bool(forgotten.keys["events"]) and record.stamp <= forgotten.stamp
        fields = self._wanted.get(record.kind)
        if not fields:
            return False
        body = orjson.loads(record.body)
        if any(record.stamp <= ends.get(self._known[body[name]], -1) for name, ends in fields):
            return True
        pattern = self._known[body["pattern_id"]] if "pattern_id" in body else ""
        if pattern in forgotten.keys["patterns"]:
            if record.kind == "pattern.added":
                self._again.add(pattern)
            elif early:
                event = self._known[body["event_id"]] if "event_id" in body else ""
                self._later.append((pattern, _place(segment, start, record), event))
        return False

    def end(self) -> tuple[Found, set[str]]:
        """What was found, and the keys of the tries of patterns that are there no more."""
        late = [(place, event) for pattern, place, event in self._later if pattern not in self._again]
        self._found.places += [place for place, _ in late]
        return self._found, {event for _, event in late if event}


def holding(folder: Path, text: str) -> list[tuple[str, int]]:
    """The records that hold a text in any case, by segment and sequence, also those replaced since."""
    wanted, found = text.lower(), list[tuple[str, int]]()
    forms = {wanted, orjson.dumps(wanted)[1:-1].decode()}
    for segment in segments(folder):
        for _, record in _records(segment):
            if record.kind not in _NAMED:
                continue
            said = record.body.decode().lower()
            if any(form in said for form in forms) and _holds(record, wanted):
                found.append((segment.name, record.sequence))
    return found


def _holds(record: Record, text: str) -> bool:
    told = orjson.loads(record.body)
    return says({name: value for name, value in told.items() if name not in _NOBODYS}, text)


def says(value: Any, text: str) -> bool:
    """Whether a value holds a text of lower case; names of fields do not count, but for metadata."""
    if isinstance(value, str):
        return text in value.lower()
    if isinstance(value, dict):
        own = value.get("metadata")
        named = isinstance(own, dict) and any(text in name.lower() for name in own)
        return named or any(says(item, text) for item in value.values())
    return isinstance(value, list) and any(says(item, text) for item in value)


class _Keys(dict[str, str]):
    """Keys by id; most ids come many times."""

    def __missing__(self, name: str) -> str:
        if len(self) > 100_000:
            self.clear()
        self[name] = found = key(name)
        return found


def _records(segment: Segment) -> Iterator[tuple[int, Record]]:
    """The records of a segment and where they start."""
    start = 0
    for record in read(segment):
        yield start, record
        start = record.end


def _place(segment: Segment, start: int, record: Record) -> Place:
    return Place(segment.name, start, record.end - start, record.sequence, record.stamp, record.more)


# -- writing over ---------------------------------------------------------------------------------


def overwrite(folder: Path, journal: Path, places: list[Place], *, ship: bool = True) -> None:
    """Write over records, in the journal of the store in ``folder``; on return they are gone.

    ``ship`` has the other machines of a team told, if there is one.
    """
    if places:
        with _turn(journal):
            _carry_out(folder, journal, places, ship=ship)


def _turn(journal: Path) -> AbstractContextManager[None]:
    """Be the one that writes over records, of all threads and processes: there is one plan.

    A keeper and whoever exchanges with a team may both have something to erase.
    """
    return locked(journal, f"erase records in {journal}", flags=os.O_RDONLY)


def _carry_out(folder: Path, journal: Path, places: list[Place], *, ship: bool) -> None:
    try:
        body = orjson.dumps(list(map(list, places)))
        if ship and (folder / TEAM).exists():
            (folder / TO_SHIP).mkdir(exist_ok=True, mode=0o700)
            replace_file(folder / TO_SHIP / f"{uuid7()}.json", body)
        replace_file(folder / PLAN, _checksum(body) + b"\n" + body)
        failpoints.reached("erasure.planned")
        _overwrite(journal, places)
        (folder / PLAN).unlink()
        system.sync(folder)
    except OSError as error:
        raise disk_error(error, f"erase records in {journal}") from error
    failpoints.reached("erasure.done")


def _checksum(body: bytes) -> bytes:
    from hashlib import sha256  # behind OpenSSL, which takes milliseconds to load

    return sha256(body).hexdigest().encode()


def resume(folder: Path, journal: Path) -> None:
    """Finish what somebody has begun to write over; a plan that is none is removed."""
    if not os.path.lexists(folder / PLAN):
        return
    with _turn(journal):  # whoever is at it has removed it then
        _resume(folder, journal)


def _resume(folder: Path, journal: Path) -> None:
    try:
        checksum, _, body = (folder / PLAN).read_bytes().partition(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_error(error, f"read {folder / PLAN}") from error
    places = list[Place]()
    if checksum == _checksum(body):
        with suppress(ValueError, TypeError):
            places = [Place(*place) for place in orjson.loads(body)]
    if places:
        _carry_out(folder, journal, places, ship=True)
    else:
        (folder / PLAN).unlink()


def _overwrite(journal: Path, places: list[Place]) -> None:
    there = {segment.name: segment.path for segment in segments(journal)}
    for name, group in groupby(sorted(places), lambda place: place.segment):
        if name not in there:  # and nothing of it
            continue
        file = os.open(there[name], os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        try:
            for place in group:
                if _is_line(file, place):
                    _write(file, erased(place), place.start)
            failpoints.reached("erasure.overwritten")
            system.sync_data(file)
        finally:
            os.close(file)


def _is_line(file: int, place: Place) -> bool:
    """Whether there is a line of this length at this place: nothing else is written over."""
    before = b"\n" if place.start == 0 else os.pread(file, 1, place.start - 1)
    return (before, os.pread(file, 1, place.start + place.length - 1)) == (b"\n", b"\n")


def _write(file: int, data: bytes, start: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, start)
        view, start = view[written:], start + written


def stands(journal: Path, place: Place) -> bool:
    """Whether a record is here that is to be written over."""
    path = journal / place.segment
    if not path.is_file():
        return False
    here = next(read(Segment(place.segment, path, path.stat().st_size), place.start), None)
    if here is None or here.end - place.start != place.length or here.kind == "damaged":
        return False
    return here.sequence == place.sequence and (
        here.kind != place.kind or here.body.strip(b"{ }") != b""
    )


def erased(place: Place) -> bytes:
    """A record of the same length, sequence and stamp that says nothing."""
    # Format 1 has no stamps.
    stamp = f" {place.stamp}{'+' if place.more else ''}" if place.stamp else ""
    head = f"{place.sequence}{stamp} {place.kind} ".encode()
    body = b"{" + b" " * (place.length - len(head) - len("12345678 {}\n")) + b"}"
    return b"%08x %s\n" % (crc32(head + body), head + body)
