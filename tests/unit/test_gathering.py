from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

import pytest

from whatworks import Memory, StoreError
from whatworks.vectors import Vectors

Open = Callable[..., Memory]


@pytest.fixture
def memory(open_memory: Open) -> Memory:
    memory = open_memory()
    memory.add_patterns([{"description": name, "pattern_id": name} for name in ("p", "q")])
    memory.record("p", outcome=1.0, context="here")
    return memory


@pytest.mark.parametrize("failing", ["patterns", "contexts"])
def test_a_search_that_fails_beside_another_is_told_and_the_next_prediction_is_made(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    expected = [answer.pattern.pattern_id for answer in memory.predict("here").answers]
    failed = memory._keeper.embeddings.vectors(failing)
    search = Vectors.search

    def fails(vectors: Vectors, *args: object) -> object:
        if vectors is failed:
            raise StoreError(f"the vectors of {failing} cannot be read")
        return search(vectors, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Vectors, "search", fails)
        with pytest.raises(StoreError, match=failing):
            memory.predict("there")
    assert [answer.pattern.pattern_id for answer in memory.predict("here").answers] == expected


def test_the_thread_beside_ends_with_the_memory(memory: Memory) -> None:
    def beside() -> int:
        return sum(thread.name.startswith("whatworks-beside") for thread in threading.enumerate())

    before = beside()
    memory.predict("here")
    assert beside() == before + 1
    memory.close()
    gc.collect()
    until = time.monotonic() + 10
    while beside() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert beside() == before
