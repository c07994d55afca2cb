from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whatworks import InvalidInputError, Memory, ModelMismatchError
from whatworks.testing import HashEmbedder

TEXTS = ["retry with a longer timeout", "clear the cache", "pin the version", "write a failing test"]


@pytest.fixture
def filled(memory: Memory) -> Memory:
    for n, text in enumerate(TEXTS):
        memory.add_pattern(text, pattern_id=f"p{n}", pattern_type=f"type{n % 2}")
    return memory


def embedding(text: str) -> Any:
    return HashEmbedder()([text])[0]


def names(found: Any) -> list[str]:
    return [match.pattern_id for match in found]


def test_a_vector_finds_what_its_text_finds_by_meaning(filled: Memory) -> None:
    for text in TEXTS:
        found = filled.find_similar(vector=embedding(text) * 7)
        by_meaning = sorted(filled.find_similar(text), key=lambda match: match.vector_rank or 99)
        assert names(found) == names(by_meaning)
        assert found[0].distance == pytest.approx(0, abs=1e-6)
        assert all(match.keyword_rank is None for match in found)


def test_a_vector_may_come_as_any_numbers_and_with_conditions(filled: Memory) -> None:
    numbers = [float(number) for number in embedding(TEXTS[0])]
    assert names(filled.find_similar(vector=numbers, limit=1)) == ["p0"]
    assert names(filled.find_similar(vector=(1e300 * n for n in numbers), limit=1)) == ["p0"]
    where = {"pattern_type": ["type1"]}
    assert set(names(filled.find_similar(vector=numbers, where=where))) == {"p1", "p3"}


def test_a_store_without_an_embedder_compares_words(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "store", embedder="none") as memory:
        for n, text in enumerate(TEXTS):
            memory.add_pattern(text, pattern_id=f"p{n}", pattern_type=f"type{n % 2}")
        found = memory.find_similar("pin which version of the cache?")
        assert names(found) == ["p2", "p1"]
        assert [match.keyword_rank for match in found] == [1, 2]
        assert [(match.distance, match.vector_rank) for match in found] == [(None, None)] * 2
        assert names(memory.find_similar("the", where={"pattern_type": ["type1"]})) == ["p1"]
        assert memory.find_similar("nothing of it") == []
        memory.add_pattern("an old cache", pattern_id="p4")
        assert names(memory.find_similar("old cache", limit=1)) == ["p4"]
        with pytest.raises(ModelMismatchError, match="made without one; open it once with one"):
            memory.predict("an old cache")
    with Memory.open(tmp_path / "store", embedder=HashEmbedder()) as memory:
        assert memory.find_similar("an old cache")[0].distance == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        ([0.0] * 64, "no direction"),
        ([float("nan")] * 64, "no direction"),
        ([float("inf")] * 64, "no direction"),
        ([1.0] * 3, "has 3 numbers"),
        ([], "no direction"),
        (["a"], "expected numbers"),
        (3, "expected numbers"),
        ("12", "has 2 numbers"),
        ([10**400], "expected numbers"),
        (np.ones((2, 2)).tolist(), "expected numbers"),
    ],
)
def test_a_vector_that_is_none_is_refused_in_one_line(filled: Memory, vector: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as refused:
        filled.find_similar(vector=vector)
    assert "\n" not in str(refused.value)


def test_text_and_vector_together_or_neither_are_refused(filled: Memory) -> None:
    with pytest.raises(InvalidInputError, match="expected one of them"):
        filled.find_similar("retry", vector=[1.0])
    with pytest.raises(InvalidInputError):
        filled.find_similar()


def test_an_empty_store_has_nothing_near(memory: Memory) -> None:
    assert memory.find_similar(vector=embedding("retry")) == []
    with pytest.raises(InvalidInputError, match="has 2 numbers"):
        memory.find_similar(vector=[1.0, 0.0])


def test_a_repeated_question_sees_patterns_that_came_or_changed_since(filled: Memory) -> None:
    assert names(filled.find_similar("clear the cache", limit=1)) == ["p1"]
    filled.add_pattern("clear the cache", pattern_id="a")
    assert names(filled.find_similar("clear the cache", limit=2)) == ["a", "p1"]
    filled.add_pattern("something else", pattern_id="p1")
    assert "p1" not in names(filled.find_similar("clear the cache", limit=1))
    assert filled.find_similar("clear the cache", limit=1)[0].pattern.description == "clear the cache"


def test_a_repeated_question_sees_new_outcomes(filled: Memory) -> None:
    filled.find_similar("clear the cache")
    filled.record("p1", outcome=1.0)
    assert filled.find_similar("clear the cache")[0].pattern.resolved_count == 1


def test_what_was_answered_before_the_vectors_moved_is_not_kept(filled: Memory) -> None:
    before = names(filled.find_similar("clear the cache"))
    filled.migrate("usearch")
    assert names(filled.find_similar("clear the cache")) == before
    filled.rebuild()
    assert names(filled.find_similar("clear the cache")) == before


def test_a_text_that_was_asked_before_finds_what_came_since_by_words_alone(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "store", embedder="none") as memory:

        def found() -> list[str]:
            return [match.pattern.description for match in memory.find_similar("pin the versions")]

        memory.add_pattern("pin versions")
        assert found() == found() == ["pin versions"]
        later = memory.add_pattern("pin the versions of all tools")
        assert sorted(found()) == sorted(found()) == ["pin the versions of all tools", "pin versions"]
        memory.archive(later.pattern_id)
        assert found() == found() == ["pin versions"]
        memory.record(memory.find_similar("pin the versions")[0].pattern_id, outcome=1.0)
        assert memory.find_similar("pin the versions")[0].pattern.usage_count == 1
