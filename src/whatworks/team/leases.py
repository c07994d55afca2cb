"""Leases: of all machines one does a piece of work, for a while, by the database's clock.

Whoever takes a lease raises its epoch, which never goes back. What the work comes to is told in a
transaction that ``holds`` the lease at its epoch: a machine that slept through its time, and was
taken for dead, wakes up with an epoch that is past and can tell nothing any more, however late.
"""

from __future__ import annotations

from typing import NamedTuple

from whatworks.team.database import Database

__all__ = ["NEXT", "Lease", "acquire", "holds", "release", "renew"]

# Writers may have written any number there, and any time: one that goes too far is past.
NEXT = f"epoch % {1 << 62} + 1"
_ACQUIRE = f"""
    INSERT INTO leases AS held (name, machine, epoch, until)
    VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
    ON CONFLICT (name) DO UPDATE SET machine = excluded.machine, epoch = held.{NEXT},
        until = excluded.until
    WHERE held.machine = excluded.machine
        OR held.until NOT BETWEEN clock_timestamp() AND clock_timestamp() + interval '10 minutes'
    RETURNING epoch
"""
_RENEW = """
    UPDATE leases SET until = clock_timestamp() + make_interval(secs => $4)
    WHERE name = $1 AND machine = $2 AND epoch = $3
"""
# Shared with nobody who takes the lease: that waits until this transaction ends.
_HOLDS = """
    SELECT 1 FROM leases WHERE name = $1 AND machine = $2 AND epoch = $3 FOR SHARE
"""


class Lease(NamedTuple):
    """Who does what, and for the how manieth time somebody does it."""

    name: str
    machine: str
    epoch: int


def acquire(database: Database, name: str, machine: str, seconds: float) -> Lease | None:
    """Take a lease that nobody has, that is past, or that this machine had; else ``None``.

    A machine exchanges in one process at a time, so what it had before nobody uses any more.
    """
    row = database.row(_ACQUIRE, name, machine, seconds)
    return None if row is None else Lease(name, machine, row["epoch"])


def renew(database: Database, lease: Lease, seconds: float) -> bool:
    """Have it for so long from now on; false if somebody else has taken it."""
    return database.do(_RENEW, *lease, seconds) == 1


def holds(database: Database, lease: Lease) -> bool:
    """Whether nobody has taken it, until the transaction ends that the caller has begun."""
    return database.row(_HOLDS, *lease) is not None


def release(database: Database, lease: Lease) -> None:
    """Let others have it at once."""
    renew(database, lease, 0.0)
