"""Vectors moved between all pairs of vector stores, and back: ``python -m benchmarks.migrations``.

A memory of made-up patterns goes from each store to each other one, filled anew, and back to the
one before. After each move the same questions are asked; the ten nearest are compared with those that a
comparison with all finds. ``--write`` puts the figures into docs/stores.md.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import ROOT, machine
from whatworks import Memory, vectors
from whatworks.stores.registry import engines

__all__ = ["Moved", "moves"]

PAGE = ROOT / "docs" / "stores.md"
QUESTIONS = 100
NEAREST = 10
TOPICS = 500
LEAST = 0.9


class Moved(NamedTuple):
    """One way: seconds there, filled from nothing, and back; the recall of the answers after each."""

    before: str
    after: str
    seconds: float
    recall: float
    back_seconds: float
    back_recall: float


class Topics:
    """Texts "TOPIC NUMBER" to vectors near that of their topic, always the same ones."""

    dim = 384
    model_id = "topics-384"

    def __init__(self) -> None:
        self._topics = np.random.default_rng(0).normal(size=(TOPICS, self.dim)).astype(np.float32)

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
        made = np.empty((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            topic, _, number = text.partition(" ")
            noise = np.random.default_rng(int(number or 0)).standard_normal(self.dim, np.float32)
            made[row] = self._topics[int(topic) % TOPICS if topic.isdigit() else 0] + noise
        unit: NDArray[np.float32] = made / np.linalg.norm(made, axis=1, keepdims=True)
        return unit


def moves(names: Sequence[str], size: int, folder: Path) -> Iterator[Moved]:
    """Every way between two of ``names``, once in each direction."""
    with Memory.open(folder, embedder=Topics(), vectors=names[0]) as memory:
        memory.add_patterns([{"description": text(n), "pattern_id": f"p{n}"} for n in range(size)])
        memory.flush()
        truth = _nearest(size)
        for one, other in combinations(names, 2):
            if memory.stats().vectors["engine"] != one:
                memory.migrate(one, keep=False)
            yield _there_and_back(memory, other, truth)
            memory.migrate(other, keep=False)
            yield _there_and_back(memory, one, truth)


def _there_and_back(memory: Memory, to: str, truth: list[set[str]]) -> Moved:
    there = memory.migrate(to)
    recall = _recall(memory, truth)
    back = memory.migrate()
    return Moved(there.before, to, there.seconds, recall, back.seconds, _recall(memory, truth))


def text(number: int) -> str:
    return f"{number % TOPICS} {number}"


def _question(number: int) -> str:
    return f"{number % TOPICS} {10**9 + number}"


def _nearest(size: int) -> list[set[str]]:
    embed = Topics()
    every = embed([text(n) for n in range(size)])
    asked = embed([_question(n) for n in range(QUESTIONS)])
    return [{f"p{n}" for n in np.argsort(1 - every @ row)[:NEAREST]} for row in asked]


def _recall(memory: Memory, truth: list[set[str]]) -> float:
    found = 0
    for number, nearest in enumerate(truth):
        hits = memory.find_similar(_question(number), limit=4 * NEAREST)
        by_vector = [hit.pattern_id for hit in hits if (hit.vector_rank or 99) <= NEAREST]
        found += len(nearest.intersection(by_vector))
    return found / (NEAREST * len(truth))


def _table(moved: Sequence[Moved], size: int, seconds: float) -> str:
    lines = [
        "| from | to | seconds | recall@10 | back again, seconds | recall@10 |",
        "|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {m.before} | {m.after} | {m.seconds:.0f} | {m.recall:.3f} | {m.back_seconds:.0f} "
        f"| {m.back_recall:.3f} |"
        for m in moved
    ]
    facts = machine()
    lines.append(
        f"\n{size:,} patterns; {datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} minutes, load "
        f"{os.getloadavg()[0]:.1f} at the end. {facts['machine']}, commit {facts['commit']}."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--engines", nargs="+", default=engines())
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    vectors.IN_MEMORY = min(vectors.IN_MEMORY, given.size // 2)  # the stores answer, not the memory
    start, moved = datetime.now(UTC), list[Moved]()
    with TemporaryDirectory(prefix="whatworks-benchmark-") as folder:
        for item in moves(given.engines, given.size, Path(folder) / "store"):
            print(item, flush=True)
            moved.append(item)
    table = _table(moved, given.size, (datetime.now(UTC) - start).total_seconds())
    print(table)
    worst = min(min(item.recall, item.back_recall) for item in moved)
    if worst < LEAST:
        raise SystemExit(f"a store found {worst:.0%} of the nearest after a move")
    if given.write:
        marks = r"(<!-- migrations -->\n).*(\n<!-- end of migrations -->)"
        PAGE.write_text(re.sub(marks, rf"\1{table}\2", PAGE.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    main()
