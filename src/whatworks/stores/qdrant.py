"""Qdrant: its engine in this process, or a server or cluster of it.

What this adapter knows of Qdrant Edge (0.9, measured):

- It keeps the interpreter to itself in every call. Building an index of 10,000 vectors
  of 384 dimensions would stop all threads for eight seconds, so a process of its own
  builds it, on a copy, which takes the place of the files it was made from.
- 100,000 such vectors go in at 10,000 a second and more, single ones at the same rate. The ten
  nearest are found in 7 ms by comparing all, in 1.3 ms by an index that takes two minutes.
- It refuses to be closed while another thread waits for an answer.
- Ids are numbers or UUIDs: a text becomes a UUID by its hash and is kept beside the vector.
- With its write-ahead log a second handle is refused, and files are twice as large. Without
  it, what was not flushed may be lost, which a store is allowed to.
- Without it, a folder may be opened twice, also by two processes. A second one sees what was
  flushed before, and nothing stops it from writing: whoever owns the store keeps it from others.
- ``flush`` syncs all that it writes, but not the folders that hold it.
- Opening changes files: it writes the settings in another form than creating does, and puts
  a small journal of its own away. So files are opened once more before they are final.
- It believes some damage and answers wrongly: whoever owns the store compares its files first.
- An exact count reads all ids, 0.8 ms for 16,000; its summary has the same number at once.

What it knows of the server is from its documentation, and tried on its client's local mode
and with recorded requests: upserts and deletions with ``wait`` are seen by the next search.
When they go to the disk is the server's business: no call syncs it. It indexes by itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from whatworks import system
from whatworks.errors import InvalidInputError, StoreError
from whatworks.stores.base import DISK_FULL, Float32, Hits, VectorStore, closed, needed, translated

__all__ = ["QdrantServerStore", "QdrantStore", "collections"]

# A scan of this many vectors takes as long as a search of the index.
INDEX_FROM = 10_000
# Changes after which the index is built again, as a share of what is there.
CHANGED_SHARE = 0.1
# Edges of a node of the graph, and candidates while it is built and while it is searched.
M, EF_CONSTRUCT, EF_SEARCH = 16, 128, 128
# Numbers in one request: 8 MB as JSON, and a server refuses 32 MB.
BATCH_NUMBERS = 400_000
PAGE = 1_000
TIMEOUT_SECONDS = 60
# Name of the field of a point that holds the id as it was given.
ID = "id"
SHARD, DRAFT = "shard-", "draft"
# How the engine, here or on a server, says that a disk is full.
_FULL = (*DISK_FULL, "disk space")
# Runs in a process of its own, which dies with the one that asked for it where that can be had.
_OPTIMIZE = """
import sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
from qdrant_edge import EdgeShard
shard = EdgeShard.load(sys.argv[1])
shard.optimize()
shard.flush()
shard.close()
"""

Result = TypeVar("Result")


class _Points(VectorStore):
    """Vectors as points with a UUID each and the id as it was given beside it.

    Two ids with one hash are refused. There are 2**122 hashes: a store of a
    billion ids has such a pair with a chance of 1 in 10**19.
    """

    def _upsert(self, ids: list[str], vectors: NDArray[Float32]) -> None:
        size = max(1, BATCH_NUMBERS // self.dim)
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            with self._changing():
                self._check_unique(part)
                self._put([_key(name) for name in part], part, vectors[start : start + size])

    def _check_unique(self, ids: list[str]) -> None:
        owners = {_key(name): name for name in ids}
        taken = self._owners(list(owners))
        for name in ids:
            other = taken.get(_key(name), owners[_key(name)])
            if other != name:
                raise StoreError(f"the ids {name!r} and {other!r} have the same hash; change one")

    def _search(self, query: NDArray[Float32], k: int) -> Hits:
        return _hits(self._nearest(query.tolist(), k, None))

    def _search_among(self, query: NDArray[Float32], k: int, ids: list[str]) -> Hits:
        wanted = set(ids)
        found = self._nearest(query.tolist(), k, [_key(name) for name in ids])
        return _hits([(name, score) for name, score in found if name in wanted])

    def get(self, ids: Sequence[str]) -> dict[str, NDArray[Float32]]:
        wanted, size = list(dict.fromkeys(ids)), max(1, BATCH_NUMBERS // self.dim)
        found: dict[str, NDArray[Float32]] = {}
        self._live()
        for start in range(0, len(wanted), size):
            part = {_key(name): name for name in wanted[start : start + size]}
            for name, vector in self._vectors(list(part)):
                if part.get(_key(name)) == name:
                    found[name] = np.array(vector, Float32)
        return found

    def delete(self, ids: Sequence[str]) -> None:
        with self._changing():
            for start in range(0, len(ids), PAGE):
                part = {_key(name): name for name in ids[start : start + PAGE]}
                held = self._owners(list(part))
                keys = [key for key, name in held.items() if part[key] == name]
                if keys:
                    self._erase(keys)

    def iter_ids(self) -> Iterator[list[str]]:
        page, offset = self._page(None)
        while page:
            yield page
            if offset is None:
                return
            page, offset = self._page(offset)

    @abstractmethod
    def _live(self) -> Any:
        """What is asked; raises after ``close``."""

    @abstractmethod
    def _changing(self) -> Any:
        """A context for one change, with no other one beside it."""

    @abstractmethod
    def _put(self, keys: list[UUID], ids: list[str], vectors: NDArray[Float32]) -> None: ...

    @abstractmethod
    def _erase(self, keys: list[UUID]) -> None: ...

    @abstractmethod
    def _owners(self, keys: list[UUID]) -> dict[UUID, str]:
        """The ids of those ``keys`` that are there."""

    @abstractmethod
    def _vectors(self, keys: list[UUID]) -> list[tuple[str, list[float]]]: ...

    @abstractmethod
    def _nearest(self, query: list[float], k: int, among: list[UUID] | None) -> list[tuple[str, float]]:
        """Ids and cosines."""

    @abstractmethod
    def _page(self, offset: Any) -> tuple[list[str], Any]:
        """Some ids, and where the next ones begin, ``None`` after the last."""


class QdrantStore(_Points):
    """Vectors in a shard of Qdrant Edge: compared one by one up to 10,000, then an HNSW graph.

    ``QdrantStore.connect`` opens one on a server instead.
    """

    engine = "qdrant"
    packages = ("qdrant-edge-py",)

    def __init__(self, path: Path, *, dim: int) -> None:
        super().__init__(path, dim=dim)
        self._edge = needed("qdrant_edge", self.engine)
        self._write_lock, self._tending = threading.RLock(), threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        # What was changed since the copy was made of which an index is built.
        self._missed: list[Callable[[Any], None]] | None = None
        with self._translated("does not open"):
            self._folder = self._clean_up() or self._create()
            self._shard = self._load(self._folder)
            info = self._shard.info()
        self._changes = max(0, info.points_count - info.indexed_vectors_count)
        self._unsettled = True  # whoever wrote the files last may have died before its flush

    @classmethod
    def connect(cls, url: str, name: str, *, dim: int) -> QdrantServerStore:
        return QdrantServerStore(url, name, dim=dim)

    @classmethod
    def remove(cls, url: str, name: str) -> None:
        with _said_by(url):
            client = _client(url)
            try:
                client.delete_collection(name)
            finally:
                client.close()

    def _clean_up(self) -> Path | None:
        """The files of the store; what an interrupted exchange has left beside them is removed."""
        found = sorted(self.path.glob(SHARD + "*"))
        # Of two the older one stays: the newer one may lack what came while it was made.
        for left in (self.path / DRAFT, *found[1:]):
            if left.exists():
                shutil.rmtree(left)
        return found[0] if found else None

    def _create(self) -> Path:
        draft, folder = self.path / DRAFT, self.path / f"{SHARD}00000001"
        draft.mkdir()
        self._edge.EdgeShard.create(str(draft), self._config()).close()
        self._load(draft).close()
        draft.rename(folder)
        return folder

    def _load(self, folder: Path) -> Any:
        return self._edge.EdgeShard.load(str(folder), self._config())

    def _config(self) -> Any:
        edge, kilobytes = self._edge, INDEX_FROM * self.dim * 4 // 1024
        return edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=self.dim, distance=edge.Distance.Cosine),
            hnsw_config=edge.HnswIndexConfig(
                m=M, ef_construct=EF_CONSTRUCT, full_scan_threshold=max(10, kilobytes)
            ),
            optimizers=edge.EdgeOptimizersConfig(
                indexing_threshold=max(1, kilobytes), default_segment_number=2
            ),
            wal_enabled=False,
        )

    def _translated(self, what: str) -> AbstractContextManager[None]:
        return translated(f"the Qdrant store {self.path} {what}", full=_FULL)

    def _live(self) -> Any:
        shard = self._shard
        if shard is None:
            raise closed()
        return shard

    def _ask(self, question: Callable[[Any], Result]) -> Result:
        """The answer of the newest shard; another one may be closed while it is asked."""
        with self._translated("cannot be read"):
            while True:
                shard = self._live()
                try:
                    return question(shard)
                except Exception:
                    if shard is self._shard:
                        raise

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._write_lock, self._translated("refused"):
            self._live()
            yield

    def _change(self, rows: int, change: Callable[[Any], None]) -> None:
        self._unsettled = True
        change(self._live())
        self._changes += rows
        if self._missed is not None:
            self._missed.append(change)

    def _put(self, keys: list[UUID], ids: list[str], vectors: NDArray[Float32]) -> None:
        rows = zip(keys, ids, vectors.tolist(), strict=True)
        points = [self._edge.Point(key, row, {ID: name}) for key, name, row in rows]
        put = self._edge.UpdateOperation.upsert_points(points)
        self._change(len(ids), lambda shard: shard.update(put))

    def _erase(self, keys: list[UUID]) -> None:
        erase = self._edge.UpdateOperation.delete_points(keys)
        self._change(len(keys), lambda shard: shard.update(erase))

    def _owners(self, keys: list[UUID]) -> dict[UUID, str]:
        return self._ask(
            lambda shard: {held.id: held.payload[ID] for held in shard.retrieve(keys, [ID], False)}
        )

    def _vectors(self, keys: list[UUID]) -> list[tuple[str, list[float]]]:
        return self._ask(
            lambda shard: [(held.payload[ID], held.vector) for held in shard.retrieve(keys, [ID], True)]
        )

    def _nearest(self, query: list[float], k: int, among: list[UUID] | None) -> list[tuple[str, float]]:
        edge = self._edge
        request = edge.QueryRequest(
            query=edge.Query.Nearest(query),
            limit=k,
            with_payload=[ID],
            filter=among and edge.Filter(must=[edge.HasIdCondition(set(among))]),
            params=edge.SearchParams(hnsw_ef=EF_SEARCH, exact=among is not None),
        )
        return self._ask(
            lambda shard: [(near.payload[ID], near.score) for near in shard.query(request)]
        )

    def _page(self, offset: Any) -> tuple[list[str], Any]:
        request = self._edge.ScrollRequest(
            offset=offset, limit=PAGE, with_payload=[ID], with_vector=False
        )
        return self._ask(lambda shard: _paged(shard.scroll(request)))

    def count(self) -> int:
        return int(self._ask(lambda shard: shard.info().points_count))

    def maintain(self) -> bool:
        """Build the index again, in another process, when a tenth has changed; one call at a time."""
        with self._tending:
            if self._changes < max(INDEX_FROM, CHANGED_SHARE * self.count()):
                return False
            draft = self.path / DRAFT
            try:
                self._copy_to(draft)
                self._optimize(draft)
                self._exchange(draft)
            finally:
                self._missed = None
                shutil.rmtree(draft, ignore_errors=True)
            return True

    def _copy_to(self, draft: Path) -> None:
        with self._changing():
            self._live().flush()
            shutil.copytree(self._folder, draft)
            self._missed, self._changes = [], 0

    def _optimize(self, draft: Path) -> None:
        # The process finds the same packages, wherever this one was told to look for them.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with (
            self._translated("cannot be indexed"),
            subprocess.Popen(
                [sys.executable, "-P", "-c", _OPTIMIZE, str(draft)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            ) as self._worker,
        ):
            if self._shard is None:
                self._worker.kill()
            _, said = self._worker.communicate()
            self._live()
            if self._worker.returncode:
                raise OSError(said.decode(errors="replace").strip().rpartition("\n")[2])

    def _exchange(self, draft: Path) -> None:
        """Let the files of ``draft`` take the place of the present ones."""
        folder = self.path / f"{SHARD}{int(self._folder.name.removeprefix(SHARD)) + 1:08}"
        with self._changing():
            shard = self._load(draft)
            for change in self._missed or []:
                change(shard)
            shard.flush()
            shard.close()
            self._load(draft).close()
            _sync(draft)
            draft.rename(folder)
            old = self._folder
            self._open_again(folder)
            old.rename(draft)

    def flush(self) -> None:
        with self._changing():
            if self._unsettled:
                self._live().flush()
                self._open_again(self._folder)
                self._unsettled = False
            _sync(self._folder)
            system.sync(self.path)

    def _open_again(self, folder: Path) -> None:
        """Go on with the files of ``folder``; a search that finds the old ones closed asks again."""
        opened = self._load(folder)
        old, self._shard, self._folder = self._shard, opened, folder
        _shut(old)

    def close(self) -> None:
        with self._write_lock:
            shard, self._shard = self._shard, None
            if shard is not None:
                with self._translated("cannot be closed"):
                    _shut(shard)
        if self._worker is not None:
            self._worker.kill()


class QdrantServerStore(_Points):
    """Vectors in a collection of a Qdrant server, which indexes them by itself.

    Made by ``QdrantStore.connect``. The key of the server, if it wants one,
    is read from the environment: ``QDRANT_API_KEY``.

    Raises
    ------
    InvalidInputError
        The address has a password in it.
    StoreError
        The server cannot be reached, or its collection is of another shape.
    """

    engine = "qdrant"
    packages = ("qdrant-client",)

    def __init__(self, url: str, name: str, *, dim: int) -> None:
        # Not the base's: there is no folder to make.
        self.dim = dim
        self._url, self._name = url, name
        self._models = needed("qdrant_client.models", self.engine)
        with _said_by(url):
            self._client = _client(url)
            try:
                self._find_or_create()
            except BaseException:
                self.close()
                raise

    def _find_or_create(self) -> None:
        models, client = self._models, self._client
        if not client.collection_exists(self._name):
            shape = models.VectorParams(size=self.dim, distance=models.Distance.COSINE)
            client.create_collection(self._name, vectors_config=shape)
        found = client.get_collection(self._name).config.params.vectors
        shape = (getattr(found, "size", None), getattr(found, "distance", None))
        if shape != (self.dim, models.Distance.COSINE):
            raise StoreError(
                f"the collection {self._name!r} at {self._url} has (dimensions, distance) {shape}; "
                f"expected ({self.dim}, Cosine): another model or program made it"
            )

    def _live(self) -> Any:
        client = self._client
        if client is None:
            raise closed()
        return client

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._live()
        yield

    def _ask(self, question: Callable[[Any], Result]) -> Result:
        with _said_by(self._url):
            client = self._live()
            try:
                return question(client)
            except Exception:
                self._live()  # closed meanwhile, whatever the client made of it
                raise

    def _put(self, keys: list[UUID], ids: list[str], vectors: NDArray[Float32]) -> None:
        points = self._models.Batch(
            ids=_texts(keys), vectors=vectors.tolist(), payloads=[{ID: name} for name in ids]
        )
        self._ask(lambda client: client.upsert(self._name, points=points, wait=True))

    def _erase(self, keys: list[UUID]) -> None:
        which = self._models.PointIdsList(points=_texts(keys))
        self._ask(lambda client: client.delete(self._name, points_selector=which, wait=True))

    def _owners(self, keys: list[UUID]) -> dict[UUID, str]:
        def owners(client: Any) -> dict[UUID, str]:
            found = client.retrieve(self._name, _texts(keys), with_payload=[ID], with_vectors=False)
            return {UUID(str(held.id)): held.payload[ID] for held in found}

        return self._ask(owners)

    def _vectors(self, keys: list[UUID]) -> list[tuple[str, list[float]]]:
        def vectors(client: Any) -> list[tuple[str, list[float]]]:
            found = client.retrieve(self._name, _texts(keys), with_payload=[ID], with_vectors=True)
            return [(held.payload[ID], held.vector) for held in found]

        return self._ask(vectors)

    def _nearest(self, query: list[float], k: int, among: list[UUID] | None) -> list[tuple[str, float]]:
        models = self._models
        only = among and models.Filter(must=[models.HasIdCondition(has_id=_texts(among))])
        params = models.SearchParams(hnsw_ef=EF_SEARCH, exact=among is not None)

        def nearest(client: Any) -> list[tuple[str, float]]:
            found = client.query_points(
                self._name,
                query=query,
                limit=k,
                query_filter=only,
                search_params=params,
                with_payload=[ID],
            )
            return [(near.payload[ID], near.score) for near in found.points]

        return self._ask(nearest)

    def _page(self, offset: Any) -> tuple[list[str], Any]:
        return self._ask(
            lambda client: _paged(
                client.scroll(self._name, limit=PAGE, offset=offset, with_payload=[ID])
            )
        )

    def _is_empty(self) -> bool:
        return False  # spares one of two requests: the search finds nothing then

    def count(self) -> int:
        return int(self._ask(lambda client: client.count(self._name, exact=True).count))

    def flush(self) -> None:
        """Nothing is left to do: each change has waited until the server had it in its log."""
        self._live()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _shut(shard: Any) -> None:
    """Close a shard that gets no more questions, once those that it got are answered."""
    while True:
        try:
            shard.close()
        except RuntimeError as error:
            if "borrowed" not in str(error):
                raise
            time.sleep(0.001)
        else:
            return


def _client(url: str) -> Any:
    """A client of the server at ``url``; nothing is sent before it is asked something."""
    client = needed("qdrant_client", "qdrant").QdrantClient
    place = urlsplit(url)
    if place.username or place.password:
        raise InvalidInputError(
            f"the address of {place.hostname} has a name or password in it; set QDRANT_API_KEY instead"
        )
    key = os.environ.get("QDRANT_API_KEY")
    return client(url=url, api_key=key, timeout=TIMEOUT_SECONDS, check_compatibility=False)


def collections(url: str) -> list[str]:
    """The names of all collections of the server at ``url``."""
    with _said_by(url):
        client = _client(url)
        try:
            return [each.name for each in client.get_collections().collections]
        finally:
            client.close()


def _key(name: str) -> UUID:
    """The UUID of an id, of version 8: made as its owner likes, here by a hash."""
    bits = int.from_bytes(blake2b(name.encode(errors="surrogatepass"), digest_size=16).digest(), "big")
    return UUID(int=bits & ~(0xF << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62)


def _texts(keys: list[UUID]) -> list[str]:
    return [str(key) for key in keys]


def _paged(answer: tuple[list[Any], Any]) -> tuple[list[str], Any]:
    found, following = answer
    return [held.payload[ID] for held in found], following


def _hits(found: list[tuple[str, float]]) -> Hits:
    scores = np.array([score for _, score in found], np.float64)
    return Hits([name for name, _ in found], (1 - scores).astype(Float32))


def _sync(path: Path) -> None:
    """Put all files below ``path`` onto the disk, and their names."""
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(FileNotFoundError):
                system.sync(Path(folder, name))
        with suppress(FileNotFoundError):
            system.sync(Path(folder))


def _said_by(url: str) -> AbstractContextManager[None]:
    """A context in which errors become ours, with the address."""
    return translated(f"the Qdrant server {url} could not do it", full=_FULL)
