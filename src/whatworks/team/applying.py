"""Applying: one machine of a team puts the vectors of all texts where the others take them from.

Which one, a lease says. It is taken by whoever finds that nobody does it, and that vectors are missing
for a while. The others read what the database names; see ``shared``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from whatworks import failpoints
from whatworks.errors import StoreError, UnreachableError, WhatWorksError
from whatworks.team import depots, leases, shared, shelves
from whatworks.team.database import Database
from whatworks.team.leases import Lease
from whatworks.team.settings import Settings
from whatworks.team.shared import Put

__all__ = ["Applying"]

NAME = "vectors"
# A part takes seconds; a machine that is silent for longer is taken for dead.
LEASE_SECONDS = 60.0
# How often it is looked whether there is something to do, and how long one waits whose storage fails.
EVERY_SECONDS, FAILED_SECONDS = 5.0, 30.0
# How long vectors may be missing before another machine takes over from the one that was at it.
# Each machine writes in a place of its own, so taking over means to put everything there again.
PATIENCE_SECONDS = 60.0
# How often versions that nobody reads any more are removed, and what is named is written down here.
CLEAN_SECONDS, HEAR_SECONDS = 600.0, 10.0
# A place that failed so often, in a storage that is well, is given up.
FAILURES = 3


class Applying:
    """Does it for the store in ``folder``, when it is this machine's turn; for one thread at a time.

    Parameters
    ----------
    put
        Has the keeper put a part of its vectors into a place at an address; ``None`` where it cannot.
    """

    def __init__(self, folder: Path, put: Callable[[str, str], Put] | None) -> None:
        self._folder, self._put = folder, put
        self._lease: Lease | None = None
        self._place: str | None = None  # where this machine is at it
        self._next = self._cleaned = 0.0
        self._moved = monotonic()  # when it last came further, or had nothing to do
        self._row: Any = None
        self._failures, self._spoiled = 0, ""
        self._heard: tuple[object, float] = None, 0.0
        self.more = False  # whether a part was put there, and the next one is at hand
        self.trouble: str | None = None

    def hear(self, database: Database) -> None:
        """Hear what is named, if it is time to: before the texts come that it is of."""
        self._row = None
        if self.more or monotonic() >= self._next:
            self._next = monotonic() + EVERY_SECONDS
            with self._alone():
                self._row = self._named(database)

    def step(self, database: Database, settings: Settings, *, reads_only: bool) -> None:
        """Put a part of the vectors there, if this machine has to by what was heard.

        What the storage refuses stays in ``trouble``: the exchange goes on without it.

        Raises
        ------
        UnreachableError
            The database does not answer.
        """
        row, put, self.more = self._row, None if reads_only else self._put, False
        if row is None or put is None or shared.told(self._folder) != row["url"]:
            return
        with self._alone():
            if not self._is_due(row, settings):
                self.trouble = None
            elif self._takes(database, settings):
                again = shared.named(database)  # what whoever had the lease before has named until now
                if again is not None and again["url"] == row["url"]:
                    self.more = self._apply(database, settings, again, put)
                self._named(database)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Whatever others have written into the tables or there: the exchange goes on without it."""
        try:
            yield
        except UnreachableError:
            raise
        except Exception as error:  # noqa: BLE001
            self.trouble = f"the shared vectors: {error}"

    def _named(self, database: Database) -> Any:
        row = shared.named(database)
        said = row and [row[name] for name in ("url", "place", "version", "entry", "entries")]
        if said != self._heard[0] or monotonic() - self._heard[1] > HEAR_SECONDS:
            shared.hear(self._folder, row)
            self._heard = said, monotonic()
        if row is None:
            self.trouble = None
        return row

    def _is_due(self, row: Any, settings: Settings) -> bool:
        if settings.fetched <= row["entry"]:
            self._moved = monotonic()
            return False
        return row["machine"] in (None, settings.machine) or row["behind_seconds"] >= PATIENCE_SECONDS

    def _takes(self, database: Database, settings: Settings) -> bool:
        """Whether this machine has the lease."""
        if self._lease is None or not leases.renew(database, self._lease, LEASE_SECONDS):
            self._place = None
            self._lease = leases.acquire(database, NAME, settings.machine, LEASE_SECONDS)
        return self._lease is not None

    def _apply(
        self, database: Database, settings: Settings, row: Any, put_part: Callable[[str, str], Put]
    ) -> bool:
        """Put a part there, and name it; whether there is more."""
        url, forgets = row["url"], row["entry"] < row["forgotten"]
        own = row["place"] if row["machine"] == settings.machine else None
        if own == self._spoiled or not shared.owns(self._folder, own):
            own = None
        place = self._place or own or shared.new_place(self._folder)
        self._place = place
        try:
            # Before, so that nothing is among them that a later holder of the lease has begun.
            looks = forgets or place != row["place"]
            older = shelves.places(url, depots.name(self._folder)) if looks else []
            put = put_part(url, place)
        except WhatWorksError as error:
            self._fail(database, url, str(error))
            return False
        failpoints.reached("shared.put")
        self._failures, self.trouble = 0, None
        named = place if put.vectors else None
        older = [each for each in older if each != named]
        forgets = forgets or put.erased > 0
        if not put.done and row["place"] not in (None, place):
            if not put.more:
                self._give_up_late(database)
            return put.more  # one that is being filled is worse than one that is full
        entry = row["entry"] if not put.done or older or forgets else settings.fetched
        state = named, put.version, put.vectors, entry
        if state == (row["place"], row["version"], row["vectors"], row["entry"]) and not put.done:
            self._give_up_late(database)
            return put.more
        if not self._move(database, named, put, entry):
            return False
        failpoints.reached("shared.named")
        if put.done:
            self._tidy(database, url, named, older, forgets=forgets)
        if put.done and entry < settings.fetched and self._lease is not None:
            self._move(database, named, put, settings.fetched)
        return put.more

    def _give_up_late(self, database: Database) -> None:
        """Let others do it where this machine does not come further, such as without an embedder."""
        if monotonic() > self._moved + PATIENCE_SECONDS:
            self.close(database)
            self._next = monotonic() + 2 * PATIENCE_SECONDS

    def _tidy(
        self, database: Database, url: str, named: str | None, older: list[str], *, forgets: bool
    ) -> None:
        """Remove what is not read any more; at once where something was forgotten."""
        try:
            for each in older:
                shelves.remove(url, each)
            if named and (forgets or monotonic() > self._cleaned + CLEAN_SECONDS):
                shelves.clean(url, named, at_once=forgets)
                self._cleaned = monotonic()
        except WhatWorksError as error:
            self._fail(database, url, str(error))

    def _move(self, database: Database, named: str | None, put: Put, entry: int) -> bool:
        lease = self._lease
        if lease and shared.move(database, lease, named, put.version, put.vectors, entry):
            self._moved = monotonic()
            return True
        self._lease = self._place = None
        self.trouble = "another machine has taken over the vectors of the team"
        return False

    def _fail(self, database: Database, url: str, said: str) -> None:
        """The storage is away, or what lies there is of no use any more; others may try."""
        place = self._place
        self.close(database)
        self.trouble = f"the shared vectors: {said}"
        self._next = monotonic() + FAILED_SECONDS
        self._failures += 1
        if self._failures >= FAILURES:
            with suppress(WhatWorksError):
                shelves.prepare(url)
                self._failures, self._spoiled = 0, place or ""

    def close(self, database: Database | None) -> None:
        """Let others have the lease; without a database that answers, when its time is over."""
        lease, self._lease, self._place = self._lease, None, None
        if lease is not None and database is not None:
            with suppress(StoreError):
                leases.release(database, lease)
