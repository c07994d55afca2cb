"""Who is in a team: a first store makes it, others join; and how far each is."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

from whatworks import config
from whatworks.errors import (
    InvalidInputError,
    ModelMismatchError,
    NotFoundError,
    StoreError,
)
from whatworks.ids import uuid7
from whatworks.lock import KeeperLock
from whatworks.segments import head, segments
from whatworks.team import roles, shared
from whatworks.team import settings as stored
from whatworks.team.database import Database
from whatworks.team.records import TeamMachine, TeamStatus
from whatworks.team.settings import Settings
from whatworks.team.shipping import Shipping

__all__ = ["grant", "init", "join", "require_free", "retire", "status"]

LONGEST_NAME = 100
_ADD = """
    INSERT INTO machines (machine, name, token) VALUES ($1, $2, $3)
    ON CONFLICT (machine) DO NOTHING
"""
_MACHINES = """
    SELECT m.name, m.machine, m.joined_at, m.seen_at,
        coalesce((SELECT sum(bytes) FROM segments s WHERE s.machine = m.machine), 0)::bigint
            AS shipped,
        coalesce(sum(length(l.data)), 0)::bigint AS behind,
        coalesce(extract(epoch FROM now() - min(l.at)), 0)::float8 AS behind_seconds
    FROM machines m
    LEFT JOIN log l ON l.entry > m.settled AND l.machine <> m.machine
    WHERE NOT m.retired GROUP BY m.machine ORDER BY m.joined_at, m.name
"""
TAKEN = (
    "the database holds a team already: whatworks team join, or give another one, or another namespace "
    "of it, ?namespace=NAME"
)


def init(folder: Path, url: str, *, name: str | None = None) -> Settings:
    """Make a team in an empty database, of the store in ``folder``, which is its first machine.

    Everything the store holds is the team's from the first exchange on. Interrupted, it is done by
    calling it again.

    Raises
    ------
    InvalidInputError
        The address holds a password, or is none.
    StoreBusyError
        Another process keeps the store.
    StoreError
        There is a team in that namespace of the database, or the store is in one; or the database's
        user may make no schema.
    NotFoundError
        There is no store.
    """
    stored.require_url(url)
    made = config.load(folder)
    config.require_private(folder)
    lock = KeeperLock(folder)
    try:
        database = Database(url)
        try:
            settings = _begun(folder, url, name, made)
            settings = settings.changed(
                shipped={each.name: 0 for each in segments(folder / "journal")} | {**settings.shipped}
            )
            with database.transaction():
                if not database.has_team():
                    database.create(made.store_id, made.embedder, made.dim)
                    _add(database, folder, settings)
                    # Whoever began them: the store may come from a backup of another team's.
                    database.many(
                        "INSERT INTO segments VALUES ($1, $2, 0)",
                        [(each.name, settings.machine) for each in segments(folder / "journal")],
                    )
                elif not _known(database, settings):
                    raise StoreError(TAKEN)
        finally:
            database.close()
        config.save(folder, made.in_team(settings.machine))
    finally:
        lock.release()
    return settings


def require_free(url: str) -> None:
    """Raise if no team can be made at an address, so that no store is made for one that cannot be.

    Raises
    ------
    InvalidInputError
        It holds a password, or is none.
    StoreError
        There is a team, or the database's user may make none.
    """
    stored.require_url(url)
    database = Database(url)
    try:
        if database.has_team():
            raise StoreError(TAKEN)
        database.require_room()
    finally:
        database.close()


def join(
    folder: Path,
    url: str,
    *,
    name: str | None = None,
    model: str | None = None,
    vectors: str | None = None,
) -> Settings:
    """Make a store in ``folder``, new or empty, that is a machine of the team in a database.

    Parameters
    ----------
    model
        The ``model_id`` of the embedder that will be used here; the built-in one if ``None``. Each
        machine embeds for itself. ``"none"`` takes that of the team.
    vectors
        Engine for the vectors of this machine; the default one if ``None``.

    Raises
    ------
    ModelMismatchError
        The team uses another one.
    StoreError
        There is a store already.
    NotFoundError
        There is no team.
    """
    from whatworks.embedders.minilm import MiniLM
    from whatworks.link import ENGINE

    stored.require_url(url)
    made = None
    with suppress(NotFoundError):
        made = config.load(folder)
    if made is not None:
        raise StoreError(
            f"there is a store in {folder}: join in a new folder, and bring in what it knows with "
            "whatworks export and whatworks import"
        )
    config.require_free(folder)
    database = Database(url)
    try:
        team = database.team()
        wanted = model or MiniLM.model_id
        if wanted != "none" and team["embedder"] not in ("none", wanted):
            raise ModelMismatchError(
                f"the team has embeddings of {team['embedder']!r}, this machine would make those of "
                f"{wanted!r}: join with the former as --model, and open the store with it"
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = _begun(folder, url, name, None)
        with database.transaction():
            _add(database, folder, settings)
    finally:
        database.close()
    config.create(
        folder,
        embedder=team["embedder"],
        dim=team["dim"],
        vectors=vectors or ENGINE,
        store_id=team["store_id"],
        machine=settings.machine,
    )
    return settings


def _begun(folder: Path, url: str, name: str | None, made: config.Config | None) -> Settings:
    """Who this machine is to be; the same again where it was interrupted before it was in the team."""
    given = name if name is not None else socket.gethostname()
    if not given or len(given) > LONGEST_NAME or not given.isprintable():
        raise InvalidInputError(
            f"the machine's name is {given!r}; expected 1 to {LONGEST_NAME} printable characters"
        )
    with suppress(NotFoundError):
        found = stored.load(folder)
        if made is not None and made.machine is not None:
            raise StoreError(f"the store in {folder} is in a team already, that of {found.url}")
        if (found.url, found.name) == (url, given):
            return found
    return Settings(url, uuid7(), given, uuid7())


def _known(database: Database, settings: Settings) -> bool:
    database.team()
    query = "SELECT 1 FROM machines WHERE machine = $1"
    return database.row(query, settings.machine) is not None


def _add(database: Database, folder: Path, settings: Settings) -> None:
    """Add the machine; it is written down here first, so that an interruption can be gone on from."""
    query = "SELECT machine FROM machines WHERE name = $1"
    taken = database.row(query, settings.name)
    if taken is not None and taken["machine"] != settings.machine:
        raise InvalidInputError(
            f"the team has a machine {settings.name!r} already: give this one another --name"
        )
    stored.save(folder, settings)
    database.do(_ADD, settings.machine, settings.name, settings.token)


def status(folder: Path) -> TeamStatus:
    """Where the store in ``folder`` stands, as its team's database says; reads only.

    Raises
    ------
    NotFoundError
        It is in no team.
    """
    settings = stored.load(folder)
    try:
        database = Database(settings.url)
    except StoreError as error:
        waiting = _unshipped(folder, settings)
        return TeamStatus(
            settings.url,
            settings.name,
            settings.machine,
            waiting,
            None,
            None,
            (),
            str(error),
            vectors=shared.heard(folder),
        )
    try:
        entries = database.team()["entries"]
        total = database.row("SELECT coalesce(sum(bytes), 0)::bigint AS total FROM segments")
        shipping = Shipping(folder / "journal", settings)
        problem = None
        role = roles.of_connection(database)
        try:
            shipping.begin(database)
        except StoreError as error:
            problem = str(error)
        row = shared.named(database)
        machines = tuple(TeamMachine(**dict(row)) for row in database.rows(_MACHINES))
        return TeamStatus(
            settings.url,
            settings.name,
            settings.machine,
            None if problem else shipping.waiting(),
            entries,
            total["total"],
            machines,
            problem,
            role,
            shared.described(row) if row else None,
        )
    finally:
        database.close()


def _unshipped(folder: Path, settings: Settings) -> int:
    """How many bytes were not shipped when the database was last heard of."""
    journal, known = folder / "journal", settings.shipped
    # Those that name no machine are from before there was a team: of the others, if not known.
    others = {
        segment.name
        for segment in segments(journal)
        if segment.name not in known and segment.size and head(segment).get("machine") is None
    }
    return Shipping(journal, settings, dict(known), others).waiting()


def retire(folder: Path, name: str) -> None:
    """Have the team of the store in ``folder`` wait for a machine no more; its tries stay.

    What was forgotten need not reach it any more. Should it come back, it is refused.

    Raises
    ------
    NotFoundError
        The team has no such machine, or the store is in no team.
    InvalidInputError
        It is this machine itself.
    StoreError
        The database's user may not do it: who began the team may, and whoever it came as.
    """
    settings = stored.load(folder)
    if name == settings.name:
        raise InvalidInputError(f"{name!r} is this machine: retire it from another one")
    database = Database(settings.url)
    try:
        database.team()
        query = "SELECT 1 FROM machines WHERE name = $1"
        if database.row(query, name) is None:
            raise NotFoundError(f"the team has no machine {name!r}: whatworks team status lists them")
        retire = "UPDATE machines SET retired = true, token = $2 WHERE name = $1"
        if not database.do(retire, name, uuid7()):
            raise StoreError(f"the database's user may not retire {name!r}: whoever began the team may")
    finally:
        database.close()


def grant(folder: Path, user: str, role: str) -> tuple[str, ...]:
    """Give a user of the team's database a role; see ``roles.grant``."""
    database = Database(stored.load(folder).url)
    try:
        return roles.grant(database, user, role)
    finally:
        database.close()
