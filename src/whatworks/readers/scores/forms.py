"""Files of JSON, JSON lines or Parquet as runs and scores, each with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from whatworks.errors import InvalidInputError
from whatworks.json_lines import MAX_LINE, numbered
from whatworks.readers.items import Fault, Item, Link, printable
from whatworks.readers.scores import langfuse, langsmith, mlflow, otlp
from whatworks.readers.scores.fields import Row
from whatworks.readers.scores.found import Found, Run, Score, Unread
from whatworks.readers.table import parquet_rows
from whatworks.readers.walk import files_at, opened

__all__ = ["Begin", "Items", "RunAt", "ScoreAt", "read"]

SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")
MAX_FILES = 10_000
# One document is parsed as a whole, which takes about ten times its size in memory.
MAX_DOCUMENT = 256 << 20
# What pages of an API and downloads keep their rows in.
LISTS = ("data", "traces", "trace", "observations", "scores", "runs", "feedback")
MAX_LISTS_DEEP = 4
UNKNOWN = "is no run and no score of Langfuse, LangSmith, MLflow or OTLP"

Placed = tuple[str, Any]


class Begin(Item, frozen=True):
    """What comes from here on lies in this file."""

    path: str


class RunAt(Item, frozen=True):
    """A run, and where in its file it lies."""

    place: str
    run: Run


class ScoreAt(Item, frozen=True):
    """A score, and where in its file it lies."""

    place: str
    score: Score


Items = Begin | RunAt | ScoreAt | Fault | Link


def read(paths: Sequence[str]) -> Iterator[Begin | RunAt | ScoreAt | Fault | Link]:
    """What files, and those below folders, hold and what of it cannot be read.

    Of a ``.json`` file that is one document at most 256 MiB are read, of a line 8 MiB.
    Links in folders are not followed.

    Raises
    ------
    InvalidInputError
        There is no such file or folder.
    """
    for path in paths:
        for file in files_at(
            Path(path),
            lambda name: name.lower().endswith(SUFFIXES),
            most=MAX_FILES,
            expected="an export, or a folder of them",
            passed_over=(".git", ".whatworks"),
        ):
            if isinstance(file, Fault | Link):
                yield file
                continue
            yield Begin(printable(file))
            for place, item in _read(file):
                if isinstance(item, Unread):
                    yield Fault(printable(file), place, item.reason)
                else:
                    yield RunAt(place, item) if isinstance(item, Run) else ScoreAt(place, item)


def _read(path: Path) -> Iterator[tuple[str, Found]]:
    try:
        opened(path).close()  # which refuses what is no file, or an archive
        for place, held in _held(path):
            for row in _rows(held, 0):
                for one in _found(row):
                    yield place, one
    except OSError as error:
        yield "file", Unread(f"cannot be read: {error.strerror or error}")
    except InvalidInputError as error:
        yield "file", Unread(str(error))


def _found(row: Row | Unread) -> Iterator[Found]:
    """Each row by the fields that only its kind has."""
    if isinstance(row, Unread):
        yield row
    elif (reader := _reader(row)) is None:
        yield Unread(UNKNOWN)
    else:
        yield from reader(row)


def _reader(row: Row) -> Callable[[Row], Iterator[Found]] | None:
    if any(kind in row for kind in otlp.KINDS):
        return otlp.found
    if mlflow.is_trace(row):
        return mlflow.found
    if langsmith.is_run(row) or langsmith.is_score(row):
        return langsmith.found
    if langfuse.is_score(row) or langfuse.is_run(row):
        return langfuse.found
    return None


def _rows(held: object, depth: int) -> Iterator[Row | Unread]:
    """The rows themselves, out of the lists that they come in."""
    if isinstance(held, list) and depth <= MAX_LISTS_DEEP:
        for one in held:
            yield from _rows(one, depth + 1)
    elif isinstance(held, dict):
        lists = [held[name] for name in LISTS if isinstance(held.get(name), (list, dict))]
        if _reader(held) is not None or not lists or depth > MAX_LISTS_DEEP:
            yield held
        else:
            for one in lists:
                yield from _rows(one, depth + 1)
    else:
        yield held if isinstance(held, Unread) else Unread("is no JSON object")


# -- forms ----------------------------------------------------------------------------------------


def _held(path: Path) -> Iterator[Placed]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        for number, row in enumerate(parquet_rows(path), 1):
            # All rows have all columns, and only those of its kind say something of it.
            yield f"row {number}", {name: value for name, value in row.items() if value is not None}
    elif suffix == ".json" and not _of_lines(path):
        yield from _document(path)
    else:
        yield from _lines(path)


def _of_lines(path: Path) -> bool:
    """Whether a file holds more than one line, and the first is an object of its own."""
    with path.open("rb") as file:
        lines = numbered(file, MAX_LINE)
        first = _parsed(next(lines, (0, b""))[1])
        return isinstance(first, (dict, list)) and next(lines, None) is not None


def _document(path: Path) -> Iterator[Placed]:
    if path.stat().st_size > MAX_DOCUMENT:
        yield "file", Unread(f"has more than {MAX_DOCUMENT >> 20} MiB; give it as JSON lines")
        return
    held = _parsed(path.read_bytes())
    if isinstance(held, list):
        yield from ((f"item {number}", one) for number, one in enumerate(held, 1))
    else:
        yield "file", held


def _lines(path: Path) -> Iterator[Placed]:
    with path.open("rb") as file:
        for number, line in numbered(file, MAX_LINE):
            long = len(line) == MAX_LINE and not line.endswith(b"\n")
            why = Unread(f"has more than {MAX_LINE >> 20} MiB")
            yield f"line {number}", why if long else _parsed(line)


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return Unread(f"is not JSON: {error.msg} at column {error.colno}")
