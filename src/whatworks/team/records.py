"""What is told of a team."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

__all__ = [
    "Role",
    "SharedVectors",
    "TeamMachine",
    "TeamNamespace",
    "TeamSnapshot",
    "TeamStatus",
    "TeamSync",
]

Role = Literal["owner", "writer", "reader", "none"]


@dataclass(frozen=True, slots=True)
class TeamSync:
    """What one exchange with the team's database moved.

    ``shipped`` and ``fetched`` are bytes of the journal, ``erased`` records that the database still
    had of what was forgotten here. ``problem`` says what keeps vectors from being shared.
    """

    shipped: int
    fetched: int
    erased: int
    seconds: float
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SharedVectors:
    """The vectors that a team shares, as its database named them at ``heard_at``.

    They lie in a ``place`` at ``url``, and are read in the ``version`` that ``machine`` was the last to
    name, ``moved_at``; ``None`` before the first one. There is one for every text up to ``entry`` of
    the log, which has ``behind`` entries more, the oldest of them for ``behind_seconds``.
    """

    url: str
    place: str | None
    version: int
    vectors: int
    machine: str | None
    epoch: int
    entry: int
    behind: int
    behind_seconds: float
    moved_at: datetime | None
    heard_at: datetime


@dataclass(frozen=True, slots=True)
class TeamMachine:
    """One machine of a team, as its database knows it.

    ``shipped`` is all it has put into the log, in bytes. ``behind`` is how many bytes of the others it
    does not have yet, ``behind_seconds`` how long the oldest of them has been there.
    """

    name: str
    machine: str
    shipped: int
    behind: int
    behind_seconds: float
    joined_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class TeamNamespace:
    """One namespace of a team's database, in which one may read.

    ``namespace`` is ``None`` for the team that is there without one. ``owner`` is the database's user
    that began it. ``machines`` is how many there are; ``None`` where the owner is neither this user
    nor a superuser, for then the tables are not read. ``bytes`` is what the
    log takes in the database.
    """

    namespace: str | None
    owner: str
    machines: int | None
    bytes: int


@dataclass(frozen=True, slots=True)
class TeamSnapshot:
    """A snapshot that was just made.

    It has the log up to ``entry``: ``bytes`` of the journal, which take ``stored`` bytes in ``url``.
    ``removed`` older ones are gone. ``cut`` is how many entries the log has lost; ``None`` if that
    was not asked for.
    """

    url: str
    entry: int
    bytes: int
    stored: int
    removed: int
    cut: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class TeamStatus:
    """Where a store stands in its team.

    ``waiting`` bytes of this machine are not shipped. ``entries`` and ``bytes`` are those of the team's
    log, those of machines that were retired among them. Where the database does not answer, ``error``
    says why, ``waiting`` is what it had not taken when it last did, and of the rest nothing is known:
    ``None`` and no machines. A machine with the ``role`` of a ``reader`` ships nothing. ``vectors`` is
    ``None`` if none are shared.
    """

    url: str
    name: str
    machine: str
    waiting: int | None
    entries: int | None
    bytes: int | None
    machines: tuple[TeamMachine, ...]
    error: str | None = None
    role: Role | None = None
    vectors: SharedVectors | None = None
