"""The lives of patterns in the file of the lookup: of each the last cells, and some of those before.

What counts aside is left out: unvouched sources change no pattern (``quarantine``).
One row a pattern, so that a life of ten thousand cells takes no longer to read
than one of a hundred. Those before are thinned by a hash of context and day:
half as many are kept each time that their number doubles.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from whatworks.evidence.by_key import chosen
from whatworks.evidence.changed import NO_CONTEXT
from whatworks.evidence.inverted import DamagedError
from whatworks.evidence.schema import ASIDE
from whatworks.learning import MODULUS, SHUFFLE

if TYPE_CHECKING:
    import duckdb

__all__ = ["SCHEMA", "begin", "fill", "kept", "lives", "put", "spared"]

SCHEMA = """
-- count: how many cells the pattern has
CREATE TABLE lives (pattern_no INTEGER PRIMARY KEY, count, body BLOB, crc);
"""
# Cells of a pattern that are looked at one by one, and of those before at most as many.
KEPT = 128
FILLED_AT_ONCE = 50_000
# In SQL: where a cell lies among all in [0, MODULUS), as ``spared`` has it.
_PLACE = (
    f"((coalesce(context_no, {NO_CONTEXT}) + 2)::BIGINT * {SHUFFLE[0]}"
    f" + (day - DATE '1970-01-01') * {SHUFFLE[1]}) % {MODULUS}"
)
_CELL = np.dtype(
    [("context", "<i4"), ("day", "<i4"), ("tries", "<i4"), ("total", "<f8"), ("last_at", "<i8")]
)

Row = tuple[Any, ...]
Array = NDArray[Any]


def kept() -> str:
    """In SQL: which cells are kept, by columns context_no, day, place (1 is the last) and n."""
    return f"(place <= {KEPT} OR {_PLACE} < {MODULUS} // 2 ** ceil(log2(greatest(1, n / {KEPT}))))"


def _kept(cells: Array, count: int) -> Array:
    """The same of cells in any order; what is kept is ordered, the last first."""
    context = np.where(cells["context"] == NO_CONTEXT, np.iinfo(np.int32).max, cells["context"])
    cells = cells[np.lexsort((cells["day"], context, -cells["last_at"]))]
    return cells[(np.arange(len(cells)) < KEPT) | spared(cells["context"], cells["day"], count)]


def spared(context: Array, day: Array, count: int) -> NDArray[np.bool_]:
    """Which cells are kept however old they are, of a pattern that has ``count``."""
    place = (context.astype(np.int64) + 2) * SHUFFLE[0] + day * SHUFFLE[1]
    share = MODULUS // 2 ** np.ceil(np.log2(max(1.0, count / KEPT)))
    return np.asarray(place % MODULUS < share)


def lives(con: sqlite3.Connection, numbers: Collection[int]) -> dict[int, Array]:
    """The cells of each of these patterns that are kept, the last first; none of those without any."""
    rows = chosen(con, "SELECT * FROM lives WHERE pattern_no IN", numbers)
    if len(rows) < len(numbers):
        raise DamagedError("a life is missing")
    return {row[0]: cells for row in rows if len(cells := _cells(*row))}


def begin(con: sqlite3.Connection, numbers: Iterable[int]) -> int:
    """Give new patterns a life without cells, others keep theirs; return how many are new."""
    rows = ((number, *_packed(number, 0, np.empty(0, _CELL))) for number in numbers)
    return con.executemany("INSERT OR IGNORE INTO lives VALUES (?, ?, ?, ?)", rows).rowcount


def put(
    con: sqlite3.Connection,
    rows: Sequence[Row],
    anew: Collection[int],
    before: Mapping[Row, int],
) -> None:
    """Take in changed cells, as ``changed.SELECTS`` has them.

    ``anew`` names the patterns of which ``rows`` have all cells; of the others
    ``before`` says how many tries a cell (context, pattern, day) had.
    """
    by_pattern: defaultdict[int, dict[tuple[int, int], Row]] = defaultdict(dict)
    for context, pattern, day, tries, total, at in rows:  # the last that is said of one stands
        if context != ASIDE:
            by_pattern[pattern][context, day] = context, day, tries, total, at
    for number, changed in by_pattern.items():
        count, cells = (0, np.empty(0, _CELL)) if number in anew else _read(con, number)
        held = {tuple(cell[:2]): cell for cell in cells.tolist()}
        for key, cell in changed.items():
            if cell[2] <= 0:
                held.pop(key, None)
                continue
            if key not in held:
                count += number in anew or before[key[0], number, key[1]] <= 0
            held[key] = cell
        after = _kept(np.array(list(held.values()), _CELL), count)
        row = (number, *_packed(number, count, after))
        con.execute("INSERT OR REPLACE INTO lives VALUES (?, ?, ?, ?)", row)


def fill(
    tables: duckdb.DuckDBPyConnection, con: sqlite3.Connection, stopped: Callable[[], bool]
) -> bool:
    """Take the lives of all patterns from the tables; false if that was ``stopped``."""
    result = tables.execute(f"""
        SELECT pattern_no, n, coalesce(context_no, {NO_CONTEXT}), day - DATE '1970-01-01', tries,
               outcome_sum, epoch_us(last_at)
        FROM (SELECT *, count(*) OVER (PARTITION BY pattern_no) AS n,
                     row_number() OVER (PARTITION BY pattern_no
                                        ORDER BY last_at DESC, context_no, day) AS place
              FROM cells WHERE tries > 0 AND context_no IS DISTINCT FROM {ASIDE})
        WHERE {kept()} ORDER BY pattern_no, place
    """)
    left: list[Row] = []
    while rows := result.fetchmany(FILLED_AT_ONCE):
        if stopped():
            return False
        rows, last = left + rows, rows[-1][0]
        left = [row for row in rows if row[0] == last]
        _insert(con, [row for row in rows if row[0] != last])
    _insert(con, left)
    numbers = tables.execute("SELECT pattern_no FROM pattern_rows").fetchall()
    con.execute("BEGIN")
    begin(con, (number for (number,) in numbers))
    con.execute("COMMIT")
    return True


def _insert(con: sqlite3.Connection, rows: Sequence[Row]) -> None:
    con.execute("BEGIN")
    for number, cells in groupby(rows, itemgetter(0)):
        mine = list(cells)
        body = np.array([cell[2:] for cell in mine], _CELL)
        row = (number, *_packed(number, mine[0][1], body))
        con.execute("INSERT INTO lives VALUES (?, ?, ?, ?)", row)
    con.execute("COMMIT")


def _read(con: sqlite3.Connection, number: int) -> tuple[int, Array]:
    row = con.execute("SELECT * FROM lives WHERE pattern_no = ?", [number]).fetchone()
    if row is None:
        raise DamagedError("a life is missing")
    return row[1], _cells(*row)


def _cells(number: int, count: int, body: bytes, crc: int) -> Array:
    if crc != _crc(number, count, body):
        raise DamagedError("a life is damaged")
    return np.frombuffer(body, _CELL) if body else np.empty(0, _CELL)


def _packed(number: int, count: int, cells: Array) -> Row:
    body = cells.tobytes()
    return count, body, _crc(number, count, body)


def _crc(number: int, count: int, body: bytes) -> int:
    return crc32(body, crc32(f"{number} {count}".encode()))
