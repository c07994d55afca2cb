"""Which rows of a table are alike, without holding them all: DuckDB puts on disk what does not fit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from whatworks.errors import InvalidInputError, StoreError
from whatworks.readers.table import Broken, Keys, Row

if TYPE_CHECKING:
    import duckdb

__all__ = ["Marked", "marked"]

MEMORY_LIMIT = "256MB"
FETCHED = 2_000


@dataclass(frozen=True, slots=True)
class Marked:
    """A row: ``occurrence`` counts from 1 among rows that are alike; ``alike`` if there are several."""

    number: int
    texts: tuple[str | None, ...]
    occurrence: int
    alike: bool


@contextmanager
def marked(items: Iterator[Keys | Row | Broken], width: int) -> Iterator[Iterator[Marked | Broken]]:
    """Rows of ``width`` texts with their marks; ``items`` has the keys of all rows before the first.

    Raises
    ------
    StoreError
        There is no room for temporary files.
    """
    import duckdb

    try:
        with tempfile.TemporaryDirectory(prefix="whatworks-") as scratch:
            settings: dict[str, Any] = {
                "threads": 1,
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": scratch,
            }
            con = duckdb.connect(":memory:", config=settings)
            try:
                yield _rows(con, items, width)
            finally:
                con.close()
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"rows cannot be compared in {tempfile.gettempdir()}: {error}") from error


def _rows(
    con: duckdb.DuckDBPyConnection, items: Iterator[Keys | Row | Broken], width: int
) -> Iterator[Marked | Broken]:
    first = _mark(con, items)
    marks = _streamed(con)
    mark = next(marks, None)
    for item in chain(first, items):
        if isinstance(item, Keys):
            continue
        if isinstance(item, Broken):
            yield item
        elif len(item.texts) != width:
            raise InvalidInputError(f"row {item.number} was not read: its reader sent other columns")
        elif mark is not None and mark[0] == item.number:
            yield Marked(item.number, item.texts, mark[1], True)
            mark = next(marks, None)
        else:
            yield Marked(item.number, item.texts, 1, False)


def _mark(con: duckdb.DuckDBPyConnection, items: Iterator[Keys | Row | Broken]) -> list[Row | Broken]:
    """Take the keys, and find out which rows are alike; what came behind them is given back."""
    con.execute("CREATE TABLE keys (number BIGINT, key UBIGINT)")
    first: list[Row | Broken] = []
    for item in items:
        if not isinstance(item, Keys):
            first.append(item)
            break
        con.execute(
            """
            INSERT INTO keys SELECT pair[1], pair[2]
            FROM (SELECT unnest(from_json(?::JSON, '[["UBIGINT"]]')) AS pair)
            """,
            [orjson.dumps(item.pairs).decode()],
        )
    con.execute(
        """
        CREATE TABLE marks AS
        SELECT number, row_number() OVER (PARTITION BY key ORDER BY number) AS occurrence
        FROM keys QUALIFY count(*) OVER (PARTITION BY key) > 1
        """
    )
    con.execute("DROP TABLE keys")
    return first


def _streamed(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    cursor = con.cursor()
    try:
        result = cursor.execute("SELECT number, occurrence FROM marks ORDER BY number")
        while rows := result.fetchmany(FETCHED):
            yield from rows
    finally:
        cursor.close()
