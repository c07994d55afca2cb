"""The contexts of a pattern in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whatworks.blas import one_thread
from whatworks.checks import shown
from whatworks.errors import NotFoundError
from whatworks.evidence import questions, windows
from whatworks.findings import ContextMap, ContextPoint

if TYPE_CHECKING:
    from whatworks.keeper import Keeper

__all__ = ["context_map", "projected"]


def context_map(keeper: Keeper, pattern_id: str, limit: int) -> ContextMap:
    """Where the contexts of a pattern lie: see ``Memory.context_map``."""
    evidence = keeper.evidence()
    known = questions.number_of(evidence, pattern_id)
    if known is None:
        raise NotFoundError(f"there is no pattern {shown(pattern_id)} in this store")
    rows = windows.contexts_of(evidence, known.number, limit)
    vectors = keeper.embeddings.embedded("contexts", [row.context_id for row in rows])
    placed = [row for row in rows if row.context_id in vectors]
    places, explained = np.zeros((0, 2)), 0.0
    if placed:
        with one_thread():
            places, explained = projected(np.stack([vectors[row.context_id] for row in placed]))
    points = tuple(
        ContextPoint(row.context_id, row.context, row.tries, row.outcome_sum / row.tries, x, y)
        for row, (x, y) in zip(placed, places.tolist(), strict=True)
    )
    return ContextMap(pattern_id, windows.context_count(evidence, known.number), explained, points)


def projected(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """The first two principal components, and the share of the variance that they hold.

    Parameters
    ----------
    vectors
        Shape ``(n, d)``, n at least 1. Not modified.

    Returns
    -------
    Shape ``(n, 2)``, around (0, 0), and a share in [0, 1]; all zeros where the
    vectors are all the same. A component points to where its largest loading
    is positive, so that the same vectors always give the same map.

    References
    ----------
    Pearson (1901), Philosophical Magazine 2:559-572.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    total = float((centred**2).sum())
    places = np.zeros((len(vectors), 2))
    if total < 1e-12:
        return places, 0.0
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    kept = directions[:2]
    signs = np.sign(kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)])
    places[:, : len(kept)] = centred @ (kept * signs[:, None]).T
    return places, float((sizes[:2] ** 2).sum() / total)
