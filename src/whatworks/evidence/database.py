"""The DuckDB file: opened by one process, filled by the fold, asked from any thread."""

from __future__ import annotations

import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatworks import journal
from whatworks.errors import StoreError, StoreFullError
from whatworks.evidence import fold
from whatworks.evidence.schema import SCHEMA, VERSION

if TYPE_CHECKING:
    import duckdb
    from numpy.typing import NDArray

__all__ = ["Evidence"]

# 20,000 events are about 6 MB of JSON: large enough to amortise a commit,
# small enough to stay far below the memory limit.
BATCH_RECORDS = 20_000
BATCH_BYTES = 16 << 20
# More helps no question that a store asks; the engine spills beyond it.
MEMORY_LIMIT = "256MB"
# How the engine says that a disk, a quota or a limit of the process is reached.
_FULL = ("No space left", "Disk quota exceeded", "File too large")
# Reasons not to open that leave the file as good as it is.
_NOT_DAMAGE = ("Could not set lock", "Permission denied", "Too many open files", *_FULL)


class Evidence:
    """What the journal says, in tables.

    Parameters
    ----------
    path
        The database file. A missing, unreadable or outdated one is moved
        aside and begun anew; ``fold`` then fills it from the journal.

    One connection writes, under the owner's lock; each thread reads through a
    cursor of its own, at the last committed state.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        # Weak: the cursor of a thread goes with the thread.
        self._cursors: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()
        self._cursors_lock = threading.Lock()
        self._marks: dict[str, tuple[int, int]] = {}
        self.moved_aside: Path | None = None
        self.damaged = 0
        self.build = 0
        self.lost = False
        self._con = self._open()

    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._path.exists():
            found = self._open_existing()
            if found is not None:
                return found
        return self._begin()

    def _begin(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        build = secrets.randbits(62)
        try:
            con = self._connect()
            con.execute(f"BEGIN; {SCHEMA}")
            con.execute(f"INSERT INTO meta VALUES ('version', {VERSION}), ('build', {build}); COMMIT")
            # A crash must never replay definitions of tables (duckdb issue 22044).
            con.execute("CHECKPOINT")
        except duckdb.Error as error:
            raise self._refused(error) from error
        os.chmod(self._path, 0o600)
        self._read_state(con)
        return con

    def _open_existing(self) -> duckdb.DuckDBPyConnection | None:
        """The database, or ``None``: a damaged one is moved aside, an unfinished or old one gone."""
        import duckdb

        con = None
        try:
            con = self._connect()
            if self._read_state(con):
                return con
        except duckdb.Error as error:
            message = _first_line(error)
            if any(reason in str(error) for reason in _NOT_DAMAGE):
                raise StoreError(f"the evidence {self._path} does not open: {message}") from error
            if con is not None:
                con.close()
            self._move_aside()
            return None
        con.close()
        for path in (self._path, self._path.with_name(f"{self._path.name}.wal")):
            path.unlink(missing_ok=True)
        return None

    def _connect(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        settings: dict[str, Any] = {
            "threads": min(4, os.cpu_count() or 1),
            "memory_limit": MEMORY_LIMIT,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": True,
        }
        con = duckdb.connect(str(self._path), config=settings)
        con.execute("SET TimeZone = 'UTC'")
        return con

    def _read_state(self, con: duckdb.DuckDBPyConnection) -> bool:
        """Read version, build and watermarks; false if the tables are of another version."""
        import duckdb

        try:
            meta = dict(con.execute("SELECT name, value FROM meta").fetchall())
            marks = con.execute(
                "SELECT segment, position, sequence, damaged FROM watermarks"
            ).fetchall()
        except duckdb.CatalogException:
            return False
        self._marks = {segment: (position, sequence) for segment, position, sequence, _ in marks}
        self.damaged = sum(row[3] for row in marks)
        self.build = int(meta.get("build", 0))
        return meta.get("version") == VERSION

    def _move_aside(self) -> None:
        """Keep the file that cannot be used under another name; it may still be looked at."""
        stamp = f"{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**9:09}"
        for suffix in ("", ".wal"):
            source = self._path.with_name(self._path.name + suffix)
            if source.exists():
                target = source.with_name(f"{self._path.stem}.aside-{stamp}.duckdb{suffix}")
                source.rename(target)
                self.moved_aside = self.moved_aside or target

    # -- writing: the caller holds the owner's lock --------------------------------------------

    def mark(self, segment: str) -> tuple[int, int]:
        """How far a segment is folded: offset and sequence of the next record."""
        return self._marks.get(segment, (0, 0))

    def fold(self, segments: Sequence[journal.Segment], written: tuple[str, int] | None) -> set[str]:
        """Apply all that the journal holds and the tables do not; return the patterns touched.

        ``written`` names the segment that this process writes and the end of
        what is acknowledged in it; what follows may still be taken back.
        ``segments`` were listed before: a segment begun since is not settled.
        """
        if self.lost:
            self._reopen()
        touched: set[str] = set()
        for found in segments:
            own = written is not None and found.name == written[0]
            segment = replace(found, size=written[1]) if written and own else found
            if segment.size > self.mark(segment.name)[0]:
                for batch in self._batches(segment):
                    touched |= self._apply(segment.name, *batch)
        return touched

    def _batches(
        self, segment: journal.Segment
    ) -> Iterator[tuple[int, int, int, int, dict[str, list[bytes]]]]:
        start, sequence = self.mark(segment.name)
        position, size, damaged = start, 0, 0
        batch: dict[str, list[bytes]] = {}
        for record in journal.read(segment, start):
            if record.end > segment.size:
                break
            position, size = record.end, size + 1
            if record.kind == "damaged":
                damaged += 1
            else:
                sequence = record.sequence + 1
                batch.setdefault(record.kind, []).append(record.body)
            if size >= BATCH_RECORDS or position - start >= BATCH_BYTES:
                yield start, position, sequence, damaged, batch
                start, size, damaged, batch = position, 0, 0, {}
        if position > start:
            yield start, position, sequence, damaged, batch

    def _apply(
        self,
        segment: str,
        start: int,
        end: int,
        sequence: int,
        damaged: int,
        batch: dict[str, list[bytes]],
    ) -> set[str]:
        """One batch and its watermark in one transaction: each record counts exactly once."""

        def step(con: duckdb.DuckDBPyConnection) -> set[str]:
            touched = fold.apply(con, batch)
            if start == 0:
                con.execute("INSERT INTO watermarks VALUES (?, 0, 0, 0)", [segment])
            con.execute(
                "UPDATE watermarks SET position = ?, sequence = ?, damaged = damaged + ? "
                "WHERE segment = ?",
                [end, sequence, damaged, segment],
            )
            return touched

        touched: set[str] = self.write(step)
        self._marks[segment] = (end, sequence)
        self.damaged += damaged
        return touched

    def write(self, step: Callable[[duckdb.DuckDBPyConnection], Any]) -> Any:
        """Run ``step`` in a transaction; on any error nothing of it is kept."""
        import duckdb

        try:
            self._con.execute("BEGIN")
            result = step(self._con)
            self._con.execute("COMMIT")
        except (duckdb.FatalException, duckdb.InternalException) as error:
            # The engine has shut this database: only a new connection knows what was committed.
            self.close()
            self.lost = True  # the next fold opens it again
            raise StoreError(
                f"the evidence is reopened after {_first_line(error)}; ask again"
            ) from error
        except duckdb.Error as error:
            self._roll_back()
            raise self._refused(error) from error
        except BaseException:
            self._roll_back()
            raise
        return result

    def _refused(self, error: Exception) -> StoreError:
        if any(reason in str(error) for reason in _FULL):
            return StoreFullError(
                f"no room left for {self._path}; what was acknowledged is in the journal: "
                "free some space and ask again"
            )
        return StoreError(f"the evidence cannot be written: {_first_line(error)}")

    def _roll_back(self) -> None:
        import duckdb

        # A commit that failed has rolled back already, and says so; so has a closed connection.
        with suppress(duckdb.TransactionException, duckdb.ConnectionException):
            self._con.execute("ROLLBACK")

    def _reopen(self) -> None:
        self.close()
        self.lost = True  # until it is open again; the disk may be full
        self._con = self._open()
        self.lost = False

    # -- reading ------------------------------------------------------------------------------

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a question, at the last committed state."""
        import duckdb

        try:
            return self._cursor().execute(query, parameters).fetchall()
        except duckdb.Error as error:
            raise StoreError(f"the evidence cannot be read: {_first_line(error)}") from error

    def columns(self, query: str, parameters: Sequence[object] = ()) -> dict[str, NDArray[Any]]:
        """The columns of a long answer without nulls, by name."""
        import duckdb

        try:
            return self._cursor().execute(query, parameters).fetchnumpy()
        except duckdb.Error as error:
            raise StoreError(f"the evidence cannot be read: {_first_line(error)}") from error

    def stream(
        self, query: str, parameters: Sequence[object] = (), size: int = 2_000
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of a long answer, a few at a time, all from one state."""
        import duckdb

        try:
            with self._con.cursor() as cursor:
                result = cursor.execute(query, parameters)
                while rows := result.fetchmany(size):
                    yield from rows
        except duckdb.Error as error:
            raise StoreError(f"the evidence cannot be read: {_first_line(error)}") from error

    def one(self, query: str, parameters: Sequence[object] = ()) -> tuple[Any, ...]:
        """The single row of a question that always has one."""
        return self.rows(query, parameters)[0]

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = getattr(self._local, "cursor", None)
        if cursor is None or getattr(self._local, "owner", None) is not self._con:
            cursor = self._con.cursor()
            with self._cursors_lock:
                self._cursors.add(cursor)
            self._local.cursor, self._local.owner = cursor, self._con
        return cursor

    def close(self) -> None:
        """Close every connection; the last one writes a checkpoint."""
        with self._cursors_lock:
            for cursor in self._cursors:
                cursor.close()
            self._cursors.clear()
        self._con.close()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
