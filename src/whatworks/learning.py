"""When and from which of its tries a store learns how local its world is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MODULUS", "SHUFFLE", "cosines", "due", "sample_size", "shuffled"]

# From this many cells, and again whenever they have grown by so much.
FIRST, GROWTH = 20, 1.3
# Cells predicted from the others: more where each costs less.
TRIALS, TRIALS_LARGE, LARGE = 300, 100, 5_000
# Multipliers that scatter the numbers of context and pattern over [0, MODULUS):
# a sample that is the same in every replay, whatever the order of rows.
SHUFFLE, MODULUS = (2_654_435_761, 40_503_001), 2**32


def due(cells: int, learned_from: int) -> bool:
    """Whether a store of ``cells`` cells that last learned from so many should learn again."""
    return cells >= max(FIRST, GROWTH * learned_from)


def sample_size(cells: int) -> int:
    """How many cells to predict from the others."""
    return TRIALS if cells < LARGE else TRIALS_LARGE


def shuffled(context: NDArray[np.int64], pattern: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each cell comes in the sample: the same order as ``ORDER BY`` of ``cells.sample``."""
    return (context * SHUFFLE[0] + pattern * SHUFFLE[1]) % MODULUS


def cosines(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cosines of all pairs of distinct rows of ``vectors``, of length 1."""
    upper = np.triu_indices(len(vectors), 1)
    return (vectors @ vectors.T)[upper] if len(vectors) > 1 else np.zeros(1)
