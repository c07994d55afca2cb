"""Shared vectors: which vectors of a team all machines read, as its database names them.

::

    leases   who may name them at the moment; see ``leases.py``
    vectors  one row: the address, the place and the version that are read, and up to which entry of
             the log there is a vector for every text

Vectors are named in a transaction that holds the lease. What a machine has written that lost the
lease lies in a place of its own, and nobody reads it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from whatworks import config, failpoints
from whatworks.errors import InvalidInputError, StoreError, WhatWorksError, disk_error
from whatworks.ids import uuid7
from whatworks.team import depots, leases, roles, shelves
from whatworks.team import settings as stored
from whatworks.team.database import OWNS, Database
from whatworks.team.leases import Lease
from whatworks.team.records import SharedVectors

__all__ = [
    "Put",
    "described",
    "give",
    "hear",
    "heard",
    "move",
    "named",
    "new_place",
    "owns",
    "stop",
    "told",
]

# Where this machine may write, as it was told here; what the database names, as it was last heard.
TOLD, HEARD = "shelf.json", "shared.json"
_TABLES = f"""
CREATE TABLE leases (
    name text PRIMARY KEY, machine text NOT NULL REFERENCES machines,
    epoch bigint NOT NULL, until timestamptz NOT NULL
);
CREATE TABLE vectors (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), url text NOT NULL,
    place text, version bigint NOT NULL DEFAULT 0, vectors bigint NOT NULL DEFAULT 0,
    entry bigint NOT NULL DEFAULT 0,
    machine text REFERENCES machines, epoch bigint NOT NULL DEFAULT 0,
    moved_at timestamptz
);
-- The databases of teams that were made long ago do not have it, or another one.
{OWNS}
ALTER TABLE leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE vectors ENABLE ROW LEVEL SECURITY;
CREATE POLICY reading ON leases FOR SELECT USING (true);
CREATE POLICY adding ON leases FOR INSERT WITH CHECK (owns(machine));
CREATE POLICY taking ON leases FOR UPDATE USING (true) WITH CHECK (owns(machine));
CREATE POLICY reading ON vectors FOR SELECT USING (true);
CREATE POLICY naming ON vectors FOR UPDATE USING (true) WITH CHECK (owns(machine));
"""
# Writers may write anything there: an entry that the log does not have, and times that are none.
_ENTRY = "CASE WHEN v.entry BETWEEN 0 AND t.entries THEN v.entry ELSE 0 END"
_SOUND = "BETWEEN '2000-01-01' AND '3000-01-01'"
_NAMED = f"""
    SELECT v.url, v.place, v.version, v.vectors, {_ENTRY} AS entry, v.machine, v.epoch,
        CASE WHEN v.moved_at {_SOUND} THEN v.moved_at END AS moved_at,
        m.name, t.entries, t.forgotten,
        coalesce(extract(epoch FROM clock_timestamp() - (
            SELECT at FROM log WHERE entry > {_ENTRY} AND at {_SOUND} ORDER BY entry LIMIT 1
        )), 0)::float8 AS behind_seconds
    FROM team t, vectors v LEFT JOIN machines m USING (machine)
"""
_MOVE = f"""
    UPDATE vectors v SET place = $1, version = $2, vectors = $3, machine = $4, epoch = $5,
        entry = greatest({_ENTRY}, $6), moved_at = clock_timestamp()
    FROM team t
"""
_TAKE_AWAY = f"UPDATE leases SET epoch = {leases.NEXT}, until = clock_timestamp()"


class Put(NamedTuple):
    """What a keeper put on a shelf of vectors.

    ``version`` names the shelf as it is now, with ``vectors`` of them. ``more`` are at hand. ``done``
    says that there is one for every text, and none of what was forgotten, of which it ``erased`` some.
    """

    version: int
    vectors: int
    erased: int
    more: bool
    done: bool


def named(database: Database) -> Any:
    """The row of the vectors that are read, and how far the log is; ``None`` if none are shared."""
    return database.row(_NAMED) if roles.shares(database) else None


def new_place(folder: Path) -> str:
    """Where nobody has written yet, for the team of the store in ``folder``."""
    return f"{depots.name(folder)}/{uuid7()}"


def owns(folder: Path, place: str | None) -> bool:
    """Whether a place is one of that team's, which this machine may write over and remove."""
    return place is not None and place.startswith(f"{depots.name(folder)}/")


def move(
    database: Database, lease: Lease, place: str | None, version: int, vectors: int, entry: int
) -> bool:
    """Have all machines read what is in ``place``; false if somebody else has the lease by now.

    ``entry`` is that of the log up to which there is a vector for every text; it never goes back.
    """
    with database.transaction():
        if not leases.holds(database, lease):
            return False
        failpoints.reached("shared.moving")
        database.do(_MOVE, place, version, vectors, lease.machine, lease.epoch, entry)
    return True


# -- who shares, and where ------------------------------------------------------------------------


def give(folder: Path, url: str, *, change: bool = False) -> None:
    """Have the team of the store in ``folder`` share its vectors at an address, this machine as well.

    Parameters
    ----------
    change
        Whether the address takes the place of another one, by the owner of the tables.

    Raises
    ------
    InvalidInputError
        It is no such address, or the team shares its vectors at another one.
    MissingExtraError
        A package is not installed.
    StoreError
        The storage does not do what it must; or the team shares none, and the database's user does
        not own its tables; or it is done, and what lies at the former address could not be removed.
    """
    url = shelves.require_address(url)
    database = Database(stored.load(folder).url)
    try:
        team = database.team()
        if team["embedder"] == "none":
            raise InvalidInputError("the team has no embedder, and so no vectors to share")
        row = named(database)
        if row is not None and row["url"] != url and not change:
            raise InvalidInputError(
                f"the team shares its vectors at {row['url']}, not at {url}: leave it out, or change "
                "it with whatworks team vectors"
            )
        if (row is None or row["url"] != url) and roles.of_connection(database) != "owner":
            raise StoreError(
                "the database's user may not say where the team shares its vectors: whoever began the "
                f"team may, whatworks team vectors {url}"
            )
        shelves.prepare(url)
        if row is None:
            _create(database, url)
        elif row["url"] != url:
            _set(database, url)
        _tell(folder, url)
        if row is not None and row["url"] != url:
            _clear(folder, row, f"the team shares its vectors at {url} from now on")
    finally:
        database.close()


def stop(folder: Path) -> bool:
    """Have the team share its vectors no more, and remove them; whether it did share them.

    Raises
    ------
    StoreError
        The database's user does not own the tables; or it is done, and what lies at the address
        was not removed.
    """
    database = Database(stored.load(folder).url)
    try:
        database.team()
        row = named(database)
        if row is None:
            return False
        if roles.of_connection(database) != "owner":
            raise StoreError("the database's user may not stop it: whoever began the team may")
        with database.transaction():  # from here on nobody can name what is written there
            database.do(_TAKE_AWAY)
            database.do("DELETE FROM vectors")
        ended = "the team shares its vectors no more"
        if told(folder) != row["url"]:
            raise StoreError(
                f"{ended}; this machine was not told to write to {row['url']}: remove what lies there"
            )
        _clear(folder, row, ended)
        return True
    finally:
        database.close()


def _create(database: Database, url: str) -> None:
    with database.transaction():
        database.hold()  # of two who begin it at once one sees that it is there
        if not roles.shares(database):
            database.do(_TABLES)
            for statement in roles.sharing(database):
                database.do(statement)
        database.do("INSERT INTO vectors (url) VALUES ($1) ON CONFLICT DO NOTHING", url)


def _set(database: Database, url: str) -> None:
    """Begin at another address; whoever has the lease has lost it."""
    with database.transaction():
        database.do(_TAKE_AWAY)
        database.do("DELETE FROM vectors")
        database.do("INSERT INTO vectors (url) VALUES ($1)", url)


def _clear(folder: Path, row: Any, done: str) -> None:
    try:
        for place in shelves.places(row["url"], depots.name(folder)):
            shelves.remove(row["url"], place)
    except WhatWorksError as error:
        raise StoreError(f"{done}; what lies at {row['url']} was not removed: {error}") from error


# -- what this machine knows ----------------------------------------------------------------------


def _tell(folder: Path, url: str) -> None:
    """Keep the address that was given here: this machine writes to no other one."""
    try:
        config.replace_file(folder / TOLD, orjson.dumps({"url": url}) + b"\n")
    except OSError as error:
        raise disk_error(error, f"write {folder / TOLD}") from error


def told(folder: Path) -> str | None:
    """The address that was given to the store in ``folder``."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        return str(orjson.loads((folder / TOLD).read_bytes())["url"])
    return None


def described(row: Any) -> SharedVectors:
    """What the database names, as it is told."""
    return SharedVectors(
        url=row["url"],
        place=row["place"],
        version=row["version"],
        vectors=row["vectors"],
        machine=row["name"],
        epoch=row["epoch"],
        entry=row["entry"],
        behind=row["entries"] - row["entry"],
        behind_seconds=row["behind_seconds"],
        moved_at=row["moved_at"],
        heard_at=datetime.now(UTC),
    )


def hear(folder: Path, row: Any) -> None:
    """Keep what the database names for whoever reads without it."""
    path = folder / HEARD
    try:
        if row is None:
            path.unlink(missing_ok=True)
        else:
            config.replace_file(path, orjson.dumps(asdict(described(row))) + b"\n")
    except OSError as error:
        raise disk_error(error, f"write {path}") from error


def heard(folder: Path) -> SharedVectors | None:
    """What the database named when it was last heard of; ``None`` if nothing is shared."""
    try:
        said = orjson.loads((folder / HEARD).read_bytes())
        for name in ("moved_at", "heard_at"):
            said[name] = said[name] and datetime.fromisoformat(said[name])
        return SharedVectors(**said)
    except (OSError, ValueError, TypeError, KeyError):
        return None  # a machine that knows of none does without
