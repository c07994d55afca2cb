"""For tests of your own code and stores: an embedder without a model, and what a store must do."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from whatworks.text import words

__all__ = ["HashEmbedder"]


class HashEmbedder:
    """Texts to vectors by their words: texts that share words are near, without any model.

    Each word adds 1 to one of ``dim`` places, the one that its hash names, so
    that a vector can be worked out by hand. A text without words counts as
    the word ``""``.

    Examples
    --------
    >>> HashEmbedder(dim=4)(["red", "red red"]).tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
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
