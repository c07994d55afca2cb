"""The exchange of one machine with its team: fetch, heed what is forgotten, ship, erase."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from whatworks import system
from whatworks.errors import CopiedStoreError, StoreBusyError, StoreError, disk_error
from whatworks.ids import uuid7
from whatworks.team import roles, snapshots
from whatworks.team import settings as stored
from whatworks.team.applying import Applying
from whatworks.team.database import Database
from whatworks.team.erasing import empty_forgotten, ship_erased
from whatworks.team.fetching import fetch
from whatworks.team.records import TeamSync
from whatworks.team.settings import Settings
from whatworks.team.shared import Put
from whatworks.team.shipping import Shipped, Shipping

__all__ = ["RESCUE", "Exchange", "exchanging"]

FILE = "team.lock"
# How often the database hears of a machine that has nothing to say.
SEEN_SECONDS = 10.0
# How what a machine has that is no more of the team comes to the team all the same.
RESCUE = (
    "whatworks export FILE there, whatworks team join in an empty folder, and whatworks import jsonl "
    "FILE brings it in, without counting anything twice"
)
# How often something that others forget in between may send a machine back to fetching.
TRIES = 5


@contextmanager
def exchanging(folder: Path) -> Iterator[None]:
    """Be the one process that exchanges for a store.

    Raises
    ------
    StoreBusyError
        Another one does.
    """
    try:
        file = system.hold(os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise disk_error(error, f"lock {folder / FILE}") from error
    try:
        if not system.try_lock(file):
            raise StoreBusyError(
                f"another process exchanges with the team for {folder}: whatworks team status"
            )
        yield
    finally:
        system.let_go(file)


class Exchange:
    """Exchanges for the store in ``folder``, within ``exchanging``; for one thread at a time.

    Parameters
    ----------
    settle
        Has the keeper fold what came and erase what it forgets; it returns when that is done.
    put
        Has the keeper put vectors where the team shares them; see ``Applying``.
    """

    def __init__(
        self,
        folder: Path,
        settle: Callable[[], object],
        put: Callable[[str, str], Put] | None = None,
    ) -> None:
        self._folder = folder
        self._settle = settle
        self._settings = stored.load(folder)
        self._database: Database | None = None
        self._reads_only = False
        self._shipping = Shipping(folder / "journal", self._settings)
        self._reported: tuple[int, float] = -1, 0.0
        self._emptied: tuple[int, int] | None = None
        self._applying = Applying(folder, put)

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._database is not None

    def once(self) -> TeamSync:
        """Exchange once: afterwards this machine has all, and all of it is shipped.

        Where the database's user may only read, what was recorded here stays here.

        Raises
        ------
        UnreachableError
            The database does not answer; what is recorded meanwhile is shipped another time.
        CopiedStoreError
            Another copy of this folder ships.
        StoreError
            The database or the disk refuses.
        """
        try:
            return self._once()
        except BaseException:
            self._applying.close(None)
            self.close()  # what the database took of the last transaction is asked by the next one
            raise

    def _once(self) -> TeamSync:
        start = monotonic()
        database = self._database or self._connect()
        shipped, fetched = Shipped(blocked=True), 0
        self._applying.hear(database)
        for _ in range(TRIES):
            fetched += self._fetch(database)
            if self._reads_only:
                break
            more = self._shipping.ship(database)
            self._note(self._shipping.lengths)
            shipped = Shipped(shipped.bytes + more.bytes, shipped.entries + more.entries, more.blocked)
            if not shipped.blocked:
                break
        erased = 0 if self._reads_only else ship_erased(database, self._folder, self._settings)
        told = self._report(database)
        if not self._reads_only:
            self._empty(database)
            if told:
                snapshots.renew(database, self._folder, self._settings)
        self._applying.step(database, self._settings, reads_only=self._reads_only)
        problem = self._applying.trouble
        return TeamSync(shipped.bytes, fetched, erased, monotonic() - start, problem)

    def _connect(self) -> Database:
        database = Database(self._settings.url)
        try:
            database.team()
            self._claim(database)
            role = roles.of_connection(database)
            self._reads_only = role == "reader"
            if role == "owner":
                roles.mend(database)
            self._shipping.begin(database)
        except BaseException:
            database.close()
            raise
        self._database = database
        return database

    def _set(self, settings: Settings) -> None:
        self._settings = self._shipping.settings = settings

    def _claim(self, database: Database) -> None:
        """Change the token that this machine and the database share: a copy has the old one."""
        before = self._settings
        settings = before.changed(next_token=before.next_token or uuid7())
        stored.save(self._folder, settings)
        claimed = database.do(
            "UPDATE machines SET token = $3, seen_at = now() "
            "WHERE machine = $1 AND token IN ($2, $3) AND NOT retired",
            settings.machine,
            settings.token,
            settings.next_token,
        )
        if not claimed:
            query = "SELECT token, retired, owner FROM machines WHERE machine = $1"
            row = database.row(query, settings.machine)
            if row is None or row["retired"]:
                raise StoreError(
                    f"the team {'knows no' if row is None else 'has retired the'} machine "
                    f"{settings.name!r}: what it has not shipped is in {self._folder} alone; {RESCUE}"
                )
            if row["token"] in (settings.token, settings.next_token):
                raise StoreError(
                    f"the machine {settings.name!r} came to the team as the database's user "
                    f"{row['owner']!r}: name that one in {stored.TEAM}, or join in an empty folder"
                )
            raise CopiedStoreError(
                f"{self._folder} is a copy, or an older state, of a store that has exchanged with the "
                f"team as {settings.name!r}: go on with that one, or whatworks team join in an empty "
                "folder"
            )
        self._set(settings.changed(token=settings.next_token, next_token=None))
        stored.save(self._folder, self._settings)

    def _fetch(self, database: Database) -> int:
        done = fetch(database, self._folder, self._settings)
        self._set(done.settings)
        self._shipping.others |= done.segments
        if done.settings.unsettled:
            self._settle()
            self._set(done.settings.changed(unsettled=False))
            stored.save(self._folder, self._settings)
        return done.bytes

    def _note(self, shipped: Mapping[str, int]) -> None:
        """Keep how far each segment is shipped, for when the database does not say it."""
        if shipped != self._settings.shipped:
            self._set(self._settings.changed(shipped=dict(shipped)))
            with suppress(StoreError):  # a full disk is no reason to ship nothing
                stored.save(self._folder, self._settings)

    def _report(self, database: Database) -> bool:
        """Let the team know how far this machine is, unless that was said just now."""
        fetched, at = self._reported
        if fetched == self._settings.fetched and monotonic() - at < SEEN_SECONDS:
            return False
        database.do(
            "UPDATE machines SET settled = $2, seen_at = now() WHERE machine = $1 AND token = $3",
            self._settings.machine,
            self._settings.fetched,
            self._settings.token,
        )
        self._reported = self._settings.fetched, monotonic()
        return True

    def _empty(self, database: Database) -> None:
        row = database.row(
            "SELECT forgotten, (SELECT min(settled) FROM machines WHERE NOT retired) AS all FROM team"
        )
        state = row["forgotten"], min(row["forgotten"], row["all"])
        if row["forgotten"] and state != self._emptied:
            empty_forgotten(database, self._folder, self._settings)
            self._emptied = state

    @property
    def has_more(self) -> bool:
        """Whether the next exchange has more vectors to put where the team shares them."""
        return self._applying.more

    def waiting(self) -> int:
        """How many bytes of this machine are not shipped, as of the last exchange."""
        return self._shipping.waiting()

    def close(self) -> None:
        """Let go of the connection; ``once`` makes another."""
        database, self._database = self._database, None
        self._applying.close(database)
        if database is not None:
            database.close()
