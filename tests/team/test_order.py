"""Evidence is made anew where the order of what came late counts, and only there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.machines import Machine, agreed, alone
from whatworks import Memory, config
from whatworks.evidence import order
from whatworks.keeper import Keeper

Join = Callable[[str], Machine]
PRIOR = {"pattern_id": "p", "success_rate": 0.5, "usage_count": 4, "origin": "files"}


@pytest.fixture
def pair(machine: Join) -> tuple[Machine, Machine]:
    """Two machines that know one pattern with a pending try."""
    ada, bob = machine("ada"), machine("bob")
    ada.memory.add_pattern("retry the build", pattern_id="p")
    ada.memory.record("p", outcome=None, event_id="open")
    ada.sync()
    bob.sync()
    bob.settle()
    return ada, bob


def late(pair: tuple[Machine, Machine], first: Callable[[Memory], object]) -> Machine:
    """``first`` happens on one machine and comes to the other after something later was folded."""
    ada, bob = pair
    first(ada.memory)
    bob.memory.record("p", outcome=1.0)
    bob.memory.get_pattern("p")
    ada.sync()
    bob.sync()
    return bob


def opening(machine: Machine) -> str:
    """Another one each time that the evidence is made anew."""
    machine.settle()
    assert not (machine.folder / config.REORDER).exists()
    keeper = machine.memory._link._keeper
    assert keeper is not None
    return keeper.holds[0]


def test_late_tries_need_no_order(pair: tuple[Machine, Machine]) -> None:
    before = opening(pair[1])
    bob = late(pair, lambda m: m.record("p", outcome=0.0))
    assert opening(bob) == before


def test_a_late_outcome_of_what_has_none_needs_no_order(pair: tuple[Machine, Machine]) -> None:
    before = opening(pair[1])
    bob = late(pair, lambda m: m.resolve("open", outcome=1.0))
    assert opening(bob) == before
    assert bob.memory.get_event("open").outcome == 1.0


@pytest.mark.parametrize(
    ("early", "later"),
    [
        (
            lambda m: m.add_pattern("retry it twice", pattern_id="p"),
            lambda m: m.add_pattern("retry it once", pattern_id="p"),
        ),
        (
            lambda m: m.resolve("open", outcome=0.0),
            lambda m: m.resolve("open", outcome=1.0),
        ),
        (
            lambda m: m.record("p", outcome=0.0, event_id="same"),
            lambda m: m.record("p", outcome=1.0, event_id="same"),
        ),
        (lambda m: m.distrust("local"), lambda m: m.approve("local")),
        (lambda m: m.distrust("local"), lambda m: (m.approve("local"), m.unjudge("local"))),
        (lambda m: m.archive("p", reason="slow"), lambda m: m.archive("p", reason="old")),
        (lambda m: m.add_priors([PRIOR]), lambda m: m.add_priors([PRIOR])),
    ],
    ids=[
        "a text",
        "an outcome",
        "an id",
        "a judgement",
        "one taken back",
        "a place on the shelf",
        "when it was told",
    ],
)
def test_where_two_machines_spoke_of_one_thing_the_order_of_time_counts(
    pair: tuple[Machine, Machine],
    tmp_path: Path,
    early: Callable[[Memory], object],
    later: Callable[[Memory], object],
) -> None:
    ada, bob = pair
    before = opening(bob)
    early(ada.memory)
    later(bob.memory)
    bob.settle()
    ada.sync()
    bob.sync()
    assert opening(bob) != before
    answers = agreed([ada, bob])
    assert answers[0] == answers[1] == alone(ada, tmp_path / "alone")


def test_a_pattern_that_all_machines_add_alike_is_not_made_anew_each_time(
    pair: tuple[Machine, Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "UNSURE_SECONDS", 0)  # clocks are the same here, and calls quick
    ada, bob = pair
    before = opening(bob)
    ada.memory.add_pattern("retry the build", pattern_id="p")
    bob.memory.add_pattern("retry the build", pattern_id="p")
    bob.settle()
    ada.sync()
    bob.sync()
    assert opening(bob) == before
    answers = agreed([ada, bob])
    assert answers[0] == answers[1] == alone(ada, tmp_path / "alone")


def test_an_aggregate_that_is_told_again_later_is_not_made_anew_each_time(
    pair: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "UNSURE_SECONDS", 0)
    ada, bob = pair
    before = opening(bob)
    for each in (bob, ada):
        each.memory.add_priors([PRIOR])
    bob.memory.record("p", outcome=1.0)
    bob.settle()
    ada.sync()
    bob.sync()
    assert opening(bob) == before
    answers = agreed([ada, bob])
    assert answers[0] == answers[1]


def test_what_is_marked_while_evidence_is_put_in_order_is_for_the_next_time(
    pair: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = pair[1]
    keeper = bob.memory._link._keeper
    assert keeper is not None
    make_anew, reorder = Keeper._make_anew, bob.folder / config.REORDER

    def marked_meanwhile(kept: Keeper) -> None:
        make_anew(kept)
        config.mark(reorder)

    monkeypatch.setattr(Keeper, "_make_anew", marked_meanwhile)
    config.mark(reorder)
    bob.settle()
    assert reorder.exists()
    monkeypatch.setattr(Keeper, "_make_anew", make_anew)
    bob.settle()
    assert not keeper._disordered()
