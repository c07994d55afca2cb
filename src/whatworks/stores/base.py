"""The contract that every vector store keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from whatworks.errors import (
    InvalidInputError,
    MissingExtraError,
    StoreError,
    StoreFullError,
    WhatWorksError,
)

__all__ = [
    "DISK_FULL",
    "CanConnect",
    "CanErase",
    "CanFilter",
    "CanIterate",
    "CanMaintain",
    "Hits",
    "VectorStore",
    "as_unit",
    "closed",
    "missing",
    "needed",
    "translated",
]

Float32 = np.float32
# Below this length a float32 vector has no direction that can be trusted.
MIN_NORM = 1e-12
# How engines say that a disk, a quota or a limit of the process is reached.
DISK_FULL = ("os error 28", "os error 122", "os error 27", "No space left")


class Hits(NamedTuple):
    """Neighbours, nearest first: ``ids`` and their cosine ``distances``, float32, same length."""

    ids: list[str]
    distances: NDArray[Float32]


class VectorStore(ABC):
    """Vectors by id, and the nearest ones to a query, by cosine distance.

    Distances are ``1 - cos(a, b)``, in [0, 2], smaller is nearer, never
    clipped: rounding may give -1e-7. Ids are opaque texts. Vectors are given
    at any length and kept at length 1. What ``upsert`` and ``delete`` did is
    seen by the next ``search``; it is on the disk after ``flush``.

    A store is a view: it is always rebuilt from the evidence when in doubt,
    so it may lose what was written since the last ``flush``, never mix it up.
    Between ``flush`` and the next change its files stay byte for byte as they
    are, also when it is opened, searched and closed: their owner compares
    checksums before it lets an engine read them.
    One process writes it; within that, any thread may call any method.

    Subclasses implement the underscored methods, which get checked values.

    Parameters
    ----------
    path
        Folder of the store; made if missing.
    dim
        Length of every vector.
    """

    # Its name in ``vectors=``, and the installed packages whose version its files depend on.
    engine: str
    packages: ClassVar[tuple[str, ...]] = ()
    # Whether files stay as they were flushed while the store is opened, searched and closed. Where
    # they do not, a process that dies with the store open leaves one that has to be filled again.
    stable_files: ClassVar[bool] = True

    def __init__(self, path: Path, *, dim: int) -> None:
        self.path = path
        self.dim = dim
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def upsert(self, ids: Sequence[str], vectors: NDArray[Float32]) -> None:
        """Add vectors, or replace those of the same id; of repeated ids the last stands.

        Parameters
        ----------
        ids
            ``n`` texts.
        vectors
            Shape ``(n, dim)``, finite, no zero vectors. Not modified.

        Raises
        ------
        InvalidInputError
            A wrong shape, a value that is not finite, a zero vector, an empty id.
        """
        unit = as_unit(vectors, self.dim)
        if len(ids) != len(unit):
            raise InvalidInputError(f"{len(ids)} ids for {len(unit)} vectors; expected one each")
        if any(not isinstance(name, str) or not name for name in ids):
            raise InvalidInputError("an id is empty or no text; expected non-empty texts")
        last = {name: row for row, name in enumerate(ids)}
        if last:
            self._upsert(list(last), unit[list(last.values())])

    def search(self, query: NDArray[Float32], k: int) -> Hits:
        """The ``k`` nearest vectors to ``query`` (shape ``(dim,)``), fewer if there are fewer.

        Ties come in the order of their ids.
        """
        if k < 0:
            raise InvalidInputError(f"k is {k}; expected 0 or more")
        unit = as_unit(np.asarray(query, Float32)[None, :], self.dim)[0]
        return self.nearest(unit, k)

    def nearest(self, unit: NDArray[Float32], k: int) -> Hits:
        """As ``search``, of a query that is known to be float32, of shape ``(dim,)`` and length 1."""
        if k == 0 or self._is_empty():
            return Hits([], np.empty(0, Float32))
        return _ordered(self._search(unit, k))

    def search_among(self, query: NDArray[Float32], k: int, ids: Sequence[str]) -> Hits:
        """As ``search``, among the vectors of ``ids`` only; exact, unless a store ``CanFilter``.

        Ids that are not in the store, or come twice, are passed over.
        """
        if k < 0:
            raise InvalidInputError(f"k is {k}; expected 0 or more")
        unit = as_unit(np.asarray(query, Float32)[None, :], self.dim)[0]
        wanted = list(dict.fromkeys(ids))
        if k == 0 or not wanted:
            return Hits([], np.empty(0, Float32))
        if isinstance(self, CanFilter):
            return _ordered(self._search_among(unit, k, wanted))
        found = self.get(wanted)
        if not found:
            return Hits([], np.empty(0, Float32))
        hits = _ordered(Hits(list(found), 1 - np.stack(list(found.values())) @ unit))
        return Hits(hits.ids[:k], hits.distances[:k])

    def _is_empty(self) -> bool:
        """Whether ``_search`` need not be asked; where counting takes long, say no if it can be."""
        return self.count() == 0

    @abstractmethod
    def _upsert(self, ids: list[str], vectors: NDArray[Float32]) -> None: ...

    @abstractmethod
    def _search(self, query: NDArray[Float32], k: int) -> Hits: ...

    @abstractmethod
    def get(self, ids: Sequence[str]) -> dict[str, NDArray[Float32]]:
        """The vectors of those ``ids`` that are in the store, each of shape ``(dim,)``."""

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Remove vectors; ids that are not in the store are passed over."""

    @abstractmethod
    def count(self) -> int:
        """How many vectors the store holds."""

    @abstractmethod
    def flush(self) -> None:
        """Return when everything is on the disk."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and memory; a second call does nothing.

        Any other method raises ``StoreError`` from then on.
        """


@runtime_checkable
class CanMaintain(Protocol):
    """A store that gets faster by work done now and then, such as building an index."""

    def maintain(self) -> bool:
        """Do what is due, while searches go on; false if nothing was."""
        ...


@runtime_checkable
class CanErase(Protocol):
    """A store that can leave nothing of what was deleted on the disk."""

    def erase(self) -> None:
        """Return when no file holds a byte of what was deleted; searches go on meanwhile."""
        ...


@runtime_checkable
class CanFilter(Protocol):
    """A store that searches among some ids faster than by getting their vectors."""

    def _search_among(self, query: NDArray[Float32], k: int, ids: list[str]) -> Hits:
        """As ``_search``, among ``ids``, which are distinct; not all need be in the store."""
        ...


@runtime_checkable
class CanIterate(Protocol):
    """A store that can say what it holds."""

    def iter_ids(self) -> Iterator[list[str]]:
        """All ids, each once, in pages and in any order. Changes meanwhile may be seen or not."""
        ...


@runtime_checkable
class CanConnect(Protocol):
    """A class of stores that may also lie on a server: ``vectors="engine+https://..."``.

    Keys and passwords come from the environment, never from the address.
    """

    @classmethod
    def connect(cls, url: str, name: str, *, dim: int) -> VectorStore:
        """The store ``name`` (letters, digits, hyphens) at ``url``, an empty one if there is none."""
        ...

    @classmethod
    def remove(cls, url: str, name: str) -> None:
        """Remove the store ``name`` and all that it holds, if it is there."""
        ...


def needed(module: str, extra: str) -> Any:
    """An optional module.

    Raises
    ------
    MissingExtraError
        It is not installed; the message has the command.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise missing(extra) from error


def missing(extra: str) -> MissingExtraError:
    """What is raised where the packages of an extra are not installed."""
    return MissingExtraError(
        f"the vector store {extra!r} needs packages that are not installed: "
        f"pip install 'whatworks[{extra}]'"
    )


def _ordered(hits: Hits) -> Hits:
    pairs = list(zip(hits.distances.tolist(), hits.ids, strict=True))
    order = sorted(range(len(pairs)), key=pairs.__getitem__)
    return Hits([hits.ids[n] for n in order], hits.distances[order])


@contextmanager
def translated(
    what: str, *, full: Sequence[str] = DISK_FULL, said: Callable[[BaseException], str] = str
) -> Iterator[None]:
    """Whatever an engine raises, its panics included, as a ``StoreError`` of ``what``.

    It ends with what is ``said`` of the error, and is a ``StoreFullError`` where one of the signs
    ``full`` stands in that. Errors of ours stay.
    """
    try:
        yield
    except WhatWorksError:
        raise
    except BaseException as error:  # the panics of engines in Rust are no exceptions
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        kind = StoreFullError if any(sign in str(error) for sign in full) else StoreError
        raise kind(f"{what}: {said(error)}") from error


def closed() -> StoreError:
    """What a method raises after ``close``, perhaps called by another thread."""
    return StoreError("the vectors were closed meanwhile; ask again")


def as_unit(vectors: NDArray[Float32], dim: int) -> NDArray[Float32]:
    """``vectors`` as float32 of shape ``(n, dim)`` and length 1, a new array.

    Raises
    ------
    InvalidInputError
        A wrong shape, a value that is not finite, or a zero vector.
    """
    given = np.asarray(vectors)
    if given.dtype.kind not in "fiu" or given.ndim != 2:
        raise InvalidInputError(
            f"vectors have shape {given.shape} and type {given.dtype}; expected numbers (n, {dim})"
        )
    if given.shape[1] != dim:
        raise InvalidInputError(
            f"a vector has {given.shape[1]} dimensions, the store has {dim}; "
            "was it embedded with another model?"
        )
    # float64: the square of a large float32 is not finite in float32.
    wide = given.astype(np.float64)
    if not np.isfinite(wide).all():
        raise InvalidInputError("a vector has NaN or infinity; expected finite numbers")
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    if (norms < MIN_NORM).any():
        raise InvalidInputError("a vector is zero; it has no direction to compare")
    unit: NDArray[Float32] = (wide / norms).astype(Float32)
    return unit
