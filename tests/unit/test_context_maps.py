"""Where the contexts of a pattern lie."""

from __future__ import annotations

import numpy as np
import pytest

from whatworks import Memory, NotFoundError
from whatworks.context_maps import projected
from whatworks.samples import directions


def test_contexts_that_are_alike_lie_near_each_other(memory: Memory) -> None:
    memory.add_pattern("retry", pattern_id="p")
    for text in ("red green blue", "red green cyan", "north south east", "north south west"):
        memory.record("p", outcome=1.0, context=text)
    memory.record("p", outcome=0.0, context="red green blue")
    memory.record("p", outcome=1.0)
    memory.flush()
    found = memory.context_map("p")
    at = {point.context: np.array([point.x, point.y]) for point in found.points}
    near = np.linalg.norm(at["red green blue"] - at["red green cyan"])
    assert near < 0.8 * np.linalg.norm(at["red green blue"] - at["north south east"])
    (blue,) = (point for point in found.points if point.context == "red green blue")
    assert (blue.tries, blue.mean_outcome) == (2, 0.5)
    assert found.contexts == 4 and 0 < found.explained <= 1


def test_only_the_contexts_tried_last_are_on_the_map_and_all_are_counted(memory: Memory) -> None:
    memory.add_pattern("retry", pattern_id="p")
    for n in range(5):
        memory.record("p", outcome=1.0, context=f"number {n}")
    memory.flush()
    found = memory.context_map("p", limit=2)
    assert {point.context for point in found.points} == {"number 3", "number 4"}
    assert found.contexts == 5


def test_a_pattern_without_contexts_has_an_empty_map_and_an_unknown_one_none(memory: Memory) -> None:
    memory.add_pattern("retry", pattern_id="p")
    found = memory.context_map("p")
    assert (found.points, found.contexts, found.explained) == ((), 0, 0.0)
    with pytest.raises(NotFoundError, match="no pattern 'nobody'"):
        memory.context_map("nobody")


def test_the_projection_keeps_what_varies_most_and_changes_nothing() -> None:
    spread = np.diag([3.0, 2.0, 0.1]).astype(np.float32)
    vectors = directions(50, 3) @ spread
    before = vectors.copy()
    places, explained = projected(vectors)
    assert np.array_equal(vectors, before)
    centred = vectors - vectors.mean(axis=0)
    kept = float((places**2).sum() / (centred**2).sum())
    assert explained == pytest.approx(kept, abs=1e-6) and explained > 0.95
    assert abs(np.corrcoef(places[:, 0], vectors[:, 0])[0, 1]) > 0.99


def test_one_context_and_equal_ones_lie_in_the_middle() -> None:
    for vectors in (directions(1, 4), np.ones((3, 4), np.float32)):
        places, explained = projected(vectors)
        assert np.allclose(places, 0, atol=1e-6) and explained == 0.0
