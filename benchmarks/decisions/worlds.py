"""Made-up worlds whose chances are known: contexts in clusters, patterns with places of their own.

Contexts are unit vectors in 48 dimensions. The cosine of two is about 0.1, in
one cluster about 0.55: what sentence embeddings show. A chance of success is the
logistic function of a sum: the pattern's level, how hard the cluster is, how the
pattern does in the cluster, a slope within it, and what is special to the context.
None of these has the covariance that the estimator assumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "POLICIES", "Kind", "Try", "World"]

Float64 = NDArray[np.float64]

DIM, CLUSTERS = 48, 12
# Shares of a context's squared length: what all have in common, and its cluster's direction.
COMMON, CLUSTER = 0.1, 0.45
POLICIES = ("uniform", "biased")
START, MINUTE = 1e9, 60.0
# Graded outcomes: a beta distribution as narrow as that of so many tries.
GRADED = 8.0


class Kind(NamedTuple):
    """Standard deviations, on the logistic scale, of what makes up a chance."""

    title: str
    level: float
    shared: float = 0.0
    own: float = 0.0
    special: float = 0.0
    graded: bool = False
    patterns: int = 12


KINDS = (
    Kind("nothing local", level=0.8),
    Kind("difficulty shared", level=0.6, shared=1.0, special=0.4),
    Kind("own places", level=0.3, shared=0.3, own=1.5, special=0.4),
    Kind("graded outcomes", level=0.6, shared=0.7, own=0.7, special=0.4, graded=True),
    Kind("60 patterns", level=0.7, shared=0.6, own=0.6, special=0.4, patterns=60),
)


class Try(NamedTuple):
    """One try as a system learns it; ``cluster`` and ``chance`` are not told to it."""

    vector: NDArray[np.float32]
    text: str
    arm: str
    outcome: float
    ts: float
    cluster: int
    chance: float


class World:
    """One world of a kind; the same seed gives the same world and the same draws from it."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self.kind, self.random = kind, np.random.default_rng(seed)
        self.arms = [f"pattern {n}" for n in range(kind.patterns)]
        draw = self.random.normal
        self._common, *self._centres = _unit(draw(size=(CLUSTERS + 1, DIM)))
        self._level = draw(-0.3, kind.level, kind.patterns)
        self._shared = draw(0, max(kind.shared, 1e-12), CLUSTERS)
        self._own = draw(0, max(kind.own, 1e-12), (CLUSTERS, kind.patterns))
        self._slope = draw(0, max(kind.own, 1e-12), (DIM, kind.patterns))
        self._contexts = 0

    def context(self, cluster: int | None = None) -> tuple[int, NDArray[np.float32], Float64]:
        """A new context: its cluster, its vector, and the chance of each pattern there."""
        cluster = int(self.random.integers(CLUSTERS)) if cluster is None else cluster
        noise = _unit(self.random.normal(size=DIM)) * np.sqrt(1 - COMMON - CLUSTER)
        vector = _unit(
            np.sqrt(COMMON) * self._common + np.sqrt(CLUSTER) * self._centres[cluster] + noise
        )
        special = self.random.normal(0, max(self.kind.special, 1e-12), self.kind.patterns)
        score = (
            self._level + self._shared[cluster] + self._own[cluster] + vector @ self._slope + special
        )
        return cluster, vector.astype(np.float32), 1 / (1 + np.exp(-score))

    def outcome(self, chance: float) -> float:
        if self.kind.graded:
            return float(self.random.beta(GRADED * chance, GRADED * (1 - chance)))
        return float(self.random.random() < chance)

    def log(self, n: int, policy: str = "uniform") -> Iterator[Try]:
        """``n`` tries, each in a new context, a minute apart.

        ``biased``: popular patterns, and those good in the cluster, are tried
        more often, by the same rule as in the given harness.
        """
        popular = -np.log(1 + self.random.permutation(self.kind.patterns))
        usual = 1 / (1 + np.exp(-(self._level + self._shared[:, None] + self._own)))
        for number in range(n):
            cluster, vector, chances = self.context()
            leaning = popular + 2 * usual[cluster] if policy == "biased" else np.zeros(len(chances))
            odds = np.exp(leaning)
            arm = int(self.random.choice(len(chances), p=odds / odds.sum()))
            yield self.tried(cluster, vector, arm, float(chances[arm]), number)

    def tried(
        self, cluster: int, vector: NDArray[np.float32], arm: int, chance: float, number: int
    ) -> Try:
        """The try of a pattern in a context that no other try has."""
        self._contexts += 1
        text, ts = f"context {self._contexts}", START + MINUTE * number
        return Try(vector, text, self.arms[arm], self.outcome(chance), ts, cluster, chance)


def _unit(vectors: Float64) -> Float64:
    unit: Float64 = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
