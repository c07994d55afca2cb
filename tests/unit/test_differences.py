from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from whatworks import Change, InvalidInputError, Memory, NewEvent, Prior

Open = Callable[..., Memory]
WORDS = ["retry", "build", "imports", "cache", "delete", "wait"]


@pytest.fixture
def memory(open_memory: Open, clock: Any) -> Memory:
    return open_memory(clock=clock, durability="process")


def grown(memory: Memory, clock: Any, random: Random, steps: int) -> None:
    """Tries, late outcomes, corrections, imports and new patterns, an hour apart."""
    events: list[str] = [event.event_id for event in memory.events(limit=1_000)]
    for _ in range(steps):
        n = int(clock.advance(hours=1).timestamp())
        kind = random.choice(["pattern", "try", "try", "try", "try", "resolve", "prior"])
        names = [item.pattern_id for item in memory.patterns(limit=1_000)]
        if kind == "pattern" or not names:
            memory.add_pattern(
                f"{random.choice(WORDS)} and {random.choice(WORDS)} {n}", pattern_id=f"p{n}"
            )
        elif kind == "try":
            memory.record(
                random.choice(names),
                outcome=random.choice([None, 0.0, 0.3, 1.0, 1.0]),
                context=random.choice([None, f"{random.choice(WORDS)} in {random.choice(WORDS)}"]),
                event_id=f"e{n}",
            )
            events.append(f"e{n}")
        elif kind == "prior":
            memory.add_priors([Prior(random.choice(names), random.random(), 20, f"o{n}")])
        elif events:
            outcome, state = random.choice([(0.0, None), (1.0, None), (None, "not_used")])
            memory.resolve(random.choice(events), outcome=outcome, state=state)  # type: ignore[arg-type]


def by_id(found: Any) -> dict[str, Change]:
    return {change.pattern_id: change for change in found.changes}


@pytest.mark.parametrize("seed", range(2))
def test_shares_add_up_to_the_change_and_the_ends_are_the_predictions_of_then(
    memory: Memory, clock: Any, seed: int
) -> None:
    random = Random(seed)
    grown(memory, clock, random, 25)
    earlier = clock.now
    grown(memory, clock, random, 40)
    later = clock.now
    grown(memory, clock, random, 5)
    found = memory.diff(earlier, later, context="retry the build", limit=6)
    assert (found.earlier, found.later, found.context) == (earlier, later, "retry the build")
    told = [memory.predict("retry the build", limit=6, as_of=at) for at in (earlier, later)]
    assert [found.default_before, found.default_after] == pytest.approx([t.default for t in told])
    answers = [{a.pattern_id: (n, a) for n, a in enumerate(t.answers, 1)} for t in told]
    assert found.unchanged + len(found.changes) == len(answers[0].keys() | answers[1].keys())
    assert len(found.changes) >= 3
    for change in found.changes:
        assert sum(cause.share for cause in change.causes) == pytest.approx(change.change, abs=1e-9)
        if change.before is not None and change.after is not None:
            assert change.after - change.before == pytest.approx(change.change, abs=1e-12)
        for side, rank, expected, verdict in (
            (answers[0], change.rank_before, change.before, change.verdict_before),
            (answers[1], change.rank_after, change.after, change.verdict_after),
        ):
            place, answer = side.get(change.pattern_id, (None, None))
            assert rank == place
            if answer is not None:
                assert expected == pytest.approx(answer.expected, abs=1e-9)
                assert verdict == answer.verdict
        for cause in change.causes:
            assert len(cause.events) == min(cause.event_count, 10)
            for name in cause.events:
                event = memory.get_event(name)
                assert event.pattern_id == cause.pattern_id
                assert event.context_id == cause.context_id or cause.kind == "elsewhere"
                assert event.timestamp <= later
    assert memory.stats().predictions == 2  # those of this test: diff itself writes none


def test_the_event_that_changed_the_advice_is_named(memory: Memory, clock: Any) -> None:
    memory.add_patterns([{"description": n, "pattern_id": n} for n in ("old way", "new way")])
    memory.record_many(
        NewEvent(name, outcome=n % 2, context=f"far away {n}")
        for name in ("old way", "new way")
        for n in range(10)
    )
    memory.record("old way", outcome=1.0, context="the build is red")
    earlier = clock.now
    clock.advance(days=1)
    memory.record("new way", outcome=1.0, context="the build is red", event_id="worked")
    memory.record("old way", outcome=0.0, context="the build is red", event_id="broke")
    found = by_id(memory.diff(earlier, clock.now, context="the build is red"))
    new, old = found["new way"], found["old way"]
    assert (new.rank_before, new.rank_after) == (2, 1)
    assert (old.rank_before, old.rank_after) == (1, 2)
    assert new.change > 0 > old.change
    assert new.causes[0].events == ("worked",)
    assert old.causes[0].events == ("broke",)
    assert (old.causes[0].kind, old.causes[0].similarity) == ("nearby", pytest.approx(1))
    assert (old.causes[0].tries_before, old.causes[0].mean_before) == (1, 1.0)
    assert (old.causes[0].tries_after, old.causes[0].mean_after) == (2, 0.5)
    assert old.causes[0].context == "the build is red"
    assert abs(old.causes[0].share) > 0.5 * abs(old.change)


def test_a_correction_is_a_cause(memory: Memory, clock: Any) -> None:
    memory.add_patterns([{"description": n, "pattern_id": n} for n in "ab"])
    for n in range(6):
        memory.record("a", outcome=1.0, context=f"case {n}", event_id=f"e{n}")
    earlier = clock.now
    clock.advance(hours=1)
    memory.resolve("e3", outcome=0.0)
    memory.resolve("e3", outcome=0.2)
    change = by_id(memory.diff(earlier, clock.now, context="case 3"))["a"]
    assert change.change < 0
    assert change.causes[0].events == ("e3",)
    assert (change.causes[0].mean_before, change.causes[0].mean_after) == (1.0, 0.2)
    clock.advance(hours=1)
    memory.resolve("e3", state="not_used")
    gone = by_id(memory.diff(earlier, clock.now, context="case 3"))["a"].causes[0]
    assert (gone.events, gone.tries_before, gone.tries_after, gone.mean_after) == (("e3",), 1, 0, None)


def test_a_pattern_that_did_not_exist_is_compared_with_an_untried_one(
    memory: Memory, clock: Any
) -> None:
    memory.add_pattern("a", pattern_id="a")
    memory.record_many(NewEvent("a", outcome=0.0, context=f"case {n}") for n in range(5))
    earlier = clock.now
    clock.advance(hours=1)
    memory.add_pattern("b", pattern_id="b")
    memory.record_many(NewEvent("b", outcome=1.0, context=f"case {n}") for n in range(5))
    change = by_id(memory.diff(earlier, clock.now, context="case 3"))["b"]
    assert (change.before, change.rank_before, change.verdict_before) == (None, None, None)
    assert (change.rank_after, change.after is not None) == (1, True)
    assert change.change > 0
    assert sum(cause.share for cause in change.causes) == pytest.approx(change.change, abs=1e-9)


def test_tries_elsewhere_imports_and_learning_are_told_apart(memory: Memory, clock: Any) -> None:
    memory.add_patterns([{"description": n, "pattern_id": n} for n in "ab"])
    memory.record_many(NewEvent("b", outcome=n % 2, context=f"case {n}") for n in range(18))
    earlier = clock.now
    clock.advance(hours=1)
    memory.record_many(NewEvent("a", outcome=1.0) for n in range(30))
    memory.add_priors([Prior("a", 1.0, 100, "files")])
    memory.record_many(NewEvent("b", outcome=1.0, context=f"more {n}") for n in range(30))
    change = by_id(memory.diff(earlier, clock.now, context="case 3"))["a"]
    share = {cause.kind: cause.share for cause in change.causes if cause.kind != "nearby"}
    assert share["elsewhere"] > 0.1
    assert share["prior"] > 0.01
    assert {"elsewhere", "prior", "population"} <= share.keys()
    (elsewhere,) = [cause for cause in change.causes if cause.kind == "elsewhere"]
    assert (elsewhere.event_count, len(elsewhere.events)) == (30, 10)


def test_where_nothing_happened_nothing_changed(memory: Memory, clock: Any) -> None:
    memory.add_pattern("a", pattern_id="a")
    memory.record("a", outcome=1.0, context="here")
    clock.advance(days=1)
    found = memory.diff(clock.now - timedelta(hours=2), clock.now, context="here")
    assert (found.changes, found.unchanged) == ((), 1)
    same = memory.diff(clock.now, clock.now, context="here")
    assert same.changes == ()


def test_an_empty_store_has_no_differences(memory: Memory, clock: Any) -> None:
    earlier = clock.now
    clock.advance(days=1)
    found = memory.diff(earlier, clock.now, context="here")
    assert (found.changes, found.unchanged, found.default_after) == ((), 0, 0.5)
    memory.add_pattern("a", pattern_id="a")
    assert [change.before for change in memory.diff(earlier, clock.now, context="here").changes] == [
        None
    ]


def test_times_are_checked(memory: Memory, clock: Any) -> None:
    memory.add_pattern("a", pattern_id="a")
    hour = timedelta(hours=1)
    with pytest.raises(InvalidInputError, match="earlier time first"):
        memory.diff(clock.now, clock.now - hour, context="here")
    with pytest.raises(InvalidInputError, match="later is"):
        memory.diff(clock.now, clock.now + 99 * hour, context="here")
    with pytest.raises(InvalidInputError, match="time zone"):
        memory.diff(clock.now.replace(tzinfo=None), clock.now, context="here")
    with pytest.raises(InvalidInputError):
        memory.diff(clock.now, clock.now, context="")


def test_many_changes_nearby_are_told_in_bounded_time(memory: Memory, clock: Any) -> None:
    memory.add_patterns([{"description": f"way {n}", "pattern_id": f"p{n}"} for n in range(5)])
    earlier = clock.now
    clock.advance(hours=1)
    memory.record_many(
        NewEvent(f"p{n % 5}", outcome=n % 5 / 4, context=f"case {n} of many") for n in range(600)
    )
    for change in memory.diff(earlier, clock.now, context="case 3 of many").changes:
        assert len(change.causes) <= 8 + 5
        assert sum(cause.share for cause in change.causes) == pytest.approx(change.change, abs=1e-9)
        (elsewhere,) = [cause for cause in change.causes if cause.kind == "elsewhere"]
        assert 100 < elsewhere.event_count < 120
