"""Machines exchange their journals, and each answers what one store would that had them all."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from support.machines import Machine, agreed, alone
from support.reference import assert_counts_agree
from whatworks import NotFoundError

Join = Callable[[str], Machine]
SEEDS = range(100 if os.environ.get("WHATWORKS_FULL") else 4)
WORDS = ("retry", "build", "imports", "cache", "delete", "wait")


def act(
    machine: Machine, chance: random.Random, made: dict[str, list[str]], *, forgets: bool = False
) -> None:
    """One thing that an agent does, of all that the journal knows."""
    memory, kind = machine.memory, chance.random()
    if forgets and kind < 0.04:
        with suppress(NotFoundError):  # nobody has added it yet
            memory.forget(f"p{chance.randrange(6)}", now=chance.random() < 0.5)
        return
    if forgets and kind < 0.08 and made["events"]:
        with suppress(NotFoundError):  # it has not come here
            memory.forget(events=chance.choice(made["events"]))
        return
    patterns = [pattern.pattern_id for pattern in memory.iter_patterns()]
    if not patterns or kind < 0.15:  # also ids that another machine adds at the same time
        name, word = f"p{chance.randrange(6)}", chance.choice(WORDS)
        memory.add_pattern(f"{word} the build", pattern_id=name, metadata={"by": word})
    elif kind < 0.75:
        outcome = chance.choice([None, 0.0, 0.5, 1.0])
        context = f"{chance.choice(WORDS)} failed in {chance.choice(WORDS)}"
        event = memory.record(chance.choice(patterns), outcome=outcome, context=context)
        made["events"].append(event.event_id)
    elif kind < 0.9 and made["events"]:
        event_id = chance.choice(made["events"])
        if event_id in memory.get_events([event_id]):
            memory.resolve(event_id, outcome=chance.choice([0.0, 1.0]))
    elif kind < 0.95:
        prior = {"pattern_id": chance.choice(patterns), "success_rate": 0.5, "usage_count": 4}
        memory.add_priors([prior | {"origin": f"files {chance.randrange(3)}"}])
    else:
        memory.predict("imports failed in build")


@pytest.mark.parametrize("seed", SEEDS)
def test_machines_that_exchange_now_and_then_answer_as_one_store(
    machine: Join, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    machines = [machine(name) for name in ("ada", "bob", "eve")]
    made: dict[str, list[str]] = {"events": []}
    for _ in range(150):
        each = chance.choice(machines)
        if chance.random() < 0.15:
            each.sync()
        else:
            act(each, chance, made)
    answers = agreed(machines)
    assert len(answers[0]["events"]) > 20
    assert answers[1] == answers[0] and answers[2] == answers[0]
    assert alone(machines[0], tmp_path / "alone") == answers[0]
    for each in machines:
        assert_counts_agree(each.memory)


@pytest.mark.parametrize("seed", SEEDS)
def test_machines_that_also_forget_answer_as_one_store(
    machine: Join, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    machines = [machine(name) for name in ("ada", "bob", "eve")]
    made: dict[str, list[str]] = {"events": []}
    for _ in range(120):
        each = chance.choice(machines)
        if chance.random() < 0.2:
            each.sync()
        else:
            act(each, chance, made, forgets=True)
    answers = agreed(machines)
    assert answers[1] == answers[0] and answers[2] == answers[0]
    assert alone(machines[0], tmp_path / "alone") == answers[0]
    for each in machines:
        assert_counts_agree(each.memory)


def test_segments_are_the_same_bytes_everywhere(machine: Join) -> None:
    ada, bob = machine("ada"), machine("bob")
    ada.memory.add_pattern("retry the build", pattern_id="p")
    ada.sync()
    bob.sync()
    bob.memory.record("p", outcome=1.0)
    bob.sync()
    ada.sync()
    assert ada.journal == bob.journal and len(ada.journal) == 2
    ada.settle()
    assert ada.memory.get_pattern("p").usage_count == 1


def test_what_is_shipped_is_not_shipped_again(machine: Join) -> None:
    ada = machine("ada")
    ada.memory.add_pattern("retry the build")
    assert ada.sync().shipped > 0
    again = ada.sync()
    assert (again.shipped, again.fetched) == (0, 0)
    ada.exchange.close()
    assert ada.sync().shipped == 0
