from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from whatworks import Memory, NewEvent, learning
from whatworks.evidence import cells
from whatworks.testing import HashEmbedder


@pytest.fixture
def memory(tmp_path: object) -> Memory:
    return Memory.open(f"{tmp_path}/store", embedder=HashEmbedder(), vectors="exact")


def test_the_sample_of_a_store_is_in_the_order_of_the_replay(memory: Memory) -> None:
    with memory:
        memory.add_patterns([{"description": f"p{n}", "pattern_id": f"p{n}"} for n in range(300)])
        memory.record_many(
            NewEvent(f"p{n % 300}", outcome=1.0, context=f"case {n}") for n in range(600)
        )
        evidence = memory._keeper.evidence()
        numbers = evidence.rows("SELECT context_no, context_id FROM context_rows")
        number_of = {name: number for number, name in numbers}
        for as_of in (None, datetime.now(UTC)):
            found = cells.sample(evidence, 500, as_of)
            context = np.array([number_of[cell.context_id] for cell in found])
            pattern = np.array([cell.pattern_no for cell in found])
            assert len(found) == 500
            assert (np.diff(learning.shuffled(context, pattern)) >= 0).all()
        assert memory.predict("case 3").answers


def test_the_largest_numbers_of_a_store_can_be_shuffled() -> None:
    largest = np.array([2**31 - 1])
    exact = (int(largest[0]) * sum(learning.SHUFFLE)) % learning.MODULUS
    assert learning.shuffled(largest, largest)[0] == exact


def test_a_store_learns_at_twenty_cells_and_whenever_they_have_grown_by_a_third() -> None:
    learned, times = 0, []
    for size in range(1, 200):
        if learning.due(size, learned):
            learned = size
            times.append(size)
    assert times == [20, 26, 34, 45, 59, 77, 101, 132, 172]


def test_what_was_learned_survives_reopening_and_rebuilding(tmp_path: object) -> None:
    def learned(memory: Memory) -> object:
        evidence = memory._keeper.evidence(receipts=True)
        return cells.learned(evidence, HashEmbedder().model_id, None)

    with Memory.open(f"{tmp_path}/store", embedder=HashEmbedder()) as memory:
        memory.add_pattern("retry", pattern_id="p")
        memory.record_many(NewEvent("p", outcome=n % 2, context=f"case {n}") for n in range(30))
        first = memory.predict("case 40").answers[0].expected
        kept = learned(memory)
        assert kept is not None
        memory.rebuild()
        assert learned(memory) == kept
    with Memory.open(f"{tmp_path}/store", embedder=HashEmbedder()) as memory:
        assert learned(memory) == kept
        assert memory.predict("case 40").answers[0].expected == pytest.approx(first)


def test_an_earlier_time_is_answered_with_what_was_learned_by_then(tmp_path: object) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    with Memory.open(f"{tmp_path}/store", embedder=HashEmbedder(), clock=lambda: now[0]) as memory:
        memory.add_pattern("retry", pattern_id="p")
        memory.record_many(NewEvent("p", outcome=n % 2, context=f"case {n}") for n in range(30))
        then = memory.predict("case 40").answers[0].expected
        now[0] = datetime(2026, 2, 1, tzinfo=UTC)
        memory.record_many(NewEvent("p", outcome=1.0, context=f"case {n}") for n in range(30, 90))
        assert memory.predict("case 40").answers[0].expected > then
        again = memory.predict("case 40", as_of=datetime(2026, 1, 2, tzinfo=UTC))
        assert again.answers[0].expected == pytest.approx(then, abs=1e-12)


def test_contexts_that_the_model_cannot_tell_apart_are_learned_from(tmp_path: object) -> None:
    """Long logs may differ behind the last token that is read; a search then finds any of them."""

    def blind(texts: list[str]) -> np.ndarray:
        return np.tile(np.array([0.6, 0.8], np.float32), (len(texts), 1))

    with Memory.open(f"{tmp_path}/store", embedder=blind) as memory:
        memory.add_patterns([{"description": f"p{n}", "pattern_id": f"p{n}"} for n in range(300)])
        memory.record_many(NewEvent(f"p{n}", outcome=n % 2, context=f"case {n}") for n in range(300))
        assert len(memory.predict("case 3", limit=5).answers) == 5


def test_another_model_learns_anew(tmp_path: object) -> None:
    other = HashEmbedder(96)
    with Memory.open(f"{tmp_path}/store", embedder=HashEmbedder()) as memory:
        memory.add_pattern("retry", pattern_id="p")
        memory.record_many(NewEvent("p", outcome=n % 2, context=f"case {n}") for n in range(30))
        memory.predict("case 40")
        memory.reembed(other)
        memory.predict("case 40")
        evidence = memory._keeper.evidence(receipts=True)
        assert cells.learned(evidence, other.model_id, None) is not None


def test_what_an_earlier_estimator_learned_is_learned_anew(tmp_path: object) -> None:
    with Memory.open(f"{tmp_path}/store", embedder=HashEmbedder()) as memory:
        memory.add_pattern("retry", pattern_id="p")
        memory.record_many(NewEvent("p", outcome=n % 2, context=f"case {n}") for n in range(30))
        memory.predict("case 40")
        keeper = memory._keeper
        known = cells.learned(keeper.evidence(receipts=True), HashEmbedder().model_id, None)
        assert known is not None
        old = {name: value for name, value in known.items() if name != "center"}
        keeper.note_down("world.learned", old | {"recorded_at": old["recorded_at"] + 1}, keeper.holds)
        keeper.learned.clear()
        memory.predict("case 41")
        anew = cells.learned(keeper.evidence(receipts=True), HashEmbedder().model_id, None)
        assert anew is not None
        assert anew["center"] == known["center"]
