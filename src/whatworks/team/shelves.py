"""Shelves: where the vectors of a team lie that all its machines read and one at a time writes.

A shelf holds vectors by the key of their text, in a place of its own below the address that the
team was given: a Lance dataset on S3, or a collection of a Qdrant cluster. Nothing that is written
there is read before the team's database names it, see ``shared``.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from whatworks import failpoints
from whatworks.errors import InvalidInputError, StoreError
from whatworks.stores.base import needed, translated
from whatworks.team.bucket import Bucket, allows_http, first_line, require_url

if TYPE_CHECKING:
    from whatworks.stores.qdrant import QdrantServerStore

__all__ = ["Shelf", "clean", "key", "open_shelf", "places", "prepare", "remove", "require_address"]

QDRANT = ("qdrant+http", "qdrant+https")
# Rows that are read or written at once.
ROWS = 4_096
# Files of the dataset are merged when there are more; so many keys go into one condition.
FRAGMENTS, KEYS = 16, 1_000
MERGED_ROWS = 65_536
# Whoever reads the version that was named before may take so long.
READING = timedelta(minutes=10)
OPTIONS = {
    "connect_timeout": "5s",
    "timeout": "60s",
    "client_max_retries": "2",
    "client_retry_timeout": "20",
}
PREFIX = "whatworks-"
_PLACE = re.compile(r"[0-9a-f-]{36}/[0-9a-f-]{36}")


def key(model: str, text: str) -> str:
    """Under which name the vector of a text lies: a hash of the model and the text."""
    told = f"{model}\0{text}".encode(errors="surrogatepass")
    return blake2b(told, digest_size=16).hexdigest()


def require_address(url: str) -> str:
    """The address of a folder on S3 or of a Qdrant cluster, without credentials.

    Raises
    ------
    InvalidInputError
        It is neither, or holds credentials.
    """
    if not has_key(url):
        return require_url(url, "the address of the vectors", "or qdrant+https://HOST:6333")
    try:
        parts = urlsplit(url)
        bare = not (parts.username or parts.password or parts.query)
        host = parts.hostname or "no host"
    except ValueError:
        host, bare = "no host", False
    if not bare or host == "no host":
        raise InvalidInputError(
            f"the address of the vectors is on {host}; expected "
            "qdrant+https://HOST:6333 alone, the key comes from $QDRANT_API_KEY"
        )
    return url.rstrip("/")


def has_key(url: str) -> bool:
    """Whether it is that of a Qdrant cluster, which is told its key in every request."""
    return url.partition("://")[0] in QDRANT


class Shelf(ABC):
    """Vectors by key; for one thread at a time."""

    version = 0  # what has to be named to read it as it is now

    @abstractmethod
    def held(self) -> Iterator[list[str]]:
        """All keys, in pages."""

    @abstractmethod
    def get(self, wanted: Collection[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Those of the keys that are there, and their vectors ``(n, dim)``, in pages."""

    @abstractmethod
    def add(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Add vectors, of keys that are not there."""

    @abstractmethod
    def erase(self, keys: Collection[str]) -> None:
        """Have the newest version without some keys, and without their bytes; see ``clean``."""

    @abstractmethod
    def count(self) -> int:
        """How many there are."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""


def open_shelf(url: str, place: str, *, dim: int, version: int | None = None) -> Shelf:
    """What lies in a place, in one version of it or the newest one; an empty shelf to write to.

    Raises
    ------
    StoreError
        It cannot be opened, or is no place of a team.
    MissingExtraError
        A package is not installed.
    """
    if not _PLACE.fullmatch(place):
        raise StoreError(f"the team's database names a place {place!r}; expected two ids")
    require_address(url)
    if has_key(url):
        return _QdrantShelf(url.removeprefix("qdrant+"), place, dim)
    return _LanceShelf(f"{url}/{place}.lance", dim, version)


def prepare(url: str) -> None:
    """See that the storage can be used: that it answers, and puts a file only once.

    Raises
    ------
    StoreError
        It cannot.
    """
    if has_key(url):
        _collections(url)
    else:
        needed("lance", "lance")
        Bucket(url).probe()


def places(url: str, team: str) -> list[str]:
    """The places of a team that hold something."""
    if has_key(url):
        start = f"{PREFIX}{team}-"
        names = [name.removeprefix(start) for name in _collections(url) if name.startswith(start)]
        return [f"{team}/{name}" for name in names]
    names = Bucket(url, waits="20s").names(team)
    return sorted({"/".join(name.split("/")[:2]).removesuffix(".lance") for name in names})


def clean(url: str, place: str, *, at_once: bool) -> None:
    """Remove what only older versions have; ``at_once`` nothing of them stays for who reads one."""
    if not has_key(url):
        _LanceShelf(f"{url}/{place}.lance", None).clean(at_once=at_once)


def remove(url: str, place: str) -> None:
    """Remove all that lies in a place."""
    if has_key(url):
        from whatworks.stores.qdrant import QdrantStore

        QdrantStore.remove(url.removeprefix("qdrant+"), _collection(place))
    else:
        bucket = Bucket(url, waits="20s")
        bucket.delete(bucket.names(f"{place}.lance"))


class _LanceShelf(Shelf):
    """A Lance dataset on S3: each change is a new version of it."""

    def __init__(self, uri: str, dim: int | None, version: int | None = None) -> None:
        os.environ.setdefault("LANCE_LOG", "error")
        self._lance = needed("lance", "lance")
        self._uri, self._dim = uri, dim
        self._options = OPTIONS | {"allow_http": str(allows_http()).lower()}
        self._dataset: Any = None
        if version is not None or self._exists():
            self._open(version)

    def _exists(self) -> bool:
        url, _, name = self._uri.rpartition("/")
        return bool(Bucket(url, waits="20s").names(f"{name}/_versions"))

    def _open(self, version: int | None = None) -> None:
        with self._translated("does not open"):
            found = self._lance.dataset(self._uri, version=version, storage_options=self._options)
            dim = found.schema.field("vector").type.list_size
        if self._dim not in (None, dim):
            raise StoreError(f"{self._uri} has vectors of {dim} dimensions; expected {self._dim}")
        self._dataset, self.version = found, int(found.version)

    def _translated(self, what: str) -> AbstractContextManager[None]:
        return translated(f"{self._uri} {what}", full=(), said=first_line)

    def held(self) -> Iterator[list[str]]:
        if self._dataset is not None:
            with self._translated("cannot be read"):
                for batch in self._dataset.to_batches(columns=["key"]):
                    yield batch["key"].to_pylist()

    def get(self, wanted: Collection[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        rows, before = list[int](), 0
        with self._translated("cannot be read"):  # whoever can write there could leave anything
            for page in self.held():
                rows += [before + n for n, name in enumerate(page) if name in wanted]
                before += len(page)
                if len(rows) > len(wanted):
                    raise StoreError(f"{self._uri} has vectors twice")
        for start in range(0, len(rows), ROWS):
            with self._translated("cannot be read"):
                found = self._dataset.take(rows[start : start + ROWS], columns=["key", "vector"])
                names, flat = found["key"].to_pylist(), found["vector"].combine_chunks().flatten()
                vectors = flat.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
                vectors = vectors.reshape(len(names), -1)
            yield names, vectors

    def add(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
        import pyarrow as pa

        flat = pa.array(vectors.reshape(-1), pa.float32())
        columns = [pa.array(keys, pa.string()), pa.FixedSizeListArray.from_arrays(flat, self._dim)]
        mode = "create" if self._dataset is None else "append"
        with self._translated("refused"):
            self._lance.write_dataset(
                pa.table(columns, names=["key", "vector"]),
                self._uri,
                mode=mode,
                storage_options=self._options,
            )
            self._open()
            if len(self._dataset.get_fragments()) > FRAGMENTS:
                self._merge()

    def _merge(self) -> None:
        self._dataset.optimize.compact_files(
            target_rows_per_fragment=MERGED_ROWS,
            materialize_deletions=True,
            materialize_deletions_threshold=0.0,
        )
        self._open()

    def erase(self, keys: Collection[str]) -> None:
        import pyarrow.compute as pc

        if self._dataset is None or not keys:
            return
        told = list(keys)
        with self._translated("refused"):
            for start in range(0, len(told), KEYS):
                self._dataset.delete(pc.field("key").isin(told[start : start + KEYS]))
            self._merge()

    def count(self) -> int:
        with self._translated("cannot be read"):
            return 0 if self._dataset is None else int(self._dataset.count_rows())

    def clean(self, *, at_once: bool) -> None:
        """Remove what the newest version does not need."""
        if self._dataset is not None:
            with self._translated("cannot be cleaned up"):
                # One machine writes here, so what no version names an interrupted write has left.
                self._dataset.cleanup_old_versions(
                    older_than=timedelta(0) if at_once else READING, delete_unverified=at_once
                )
                failpoints.reached("shelf.cleaned")

    def close(self) -> None:
        self._dataset = None


class _QdrantShelf(Shelf):
    """A collection of a Qdrant cluster, which knows no versions: what is put there is there."""

    def __init__(self, url: str, place: str, dim: int) -> None:
        from whatworks.stores.qdrant import QdrantStore

        self._store: QdrantServerStore = QdrantStore.connect(url, _collection(place), dim=dim)

    def held(self) -> Iterator[list[str]]:
        yield from self._store.iter_ids()

    def get(self, wanted: Collection[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        told = sorted(wanted)
        for start in range(0, len(told), ROWS):
            if found := self._store.get(told[start : start + ROWS]):
                yield list(found), np.stack(list(found.values()))

    def add(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self._store.upsert(keys, vectors)

    def erase(self, keys: Collection[str]) -> None:
        self._store.delete(list(keys))

    def count(self) -> int:
        return self._store.count()

    def close(self) -> None:
        self._store.close()


def _collection(place: str) -> str:
    return PREFIX + place.replace("/", "-")


def _collections(url: str) -> list[str]:
    from whatworks.stores.qdrant import collections

    return collections(url.removeprefix("qdrant+"))
