"""What tests are made of: an embedder without a model, vectors by chance, and the exact answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from whatworks.stores import Hits
from whatworks.text import words

__all__ = ["HashEmbedder", "Vectors", "clustered", "directions", "nearest", "refused"]

Vectors = NDArray[np.float32]


class HashEmbedder:
    """Texts to vectors by their words: texts that share words are near, without any model.

    Each word adds 1 to one of ``dim`` places, the one that its hash names, so
    that a vector can be worked out by hand. A text without words counts as
    the word ``""``.

    Examples
    --------
    >>> HashEmbedder(dim=4)(["red", "red red"]).tolist()
    [[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]
    """

    def __init__(self, dim: int = 64) -> None:
        self.dim = dim
        self.model_id = f"hash-{dim}"

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
        result = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for word, count in (words(text) or {"": 1}).items():
                result[row, self.place(word)] += count
        unit: NDArray[np.float32] = result / np.linalg.norm(result, axis=1, keepdims=True)
        return unit

    def place(self, word: str) -> int:
        """Which dimension a word counts in."""
        return int.from_bytes(blake2b(word.encode(), digest_size=4).digest(), "big") % self.dim


def directions(count: int, dim: int, seed: int = 0) -> Vectors:
    """``count`` random vectors of length 1, shape ``(count, dim)``, the same for the same seed."""
    made = np.random.default_rng(seed).normal(size=(count, dim))
    unit: Vectors = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return unit


def clustered(count: int, dim: int) -> Vectors:
    """``count`` vectors around 100 directions, as embeddings of texts lie around their topics."""
    topics = directions(100, dim, seed=11)[np.arange(count) % 100]
    made = topics + 0.5 * directions(count, dim, seed=12)
    unit: Vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def nearest(ids: Sequence[str], vectors: Vectors, query: Vectors, k: int) -> Hits:
    """The ``k`` nearest by comparing with all; ties in the order of ids."""
    wide = np.asarray(query, np.float64)
    distances = 1 - vectors.astype(np.float64) @ (wide / np.linalg.norm(wide))
    order = sorted(range(len(ids)), key=lambda n: (distances[n], ids[n]))[:k]
    return Hits([ids[n] for n in order], distances[order].astype(np.float32))


@contextmanager
def refused(kind: type[Exception]) -> Iterator[None]:
    """Fails unless the block raises ``kind``; any other error passes through."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"no {kind.__name__} was raised")
