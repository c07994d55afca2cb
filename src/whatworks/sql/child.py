"""The process that runs one statement: gives up all it could do, runs it, writes the rows, ends.

Reads a request from standard input and writes lines of JSON: the columns, each row, and how it
ended.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from base64 import b64encode
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

import duckdb

from whatworks.confined import give_up
from whatworks.errors import StoreError
from whatworks.sql.allowed import RefusedError, require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection as Connection

__all__ = ["main"]

BATCH = 256
ZONED = "TIMESTAMP WITH TIME ZONE"


def main() -> None:
    """Answer the request on standard input."""
    request = json.loads(sys.stdin.buffer.read())
    out = sys.stdout.buffer
    try:
        con = opened(request["snapshot"], request["memory"])
        _unname(request["snapshot"])
        give_up(request["seconds"])
        require(con, request["query"])
        late = threading.Timer(request["seconds"], con.interrupt)
        late.daemon = True
        late.start()
        answer(con, request["query"], request["rows"], request["bytes"], out)
    except duckdb.InterruptException:
        _write(out, {"error": f"it takes more than {request['seconds']:g} seconds; ask for less"})
    except (RefusedError, StoreError, duckdb.Error) as error:
        _write(out, {"error": str(error).strip().splitlines()[0]})
    except (MemoryError, RecursionError):
        _write(out, {"error": "the statement needs more memory than it may have"})


def opened(snapshot: str, memory: int) -> Connection:
    """The copy, open to be read and nothing else."""
    con = duckdb.connect(
        snapshot,
        read_only=True,
        config={
            "threads": "1",
            "memory_limit": f"{memory}B",
            "max_temp_directory_size": "0B",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_unsigned_extensions": "false",
            "enable_external_access": "false",
            "python_enable_replacements": "false",
        },
    )
    con.execute("SET TimeZone = 'UTC'; SET lock_configuration = true")
    return con


def _unname(snapshot: str) -> None:
    """Take the names of the copy away: what is forgotten from now on stays in no file."""
    if sys.platform != "win32":
        for path in (snapshot, f"{snapshot}.wal"):
            with suppress(FileNotFoundError):
                os.unlink(path)


def answer(con: Connection, query: str, rows: int, most: int, out: BinaryIO) -> None:
    """Run it, and write its columns, its rows, and where it was cut, if it was."""
    found = con.execute(query)
    columns = _columns(found)
    if any(ZONED in kind for _, kind in columns):
        found = con.execute(_in_utc(con, query, columns))
        kinds = [kind for _, kind in _columns(found)]
        columns = [(name, kind) for (name, _), kind in zip(columns, kinds, strict=True)]
    _write(out, {"columns": columns})
    taken = 0
    for row in _rows(found, rows + 1):
        if rows == 0:
            _write(out, {"cut": "rows"})
            return
        line = _line(row)
        rows, taken = rows - 1, taken + len(line)
        if taken > most:
            _write(out, {"cut": "bytes"})
            return
        out.write(line)
    _write(out, {"cut": None})


def _rows(found: Connection, most: int) -> Iterator[tuple[Any, ...]]:
    while most and (batch := found.fetchmany(min(BATCH, most))):
        yield from batch
        most -= len(batch)


def _columns(found: Connection) -> list[tuple[str, str]]:
    return [(name, str(kind)) for name, kind, *_ in found.description or ()]


def _in_utc(con: Connection, query: str, columns: list[tuple[str, str]]) -> str:
    """The same rows with plain times: with zones the engine needs another package to hand them over."""
    # As the engine writes it: without remarks and a semicolon at the end.
    tree = con.execute("SELECT json_serialize_sql(?)", [query]).fetchall()[0][0]
    plain = con.execute("SELECT json_deserialize_sql(?)", [tree]).fetchall()[0][0]
    names = [f"c{n}" for n in range(len(columns))]
    changed = (
        f"{name}::{kind.replace(ZONED, 'TIMESTAMP')}" if ZONED in kind else name
        for name, (_, kind) in zip(names, columns, strict=True)
    )
    return f"SELECT {', '.join(changed)} FROM ({plain}) AS q({', '.join(names)})"


def _line(row: tuple[Any, ...] | dict[str, Any]) -> bytes:
    try:
        return json.dumps(row, default=_plain).encode() + b"\n"
    except (TypeError, ValueError):  # a map with keys that JSON has not
        return json.dumps([str(value) for value in row]).encode() + b"\n"


def _write(out: BinaryIO, said: dict[str, Any]) -> None:
    out.write(_line(said))


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


if __name__ == "__main__":
    main()
