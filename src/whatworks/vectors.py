"""The vectors of one collection: what the store holds, and in memory what it does not yet.

A view of the embeddings in the evidence. A manifest beside the store says
how far it has come, how it was made, and which files it consists of, with
their checksums: engines have none for their data, and may take the process
with them when they read a damaged file. If anything differs, the store is
thrown away and filled again, never tried.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from whatworks import failpoints
from whatworks.config import replace_file
from whatworks.errors import StoreError, StoreFullError, disk_error
from whatworks.evidence import Evidence, texts
from whatworks.stores import (
    CanErase,
    CanIterate,
    CanMaintain,
    Hits,
    VectorStore,
    engine_class,
    open_store,
    remove_store,
)
from whatworks.stores.base import closed
from whatworks.stores.contents import Contents, Listing
from whatworks.stores.exact import Rows
from whatworks.stores.registry import server, versions

__all__ = ["IN_MEMORY", "Vectors", "remove"]

FORMAT = 4
NAME = "name"
# Up to here all vectors are kept in memory and compared one by one: 15 MB at
# 384 dimensions, 1 ms. At this size no vector engine is loaded but by `flush`.
IN_MEMORY = 10_000
# Engines like large batches: a commit costs 3 ms and makes files.
BATCH = 4_096
TAIL = 1_024
# How long a store that failed is left alone before it is filled again.
RETRY_SECONDS = 10.0
# How many vectors a store is given before it is flushed in between.
CHECKPOINT = 65_536


class Vectors:
    """Nearest neighbours among the embeddings of one collection by one model.

    Parameters
    ----------
    folder
        Where the store and its manifest lie.
    collection
        ``patterns`` or ``contexts``.
    vectors
        Which vector store, as in ``open_store``.
    model, dim
        Of the embeddings.
    progress
        Called with the number of vectors that the store was just given.

    Searching is open to any thread; all else is for the holder of the
    owner's lock.
    """

    def __init__(
        self,
        evidence: Evidence,
        folder: Path,
        collection: str,
        *,
        vectors: str,
        model: str,
        dim: int,
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._evidence = evidence
        self._folder = folder
        self._vectors = vectors
        self._progress = progress
        self._dim = dim
        self.collection = collection
        self.model = model
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # held while the manifest may not agree with the store
        self._store: VectorStore | None = None
        self._failed = False
        self._retry_at = 0.0
        self.trouble: str | None = None  # why the store cannot be used, while it cannot
        self._contents = Contents(folder / "store")
        self._files: Listing = {}
        self._stored, self._count = -1, 0
        self._near = Rows(dim)
        self._upkeep = threading.Lock()
        self._in_upkeep = False
        self._load()

    def _load(self) -> None:
        try:
            self._read()
        except StoreFullError:
            raise
        except StoreError as error:
            self._note_failure(error)
        except OSError as error:
            raise disk_error(error, f"open the vectors in {self._folder}") from error

    def _read(self) -> None:
        self._told = texts.embedded(self._evidence, self.collection, self.model)
        self._stored = self._manifest_sequence()
        if texts.total(self._evidence, self.collection, self.model) <= IN_MEMORY:
            self._remember(-1)
        elif self._stored < 0:
            self.project()
        else:
            self._remember(self._stored)
            self._store = self._opened()
            self.project(force=self._stored < 0)  # one that had to be begun anew is filled at once

    def _remember(self, after: int) -> None:
        for ids, vectors, _ in texts.vectors(self._evidence, self.collection, self.model, after):
            self._near.put(ids, vectors)

    @property
    def in_memory(self) -> int:
        """Number of vectors kept in memory."""
        return len(self._near)

    def add(self, ids: list[str], vectors: NDArray[np.float32]) -> None:
        """Make new embeddings findable at once; they are in the evidence already."""
        self._near.put(ids, vectors)

    def drop(self, ids: list[str]) -> None:
        """Find these no more; they are in the evidence no longer.

        Their bytes go when the store is made anew.
        """
        self._near.drop(ids)
        with self._writing:
            store = self._store
            if store is None:
                return
            try:
                store.delete(ids)
                store.flush()
                self._write_manifest(self._stored, store.count())
            except StoreFullError:
                raise
            except StoreError as error:
                self._note_failure(error)

    def erase(self) -> bool:
        """Leave nothing on the disk of what is in the evidence no longer; false if it cannot be done.

        The caller then has to fill another store.
        """
        store = self._store
        if store is None or self._failed:
            with self._writing:
                self._discard()
            return True
        if not isinstance(store, CanErase) or not isinstance(store, CanIterate):
            return False
        with self._upkeep, self._writing:
            for ids in list(store.iter_ids()):
                known = texts.known(self._evidence, self.collection, self.model, ids)
                store.delete([name for name in ids if name not in known])
            store.erase()
            self._write_manifest(self._stored, store.count())
        return True

    def catch_up(self) -> None:
        """Take in what was embedded since this was opened, where nobody called ``add``."""
        self._remember(self._told)
        self.project(force=True)

    def search(self, query: NDArray[np.float32], k: int) -> Hits:
        """The ``k`` nearest to ``query`` (length 1), ties in the order of ids."""
        if query.shape != (self._dim,):
            raise StoreError("the embedder was changed meanwhile; ask again")
        with self._lock:
            store, near = self._store, self._near
        if store is None:
            return self._scanned(query, k) if self._failed else near.search(query, k)
        try:
            if not len(near):
                return store.nearest(query, k)
            hits, older = near.search(query, k), self._older(store, near, query, k)
        except StoreError:
            self._give_up(store)
            return self._scanned(query, k)
        return _hits([*zip(hits.distances.tolist(), hits.ids, strict=True), *older], k)

    def _give_up(self, store: VectorStore) -> None:
        """Take down that a store failed: the next projection fills another one."""
        if self._store is None:
            raise closed()
        self._failed = self._failed or self._store is store

    def _scanned(self, query: NDArray[np.float32], k: int) -> Hits:
        """The ``k`` nearest among the embeddings in the evidence: slow, and needs no store."""
        near: list[tuple[float, str]] = []
        for ids, vectors, _ in texts.vectors(self._evidence, self.collection, self.model):
            distances = 1 - vectors @ query
            near = sorted([*near, *zip(distances.tolist(), ids, strict=True)])[:k]
        return _hits(near, k)

    def _older(
        self, store: VectorStore, near: Rows, query: NDArray[np.float32], k: int
    ) -> list[tuple[float, str]]:
        """The ``k`` nearest in the store that were not replaced since the last projection."""
        reach = k + min(len(near), k)
        while True:
            found = store.nearest(query, reach)
            pairs = zip(found.distances.tolist(), found.ids, strict=True)
            older = [pair for pair in pairs if pair[1] not in near]
            if len(older) >= k or len(found.ids) < reach:
                return older
            reach *= 4

    def get(self, ids: list[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors of ids, each of length 1; those that are not there are absent."""
        with self._lock:
            store, near = self._store, self._near
        found = near.get(ids)
        missing = [name for name in ids if name not in found]
        if not missing or (store is None and not self._failed):
            return found
        if store is not None:
            try:
                return found | store.get(missing)
            except StoreError:
                self._give_up(store)
        known, vectors = texts.of(self._evidence, self.collection, self.model, missing)
        return found | dict(zip(known, vectors, strict=True))

    def distances(self, query: NDArray[np.float32], ids: list[str]) -> Hits:
        """The distances of some ids from ``query``, nearest first, exact."""
        found, vectors = texts.of(self._evidence, self.collection, self.model, ids)
        if not found:
            return Hits([], np.empty(0, np.float32))
        return _hits(list(zip((1 - vectors @ query).tolist(), found, strict=True)), len(found))

    # -- the store ------------------------------------------------------------------------------

    def project(self, *, force: bool = False) -> None:
        """Bring the store up to the evidence, when enough has gathered or ``force`` says so."""
        newest = texts.embedded(self._evidence, self.collection, self.model)
        if newest <= self._stored and not self._failed:
            return
        large = texts.total(self._evidence, self.collection, self.model) > IN_MEMORY
        waits = self._store is None or len(self._near) >= TAIL or self._failed
        if not force and (not large or not waits or self._in_upkeep or monotonic() < self._retry_at):
            return
        try:
            with self._writing:
                store = self._brought_up(newest, large)
        except StoreFullError:
            raise
        except StoreError as error:
            self._note_failure(error)
            if force:
                raise
            return
        except OSError as error:
            raise disk_error(error, f"write the vectors in {self._folder}") from error
        if large:
            with self._lock:
                self._store, self._near = store, Rows(self._dim)
        elif self._store is None:
            store.close()
        self._failed, self.trouble = False, None

    def _note_failure(self, error: StoreError) -> None:
        """The engine is broken, or its server out of reach: the evidence answers until it is not."""
        self._failed, self.trouble = True, str(error)
        self._retry_at = monotonic() + RETRY_SECONDS

    def _brought_up(self, newest: int, large: bool) -> VectorStore:
        try:
            return self._fill(newest, large)
        except StoreFullError:
            raise
        except StoreError:  # a store that fails is a store to fill again
            self._failed = True
            return self._fill(newest, large)

    def _fill(self, newest: int, large: bool) -> VectorStore:
        store, since = self._opened(), 0
        for ids, vectors, change in texts.vectors(
            self._evidence, self.collection, self.model, self._stored, BATCH
        ):
            store.upsert(ids, vectors)
            failpoints.reached("vectors.upserted")
            self._progress(len(ids))
            since += len(ids)
            if since >= CHECKPOINT:  # so that what was interrupted goes on from here
                store.flush()
                self._write_manifest(change, store.count())
                since = 0
        if not large and isinstance(store, CanMaintain):
            store.maintain()  # it is closed at once, and this is the time for it
        store.flush()
        failpoints.reached("vectors.flushed")
        self._write_manifest(newest, store.count())
        return store

    @property
    def reached(self) -> int:
        """The last change that the store on the disk knows of."""
        return self._stored

    @contextmanager
    def stored(self) -> Iterator[VectorStore]:
        """The store itself, also where all vectors are in memory."""
        if self._store is not None:
            yield self._store
            return
        store = self._found()
        if store is None:  # somebody has touched its files
            self._failed = True
            self.project(force=True)
            store = self._open()
        try:
            yield store
        finally:
            store.close()
            if not store.stable_files:
                self._write_manifest(self._stored, self._count)

    def maintain(self) -> None:
        """Let the store do its upkeep; searches go on meanwhile."""
        store = self._store
        if not isinstance(store, CanMaintain):
            return
        with self._upkeep:  # one would clean up what the other only just looks at
            self._in_upkeep = True  # new vectors stay in memory rather than wait for it
            try:
                if store.maintain():
                    failpoints.reached("vectors.maintained")
                    with self._writing:
                        self._keep_up(store)
            finally:
                self._in_upkeep = False

    def _keep_up(self, store: VectorStore) -> None:
        """Take down the files as they are after upkeep, unless the store was let go meanwhile."""
        if self._store is store:
            store.flush()
            self._write_manifest(self._stored, self._count)

    def _opened(self) -> VectorStore:
        """The store as the manifest describes it, or an empty one."""
        if self._store is not None and not self._failed:
            return self._store
        if self._failed:
            self._stored = -1
        if self._store is not None:
            self._store.close()  # and kept: what is searched meanwhile is looked for in the evidence
        if self._stored >= 0:
            with suppress(StoreError):  # a store that does not open is a store to fill again
                if store := self._found():
                    return store
        self._discard()
        return self._open()

    def _open(self) -> VectorStore:
        place = self._folder / "store"
        return open_store(self._vectors, place, dim=self._dim, name=_server_name(self._folder))

    def _found(self) -> VectorStore | None:
        """The store on the disk, if it is what was flushed: no file is opened that was touched."""
        if self._contents.listing() != self._files:
            return None
        store = self._open()
        if store.count() == self._count:
            return store
        store.close()
        return None

    def _discard(self) -> None:
        """Throw away what lies in the folder; the next projection fills a new store."""
        remove(self._vectors, self._folder)
        failpoints.reached("vectors.discarded")
        for folder in (self._folder.parent.parent, self._folder.parent, self._folder):
            folder.mkdir(exist_ok=True, mode=0o700)
        if server(self._vectors):
            name = f"whatworks-{self.collection}-{os.urandom(8).hex()}"
            replace_file(self._folder / NAME, name.encode())
        self._stored = -1

    def _description(self) -> dict[str, Any]:
        """All that must agree for a store to be trusted."""
        return {
            "format": FORMAT,
            "engine": self._vectors,
            "engine_version": versions(engine_class(self._vectors)),
            "model": self.model,
            "dim": self._dim,
            "metric": "cosine",
            "build": self._evidence.build,
        }

    def _manifest_sequence(self) -> int:
        try:
            manifest = orjson.loads((self._folder / "manifest.json").read_bytes())
        except (OSError, ValueError):
            return -1
        if not isinstance(manifest, dict) or manifest | self._description() != manifest:
            return -1
        reached: list[Any] = [manifest.get(name) for name in ("sequence", "vectors", "folded")]
        files = manifest.get("files")
        if not isinstance(files, dict) or not all(isinstance(number, int) for number in reached):
            return -1
        sequence, self._count, folded = reached
        self._files = files
        # Evidence that lost its end may number what it folds again otherwise than before.
        same = manifest.get("opening") == self._evidence.opening
        return int(sequence) if same or folded <= self._evidence.opened_at else -1

    def _write_manifest(self, sequence: int, count: int) -> None:
        files = self._contents.listing()
        reached = {
            "sequence": sequence,
            "vectors": count,
            "folded": self._evidence.folded,
            "opening": self._evidence.opening,
            "files": files,
        }
        replace_file(self._folder / "manifest.json", orjson.dumps(self._description() | reached))
        failpoints.reached("vectors.described")
        self._stored, self._count, self._files = sequence, count, files

    def close(self) -> None:
        """Let go of the store."""
        with self._writing:
            if self._store is not None:
                store, self._store = self._store, None
                store.close()
                if not store.stable_files and not self._failed and self._stored >= 0:
                    self._write_manifest(self._stored, self._count)  # what closing made of the files
                failpoints.reached("vectors.closed")


def remove(vectors: str, folder: Path) -> None:
    """Remove a store of vectors with its manifest, wherever it lies, if it is there."""
    remove_store(vectors, folder, name=_server_name(folder))


def _server_name(folder: Path) -> str:
    """What a store is called on its server: a name of its own, also after a restore."""
    try:
        return (folder / NAME).read_text()
    except FileNotFoundError:
        return ""


def _hits(pairs: list[tuple[float, str]], k: int) -> Hits:
    """The ``k`` nearest of (distance, id) pairs in any order."""
    nearest = sorted(pairs)[:k]
    return Hits([name for _, name in nearest], np.array([d for d, _ in nearest], np.float32))
