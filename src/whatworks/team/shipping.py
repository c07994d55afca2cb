"""Shipping: what this machine's processes appended goes into the team's log, once.

How far a segment is shipped is asked of the database alone, in the transaction that adds to it. So
whatever is interrupted, also the answer to a commit, goes on where the log ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from whatworks import failpoints, system
from whatworks.errors import CopiedStoreError, StoreError, disk_error
from whatworks.replay import FORGOTTEN
from whatworks.segments import Segment, appends, head, last, segments
from whatworks.team.database import BYTES, Database
from whatworks.team.settings import Settings

__all__ = ["Shipped", "Shipping"]

# An entry holds whole appends, of so many bytes unless one append has more; a transaction so many.
ENTRY_BYTES, TRANSACTION_BYTES = 256 << 10, 4 << 20
MARK = f" {FORGOTTEN} {{".encode()


class Shipped(NamedTuple):
    """What one call shipped; ``blocked`` if something forgotten has to be fetched first."""

    bytes: int = 0
    entries: int = 0
    blocked: bool = False


class _BlockedError(Exception):
    """Something was forgotten meanwhile."""


class _Part(NamedTuple):
    segment: str
    start: int
    data: bytes


@dataclass(slots=True)
class Shipping:
    """Ships the segments of one machine; one a machine, since it remembers how far each is.

    Call ``begin`` for each new connection, and then ``ship`` as often as wanted.
    """

    journal: Path
    settings: Settings
    lengths: dict[str, int] = field(default_factory=dict)  # of own segments, in the database
    others: set[str] = field(default_factory=set)  # segments that are not this machine's

    def begin(self, database: Database) -> None:
        """Ask how far each segment is shipped, and see that it is these segments.

        Raises
        ------
        CopiedStoreError
            The database has more of a segment, or other records: another copy of this folder
            shipped, or this one is an older state.
        """
        found = database.rows("SELECT segment, machine, bytes FROM segments")
        machine = self.settings.machine
        self.lengths = {row["segment"]: row["bytes"] for row in found if row["machine"] == machine}
        self.others = {row["segment"] for row in found if row["machine"] != machine}
        there = {segment.name: segment for segment in segments(self.journal)}
        for name, shipped in self.lengths.items():
            segment = there.get(name)
            if shipped and (segment is None or not self._continues(database, segment, shipped)):
                raise self._copied(f"the segment {name} is not the one that was shipped")

    def _continues(self, database: Database, segment: Segment, shipped: int) -> bool:
        """Whether the log's last record of a segment stands here at the same place."""
        found = database.row(
            "SELECT data FROM log WHERE segment = $1 AND kind = 'bytes' ORDER BY start DESC LIMIT 1",
            segment.name,
        )
        here = last(replace(segment, size=shipped)) if segment.size >= shipped else None
        line = bytes(found["data"]).rstrip(b"\n").rpartition(b"\n")[2].split(b" ", 3)
        return here is not None and line[1:3] == [
            b"%d" % here.sequence,
            b"%d%s" % (here.stamp, b"+" if here.more else b""),
        ]

    def ship(self, database: Database) -> Shipped:
        """Ship what the segments have beyond what the database holds.

        Raises
        ------
        CopiedStoreError
            Somebody else ships under this machine's name.
        UnreachableError
            The database does not answer; ``begin`` again to know what it took.
        """
        done = Shipped()
        parts: list[_Part] = []
        for part in self._parts():
            parts.append(part)
            if sum(len(each.data) for each in parts) >= TRANSACTION_BYTES:
                done = self._add(database, parts, done)
                parts = []
                if done.blocked:
                    return done
        return self._add(database, parts, done) if parts else done

    def _parts(self) -> Iterator[_Part]:
        for segment in self.own():
            start = self.lengths.get(segment.name, 0)
            if segment.size <= start:
                continue
            try:
                system.sync(segment.path)  # else a power cut could leave less here than there
                yield from _cut(segment, start)
            except OSError as error:
                raise disk_error(error, f"read the journal in {segment.path}") from error

    def own(self) -> Iterator[Segment]:
        """The segments that this machine has to ship."""
        for segment in segments(self.journal):
            if segment.name in self.others or segment.size == 0:
                continue
            # From before there was a team they name no machine; ``others`` has what was fetched.
            if segment.name in self.lengths or head(segment).get("machine") in (
                self.settings.machine,
                None,
            ):
                yield segment

    def waiting(self) -> int:
        """How many bytes are not shipped yet."""
        return sum(segment.size - self.lengths.get(segment.name, 0) for segment in self.own())

    def _add(self, database: Database, parts: list[_Part], done: Shipped) -> Shipped:
        lengths = dict(self.lengths)
        try:
            with database.transaction():
                self._require_token(database)
                for part in parts:
                    self._extend(database, part)
                    lengths[part.segment] = part.start + len(part.data)
                self._enter(database, parts)  # last: from here on the other machines wait
                failpoints.reached("team.shipping")
        except _BlockedError:
            return done._replace(blocked=True)
        failpoints.reached("team.shipped")
        self.lengths = lengths
        return Shipped(done.bytes + sum(len(part.data) for part in parts), done.entries + len(parts))

    def _enter(self, database: Database, parts: list[_Part]) -> None:
        """Add the parts to the log, unless something was forgotten that has not been fetched."""
        team = database.reserve(len(parts))
        if team["forgotten"] > self.settings.fetched:
            raise _BlockedError
        for entry, part in enumerate(parts, team["entries"] - len(parts) + 1):
            database.add(entry, BYTES, self.settings.machine, part.segment, part.start, part.data)
            if MARK in part.data:
                database.do("UPDATE team SET forgotten = $1", entry)

    def _require_token(self, database: Database) -> None:
        # Locked: whoever takes over waits until this is committed, and nothing is committed after.
        query = "SELECT token FROM machines WHERE machine = $1 FOR SHARE"
        found = database.row(query, self.settings.machine)
        if found is None:
            raise StoreError(
                f"the team knows no machine {self.settings.name!r}: join it again in an empty folder"
            )
        if found["token"] != self.settings.token:
            raise self._copied("another process shipped under its name")

    def _extend(self, database: Database, part: _Part) -> None:
        """Have the segment end behind the part, if it ends where the part begins."""
        until = part.start + len(part.data)
        extended = database.do(
            "UPDATE segments SET bytes = $4 WHERE segment = $1 AND machine = $2 AND bytes = $3",
            part.segment,
            self.settings.machine,
            part.start,
            until,
        )
        if not extended and part.start == 0:
            extended = database.do(
                "INSERT INTO segments VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                part.segment,
                self.settings.machine,
                until,
            )
        if extended != 1:
            raise self._copied(f"the segment {part.segment} does not end at byte {part.start} there")

    def _copied(self, why: str) -> CopiedStoreError:
        return CopiedStoreError(
            f"{self.journal.parent} is a copy, or an older state, of a store that has shipped to the "
            f"team as {self.settings.name!r} ({why}): go on with that one, or whatworks team join in "
            "an empty folder"
        )


def _cut(segment: Segment, start: int) -> Iterator[_Part]:
    """Whole appends behind ``start``, in parts."""
    end, ends = start, list[int]()
    for append in appends(segment, start):
        if append[-1].end > segment.size:
            break
        if append[-1].end - (ends[-1] if ends else start) >= ENTRY_BYTES:
            ends.append(append[-1].end)
        end = append[-1].end
    if end > (ends[-1] if ends else start):
        ends.append(end)
    with open(segment.path, "rb") as file:
        file.seek(start)
        for until in ends:
            yield _Part(segment.name, start, file.read(until - start))
            start = until
