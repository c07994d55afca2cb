"""Vectors to fill stores with, questions to ask them, and what the exact answers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import texts

__all__ = [
    "QUERIES", "Answers", "Data", "K", "edges", "filters", "made_up", "mixtures", "real", "recall",
    "row_id",
]  # fmt: skip

K = 10
QUERIES = 1_000
SHARE = 0.01  # of the vectors, that a filter lets through
FILTERS = 20
SAME = 1e-6  # distances that differ by less are ties: float32 rounds that far
BLOCK = 16_384

Float32 = NDArray[np.float32]


class Data(NamedTuple):
    """Files of vectors and questions, and how many vectors, the first ones, are those of real texts."""

    vectors: Path
    queries: Path
    real: int


class Answers(NamedTuple):
    """What a store said to one question."""

    ids: list[str]
    distances: list[float]


def row_id(row: int) -> str:
    return f"pattern-{row}"


def real(cache: Path, size: int, *, most: int | None = None) -> Data:
    """``size`` vectors: of real texts as far as they reach (or ``most``), and mixtures of these."""
    found = texts.read_texts(cache)[: QUERIES + min(size, most or size)]
    made = texts.embeddings(found, cache)
    queries, held = made[:QUERIES], made[QUERIES:]
    files = Data(cache / f"vectors-{size}-{len(held)}.npy", cache / "queries.npy", len(held))
    if not files.vectors.exists():
        _save(files.vectors, np.concatenate([held, *mixtures(held, size - len(held))]))
    _save(files.queries, queries)
    return files


def _save(file: Path, vectors: Float32) -> None:
    draft = file.with_suffix(".tmp.npy")
    np.save(draft, vectors)
    draft.replace(file)


def mixtures(held: Float32, count: int) -> Iterator[Float32]:
    """Vectors between a real one and the nearest of a thousand others: they crowd where texts do."""
    random = np.random.default_rng(0)
    for start in range(0, count, BLOCK):
        one = held[random.integers(len(held), size=min(BLOCK, count - start))]
        others = held[random.integers(len(held), size=1_000)]
        near = one @ others.T
        near[near > 1 - SAME] = -1  # not itself
        share = random.uniform(0.25, 0.75, (len(one), 1)).astype(np.float32)
        yield _unit(share * one + (1 - share) * others[near.argmax(axis=1)])


def made_up(folder: Path, size: int, *, dim: int = 64, queries: int = 100) -> Data:
    """Vectors without texts, around a hundred directions."""
    random = np.random.default_rng(0)
    topics = random.standard_normal((100, dim), np.float32)
    made = np.repeat(topics, -(-(size + queries) // 100), axis=0)
    made = random.permutation(made + random.standard_normal(made.shape, np.float32))
    np.save(folder / "queries.npy", _unit(made[:queries]))
    np.save(folder / "vectors.npy", _unit(made[queries : queries + size]))
    return Data(folder / "vectors.npy", folder / "queries.npy", 0)


def _unit(vectors: Float32) -> Float32:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def filters(size: int) -> list[list[int]]:
    """Rows that a filter lets through, by chance."""
    random = np.random.default_rng(1)
    count = max(K, round(SHARE * size))
    return [sorted(random.choice(size, count, replace=False).tolist()) for _ in range(FILTERS)]


def edges(vectors: Float32, queries: Float32) -> Float32:
    """The distance of the ``K``-th nearest vector to each query, shape ``(queries,)``."""
    nearest = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(vectors), BLOCK):
        both = np.hstack([nearest, 1 - queries @ vectors[start : start + BLOCK].T])
        nearest = np.partition(both, K - 1)[:, :K]
    return nearest.max(axis=1)


def recall(
    answers: Sequence[Answers], vectors: Float32, queries: Float32, edge: Float32
) -> tuple[float, float]:
    """Share of the nearest that were found, ties counting alike; the largest error of a distance."""
    found, error = 0, 0.0
    for answer, query, limit in zip(answers, queries, edge, strict=True):
        said = dict(zip(answer.ids, answer.distances, strict=True))
        exact = 1 - vectors[[int(name.rpartition("-")[2]) for name in said]] @ query
        found += int((exact <= limit + SAME).sum())
        error = max(error, float(np.abs(exact - list(said.values())).max(initial=0)))
    return found / (K * len(answers)), error
