"""The guards that null controls take out, in the process that calls them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from random import random
from typing import Any

from whatworks.errors import StoreError, UnreachableError
from whatworks.evidence import Evidence, damage
from whatworks.journal import Journal
from whatworks.stores import VectorStore
from whatworks.vectors import Vectors

__all__ = [
    "answers_lost",
    "apart",
    "early",
    "remembered",
    "swallow",
    "uncompared",
    "unsynced",
    "unwatched",
]


def early() -> None:
    """``append`` returns before its events are written."""
    real, waiting = Journal.append, list[tuple[Any, ...]]()

    def append(self: Journal, kind: str, *arguments: Any, **options: Any) -> None:
        if kind.startswith("event"):
            waiting.append((self, (kind, *arguments), options))
        else:  # who adds a pattern is shown it at once
            real(self, kind, *arguments, **options)

    def write_later() -> None:
        while True:
            threading.Event().wait(0.5)
            while waiting:
                journal, arguments, options = waiting.pop(0)
                real(journal, *arguments, **options)

    Journal.append = append
    threading.Thread(target=write_later, daemon=True).start()


def swallow() -> None:
    """An error of ``append`` is passed over."""
    real = Journal.append

    def append(self: Journal, *arguments: Any, **options: Any) -> None:
        with suppress(StoreError):
            real(self, *arguments, **options)

    Journal.append = append


LOST_ANSWERS = 0.2


def _nothing(fd: Any) -> None:
    """Leave it to the operating system."""


def unsynced() -> None:
    """Nothing is ever synced to the disk."""
    os.fdatasync = os.fsync = _nothing


def apart() -> None:
    """What a step writes to the evidence is no transaction."""

    def write(self: Evidence, step: Callable[..., Any]) -> Any:
        return step(self._con)

    Evidence.write = write


def unwatched() -> None:
    """Damage to the evidence is an error like others, and its sums are not compared."""
    damage.shows = lambda _: False
    damage.check = _nothing


def answers_lost() -> None:
    """No guard: the team's database takes what is shipped, and one answer in five does not arrive."""
    from whatworks.team import following
    from whatworks.team.shipping import Shipped, Shipping

    real = Shipping._add
    following.EVERY_SECONDS, following.LONGEST_SECONDS = 0.2, 0.5
    following.FIRST_SECONDS = 0.1

    def add(self: Shipping, *arguments: Any) -> Shipped:
        lengths = dict(self.lengths)
        done = real(self, *arguments)
        if random() < LOST_ANSWERS:
            self.lengths = lengths
            raise UnreachableError("the answer was lost")
        return done

    Shipping._add = add


def remembered() -> None:
    """As ``answers_lost``, and how far a segment is shipped is remembered and not asked for."""
    from whatworks.team.shipping import Shipping

    answers_lost()
    begin = Shipping.begin

    def begin_once(self: Shipping, database: Any) -> None:
        lengths = dict(self.lengths)
        begin(self, database)
        self.lengths |= lengths

    def extend(self: Shipping, database: Any, part: Any) -> None:
        database.do("DROP INDEX IF EXISTS whatworks.log_places")
        database.do(
            "INSERT INTO whatworks.segments VALUES ($1, $2, $3) ON CONFLICT (segment) "
            "DO UPDATE SET bytes = excluded.bytes",
            part.segment,
            self.settings.machine,
            part.start + len(part.data),
        )

    Shipping.begin, Shipping._extend = begin_once, extend


def uncompared() -> None:
    """The files of a vector store are opened as they are."""

    def found(self: Vectors) -> VectorStore:
        return self._open()

    Vectors._found = found
