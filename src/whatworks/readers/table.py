"""Rows of CSV, TSV, JSON lines and Parquet files as texts, in the order of the file.

JSON lines and Parquet are read by DuckDB. CSV is not: where line ends are of
two kinds or a quote is missing, its reader leaves out rows without a word
(strict) or parts of them (not strict); Python's reader tells of each.

A file is read twice, a few thousand rows at a time: first for a key of each
row, by which the importer finds rows that are alike, then for the rows.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import orjson

from whatworks.checks import shown
from whatworks.errors import InvalidInputError
from whatworks.ids import content_id
from whatworks.readers.items import Item
from whatworks.readers.walk import opened
from whatworks.text import clean_text

if TYPE_CHECKING:
    import duckdb

__all__ = ["Broken", "Items", "Keys", "Row", "parquet_rows", "read"]

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
}
DELIMITERS = (",", ";", "\t", "|")
# Far more than a context, metadata and a list of files at their limits.
MAX_LINE = 4 << 20
SAMPLED_LINES = 1_000
FETCHED = 2_000
KEYED = 20_000
MEMORY_LIMIT = "256MB"
_NESTED = ("STRUCT", "MAP", "UNION")

Texts = tuple[str | None, ...]


class Keys(Item, frozen=True):
    """Numbers of rows, each with a number that rows share if they are alike, and hardly ever else."""

    pairs: list[tuple[int, int]]


class Row(Item, frozen=True):
    """The texts of the columns asked for, ``None`` for null; rows count from 1."""

    number: int
    texts: tuple[str | None, ...]


class Broken(Item, frozen=True):
    """A row that cannot be read."""

    number: int
    reason: str


Items = Keys | Row | Broken
# What a format gives: the texts of a row, or why there are none.
Rows = Callable[[], Iterator[Texts | str]]


def read(path: str, columns: Sequence[str], key: str | None) -> Iterator[Keys | Row | Broken]:
    """The keys of all rows of a file, then its rows in order.

    Parameters
    ----------
    columns
        What to read, in this order.
    key
        Of these, the column whose value, if a row has one, decides alone which
        rows are alike.

    Raises
    ------
    InvalidInputError
        No such file, no format with such an ending, a column that is not
        there, or a file that is not of its format.
    """
    file = Path(path)
    form = FORMATS.get(file.suffix.lower())
    if form is None:
        raise InvalidInputError(f"{path} ends in none of {', '.join(FORMATS)}; rename it to what it is")
    if not file.is_file():
        raise InvalidInputError(f"{path} is no file; give a table to read")
    with _named(file, form) as (con, name):
        rows = {"csv": _csv, "json": _json, "parquet": _parquet}[form](con, file, name, columns)
        place = None if key is None else list(columns).index(key)
        keys = ((n, _key(item, place)) for n, item in enumerate(rows(), 1) if not isinstance(item, str))
        while batch := list(islice(keys, KEYED)):
            yield Keys(batch)
        for number, item in enumerate(rows(), 1):
            yield Broken(number, item) if isinstance(item, str) else Row(number, item)


def _key(texts: Texts, place: int | None) -> int:
    """A number that rows share if they are alike, and hardly ever else (2**-64)."""
    own = "" if place is None else (texts[place] or "").strip()
    parts = ("own", own) if own else tuple(text or "" for text in texts)
    return int(content_id(*parts), 16)


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """All rows of a Parquet file: numbers and truth values as such, the rest as texts or JSON.

    Raises
    ------
    InvalidInputError
        It is no such file.
    """
    with _named(path, "parquet") as (con, name):
        found = con.execute("DESCRIBE SELECT * FROM read_parquet(?)", [name]).fetchall()
        kinds = {row[0]: str(row[1]) for row in found}
        values = ", ".join(
            _quoted(name) if _is_number(kind) else _as_text(name, kind) for name, kind in kinds.items()
        )
        for row in _streamed(con, f"SELECT {values} FROM read_parquet(?)", [name]):
            yield dict(zip(kinds, row, strict=True))


@contextmanager
def _named(path: Path, form: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """An engine, and the name by which it may read a file."""
    import duckdb

    with opened(path) as file:
        # The engine would take * and ? in a name as a pattern for many files.
        name = f"/dev/fd/{file.fileno()}"
        if sys.platform == "win32":
            name = re.sub(r"[*?\[]", r"[\g<0>]", str(path))
        try:
            with closing(_connected()) as con:
                yield con, name
        except duckdb.Error as error:
            reason = (str(error).splitlines() or [""])[0].replace(name, path.name)
            raise InvalidInputError(f"{path} cannot be read as {form}: {reason}") from error
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}") from error


def _connected() -> duckdb.DuckDBPyConnection:
    import duckdb

    settings: dict[str, Any] = {
        "threads": 1,  # several would not keep the order of the rows
        "memory_limit": MEMORY_LIMIT,
        "max_temp_directory_size": "0B",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    con = duckdb.connect(":memory:", config=settings)
    con.execute("SET TimeZone = 'UTC'")
    return con


# -- CSV ------------------------------------------------------------------------------------------


def _csv(con: duckdb.DuckDBPyConnection, path: Path, name: str, columns: Sequence[str]) -> Rows:
    found = {mark: _header(path, mark) for mark in DELIMITERS}
    fitting = [mark for mark in DELIMITERS if set(columns) <= set(found[mark])]
    mark = fitting[0] if fitting else max(DELIMITERS, key=lambda mark: len(found[mark]))
    header = found[mark]
    _require(path, header, columns)
    places = [header.index(column) for column in columns]
    return lambda: _csv_rows(path, mark, places, len(header))


def _header(path: Path, mark: str) -> list[str]:
    with _text(path) as file:
        try:
            return next(csv.reader(_Lines(file), delimiter=mark, strict=True), [])
        except csv.Error:
            return []


def _csv_rows(path: Path, mark: str, places: Sequence[int], width: int) -> Iterator[Texts | str]:
    with _text(path) as file:
        lines = _Lines(file)
        records = csv.reader(lines, delimiter=mark, strict=True)
        next(records)
        while True:
            begun = lines.number + 1
            try:
                record = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                yield f"lines {begun} to {lines.number} are no row: {error}"
                continue
            if record:  # else an empty line
                yield _csv_texts(record, places, width)


def _csv_texts(record: list[str], places: Sequence[int], width: int) -> Texts | str:
    if len(record) != width:
        return f"has {len(record)} columns; the header has {width}"
    texts = tuple(record[place] for place in places)
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    return texts


def _text(path: Path) -> TextIO:
    # Bytes that are no UTF-8 become lone surrogates, and so the fault of one row only.
    return io.TextIOWrapper(opened(path), encoding="utf-8-sig", errors="surrogateescape", newline="")


class _Lines:
    """The lines of a file; one that is too long is an error of its own, and passed over."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) < MAX_LINE:
            return line
        while line and not line.endswith(("\n", "\r")):
            line = self._file.readline(MAX_LINE)
        raise csv.Error(f"a line has {MAX_LINE:,} characters or more")


# -- JSON lines and Parquet -----------------------------------------------------------------------


def _json(con: duckdb.DuckDBPyConnection, path: Path, name: str, columns: Sequence[str]) -> Rows:
    table = "read_json_objects(?, format='newline_delimited', ignore_errors=true)"
    objects = f"(SELECT json FROM {table} WHERE json_type(json) = 'OBJECT'"
    query = f"SELECT DISTINCT unnest(json_keys(json)) FROM {objects} LIMIT {SAMPLED_LINES})"
    keys = {row[0] for row in con.execute(query, [name]).fetchall()}
    if missing := [column for column in columns if column not in keys]:
        # A key may be absent wherever it is null, and stand in the last line only.
        query = f"""
            SELECT DISTINCT key FROM (SELECT unnest(json_keys(json)) AS key FROM {objects}))
            WHERE key IN ({", ".join("?" * len(missing))})
        """
        keys |= {row[0] for row in con.execute(query, [name, *missing]).fetchall()}
    _require(path, sorted(keys), columns)
    texts = ", ".join(["json ->> ?"] * len(columns))
    query = f"SELECT json_type(json) IS NOT DISTINCT FROM 'OBJECT', {texts} FROM {table}"
    paths = [f"$.{orjson.dumps(column).decode()}" for column in columns]

    def rows() -> Iterator[Texts | str]:
        for valid, *found in _streamed(con, query, [*paths, name]):
            yield tuple(found) if valid else "is no JSON object"

    return rows


def _parquet(con: duckdb.DuckDBPyConnection, path: Path, name: str, columns: Sequence[str]) -> Rows:
    found = con.execute("DESCRIBE SELECT * FROM read_parquet(?)", [name]).fetchall()
    kinds = {row[0]: str(row[1]) for row in found}
    _require(path, list(kinds), columns)
    texts = ", ".join(_as_text(column, kinds[column]) for column in columns)
    return lambda: _streamed(con, f"SELECT {texts} FROM read_parquet(?)", [name])


def _as_text(name: str, kind: str) -> str:
    nested = kind.endswith("]") or kind.startswith(_NESTED)
    return f"to_json({_quoted(name)})::VARCHAR" if nested else f"{_quoted(name)}::VARCHAR"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is_number(kind: str) -> bool:
    return kind.startswith(("DOUBLE", "FLOAT", "DECIMAL", "BOOLEAN")) or kind.endswith("INT")


def _streamed(
    con: duckdb.DuckDBPyConnection, query: str, values: Sequence[object]
) -> Iterator[tuple[Any, ...]]:
    cursor = con.cursor()
    try:
        result = cursor.execute(query, values)
        while rows := result.fetchmany(FETCHED):
            yield from rows
    finally:
        cursor.close()


def _require(path: Path, found: Sequence[str], columns: Sequence[str]) -> None:
    for column in columns:
        if column not in found:
            there = clean_text(", ".join(found)) or "none"
            raise InvalidInputError(f"{path} has no column {shown(column)}; it has {there}")
        if found.count(column) > 1:
            raise InvalidInputError(f"{path} has several columns {shown(column)}; rename all but one")
