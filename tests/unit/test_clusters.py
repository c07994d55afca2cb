"""Patterns that mean something alike, together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from whatworks import InvalidInputError, Memory, ModelMismatchError, NewEvent
from whatworks.clusters import assigned, centers
from whatworks.testing import HashEmbedder

Float32 = NDArray[np.float32]
TOPICS = ("network", "database", "layout")


def topical(texts: list[str], /) -> Float32:
    """The topic that a text names, and a little of its own."""
    own = HashEmbedder()(texts)
    found = np.zeros((len(texts), len(TOPICS)), np.float32)
    for row, text in enumerate(texts):
        for place, topic in enumerate(TOPICS):
            found[row, place] = topic in text
    return np.concatenate([found, 0.2 * own], axis=1)


def around(directions: Float32, each: int, spread: float) -> tuple[Float32, NDArray[np.int64]]:
    chance = np.random.default_rng(3)
    vectors = np.repeat(directions, each, axis=0)
    vectors = vectors + spread * chance.normal(size=vectors.shape).astype(np.float32)
    places = np.repeat(np.arange(len(directions)), each)
    order = chance.permutation(len(vectors))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))[order], places[order]


def test_what_lies_apart_is_found_apart() -> None:
    vectors, truth = around(np.eye(6, 16, dtype=np.float32), 50, 0.05)
    nearest = (vectors @ centers(vectors, 6).T).argmax(1)
    pairs = set(zip(truth.tolist(), nearest.tolist(), strict=True))
    assert len(pairs) == 6


def test_what_is_not_fitted_is_put_to_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whatworks.clusters.FITTED", 60)
    vectors, truth = around(np.eye(4, 16, dtype=np.float32), 100, 0.05)
    names = [f"{n:03}" for n in range(len(vectors))]

    def batches() -> list[tuple[Sequence[str], Float32]]:
        return [(names[:150], vectors[:150]), (names[150:], vectors[150:])]

    found = assigned(batches, len(vectors), 4)
    assert sorted(map(len, found)) == [100] * 4
    for part in found:
        assert len({int(truth[int(name)]) for name, _ in part}) == 1
        cosines = [cosine for _, cosine in part]
        assert cosines == sorted(cosines, reverse=True)


def test_equal_vectors_and_fewer_than_clusters_are_no_trouble() -> None:
    same = np.tile(np.eye(1, 8, dtype=np.float32), (5, 1))
    assert len(centers(same, 3)) == 1
    assert len(assigned(lambda: [(["a", "b"], np.eye(2, 8, dtype=np.float32))], 2, 10)) == 2


def test_opposite_vectors_have_no_mean_and_keep_their_center() -> None:
    vectors = np.array([[1, 0], [-1, 0]], np.float32)
    assert np.isfinite(centers(vectors, 1)).all()


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    memory = Memory.open(tmp_path / "store", embedder=topical)
    for number in range(30):
        topic = TOPICS[number % 3]
        memory.add_pattern(f"{topic} advice {number}", pattern_id=f"{topic}-{number}")
    memory.record_many(
        NewEvent(f"{topic}-{number}", outcome=float(topic == "layout"))
        for number, topic in enumerate(TOPICS)
        for _ in range(4)
    )
    return memory


def test_clusters_are_named_by_their_words_and_have_the_outcomes_of_their_patterns(
    memory: Memory,
) -> None:
    with memory:
        found = memory.clusters(3)
        assert sorted(item.words.split()[0] for item in found) == sorted(TOPICS)
        assert [item.patterns for item in found] == [10, 10, 10]
        for item in found:
            assert len(item.examples) == 5
            assert all(name.startswith(item.words.split()[0]) for name in item.examples)
            assert (item.rate.tries, item.rate.resolved) == (4, 4)
            assert item.rate.mean_outcome == float(item.words.startswith("layout"))


def test_the_same_store_has_the_same_clusters(memory: Memory) -> None:
    with memory:
        found = memory.clusters()
        assert len(found) == round(15**0.5)
        assert memory.clusters() == found


def test_a_memory_without_patterns_has_none_and_one_without_an_embedder_says_so(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "empty", embedder=topical) as memory:
        assert memory.clusters() == []
    with Memory.open(tmp_path / "none", embedder="none") as memory:
        memory.add_pattern("never embedded")
        with pytest.raises(ModelMismatchError, match="needs an embedder"):
            memory.clusters(5)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "3", 1_001])
def test_a_number_of_clusters_is_checked(memory: Memory, wrong: object) -> None:
    with memory, pytest.raises(InvalidInputError, match="count"):
        memory.clusters(wrong)  # type: ignore[arg-type]
