"""The systems of equations of kriging, solved in as few operations as their structure allows.

The covariance of cells under a profile, as ``rank`` has it, is

    C = B + shared Z G Z'

where G is the kernel of the contexts, Z says which of them each cell belongs to, and B has a
block for each pattern: own times the kernel of the contexts of its cells, and their noise. So
by the identity of Woodbury (1950) systems as large as the cells of one pattern, and one as large
as there are contexts, are all that has to be solved. Where most cells have a context of their
own that takes longer than C as it stands.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Covariances", "Systems", "systems"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# Cells that share a context with another, on average, from which on contexts pay.
CELLS_PER_CONTEXT = 2


class Covariances(NamedTuple):
    """What the covariances of ``k`` cells under ``h`` profiles are made of.

    ``kernels`` of the ``c`` contexts, shape ``(h, c, c)``; ``context`` and ``pattern`` of each
    cell, shape ``(k,)``; ``shared`` and ``own``, shape ``(h,)``; ``noise``, shape ``(h, k)``.
    """

    kernels: Float64
    context: Int64
    pattern: Int64
    shared: Float64
    own: Float64
    noise: Float64


class Systems(Protocol):
    """Systems of ``k`` equations under ``h`` profiles."""

    def solve(self, right: Float64) -> Float64:
        """The solutions of ``h`` systems for right sides of shape ``(h, k, n)``; of that shape."""
        ...


def systems(made_of: Covariances) -> Systems:
    """The systems, in the form that is solved faster."""
    context, pattern = made_of.context, made_of.pattern
    contexts = made_of.kernels.shape[1]
    if CELLS_PER_CONTEXT * contexts > len(context):
        return _Whole(made_of)
    keys = np.unique(pattern * contexts + context)
    return _ByContext(made_of) if len(keys) == len(context) else _Whole(made_of)


class _Whole:
    """The covariances as they stand, ``(h, k, k)``."""

    def __init__(self, made_of: Covariances) -> None:
        kernels, context, pattern, shared, own, noise = made_of
        self._covariances = kernels[:, context[:, None], context]
        self._covariances *= shared[:, None, None] + own[:, None, None] * (pattern[:, None] == pattern)
        place = np.arange(len(context))
        self._covariances[:, place, place] += noise

    def solve(self, right: Float64) -> Float64:
        return np.asarray(np.linalg.solve(self._covariances, right), np.float64)


class _ByContext:
    """By patterns and contexts; no pattern has two cells in one context."""

    def __init__(self, made_of: Covariances) -> None:
        kernels, context, pattern, shared, own, noise = made_of
        contexts = kernels.shape[1]
        self._blocks: list[tuple[Int64, Float64]] = []  # rows, and the inverse of their part of B
        self._across = np.zeros((*noise.shape, contexts))  # B^-1 Z
        order = np.argsort(pattern, kind="stable")
        starts = np.flatnonzero(np.diff(pattern[order], prepend=-1)).astype(np.int64)
        sizes = np.diff(starts, append=len(order))
        for size in np.unique(sizes).tolist():
            place = np.arange(size)
            rows = order[starts[sizes == size, None] + place]
            at = context[rows]
            block = own[:, None, None, None] * kernels[:, at[:, :, None], at[:, None]]
            block[..., place, place] += noise[:, rows]
            inverse = np.asarray(np.linalg.inv(block) if size > 1 else 1 / block, np.float64)
            self._blocks.append((rows, inverse))
            self._across[:, rows[:, :, None], at[:, None]] = inverse
        self._gather = (context == np.arange(contexts)[:, None]).astype(float)  # Z'
        pull = shared[:, None, None] * kernels
        within = np.eye(contexts) + pull @ (self._gather @ self._across)
        self._pull = np.linalg.solve(within, pull)

    def solve(self, right: Float64) -> Float64:
        alone = np.empty_like(right)
        for rows, inverse in self._blocks:
            part = right[:, rows]
            alone[:, rows] = inverse @ part if rows.shape[1] > 1 else inverse * part
        found: Float64 = alone - self._across @ (self._pull @ (self._gather @ alone))
        return found
