"""What went wrong once at the edges, and must not again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from whatworks import InvalidInputError, Memory, StoreError
from whatworks.journal import Journal
from whatworks.testing import HashEmbedder


def test_contexts_without_an_outcome_do_not_crowd_out_those_with_one(memory: Memory) -> None:
    good, bad = memory.add_pattern("first"), memory.add_pattern("second")
    for n in range(10):
        memory.record(good.pattern_id, outcome=1.0, context=f"parser fails early {n}")
        memory.record(bad.pattern_id, outcome=0.0, context=f"parser fails early {n}")
    before = memory.predict("parser fails")
    pending = [
        {"pattern_id": bad.pattern_id, "outcome": None, "context": f"parser fails {n}"}
        for n in range(300)
    ]
    memory.record_many(pending)
    after = memory.predict("parser fails")
    assert [a.expected for a in after.answers] == pytest.approx([a.expected for a in before.answers])
    assert len(after.answers[0].evidence) == len(before.answers[0].evidence) == 5


def test_a_lost_and_damaged_evidence_is_rebuilt_and_says_so(open_memory: Callable[..., Memory]) -> None:
    import duckdb

    memory = open_memory()
    memory.add_pattern("first", pattern_id="p")
    memory.record("p", outcome=1.0, context="somewhere")
    assert memory.predict("somewhere").answers
    evidence = memory._keeper.evidence()

    def invalidated(con: object) -> None:
        raise duckdb.FatalException("database has been invalidated")

    with memory._keeper._lock:  # the background work folds, and would open it again in between
        with pytest.raises(StoreError, match="ask again"):
            evidence.write(invalidated)
        path = memory._keeper.folder / "evidence.duckdb"
        path.write_bytes(b"\xff" * path.stat().st_size)
    assert [pattern.pattern_id for pattern in memory.patterns()] == ["p"]
    assert memory.get_pattern("p").usage_count == 1
    assert memory.find_similar("first")[0].pattern_id == "p"
    assert any("rebuilt from the journal" in problem for problem in memory.stats().problems)


def test_a_model_cannot_be_changed_for_one_of_the_same_name(memory: Memory) -> None:
    memory.add_pattern("first")
    other = HashEmbedder(dim=8)
    other.model_id = "hash-64"
    with pytest.raises(InvalidInputError, match="another model_id"):
        memory.reembed(other)
    assert memory.find_similar("first")


def test_a_close_that_fails_lets_go_of_the_store(
    open_memory: Callable[..., Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory()
    memory.add_pattern("first", pattern_id="p")

    def failing(self: Journal) -> None:
        raise StoreError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "close", failing)
        with pytest.raises(StoreError, match="gone"):
            memory.close()
    assert open_memory().get_pattern("p").description == "first"


def test_a_text_that_has_no_vector_blocks_no_other(store: Path) -> None:
    def only_known_words(texts: list[str]) -> NDArray[np.float32]:
        known = ["parser", "import"]
        return np.array([[text.count(word) for word in known] for text in texts], np.float32)

    with Memory.open(store, embedder=only_known_words, vectors="exact") as memory:
        memory.add_patterns(["parser first", "something else", "import later"])
        assert memory.find_similar("parser")[0].pattern.description == "parser first"
        with pytest.raises(InvalidInputError, match="no vector"):
            memory.find_similar("something")
        assert any("no vector" in problem for problem in memory.stats().problems)


def test_changing_what_was_returned_does_not_change_what_is_stored(memory: Memory) -> None:
    pattern = memory.add_pattern("first", pattern_id="p", metadata={"tags": ["a"]})
    pattern.metadata["tags"].append("b")
    memory.get_pattern("p").metadata["tags"].append("c")
    assert memory.get_pattern("p").metadata == {"tags": ["a"]}
    event = memory.record("p", outcome=1.0, event_id="e", metadata={"tags": ["a"]})
    event.metadata["tags"].append("b")
    assert memory.record("p", outcome=1.0, event_id="e").metadata == {"tags": ["a"]}


@pytest.mark.parametrize("stored", [1, 1.0])
@pytest.mark.parametrize("asked", [1, 1.0])
def test_a_number_is_found_however_it_is_written(memory: Memory, stored: float, asked: float) -> None:
    memory.add_pattern("first", metadata={"level": stored})
    memory.add_pattern("second", metadata={"level": "1"})
    memory.add_pattern("third", metadata={"level": True})
    found = memory.patterns(where={"metadata": {"level": asked}})
    assert [pattern.description for pattern in found] == ["first"]


def test_rates_stay_inside_of_zero_and_one_after_corrections(memory: Memory) -> None:
    memory.add_pattern("first", pattern_id="p")
    outcomes = [0.1, 0.2, 0.3, 0.7, 0.6]
    for n, outcome in enumerate(outcomes):
        memory.record("p", outcome=outcome, event_id=f"e{n}", context="here")
        memory.stats()
    for n in range(len(outcomes)):
        memory.resolve(f"e{n}", outcome=0.0)
        rate = memory.get_pattern("p").success_rate
        assert rate is not None
        assert 0 <= rate <= 1
    days = memory.trend("p").days
    assert days[0].avg_success is not None
    assert 0 <= days[0].avg_success <= 1


def test_an_iterator_keeps_its_memory_open(store: Path) -> None:
    with Memory.open(store, embedder=HashEmbedder(), vectors="exact") as memory:
        memory.add_patterns(["first", "second"])
    assert len(list(Memory.open(store, embedder=HashEmbedder()).iter_patterns())) == 2


@pytest.mark.parametrize("engine", ["nonsense", ["lance"], 5])
def test_an_unknown_engine_leaves_nothing_behind(store: Path, engine: object) -> None:
    with pytest.raises(InvalidInputError):
        Memory.open(store, embedder=HashEmbedder(), vectors=engine)  # type: ignore[arg-type]
    assert not store.exists()


def test_a_folder_with_other_files_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="other files"):
        Memory.open(tmp_path, embedder=HashEmbedder())
    assert [item.name for item in tmp_path.iterdir()] == ["letter.txt"]
