from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatworks import InvalidInputError, Memory, NewEvent, NewPattern, Prior, UsageEvent
from whatworks.exporters import export_jsonl
from whatworks.importers import import_files, import_jsonl

SAMPLE = Path(__file__).parents[2] / "data/file-memory/memory"
START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def filled(open_memory: Callable[..., Memory], clock: Any) -> Memory:
    """A memory with every kind of thing in it, and every state of an event."""
    memory = open_memory(clock=clock, source="alice", channel="mcp")
    memory.add_pattern("First words", pattern_id="p1", pattern_type="testing", created_at=START)
    memory.add_pattern("p2", metadata={"b": 1.0, "a": [1, {"ü": None}], "big": 2**62, "tiny": 5e-324})
    clock.advance(days=1)
    memory.add_pattern("Other words", pattern_id="p1", pattern_type="debugging", metadata={"x": 1})
    memory.add_priors([Prior("p1", 1 / 3, 7, "elsewhere", START), Prior("p1", 0.5, 0, "nowhere")])
    memory.record("p1", outcome=0.1 + 0.2, context="line\n\t'quoted' \"text\"", timestamp=START)
    memory.record("p1", outcome=None, event_id="pending")
    memory.record("p1", outcome=None, event_id="resolved later", cost=0.0, duration_ms=1e-9)
    memory.record("p1", outcome=None, event_id="never known")
    memory.record("p1", outcome=None, state="not_used", files=["a, b.py"], tools=["c;d"])
    clock.advance(hours=5, microseconds=1)
    memory.resolve("resolved later", outcome=1.0)
    memory.resolve("never known", state="unknown")
    memory.predict("something")
    return memory


def exported(memory: Memory) -> bytes:
    stream = io.BytesIO()
    export_jsonl(memory, stream)
    return stream.getvalue()


def _at_first(events: Iterator[UsageEvent]) -> list[UsageEvent]:
    """Events without the export by which they came."""
    return [replace(event, imported_from=event.imported_from[1:]) for event in events]


def imported(
    open_memory: Callable[..., Memory], content: bytes, folder: Path, **options: Any
) -> Memory:
    """A new memory that holds what was exported."""
    folder.mkdir(exist_ok=True)
    (folder / "export.jsonl").write_bytes(content)
    other = open_memory(folder / "store", **options)
    report = import_jsonl(other, folder / "export.jsonl")
    assert report.skipped == []
    return other


# -- there and back -------------------------------------------------------------------------------


def test_export_import_export_is_identical(
    filled: Memory, open_memory: Callable[..., Memory], tmp_path: Path
) -> None:
    first = exported(filled)
    other = imported(open_memory, first, tmp_path / "other")
    assert exported(other) == first
    assert _at_first(other.iter_events()) == list(filled.iter_events())
    assert list(other.iter_patterns()) == list(filled.iter_patterns())
    assert list(other.iter_priors()) == list(filled.iter_priors())


def test_what_came_back_survives_a_rebuild(
    filled: Memory, open_memory: Callable[..., Memory], tmp_path: Path
) -> None:
    first = exported(filled)
    other = imported(open_memory, first, tmp_path / "other")
    other.rebuild()
    assert exported(other) == first


def test_export_of_an_imported_file_memory_is_identical(
    memory: Memory, open_memory: Callable[..., Memory], tmp_path: Path
) -> None:
    import_files(memory, SAMPLE)
    first = exported(memory)
    assert exported(imported(open_memory, first, tmp_path / "other")) == first


@pytest.fixture
def judged(open_memory: Callable[..., Memory], clock: Any) -> Memory:
    """A memory of an owner, of a liar who is distrusted, and of strangers, one of them approved."""
    owner = open_memory(clock=clock, source="owner")
    owner.add_pattern("retry", pattern_id="p")
    for name, channel in (("liar", "library"), ("stranger", "mcp-http"), ("friend", "mcp-http")):
        teller = open_memory(clock=clock, source=name, channel=channel)
        for n in range(6):
            clock.advance(minutes=25)
            teller.record(
                "p", outcome=n % 2, context=f"{name} {n}", session_id="s", event_id=f"{name}{n}"
            )
    owner.distrust("liar")
    clock.advance(seconds=5)
    owner.approve("friend")
    assert [source.held for source in owner.sources()] == [0, 4, 6]
    return owner


def test_what_is_held_back_and_what_the_owner_said_of_sources_comes_back(
    judged: Memory, open_memory: Callable[..., Memory], tmp_path: Path
) -> None:
    first = exported(judged)
    assert json.loads(first.splitlines()[0])["format"] == 3
    (tmp_path / "export.jsonl").write_bytes(first)
    other = open_memory(tmp_path / "other")
    report = import_jsonl(other, tmp_path / "export.jsonl", trust_judgements=True)
    assert report.to_dict() == {
        "read": {"lines": 22},
        "written": {"patterns": 1, "events": 8, "priors": 0, "judgements": 2, "held": 10},
        "skipped": [],
    }
    assert exported(other) == first
    assert other.judgements() == judged.judgements()
    assert other.quarantine() == judged.quarantine()
    assert _at_first(other.iter_held()) == list(judged.iter_held())
    again = import_jsonl(other, tmp_path / "export.jsonl", trust_judgements=True)
    assert sum(again.written.values()) == 0
    other.rebuild()
    assert exported(other) == first


def test_what_a_file_says_of_sources_is_not_believed_unless_the_owner_says_so(
    judged: Memory, open_memory: Callable[..., Memory], tmp_path: Path
) -> None:
    (tmp_path / "export.jsonl").write_bytes(exported(judged))
    other = open_memory(tmp_path / "other")
    report = import_jsonl(other, tmp_path / "export.jsonl")
    assert report.left == {"judgements": 2, "held": 6}
    assert other.judgements() == []
    # What the liar told does not count for that, and the friend is one more stranger.
    assert {source.source: (source.events, source.held) for source in other.sources()} == {
        "friend": (0, 6),
        "stranger": (2, 4),
    }


def test_what_the_store_thinks_of_a_source_stays_whatever_a_trusted_file_says(
    judged: Memory, open_memory: Callable[..., Memory], tmp_path: Path
) -> None:
    (tmp_path / "export.jsonl").write_bytes(exported(judged))
    judged.approve("liar")
    report = import_jsonl(judged, tmp_path / "export.jsonl", trust_judgements=True)
    assert [skip.reason for skip in report.skipped] == [
        "source 'liar' is approved in the store; it stays so"
    ]
    assert [said.trust for said in judged.judgements()] == ["approved", "approved"]


def test_empty_store_is_exported_and_comes_back(
    memory: Memory, open_memory: Callable[..., Memory], tmp_path: Path
) -> None:
    first = exported(memory)
    assert first == b'{"kind":"header","format":1,"embedder":"hash-64"}\n'
    assert exported(imported(open_memory, first, tmp_path / "other")) == first


names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
scalars = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | names
numbers = st.integers(-(2**63), 2**63 - 1)
metadata = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5),
    st.recursive(scalars | numbers, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
    max_size=4,
)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))
patterns = st.builds(
    NewPattern, names, names, metadata, st.sampled_from(["p1", "p2", "p3"]), st.none() | moments
)
events = st.builds(
    NewEvent,
    st.sampled_from(["p1", "p2"]),
    st.none() | st.floats(0, 1),
    st.none() | names,
    st.none(),
    moments,
    st.none() | names,
    st.none() | names,
    st.lists(names, max_size=3),
    st.lists(names, max_size=3),
    st.none() | st.floats(0, 1e300),
    st.none() | st.floats(0, 1),
    st.none(),
    metadata,
)
priors = st.builds(
    Prior, st.sampled_from(["p1", "p2"]), st.floats(0, 1), st.integers(0, 99), names, moments
)


@settings(max_examples=settings().max_examples // 4)
@given(
    data=st.tuples(
        st.lists(patterns, max_size=4),
        st.lists(events, max_size=6, unique_by=lambda event: event.event_id or id(event)),
        st.lists(priors, max_size=3),
    )
)
def test_whatever_is_recorded_comes_back(
    open_memory: Callable[..., Memory], tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    folder = tmp_path_factory.mktemp("round")
    options = {"durability": "process", "embedder": "none"}
    with open_memory(folder / "first", **options) as memory:
        memory.add_patterns(
            ["p1", NewPattern("One", pattern_id="p1"), NewPattern("Two", pattern_id="p2")]
        )
        memory.add_patterns(data[0])
        memory.record_many(data[1])
        memory.add_priors(data[2])
        first = exported(memory)
        with imported(open_memory, first, folder / "second", **options) as other:
            assert exported(other) == first


# -- form -----------------------------------------------------------------------------------------


def test_lines_are_header_patterns_priors_events_each_the_oldest_first(filled: Memory) -> None:
    lines = [json.loads(line) for line in exported(filled).splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds == ["header"] + ["pattern"] * 2 + ["prior"] * 2 + ["event"] * 5
    assert lines[0] == {"kind": "header", "format": 1, "embedder": "hash-64"}
    for kind, time in (("pattern", "created_at"), ("prior", "timestamp"), ("event", "timestamp")):
        times = [line[time] for line in lines if line["kind"] == kind]
        assert times == sorted(times)
        assert all(time.endswith("Z") for time in times)


def test_equal_content_gives_equal_bytes_whatever_the_order_of_writing(
    open_memory: Callable[..., Memory], tmp_path: Path, clock: Any
) -> None:
    new = [
        NewEvent(
            "p1", 0.5, f"context {n % 3}", timestamp=START + timedelta(hours=n % 4), event_id=f"e{n}"
        )
        for n in range(20)
    ]
    found = []
    for name, order in (("one", new), ("two", new[::-1])):
        memory = open_memory(tmp_path / name, clock=clock)
        memory.add_patterns([NewPattern("Words", pattern_id="p1", created_at=START)])
        for event in order:
            memory.record_many([event])
        found.append(exported(memory))
    assert found[0] == found[1]


def test_counts_and_progress(filled: Memory, tmp_path: Path) -> None:
    done: list[int] = []
    counts = export_jsonl(filled, tmp_path / "out.jsonl", progress=done.append)
    assert counts == {"patterns": 2, "priors": 2, "events": 5}
    assert sum(done) == 9
    assert (tmp_path / "out.jsonl").read_bytes() == exported(filled)


def test_receipts_are_not_exported(filled: Memory) -> None:
    assert filled.stats().predictions == 1
    assert b"something" not in exported(filled)


def test_event_recorded_during_an_export_is_left_out_rather_than_its_pattern(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.add_pattern("Words", pattern_id="p1")
    memory.record("p1", outcome=1.0, event_id="before")
    iter_patterns = memory.iter_patterns

    def meanwhile() -> Iterator[Any]:
        yield from list(iter_patterns())
        memory.add_pattern("Late words", pattern_id="late")
        memory.record("late", outcome=1.0, event_id="meanwhile")
        assert memory.stats().events == 2

    monkeypatch.setattr(memory, "iter_patterns", meanwhile)
    lines = [json.loads(line) for line in exported(memory).splitlines()]
    known = {line["pattern_id"] for line in lines if line["kind"] == "pattern"}
    assert {line["pattern_id"] for line in lines if line["kind"] == "event"} <= known
    assert [line["event_id"] for line in lines if line["kind"] == "event"] == ["before"]


# -- who says so ----------------------------------------------------------------------------------


def test_source_and_channel_come_back_from_an_export_only(
    filled: Memory, open_memory: Callable[..., Memory], tmp_path: Path
) -> None:
    other = imported(open_memory, exported(filled), tmp_path / "other", source="bob", channel="cli")
    assert {(e.source, e.channel) for e in other.iter_events()} == {("alice", "mcp")}
    for field in ("source", "channel", "resolved_at"):
        with pytest.raises(InvalidInputError, match=field):
            other.record_many([{"pattern_id": "p1", "outcome": 1.0, field: "alice"}])
    event = other.record("p1", outcome=1.0)
    assert (event.source, event.channel) == ("bob", "cli")


def test_restored_event_must_be_as_sound_as_any_other(memory: Memory) -> None:
    memory.add_pattern("Words", pattern_id="p1")
    good = UsageEvent("e1", "p1", START, "resolved", 1.0)
    for wrong in (
        {"source": ""},
        {"channel": "a\nb"},
        {"outcome": 7.0},
        {"resolved_at": datetime(2025, 1, 1)},
    ):
        fields = {
            name: getattr(good, name) for name in ("event_id", "pattern_id", "timestamp", "state")
        }
        with pytest.raises(InvalidInputError):
            memory.restore(events=[UsageEvent(**({"outcome": 1.0} | fields | wrong))])
    assert memory.stats().events == 0
