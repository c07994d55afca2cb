"""A new evidence file in the place of the one that is there, without embedding a text twice.

The new file is made beside the old one, which stays as it is until the new
one is whole and on the disk. Interrupted anywhere, the next opening finds the
old file or the new one, and never one with the write-ahead log of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from whatworks import failpoints, packing, system
from whatworks.errors import StoreFullError, disk_error
from whatworks.evidence import texts
from whatworks.evidence.copies import copy
from whatworks.evidence.database import LARGE_LIMIT, Evidence, closed, connect, is_damage, refused

if TYPE_CHECKING:
    import duckdb

__all__ = ["clear", "compact", "renew", "take_over"]

# The engine may leave logs and a folder for what did not fit into memory.
_NEW = (".new", ".new.wal", ".new.tmp")
_LEFT = (*_NEW, ".tmp")
_LOGS = (".wal", ".wal.checkpoint", ".wal.recovery")

# An embedding is taken over if it is of the text that its pattern or context has now, as the old
# file says itself, and if the new file has the same text under the same id.
_TAKE = """
INSERT INTO embeddings
SELECT e.collection, e.id, made.change, e.model, {vector}
FROM old.embeddings e
JOIN old.{table} was ON was.{key} = e.id AND was.change = e.change
JOIN {table} made ON made.{key} = e.id AND made.{text} = was.{text}
WHERE e.collection = ? AND (e.model <> ? OR octet_length(e.vector) = ?)
"""
# Up to this version embeddings were kept as 32-bit floats.
FLOATS_UNTIL = 8
# What nobody has embedded comes behind what somebody has, so that a mark can stand between them.
_LAST_COMES = """
UPDATE {table} SET change = later.change
FROM (SELECT {key}, row_number() OVER (ORDER BY change) + (
          SELECT greatest((SELECT max(change) FROM pattern_rows),
                          (SELECT max(change) FROM context_rows))) AS change
      FROM {table} WHERE {key} NOT IN (SELECT id FROM embeddings WHERE collection = ?)) later
WHERE later.{key} = {table}.{key}
"""
_MARK = """
INSERT INTO meta
SELECT ?, coalesce(
    (SELECT min(change) - 1 FROM {table} WHERE {key} NOT IN
        (SELECT id FROM embeddings WHERE collection = ? AND model = ?)),
    (SELECT max(change) FROM {table}))
"""


def clear(path: Path, *, in_use: bool = False) -> None:
    """Remove what an interrupted renewal of the evidence at ``path`` has left."""
    for suffix in _NEW if in_use else _LEFT:
        left = path.with_name(path.name + suffix)
        try:
            if left.is_dir():
                from shutil import rmtree

                rmtree(left)
            else:
                left.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, f"remove {left}") from error


def renew(path: Path, fill: Callable[[Evidence], object], *, model: str, dim: int | None) -> str | None:
    """Put another evidence file in the place of ``path``, which nobody may have open.

    Parameters
    ----------
    fill
        Brings an empty evidence up to the journal.
    model, dim
        Of the store's embeddings: those of another length are made again.

    Returns
    -------
    Why the embeddings could not be taken over; ``None`` if they could.

    Raises
    ------
    StoreError
        The disk refuses, or another program has the old file open; the old
        file is still in its place.
    """
    made = path.with_name(f"{path.name}.new")
    try:
        clear(path)
        failpoints.reached("migration.begun")
        _filled(made, fill)
        failpoints.reached("migration.filled")
        reason = take_over(made, path, model=model, dim=dim) if path.exists() else None
        failpoints.reached("migration.embedded")
        _put_in_place(made, path)
        failpoints.reached("migration.done")
    except OSError as error:
        raise disk_error(error, f"make {path} anew") from error
    return reason


def _filled(made: Path, fill: Callable[[Evidence], object]) -> None:
    evidence = Evidence(made)
    try:
        fill(evidence)
    finally:
        evidence.close()


def compact(evidence: Evidence, path: Path) -> None:
    """Put a copy without what was deleted into the place of the file of ``evidence``.

    The caller holds the owner's lock. Questions go on but for the moment in
    which the file is replaced, and are asked again then.
    """
    made = path.with_name(f"{path.name}.new")
    try:
        clear(path, in_use=True)
        with evidence.snapshot() as con:
            copy(con, made)
        failpoints.reached("compaction.copied")
        evidence.replaced(lambda path: _put_in_place(made, path))
    except OSError as error:
        raise disk_error(error, f"make {path} anew") from error


def take_over(made: Path, old: Path, *, model: str, dim: int | None) -> str | None:
    """Copy the embeddings of unchanged texts from one evidence file to another.

    Nobody may have the files open. Returns why that was not possible, ``None`` if it was.
    """
    import duckdb

    try:
        con = connect(made, memory=LARGE_LIMIT)
    except duckdb.Error as error:
        raise refused(made, error) from error
    try:
        try:
            _take_over(con, old, model, dim or 0)
        except duckdb.Error as error:
            if not is_damage(error):
                raise refused(old, error) from error
            return str(error).strip().splitlines()[0]
        con.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise refused(made, error) from error
    finally:
        closed(con, made)
    return None


def _take_over(con: duckdb.DuckDBPyConnection, old: Path, model: str, dim: int) -> None:
    quoted = str(old).replace("'", "''")
    con.execute(f"ATTACH '{quoted}' AS old (READ_ONLY)")
    version = con.execute("SELECT value FROM old.meta WHERE name = 'version'").fetchone()
    vector, size = "e.vector", packing.NUMBER.itemsize * dim
    if version is not None and version[0] <= FLOATS_UNTIL:
        vector, size = "packed(e.vector)", 4 * dim
        con.create_function("packed", _packed, ["BLOB"], "BLOB")
    con.execute("BEGIN")
    for collection, (table, key, text) in texts.TABLES.items():
        names = {"table": table, "key": key, "text": text, "vector": vector}
        con.execute(_TAKE.format(**names), [collection, model, size])
        models = con.execute(
            "SELECT DISTINCT model FROM embeddings WHERE collection = ?", [collection]
        ).fetchall()
        if models:
            con.execute(_LAST_COMES.format(**names), [collection])
        for (known,) in models:
            mark = texts.mark(collection, known)
            con.execute(_MARK.format(**names), [mark, collection, known])
    con.execute("COMMIT")
    con.execute("DETACH old")


def _packed(floats: bytes) -> bytes:
    return packing.packed(np.frombuffer(floats, "<f4")[np.newaxis]).tobytes()


def _put_in_place(made: Path, path: Path) -> None:
    if any(made.with_name(made.name + log).exists() for log in _LOGS):
        raise StoreFullError(f"{made} could not be finished: free some space and try again")
    system.sync(made)
    failpoints.reached("migration.synced")
    # The old log goes first, and is gone for good before the new file comes: without its log the
    # old file is an earlier state of the same view.
    for log in _LOGS:
        path.with_name(path.name + log).unlink(missing_ok=True)
    system.sync(path.parent)
    failpoints.reached("migration.cleared")
    made.replace(path)
    failpoints.reached("migration.renamed")
    system.sync(path.parent)
