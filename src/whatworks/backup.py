"""Backups of a store in use, and stores made from them.

A backup is a folder that can be looked at::

    whatworks-20261125T010203Z/
        manifest.json      what it is, and the checksum of every other file
        store.json
        evidence.duckdb    a copy of one state, embeddings included
        journal/           cut where that state ends

Vectors are not in it: they are a view of the embeddings, which are. It is made
under another name and renamed when it is whole, has been read again and lies
on the disk, so that what bears the name of a backup is one.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from whatworks import config, drafts, failpoints, journal, places, system
from whatworks.errors import (
    InvalidInputError,
    NotFoundError,
    SchemaVersionError,
    StoreError,
    WhatWorksError,
    disk_error,
)
from whatworks.records import Backup

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

__all__ = ["make", "newest", "require_target", "restore", "verify"]

# Raise when an older whatworks could not restore a backup any more.
FORMAT = 1
MANIFEST, EVIDENCE, JOURNAL = "manifest.json", "evidence.duckdb", "journal"
BLOCK = 4 << 20
_FINISHED = re.compile(r"whatworks-\d{8}T\d{6}Z(-\d+)?")
# What a manifest may name: nothing that leads out of the folder.
_FILES = re.compile(rf"{re.escape(config.FILE)}|{re.escape(EVIDENCE)}|{JOURNAL}/[\w~.-]+\.log")


class _File(NamedTuple):
    """Size and checksum of a file."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What a backup says of itself; ``files`` by their path inside it."""

    format: int
    whatworks: str
    store_id: str
    made_at: str
    patterns: int
    events: int
    files: dict[str, _File]


# -- making ---------------------------------------------------------------------------------------


def require_target(folder: Path, store: Path) -> None:
    """Raise unless backups of ``store`` may lie in ``folder``."""
    real, own = Path(os.path.realpath(folder)), Path(os.path.realpath(store))
    if real == own or own in real.parents:
        raise InvalidInputError(
            f"the backup would lie inside the store {store}; give a folder elsewhere"
        )
    if (folder / config.FILE).exists():
        raise InvalidInputError(f"{folder} is a store; give a folder for backups")
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file; give a folder for backups")


def make(
    con: Connection,
    journal_folder: Path,
    made_with: config.Config,
    folder: Path,
    *,
    made_at: datetime,
    keep: int | None = None,
) -> Backup:
    """Put a backup into ``folder``, and take older ones of the same store away.

    Parameters
    ----------
    con
        A connection to the evidence in a transaction: its state is what is
        backed up, see ``Evidence.snapshot``. It is committed.
    journal_folder, made_with
        Of the store. The journal may grow meanwhile.
    made_at
        When the transaction began.
    keep
        How many backups of this store remain, this one included; ``None``: all.

    Raises
    ------
    StoreError
        Something cannot be read or written, or was not the same when it was
        read again. What there was before is untouched.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        drafts.clear(folder)
        with drafts.draft(folder) as draft:
            made = _write(con, journal_folder, made_with, draft, made_at)
            finished = _publish(draft, folder, made_at)
        removed = () if keep is None else _trim(finished, made_with.store_id, keep)
    except OSError as error:
        raise disk_error(error, f"write a backup into {folder}") from error
    return replace(_described(finished, made), removed=removed)


def _write(
    con: Connection, journal_folder: Path, made_with: config.Config, draft: Path, made_at: datetime
) -> _Manifest:
    from whatworks import __version__
    from whatworks.evidence import copies

    failpoints.reached("backup.begun")
    copied = copies.copy(con, draft / EVIDENCE)
    failpoints.reached("backup.copied")
    files = {EVIDENCE: _read(draft / EVIDENCE)}
    (draft / JOURNAL).mkdir(mode=0o700)
    for name, position in copied.positions.items():
        source, target = journal_folder / name, draft / JOURNAL / name
        files[f"{JOURNAL}/{name}"] = _copy(source, target, position)
        _require_whole(journal.Segment(name, target, position))
        failpoints.reached("backup.segment")
    body = orjson.dumps(asdict(made_with), option=orjson.OPT_INDENT_2) + b"\n"
    config.replace_file(draft / config.FILE, body)
    files[config.FILE] = _read(draft / config.FILE)
    failpoints.reached("backup.gathered")
    made = _Manifest(
        FORMAT,
        __version__,
        made_with.store_id,
        made_at.astimezone(UTC).isoformat(),
        copied.patterns,
        copied.events,
        files,
    )
    _write_manifest(draft, made)
    verify(draft)
    failpoints.reached("backup.verified")
    return made


def _require_whole(segment: journal.Segment) -> None:
    """Raise unless records end where the evidence says that they do."""
    end = 0
    for record in journal.read(segment):
        end = record.end
    if end != segment.size:
        raise StoreError(
            f"the journal segment {segment.name} ends at byte {end:,}, the evidence knows "
            f"{segment.size:,}: run whatworks doctor"
        )


def _publish(draft: Path, folder: Path, made_at: datetime) -> Path:
    for path in (draft / EVIDENCE, draft / JOURNAL, draft):
        system.sync(path)
    failpoints.reached("backup.synced")
    stem = f"whatworks-{made_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    finished, n = folder / stem, 1
    while finished.exists():
        n += 1
        finished = folder / f"{stem}-{n}"
    draft.rename(finished)
    failpoints.reached("backup.renamed")
    system.sync(folder)
    return finished


def _trim(finished: Path, store_id: str, keep: int) -> tuple[str, ...]:
    """Keep ``finished`` and the newest other backups of a store, ``keep`` in all.

    One made before the clock was set back may claim to be newer than what was
    just finished. What cannot be read is left alone.
    """
    folder = finished.parent
    others = [folder / name for _, name in sorted(_of(folder, store_id)) if name != finished.name]
    old = others[: max(0, len(others) + 1 - keep)]
    for path in old:
        # Half of a backup must not bear the name of one.
        gone = path.rename(folder / f".{path.name}.removing")
        failpoints.reached("backup.removing")
        shutil.rmtree(gone, ignore_errors=True)  # what is left the next backup clears away
    return tuple(map(str, old))


def newest(folder: Path, store_id: str) -> datetime | None:
    """When the newest backup of a store in ``folder`` was made, ``None`` without any."""
    found = _of(folder, store_id) if folder.is_dir() else []
    return datetime.fromisoformat(max(found)[0]) if found else None


def _of(folder: Path, store_id: str) -> list[tuple[str, str]]:
    """The backups of a store: when they were made, and their names."""
    found = []
    for path in folder.iterdir():
        if _FINISHED.fullmatch(path.name):
            with suppress(WhatWorksError):
                made = _load(path)
                found += [(made.made_at, path.name)] if made.store_id == store_id else []
    return found


# -- restoring ------------------------------------------------------------------------------------


def restore(backup: Path, store: Path) -> Backup:
    """Make a store from a backup, in a folder that is empty or not there; all of it or nothing.

    Everything is compared with its checksum before anything is written. The
    new store has what the old one had at that moment, embeddings included,
    and opens at once.

    Raises
    ------
    NotFoundError
        There is no backup.
    SchemaVersionError
        A newer whatworks made it.
    StoreError
        A file of it is missing or not what it was, and which; ``store`` holds
        something; or the disk refuses.
    """
    made = verify(backup)
    failpoints.reached("restore.verified")
    _require_empty(store)
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        drafts.clear(store.parent, store.name)
        with drafts.draft(store.parent, store.name) as draft:
            (draft / JOURNAL).mkdir(mode=0o700)
            for name, expected in made.files.items():
                if _copy(backup / name, draft / name, expected.bytes) != expected:
                    raise StoreError(f"{backup / name} changed while it was read; try again")
                failpoints.reached("restore.copied")
            for path in (draft / JOURNAL, draft):
                system.sync(path)
            failpoints.reached("restore.synced")
            draft.rename(store)  # takes the place of an empty folder, and of no other
            failpoints.reached("restore.renamed")
            system.sync(store.parent)
            if store.name == config.FOLDER:
                places.make_own(store)
    except OSError as error:
        raise disk_error(error, f"restore {backup} to {store}") from error
    return _described(store, made)


def _require_empty(store: Path) -> None:
    if store.is_symlink() or (store.exists() and not store.is_dir()):
        raise StoreError(f"{store} is no folder; give a new or an empty one to restore to")
    if store.is_dir() and any(store.iterdir()):
        raise StoreError(f"{store} is not empty; give a new or an empty folder to restore to")


def verify(backup: Path) -> _Manifest:
    """Compare every file of a backup with its checksum, and open the evidence.

    Raises
    ------
    NotFoundError, SchemaVersionError, StoreError
        As ``restore``.
    """
    from whatworks.evidence import copies

    made = _load(backup)
    for name, expected in made.files.items():
        path = backup / name
        try:
            found = _read(path)
        except FileNotFoundError:
            raise StoreError(f"the backup is damaged: {path} is missing; take another one") from None
        except OSError as error:
            raise disk_error(error, f"read {path}") from error
        if found != expected:
            raise StoreError(
                f"the backup is damaged: {path} is not what it was when it was made; take another one"
            )
    held = copies.count(backup / EVIDENCE)
    if (held.patterns, held.events) != (made.patterns, made.events):
        raise StoreError(f"the backup is damaged: {backup / EVIDENCE} holds another number of events")
    return made


def _load(backup: Path) -> _Manifest:
    path = backup / MANIFEST
    try:
        values = orjson.loads(path.read_bytes())
        stated = values.pop("sha256")
        if not isinstance(values["format"], int) or stated != _checksum(values):
            raise ValueError("its checksum is another")
        if values["format"] > FORMAT:
            raise SchemaVersionError(
                f"the backup {backup} has format {values['format']}, this whatworks knows {FORMAT}: "
                "pip install --upgrade whatworks"
            )
        files = {name: _File(**item) for name, item in values.pop("files").items()}
        made = _Manifest(**values, files=files)
        if strange := [name for name in files if not _FILES.fullmatch(name)]:
            raise ValueError(f"it names {strange[0]!r}")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(_no_backup(backup)) from error
    except OSError as error:
        raise disk_error(error, f"read {path}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"the backup is damaged: {path}: {error}; take another one") from error
    return made


def _no_backup(folder: Path) -> str:
    found = []
    with suppress(OSError):
        found = sorted(item.name for item in folder.iterdir() if _FINISHED.fullmatch(item.name))
    if found:
        return f"{folder} holds backups and is none: name one of them, such as {folder / found[-1]}"
    return f"there is no backup in {folder}: it has no {MANIFEST}"


# -- files ----------------------------------------------------------------------------------------


def _described(path: Path, made: _Manifest) -> Backup:
    size = sum(file.bytes for file in made.files.values())
    made_at = datetime.fromisoformat(made.made_at)
    return Backup(str(path), made.store_id, made_at, made.patterns, made.events, size)


def _write_manifest(draft: Path, made: _Manifest) -> None:
    values: dict[str, Any] = asdict(made)
    values["files"] = {name: file._asdict() for name, file in made.files.items()}
    body = orjson.dumps(values | {"sha256": _checksum(values)}, option=orjson.OPT_INDENT_2)
    config.replace_file(draft / MANIFEST, body + b"\n")


def _checksum(values: dict[str, Any]) -> str:
    return sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _copy(source: Path, target: Path, size: int) -> _File:
    """The first ``size`` bytes of a file, as a new file on the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    seen, left = sha256(), size
    with open(source, "rb", opener=_plain) as given, open(os.open(target, flags, 0o600), "wb") as taken:
        while left and (block := given.read(min(BLOCK, left))):
            taken.write(block)
            seen.update(block)
            left -= len(block)
        taken.flush()
        os.fsync(taken.fileno())
    if left:
        raise StoreError(f"{source} has lost {left:,} of {size:,} bytes: run whatworks doctor")
    return _File(size, seen.hexdigest())


def _read(path: Path) -> _File:
    """Size and checksum of a file as it is."""
    seen, size = sha256(), 0
    with open(path, "rb", opener=_plain) as file:
        while block := file.read(BLOCK):
            seen.update(block)
            size += len(block)
    return _File(size, seen.hexdigest())


def _plain(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
