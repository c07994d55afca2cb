"""What there is to say of a team's database, and of this machine's place in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from whatworks.doctor import Finding, Look
from whatworks.errors import StoreError
from whatworks.team import roles, shared
from whatworks.team import settings as stored
from whatworks.team.database import Database
from whatworks.team.settings import Settings
from whatworks.team.shipping import Shipping

__all__ = ["examine"]

# A clock further off is worth a word before the team refuses the machine.
CLOCK_SECONDS = 5.0
# Whoever has not fetched something for so long may have stopped; so many days away, for good.
LATE_SECONDS, AWAY_DAYS = 600.0, 14.0
LOCAL = ("", "localhost", "127.0.0.1", "::1")
_PLACES = """
    SELECT segment, start, before FROM (
        SELECT segment, start, lag(start + length(data), 1, start)
            OVER (PARTITION BY segment ORDER BY start, entry) AS before
        FROM log WHERE kind = 'bytes') found
    WHERE start <> before LIMIT 1
"""
_ENDS = """
    SELECT s.segment, s.bytes, max(l.start + length(l.data)) AS ends
    FROM segments s JOIN log l ON l.segment = s.segment AND l.kind = 'bytes'
    GROUP BY s.segment, s.bytes HAVING max(l.start + length(l.data)) <> s.bytes LIMIT 1
"""
_NUMBERS = """
    SELECT t.entries, t.cut, greatest(t.forgotten, t.erased) AS forgotten,
        t.entries - t.cut - (SELECT count(*) FROM log WHERE entry > t.cut) AS missing
    FROM team t
"""
_BEHIND = """
    SELECT m.name, extract(epoch FROM now() - m.seen_at)::float8 AS away,
        coalesce(extract(epoch FROM now() - min(l.at)), 0)::float8 AS behind
    FROM machines m
    LEFT JOIN log l ON l.entry > m.settled AND l.machine <> m.machine
    WHERE NOT m.retired GROUP BY m.machine ORDER BY m.name
"""
_SETTINGS = (
    "SELECT current_setting('server_version') AS version, "
    "current_setting('server_encoding') AS encoding, "
    "pg_is_in_recovery() AS standby, current_setting('synchronous_commit') AS commits, "
    "current_setting('fsync') AS syncs"
)


def examine(folder: Path) -> list[Finding]:
    """What there is to say of the team of the store in ``folder``; reads only.

    Raises
    ------
    NotFoundError
        There is no store, or it is in no team.
    """
    settings = stored.load(folder)
    try:
        database = Database(settings.url)
    except StoreError as error:
        return [
            Finding(
                "connection", "bad", str(error), "mend that; what is recorded meanwhile is kept here"
            )
        ]
    try:
        found = [
            *_layer("connection", _connection(database, settings)),
            *_layer("server", _server(database)),
            *_layer("clock", _clock(database)),
            *_layer("rights", _rights(database)),
            *_layer("log", _log(database)),
            *_layer("vectors", _vectors(database)),
        ]
        return [
            *found,
            *_layer("machines", _machines(database)),
            *_layer("this machine", _own(database, folder, settings)),
        ]
    finally:
        database.close()


def _layer(name: str, looks: Iterator[Look]) -> list[Finding]:
    """The findings of one layer; what the database refuses is one, too."""
    found = []
    try:
        for look in looks:
            found.append(Finding(name, *look))
    except StoreError as error:
        found.append(Finding(name, "bad", f"cannot be examined: {error}", "mend that, and look again"))
    return found


def _connection(database: Database, settings: Settings) -> Iterator[Look]:
    parts = urlsplit(settings.url)
    query = parse_qs(parts.query)
    host = query.get("host", [parts.hostname or ""])[0]
    row = database.row("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    if host.startswith("/") or host in LOCAL:
        yield "ok", "it stays on this machine", ""
    elif row is None or not row["ssl"]:
        yield (
            "bad",
            f"it goes to {host} without encryption",
            "turn on ssl in the server, and add ?sslmode=verify-full&sslrootcert=FILE to the address",
        )
    elif query.get("sslmode", [""])[0] not in ("verify-full", "verify-ca"):
        yield (
            "warn",
            f"it is encrypted, but the certificate of {host} is not checked",
            "add ?sslmode=verify-full&sslrootcert=FILE to the address",
        )
    else:
        yield "ok", f"encrypted, and the certificate of {host} is checked", ""


def _server(database: Database) -> Iterator[Look]:
    row = database.row(_SETTINGS)
    space = "" if database.namespace is None else f", namespace {database.namespace}"
    yield "ok", f"PostgreSQL {row['version'].split()[0]}, {row['encoding']}{space}", ""
    if row["encoding"] != "UTF8":
        yield (
            "warn",
            f"the database's encoding is {row['encoding']}, so that names of machines may fail",
            "make it with createdb --encoding=UTF8 --template=template0",
        )
    if row["standby"]:
        yield (
            "bad",
            "a standby answers, which takes no writes",
            "name the primary, or all hosts with ?target_session_attrs=read-write",
        )
    for name, value in (("synchronous_commit", row["commits"]), ("fsync", row["syncs"])):
        if value == "off":
            yield (
                "bad",
                f"{name} is off: a crash of the server may take what machines have shipped, which are "
                "then refused as copies",
                f"set {name} = on",
            )


def _clock(database: Database) -> Iterator[Look]:
    before = time.time()
    now = float(database.row("SELECT extract(epoch FROM clock_timestamp()) AS now")["now"])
    off = (before + time.time()) / 2 - now
    if abs(off) > CLOCK_SECONDS:
        yield "warn", f"{off:+.1f} s off the database's; 60 s are refused", "run NTP on both"
    else:
        yield "ok", f"{off:+.2f} s off the database's", ""


def _rights(database: Database) -> Iterator[Look]:
    user = database.row("SELECT current_user AS name")["name"]
    role = roles.of_connection(database)
    if role == "none":
        remedy = f"whoever began the team: whatworks team grant {user}"
        yield "bad", f"the database's user {user} has no rights on the team", remedy
    elif role == "reader":
        yield "ok", f"{user} may read only: what is recorded here stays here", ""
    else:
        yield "ok", f"{user} is a writer{' and owns the tables' if role == 'owner' else ''}", ""
    if roles.is_loose(database):
        yield (
            "warn",
            "who may write and make functions can write for machines of others",
            "exchange once as the user that began the team: whatworks team sync",
        )


def _log(database: Database) -> Iterator[Look]:
    row = database.row(_NUMBERS)
    mend = "restore the database from a backup, or begin another team with whatworks team init"
    sound = True
    if row["missing"]:
        sound = False
        yield "bad", f"entries are missing before number {row['entries']:,}", mend
    for query in (_PLACES, _ENDS):
        if (found := database.row(query)) is not None:
            sound = False
            yield "bad", f"the segment {found['segment']} has a gap or an overlap", mend
    if sound:
        cut = f", the first {row['cut']:,} in a snapshot only" if row["cut"] else ""
        yield "ok", f"{row['entries']:,} entries without gaps{cut}", ""
    yield from _snapshots(database, row)


def _snapshots(database: Database, log: Any) -> Iterator[Look]:
    rows = database.rows("SELECT url, entry FROM snapshots ORDER BY entry DESC")
    for row in rows:
        if row["entry"] < log["forgotten"]:
            yield (
                "warn",
                f"a snapshot in {row['url']} holds what was forgotten since",
                f"whatworks team snapshot {row['url']}, on the machine that made it",
            )
    if rows:
        yield "ok", f"the newest snapshot has the first {rows[0]['entry']:,} entries", ""


def _vectors(database: Database) -> Iterator[Look]:
    row = shared.named(database)
    if row is None:
        return
    put = f"whatworks team vectors {row['url']}, on a machine that stays open and can reach it"
    if row["vectors"] and row["entry"] < row["forgotten"]:
        yield "warn", f"those in {row['url']} are of texts, too, that were forgotten since", put
    elif row["behind_seconds"] > LATE_SECONDS:
        late = f"{row['behind_seconds'] / 60:,.0f} min"
        yield "warn", f"those in {row['url']} are {late} behind the log", put
    else:
        yield (
            "ok",
            f"{row['vectors']:,} in {row['url']}, put there by {row['name'] or 'nobody yet'}",
            "",
        )


def _machines(database: Database) -> Iterator[Look]:
    rows = database.rows(_BEHIND)
    well = True
    for row in rows:
        name, days = row["name"], row["away"] / 86_400
        if days > AWAY_DAYS:
            well = False
            remedy = f"start it, or if it will not come back: whatworks team retire {name}"
            yield "warn", f"{name} was last seen {days:,.0f} days ago", remedy
        elif row["behind"] > LATE_SECONDS:
            well = False
            remedy = f"open its store, or run whatworks team sync --follow on {name}"
            yield (
                "warn",
                f"{name} has not fetched what is there for {row['behind'] / 60:,.0f} min",
                remedy,
            )
    if well:
        yield "ok", f"{len(rows)}, none of them late", ""


def _own(database: Database, folder: Path, settings: Settings) -> Iterator[Look]:
    row = database.row("SELECT token, retired FROM machines WHERE machine = $1", settings.machine)
    again = "whatworks team join in an empty folder"
    if row is None or row["retired"]:
        yield "bad", f"the team has no machine {settings.name}, or has retired it", again
        return
    shipping = Shipping(folder / "journal", settings)
    if row["token"] not in (settings.token, settings.next_token):
        yield (
            "bad",
            f"{folder} is a copy: another folder has shipped since",
            f"go on with that, or {again}",
        )
        return
    try:
        shipping.begin(database)
    except StoreError as error:
        yield "bad", str(error), again
        return
    waiting = shipping.waiting()
    if waiting and roles.of_connection(database) in ("owner", "writer"):
        yield "warn", f"{waiting:,} bytes are not shipped", "whatworks team sync"
    else:
        yield "ok", f"{settings.name}, the only folder of that machine", ""
