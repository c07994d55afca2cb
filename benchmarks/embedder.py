"""An embedder for made-up texts; the texts themselves come from ``whatworks.bench``."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from whatworks.text import words

__all__ = ["FastEmbedder"]


class FastEmbedder:
    """Texts to float32 vectors ``(n, 384)`` without a model: the sum of a fixed random vector per word.

    A random projection of the words, so that the cosine of two texts is about
    the share of words which they have in common. For measuring everything
    but the model.
    """

    model_id = "benchmark-word-projection-384"
    dim = 384

    def __init__(self) -> None:
        # Words share rows: one each would take more memory than the store that is measured.
        self._rows = np.random.default_rng(0).standard_normal((2_048, self.dim), np.float32)

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
        return np.stack([self._rows[self._places(text)].sum(axis=0) for text in texts])

    def _places(self, text: str) -> list[int]:
        return [crc32(word.encode()) % len(self._rows) for word in words(text)]
