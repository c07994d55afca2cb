"""What is proposed to be archived, and why; applied, it is, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import FrozenClock
from support.snapshot import fill, snapshot
from whatworks import Memory
from whatworks.evidence.usefulness import Useful
from whatworks.optimizer import LEAST, NEW, OLD, OTHERS, SHOWN_TO, STALE, Known, proposals

Open = Callable[..., Memory]
NOW = datetime(2026, 6, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=400)
KNOWN = Known(NOW, 0.6, OTHERS, NOW - timedelta(days=1))


def useful(name: str, description: str = "", **known: Any) -> Useful:
    values: dict[str, Any] = {
        "pattern_type": "general",
        "metadata": "{}",
        "created_at": LONG_AGO,
        "last_used_at": NOW,
        "used": 20,
        "tries": 20.0,
        "total": 12.0,
        "imported": 0,
        "shown": True,
    }
    return Useful(pattern_id=name, description=description or f"say {name}", **values | known)


def kinds(*patterns: Useful, known: Known = KNOWN, keep: int | None = None) -> dict[str, str]:
    return {item.pattern_id: item.kind for item in proposals(patterns, known, keep=keep)}


def test_a_pattern_that_works_is_left_alone() -> None:
    assert kinds(useful("a"), useful("b")) == {}
    assert kinds() == {}


def test_harm_goes_by_the_upper_end_of_the_interval_and_not_by_the_rate() -> None:
    assert kinds(useful("a", total=2.0)) == {"a": "harmful"}
    few = useful("a", tries=LEAST - 1, total=0.0)
    assert kinds(few) == {}
    assert kinds(useful("a", tries=20.0, total=9.0)) == {}  # a rate of 0.45 may be chance
    assert kinds(useful("a", tries=400.0, total=180.0)) == {"a": "harmful"}
    (found,) = proposals([useful("a", total=2.0)], KNOWN)
    assert found.why.startswith("worked 0.10 in 20.0 tries, at most 0.3")


def test_of_two_that_say_the_same_the_one_with_more_tries_stays() -> None:
    one = useful("a", "Run cargo check, fix the imports", tries=5.0, total=3.0)
    other = useful("b", "Run cargo check and fix the imports")
    (found,) = proposals([one, other], KNOWN)
    assert (found.pattern_id, found.kind, found.like) == ("a", "duplicate", "b")


@pytest.mark.parametrize(
    "other",
    [
        {"description": "Rebuild the image with cache"},
        {"description": "image the Rebuild without cache"},
        {"description": "Rebuild the image without the cache", "pattern_type": "other"},
        {"description": "Rebuild the image without the cache", "metadata": '{"n":1}'},
        {"description": "Rebuild the image without the cache", "tries": 90.0, "total": 90.0},
    ],
)
def test_what_says_or_does_something_else_is_no_duplicate(other: dict[str, Any]) -> None:
    found = kinds(useful("a", "Rebuild the image without cache"), useful("b", **other))
    assert found == {}


def test_what_nobody_tries_any_more_is_stale_unless_it_helped_or_nothing_was_tried() -> None:
    old = NOW - STALE - timedelta(days=1)
    assert kinds(useful("a", last_used_at=old)) == {"a": "stale"}
    assert kinds(useful("a", last_used_at=NOW - STALE + timedelta(days=1))) == {}
    assert kinds(useful("a", last_used_at=old, total=20.0)) == {}
    assert kinds(useful("a", last_used_at=old), known=KNOWN._replace(others=OTHERS - 1)) == {}


def test_junk_has_no_word_or_was_never_shown_although_many_were() -> None:
    once = {"used": 1, "tries": 1.0, "total": 1.0, "shown": False}
    assert kinds(useful("a", "..."), useful("b", **once)) == {"a": "junk", "b": "junk"}
    assert kinds(useful("b", **once | {"shown": True})) == {}
    assert kinds(useful("b", **once | {"imported": 3})) == {}
    assert kinds(useful("b", **once | {"created_at": NOW - OLD + timedelta(days=1)})) == {}
    assert kinds(useful("b", **once), known=KNOWN._replace(asked_at=None)) == {}
    assert kinds(useful("b", **once), known=KNOWN._replace(asked_at=LONG_AGO - timedelta(1))) == {}


def test_what_a_framework_keeps_here_is_left_alone() -> None:
    never = {"used": 0, "tries": 0.0, "total": 0.0, "shown": False, "pattern_type": "langgraph"}
    assert kinds(useful("a", "...", **never)) == {}


def test_a_budget_lets_the_least_proven_go_and_new_ones_last() -> None:
    patterns = [
        useful("proven", total=18.0),
        useful("mean"),
        useful("unproven", used=2, tries=0.0, total=0.0),
        useful("new", used=0, tries=0.0, total=0.0, created_at=NOW - NEW / 2),
    ]
    assert kinds(*patterns, keep=4) == {}
    assert kinds(*patterns, keep=3) == {"unproven": "budget"}
    assert kinds(*patterns, keep=2) == {"unproven": "budget", "mean": "budget"}
    assert set(kinds(*patterns, keep=1)) == {"unproven", "mean", "proven"}
    assert kinds(*patterns, useful("bad", total=1.0), keep=4) == {"bad": "harmful"}


@pytest.fixture
def used(open_memory: Open, store: Path, clock: FrozenClock) -> Memory:
    """A store in which one pattern fails, one says what another says, and one was left behind."""
    memory = open_memory(store, clock=clock)
    said = {"good": "fix the import", "same": "fix import", "bad": "guess", "left": "ask on a list"}
    start = clock.now - timedelta(days=300)
    memory.add_patterns(
        {"description": text, "pattern_id": name, "created_at": start} for name, text in said.items()
    )
    tries = {"good": (120, 1.0), "same": (3, 1.0), "bad": (30, 0.0), "left": (4, 0.5)}
    memory.record_many(
        {
            "pattern_id": name,
            "outcome": outcome,
            "context": f"{name} {n}",
            "timestamp": start if name == "left" else clock.now - timedelta(hours=n),
        }
        for name, (count, outcome) in tries.items()
        for n in range(count)
    )
    return memory


def test_optimize_proposes_and_changes_nothing(used: Memory) -> None:
    before = snapshot(used)
    found = {item.pattern_id: item.kind for item in used.optimize()}
    assert found == {"bad": "harmful", "same": "duplicate", "left": "stale"}
    assert snapshot(used) == before


def test_applied_it_archives_with_the_reason_and_proposes_nothing_more(used: Memory) -> None:
    found = used.optimize(apply=True)
    assert [item.pattern_id for item in used.patterns()] == ["good"]
    for item in found:
        assert used.get_pattern(item.pattern_id).archive_reason == f"{item.kind}: {item.why}"
    assert used.optimize() == []


def test_what_was_applied_can_be_taken_back_exactly(used: Memory) -> None:
    before = snapshot(used)
    for item in used.optimize(apply=True, keep=1):
        used.unarchive(item.pattern_id)
    assert snapshot(used) == before


def test_no_estimate_of_a_pattern_that_stays_changes(used: Memory) -> None:
    def estimates() -> dict[str, tuple[float, float, float]]:
        made = used.predict("an import cannot be found")
        return {a.pattern_id: (a.expected, a.low, a.high) for a in made.answers}

    before = estimates()
    used.optimize(apply=True)
    assert estimates() == {"good": before["good"]}


def test_the_budget_bounds_the_store(memory: Memory) -> None:
    fill(memory, patterns=12)
    memory.optimize(apply=True, keep=5)
    assert len(memory.patterns()) == 5


def test_a_pattern_is_junk_once_enough_was_asked_without_it(
    open_memory: Open, store: Path, clock: FrozenClock
) -> None:
    memory = open_memory(store, clock=clock)
    memory.add_pattern("wait for the moon", pattern_id="moon")
    memory.add_patterns({"description": f"retry {n}", "pattern_id": f"r{n}"} for n in range(3))
    memory.record_many(
        {"pattern_id": f"r{n % 3}", "outcome": 1.0, "context": "retry"} for n in range(9)
    )
    clock.now += OLD + timedelta(days=1)
    for n in range(SHOWN_TO):
        memory.predict("retry", limit=2, candidates=["r0", "r1", "r2"])
        if n == 0:
            assert memory.optimize() == []
    found = {item.pattern_id: item.why for item in memory.optimize()}
    assert found["moon"].startswith("never tried, in none of 100 predictions or more since")
