"""The contract that every vector store keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from whatworks.errors import InvalidInputError, StoreError

__all__ = ["CanMaintain", "Hits", "VectorStore", "as_unit", "closed"]

Float32 = np.float32
# Below this length a float32 vector has no direction that can be trusted.
MIN_NORM = 1e-12


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

    engine: str

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
        if k == 0 or self.count() == 0:
            return Hits([], np.empty(0, Float32))
        hits = self._search(unit, k)
        order = sorted(range(len(hits.ids)), key=lambda n: (hits.distances[n], hits.ids[n]))
        return Hits([hits.ids[n] for n in order], hits.distances[order])

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
