"""Rows by their keys, in an SQLite file beside the tables: what a question asks for one by one.

The engine of the tables reads 2,048 rows to find one, and more with every
event; here a row takes microseconds however many there are. The file is
derived from the tables and never needed: a question that it cannot answer for
certain is answered by the tables. So every answer is certain. A row carries a
checksum with its key, it is counted how many rows belong together, and what
is not found is not said to be missing. The file is written after the tables,
and names the state of the tables that it holds: another state, and it is
filled anew.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from whatworks import failpoints, system
from whatworks.checks import STATES
from whatworks.evidence import inverted, lives
from whatworks.evidence.by_key import chosen
from whatworks.evidence.changed import SELECTS, Changed
from whatworks.evidence.inverted import DamagedError, Postings

if TYPE_CHECKING:
    import duckdb

__all__ = ["Lookup"]

T = TypeVar("T")
Row = tuple[Any, ...]
Array = NDArray[Any]

# Raise when the tables below change: a file of another version is filled anew.
VERSION = 2
# Files: the database, its write-ahead log, and the index of that.
SUFFIXES = ("", "-wal", "-shm")
FILLED_AT_ONCE = 10_000
CACHE_KIB = 1_024
# So much of the file is read in place: half the time, and no memory of the process.
MAPPED = 4 << 30

FIRST, LAST = "first", "last"
_EVENTS = """
    SELECT state, count(*), epoch_us(min(timestamp)), epoch_us(max(timestamp))
    FROM event_rows GROUP BY state
"""
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE patterns (
    pattern_no INTEGER PRIMARY KEY, pattern_type, description, metadata, created_at, updated_at, crc
);
CREATE TABLE records (pattern_no INTEGER PRIMARY KEY, pattern_id TEXT, body BLOB);
CREATE TABLE contexts (context_no INTEGER PRIMARY KEY, context_id TEXT, text TEXT, crc);
CREATE TABLE cells (
    context_no INTEGER, pattern_no INTEGER, day INTEGER, body BLOB,
    PRIMARY KEY (context_no, pattern_no, day)
) WITHOUT ROWID;
CREATE TABLE days (
    pattern_no INTEGER, day INTEGER, body BLOB, PRIMARY KEY (pattern_no, day)
) WITHOUT ROWID;
-- how many rows there are of a context or pattern: else a lost one would not be missed
CREATE TABLE cells_of_contexts (number INTEGER PRIMARY KEY, count);
-- events in each state, and under FIRST and LAST the times of the first and the last
CREATE TABLE events (name TEXT PRIMARY KEY, value INTEGER, crc) WITHOUT ROWID;
CREATE TABLE days_of_patterns (number INTEGER PRIMARY KEY, count);
"""
_FINISH = """
CREATE INDEX records_by_id ON records (pattern_id);
CREATE INDEX contexts_by_id ON contexts (context_id);
INSERT INTO cells_of_contexts SELECT context_no, count(*) FROM cells GROUP BY context_no;
INSERT INTO days_of_patterns SELECT pattern_no, count(*) FROM days GROUP BY pattern_no;
CREATE TRIGGER cell_added AFTER INSERT ON cells BEGIN
    INSERT INTO cells_of_contexts VALUES (NEW.context_no, 1)
        ON CONFLICT (number) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER day_added AFTER INSERT ON days BEGIN
    INSERT INTO days_of_patterns VALUES (NEW.pattern_no, 1)
        ON CONFLICT (number) DO UPDATE SET count = count + 1;
END;
"""
# What is written of each kind of row, and how: a row that is there already is replaced.
_PUT = {
    "patterns": "INSERT OR REPLACE INTO patterns VALUES (?, ?, ?, ?, ?, ?, ?)",
    "records": "INSERT OR REPLACE INTO records VALUES (?, ?, ?)",
    "contexts": "INSERT OR REPLACE INTO contexts VALUES (?, ?, ?, ?)",
    # not replaced but updated, so that the trigger counts new ones only
    "cells": "INSERT INTO cells VALUES (?, ?, ?, ?) "
    "ON CONFLICT (context_no, pattern_no, day) DO UPDATE SET body = excluded.body",
    "days": "INSERT INTO days VALUES (?, ?, ?) "
    "ON CONFLICT (pattern_no, day) DO UPDATE SET body = excluded.body",
}
# number, used, resolved, sum, last use (never: NEVER), effective, their sum, priors, their sum
_RECORD = struct.Struct("<iqqdqddqd")
_CHECKED_RECORD = struct.Struct("<iqqdqddqdI")
NEVER = -(2**63)
# Rows that are read by hundreds; the check of a row is the last of its fields.
_CELL = np.dtype(
    [(name, "<i4") for name in ("context", "pattern", "day", "tries")]
    + [("total", "<f8"), ("last_at", "<i8"), ("check", "<u8")]
)
_DAY = np.dtype(
    [(name, "<i4") for name in ("pattern", "day", "used", "resolved")]
    + [("total", "<f8"), ("check", "<u8")]
)
_SEED = np.uint64(0xA0761D6478BD642F)  # what is all zero is no row
# Odd, so that no flipped bit is lost when words are multiplied by them (Knuth, TAOCP 3, 6.4).
_FACTORS = np.array(
    [0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], np.uint64
)
_CRC = struct.Struct("<I")
_PATTERNS = """
    SELECT r.pattern_no, r.pattern_id, r.body, p.* FROM records r
    LEFT JOIN patterns p USING (pattern_no)
    WHERE r.pattern_id IN
"""
# Rows that are told many at once while nobody asks, at least and as a share of all: from there on
# it is filled anew once the writing ends. Telling takes long where another thread goes on writing.
MANY, UNASKED, UNASKED_SHARE, ROW_BYTES = 3_000, 20_000, 0.02, 100


class _UnknownError(Exception):
    """An id that is not here."""


class Lookup:
    """Rows by their keys, as of the last fold.

    ``whole`` says whether it can be asked. Questions may come from any
    thread, and each returns ``None`` where the tables have to be asked;
    writing is for the holder of the owner's lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._asking = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._words = inverted.Kept()  # under ``_asking``
        self._waiting: list[Changed] | None = None  # what came while it is filled
        self._state: tuple[int, ...] = ()  # of the tables, as it was told last
        self._unasked = 0  # rows that it was told since it was asked
        self.whole = False
        self.trouble: str | None = None  # why it is not whole, if anything is wrong

    @property
    def wanted(self) -> bool:
        """Whether it is to be told what changes."""
        return self.whole or self._waiting is not None

    # -- writing ----------------------------------------------------------------------------------

    def open(self, state: Sequence[int]) -> None:
        """Open the file, if it holds this state of the tables."""
        self.close()
        if not self._path.exists():
            return
        try:
            self._writer = self._connected()
            found = self._writer.execute("SELECT value FROM meta WHERE name = 'state'").fetchone()
            self.whole = found is not None and found[0] == _named(state)
            if self.whole:
                self._state = tuple(state)
                self._reader = self._connected()
                self._reader.execute("PRAGMA query_only = ON")
        except Exception:  # noqa: BLE001 - a damaged or unfinished file may say anything
            self.whole = False
        if not self.whole:
            self.close()

    def _connected(self) -> sqlite3.Connection:
        con = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        con.execute("PRAGMA journal_mode = WAL")
        con.execute(f"PRAGMA mmap_size = {MAPPED}")
        con.execute("PRAGMA synchronous = NORMAL")  # a power cut takes the last of it, not the file
        con.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        return con

    def apply(self, changed: Changed, state: Sequence[int]) -> None:
        """Take in what a fold changed; ``state`` is that of the tables after it."""
        if changed.spoilt:
            self.remove()
        elif self._waiting is not None:
            self._waiting.append(changed)
        elif self.whole:
            self._unasked += changed.size if changed.size > MANY else 0
            if self._outrun():
                self.close()
            else:
                self._apply([changed], state)
        self._state = tuple(state)

    def _outrun(self) -> bool:
        """Whether so much was told while nobody asked that it is filled anew in less time."""
        if self._unasked <= UNASKED:
            return False
        with suppress(OSError):  # a file that is gone is filled anew
            return self._unasked > UNASKED_SHARE * (self._path.stat().st_size // ROW_BYTES)
        return True

    def check(self, state: Sequence[int]) -> None:
        """The tables are in this state: give up what was not told of the last change of them."""
        if self.wanted and self._state != tuple(state):
            self.close()

    def _apply(self, changes: Sequence[Changed], state: Sequence[int]) -> None:
        assert self._writer is not None
        try:
            self._writer.execute("BEGIN")
            for changed in changes:
                self._put(self._writer, changed)
            self._writer.execute("INSERT OR REPLACE INTO meta VALUES ('state', ?)", [_named(state)])
            self._writer.execute("COMMIT")
            failpoints.reached("lookup.applied")
            words = {row[0] for changed in changes for row in changed.rows.get("postings", ())}
            with self._asking:
                self._words.drop(words)
        except Exception as error:  # noqa: BLE001 - the fold is done, and this can be made anew
            self.give_up(error)

    @staticmethod
    def _put(con: sqlite3.Connection, changed: Changed) -> None:
        if changed.states or changed.times:
            _put_events(con, changed.states, changed.times)
        begun = lives.begin(con, (row[0] for row in changed.rows.get("patterns", ())))
        if cells := changed.rows.get("cells"):
            lives.put(con, cells, changed.corrected, changed.before)
        for name, rows in changed.rows.items():
            if name == "postings":
                inverted.put(con, rows, begun)
            else:
                con.executemany(_PUT[name], _PACKED[name](rows))

    def begin(self, state: Sequence[int]) -> None:
        """From here on changes are kept until ``finish``; ``state`` is that of the tables now."""
        self.close()
        self._waiting, self._state = [], tuple(state)

    def fill(self, con: duckdb.DuckDBPyConnection, stopped: Callable[[], bool]) -> bool:
        """Fill a new file from a snapshot made at ``begin``; false if that ended early."""
        try:
            self._remove()
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            filling = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            try:
                done = self._fill(con, filling, stopped)
            finally:
                filling.close()
            if done:
                system.sync(self._path)
                failpoints.reached("lookup.filled")
            return done
        except (sqlite3.Error, OSError) as error:
            self.give_up(error)
            return False

    @staticmethod
    def _fill(
        con: duckdb.DuckDBPyConnection, filling: sqlite3.Connection, stopped: Callable[[], bool]
    ) -> bool:
        filling.execute("PRAGMA journal_mode = OFF")
        filling.execute("PRAGMA synchronous = OFF")
        filling.executescript(_SCHEMA + inverted.SCHEMA + lives.SCHEMA)
        for name, order in _FILLED.items():
            result = con.execute(f"{SELECTS[name]} ORDER BY {order}")
            while rows := result.fetchmany(FILLED_AT_ONCE):
                if stopped():
                    return False
                filling.execute("BEGIN")
                filling.executemany(_PUT[name], _PACKED[name](rows))
                filling.execute("COMMIT")
        filling.executescript(_FINISH)
        found = con.execute(_EVENTS).fetchall()
        times = [time for row in found for time in row[2:]]
        _put_events(filling, {row[0]: row[1] for row in found}, times)
        return inverted.fill(con, filling, stopped) and lives.fill(con, filling, stopped)

    def finish(self, state: Sequence[int], *, filled: bool) -> None:
        """Take in what changed since ``begin``; ``state`` is that of the tables now."""
        waiting, self._waiting = self._waiting, None
        if not filled or waiting is None:
            return
        try:
            self._writer = self._connected()
            self._apply(waiting, state)
        except sqlite3.Error as error:
            self.give_up(error)
            return
        if self._writer is not None:
            self.open(state)
            self.trouble = None

    def give_up(self, error: Exception) -> None:
        """Leave the questions to the tables; the file is filled anew."""
        self.close()
        self.trouble = str(error)

    def close(self) -> None:
        """Close the file; the tables answer from now on."""
        self.whole = False
        self._waiting = None
        with self._asking:
            for con in (self._reader, self._writer):
                if con is not None:
                    with suppress(sqlite3.Error):
                        con.close()
            self._reader = self._writer = None
            self._words.clear()

    def remove(self) -> None:
        """Close the file and remove it; it is filled anew."""
        self.close()
        with suppress(OSError):  # one that cannot be removed says of which state it is
            self._remove()

    def _remove(self) -> None:
        for suffix in reversed(SUFFIXES):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    # -- questions --------------------------------------------------------------------------------

    def _ask(
        self, question: Callable[[sqlite3.Connection], T], *, for_upkeep: bool = False
    ) -> T | None:
        """The answer, or ``None`` if the tables are to be asked."""
        if not self.whole:
            return None
        if not for_upkeep:
            self._unasked = 0
        with self._asking:
            if self._reader is None:
                return None
            try:
                return question(self._reader)
            except _UnknownError:
                return None
            except Exception as error:  # noqa: BLE001 - a damaged file may hold anything
                found = error
        self.give_up(found)
        return None

    def expect(self, *, patterns: Collection[str] = (), contexts: Collection[str] = ()) -> None:
        """The tables have these: where they are not here, rows were lost, and it is filled anew."""
        for known, ask in ((patterns, self.records), (contexts, self.contexts)):
            if known and self.whole and ask(ids=known) is None and self.whole:
                self.give_up(DamagedError("rows are missing"))

    def records(self, *, numbers: Collection[int] = (), ids: Collection[str] = ()) -> list[Row] | None:
        """The rows ``SELECTS["records"]`` of all these patterns, by number."""

        def question(con: sqlite3.Connection) -> list[Row]:
            by_number = _records(con, "pattern_no", set(numbers))
            found = {row[0]: row for row in by_number + _records(con, "pattern_id", set(ids))}
            return [found[number] for number in sorted(found)]

        return self._ask(question)

    def numbers(self, ids: Collection[str]) -> list[int] | None:
        """The numbers of all these patterns; asked after folds, when nobody else may be asking."""

        def question(con: sqlite3.Connection) -> list[int]:
            return [row[0] for row in _records(con, "pattern_id", set(ids))]

        return self._ask(question, for_upkeep=True)

    def patterns(self, ids: Collection[str]) -> list[tuple[Row, Row]] | None:
        """For all these patterns, the rows ``SELECTS["records"]`` and ``SELECTS["patterns"]``."""

        def question(con: sqlite3.Connection) -> list[tuple[Row, Row]]:
            rows = chosen(con, _PATTERNS, wanted := set(ids))
            texts = [row[3:] for row in rows]
            if texts != _text_rows([text[:-1] for text in texts]):
                raise DamagedError("a pattern is damaged")
            records = [_record(*row[:3]) for row in rows]
            if len(records) < len(wanted):
                raise _UnknownError
            return [(record, text[:-1]) for record, text in zip(records, texts, strict=True)]

        return self._ask(question)

    def contexts(self, *, numbers: Collection[int] = (), ids: Collection[str] = ()) -> list[Row] | None:
        """The rows ``SELECTS["contexts"]`` of all these contexts."""

        def question(con: sqlite3.Connection) -> list[Row]:
            return [
                *_contexts(con, "context_no", set(numbers)),
                *_contexts(con, "context_id", set(ids)),
            ]

        return self._ask(question)

    def cells_of_contexts(self, numbers: Collection[int]) -> Array | None:
        """The rows ``SELECTS["cells"]`` of all these contexts, in an array of cells."""
        return self._ask(partial(_together, table="cells", by="context", numbers=set(numbers)))

    def lives(self, numbers: Collection[int]) -> dict[int, Array] | None:
        """Of each pattern with any, the cells that ``lives`` keeps, the last first."""
        return self._ask(lambda con: lives.lives(con, numbers))

    def days(self, number: int) -> list[Row] | None:
        """The rows ``SELECTS["days"]`` of a pattern, the oldest first."""
        found = self._ask(partial(_together, table="days", by="pattern", numbers={number}))
        return None if found is None else sorted([row[:-1] for row in found.tolist()])

    def events(self) -> dict[str, int] | None:
        """How many events are in each state, and the times ``FIRST`` and ``LAST`` if there are any."""
        return self._ask(_events)

    def word_counts(self, words: Sequence[int]) -> tuple[int, dict[int, int]] | None:
        """How many patterns there are, and how many have each of these words."""
        return self._ask(lambda con: inverted.counts(con, words, self._words))

    def postings(self, counted: Mapping[int, int]) -> Postings | None:
        """Which patterns have these words; ``counted`` as by ``word_counts`` before."""
        return self._ask(lambda con: inverted.postings(con, counted, self._words))


def _records(con: sqlite3.Connection, by: str, keys: Collection[Any]) -> list[Row]:
    rows = chosen(con, f"SELECT * FROM records WHERE {by} IN", keys)
    if len(rows) < len(keys):
        raise _UnknownError
    return [_record(*row) for row in rows]


def _record(number: int, name: str, body: bytes) -> Row:
    if len(body) != _CHECKED_RECORD.size:
        raise DamagedError("a record is damaged")
    held, used, resolved, total, last, tries, gained, priors, prior, check = _CHECKED_RECORD.unpack(
        body
    )
    if held != number or check != crc32(body[:-4], crc32(name.encode())):
        raise DamagedError("a record is damaged")
    last = None if last == NEVER else last
    return (number, name, used, resolved, total, last, tries, gained, priors, prior)


def _contexts(con: sqlite3.Connection, by: str, keys: Collection[Any]) -> list[Row]:
    rows = chosen(con, f"SELECT * FROM contexts WHERE {by} IN", keys)
    found = [row[:-1] for row in rows]
    if rows != _text_rows(found):
        raise DamagedError("a context is damaged")
    if len(found) < len(keys):
        raise _UnknownError
    return found


def _together(con: sqlite3.Connection, *, table: str, by: str, numbers: set[int]) -> Array:
    """All rows of a table that belong to some contexts or patterns."""
    kind = _CELL if table == "cells" else _DAY
    bodies = [row[0] for row in chosen(con, f"SELECT body FROM {table} WHERE {by}_no IN", numbers)]
    rows = np.frombuffer(b"".join(bodies), kind) if bodies else np.empty(0, kind)
    if (rows["check"] != _checks(rows)).any() or not numbers.issuperset(rows[by].tolist()):
        raise DamagedError(f"{table} are damaged")
    counts = chosen(con, f"SELECT sum(count) FROM {table}_of_{by}s WHERE number IN", numbers)
    if len(rows) != sum(count or 0 for (count,) in counts):
        raise DamagedError(f"{table} are missing")
    return rows


def _events(con: sqlite3.Connection) -> dict[str, int]:
    rows = con.execute("SELECT * FROM events").fetchall()
    found = {row[0]: row[1] for row in rows}
    if rows != _text_rows([row[:-1] for row in rows]) or not found.keys() >= set(STATES):
        raise DamagedError("the numbers of events are damaged")
    if any(found[state] for state in STATES) and not {FIRST, LAST} <= found.keys():
        raise DamagedError("the times of events are missing")
    return found


def _put_events(con: sqlite3.Connection, more: Mapping[str, int], times: Sequence[int]) -> None:
    known = dict(con.execute("SELECT name, value FROM events").fetchall())
    now = {state: known.get(state, 0) + more.get(state, 0) for state in STATES}
    if times:
        now[FIRST] = min(times) if FIRST not in known else min(known[FIRST], *times)
        now[LAST] = max(times) if LAST not in known else max(known[LAST], *times)
    con.executemany("INSERT OR REPLACE INTO events VALUES (?, ?, ?)", _text_rows(now.items()))


# -- rows as they are kept -------------------------------------------------------------------------


def _named(state: Sequence[int]) -> str:
    return " ".join(map(str, (VERSION, *state)))


def _body(form: struct.Struct, values: Sequence[Any], more: bytes = b"") -> bytes:
    packed = form.pack(*values)
    return packed + _CRC.pack(crc32(packed, crc32(more)))


def _text_rows(rows: Iterable[Row]) -> list[Row]:
    return [(*row, crc32("\0".join(map(str, row)).encode())) for row in rows]


def _record_row(row: Row) -> Row:
    number, name, used, resolved, total, last, *rest = row
    values = (number, used, resolved, total, NEVER if last is None else last, *rest)
    return number, name, _body(_RECORD, values, name.encode())


def _array_rows(kind: np.dtype[Any], rows: Sequence[Row]) -> Array:
    array = np.zeros(len(rows), kind)
    for name, values in zip(kind.names or (), zip(*rows, strict=True), strict=False):
        array[name] = values
    array["check"] = _checks(array)
    return array


def _checks(array: Array) -> Array:
    """A check of each row: its words, but for the last, times the factors."""
    words = array.view(np.uint64).reshape(len(array), array.itemsize // 8)[:, :-1]
    check: Array = words @ _FACTORS[: words.shape[1]] + _SEED
    return check


def _cell_rows(rows: Sequence[Row]) -> Iterator[Row]:
    known = [(*row[:5], NEVER if row[5] is None else row[5]) for row in rows]
    bodies = _array_rows(_CELL, known).tobytes()
    return ((*row[:3], body) for row, body in zip(rows, _cut(bodies, _CELL.itemsize), strict=True))


def _day_rows(rows: Sequence[Row]) -> Iterator[Row]:
    bodies = _array_rows(_DAY, rows).tobytes()
    return ((*row[:2], body) for row, body in zip(rows, _cut(bodies, _DAY.itemsize), strict=True))


def _cut(joined: bytes, size: int) -> Iterator[bytes]:
    return (joined[start : start + size] for start in range(0, len(joined), size))


_PACKED: dict[str, Callable[[Sequence[Row]], Iterable[Row]]] = {
    "patterns": _text_rows,
    "records": partial(map, _record_row),
    "contexts": _text_rows,
    "cells": _cell_rows,
    "days": _day_rows,
}
# In the order of their keys, so that the file is written from its beginning to its end.
_FILLED = {
    "patterns": "pattern_no",
    "records": "pattern_no",
    "contexts": "context_no",
    "cells": "ALL",
    "days": "ALL",
}
