"""How many of the truly nearest a search found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.store_data import SAME, K

__all__ = ["recall"]


def recall(answers: Sequence[Sequence[int]], vectors: Any, queries: Any, edge: Any) -> float:
    """Share of the ten nearest rows among the rows that were found, ties counting alike.

    ``edge`` is the distance of the tenth nearest to each of ``queries``; see ``store_data.edges``.
    """
    found = 0
    for rows, query, limit in zip(answers, queries, edge, strict=True):
        exact = 1 - np.asarray(vectors[sorted(set(rows))]) @ query
        found += min(K, int((exact <= limit + SAME).sum()))
    return found / (K * len(answers))
