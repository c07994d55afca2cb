"""A copy of the evidence, made by the engine while the file is in use.

The file itself must never be opened by other means in the process that owns
it: closing any other handle on it drops the engine's lock (POSIX record locks
belong to the process).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from whatworks.errors import StoreError
from whatworks.evidence.database import refused

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

__all__ = ["Copied", "copy", "count"]

NAME = "copy_of_evidence"
# The same rows in any order; the engine's hash is the same within a version of it.
Contents = dict[str, tuple[Any, ...]]


class Copied(NamedTuple):
    """What a copy holds: bytes folded of each journal segment, numbers of patterns and events."""

    positions: dict[str, int]
    patterns: int
    events: int


def copy(con: Connection, target: Path) -> Copied:
    """Copy all that the transaction of ``con`` sees into a new file, and read the copy again.

    Raises
    ------
    StoreError
        The copy does not hold what was copied.
    """
    import duckdb

    source = con.execute("SELECT current_database()").fetchone()
    assert source is not None
    name, quoted = str(source[0]).replace('"', '""'), str(target).replace("'", "''")
    try:
        con.execute(f"ATTACH '{quoted}' AS {NAME}")
        con.execute(f'COPY FROM DATABASE "{name}" TO {NAME}')
        expected, positions = _contents(con, f'"{name}".main.'), _positions(con)
        con.execute("COMMIT")
        con.execute(f"CHECKPOINT {NAME}")
    except (duckdb.FatalException, duckdb.InternalException):
        raise  # not only the copy is lost: see Evidence.snapshot
    except duckdb.Error as error:
        raise refused(target, error) from error
    finally:
        with suppress(duckdb.Error):  # what was committed cannot be taken back, and need not be
            con.execute("ROLLBACK")
        with suppress(duckdb.Error):  # without its commit it is gone already
            con.execute(f"DETACH {NAME}")
    target.chmod(0o600)
    if _read_again(target) != expected:
        raise StoreError(f"the copy {target} does not hold what was copied; try again")
    return Copied(positions, int(expected["pattern_rows"][0]), int(expected["event_rows"][0]))


def count(path: Path) -> Copied:
    """What a copy holds that nobody has open."""
    import duckdb

    try:
        with duckdb.connect(str(path), read_only=True) as con:
            rows = [
                con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
                for table in ("pattern_rows", "event_rows")
            ]
            return Copied(_positions(con), *rows)
    except duckdb.Error as error:
        raise StoreError(f"{path} does not open: {str(error).splitlines()[0]}") from error


def _read_again(path: Path) -> Contents:
    import duckdb

    with duckdb.connect(str(path), read_only=True) as con:
        return _contents(con, "")


def _positions(con: Connection) -> dict[str, int]:
    return dict(con.execute("SELECT segment, position FROM watermarks ORDER BY segment").fetchall())


def _contents(con: Connection, of: str) -> Contents:
    """Rows and a checksum of every table."""
    tables = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
    ).fetchall()
    query = "SELECT count(*), sum(hash(t)::HUGEINT) FROM {} t"
    return {name: con.execute(query.format(of + name)).fetchall()[0] for (name,) in tables}
