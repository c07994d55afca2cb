"""What nobody vouches for is bounded, and what the owner says of a source holds in every process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import FrozenClock
from support.reference import assert_counts_agree
from support.snapshot import rounded, snapshot
from whatworks import Memory, NewEvent, NotFoundError, rank
from whatworks.checks import micros
from whatworks.doctor import examine
from whatworks.evidence import cells, quarantine
from whatworks.findings import Judgement

Open = Callable[..., Memory]
COUNTED = ("patterns", "events", "resolved", "pending", "not_used", "unknown", "priors")


def told(memory: Memory) -> dict[str, Any]:
    """All that a memory answers; contexts of tries that were held back later stay, and say nothing."""
    stats = memory.stats()
    found = snapshot(memory) | {name: getattr(stats, name) for name in COUNTED}
    found["held"] = [asdict(item) for item in memory.quarantine()]
    found["sources"] = rounded([asdict(item) for item in memory.sources()])
    return found


@pytest.mark.parametrize("channel", ["library", "mcp-http"])
@pytest.mark.parametrize("verb", ["distrust", "approve"])
def test_what_was_said_of_a_source_is_taken_back_as_if_it_never_was(
    open_memory: Open, store: Path, clock: FrozenClock, channel: str, verb: str
) -> None:
    owner = open_memory(store, source="owner", clock=clock)
    agent = open_memory(store, source="agent", channel=channel, clock=clock)
    owner.add_pattern("retry", pattern_id="p")
    owner.record_many({"pattern_id": "p", "outcome": 0.0, "context": f"o{n}"} for n in range(12))
    agent.record_many({"pattern_id": "p", "outcome": 1.0, "context": f"c{n}"} for n in range(20))
    before = told(owner)
    untold = owner.unjudge("agent")
    assert untold.judged_at is None and owner.judgements() == []
    getattr(owner, verb)("agent")
    assert told(owner) != before and owner.judgements() != []
    assert owner.unjudge("agent") == untold
    assert told(owner) == before and owner.judgements() == []
    assert_counts_agree(owner)
    owner.rebuild()
    assert told(owner) == before and owner.judgements() == []
    assert getattr(owner, verb)("agent").judged_at is not None


def test_another_process_hears_which_tries_are_held_and_why(memory: Memory, store: Path) -> None:
    memory.add_pattern("retry", pattern_id="p")
    for name in ("held", "too"):
        memory.record("p", outcome=1.0, event_id=name)
    memory.distrust("local")
    code = (
        "import sys\nfrom whatworks import Memory\n"
        "with Memory.open(sys.argv[1], embedder='none') as m:\n"
        "    print(m.held(['held', 'nobody']), m.unjudge('local').held)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'held': 'distrusted'} 0\n"


def test_a_judgement_of_a_source_that_has_told_nothing_yet_can_be_taken_back(memory: Memory) -> None:
    memory.restore(judgements=[Judgement("liar", "distrusted", 0, 0)])
    assert memory.unjudge("liar").trust == "vouched"
    assert memory.judgements() == []
    with pytest.raises(NotFoundError, match="no source 'liar' has told"):
        memory.unjudge("liar")


@pytest.fixture
def strangers(open_memory: Open, store: Path, clock: FrozenClock) -> Callable[[str], Memory]:
    return lambda name: open_memory(store, source=name, channel="mcp-http", clock=clock)


def test_tries_of_a_distrusted_source_count_for_nothing_until_it_is_approved(
    open_memory: Open, store: Path
) -> None:
    honest, liar = (open_memory(store, source=name) for name in ("honest", "liar"))
    honest.add_pattern("retry", pattern_id="p")
    honest.record("p", outcome=0.0, context="a")
    before = told(honest)
    liar.record_many({"pattern_id": "p", "outcome": 1.0, "context": f"c{n}"} for n in range(50))
    assert honest.get_pattern("p").resolved_count == 51
    swayed = told(honest)
    judged = honest.distrust("liar")
    assert (judged.trust, judged.counted, judged.held) == ("distrusted", 0, 50)
    assert honest.get_pattern("p").success_rate == 0.0
    assert_counts_agree(honest)
    (held,) = honest.quarantine()
    assert (held.pattern_id, held.source, held.reason, held.tries) == ("p", "liar", "distrusted", 50)
    after = told(honest)
    assert {k: v for k, v in after.items() if k not in ("held", "sources")} == {
        k: v for k, v in before.items() if k not in ("held", "sources")
    }
    liar.record("p", outcome=1.0, event_id="late")
    assert honest.get_pattern("p").resolved_count == 1
    assert honest.get_event("late").outcome == 1.0
    assert honest.approve("liar").held == 0
    assert honest.get_pattern("p").resolved_count == 52
    assert honest.quarantine() == []
    honest.forget(events=["late"])
    assert {k: v for k, v in told(honest).items() if k != "sources"} == {
        k: v for k, v in swayed.items() if k != "sources"
    }


def test_contexts_of_tries_that_are_held_back_later_are_not_listed(
    open_memory: Open, store: Path
) -> None:
    honest, liar = (open_memory(store, source=name) for name in ("honest", "liar"))
    honest.add_pattern("retry", pattern_id="p")
    honest.record("p", outcome=0.0, context="seen by both")
    liar.record("p", outcome=1.0, context="seen by both")
    liar.record("p", outcome=1.0, context="seen by the liar")
    listed = "SELECT text FROM contexts ORDER BY text"
    assert len(honest.sql(listed).rows) == 2
    honest.distrust("liar")
    assert list(honest.sql(listed).rows) == [("seen by both",)]
    honest.approve("liar")
    assert len(honest.sql(listed).rows) == 2


def test_what_was_learned_goes_with_a_judgement_that_comes_later_than_it_was_said(
    open_memory: Open, store: Path, clock: FrozenClock
) -> None:
    memory = open_memory(store, source="liar", clock=clock)
    memory.add_pattern("retry", pattern_id="p")
    memory.record("p", outcome=1.0)

    def learned() -> int:
        memory.stats()  # folds
        query = "SELECT count(*) FROM learned_rows"
        return int(memory._ask(lambda desk: desk.keeper.evidence().one(query))[0])

    def learn() -> None:
        body = {"recorded_at": micros(clock()), "cells": 1, "model": "none"}
        memory._link.append("world.learned", [body])

    learn()
    assert learned() == 1
    said_at = clock() - timedelta(days=100)
    clock.advance(days=1)
    memory.restore(judgements=[Judgement("liar", "distrusted", 0, 0, said_at)])
    assert (memory.get_pattern("p").usage_count, learned()) == (0, 0)
    assert [said.judged_at for said in memory.judgements()] == [said_at]
    clock.advance(days=1)
    learn()
    assert learned() == 1
    memory.rebuild()
    assert learned() == 1
    assert [said.judged_at for said in memory.judgements()] == [said_at]


def test_a_source_that_told_nothing_cannot_be_judged(memory: Memory) -> None:
    with pytest.raises(NotFoundError, match="no source 'nobody' has told of a try"):
        memory.distrust("nobody")


def test_outcomes_and_repeats_of_what_is_held_are_kept_with_it(
    open_memory: Open, store: Path, clock: FrozenClock
) -> None:
    memory = open_memory(store, source="x", clock=clock)
    memory.add_pattern("retry", pattern_id="p")
    memory.record("p", outcome=None, context="a", event_id="e")
    memory.distrust("x")
    clock.now += timedelta(hours=1)
    assert memory.resolve("e", outcome=1.0).outcome == 1.0
    assert memory.record("p", outcome=1.0, context="a", event_id="e").event_id == "e"
    assert memory.sources()[0].held == 1
    assert memory.get_event("e").state == "resolved"
    clock.now += timedelta(hours=1)
    memory.resolve("e", outcome=0.5)
    memory.approve("x")
    pattern = memory.get_pattern("p")
    assert (pattern.usage_count, pattern.success_rate) == (1, 0.5)
    halfway = memory.trend("p", as_of=clock.now - timedelta(minutes=90))
    assert [(day.usage_count, day.resolved_count) for day in halfway.days] == [(1, 0)]


def test_unvouched_sources_count_up_to_a_quarter_of_the_evidence(
    open_memory: Open, store: Path, strangers: Callable[[str], Memory], clock: FrozenClock
) -> None:
    owner = open_memory(store, source="owner", clock=clock)
    owner.add_pattern("retry", pattern_id="p")
    owner.record_many({"pattern_id": "p", "outcome": 0.0, "context": f"c{n}"} for n in range(60))
    for n in range(8):
        stranger = strangers(f"s{n}")
        for hour in range(2):
            clock.now += timedelta(hours=1)
            stranger.record_many(
                {"pattern_id": "p", "outcome": 1.0, "context": f"x{n} {hour} {k}"} for k in range(10)
            )
    pattern = owner.get_pattern("p")
    assert (pattern.resolved_count, pattern.success_rate) == (80, 0.25)
    reasons = {item.reason for item in owner.quarantine()}
    assert reasons == {"hour", "share"}
    owner.record_many({"pattern_id": "p", "outcome": 0.0, "context": f"d{n}"} for n in range(30))
    assert owner.get_pattern("p").resolved_count == 120
    assert owner.approve("s0").held == 0
    assert_counts_agree(owner)


def test_one_unvouched_source_counts_twenty_times(
    open_memory: Open, store: Path, strangers: Callable[[str], Memory], clock: FrozenClock
) -> None:
    owner, stranger = open_memory(store), strangers("s")
    owner.add_pattern("retry", pattern_id="p")
    owner.record_many({"pattern_id": "p", "outcome": 0.0, "context": f"c{n}"} for n in range(300))
    for _ in range(10):
        clock.now += timedelta(hours=1)
        stranger.record_many(
            {"pattern_id": "p", "outcome": 1.0, "session_id": f"{n}"} for n in range(30)
        )
    assert owner.get_pattern("p").resolved_count == 300 + quarantine.PER_SOURCE
    assert {item.reason for item in owner.quarantine()} == {"source"}


def test_what_a_single_owner_tells_is_never_held(open_memory: Open, store: Path) -> None:
    memory = open_memory(store, channel="cli")
    memory.add_pattern("retry", pattern_id="p")
    memory.record_many({"pattern_id": "p", "outcome": 1.0, "session_id": "s"} for _ in range(5_000))
    assert memory.get_pattern("p").resolved_count == 5_000
    assert not memory._keeper.evidence().guarded


def test_nothing_is_recommended_on_the_word_of_a_stranger(
    open_memory: Open, store: Path, strangers: Callable[[str], Memory], clock: FrozenClock
) -> None:
    owner, stranger = open_memory(store, source="owner", clock=clock), strangers("s")
    for name in ("good", "bad", "new"):
        owner.add_pattern(f"the {name} way", pattern_id=name)
    for n in range(40):
        owner.record("good", outcome=1.0, context=f"task {n}")
        owner.record("bad", outcome=0.0, context=f"task {n}")
        stranger.record("new", outcome=1.0, context=f"task {n}")
        clock.now += timedelta(hours=1)
    made = owner.predict("task 3")
    answers = {answer.pattern_id: answer for answer in made.answers}
    assert answers["good"].verdict == "recommended"
    assert (answers["good"].unvouched, answers["new"].unvouched) == (0.0, 1.0)
    assert answers["new"].verdict == "worth trying"
    assert answers["new"].expected < answers["good"].expected
    kept = {answer.pattern_id: answer for answer in owner.why(made.prediction_id).prediction.answers}
    assert kept["new"].unvouched == 1.0
    later = clock.now
    clock.now += timedelta(hours=1)
    owner.approve("s")
    answers = {answer.pattern_id: answer for answer in owner.predict("task 3").answers}
    assert (answers["new"].verdict, answers["new"].unvouched) == ("recommended", 0.0)
    assert owner.predict("task 3", as_of=later).answers[0].verdict == "recommended"


def test_strangers_neither_change_a_pattern_nor_say_what_works_where(
    open_memory: Open, store: Path, strangers: Callable[[str], Memory], clock: FrozenClock
) -> None:
    owner = open_memory(store, source="owner", clock=clock)
    for name in ("p", "q"):
        owner.add_pattern(f"the {name} way", pattern_id=name)
        owner.record_many(
            {"pattern_id": name, "outcome": float(n % 10 < 3), "context": f"work {n % 30} on {n}"}
            for n in range(150)
        )
    owner.flush()
    for hour in range(60):
        clock.now += timedelta(hours=7)
        strangers(f"s{hour % 10}").record("p", outcome=1.0, context=f"work {hour % 30} on {hour}")
    owner.flush()
    assert owner.get_pattern("p").resolved_count == 150 + 50
    assert owner.trend("p").change_point is None
    answers = {a.pattern_id: a for a in owner.predict("work 7 on 7").answers}
    assert answers["p"].change is None
    assert 0 < answers["p"].unvouched <= rank.MOST_UNVOUCHED
    assert answers["p"].expected < 0.3 * 0.75 + 0.25
    assert all((event.context or "").startswith("work") for event in owner.events("p", limit=50))
    for number in range(10):
        owner.approve(f"s{number}")
    assert owner.trend("p").change_point is not None
    assert_counts_agree(owner)


def test_a_verdict_knows_the_share_that_limits_leave_to_strangers() -> None:
    most = quarantine.SHARE / (1 + quarantine.SHARE)
    assert most == pytest.approx(rank.MOST_UNVOUCHED)
    assert rank.verdict(0.9, 1.0, 9.0, 0.5, unvouched=most) == "recommended"
    assert rank.verdict(0.9, 1.0, 9.0, 0.5, unvouched=0.3) == "worth trying"


# -- the same from the journal, however it is read ----------------------------------------------------


def happen(memories: dict[str, Memory], clock: FrozenClock, rng: random.Random, fold: float) -> None:
    """Things that happen, the same for a seed; with ``fold`` as the chance that somebody asks."""
    owner, names, open_ones, known = memories["owner"], list(memories), [], list[str]()
    fate = random.Random(rng.random())
    for n in range(4):
        owner.add_pattern(f"approach {n}", pattern_id=f"p{n}")
    for step in range(120):
        clock.now += timedelta(minutes=rng.choice([0, 1, 17]))
        name, what = rng.choice(names), rng.random()
        if what < 0.75:
            event = f"e{rng.randrange(400)}"
            if event in known:
                continue
            known.append(event)
            outcome = rng.choice([None, 0.0, 0.25, 1.0])
            memories[name].record(
                f"p{rng.randrange(4)}",
                outcome=outcome,
                event_id=event,
                context=rng.choice([None, "a", "b", f"c{step}"]),
                session_id=rng.choice([None, "s"]),
            )
            if outcome is None:
                open_ones.append(event)
        elif what < 0.85 and open_ones:
            event = rng.choice(open_ones)
            if rng.random() < 0.2:
                memories[name].resolve(event, state="not_used")
            else:
                memories[name].resolve(event, outcome=rng.choice([0.0, 1.0]))
        elif what < 0.95 and (said := {item.source for item in owner.sources()}):
            chosen = rng.choice(sorted(said))
            rng.choice([owner.distrust, owner.approve, owner.unjudge])(chosen)
        elif known:
            gone = rng.choice(known)
            if gone in owner.get_events([gone]):
                owner.forget(events=[gone])
                open_ones = [event for event in open_ones if event != gone]
        if fate.random() < fold:
            owner.stats()


@pytest.mark.parametrize("seed", range(3 if not os.environ.get("WHATWORKS_FULL") else 100))
def test_the_evidence_made_anew_is_the_one_that_grew(
    open_memory: Open, store: Path, clock: FrozenClock, seed: int
) -> None:
    memories = {"owner": open_memory(store, source="owner", clock=clock)}
    for name, channel in (("s1", "mcp-http"), ("s2", "mcp-http"), ("s3", "mcp-http"), ("h", "hook")):
        memories[name] = open_memory(store, source=name, channel=channel, clock=clock)
    rng = random.Random(seed)
    happen(memories, clock, rng, fold=rng.choice([0.0, 0.1, 1.0]))
    grown = told(memories["owner"])
    assert grown["held"]
    assert_counts_agree(memories["owner"])
    memories["owner"].rebuild()
    assert told(memories["owner"]) == grown
    for memory in memories.values():
        memory.close()
    assert [look.finding for look in examine(store) if look.status == "bad"] == []


def test_forgetting_takes_what_is_held_and_what_was_said_of_its_source(
    open_memory: Open, store: Path
) -> None:
    memory = open_memory(store, source="canary-source")
    memory.add_pattern("retry", pattern_id="p")
    memory.record("p", outcome=1.0, context="canary-text of it", event_id="canary-event")
    memory.record("p", outcome=None, context="canary-text of it", event_id="canary-two")
    memory.distrust("canary-source")
    memory.resolve("canary-two", outcome=1.0)
    counted = memory.forget(containing="canary", dry_run=True)
    assert (counted.events, counted.contexts) == (2, 1)
    memory.forget(containing="canary", now=True)
    assert memory.quarantine() == []
    assert memory.sources() == []
    memory.close()
    left = [p for p in store.rglob("*") if p.is_file() and b"canary" in p.read_bytes()]
    assert left == []


def test_strangers_move_neither_the_mean_of_all_patterns_nor_a_trend(tmp_path: Path) -> None:
    """Patterns cost them nothing, so each may have a few tries that count."""
    now = datetime(2026, 11, 1, tzinfo=UTC)
    with (
        Memory.open(tmp_path / "store", embedder="none", clock=lambda: now) as own,
        Memory.open(
            tmp_path / "store",
            embedder="none",
            clock=lambda: now,
            channel="mcp-http",
            source="stranger",
        ) as strange,
    ):
        own.add_pattern("mine", pattern_id="mine")
        own.record_many(
            NewEvent("mine", outcome=float(day % 5 > 0), timestamp=now - timedelta(days=day // 2))
            for day in range(90)
        )
        before = own.trend("mine")
        population = cells.population(own._keeper.evidence(), None)
        strange.record_many(
            NewEvent("mine", outcome=0.0, timestamp=now - timedelta(hours=n), session_id=f"s{n}")
            for n in range(20)
        )
        for n in range(50):
            strange.add_pattern(f"theirs {n}", pattern_id=f"theirs-{n}")
            strange.record(f"theirs-{n}", outcome=0.0)
        assert own.get_pattern("mine").usage_count > 90  # some of it counts, for the record
        after = own.trend("mine")
        assert (after.direction, after.days) == (before.direction, before.days)
        moved = cells.population(own._keeper.evidence(), None)
        assert (moved.patterns, moved.cells) == (population.patterns, population.cells)
        assert own.overview().falling == ()
