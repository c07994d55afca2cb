"""OmenDB: an embedded HNSW index, vectors in memory and in files; extra ``omendb``.

OmenDB is under the Elastic License 2.0, not an open source licence: it may be
used and embedded, but not offered to others as a managed service. Linux and macOS.

What this adapter knows of OmenDB (0.0.37, measured):

- A vector that was replaced or deleted takes its place in answers and is dropped
  only then: after 10 of 300 were replaced, 18 of 50 searches came out short or wrong.
  ``compact`` mends that until the database is opened again, when what was deleted
  is back. So nothing is ever replaced or deleted in the engine: a row goes by a digest
  of its vector, and which names rows have is written beside them, last.
- 33 vectors that are the same make a circle of their own in its graph, out of which no
  search finds: of 500 others, 5 to 48 were lost. A row has as many names as it takes.
- ``cosine`` inserts 184 vectors a second, ``l2`` 480 to 580 (384 dimensions, loaded
  machine), and searches in half the time. Vectors have length 1, so both order alike.
- ``l2`` gives the square of the distance, of which half is the cosine distance. With
  ``sq8`` it gives the distance itself once the database was opened again, and ``cosine``
  gives it too. ``sq8`` makes files, memory and inserts no smaller: it is not used.
- ``close`` writes two files also when nothing changed; letting go of the handle does
  not, and frees the lock.
- ``flush`` writes all files anew, in place, and does not sync the graph. What ``set``
  was given as a batch is on the disk only then.
- A flipped bit, or a file cut short, mostly goes unnoticed. Whoever owns the store
  compares its files first.
- One handle at a time, also within a process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from whatworks import system
from whatworks.config import replace_file
from whatworks.errors import StoreError
from whatworks.stores.base import Float32, Hits, VectorStore, closed, needed, translated

__all__ = ["OmenStore"]

# Candidates that a search keeps. Recall@10 is 1.0 on 10,000 clustered vectors with 64 already.
MIN_EF = 128
# Up to here a search compares with about everything.
SMALL = 512
# Rows without a name, beyond as many as have one, before the database is written anew.
UNNAMED = 1_000
PAGE = 10_000


@dataclass
class _Rows:
    """A database whose rows go by a digest of their vector, and the names that each row has."""

    database: Any
    generation: int
    written: set[str] = field(default_factory=set)  # keys of all rows, also of those without a name
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by key, in order
    keys: dict[str, str] = field(default_factory=dict)  # by name
    version: int = 0  # of the two above
    naming: threading.Lock = field(default_factory=threading.Lock)

    def put(self, names: Sequence[str], vectors: NDArray[Float32]) -> None:
        """Add those vectors that are new, then name all."""
        keys = [_key(vector) for vector in vectors]
        rows = dict(zip(keys, vectors, strict=True))
        new = [key for key in rows if key not in self.written]
        if new:
            try:
                self.database.set(ids=new, vectors=np.stack([rows[key] for key in new]))
            finally:  # after a failure some may be there
                self.written.update(key for key in new if self.database.exists(key))
        with self.naming:
            self._drop(names)
            for name, key in zip(names, keys, strict=True):
                self.keys[name] = key
                self.names[key] = tuple(sorted((*self.names.get(key, ()), name)))

    def drop(self, names: Sequence[str]) -> None:
        """Take the names of rows away."""
        with self.naming:
            self._drop(names)

    def _drop(self, names: Sequence[str]) -> None:
        for name in names:
            if key := self.keys.pop(name, None):
                left = tuple(other for other in self.names.pop(key) if other != name)
                if left:
                    self.names[key] = left
        self.version += 1

    def named(self, hits: list[dict[str, Any]]) -> list[tuple[str, float]]:
        """Names and distances of hits; rows without a name are passed over."""
        with self.naming:
            return [(name, hit["distance"]) for hit in hits for name in self.names.get(hit["id"], ())]


class OmenStore(VectorStore):
    """Vectors in an OmenDB database, found through its HNSW index."""

    engine = "omendb"
    packages = ("omendb",)

    def __init__(self, path: Path, *, dim: int) -> None:
        super().__init__(path, dim=dim)
        self._module = needed("omendb", "omendb")
        self._writing = threading.Lock()
        self._table = path / "names.json"
        self._rows: _Rows | None
        if self._table.exists():
            self._rows, self._changed = self._loaded(), False
        else:
            self._rows, self._changed = self._created(0), True
            self.flush()

    # -- opening and closing --------------------------------------------------------------------

    def _loaded(self) -> _Rows:
        generation, keys = self._read_table()
        with self._translated("does not open"):
            database = self._module.open(self._base(generation))
            dim, written = database.dimensions, set(database.ids())
        if dim != self.dim:
            raise StoreError(f"the vectors in {self.path} have {dim} dimensions, not {self.dim}")
        if not written.issuperset(keys.values()):
            raise StoreError(f"the OmenDB database in {self.path} has lost vectors that it had")
        names: dict[str, tuple[str, ...]] = {}
        for name, key in sorted(keys.items()):
            names[key] = (*names.get(key, ()), name)
        return _Rows(database, generation, written, names, keys)

    def _read_table(self) -> tuple[int, dict[str, str]]:
        try:
            table = orjson.loads(self._table.read_bytes())
            return int(table["generation"]), dict(table["keys"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"the names in {self._table} cannot be read: {error}") from error

    def _created(self, generation: int) -> _Rows:
        """An empty database, in the place of what a process that died may have left."""
        self._remove(generation)
        schema = {"metric": "l2", "dense": {"dim": self.dim, "quantization": "none"}}
        with self._translated("cannot be made"):
            return _Rows(self._module.create(self._base(generation), schema), generation)

    def _base(self, generation: int) -> str:
        return str(self.path / f"vectors-{generation}")

    def _files(self, generation: int) -> list[Path]:
        return list(self.path.glob(f"vectors-{generation}.*"))

    def _remove(self, generation: int) -> None:
        for file in self._files(generation):
            file.unlink()

    def _translated(self, what: str) -> AbstractContextManager[None]:
        return translated(f"the OmenDB database in {self.path} {what}")

    def _live(self) -> _Rows:
        rows = self._rows
        if rows is None:
            raise closed()
        return rows

    def close(self) -> None:
        with self._writing:
            self._rows = None

    # -- reading --------------------------------------------------------------------------------

    def _search(self, query: NDArray[Float32], k: int) -> Hits:
        while True:
            rows = self._live()
            version = rows.version
            found = self._nearest(rows, query, k)
            if version == rows.version:  # else one that was replaced meanwhile may be missing
                squares = np.array([square for _, square in found], Float32)
                return Hits([name for name, _ in found], squares * Float32(0.5))

    def _nearest(self, rows: _Rows, query: NDArray[Float32], k: int) -> list[tuple[str, float]]:
        """The ``k`` nearest that have names; more are asked for when others are in the way."""
        asked = k
        while True:
            ef = max(MIN_EF, 2 * asked, SMALL if len(rows.written) <= SMALL else 0)
            with self._translated("cannot be searched"):
                hits = rows.database.search(query, asked, ef=ef)
            found = rows.named(hits)
            if len(found) >= k or len(hits) < asked:
                return found[:k]
            asked *= 4

    def get(self, ids: Sequence[str]) -> dict[str, NDArray[Float32]]:
        rows = self._live()
        known = {name: key for name in ids if (key := rows.keys.get(name))}
        with self._translated("cannot be read"):
            vectors = [row["vector"] for row in rows.database.get_batch(list(known.values()))]
        return {name: np.array(vector, Float32) for name, vector in zip(known, vectors, strict=True)}

    def iter_ids(self) -> Iterator[list[str]]:
        ids = list(self._live().keys)
        for start in range(0, len(ids), PAGE):
            yield ids[start : start + PAGE]

    def count(self) -> int:
        return len(self._live().keys)

    # -- writing --------------------------------------------------------------------------------

    def _upsert(self, ids: list[str], vectors: NDArray[Float32]) -> None:
        with self._writing, self._translated("refused"):
            self._live().put(ids, vectors)
            self._changed = True

    def delete(self, ids: Sequence[str]) -> None:
        with self._writing:
            self._live().drop(ids)
            self._changed = True

    def flush(self) -> None:
        with self._writing, self._translated("cannot be written"):
            rows = self._live()
            if not self._changed:
                return
            if len(rows.written) > 2 * len(rows.names) + UNNAMED:
                self._renew(rows)
            else:
                self._put_on_disk(rows)
            self._changed = False

    def _put_on_disk(self, rows: _Rows) -> None:
        """Everything of the engine, and then the names of its rows: only named rows are found."""
        rows.database.flush()
        for file in self._files(rows.generation):
            system.sync(file)
        table = {"generation": rows.generation, "keys": rows.keys}
        replace_file(self._table, orjson.dumps(table))

    def _renew(self, old: _Rows) -> None:
        """Write a database of only those rows that have names, and switch to it."""
        made, ids = self._created(old.generation + 1), list(old.keys)
        for start in range(0, len(ids), PAGE):
            page = self.get(ids[start : start + PAGE])
            made.put(list(page), np.stack(list(page.values())))
        self._put_on_disk(made)
        self._rows = made
        self._remove(old.generation)


def _key(vector: NDArray[Float32]) -> str:
    return blake2b(vector.tobytes(), digest_size=16).hexdigest()
