from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from whatworks import Memory, StoreError, gathering
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


def test_predictions_are_made_where_no_thread_can_be_started(
    open_memory: Open, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = memory.predict("there").answers
    memory.close()
    memory = open_memory()

    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "whatworks-beside":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert memory.predict("there").answers == expected


def test_a_thread_predicts_when_the_main_thread_has_ended(tmp_path: Path) -> None:
    code = f"""
import threading
from whatworks import Memory
memory = Memory.open({str(tmp_path / "store")!r})
memory.add_pattern("search with rg")
def work():
    threading.main_thread().join()
    print(len(memory.predict("a large repository").answers))
threading.Thread(target=work).start()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_an_interrupt_is_not_lost_behind_what_fails_beside_it(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    def fails(*_: object) -> None:
        raise StoreError("the vectors cannot be read")

    monkeypatch.setattr(gathering.Gathering, "_near", interrupted)
    monkeypatch.setattr(gathering.Gathering, "_alike", fails)
    with pytest.raises(KeyboardInterrupt):
        memory.predict("here")
