from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from whatworks import (
    InvalidInputError,
    Memory,
    NewEvent,
    NotFoundError,
    StoreFullError,
    journal,
    writer,
)
from whatworks import keeper as keeper_module
from whatworks.writer import body_of, event_of

Open = Callable[..., Memory]


@pytest.fixture
def memory(open_memory: Open) -> Memory:
    memory = open_memory()
    memory.add_patterns([{"description": name, "pattern_id": name} for name in ("p", "q")])
    return memory


def records(memory: Memory) -> int:
    """How many records the journal holds."""
    folder = memory._keeper.folder / "journal"
    return sum(1 for segment in journal.segments(folder) for _ in journal.read(segment))


@contextmanager
def layers_held(memory: Memory) -> Iterator[None]:
    """As long as it lasts another thread holds what folds and rebuilds hold; not for half a minute."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with memory._keeper._lock:
            held.set()
            assert done.wait(30)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert held.wait(30)
        try:
            yield
        finally:
            done.set()
        holding.result()


def test_a_retry_is_the_same_event(memory: Memory) -> None:
    first = memory.record("p", outcome=1.0, context="here", event_id="e", session_id="s")
    before = records(memory)
    assert memory.record("p", outcome=1.0, context="here", event_id="e", session_id="other") == first
    memory.stats()
    assert memory.record("p", outcome=1.0, context="here", event_id="e") == first
    assert records(memory) == before
    assert memory.get_pattern("p").usage_count == 1


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize(
    "changed",
    [{"pattern_id": "q"}, {"outcome": 0.0}, {"context": "there"}, {"context": None},
     {"outcome": None, "state": "unknown"}],
    ids=str,
)  # fmt: skip
def test_an_id_that_stands_for_another_event_is_refused(
    memory: Memory, folded: bool, changed: dict[str, object]
) -> None:
    given = {"pattern_id": "p", "outcome": 1.0, "context": "here", "event_id": "e"}
    memory.record_many([given])
    if folded:
        memory.stats()
    with pytest.raises(InvalidInputError, match="another id"):
        memory.record_many([given | changed])
    with pytest.raises(InvalidInputError, match="another id"):
        memory.record_many([given | {"event_id": "f"}, given | {"event_id": "f"} | changed])
    assert memory.stats().events == 1


def test_a_retry_of_a_pending_event_gives_it_as_it_stands(memory: Memory) -> None:
    memory.record("p", outcome=None, event_id="e")
    resolved = memory.resolve("e", outcome=0.5)
    again = memory.record("p", outcome=None, event_id="e")
    assert again == resolved
    assert memory.get_event("e").outcome == 0.5


def test_one_id_twice_in_a_batch_is_one_event(memory: Memory) -> None:
    given = NewEvent("p", outcome=1.0, event_id="e")
    first, second = memory.record_many([given, given])
    assert first == second
    assert memory.stats().events == 1


@pytest.mark.parametrize("folded", [True, False])
def test_an_outcome_is_corrected_by_a_later_one(memory: Memory, folded: bool) -> None:
    memory.record("p", outcome=1.0, event_id="e")
    for outcome in (0.0, 0.25, 1.0):
        if folded:
            memory.stats()
        assert memory.resolve("e", outcome=outcome).outcome == outcome
        assert memory.get_event("e").outcome == outcome
        assert memory.get_pattern("p").success_rate == outcome


def test_the_same_outcome_again_writes_nothing(memory: Memory) -> None:
    memory.record("p", outcome=None, event_id="e")
    first = memory.resolve("e", outcome=0.5)
    before = records(memory)
    again = memory.resolve("e", outcome=0.5)
    assert records(memory) == before
    assert again.resolved_at == memory.get_event("e").resolved_at == first.resolved_at


def test_what_is_returned_is_what_is_stored(memory: Memory) -> None:
    event = memory.record(
        "p",
        outcome=None,
        context="here",
        session_id="s",
        files=["a.rs", "b.rs"],
        tools=("cargo",),
        duration_ms=5,
        cost=0.1,
        prediction_id="x",
        metadata={"list": (1, 2), "none": None},
    )
    assert memory.get_event(event.event_id) == event
    for options in ({"outcome": 0.5}, {"state": "not_used"}, {"state": "unknown"}, {"outcome": 1.0}):
        resolved = memory.resolve(event.event_id, **options)  # type: ignore[arg-type]
        assert memory.get_event(event.event_id) == resolved
    later = event.timestamp + timedelta(minutes=5)
    resolved = memory.resolve(event.event_id, outcome=0.0, timestamp=later)
    assert resolved.resolved_at == later
    assert memory.get_event(event.event_id) == resolved


def test_an_event_and_its_record_stand_for_each_other(memory: Memory) -> None:
    for event in (
        memory.record("p", outcome=1.0, context="here", files=["a"], metadata={"a": 1}),
        replace(memory.record("p", outcome=None), state="not_used"),
    ):
        assert event_of(body_of(event)) == event


def test_unknown_ids_are_refused_and_nothing_of_their_batch_is_kept(memory: Memory) -> None:
    before = records(memory)
    with pytest.raises(NotFoundError, match="no pattern 'nobody' in this store; add it first"):
        memory.record_many([NewEvent("p", outcome=1.0), NewEvent("nobody", outcome=1.0)])
    with pytest.raises(NotFoundError, match="no event 'nobody'"):
        memory.resolve("nobody", outcome=1.0)
    with pytest.raises(NotFoundError, match="no pattern"):
        memory.add_priors(
            [{"pattern_id": "nobody", "success_rate": 0.5, "usage_count": 1, "origin": "o"}]
        )
    assert records(memory) == before


def test_an_event_recorded_with_its_outcome_can_be_corrected_at_once(memory: Memory) -> None:
    event = memory.record("p", outcome=1.0)  # not remembered by the writer: it gave no id
    assert memory.resolve(event.event_id, outcome=0.0).outcome == 0.0
    assert memory.get_pattern("p").success_rate == 0.0


def test_the_memory_of_recent_events_is_bounded(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "REMEMBERED", 10)
    for n in range(35):
        memory.record("p", outcome=None, event_id=f"e{n}")
        assert len(memory._link.recent.events) <= 10
    for n in range(35):
        assert memory.record("p", outcome=None, event_id=f"e{n}").event_id == f"e{n}"
        memory.resolve(f"e{n}", outcome=1.0)
    assert memory.get_pattern("p").resolved_count == 35
    assert memory.stats().events == 35


def test_writing_waits_for_no_fold_however_many_outcomes_are_open(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was let go of before it was folded is found all the same."""
    monkeypatch.setattr(writer, "REMEMBERED", 10)
    memory.stats()
    with layers_held(memory):
        for _ in range(10):
            memory.record_many([NewEvent("p")] * 15)
            last = memory.record("q", outcome=None)
    memory.record_many([NewEvent("p", event_id=f"x{n}") for n in range(30)])
    before = records(memory)
    assert memory.record("p", outcome=None, event_id="x0").event_id == "x0"
    assert records(memory) == before
    memory.resolve("x0", outcome=1.0)
    assert memory.resolve(last.event_id, outcome=1.0).outcome == 1.0
    assert memory.stats().events == 150 + 10 + 30


@pytest.mark.parametrize("waiting", [True, False])
def test_a_large_write_lets_a_question_that_waits_for_a_fold_go_first(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, waiting: bool
) -> None:
    memory.stats()
    keeper, folded = memory._keeper, list[str]()

    def fold() -> object:
        folded.append(threading.current_thread().name)
        raise StoreFullError("the disk is full")  # what was written is acknowledged all the same

    monkeypatch.setattr(keeper, "_fold", fold)
    monkeypatch.setattr(keeper, "_waiting", {0} if waiting else set())
    assert len(memory.record_many([NewEvent("p", outcome=1.0)] * 200)) == 200
    memory.record("p", outcome=1.0)  # a single one does not
    assert folded.count(threading.current_thread().name) == waiting


def test_only_a_question_makes_writes_wait(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.stats()
    keeper, waiting = memory._keeper, list[tuple[str, int]]()
    fold, folded = keeper._fold, threading.Event()

    def noted() -> object:
        waiting.append((threading.current_thread().name, len(keeper._waiting)))
        folded.set()
        return fold()

    monkeypatch.setattr(keeper, "_fold", noted)
    memory.record("p", outcome=1.0)
    assert folded.wait(30)  # by the background
    memory.record("p", outcome=1.0)
    memory.stats()
    assert waiting[0] == ("whatworks-keeper", 0)
    assert (threading.current_thread().name, 1) in waiting
    assert keeper._waiting == set()


def test_a_large_write_waits_for_no_lock_that_is_held_long(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.stats()
    monkeypatch.setattr(keeper_module, "MAKE_WAY_SECONDS", 0.01)
    monkeypatch.setattr(memory._keeper, "_waiting", {0})
    with layers_held(memory):
        memory.record_many([NewEvent("p", outcome=1.0)] * 200)


def test_an_event_is_known_to_others_while_a_thread_lets_go_of_it(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between forgetting the events and noting how far they go, another thread asks for one."""
    memory.stats()
    recent, letting_go, asking = memory._link.recent, threading.Event(), threading.Event()
    position = recent._position

    def slowly() -> object:
        letting_go.set()
        asking.wait(0.2)
        return position()

    monkeypatch.setattr(recent, "_position", slowly)
    memory.record("p", outcome=None, event_id="e")
    with ThreadPoolExecutor(2) as pool:
        let_go = pool.submit(recent.let_go)
        assert letting_go.wait(30)
        with pytest.raises(InvalidInputError, match="another id"):
            memory.record("q", outcome=None, event_id="e")
        asking.set()
        let_go.result()


def test_what_cannot_be_folded_is_written_all_the_same(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that is not remembered may be one of those: it is written again, and counts once."""
    memory.stats()
    memory.record("p", outcome=1.0, event_id="e")
    memory._link.recent.let_go()

    def full() -> object:
        raise StoreFullError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(memory._keeper, "_fold", full)
        assert memory.record("p", outcome=1.0, event_id="e").event_id == "e"
        assert memory.record("p", outcome=1.0, event_id="f").event_id == "f"
    with pytest.raises(InvalidInputError, match="another id"):
        memory.record("q", outcome=1.0, event_id="e")
    assert memory.stats().events == 2


def test_an_event_written_while_something_is_forgotten_is_known(memory: Memory) -> None:
    memory.stats()
    memory.record("p", outcome=None, event_id="e")
    memory._keeper._tell()  # as where a fold before that has forgotten something
    with pytest.raises(InvalidInputError, match="another id"):
        memory.record("q", outcome=None, event_id="e")


def test_threads_that_resolve_one_event_leave_one_outcome(memory: Memory) -> None:
    memory.record("p", outcome=None, event_id="e", context="here")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: memory.resolve("e", outcome=n % 2), range(60)))
    last = memory.resolve("e", outcome=1.0)
    assert memory.get_event("e").outcome == last.outcome == 1.0
    found = memory.get_pattern("p")
    assert (found.usage_count, found.resolved_count, found.success_rate) == (1, 1, 1.0)


def test_threads_that_race_to_record_one_event_leave_one(memory: Memory) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: memory.record("p", outcome=1.0, event_id="e"), range(40)))
    assert memory.get_pattern("p").usage_count == 1
    assert memory.stats().events == 1
