"""Erasing: what this machine has written over is written over in the team's log, and others are told.

A record ``forgotten`` itself goes last, once every machine has erased what it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import orjson

from whatworks import erasure, failpoints
from whatworks.errors import disk_error
from whatworks.team.database import ERASED, Database
from whatworks.team.settings import Settings

__all__ = ["empty_forgotten", "ship_erased"]


def ship_erased(database: Database, folder: Path, settings: Settings) -> int:
    """Have the log erase what this machine has; return how many records it still had."""
    waiting = folder / erasure.TO_SHIP
    count = 0
    for path in sorted(waiting.glob("*.json")) if waiting.is_dir() else ():
        try:
            places = [erasure.Place(*place) for place in orjson.loads(path.read_bytes())]
        except OSError as error:
            raise disk_error(error, f"read {path}") from error
        # What is not written over yet may be on its way to the log as it was.
        if any(erasure.stands(folder / "journal", place) for place in places):
            continue
        count += _overwrite(database, settings, places)
        failpoints.reached("team.erased")
        with suppress(FileNotFoundError):
            path.unlink()
    return count


def _overwrite(database: Database, settings: Settings, places: Sequence[erasure.Place]) -> int:
    """Write over records in the log, and add an entry that says so, in one transaction."""
    there = list[erasure.Place]()
    with database.transaction():
        entry = database.hold()["entries"]
        for _, group in groupby(sorted(places), lambda place: place.segment):
            found = [place for place in group if _overwritten(database, place)]
            if found:
                entry += 1
                body = orjson.dumps(list(map(list, found)))
                database.add(entry, ERASED, settings.machine, found[0].segment, 0, body)
                there += found
        if there:
            database.do("UPDATE team SET entries = $1, erased = $1", entry)
    return len(there)


def _overwritten(database: Database, place: erasure.Place) -> bool:
    """Whether the log had the record, or has been cut behind it."""
    row = database.row(
        "SELECT entry, start, data FROM log WHERE kind = 'bytes' AND segment = $1 "
        "AND start <= $2 ORDER BY start DESC LIMIT 1",
        place.segment,
        place.start,
    )
    if row is None or place.start >= row["start"] + len(row["data"]):
        return _was_cut(database, place)
    data, at, line = bytes(row["data"]), place.start - row["start"], erasure.erased(place)
    if at + place.length > len(data) or data[at : at + place.length] == line:
        return False
    if data[at - 1 : at] not in (b"\n", b"") or not data[at : at + place.length].endswith(b"\n"):
        return False
    database.do(
        "UPDATE log SET data = $2 WHERE entry = $1",
        row["entry"],
        data[:at] + line + data[at + place.length :],
    )
    return True


def _was_cut(database: Database, place: erasure.Place) -> bool:
    """Whether a record was shipped, and lies in a snapshot only, which is made anew without it."""
    query = "SELECT 1 FROM segments WHERE segment = $1 AND bytes > $2"
    return database.row(query, place.segment, place.start) is not None


def empty_forgotten(database: Database, folder: Path, settings: Settings) -> int:
    """Empty the records ``forgotten`` that every machine has heeded; return how many the log had."""
    journal = folder / "journal"
    told = erasure.told(journal)
    if not told:
        return 0
    settled = database.row("SELECT min(settled) AS all FROM machines WHERE NOT retired")["all"]
    due = [place for place in told.places if _entry(database, place) <= settled]
    if not due:
        return 0
    count = _overwrite(database, settings, due)  # first: what is here still is tried again
    erasure.overwrite(folder, journal, due, ship=False)
    return count


def _entry(database: Database, place: erasure.Place) -> float:
    """The entry with a record, of whatever machine; infinite if it is not shipped."""
    row = database.row(
        "SELECT entry, start + length(data) AS until FROM log "
        "WHERE kind = 'bytes' AND segment = $1 AND start <= $2 ORDER BY start DESC LIMIT 1",
        place.segment,
        place.start,
    )
    if row is not None and place.start < row["until"]:
        return float(row["entry"])
    # What was cut every machine has heeded.
    return 0.0 if _was_cut(database, place) else float("inf")
