"""An archived pattern keeps its record and its id, and is neither found nor recommended."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import FrozenClock
from support.reference import assert_counts_agree
from support.snapshot import fill, snapshot
from whatworks import InvalidInputError, Memory, NotFoundError
from whatworks.doctor import examine
from whatworks.exporters.jsonl import export_jsonl
from whatworks.exporters.lessons import lessons
from whatworks.importers.jsonl import import_jsonl

Open = Callable[..., Memory]


def recommended(memory: Memory, text: str = "retry the build", **options: Any) -> list[str]:
    return [answer.pattern_id for answer in memory.predict(text, limit=20, **options).answers]


def found(memory: Memory, text: str = "retry the build", **options: Any) -> list[str]:
    return [match.pattern_id for match in memory.find_similar(text, limit=20, **options)]


def by_pattern(memory: Memory, **options: Any) -> dict[str, tuple[float, float, float]]:
    made = memory.predict("build failed in cache", limit=20, **options)
    return {a.pattern_id: (a.expected, a.low, a.high) for a in made.answers}


def test_an_archived_pattern_is_neither_found_nor_listed_nor_recommended(memory: Memory) -> None:
    fill(memory)
    assert "p0" in recommended(memory) and "p0" in found(memory)
    archived = memory.archive("p0", reason="the tool is gone")
    assert archived.archive_reason == "the tool is gone" and archived.archived_at is not None
    assert "p0" not in recommended(memory) and "p0" not in found(memory)
    assert found(memory, where={"pattern_type": "general"}).count("p0") == 0
    assert "p0" not in {item.pattern_id for item in memory.patterns()}
    assert [item.pattern_id for item in memory.patterns(where={"archived": True})] == ["p0"]
    assert found(memory, where={"archived": True}) == ["p0"]
    overview = memory.overview()
    shown = [
        item.pattern.pattern_id for item in (*overview.working, *overview.rising, *overview.falling)
    ]
    assert "p0" not in shown and "p0" not in {item.pattern_id for item in overview.untested}
    assert sum(cluster.patterns for cluster in memory.clusters()) == 5


def test_its_record_and_its_id_stay_and_more_tries_count(memory: Memory) -> None:
    fill(memory)
    before, trend, events = memory.get_pattern("p0"), memory.trend("p0"), memory.events("p0")
    memory.archive("p0")
    after = memory.get_pattern("p0")
    assert (after.usage_count, after.success_rate) == (before.usage_count, before.success_rate)
    assert memory.trend("p0") == trend and memory.events("p0") == events
    memory.record("p0", outcome=1.0, context="a")
    assert memory.get_pattern("p0").usage_count == before.usage_count + 1
    assert recommended(memory, candidates=["p0", "p1"]).count("p0") == 1
    assert_counts_agree(memory)


def test_archiving_changes_no_estimate_of_another_pattern(memory: Memory) -> None:
    fill(memory)
    before = by_pattern(memory)
    memory.archive("p0")
    after = by_pattern(memory)
    assert after == {name: value for name, value in before.items() if name != "p0"}


def test_unarchive_gives_back_exactly_what_was(memory: Memory) -> None:
    fill(memory)
    before = snapshot(memory)
    memory.archive("p0", reason="a")
    assert snapshot(memory) != before
    memory.unarchive("p0")
    assert snapshot(memory) == before


def test_archiving_again_keeps_when_and_why_unless_another_reason_is_given(
    open_memory: Open, store: Path, clock: FrozenClock
) -> None:
    memory = open_memory(store, clock=clock)
    memory.add_pattern("retry", pattern_id="p")
    first = memory.archive("p", reason="a")
    clock.now += timedelta(hours=1)
    assert memory.archive("p") == first
    assert memory.archive("p", reason="b").archive_reason == "b"
    assert memory.unarchive("p").archived_at is None
    assert memory.unarchive("p").archived_at is None


def test_what_cannot_be_archived_is_refused(memory: Memory) -> None:
    with pytest.raises(NotFoundError, match="there is no pattern 'x'"):
        memory.archive("x")
    memory.add_pattern("retry", pattern_id="p")
    with pytest.raises(InvalidInputError, match="reason"):
        memory.archive("p", reason="\x1b[31m")
    with pytest.raises(InvalidInputError, match="archived is 'yes'; expected True or False"):
        memory.patterns(where={"archived": "yes"})


def test_as_of_recommends_what_was_shown_then(
    open_memory: Open, store: Path, clock: FrozenClock
) -> None:
    memory = open_memory(store, clock=clock)
    fill(memory)
    times = []
    for step in (memory.archive, memory.unarchive, memory.archive):
        clock.now += timedelta(hours=1)
        times.append(clock.now)
        clock.now += timedelta(hours=1)
        step("p0")
    shown = ["p0" in recommended(memory, as_of=at) for at in times]
    assert shown == [True, False, True]
    assert "p0" not in recommended(memory)


def test_adding_it_again_leaves_it_archived(memory: Memory) -> None:
    memory.add_pattern("retry", pattern_id="p")
    memory.archive("p", reason="a")
    assert memory.add_pattern("retry the build", pattern_id="p").archive_reason == "a"
    assert memory.patterns() == []


def test_what_is_near_and_archived_leaves_room_for_the_rest(memory: Memory) -> None:
    memory.add_patterns(
        {"description": f"retry the build {n}", "pattern_id": f"p{n:02}"} for n in range(90)
    )
    for n in range(80):
        memory.archive(f"p{n:02}")
    left = {f"p{n:02}" for n in range(80, 90)}
    assert set(found(memory)) == left
    assert set(recommended(memory)) == left


def told(memory: Memory) -> dict[str, Any]:
    archived = [asdict(item) for item in memory.patterns(where={"archived": True})]
    return snapshot(memory) | {"archived": archived}


@pytest.mark.parametrize("seed", range(4))
def test_folding_in_any_batches_ends_as_folding_at_once(
    open_memory: Open, store: Path, clock: FrozenClock, seed: int
) -> None:
    chance = random.Random(seed)
    memory = open_memory(store, clock=clock)
    fill(memory)
    for n in range(60):
        clock.now += timedelta(minutes=chance.choice([0, 1]))
        name = f"p{chance.randrange(6)}"
        step: list[Callable[[], object]] = [
            lambda name=name, n=n: memory.archive(name, reason=f"r{n % 3}"),
            lambda name=name: memory.unarchive(name),
            lambda name=name: memory.record(name, outcome=1.0, context="a"),
            lambda name=name, n=n: memory.add_pattern(f"wait {n}", pattern_id=name),
        ]
        chance.choice(step)()
        if chance.random() < 0.3:
            memory.stats()  # which folds
    at = clock.now - timedelta(minutes=10)
    before = told(memory), by_pattern(memory, as_of=at)
    memory.rebuild()
    assert (told(memory), by_pattern(memory, as_of=at)) == before
    memory.close()
    assert [look.finding for look in examine(store) if look.status == "bad"] == []


def test_an_export_brings_archived_patterns_back_as_they_were(
    open_memory: Open, store: Path, tmp_path: Path, clock: FrozenClock
) -> None:
    memory = open_memory(store, clock=clock)
    fill(memory)
    plain, other = tmp_path / "plain.jsonl", tmp_path / "archived.jsonl"
    export_jsonl(memory, plain)
    assert '"format":1' in plain.read_text().splitlines()[0]
    memory.archive("p0", reason="a")
    memory.archive("p1")
    clock.now += timedelta(days=1)
    export_jsonl(memory, other)
    assert '"format":2' in other.read_text().splitlines()[0]
    copy = open_memory(tmp_path / "copy", clock=clock)
    assert not import_jsonl(copy, other).skipped
    brought = told(copy)
    for item in brought["events"]:
        item["imported_from"] = []  # which file they came by is all that is new
    assert brought == told(memory)
    copy.unarchive("p0")
    import_jsonl(copy, other)  # what the store has stays as it is there
    assert copy.get_pattern("p0").archived_at is None


def test_a_forgotten_pattern_is_not_archived_when_it_comes_again(memory: Memory, store: Path) -> None:
    memory.add_pattern("retry", pattern_id="p")
    memory.archive("p", reason="the secret of acme")
    memory.forget(patterns=["p"], now=True)
    assert memory.add_pattern("retry", pattern_id="p").archived_at is None
    assert [item.pattern_id for item in memory.patterns()] == ["p"]
    text = b"".join(path.read_bytes() for path in (store / "journal").iterdir() if path.is_file())
    assert b"acme" not in text


def test_an_archived_pattern_is_taught_to_nobody(memory: Memory) -> None:
    memory.add_patterns({"description": f"do {name}", "pattern_id": name} for name in ("good", "bad"))
    memory.record_many(
        {"pattern_id": name, "outcome": float(name == "good"), "context": f"{name} {n}"}
        for name in ("good", "bad")
        for n in range(30)
    )
    assert [item.pattern.pattern_id for item in lessons(memory, limit=5)] == ["good", "bad"]
    memory.archive("bad")
    assert [item.pattern.pattern_id for item in lessons(memory, limit=5)] == ["good"]


def test_sql_says_what_is_archived(memory: Memory) -> None:
    memory.add_patterns(
        [{"description": "a", "pattern_id": "a"}, {"description": "b", "pattern_id": "b"}]
    )
    memory.archive("a", reason="old")
    rows = memory.sql("SELECT pattern_id, archive_reason, archived_at IS NULL FROM patterns ORDER BY 1")
    assert [tuple(row) for row in rows.rows] == [("a", "old", False), ("b", None, True)]
