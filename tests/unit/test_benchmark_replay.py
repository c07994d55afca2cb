"""The benchmark of predictions scores the product: its replay says what ``Memory`` says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from benchmarks.decisions.system import make
from numpy.typing import NDArray

from whatworks import Memory, NewEvent

START = datetime(2025, 3, 1, tzinfo=UTC)


def directions(texts: list[str]) -> NDArray[np.float32]:
    """A direction for each text, so few dimensions that some are near, and no two tie."""
    made = [np.random.default_rng(crc32(text.encode())).normal(size=8) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in made], np.float32).reshape(len(texts), 8)


def log_of(tries: int, broken: bool) -> list[NewEvent]:
    """Tries of five patterns over a quarter; ``broken``: p0 works no more from half-way on."""
    random = np.random.default_rng(tries)

    def outcome(n: int, pattern: str) -> float:
        chance = 0.3 + 0.5 * (n % 3 == 0)
        if broken and pattern == "p0":
            chance = 0.9 if n < tries / 2 else 0.05
        return float(random.random() < chance)

    # The first tries are of p0 to p4 in turn: both number patterns as they come.
    names = [f"p{n if n < 5 else random.integers(5)}" for n in range(tries)]
    return [
        NewEvent(
            name,
            outcome=outcome(n, name),
            context=f"case {random.integers(tries)}",
            timestamp=START + timedelta(seconds=n * 90 * 86_400 // tries),
        )
        for n, name in enumerate(names)
    ]


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("tries", [15, 150, 400])
def test_the_replay_of_the_benchmark_says_what_a_memory_says(
    tmp_path: Path, tries: int, broken: bool
) -> None:
    system = make()
    log = log_of(tries, broken)
    with Memory.open(tmp_path / "store", embedder=directions, vectors="exact") as memory:
        memory.add_patterns([{"description": f"p{n}", "pattern_id": f"p{n}"} for n in range(5)])
        memory.record_many(log)
        for event in log:
            assert event.context is not None
            assert event.outcome is not None
            assert event.timestamp is not None
            vector, at = directions([event.context])[0], event.timestamp.timestamp()
            system.fit_event(vector, event.context, event.pattern_id, event.outcome, at)
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
            changed = {a.pattern_id: [a.change.since.timestamp()] for a in made.answers if a.change}
            assert changed == system.changes()
            assert ("p0" in changed) == (broken and tries > 100)
    # Cells of one context may tie for the last place among the neighbours.
    assert np.quantile(differences, 0.75) < 1e-3
    assert np.quantile(bounds, 0.75) < 5e-3
