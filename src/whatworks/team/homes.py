"""Stores that are named by their team's database, and lie in the user's data folder.

The first use of an address joins the team there, or begins it, and fetches what it knows.
"""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from whatworks import config, system
from whatworks.errors import NotFoundError, StoreBusyError, StoreError, disk_error
from whatworks.team import membership, settings, shared, shelves, syncing
from whatworks.team.database import Database
from whatworks.team.exchange import exchanging

if TYPE_CHECKING:
    from whatworks.embedders import Embedder

__all__ = ["enter"]

# How long a process waits for another one of this machine that enters, which fetches everything.
PATIENCE_SECONDS, RETRY_SECONDS = 120.0, 0.05


def enter(
    address: str,
    folder: Path,
    *,
    embedder: Embedder | None,
    vectors: str | None = None,
    create: bool = True,
) -> None:
    """Have the store in ``folder`` be a machine of the team at ``address``.

    The database is asked the first time only. ``?namespace=web`` in the address says which team of the
    database is meant, ``?vectors=s3://...`` where it shares its vectors.

    Parameters
    ----------
    embedder, vectors
        Of a store that is made; without an embedder it takes that of the team.

    Raises
    ------
    InvalidInputError
        The address holds a password, or is none, or says less of TLS than the one the machine has.
    NotFoundError
        This machine has not entered yet, and ``create`` is false.
    StoreBusyError
        Another process enters, or exchanges by an address with other settings.
    ModelMismatchError, UnreachableError, StoreError
        As ``membership.join``.
    """
    address, shelf = settings.split_vectors(address)
    settings.require_url(address)
    if shelf is not None:
        shelf = shelves.require_address(shelf)
    if not _entered(folder):
        if not create:
            raise NotFoundError(
                f"this machine is in no team at {address} yet, and what only reads joins none: "
                f"whatworks init --store {shlex.quote(address)}, or in Python create=True"
            )
        with _turn(folder):
            if not _entered(folder):
                _join_or_begin(address, folder, embedder, vectors, shelf)
    elif shelf not in (None, shared.told(folder)):
        shared.give(folder, shelf)
    if settings.other_tls(settings.load(folder).url, address):
        _readdress(folder, address)


def _entered(folder: Path) -> bool:
    with suppress(NotFoundError):
        return config.load(folder).machine is not None
    return False


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Be the one process of this machine that enters."""
    path = folder.with_name(f"{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = system.hold(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise disk_error(error, f"lock {path}") from error
    try:
        deadline = monotonic() + PATIENCE_SECONDS
        while not system.try_lock(file):
            if monotonic() > deadline:
                raise StoreBusyError(f"another process is joining the team in {folder}: try again")
            sleep(RETRY_SECONDS)
        yield
    finally:
        system.let_go(file)


def _join_or_begin(
    address: str,
    folder: Path,
    embedder: Embedder | None,
    vectors: str | None,
    shelf: str | None,
) -> None:
    database = Database(address)
    try:
        with database.turn():
            if database.has_team() and not _began(database, folder):
                _join(database, address, folder, embedder, vectors)
            else:
                if not database.has_team():
                    database.require_room()
                _begin(address, folder, embedder, vectors)
    finally:
        database.close()
    if shelf is not None:
        shared.give(folder, shelf)
    with suppress(StoreBusyError):  # whoever exchanges already fetches it, too
        syncing.sync(folder)


def _began(database: Database, folder: Path) -> bool:
    """Whether this machine was interrupted after it had made the team."""
    with suppress(NotFoundError):
        machine = settings.load(folder).machine
        row = database.row("SELECT machine FROM machines ORDER BY joined_at LIMIT 1")
        return (folder / config.FILE).exists() and row is not None and row["machine"] == machine
    return False


def _begin(address: str, folder: Path, embedder: Embedder | None, vectors: str | None) -> None:
    from whatworks.link import ENGINE

    if not (folder / config.FILE).exists():
        model = embedder.model_id if embedder else "none"
        dim = getattr(embedder, "dim", None)
        config.create(folder, embedder=model, dim=dim, vectors=vectors or ENGINE)
    membership.init(folder, address, name=_known_as(folder))


def _join(
    database: Database, address: str, folder: Path, embedder: Embedder | None, vectors: str | None
) -> None:
    if (folder / config.FILE).exists():
        _withdraw(folder)
    name = _known_as(folder) or _free(database)
    model = embedder.model_id if embedder else "none"
    membership.join(folder, address, name=name, model=model, vectors=vectors)


def _withdraw(folder: Path) -> None:
    """Take back what was made for a team that another machine has begun meanwhile."""
    if any((folder / "journal").glob("*.log")):
        raise StoreError(
            f"there is a store in {folder} that is in no team, and the database holds one: move it "
            "away, and bring in what it knows with whatworks export and whatworks import"
        )
    (folder / config.FILE).unlink()


def _known_as(folder: Path) -> str | None:
    """The name that an interrupted call has chosen."""
    with suppress(NotFoundError):
        return settings.load(folder).name
    return None


def _free(database: Database) -> str:
    """The host's name, with a number behind it where others of the team have it."""
    host = socket.gethostname()[: membership.LONGEST_NAME - 10] or "machine"
    taken = {row["name"] for row in database.rows("SELECT name FROM machines")}
    number = 2
    while host in taken and f"{host}-{number}" in taken:
        number += 1
    return f"{host}-{number}" if host in taken else host


def _readdress(folder: Path, address: str) -> None:
    """Go on by an address that says something else of TLS."""
    settings.require_no_weaker(folder, address)
    try:
        with exchanging(folder):
            settings.save(folder, settings.load(folder).changed(url=address))
    except StoreBusyError as error:
        raise StoreBusyError(
            f"another process exchanges for {folder} by {settings.load(folder).url}: end it, or give "
            "the same address"
        ) from error
