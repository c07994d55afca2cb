"""Fetching: what other machines wrote comes into this journal, in segments of the same names.

Entries are taken in the order of the team's log, so a record never comes before those it rests on.
How far this machine is lies in ``team.json`` and is written after the records are on the disk;
taking an entry again changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from whatworks import erasure, failpoints, system
from whatworks.arrivals import arriving
from whatworks.config import REORDER, mark
from whatworks.errors import StoreError, disk_error
from whatworks.replay import FORGOTTEN
from whatworks.team import snapshots
from whatworks.team.database import BYTES, Database
from whatworks.team.settings import Settings, save

__all__ = ["Fetched", "fetch"]

# So many entries are asked for at a time.
ENTRIES = 32
_NAME = re.compile(r"[\w~-][\w.~-]{0,250}\.log")


class Fetched(NamedTuple):
    """What came: ``settings`` as they are now, bytes and the segments that have them."""

    settings: Settings
    bytes: int = 0
    segments: frozenset[str] = frozenset()


def fetch(database: Database, folder: Path, settings: Settings) -> Fetched:
    """Take all entries of the log that are not here yet into the journal of the store in ``folder``.

    Raises
    ------
    StoreError
        The database refuses, or says what cannot be.
    UnreachableError
        It does not answer; what came is kept.
    """
    cut = database.row("SELECT cut FROM team")["cut"]
    if settings.fetched == 0:
        settings = snapshots.take(database, folder, settings)
    if settings.fetched < cut:
        raise StoreError(
            f"the team's log begins at entry {cut + 1:,}, this machine has {settings.fetched:,}: "
            "whatworks team join in an empty folder"
        )
    done = Fetched(settings)
    while rows := database.rows(
        "SELECT entry, kind, machine, segment, start, "
        "CASE WHEN machine = $2 THEN NULL ELSE data END AS data, "
        "(SELECT forgotten FROM team) AS forgotten "
        "FROM log WHERE entry > $1 ORDER BY entry LIMIT $3",
        done.settings.fetched,
        settings.machine,
        ENTRIES,
    ):
        done = _take(database, folder, done, rows)
        if len(rows) < ENTRIES:
            break
    return done


def _take(database: Database, folder: Path, done: Fetched, rows: Sequence[Any]) -> Fetched:
    journal = folder / "journal"
    others = [row for row in rows if row["data"] is not None]
    appended = [row for row in others if row["kind"] == BYTES]
    places = [
        erasure.Place(*place)
        for row in others
        if row["kind"] != BYTES
        for place in orjson.loads(row["data"])
    ]
    # Also by what this machine has said itself: it is not settled before it is erased here.
    unsettled = done.settings.unsettled or rows[0]["forgotten"] > done.settings.fetched
    try:
        with arriving(journal):
            taken = _append(database, journal, appended)
        failpoints.reached("team.fetched")
        _erase(folder, journal, places)
        settings = done.settings.changed(fetched=rows[-1]["entry"], unsettled=unsettled)
        save(folder, settings)
    except OSError as error:
        raise disk_error(error, f"write the journal in {journal}") from error
    return Fetched(settings, done.bytes + taken, done.segments | {row["segment"] for row in appended})


def _append(database: Database, journal: Path, rows: Sequence[Any]) -> int:
    """Put bytes where they belong, and onto the disk; return how many were new."""
    taken, files = 0, dict[str, int]()
    try:
        for row in rows:
            name, start, data = row["segment"], row["start"], bytes(row["data"])
            if name not in files:
                files[name] = _opened(journal, name)
            size = os.fstat(files[name]).st_size
            if size < start:  # somebody has taken away a part of what was here
                taken += _fill(database, files[name], name, size)
                size = os.fstat(files[name]).st_size
            if size < start + len(data):
                _write(files[name], data, start)
                taken += start + len(data) - size
        for file in files.values():
            system.sync_data(file)
    finally:
        for file in files.values():
            os.close(file)
    if files:
        system.sync(journal)
    return taken


def _opened(journal: Path, name: str) -> int:
    if not _NAME.fullmatch(name):
        raise StoreError(f"the team's database names a segment {name!r}, which is no file's name")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    return os.open(journal / name, flags, 0o600)


def _fill(database: Database, file: int, name: str, size: int) -> int:
    """Fetch again what a segment had."""
    rows = database.rows(
        "SELECT start, data FROM log WHERE kind = 'bytes' AND segment = $1 "
        "AND start + length(data) > $2 ORDER BY start",
        name,
        size,
    )
    if rows and rows[0]["start"] > size:
        raise StoreError(
            f"the segment {name} has lost what the team's log does not have any more: whatworks team "
            "join in an empty folder"
        )
    for row in rows:
        _write(file, bytes(row["data"]), row["start"])
    return os.fstat(file).st_size - size


def _write(file: int, data: bytes, start: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, start)
        view, start = view[written:], start + written


def _erase(folder: Path, journal: Path, places: Sequence[erasure.Place]) -> None:
    """Write over what another machine has erased; what was folded of it is made anew without it."""
    named = [place for place in places if _NAME.fullmatch(place.segment)]
    due = [place for place in named if erasure.stands(journal, place)]
    if not due:
        return
    if any(place.kind != FORGOTTEN for place in due):
        mark(folder / REORDER)
    erasure.overwrite(folder, journal, due, ship=False)
