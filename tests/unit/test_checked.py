"""What a check found and what is told of one's own work are told apart, and the check stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from whatworks import Memory
from whatworks.exporters import export_jsonl
from whatworks.importers import import_jsonl

Open = Callable[..., Memory]


@pytest.fixture
def agent(open_memory: Open, store: Path) -> Memory:
    memory = open_memory(store, source="agent", channel="mcp")
    memory.add_pattern("retry", pattern_id="p")
    return memory


@pytest.fixture
def tests(open_memory: Open, store: Path) -> Memory:
    return open_memory(store, source="ci", checking=True)


def test_who_writes_says_whether_outcomes_are_checked_and_no_event_does(
    agent: Memory, tests: Memory, open_memory: Open, store: Path
) -> None:
    hooks = open_memory(store, source="hook", channel="hook")
    for memory, expected in ((agent, False), (tests, True), (hooks, True)):
        event = memory.record("p", outcome=1.0, metadata={"checked": not expected})
        assert event.checked is expected
        assert agent.get_event(event.event_id) == event
        waiting = memory.record("p", outcome=None)
        assert not waiting.checked
        assert memory.resolve(waiting.event_id, outcome=0.0).checked is expected
        assert agent.get_event(waiting.event_id).checked is expected
    assert {source.source: source.checked for source in agent.sources()} == {
        "agent": 0,
        "ci": 2,
        "hook": 2,
    }
    found = agent.sql("SELECT source, count(*) FROM usage_events WHERE checked GROUP BY 1 ORDER BY 1")
    assert list(found.rows) == [("ci", 2), ("hook", 2)]


def test_what_a_check_found_stands_against_what_is_told_before_and_after(
    agent: Memory, tests: Memory
) -> None:
    agent.record("p", outcome=1.0, event_id="e")
    found = tests.resolve("e", outcome=0.0)
    assert (found.outcome, found.checked) == (0.0, True)
    assert agent.resolve("e", outcome=1.0).outcome == 0.0
    assert agent.resolve("e", state="not_used").outcome == 0.0
    assert agent.get_pattern("p").success_rate == 0.0
    assert tests.resolve("e", outcome=0.5).outcome == 0.5
    agent.rebuild()
    assert (agent.get_event("e").outcome, agent.get_event("e").checked) == (0.5, True)


def test_a_check_that_finds_what_was_told_makes_it_checked(agent: Memory, tests: Memory) -> None:
    agent.record("p", outcome=1.0, event_id="e")
    assert tests.resolve("e", outcome=1.0).checked
    assert agent.get_event("e").checked
    assert agent.resolve("e", outcome=0.0).outcome == 1.0


def test_what_a_check_took_back_can_be_told_again(agent: Memory, tests: Memory) -> None:
    tests.record("p", outcome=1.0, event_id="e")
    assert not tests.resolve("e", state="unknown").checked
    told = agent.resolve("e", outcome=0.25)
    assert (told.outcome, told.checked) == (0.25, False)


def test_why_says_who_told_what_was_known_then_whatever_is_corrected_since(
    agent: Memory, tests: Memory
) -> None:
    for n in range(4):
        agent.record("p", outcome=1.0, event_id=f"e{n}")
    tests.record("p", outcome=1.0)
    made = agent.predict("anything").prediction_id

    def told() -> tuple[int, int]:
        (found,) = agent.why(made).explanations
        assert found.told is not None
        return found.told.outcomes, found.told.checked

    assert told() == (5, 1)
    agent.resolve("e0", outcome=0.0)
    agent.resolve("e1", state="unknown")
    tests.resolve("e2", outcome=0.0)
    agent.record("p", outcome=1.0)
    assert told() == (5, 1)
    agent.rebuild()
    assert told() == (5, 1)


def test_outcomes_of_hooks_that_an_older_version_wrote_are_those_of_checks(
    open_memory: Open, store: Path
) -> None:
    hooks = open_memory(store, source="hook", channel="hook")
    hooks.add_pattern("retry", pattern_id="p")
    waiting = hooks.record("p", outcome=None, event_id="later")
    link = hooks._link
    link.append("event.resolved", [{"event_id": waiting.event_id, "state": "resolved", "outcome": 1.0,
                                    "timestamp": 10**15, "recorded_at": 10**15}])  # fmt: skip
    assert hooks.get_event("later").checked


def test_what_was_checked_comes_back_from_an_export(
    agent: Memory, tests: Memory, open_memory: Open, tmp_path: Path
) -> None:
    tests.record("p", outcome=1.0, event_id="found")
    agent.record("p", outcome=1.0, event_id="told")
    export_jsonl(agent, tmp_path / "one.jsonl")
    other = open_memory(tmp_path / "other")
    import_jsonl(other, tmp_path / "one.jsonl")
    events: dict[str, Any] = other.get_events(["found", "told"])
    assert {name: event.checked for name, event in events.items()} == {"found": True, "told": False}
    export_jsonl(other, tmp_path / "two.jsonl")
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()


def test_what_an_agent_told_of_a_try_of_a_hook_stays_told_through_an_export(
    agent: Memory, open_memory: Open, store: Path, tmp_path: Path
) -> None:
    hooks = open_memory(store, source="hook", channel="hook")
    hooks.record("p", outcome=1.0, event_id="found")
    hooks.record("p", outcome=None, event_id="told")
    hooks.record("p", outcome=None, event_id="open")
    agent.resolve("told", outcome=1.0)
    export_jsonl(agent, tmp_path / "one.jsonl")
    assert b'"format":3' in (tmp_path / "one.jsonl").read_bytes()
    other = open_memory(tmp_path / "other")
    import_jsonl(other, tmp_path / "one.jsonl")
    expected = {"found": True, "told": False, "open": False}
    for _ in range(2):
        events = other.get_events(list(expected))
        assert {name: event.checked for name, event in events.items()} == expected
        other.rebuild()
    export_jsonl(other, tmp_path / "two.jsonl")
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()


def test_the_channel_says_whether_an_outcome_is_checked_where_a_line_or_a_mapping_does_not(
    agent: Memory, open_memory: Open, store: Path, tmp_path: Path
) -> None:
    hooks = open_memory(store, source="hook", channel="hook")
    found = hooks.record("p", outcome=1.0, event_id="found")
    export_jsonl(hooks, tmp_path / "one.jsonl")
    assert b"checked" not in (tmp_path / "one.jsonl").read_bytes()
    other = open_memory(tmp_path / "other")
    import_jsonl(other, tmp_path / "one.jsonl")
    assert other.get_event("found").checked
    plain = {"event_id": "plain", "pattern_id": "p", "timestamp": found.timestamp, "channel": "hook",
             "state": "resolved", "outcome": 1.0, "source": "hook"}  # fmt: skip
    other.restore(events=[plain, plain | {"event_id": "told", "checked": False}])  # type: ignore[list-item]
    assert (other.get_event("plain").checked, other.get_event("told").checked) == (True, False)
