"""The model of a store: what turns its texts, and questions, into vectors of one length."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from whatworks.cache import HotCache
from whatworks.config import Current
from whatworks.embedders import Embedder, vectors_of
from whatworks.errors import InvalidInputError, ModelMismatchError

__all__ = ["Model"]

QUERIES_CACHED = 512


class Model:
    """A store's embedder, as far as there is one, and the vectors of questions asked lately.

    Parameters
    ----------
    config
        The store's; the first vectors fix its dimensions.
    embedder
        What turns texts into vectors; ``None`` where none is at hand.
    """

    def __init__(self, config: Current, embedder: Embedder | None) -> None:
        self.embedder = embedder
        self.queries: HotCache[str, NDArray[np.float32]] = HotCache(QUERIES_CACHED)
        self._config = config

    @property
    def name(self) -> str:
        """The ``model_id`` of the store's embedder, whether that is at hand or not."""
        return self._config.now.embedder

    @property
    def dim(self) -> int:
        """How many numbers a vector has; found out by making one where none was made so far."""
        return self._config.now.dim or self.vectors(["dimension"]).shape[1]

    def lend_embedder(self) -> None:
        """Take the built-in embedder, if it is the store's, where this process was given none."""
        if self.embedder is None:
            from whatworks.embedders.minilm import MiniLM

            if self.name == MiniLM.model_id:
                self.embedder = MiniLM()

    def needed(self) -> Embedder:
        """The embedder.

        Raises
        ------
        ModelMismatchError
            There is none here.
        """
        if self.embedder is not None:
            return self.embedder
        if self.name == "none":
            raise ModelMismatchError(
                "this needs an embedder, and the store was made without one; open it once with one, "
                "as Memory.open(path) does"
            )
        raise ModelMismatchError(
            f"this needs the embedder {self.name!r}, and the store was opened without one; "
            "pass it as embedder= to Memory.open"
        )

    def vectors(self, given: list[str]) -> NDArray[np.float32]:
        """The vectors ``(n, dim)`` of some texts.

        Raises
        ------
        ModelMismatchError
            There is no embedder here, or it makes others than the store has.
        """
        return self.fitting(vectors_of(self.needed(), given))

    def fitting(self, made: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the embedder made, if it has the dimensions of the store; the first fix them.

        Raises
        ------
        ModelMismatchError
            It has others.
        """
        if self._config.now.dim is None:
            self._config.now = self._config.now.changed(dim=made.shape[1])
            self._config.save(self._config.now)
        if made.shape[1] != (dim := self._config.now.dim):
            raise ModelMismatchError(
                f"the embedder {self.name!r} makes vectors of {made.shape[1]} dimensions, the store "
                f"has {dim}: give the other a model_id of its own, and reembed"
            )
        return made

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a question, from the cache if it was asked before.

        Raises
        ------
        InvalidInputError
            The embedder gives the text no direction.
        """
        key = f"{self.name} {text}"
        vector = self.queries.many([key], lambda _: {key: self.vectors([text])[0]})[key]
        if not vector.any():
            raise InvalidInputError(
                f"the embedder {self.name!r} has no vector for this text; say it differently"
            )
        return vector

    def direction(self, vector: Sequence[float]) -> NDArray[np.float32]:
        """A question that is an embedding, as the vector of length 1 that stores compare with.

        Raises
        ------
        InvalidInputError
            It has other dimensions than the store's embeddings.
        """
        numbers: NDArray[np.float64] = np.asarray(vector, np.float64)
        if len(numbers) != (dim := self._config.now.dim):
            raise InvalidInputError(
                f"vector has {len(numbers)} numbers; the embeddings of {self.name!r} in this store "
                f"have {dim}"
            )
        numbers = numbers / np.abs(numbers).max()  # else the squares of very large ones are infinite
        unit: NDArray[np.float32] = (numbers / sqrt(numbers @ numbers)).astype(np.float32)
        return unit
