"""Rows of CSV, TSV, JSON lines and Parquet files as texts, in the order of the file.

JSON lines and Parquet are read by DuckDB. CSV is not: where line ends are of
two kinds or a quote is missing, its reader leaves out rows without a word
(strict) or parts of them (not strict); Python's reader tells of each.

A file is read twice, a few thousand rows at a time: first to find rows that
are alike, then for the rows. What must be known of all rows at once is kept
by DuckDB, which puts on disk what does not fit.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import orjson

from whatworks.checks import shown
from whatworks.errors import InvalidInputError
from whatworks.ids import content_id
from whatworks.text import clean_text

if TYPE_CHECKING:
    import duckdb

__all__ = ["Broken", "Row", "Source", "opened", "parquet_rows"]

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
MARKED = 20_000
MEMORY_LIMIT = "256MB"
_NESTED = ("STRUCT", "MAP", "UNION")

Texts = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """The texts of the columns asked for, ``None`` for null.

    ``number`` counts from 1, ``occurrence`` from 1 among rows that are alike;
    ``alike`` if there is more than one of them.
    """

    number: int
    texts: Texts
    occurrence: int
    alike: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be read."""

    number: int
    reason: str


# What a format gives: the texts of a row, or why there are none.
Read = Callable[[], Iterator[Texts | str]]


@contextmanager
def opened(path: Path, columns: Sequence[str], *, key: str | None = None) -> Iterator[Source]:
    """The rows of a file, closed at the end.

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
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise InvalidInputError(f"{path} ends in none of {', '.join(FORMATS)}; rename it to what it is")
    if not os.path.isfile(path):
        raise InvalidInputError(f"{path} is no file; give a table to read")
    with _linked(path, form) as (con, link):
        read = {"csv": _csv, "json": _json, "parquet": _parquet}[form]
        found = read(con, path, link, columns)
        yield Source(con, found, None if key is None else list(columns).index(key))


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """All rows of a Parquet file: numbers and truth values as such, the rest as texts or JSON.

    Raises
    ------
    InvalidInputError
        It is no such file.
    """
    with _linked(path, "parquet") as (con, link):
        found = con.execute("DESCRIBE SELECT * FROM read_parquet(?)", [link]).fetchall()
        kinds = {row[0]: str(row[1]) for row in found}
        values = ", ".join(
            _quoted(name) if _is_number(kind) else _as_text(name, kind) for name, kind in kinds.items()
        )
        for row in _streamed(con, f"SELECT {values} FROM read_parquet(?)", [link]):
            yield dict(zip(kinds, row, strict=True))


@contextmanager
def _linked(path: Path, form: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """An engine, and the name by which it may read a file."""
    import duckdb

    try:
        with tempfile.TemporaryDirectory(prefix="whatworks-") as scratch:
            # The engine would take * and ? in a name as a pattern for many files.
            link = Path(scratch, f"table.{form}")
            link.symlink_to(path.absolute())
            with _connected(scratch) as con:
                yield con, str(link)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].replace(str(link), path.name)
        raise InvalidInputError(f"{path} cannot be read as {form}: {reason}") from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def _connected(scratch: str) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    settings: dict[str, Any] = {
        "threads": 1,  # several would not keep the order of the rows
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": scratch,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    con = duckdb.connect(":memory:", config=settings)
    try:
        con.execute("SET TimeZone = 'UTC'")
        yield con
    finally:
        con.close()


class Source:
    """The rows of one file; made by ``opened``."""

    def __init__(self, con: duckdb.DuckDBPyConnection, read: Read, key: int | None) -> None:
        self._con = con
        self._read = read
        self._key = key
        self._mark()

    def _mark(self) -> None:
        """Read the file once, and keep which rows are alike."""
        self._con.execute("CREATE TABLE keys (number BIGINT, key UBIGINT)")
        texts = enumerate(self._read(), 1)
        keys = ([n, self._key_of(item)] for n, item in texts if not isinstance(item, str))
        while batch := list(islice(keys, MARKED)):
            self._con.execute(
                """
                INSERT INTO keys SELECT pair[1], pair[2]
                FROM (SELECT unnest(from_json(?::JSON, '[["UBIGINT"]]')) AS pair)
                """,
                [orjson.dumps(batch).decode()],
            )
        self._con.execute(
            """
            CREATE TABLE marks AS
            SELECT number, row_number() OVER (PARTITION BY key ORDER BY number) AS occurrence
            FROM keys QUALIFY count(*) OVER (PARTITION BY key) > 1
            """
        )
        self._con.execute("DROP TABLE keys")

    def _key_of(self, texts: Texts) -> int:
        """A number that rows share if they are alike, and hardly ever else (2**-64)."""
        own = "" if self._key is None else (texts[self._key] or "").strip()
        parts = ("own", own) if own else tuple(text or "" for text in texts)
        return int(content_id(*parts), 16)

    def rows(self) -> Iterator[Row | Broken]:
        """All rows in the order of the file."""
        marks = _streamed(self._con, "SELECT number, occurrence FROM marks ORDER BY number", [])
        mark = next(marks, None)
        for number, item in enumerate(self._read(), 1):
            if isinstance(item, str):
                yield Broken(number, item)
            elif mark is not None and mark[0] == number:
                yield Row(number, item, mark[1], True)
                mark = next(marks, None)
            else:
                yield Row(number, item, 1, False)


# -- CSV ------------------------------------------------------------------------------------------


def _csv(con: duckdb.DuckDBPyConnection, path: Path, link: str, columns: Sequence[str]) -> Read:
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
    return open(path, encoding="utf-8-sig", errors="surrogateescape", newline="")


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


def _json(con: duckdb.DuckDBPyConnection, path: Path, link: str, columns: Sequence[str]) -> Read:
    table = "read_json_objects(?, format='newline_delimited', ignore_errors=true)"
    objects = f"(SELECT json FROM {table} WHERE json_type(json) = 'OBJECT'"
    query = f"SELECT DISTINCT unnest(json_keys(json)) FROM {objects} LIMIT {SAMPLED_LINES})"
    keys = {row[0] for row in con.execute(query, [link]).fetchall()}
    if missing := [column for column in columns if column not in keys]:
        # A key may be absent wherever it is null, and stand in the last line only.
        query = f"""
            SELECT DISTINCT key FROM (SELECT unnest(json_keys(json)) AS key FROM {objects}))
            WHERE key IN ({", ".join("?" * len(missing))})
        """
        keys |= {row[0] for row in con.execute(query, [link, *missing]).fetchall()}
    _require(path, sorted(keys), columns)
    texts = ", ".join(["json ->> ?"] * len(columns))
    query = f"SELECT json_type(json) IS NOT DISTINCT FROM 'OBJECT', {texts} FROM {table}"
    paths = [f"$.{orjson.dumps(column).decode()}" for column in columns]

    def read() -> Iterator[Texts | str]:
        for valid, *found in _streamed(con, query, [*paths, link]):
            yield tuple(found) if valid else "is no JSON object"

    return read


def _parquet(con: duckdb.DuckDBPyConnection, path: Path, link: str, columns: Sequence[str]) -> Read:
    found = con.execute("DESCRIBE SELECT * FROM read_parquet(?)", [link]).fetchall()
    kinds = {row[0]: str(row[1]) for row in found}
    _require(path, list(kinds), columns)
    texts = ", ".join(_as_text(column, kinds[column]) for column in columns)
    return lambda: _streamed(con, f"SELECT {texts} FROM read_parquet(?)", [link])


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
