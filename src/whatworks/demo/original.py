"""The query that whatworks was first specified with, kept as the baseline to beat."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from whatworks.embedders import Embedder
from whatworks.records import UsageEvent

__all__ = ["OriginalQuery"]

SIMILAR = 20
GOOD = 0.7
MIN_SAMPLES = 4


class OriginalQuery:
    """``AVG(outcome) WHERE outcome > 0.7`` over the 20 most similar contexts, 4 samples at least.

    It throws the failures away before it averages: a pattern that works 8
    times in 80 is given 1.00.
    """

    def __init__(self, events: Iterable[UsageEvent], embedder: Embedder) -> None:
        self._outcomes: dict[str, list[tuple[str, float]]] = {}
        for event in events:
            if event.context is not None and event.outcome is not None:
                tries = self._outcomes.setdefault(event.context, [])
                tries.append((event.pattern_id, event.outcome))
        self._contexts = list(self._outcomes)
        self._embedder = embedder
        self._vectors = embedder(self._contexts)

    def ask(self, context: str) -> list[str]:
        """The patterns that share the best average; empty where it has no answer."""
        similarity = self._vectors @ self._embedder([context])[0]
        nearest = np.argsort(-similarity, kind="stable")[:SIMILAR]
        good: dict[str, list[float]] = {}
        for place in nearest:
            for pattern_id, outcome in self._outcomes[self._contexts[place]]:
                if outcome > GOOD:
                    good.setdefault(pattern_id, []).append(outcome)
        means = {name: sum(v) / len(v) for name, v in good.items() if len(v) >= MIN_SAMPLES}
        best = max(means.values(), default=0.0)
        return [name for name, mean in means.items() if mean == best]
