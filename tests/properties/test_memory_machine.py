"""A memory against a plain dictionary: whatever is done in whatever order, both say the same."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.neighbour import Neighbour
from support.reference import assert_counts_agree
from whatworks import InvalidInputError, Memory, keeper, vectors
from whatworks.backup import restore
from whatworks.stores import lance
from whatworks.testing import HashEmbedder

FULL = bool(os.environ.get("WHATWORKS_FULL"))
WORDS = ["parser", "import", "borrow", "config", "test", "timeout"]
PLAIN = st.sampled_from(WORDS)
OUTCOMES = st.sampled_from([0.0, 0.25, 1.0])
CLOSED = st.sampled_from([(0.0, None), (1.0, None), (None, "not_used"), (None, "unknown")])


neighbours: list[Neighbour] = []


@pytest.fixture(autouse=True, scope="module")
def neighbour() -> Iterator[None]:
    """One other process for all machines; starting one takes longer than what it does."""
    neighbours.append(Neighbour())
    yield
    neighbours.pop().end()


class MemoryMachine(RuleBasedStateMachine):
    """The model: patterns by id, events by id with outcome and state."""

    engine = "exact"

    def __init__(self) -> None:
        super().__init__()
        # Vectors leave the memory early, and what another process wrote is looked for at once.
        self.limits = [
            patch.multiple(keeper, FRESH_SECONDS=math.inf),
            patch.multiple(vectors, IN_MEMORY=3, TAIL=2),
            patch.multiple(lance, MAX_FRAGMENTS=1, MAX_VERSIONS=2),
        ]
        for limit in self.limits:
            limit.start()
        self.folder = Path(tempfile.mkdtemp(prefix="whatworks-"))
        self.copies = 0
        self.store = self.folder / "store"
        self.patterns: dict[str, str] = {}
        self.events: dict[str, tuple[str, float | None, str]] = {}
        self.changed = self.unread = True  # since the counts, and all else, were last compared

    @initialize()
    def open(self) -> None:
        self.memory = Memory.open(
            self.store, embedder=HashEmbedder(), vectors=self.engine, durability="process"
        )

    @rule(name=st.integers(0, 5), word=PLAIN, other=PLAIN)
    def add(self, name: int, word: str, other: str) -> None:
        self.changed = self.unread = True
        description = f"{word} and then {other}"
        added = self.memory.add_pattern(description, pattern_id=f"p{name}")
        self.patterns[f"p{name}"] = description
        assert added.description == description
        assert added.pattern_id in [m.pattern_id for m in self.memory.find_similar(description)]

    @precondition(lambda self: self.patterns)
    @rule(data=st.data(), outcome=st.none() | OUTCOMES, context=st.none() | PLAIN)
    def record(self, data: st.DataObject, outcome: float | None, context: str | None) -> None:
        self.changed = self.unread = True
        pattern_id = data.draw(st.sampled_from(sorted(self.patterns)))
        event = self.memory.record(pattern_id, outcome=outcome, context=context)
        self.events[event.event_id] = (pattern_id, outcome, event.state)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def record_again(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from(sorted(self.events)))
        pattern_id, outcome, state = self.events[event_id]
        known = self.memory.get_event(event_id)
        repeated = self.memory.record(
            pattern_id, outcome=outcome, context=known.context, event_id=event_id,
            state=None if outcome is not None else state,
        )  # fmt: skip
        assert repeated.event_id == event_id

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def record_another_under_the_same_id(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from(sorted(self.events)))
        pattern_id = self.events[event_id][0]
        with pytest.raises(InvalidInputError):
            self.memory.record(pattern_id, outcome=0.5, event_id=event_id, context="elsewhere")

    @precondition(lambda self: self.events)
    @rule(data=st.data(), closed=CLOSED)
    def resolve(self, data: st.DataObject, closed: tuple[float | None, str | None]) -> None:
        self.changed = self.unread = True
        event_id = data.draw(st.sampled_from(sorted(self.events)))
        outcome, state = closed
        event = self.memory.resolve(event_id, outcome=outcome, state=state)  # type: ignore[arg-type]
        self.events[event_id] = (self.events[event_id][0], outcome, event.state)

    @rule(word=PLAIN)
    def predict(self, word: str) -> None:
        prediction = self.memory.predict(word)
        assert {answer.pattern_id for answer in prediction.answers} <= set(self.patterns)
        for answer in prediction.answers:
            assert 0 < answer.low <= answer.expected <= answer.high < 1
        for item in self.memory.why(prediction.prediction_id).explanations:
            total = math.fsum(part.value for part in item.contributions)
            assert item.clipped or math.isclose(total, item.expected, abs_tol=1e-9)

    # What takes long is one rule, so that there is less of it.
    @rule(what=st.sampled_from(["reopen", "crash", "rebuild", "flush", "back_up", "hand_over", "kill"]))
    def upset(self, what: str) -> None:
        self.changed = self.unread = True
        getattr(self, f"_{what}")()

    def _reopen(self) -> None:
        self.memory.close()
        self.open()

    def _crash(self) -> None:
        """What lies on the disk at this moment, opened by somebody else."""
        self.copies += 1
        copy = self.folder / f"copy{self.copies}"
        with self.memory._keeper._lock:  # the files of one moment, as a crash leaves them
            shutil.copytree(self.store, copy, ignore=shutil.ignore_patterns("keeper.*"))
        self.memory.close()
        self.store = copy
        self.open()

    def _back_up(self) -> None:
        """From now on a store made of a backup, which is as good."""
        self.copies += 1
        made = self.memory.backup(self.folder / "backups", keep=1)
        self.memory.close()
        self.store = self.folder / f"copy{self.copies}"
        restore(Path(made.path), self.store)
        self.open()

    def _rebuild(self) -> None:
        self.memory.rebuild()

    def _flush(self) -> None:
        self.memory.flush()

    def _hand_over(self) -> None:
        """Another process keeps the store from now on."""
        self.memory.close()
        self.another_process_asks()
        self.open()

    def _kill(self) -> None:
        """Another process dies, perhaps the keeper."""
        neighbours[0].kill(self.store)

    @rule(word=PLAIN, outcome=OUTCOMES)
    def write_and_ask_through_a_second_handle(self, word: str, outcome: float) -> None:
        self.changed = self.unread = True
        with Memory.open(self.store, embedder=HashEmbedder(), durability="process") as second:
            assert second.stats().patterns == len(self.patterns)
            for pattern_id in sorted(self.patterns)[:1]:
                event = second.record(
                    pattern_id, outcome=None, context=word, event_id=f"e{len(self.events)}"
                )
                self.memory.resolve(event.event_id, outcome=outcome)
                assert second.get_event(event.event_id).outcome == outcome
                self.events[event.event_id] = (pattern_id, outcome, "resolved")

    # -- a second process -------------------------------------------------------------------------

    @rule(name=st.integers(0, 5), word=PLAIN, outcome=OUTCOMES)
    def another_process_writes(self, name: int, word: str, outcome: float) -> None:
        self.changed = self.unread = True
        description = f"{word} elsewhere"
        neighbours[0].ask("add", self.store, f"p{name}", description)
        self.patterns[f"p{name}"] = description
        event_id = neighbours[0].ask("record", self.store, f"p{name}", outcome, word)
        self.events[event_id] = (f"p{name}", outcome, "resolved")

    @rule()
    def another_process_asks(self) -> None:
        states = [state for _, _, state in self.events.values()]
        assert neighbours[0].ask("counts", self.store) == [
            len(self.patterns),
            len(self.events),
            states.count("resolved"),
            states.count("pending"),
            [],
        ]

    @rule()
    def another_process_goes(self) -> None:
        neighbours[0].ask("close", self.store)

    @precondition(lambda self: self.unread)
    @rule()
    def everything_agrees(self) -> None:
        self.unread = False
        stored = {e.event_id: (e.pattern_id, e.outcome, e.state) for e in self.memory.iter_events()}
        assert stored == self.events
        assert_counts_agree(self.memory)
        for name in self.patterns:
            outcomes = [event[1] for event in self.events.values() if event[0] == name]
            days = self.memory.trend(name).days
            assert sum(day.resolved_count for day in days) == len(outcomes) - outcomes.count(None)
        assert self.memory.stats().problems == ()

    @invariant()
    def the_counts_are_those_of_the_model(self) -> None:
        if not self.changed:
            return
        stats = self.memory.stats()
        states = [state for _, _, state in self.events.values()]
        assert (stats.patterns, stats.events) == (len(self.patterns), len(self.events))
        assert (stats.resolved, stats.pending, stats.not_used, stats.unknown) == tuple(
            states.count(name) for name in ("resolved", "pending", "not_used", "unknown")
        )
        stored = self.memory.get_patterns(sorted(self.patterns))
        for name, description in self.patterns.items():
            own = [event for event in self.events.values() if event[0] == name]
            outcomes = [outcome for _, outcome, _ in own if outcome is not None]
            pattern = stored[name]
            assert pattern.description == description
            assert pattern.usage_count == sum(state != "not_used" for _, _, state in own)
            assert pattern.resolved_count == len(outcomes)
            mean = sum(outcomes) / len(outcomes) if outcomes else None
            assert pattern.success_rate == pytest.approx(mean)
        self.changed = False

    def teardown(self) -> None:
        with ExitStack() as ends:  # all of them, whatever of it fails
            ends.callback(shutil.rmtree, self.folder)
            for limit in self.limits:
                ends.callback(limit.stop)
            if hasattr(self, "memory"):
                ends.callback(self.memory.close)
            neighbours[0].ask("close", self.store)


class LanceMachine(MemoryMachine):
    engine = "lance"


# Half of them on each engine, so that two processors take half as long.
MemoryMachine.TestCase.settings = LanceMachine.TestCase.settings = settings(
    max_examples=10_000 if FULL else 25, stateful_step_count=50 if FULL else 30
)
TestMemory = MemoryMachine.TestCase
TestMemoryOnLance = LanceMachine.TestCase
