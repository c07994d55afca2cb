"""Chroma: vectors in SQLite with an HNSW graph, in this process or on a server.

What this adapter knows of Chroma (1.5, measured):

- Each opening writes a row to its SQLite file, so that files never stay as they were.
- SQLite syncs each batch; the files of the graph are never synced. They follow every
  thousand changes, and the rest is replayed from SQLite when a collection is first used.
- It keeps one client for each path in a process, and a second one at the same path gets
  the same, also after the folder was replaced: each store spells its path differently.
- So 100,000 vectors of 384 dimensions go in at 550 a second in batches, and at 20 to 30
  one by one; the ten nearest of them are found in 2 ms.
- It makes vectors of length 1 once more: what comes back may differ in the last bit.
- It counts by reading all ids: 9 ms for 100,000.
- A batch of more than 5,461 vectors is refused.
- The graph answers alone, however few vectors there are: a search is exact as long as
  its candidates (``ef_search``) outnumber them.
- A vector that is replaced in place may no longer be reached in the graph (hnswlib, issue
  522): of 350 collections of 40 vectors, all replaced, 15 lost their first one. So it is
  deleted and added, which loses it if the process is killed in between; its owner sees that.
- Damaged files may kill the process, or be believed: whoever owns the store compares first.
- A client of a server waits for ever, and closing it leaves its connections open.
- Its settings come from the environment and a file ``.env``, unless they are given.
"""

from __future__ import annotations

import os
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from whatworks import system
from whatworks.errors import InvalidInputError, StoreError
from whatworks.stores.base import DISK_FULL, Float32, Hits, VectorStore, closed, needed, translated

__all__ = ["ChromaServerStore", "ChromaStore"]

# Edges of a node of the graph, and candidates while it is built and while it is searched.
M, EF_CONSTRUCT, EF_SEARCH = 16, 128, 256
# Numbers in one request: 8 MB as JSON.
BATCH_NUMBERS = 400_000
PAGE = 1_000
TIMEOUT_SECONDS = 60
COLLECTION = "vectors"
# What a collection says of itself.
DIM = "whatworks_dim"
_FULL = (*DISK_FULL, "database or disk is full")
_HERE, _THERE = "chromadb.api.rust.RustBindingsAPI", "chromadb.api.fastapi.FastAPI"
_TOKENS = "chromadb.auth.token_authn.TokenAuthClientProvider"


class _Collection(VectorStore):
    """Vectors in a collection, which lies here or on a server."""

    def _open(self, name: str) -> None:
        """Find or make the collection ``name``; raises if its vectors are of another shape."""
        self._client: Any = None
        with self._translated():
            try:
                self._client = self._connected()
                self._collection = self._client.get_or_create_collection(
                    name,
                    # Its default is a model that it would download.
                    embedding_function=None,
                    metadata={DIM: self.dim},
                    configuration={
                        "hnsw": {
                            "space": "cosine",
                            "max_neighbors": M,
                            "ef_construction": EF_CONSTRUCT,
                            "ef_search": EF_SEARCH,
                        }
                    },
                )
                found = (self._collection.metadata or {}).get(DIM)
                if found != self.dim:
                    raise StoreError(
                        f"{self._where()} has a collection {name!r} of {found} dimensions, not "
                        f"{self.dim}: another model or program made it"
                    )
                most = int(self._client.get_max_batch_size())
            except BaseException:
                self.close()
                raise
        self._batch = max(1, min(most, BATCH_NUMBERS // self.dim))

    @abstractmethod
    def _connected(self) -> Any:
        """A client."""

    @abstractmethod
    def _where(self) -> str:
        """What messages call the place where the vectors lie."""

    def _translated(self) -> AbstractContextManager[None]:
        return translated(f"{self._where()} could not do it", full=_FULL)

    def _ask(self, method: str, **given: Any) -> Any:
        with self._translated():
            self._live()
            try:
                return getattr(self._collection, method)(**given)
            except Exception:
                self._live()  # closed meanwhile, whatever the client made of it
                raise

    def _live(self) -> None:
        if self._client is None:
            raise closed()

    def _upsert(self, ids: list[str], vectors: NDArray[Float32]) -> None:
        for start in range(0, len(ids), self._batch):
            rows = slice(start, start + self._batch)
            # An upsert in place may cut a vector off from the graph: they are taken out first.
            self.delete(self._ask("get", ids=ids[rows], include=[])["ids"])
            self._ask("upsert", ids=ids[rows], embeddings=vectors[rows])

    def _is_empty(self) -> bool:
        return False  # counting takes longer than the search, which finds nothing then

    def _search(self, query: NDArray[Float32], k: int) -> Hits:
        found = self._ask("query", query_embeddings=[query], n_results=k, include=["distances"])
        return Hits(found["ids"][0], np.array(found["distances"][0], Float32))

    def get(self, ids: Sequence[str]) -> dict[str, NDArray[Float32]]:
        self._live()
        wanted, held = list(dict.fromkeys(ids)), dict[str, NDArray[Float32]]()
        for start in range(0, len(wanted), PAGE):
            found = self._ask("get", ids=wanted[start : start + PAGE], include=["embeddings"])
            held.update(zip(found["ids"], np.array(found["embeddings"], Float32), strict=True))
        return held

    def delete(self, ids: Sequence[str]) -> None:
        self._live()
        unwanted = list(dict.fromkeys(ids))
        for start in range(0, len(unwanted), PAGE):
            self._ask("delete", ids=unwanted[start : start + PAGE])

    def iter_ids(self) -> Iterator[list[str]]:
        start = 0
        while page := self._ask("get", limit=PAGE, offset=start, include=[])["ids"]:
            yield page
            start += len(page)

    def count(self) -> int:
        return int(self._ask("count"))

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            _close(client)


class ChromaStore(_Collection):
    """Vectors in a folder of Chroma's; ``ChromaStore.connect`` opens one on a server instead.

    Nothing is reported to its makers and no model is downloaded.
    """

    engine = "chroma"
    packages = ("chromadb",)
    stable_files: ClassVar[bool] = False

    # The paths of open stores as they are spelled, for all stores of this process.
    _spelled: ClassVar[set[str]] = set()
    _spelling: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path, *, dim: int) -> None:
        super().__init__(path, dim=dim)
        self._place = self._spell(str(path.resolve()))
        self._open(COLLECTION)

    @classmethod
    def connect(cls, url: str, name: str, *, dim: int) -> ChromaServerStore:
        return ChromaServerStore(url, name, dim=dim)

    @classmethod
    def remove(cls, url: str, name: str) -> None:
        errors = needed("chromadb.errors", cls.engine)
        with translated(f"the Chroma server {url} could not do it", full=_FULL):
            client = _client(url)
            try:
                with suppress(errors.NotFoundError):
                    client.delete_collection(name)
            finally:
                _close(client)

    @classmethod
    def _spell(cls, place: str) -> str:
        """A path to ``place`` that no open store uses: for the same one it would share a client."""
        with cls._spelling:
            while place in cls._spelled:
                place += "/."
            cls._spelled.add(place)
        return place

    def _connected(self) -> Any:
        chromadb = needed("chromadb", self.engine)
        return chromadb.PersistentClient(self._place, settings=_settings(_HERE))

    def _where(self) -> str:
        return f"the Chroma store {self.path}"

    def flush(self) -> None:
        """Sync the files of the graph, which the engine leaves to the operating system."""
        with self._translated():
            self._live()
            for folder, _, files in os.walk(self.path):
                for name in files:
                    with suppress(FileNotFoundError):  # a journal that SQLite is done with
                        system.sync(Path(folder, name))
                system.sync(Path(folder))

    def close(self) -> None:
        super().close()
        self._spelled.discard(self._place)


class ChromaServerStore(_Collection):
    """Vectors in a collection of a Chroma server.

    Made by ``ChromaStore.connect``. The token of the server, if it wants one,
    is read from the environment: ``CHROMA_AUTH_TOKEN``.

    Raises
    ------
    InvalidInputError
        The address has a password in it, or a path.
    StoreError
        The server cannot be reached, or its collection is of another shape.
    """

    engine = "chroma"
    packages = ("chromadb",)

    def __init__(self, url: str, name: str, *, dim: int) -> None:
        # Not the base's: there is no folder to make.
        self.dim = dim
        self._url = url
        self._open(name)

    def _connected(self) -> Any:
        return _client(self._url)

    def _where(self) -> str:
        return f"the Chroma server {self._url}"

    def flush(self) -> None:
        """Nothing is left to do: each change has waited until it was in the server's SQLite."""
        self._live()


def _client(url: str) -> Any:
    chromadb = needed("chromadb", "chroma")
    host, port, encrypted = _address(url)
    place = {"chroma_server_host": host, "chroma_server_http_port": port}
    settings = _settings(_THERE, **place, **_authentication())
    client = chromadb.HttpClient(host=host, port=port, ssl=encrypted, settings=settings)
    for session in _sessions(client):
        session.timeout = TIMEOUT_SECONDS
    return client


def _address(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether the connection is encrypted."""
    place = urlsplit(url)
    if place.username or place.password:
        raise InvalidInputError(
            f"the address of {place.hostname} has a name or password in it; "
            "set CHROMA_AUTH_TOKEN instead"
        )
    with suppress(ValueError):  # a port that is no number
        if place.scheme in ("http", "https") and place.hostname and not place.path.strip("/"):
            encrypted = place.scheme == "https"
            return place.hostname, place.port or (443 if encrypted else 8000), encrypted
    raise InvalidInputError(f"the address is {url!r}; expected http://host:8000 or https://host")


def _close(client: Any) -> None:
    sessions = _sessions(client)
    client.close()
    for session in sessions:
        session.close()


def _sessions(client: Any) -> list[Any]:
    """The connections of a client, which has no way to limit their time or to close them."""
    parts = (client, getattr(client, "_admin_client", None))
    found = [getattr(getattr(part, "_server", None), "_session", None) for part in parts]
    return [session for session in found if session is not None]


def _authentication() -> dict[str, str]:
    token = os.environ.get("CHROMA_AUTH_TOKEN")
    if not token:
        return {}
    return {"chroma_client_auth_provider": _TOKENS, "chroma_client_auth_credentials": token}


def _settings(api: str, **given: Any) -> Any:
    """Settings that say where vectors go and that nothing is reported, whatever is set elsewhere."""
    config = needed("chromadb.config", "chroma")
    return config.Settings(
        _env_file=None,
        chroma_api_impl=api,
        anonymized_telemetry=False,
        chroma_otel_collection_endpoint="",
        **given,
    )
