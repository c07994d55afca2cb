"""The benchmark of predictions scores the product: its replay says what ``Memory`` says."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from benchmarks.decisions.system import make
from numpy.typing import NDArray

from whatworks import Memory, NewEvent


def directions(texts: list[str]) -> NDArray[np.float32]:
    """A direction for each text, so few dimensions that some are near, and no two tie."""
    made = [np.random.default_rng(crc32(text.encode())).normal(size=8) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in made], np.float32).reshape(len(texts), 8)


@pytest.mark.parametrize("tries", [15, 150, 400])
def test_the_replay_of_the_benchmark_says_what_a_memory_says(tmp_path: Path, tries: int) -> None:
    random = np.random.default_rng(tries)
    system = make()
    # The first tries are of p0 to p4 in turn: both number patterns as they come.
    log = [
        NewEvent(
            f"p{n if n < 5 else random.integers(5)}",
            outcome=float(random.random() < 0.3 + 0.5 * (n % 3 == 0)),
            context=f"case {random.integers(tries)}",
        )
        for n in range(tries)
    ]
    with Memory.open(tmp_path / "store", embedder=directions, vectors="exact") as memory:
        memory.add_patterns([{"description": f"p{n}", "pattern_id": f"p{n}"} for n in range(5)])
        memory.record_many(log)
        for event in log:
            assert event.context is not None
            assert event.outcome is not None
            vector = directions([event.context])[0]
            system.fit_event(vector, event.context, event.pattern_id, event.outcome, 0.0)
        differences, bounds = [], []
        for n in range(12):
            question = f"question {n}"
            made = memory.predict(question, candidates=[f"p{n}" for n in range(5)])
            names = [answer.pattern_id for answer in made.answers]
            vector = directions([question])[0]
            told = system.predict(vector, question, names)
            held = system.predict_interval(vector, question, names, 0.8)
            differences += [abs(a.expected - b) for a, b in zip(made.answers, told, strict=True)]
            bounds += [abs(a.low - low) for a, (low, _) in zip(made.answers, held, strict=True)]
    # Cells of one context may tie for the last place among the neighbours.
    assert np.quantile(differences, 0.75) < 1e-3
    assert np.quantile(bounds, 0.75) < 5e-3
