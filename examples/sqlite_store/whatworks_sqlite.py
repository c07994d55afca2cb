"""Vectors in one SQLite file, compared one by one."""

import sqlite3
import threading
from contextlib import contextmanager

import numpy as np

from whatworks.errors import StoreError
from whatworks.stores import Hits, VectorStore
from whatworks.stores.base import closed

TABLES = """
    CREATE TABLE IF NOT EXISTS made_for (dim INTEGER);
    CREATE TABLE IF NOT EXISTS vectors (id TEXT PRIMARY KEY, vector BLOB) WITHOUT ROWID;
"""


class SqliteStore(VectorStore):
    engine = "sqlite"
    packages = ()  # SQLite comes with Python; else the distributions that must be installed

    def __init__(self, path, *, dim):
        super().__init__(path, dim=dim)
        self._lock = threading.RLock()  # any thread may call any method
        self._file = sqlite3.connect(path / "vectors.db", check_same_thread=False)
        try:
            self._prepare()
        except StoreError:
            self.close()
            raise

    def _prepare(self):
        with self._open() as file:
            file.executescript(f"PRAGMA synchronous = FULL; {TABLES}")
            found = file.execute("SELECT dim FROM made_for").fetchone()
            if found is None:
                file.execute("INSERT INTO made_for VALUES (?)", [self.dim])
            elif found[0] != self.dim:
                raise StoreError(f"the vectors have {found[0]} dimensions, not {self.dim}")

    @contextmanager
    def _open(self):
        """The file, for one change as a whole; the engine's errors become ours."""
        with self._lock:
            if self._file is None:
                raise closed()
            try:
                with self._file:
                    yield self._file
            except sqlite3.Error as error:
                raise StoreError(f"the vectors in {self.path} cannot be used: {error}") from error

    def _upsert(self, ids, vectors):
        rows = ((name, vector.tobytes()) for name, vector in zip(ids, vectors, strict=True))
        with self._open() as file:
            file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def _search(self, query, k):
        with self._open() as file:
            rows = file.execute("SELECT id, vector FROM vectors ORDER BY id").fetchall()
        vectors = np.frombuffer(b"".join(row[1] for row in rows), np.float32).reshape(-1, self.dim)
        distances = 1 - vectors @ query
        nearest = np.argsort(distances, kind="stable")[:k]
        return Hits([rows[row][0] for row in nearest], distances[nearest])

    def get(self, ids):
        found = {}
        with self._open() as file:
            for name in ids:
                row = file.execute("SELECT vector FROM vectors WHERE id = ?", [name]).fetchone()
                if row is not None:
                    found[name] = np.frombuffer(row[0], np.float32)
        return found

    def iter_ids(self):  # this makes it a store that CanIterate
        with self._open() as file:
            yield [name for (name,) in file.execute("SELECT id FROM vectors")]

    def delete(self, ids):
        with self._open() as file:
            file.executemany("DELETE FROM vectors WHERE id = ?", [[name] for name in ids])

    def count(self):
        with self._open() as file:
            return file.execute("SELECT count(*) FROM vectors").fetchone()[0]

    def flush(self):
        with self._open():
            pass  # every change was synced when it was made

    def close(self):
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
