"""usearch: vectors in flat files, found by a small quantised index that is only mapped into memory.

What this adapter knows of usearch (2.26, measured on 384 dimensions):

- An index of int8 takes 530 bytes a vector, and finds the nearest 64 of 100,000 in 0.3 ms; they
  hold 97 % of the ten nearest, but not in their order. So the vectors themselves are kept in a
  file beside it, as ``packing`` packs them, and what the index finds is compared with those.
- Of vectors of length 1 the inner product is the cosine, and takes half the time: the metric "cos"
  computes both lengths at each comparison. But rounding to integers changes their lengths, which
  "ip" does not divide out: so the integers are made here, of a scale that fills them. With usearch's
  own, 127 to a length of 1, embeddings that lean to one side lose up to a third of the nearest.
- A mapped index takes no memory of the process, and refuses changes: it is loaded to be extended.
- It has no write-ahead log, no checksums, and writes over the file that it saves to: here every
  file is written beside the old one, synced, and named by a head that is replaced at the end.
- A process that loads it first and onnxruntime 1.32 later ends with a segmentation fault, unless
  it had loaded DuckDB before both.
- Searches of one index at once from several threads are not promised to be safe: they take turns.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from whatworks import failpoints, packing, system
from whatworks.config import replace_file
from whatworks.errors import StoreError, StoreFullError, disk_error
from whatworks.stores.base import Float32, Hits, VectorStore, closed, needed
from whatworks.stores.exact import Rows

__all__ = ["UsearchStore"]

FORMAT = 2
HEAD = "head.json"
# Comparing with this many vectors takes about as long as asking the index.
INDEX_FROM = 5_000
# Rows outside of the index that a search compares with, and as a share of those inside.
UNINDEXED, UNINDEXED_SHARE = 1_000, 0.02
# Replaced and deleted rows that are carried along before the files are written anew.
DEAD, DEAD_SHARE = 1_000, 0.2
# The graph of the index: links a vector, candidates looked at when adding, and when searching:
# of 100,000, 64 hold 97 % of the ten nearest, 96 hold 98 % and take a third longer; of a million,
# 96 hold 94.6 % and 160 hold 96 %.
CONNECTIVITY, ADD_WIDTH, SEARCH_WIDTH = 16, 128, 64
LARGEST = 127
WIDER_FROM, WIDER_PER_DOUBLING = 100_000, 30
# Candidates that are compared exactly for each one wanted, and at least.
CANDIDATES, MIN_CANDIDATES = 2, 32
# From this share of the index on, comparing with all is no slower than asking for so many.
SCAN_SHARE = 0.2
ROWS_AT_ONCE = 16_384
# Rows whose numbers stay in the processor's cache while they are unpacked and compared.
COMPARED_AT_ONCE = 256

Pairs = Iterable[tuple[float, str]]
Int = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class _Head:
    """Which files count, and how much of them: whatever else lies in the folder is left over."""

    format: int
    dim: int
    version: int = 0  # raised with each head; new files carry it in their names
    files: int = 0  # the version that the vectors, ends and ids were begun in
    rows: int = 0
    id_bytes: int = 0
    lookup: int = 0  # the version of the lookup, and how many rows it holds
    live: int = 0
    index: int = 0  # the version of the index, how many rows it was made of, and its size
    indexed: int = 0
    index_bytes: int = 0
    scale: float = 0.0  # of the integers in the index

    def names(self) -> dict[str, int]:
        """The files by name, and the bytes of each that count."""
        sizes = {
            f"vectors-{self.files}": self.vector_bytes(self.rows),
            f"ends-{self.files}": 8 * self.rows,
            f"ids-{self.files}": self.id_bytes,
            f"lookup-{self.lookup}": 16 * self.live,
        }
        return sizes | ({f"index-{self.index}": self.index_bytes} if self.indexed else {})

    def vector_bytes(self, rows: int) -> int:
        return packing.NUMBER.itemsize * self.dim * rows


class _Files:
    """The rows on the disk, in the order they came, mapped into memory.

    ``ends`` says where the id of each row ends in ``ids``. ``hashes`` are
    those of the ids of the rows that are live, ascending, and ``order`` the
    rows that they belong to. ``live`` alone is in memory, and changes.
    """

    def __init__(self, folder: Path, head: _Head) -> None:
        self.head = head
        for name, size in head.names().items():
            if size and (folder / name).stat().st_size < size:
                raise StoreError(f"the vectors in {folder} are damaged: {name} was cut short")
        self.vectors = _mapped(folder / f"vectors-{head.files}", packing.NUMBER, (head.rows, head.dim))
        self.ends = _mapped(folder / f"ends-{head.files}", np.uint64, (head.rows,))
        self.ids = _mapped(folder / f"ids-{head.files}", np.uint8, (head.id_bytes,))
        self.hashes, self.order = _mapped(folder / f"lookup-{head.lookup}", np.uint64, (2, head.live))
        self.live = np.zeros(head.rows, bool)
        self.live[self.order] = True

    def names(self, rows: Int) -> list[str]:
        ends = self.ends[rows]
        starts = np.where(rows > 0, self.ends[np.maximum(rows, 1) - 1], 0)
        both = zip(starts.tolist(), ends.tolist(), strict=True)
        return [self.ids[start:end].tobytes().decode() for start, end in both]

    def find(self, ids: Sequence[str]) -> dict[str, int]:
        """The live rows of those ids that have one."""
        wanted = _hashes(ids)
        starts = np.searchsorted(self.hashes, wanted)
        ends = np.searchsorted(self.hashes, wanted, "right")
        alike = [
            (name, row)
            for name, start, end in zip(ids, starts.tolist(), ends.tolist(), strict=True)
            for row in self.order[start:end].tolist()
            if self.live[row]
        ]
        names = self.names(np.array([row for _, row in alike], np.int64))
        return {name: row for (name, row), own in zip(alike, names, strict=True) if own == name}

    def compared(self, query: NDArray[Float32], start: int, k: int) -> list[tuple[float, str]]:
        """The ``k`` nearest live rows from ``start`` on, and those as near as the last of them."""
        rows = start + np.flatnonzero(self.live[start:])
        return self._nearest(self._distances(query, rows), rows, k)

    def nearest(self, query: NDArray[Float32], rows: Int, k: int) -> list[tuple[float, str]]:
        """The ``k`` nearest of some rows, and those as near as the last of them."""
        return self._nearest(self._distances(query, rows), rows, k)

    def _distances(self, query: NDArray[Float32], rows: Int) -> NDArray[Float32]:
        distances = np.empty(len(rows), Float32)
        for start in range(0, len(rows), COMPARED_AT_ONCE):
            part = slice(start, start + COMPARED_AT_ONCE)
            distances[part] = 1 - packing.unpacked(self.vectors[rows[part]]) @ query
        return distances

    def _nearest(self, distances: NDArray[Float32], rows: Int, k: int) -> list[tuple[float, str]]:
        if k < len(rows):
            near = distances <= np.partition(distances, k - 1)[k - 1]
            distances, rows = distances[near], rows[near]
        return list(zip(distances.tolist(), self.names(rows), strict=True))


class _State:
    """Files, and in memory what was added since they were written."""

    def __init__(self, files: _Files, index: Any) -> None:
        self.files = files
        self.index = index
        self.added = Rows(files.head.dim)
        self.changed = False

    def count(self) -> int:
        return int(self.files.live.sum()) + len(self.added)


class UsearchStore(VectorStore):
    """Vectors in files; exact below 5,000 of them, above by an int8 index and exact comparison.

    Disk: 3 * dim bytes a vector, and about 170 for links and ids. Memory: 1
    byte a vector; the rest is mapped, and the operating system's to drop.
    """

    engine = "usearch"
    packages = ("usearch",)

    def __init__(self, path: Path, *, dim: int) -> None:
        super().__init__(path, dim=dim)
        import duckdb  # noqa: F401 - without it, onnxruntime dies when it is loaded after usearch

        self._index_class = needed("usearch.index", "usearch").Index
        self._write_lock = threading.Lock()
        self._search_lock = threading.Lock()
        self._state: _State | None = self._opened()

    def _opened(self) -> _State:
        try:
            return self._loaded(_Head(**orjson.loads((self.path / HEAD).read_bytes())))
        except FileNotFoundError as error:
            if (self.path / HEAD).exists():
                raise StoreError(f"the vectors in {self.path} lack a file: {error}") from error
            return _State(_Files(self.path, _Head(FORMAT, self.dim)), None)
        except (ValueError, TypeError, OSError) as error:
            raise StoreError(f"the vectors in {self.path} cannot be read: {error}") from error

    def _loaded(self, head: _Head) -> _State:
        if (head.format, head.dim) != (FORMAT, self.dim):
            raise StoreError(
                f"the vectors in {self.path} have format {head.format} and {head.dim} dimensions; "
                f"expected {FORMAT} and {self.dim}: another model or version made them"
            )
        files = _Files(self.path, head)
        if not head.indexed:
            return _State(files, None)
        index = self._new_index(_search_width(head.indexed))
        with _translated(self.path):
            index.view(str(self.path / f"index-{head.index}"))
        return _State(files, index)

    def _new_index(self, search_width: int = SEARCH_WIDTH) -> Any:
        return self._index_class(
            ndim=self.dim,
            metric="ip",
            dtype="i8",
            connectivity=CONNECTIVITY,
            expansion_add=ADD_WIDTH,
            expansion_search=search_width,
        )

    def _open_state(self) -> _State:
        if self._state is None:
            raise closed()
        return self._state

    # -- reading ----------------------------------------------------------------------------------

    def _is_empty(self) -> bool:
        state = self._open_state()  # rows that are not live are passed over by the search
        return not (state.files.head.rows or len(state.added))

    def _search(self, query: NDArray[Float32], k: int) -> Hits:
        state = self._open_state()
        files, indexed = state.files, state.files.head.indexed
        if k * CANDIDATES > SCAN_SHARE * indexed:
            stored = files.compared(query, 0, k)
        else:
            stored = self._found(state, query, k)
            if indexed < files.head.rows:
                stored += files.compared(query, indexed, k)
        if not len(state.added):
            stored = sorted(stored)[:k]
            return Hits([name for _, name in stored], np.array([d for d, _ in stored], Float32))
        return _merged(stored, state.added.search(query, k), k)

    def _found(self, state: _State, query: NDArray[Float32], k: int) -> list[tuple[float, str]]:
        """What the index finds, compared exactly; more is asked for until ``k`` of it are live."""
        files, wanted = state.files, max(CANDIDATES * k, MIN_CANDIDATES)
        integers = _integers(query, files.head.scale)
        while True:
            with self._search_lock, _translated(self.path):
                keys = state.index.search(integers, min(wanted, files.head.indexed)).keys
            rows = keys[files.live[keys]]
            if len(rows) >= k or wanted >= files.head.indexed:
                return files.nearest(query, rows, k)
            wanted *= 4

    def _search_among(self, query: NDArray[Float32], k: int, ids: list[str]) -> Hits:
        state = self._open_state()
        found = state.files.find(ids)
        stored = state.files.nearest(query, np.array(list(found.values()), np.int64), k)
        added = state.added.get(ids)
        near = Hits(list(added), np.array([1 - row @ query for row in added.values()], Float32))
        return _merged(stored, near, k)

    def get(self, ids: Sequence[str]) -> dict[str, NDArray[Float32]]:
        state = self._open_state()
        stored = state.files.find(ids)
        rows = packing.unpacked(state.files.vectors[list(stored.values())])
        return dict(zip(stored, rows, strict=True)) | state.added.get(ids)

    def count(self) -> int:
        return self._open_state().count()

    def iter_ids(self) -> Iterator[list[str]]:
        state = self._open_state()
        added = state.added.all()[0]
        yield added
        rows = np.flatnonzero(state.files.live)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            page = state.files.names(rows[start : start + ROWS_AT_ONCE])
            yield [name for name in page if name not in state.added]

    # -- writing ----------------------------------------------------------------------------------

    def _upsert(self, ids: list[str], vectors: NDArray[Float32]) -> None:
        with self._write_lock:
            state = self._open_state()
            state.added.put(ids, vectors)  # first: a search meanwhile finds the old or the new one
            state.files.live[list(state.files.find(ids).values())] = False
            state.changed = True

    def delete(self, ids: Sequence[str]) -> None:
        with self._write_lock:
            state = self._open_state()
            state.added.drop(ids)
            state.files.live[list(state.files.find(ids).values())] = False
            state.changed = True

    def flush(self) -> None:
        with self._write_lock, _translated(self.path):
            if self._open_state().changed:
                self._write()

    def _write(self) -> None:
        """Append what was added, and write a lookup and a head that know of it."""
        state = self._open_state()
        files, head = state.files, state.files.head
        names, vectors = state.added.all()
        ids = [name.encode() for name in names]
        ends = head.id_bytes + np.cumsum([len(name) for name in ids], dtype=np.uint64)
        packed = packing.packed(vectors).tobytes()
        self._append(f"vectors-{head.files}", head.vector_bytes(head.rows), packed)
        self._append(f"ends-{head.files}", 8 * head.rows, ends.tobytes())
        self._append(f"ids-{head.files}", head.id_bytes, b"".join(ids))
        lives = files.live[files.order]
        rows = np.arange(head.rows, head.rows + len(ids), dtype=np.uint64)
        hashes = np.concatenate([files.hashes[lives], _hashes(names)])
        order = np.concatenate([files.order[lives], rows])
        self._describe(
            replace(head, rows=head.rows + len(ids), id_bytes=head.id_bytes + sum(map(len, ids))),
            hashes,
            order,
        )

    def _append(self, name: str, start: int, data: bytes) -> None:
        path = self.path / name
        with open(path, "r+b" if path.exists() else "x+b") as file:
            file.truncate(start)  # what a process that died has left behind
            file.seek(start)
            file.write(data)
        system.sync(path)
        failpoints.reached("usearch.appended")

    def _describe(self, head: _Head, hashes: NDArray[np.uint64], order: NDArray[np.uint64]) -> None:
        """Write the lookup and the head, and go on with the files that they name."""
        version = head.version + 1
        ascending = np.argsort(hashes, kind="stable")
        lookup = np.stack([hashes[ascending], order[ascending]])
        self._append(f"lookup-{version}", 0, lookup.tobytes())
        self._go_on(replace(head, version=version, lookup=version, live=len(order)))

    def _go_on(self, head: _Head) -> None:
        replace_file(self.path / HEAD, orjson.dumps(asdict(head)))
        failpoints.reached("usearch.described")
        self._state = self._loaded(head)
        for path in self.path.iterdir():
            if path.name not in head.names() and path.name != HEAD:
                with suppress(OSError):  # mapped by a search that is still going on
                    path.unlink()

    # -- upkeep -----------------------------------------------------------------------------------

    def maintain(self) -> bool:
        """Write the files anew if many rows are dead; build or extend the index, if due."""
        with self._write_lock, _translated(self.path):
            if self._open_state().changed:
                self._write()
            head = self._open_state().files.head
            crowded = head.rows - head.live > max(DEAD, DEAD_SHARE * head.rows)
            if crowded:
                self._rewrite()
                head = self._open_state().files.head
            behind = head.rows - head.indexed > max(UNINDEXED, UNINDEXED_SHARE * head.indexed)
            if head.rows >= INDEX_FROM and behind:
                self._extend()
                return True
            return crowded

    def erase(self) -> None:
        """Begin new files; an index comes with the next upkeep, until then all rows are compared."""
        with self._write_lock, _translated(self.path):
            if self._open_state().changed:
                self._write()
            self._rewrite()

    def _rewrite(self) -> None:
        """Begin new files with the rows that are live, without an index."""
        old = self._open_state().files
        version = old.head.version + 1
        head = _Head(FORMAT, self.dim, version=version, files=version)
        rows = np.flatnonzero(old.live)
        hashes = np.empty(len(rows), np.uint64)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            chunk = rows[start : start + ROWS_AT_ONCE]
            names = old.names(chunk)
            ids = [name.encode() for name in names]
            ends = head.id_bytes + np.cumsum([len(name) for name in ids], dtype=np.uint64)
            vectors = old.vectors[chunk].tobytes()
            self._append(f"vectors-{version}", head.vector_bytes(start), vectors)
            self._append(f"ends-{version}", 8 * start, ends.tobytes())
            self._append(f"ids-{version}", head.id_bytes, b"".join(ids))
            hashes[start : start + len(chunk)] = _hashes(names)
            head = replace(head, rows=start + len(chunk), id_bytes=int(ends[-1]))
        failpoints.reached("usearch.rewritten")
        self._describe(head, hashes, np.arange(len(rows), dtype=np.uint64))

    def _extend(self) -> None:
        """Write an index that knows all rows; searches go on with the old one."""
        files, head = self._open_state().files, self._open_state().files.head
        index, version, scale = self._new_index(), head.version + 1, head.scale
        if head.indexed:
            index.load(str(self.path / f"index-{head.index}"))
        else:  # what is larger in later rows is cut
            scale = float(LARGEST / np.abs(packing.unpacked(files.vectors[:ROWS_AT_ONCE])).max())
        for start in range(head.indexed, head.rows, ROWS_AT_ONCE):
            rows = np.arange(start, min(start + ROWS_AT_ONCE, head.rows), dtype=np.uint64)
            rows = rows[files.live[rows]]
            index.add(rows, _integers(packing.unpacked(files.vectors[rows]), scale))
        path = self.path / f"index-{version}"
        index.save(str(path))
        system.sync(path)
        failpoints.reached("usearch.indexed")
        size = path.stat().st_size
        self._go_on(
            replace(
                head,
                version=version,
                index=version,
                indexed=head.rows,
                index_bytes=size,
                scale=scale,
            )
        )

    def close(self) -> None:
        self._state = None


def _mapped(path: Path, kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    if 0 in shape:  # an empty file cannot be mapped
        return np.empty(shape, kind)
    return np.memmap(path, kind, "r", shape=shape).view(np.ndarray)


def _search_width(rows: int) -> int:
    """How many candidates a search of an index of so many rows looks at."""
    return SEARCH_WIDTH + round(WIDER_PER_DOUBLING * max(0.0, log2(max(rows, 1) / WIDER_FROM)))


def _integers(vectors: NDArray[Float32], scale: float) -> NDArray[np.int8]:
    made: NDArray[np.int8] = np.clip(np.rint(vectors * scale), -LARGEST, LARGEST).astype(np.int8)
    return made


def _hashes(ids: Sequence[str]) -> NDArray[np.uint64]:
    joined = b"".join(blake2b(name.encode(), digest_size=8).digest() for name in ids)
    return np.frombuffer(joined, np.uint64)


def _merged(stored: Pairs, added: Hits, k: int) -> Hits:
    """The ``k`` nearest of both; of an id in both, what was added stands."""
    new = dict(zip(added.ids, added.distances.tolist(), strict=True))
    pairs = [(distance, name) for distance, name in stored if name not in new]
    pairs = sorted([*pairs, *((distance, name) for name, distance in new.items())])[:k]
    return Hits([name for _, name in pairs], np.array([distance for distance, _ in pairs], Float32))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(error, f"write the vectors in {path}") from error
    except (RuntimeError, ValueError) as error:
        kind = StoreFullError if "No space left" in str(error) else StoreError
        raise kind(f"the index of {path} cannot be used: {error}") from error
