"""What is said as of a time is what was said at that time, whatever came later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

import pytest

from support.snapshot import rounded
from whatworks import Memory, NewEvent
from whatworks.evidence import cells
from whatworks.testing import HashEmbedder

Open = Callable[..., Memory]
WORDS = ["retry", "build", "imports", "cache", "delete", "wait"]
QUESTION = "retry the build with a cache"


class Renamed(HashEmbedder):
    """The same vectors under another name, as of a new release of a model."""

    def __init__(self) -> None:
        super().__init__()
        self.model_id = "renamed"


def said(memory: Memory, as_of: datetime | None = None) -> Any:
    """Everything that a prediction says in numbers."""
    made = memory.predict(QUESTION, limit=5, as_of=as_of)
    numbers = [
        (a.pattern_id, a.expected, a.low, a.high, a.n_effective, a.verdict, a.coverage, a.bounds,
         a.resolved, a.missing, [(e.context, e.similarity, e.tries, e.weight) for e in a.evidence])
        for a in made.answers
    ]  # fmt: skip
    return rounded([made.default, made.coverage, numbers])


def live(memory: Memory, clock: Any, random: Random, steps: int) -> dict[datetime, Any]:
    """Live through tries, late outcomes, corrections and new patterns; what was said at times."""
    told, open_, events = {}, list[str](), list[str]()
    for _ in range(steps):
        n = int(clock.advance(minutes=random.randrange(1, 90)).timestamp())  # names stay distinct
        kind = random.choice(["pattern", "try", "try", "try", "open", "resolve", "correct", "ask"])
        if kind == "pattern" or not memory.patterns():
            text = f"{random.choice(WORDS)} the {random.choice(WORDS)} number {n}"
            memory.add_pattern(text, pattern_id=f"p{n}")
            continue
        name = random.choice([item.pattern_id for item in memory.patterns()])
        context = random.choice([None, f"{random.choice(WORDS)} failed in {random.choice(WORDS)}"])
        if kind in ("try", "open"):
            outcome = None if kind == "open" else random.choice([0.0, 0.3, 1.0])
            memory.record(name, outcome=outcome, context=context, event_id=f"e{n}")
            (open_ if outcome is None else events).append(f"e{n}")
        elif kind == "resolve" and open_:
            events.append(open_.pop(random.randrange(len(open_))))
            change(memory, random, events[-1])
        elif kind == "correct" and events:
            change(memory, random, random.choice(events))
        elif kind == "ask":
            told[clock.now] = said(memory)
    return told


def change(memory: Memory, random: Random, event_id: str) -> None:
    outcome, state = random.choice(
        [(0.0, None), (1.0, None), (0.5, None), (None, "not_used"), (None, "unknown")]
    )
    memory.resolve(event_id, outcome=outcome, state=state)


@pytest.mark.parametrize("seed", range(2))
def test_an_earlier_time_is_answered_as_it_was_then_to_nine_places(
    open_memory: Open, clock: Any, seed: int
) -> None:
    random = Random(seed)
    memory = open_memory(clock=clock, durability="process")
    memory.add_pattern("retry the build", pattern_id="p")
    memory.record_many(NewEvent("p", outcome=n % 2, context=f"{n} failed") for n in range(19))
    told = live(memory, clock, random, 70)
    assert len(told) >= 5
    evidence = memory._keeper.evidence(receipts=True)
    assert cells.learned(evidence, HashEmbedder().model_id, None) is not None
    live(memory, clock, random, 30)
    memory.rebuild()
    assert {time: said(memory, time) for time in told} == told
    memory.reembed(Renamed())
    live(memory, clock, random, 10)
    memory.close()
    reopened = open_memory(embedder=Renamed(), clock=clock)
    assert {time: said(reopened, time) for time in told} == told


def test_a_correction_leaves_what_was_said_before_it(open_memory: Open, clock: Any) -> None:
    memory = open_memory(clock=clock)
    memory.add_pattern("retry", pattern_id="p")
    memory.record("p", outcome=1.0, context="here", event_id="e")
    told = {clock.now: said(memory)}
    for outcome, state in ((0.0, None), (None, "not_used"), (None, "unknown"), (0.5, None)):
        clock.advance(hours=1)
        memory.resolve("e", outcome=outcome, state=state)  # type: ignore[arg-type]
        told[clock.now] = said(memory)
    assert len({str(item) for item in told.values()}) == 5
    assert {time: said(memory, time) for time in told} == told


def test_trends_too_are_those_of_then(open_memory: Open, clock: Any) -> None:
    memory = open_memory(clock=clock)
    memory.add_pattern("retry", pattern_id="p")
    memory.record("p", outcome=1.0, event_id="e")
    memory.record("p", outcome=None, event_id="open")
    then, told = clock.now, memory.trend("p")
    clock.advance(hours=1)
    memory.resolve("e", outcome=0.0)
    memory.resolve("open", state="not_used")
    assert memory.trend("p", as_of=then) == told
    assert memory.trend("p") != told


def test_an_outcome_that_is_said_to_have_been_known_earlier_counts_from_then(
    open_memory: Open, clock: Any
) -> None:
    """A correction holds from its own time on, also when an earlier one has a later time."""
    memory = open_memory(clock=clock)
    memory.add_pattern("retry", pattern_id="p")
    start = clock.now
    memory.record("p", outcome=None, context="here", event_id="e")
    times = [clock.advance(hours=1) for _ in range(4)]
    memory.resolve("e", outcome=1.0, timestamp=times[2])
    memory.resolve("e", outcome=0.0, timestamp=times[1])
    found = [memory.predict("here", as_of=at).answers[0].evidence for at in (start, *times)]
    assert [[e.mean_outcome for e in evidence] for evidence in found] == [[], [], [0.0], [0.0], [0.0]]


def test_patterns_that_came_later_do_not_crowd_out_those_of_then(open_memory: Open, clock: Any) -> None:
    memory = open_memory(clock=clock)
    memory.add_patterns(
        {"description": f"approach number{n}", "pattern_id": f"old{n}"} for n in range(9)
    )
    then, told = clock.now, [a.pattern_id for a in memory.predict("retry the build", limit=4).answers]
    clock.advance(hours=1)
    memory.add_patterns(
        {"description": f"retry the build {n}", "pattern_id": f"new{n}"} for n in range(60)
    )
    again = memory.predict("retry the build", limit=4, as_of=then)
    assert [a.pattern_id for a in again.answers] == told
    assert memory.predict("retry the build", limit=4).answers[0].pattern_id.startswith("new")


def test_batches_and_single_records_keep_the_same_past(open_memory: Open, clock: Any) -> None:
    """A rebuild folds in other batches than those in which the records came."""
    memory = open_memory(clock=clock, durability="process")
    memory.add_pattern("retry", pattern_id="p")
    memory.record_many(NewEvent("p", outcome=None, context="here", event_id=f"e{n}") for n in range(6))
    for n in range(40):
        clock.advance(minutes=7)
        memory.resolve(f"e{n % 6}", outcome=(n * 7 % 10) / 10)
        if n % 3 == 0:
            memory.stats()
    query = """
        SELECT event_key, state, outcome, since, until FROM earlier_states ORDER BY ALL
    """
    kept = memory._keeper.evidence().rows(query)
    memory.rebuild()
    assert memory._keeper.evidence().rows(query) == kept
    assert len(kept) >= 40


def test_a_time_before_the_first_outcome_of_a_pattern_has_a_trend(
    open_memory: Open, clock: Any
) -> None:
    memory = open_memory(clock=clock)
    memory.add_pattern("retry", pattern_id="p")
    memory.record("p", outcome=None, context="a", event_id="e")
    then = clock.advance(hours=1)
    clock.advance(hours=1)
    memory.resolve("e", outcome=1.0)
    (day,) = memory.trend("p", as_of=then).days
    assert (day.usage_count, day.resolved_count) == (1, 0)
