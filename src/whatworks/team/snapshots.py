"""Snapshots: the team's journal up to an entry, on S3, from which a new machine starts.

::

    PREFIX/STORE/000000001234-ID/
        manifest.json         which entry, and size and checksum of each segment
        ada-1.log.gz          what was shipped of the segment, up to that entry at least

Evidence and vectors are not in it: the machine makes them of the journal, as of what it fetches. Which
snapshots there are stands in the team's database, with the checksum of the manifest; so a storage
that shows old or other files is noticed. What is in a snapshot may be cut from the log.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import orjson

from whatworks import failpoints, system
from whatworks.arrivals import arriving, nothing_arrives
from whatworks.errors import NotFoundError, StoreBusyError, StoreError, WhatWorksError, disk_error
from whatworks.ids import uuid7
from whatworks.segments import segments
from whatworks.team import depots, roles
from whatworks.team import settings as stored
from whatworks.team.bucket import Bucket, require_url
from whatworks.team.database import Database
from whatworks.team.records import TeamSnapshot
from whatworks.team.settings import Settings

__all__ = ["cut", "make", "newest", "renew", "take"]

FORMAT = 1
MANIFEST, DRAFT = "manifest.json", "snapshot.tmp"
BLOCK, LEVEL = 4 << 20, 1
# How often a segment is read again in which something was erased meanwhile, and a snapshot that was
# removed while it was read.
TRIES = 5
_NAME = re.compile(r"[\w~-][\w.~-]{0,250}\.log")
_KEPT = """
    DELETE FROM log l WHERE entry <= $1 AND (kind <> 'bytes' OR EXISTS (
        SELECT 1 FROM log later
        WHERE later.kind = 'bytes' AND later.segment = l.segment AND later.start > l.start))
"""


class _File(NamedTuple):
    bytes: int
    sha256: str


def make(folder: Path, url: str | None = None, *, shorten: bool = False) -> TeamSnapshot:
    """Make a snapshot of what this machine and the log have now, and remove older ones.

    Those are removed that lie where this machine was told to put some: all of them by the owner of
    the tables, else those of machines that came as the same user of the database.

    Parameters
    ----------
    url
        ``s3://BUCKET/PREFIX``; the one that this machine was given last if ``None``.
    shorten
        Whether to cut from the log what is in the snapshot and on all machines.

    Raises
    ------
    NotFoundError
        The store in ``folder`` is in no team, or ``url`` is ``None`` and none was given before.
    InvalidInputError, MissingExtraError
        As ``Bucket``.
    StoreError
        The storage does not do what it must, or it, the database or the disk refuses; or the log was
        cut meanwhile behind what this machine had.
    """
    from whatworks.team import syncing

    database = Database(stored.load(folder).url)
    try:
        database.team()
        for _ in range(2):  # to know of what the first of them ships
            with suppress(StoreBusyError):  # another process exchanges, every second
                syncing.sync(folder)
        if url is None:
            given = depots.told(folder)
            if not given:
                raise NotFoundError("this machine made no snapshot yet: say where, s3://BUCKET/PREFIX")
            url = given[-1]
        depots.tell(folder, require_url(url))
        made = _made(database, folder, url)
        return replace(made, cut=cut(database, made.entry)) if shorten else made
    finally:
        database.close()


def renew(database: Database, folder: Path, settings: Settings) -> None:
    """Make this machine's snapshot anew if it holds what was forgotten since."""
    found = database.rows(
        "SELECT s.url, s.place FROM snapshots s, team t "
        "WHERE s.machine = $1 AND s.entry < greatest(t.forgotten, t.erased) "
        "AND greatest(t.forgotten, t.erased) <= $2",
        settings.machine,
        settings.fetched,
    )
    for row in found:
        if depots.vouched(folder, row):
            _made(database, folder, row["url"])
            return


def newest(database: Database) -> Any:
    """The row of the newest snapshot, ``None`` if there is none."""
    return database.row("SELECT * FROM snapshots ORDER BY entry DESC, made_at DESC LIMIT 1")


def _made(database: Database, folder: Path, url: str) -> TeamSnapshot:
    start = monotonic()
    bucket = Bucket(url)
    bucket.probe()
    settings = stored.load(folder)
    entry, lengths = settings.fetched, _lengths(database, folder / "journal")
    place = f"{depots.name(folder)}/{entry:012d}-{uuid7()}"
    draft = folder / DRAFT
    try:
        draft.mkdir(mode=0o700, exist_ok=True)
        files, size = dict[str, _File](), 0
        for name, length in lengths.items():
            files[name] = _packed(folder / "journal" / name, length, draft / name)
            size += (draft / name).stat().st_size
            bucket.put_file(f"{place}/{name}.gz", draft / name)
            (draft / name).unlink()
            failpoints.reached("snapshot.segment")
    except OSError as error:
        raise disk_error(error, f"write a snapshot in {draft}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    body = orjson.dumps(
        {
            "format": FORMAT,
            "entry": entry,
            "files": {name: each._asdict() for name, each in files.items()},
        },
        option=orjson.OPT_SORT_KEYS,
    )
    if not bucket.put(f"{place}/{MANIFEST}", body):
        raise StoreError(f"{bucket.url}/{place}/{MANIFEST} is there already: try again")
    failpoints.reached("snapshot.uploaded")
    older = _registered(
        database, entry, bucket.url, place, sha256(body).hexdigest(), size, settings.machine
    )
    if older is None:
        bucket.delete(bucket.names(place))
        raise StoreError(
            f"the log was cut meanwhile behind entry {entry:,}, up to which the snapshot went: make it "
            "again"
        )
    failpoints.reached("snapshot.told")
    removed = _remove(database, folder, bucket, older)
    held = sum(each.bytes for each in files.values())
    return TeamSnapshot(bucket.url, entry, held, size, removed, None, monotonic() - start)


def _lengths(database: Database, journal: Path) -> dict[str, int]:
    """How much of each segment is here and shipped: all that this machine knew at one moment."""
    with nothing_arrives(journal):
        here = {segment.name: segment.size for segment in segments(journal)}
    shipped = database.rows("SELECT segment, bytes FROM segments")
    found = {row["segment"]: min(row["bytes"], here.get(row["segment"], 0)) for row in shipped}
    return {name: length for name, length in found.items() if length}


def _packed(path: Path, length: int, target: Path) -> _File:
    """The first bytes of a segment, compressed; none that is being written over at the moment."""
    for _ in range(TRIES):
        packed = _copied(path, length, target)
        if _copied(path, length, None) == packed:
            return packed
    raise StoreError(f"{path} changes whenever it is read: try again")


def _copied(path: Path, length: int, target: Path | None) -> _File:
    seen, left = sha256(), length
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "rb"))
        packing: gzip.GzipFile | None = None
        if target is not None:
            packing = stack.enter_context(gzip.open(target, "wb", compresslevel=LEVEL))
        while left and (block := file.read(min(BLOCK, left))):
            seen.update(block)
            left -= len(block)
            if packing is not None:
                packing.write(block)
    if left:
        raise StoreError(f"{path} has lost {left:,} bytes of what was fetched: whatworks doctor")
    return _File(length, seen.hexdigest())


def _registered(database: Database, entry: int, url: str, place: str, *said: object) -> Any:
    """Tell the team of a snapshot; which others are to go for it, ``None`` if the log begins later.

    Uploading takes long, so others may have told of theirs, and cut the log behind them: all is
    looked at while the team's row is held, and what has more entries stays.
    """
    with database.transaction():
        database.hold()
        if entry < database.row("SELECT cut FROM team")["cut"]:
            return None
        database.do(
            "INSERT INTO snapshots (entry, url, place, sha256, bytes, machine) "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            *(entry, url, place, *said),
        )
        return database.rows(
            "SELECT url, place FROM snapshots "
            "WHERE entry <= $1 AND place <> $2 AND ($3 OR owns(machine))",
            *(entry, place, roles.of_connection(database) == "owner"),
        )


def _remove(database: Database, folder: Path, bucket: Bucket, older: Iterable[Any]) -> int:
    """Remove snapshots where this machine may; those elsewhere stay known if it cannot be reached."""
    removed = 0
    for row in older:
        if not depots.vouched(folder, row):
            continue
        try:
            other = bucket if row["url"] == bucket.url else Bucket(row["url"])
            other.delete(other.names(row["place"]))
        except WhatWorksError:
            if row["url"] == bucket.url:
                raise
            continue
        removed += database.do("DELETE FROM snapshots WHERE place = $1", row["place"])
    return removed


def cut(database: Database, entry: int) -> int:
    """Cut from the log what is on all machines, up to an entry up to which there is a snapshot.

    It returns how many went. The last entry of each segment stays: it says whether a segment is the
    one that was shipped.

    Raises
    ------
    StoreError
        The database's user does not own the tables.
    """
    with database.transaction():
        database.hold()
        row = database.row(
            "SELECT least($1, (SELECT min(settled) FROM machines WHERE NOT retired)) AS until",
            entry,
        )
        until = row["until"] or 0
        gone = database.do(_KEPT, until)
        database.do("UPDATE team SET cut = greatest(cut, $1)", until)
    return gone


def take(database: Database, folder: Path, settings: Settings) -> Settings:
    """Put the newest snapshot into a journal that has nothing of the team yet, if there is one.

    A snapshot that cannot be read is done without as long as the log has everything.

    Raises
    ------
    StoreError
        It cannot be read, or is not what it was, and the log has been cut.
    """
    for tried in range(TRIES):
        row = newest(database)
        if row is None:
            return settings
        try:
            return _taken(folder, settings, row)
        except WhatWorksError as error:
            missing = isinstance(error, NotFoundError) and tried < TRIES - 1
            if missing and newest(database)["place"] != row["place"]:
                continue  # it was removed for a newer one meanwhile
            if database.row("SELECT cut FROM team")["cut"] == 0:
                return settings
            raise StoreError(f"the team's log begins with its snapshot, and {error}") from error
    return settings


def _taken(folder: Path, settings: Settings, row: Any) -> Settings:
    bucket, place = Bucket(row["url"]), row["place"]
    body = bucket.get(f"{place}/{MANIFEST}")
    if sha256(body).hexdigest() != row["sha256"]:
        raise StoreError(f"{bucket.url}/{place}/{MANIFEST} is not what it was: make another snapshot")
    said = orjson.loads(body)
    if said["format"] > FORMAT:
        raise StoreError("the snapshot is of a newer version: pip install --upgrade whatworks")
    files = {name: _File(**each) for name, each in said["files"].items()}
    draft, journal = folder / DRAFT, folder / "journal"
    try:
        draft.mkdir(mode=0o700, exist_ok=True)
        for name, expected in files.items():
            _unpack(bucket, f"{place}/{name}.gz", draft, name, expected)
            failpoints.reached("snapshot.fetched")
        with arriving(journal):
            _put(files, draft, journal)
        settings = settings.changed(fetched=said["entry"], unsettled=True)
        stored.save(folder, settings)
    except OSError as error:
        raise disk_error(error, f"write the journal in {journal}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return settings


def _unpack(bucket: Bucket, source: str, draft: Path, name: str, expected: _File) -> None:
    if not _NAME.fullmatch(name):
        raise StoreError(f"the snapshot names a segment {name!r}, which is no file's name")
    packed, target = draft / f"{name}.gz", draft / name
    bucket.get_file(source, packed)
    seen, size = sha256(), 0
    try:
        with gzip.open(packed, "rb") as file, open(target, "wb") as plain:
            # Not more than it is to have: what is packed may be anything.
            while size <= expected.bytes and (block := file.read(BLOCK)):
                seen.update(block)
                size += len(block)
                plain.write(block)
            plain.flush()
            os.fsync(plain.fileno())
    except (gzip.BadGzipFile, EOFError) as error:
        raise StoreError(f"{bucket.url}/{source} is damaged: make another snapshot") from error
    packed.unlink()
    if _File(size, seen.hexdigest()) != expected:
        raise StoreError(f"{bucket.url}/{source} is not what it was: make another snapshot")
    target.chmod(0o600)


def _put(files: Mapping[str, _File], draft: Path, journal: Path) -> None:
    for name, each in files.items():
        there = journal / name
        if not there.exists() or there.stat().st_size < each.bytes:
            (draft / name).replace(there)
    system.sync(journal)
