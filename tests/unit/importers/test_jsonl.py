from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.reading import read_here
from whatworks import InvalidInputError, Memory, SchemaVersionError
from whatworks.importers import import_jsonl
from whatworks.readers import jsonl

HEADER = {"kind": "header", "format": 1, "embedder": "hash-64"}
PATTERN = {
    "kind": "pattern",
    "pattern_id": "p1",
    "pattern_type": "testing",
    "description": "Run the tests",
    "metadata": {"language": "rust"},
    "created_at": "2025-01-01T00:00:00Z",
    "updated_at": "2025-01-02T00:00:00.000001Z",
}
PRIOR = {
    "kind": "prior",
    "prior_id": "a1",
    "pattern_id": "p1",
    "success_rate": 0.5,
    "usage_count": 3,
    "origin": "somewhere",
    "timestamp": "2025-01-01T00:00:00Z",
}
EVENT = {
    "kind": "event",
    "event_id": "e1",
    "pattern_id": "p1",
    "timestamp": "2025-01-03T00:00:00Z",
    "state": "resolved",
    "outcome": 1.0,
    "context": "a failing test",
    "session_id": None,
    "source": "alice",
    "channel": "mcp",
    "files": ["a.py"],
    "tools": [],
    "duration_ms": None,
    "cost": None,
    "prediction_id": None,
    "metadata": {},
    "resolved_at": "2025-01-04T00:00:00Z",
}
NOTHING = {"patterns": 0, "events": 0, "priors": 0}
ALL = {"patterns": 1, "events": 1, "priors": 1}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of these lines; what is no text is written as JSON."""

    def write_(*lines: Any, header: Any = HEADER) -> Path:
        path = tmp_path / "export.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in (header, *lines)]
        path.write_bytes("".join(f"{text}\n" for text in texts).encode("utf-8", "surrogatepass"))
        return path

    return write_


def test_lines_come_back_as_they_were(memory: Memory, write: Write) -> None:
    report = import_jsonl(memory, write(PATTERN, PRIOR, EVENT))
    assert report.to_dict() == {"read": {"lines": 4}, "written": ALL, "skipped": []}
    pattern, event = memory.get_pattern("p1"), memory.get_event("e1")
    assert pattern.created_at.isoformat() == "2025-01-01T00:00:00+00:00"
    assert pattern.updated_at.isoformat() == "2025-01-02T00:00:00.000001+00:00"
    assert (event.source, event.channel) == ("alice", "mcp")
    assert event.resolved_at is not None
    assert event.resolved_at.isoformat() == "2025-01-04T00:00:00+00:00"
    assert [prior.prior_id for prior in memory.iter_priors()] == ["a1"]


def test_twice_is_once_and_a_dry_run_predicts(memory: Memory, write: Write) -> None:
    path = write(PATTERN, PRIOR, EVENT, EVENT)
    predicted = import_jsonl(memory, path, dry_run=True)
    assert (memory.stats().patterns, memory.stats().events) == (0, 0)
    assert import_jsonl(memory, path).to_dict() == predicted.to_dict()
    assert predicted.written == ALL
    before = memory.stats().journal_bytes
    assert import_jsonl(memory, path).written == NOTHING
    assert memory.stats().journal_bytes == before


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{torn", "is not JSON: .* at column 2"),
        ('{"kind": "event"', "is not JSON"),
        ("[]", "is .*; expected an object"),
        ('"\ud800"', "is not JSON"),
        ("[" * 5_000, "is not JSON"),
        ({"kind": "what"}, "kind is 'what'; expected one of pattern, prior, event"),
        ({"kind": []}, "kind is "),
        ({"kind": "event"}, "event_id is missing"),
        (EVENT | {"extra": 1}, "there is no field 'extra' in a line of kind event"),
        (EVENT | {"event_id": None}, "event_id is NoneType"),
        (EVENT | {"event_id": "x", "pattern_id": "absent"}, "there is no pattern 'absent'"),
        (EVENT | {"event_id": "x", "outcome": 2}, "outcome is 2"),
        (EVENT | {"event_id": "x", "outcome": None}, "'resolved' needs an outcome"),
        (EVENT | {"event_id": "x", "timestamp": 5}, "timestamp is 5; expected a time as text"),
        (EVENT | {"event_id": "x", "timestamp": "2025-01-03"}, "expected RFC 3339"),
        (EVENT | {"event_id": "x", "resolved_at": "2999-01-01T00:00:00Z"}, "resolved_at is 2999"),
        (EVENT | {"event_id": "x", "files": "a.py"}, "files is 'a.py'; expected a list"),
        (EVENT | {"event_id": "x", "source": ""}, "source is empty"),
        (EVENT | {"event_id": "x", "channel": 5}, "channel is int"),
        (EVENT | {"event_id": "x", "context": "\x00"}, "hidden character"),
        (EVENT | {"outcome": 0.5}, "event 'e1' is recorded with outcome 1.0, not 0.5"),
        (PATTERN | {"pattern_id": None}, "pattern_id is NoneType"),
        (PATTERN | {"description": "Other"}, "pattern 'p1' came before with other content"),
        (PATTERN | {"pattern_id": "x", "updated_at": None}, "updated_at is None"),
        (PATTERN | {"pattern_id": "x", "metadata": []}, "metadata is"),
        (PRIOR | {"prior_id": "x", "success_rate": -1}, "outcome is -1"),
        (PRIOR | {"prior_id": "x", "pattern_id": "absent"}, "there is no pattern 'absent'"),
        (PRIOR | {"usage_count": 4}, "a rate of 0.5 and a count of 3, and stays"),
    ],
)
def test_bad_line_is_one_skip_and_the_others_are_imported(
    memory: Memory, write: Write, line: Any, reason: str
) -> None:
    path = write(PATTERN, PRIOR, EVENT, line, EVENT | {"event_id": "last"})
    for dry_run in (True, False):
        report = import_jsonl(memory, path, dry_run=dry_run)
        (skip,) = report.skipped
        assert (skip.path, skip.place) == (str(path), "line 5")
        assert re.search(reason, skip.reason)
        assert report.written == ALL | {"events": 2}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"trust": "vouched"}, "trust is 'vouched'; expected approved or distrusted"),
        ({"source": ""}, "source is "),
        ({"judged_at": "2999-01-01T00:00:00Z"}, "judged_at is 2999"),
        ({"counted": 3}, "there is no field 'counted' in a line of kind judgement"),
    ],
)
def test_bad_judgement_is_one_skip(memory: Memory, write: Write, line: Any, reason: str) -> None:
    judgement = {
        "kind": "judgement",
        "source": "x",
        "trust": "approved",
        "judged_at": "2025-01-01T00:00:00Z",
    } | line
    report = import_jsonl(memory, write(judgement, PATTERN), trust_judgements=True)
    assert [skip.reason.startswith(reason) for skip in report.skipped] == [True]
    assert memory.judgements() == []


def test_what_the_store_holds_stays(memory: Memory, write: Write) -> None:
    memory.add_pattern("Mine", pattern_id="p1")
    memory.record("p1", outcome=0.0, event_id="e1")
    report = import_jsonl(memory, write(PATTERN, EVENT))
    assert [skip.place for skip in report.skipped] == ["line 2", "line 3"]
    assert report.written == NOTHING
    assert memory.get_pattern("p1").description == "Mine"
    assert memory.get_event("e1").outcome == 0.0


def test_pending_line_of_an_event_that_was_resolved_since_changes_nothing(
    memory: Memory, write: Write
) -> None:
    pending = EVENT | {"state": "pending", "outcome": None, "resolved_at": None}
    import_jsonl(memory, write(PATTERN, pending))
    memory.resolve("e1", outcome=0.5)
    report = import_jsonl(memory, write(PATTERN, pending))
    assert (report.written, report.skipped) == (NOTHING, [])
    assert memory.get_event("e1").outcome == 0.5


@pytest.mark.parametrize(
    "header",
    ["", "{torn", "[]", {"kind": "header"}, {"kind": "header", "format": "1"}, EVENT, "\x00"],
)
def test_file_without_a_header_is_refused(memory: Memory, write: Write, header: Any) -> None:
    with pytest.raises(InvalidInputError, match="does not begin with the header"):
        import_jsonl(memory, write(EVENT, header=header))


def test_export_of_a_newer_version_is_refused(memory: Memory, write: Write) -> None:
    with pytest.raises(SchemaVersionError, match="format 4"):
        import_jsonl(memory, write(PATTERN, header=HEADER | {"format": 4}))


@pytest.mark.parametrize("name", ["absent.jsonl", "."])
def test_what_is_no_file_is_refused(memory: Memory, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read"):
        import_jsonl(memory, tmp_path / name)


@pytest.mark.usefixtures("read_here")
def test_line_that_is_too_long_is_one_skip(
    memory: Memory, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 1_000)
    large = EVENT | {"event_id": "large", "context": "x" * 5_000}
    report = import_jsonl(memory, write(PATTERN, large, EVENT, large))
    assert [skip.place for skip in report.skipped] == ["line 3", "line 5"]
    assert report.skipped[0].reason == "the line has 1,000 bytes or more"
    assert report.written == {"patterns": 1, "events": 1, "priors": 0}


def test_last_line_that_was_torn_is_told(memory: Memory, write: Write) -> None:
    path = write(PATTERN, EVENT)
    path.write_bytes(path.read_bytes()[:-20])
    report = import_jsonl(memory, path)
    assert [skip.place for skip in report.skipped] == ["line 3"]
    assert report.written == {"patterns": 1, "events": 0, "priors": 0}


def test_progress_adds_up_to_the_lines(memory: Memory, write: Write) -> None:
    done: list[int] = []
    events = [EVENT | {"event_id": f"e{n}"} for n in range(2_500)]
    report = import_jsonl(memory, write(PATTERN, *events), progress=done.append)
    assert sum(done) == 2_501 == report.read["lines"] - 1


@settings(max_examples=settings().max_examples // 3)
@given(data=st.data())
def test_any_damage_is_told_and_loses_nothing(
    open_memory: Callable[..., Memory], write: Write, data: st.DataObject
) -> None:
    memory = open_memory(durability="process")
    memory.add_pattern("Kept as it is", pattern_id="p1")
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
    lines = []
    for line in (PATTERN, PRIOR, EVENT):
        key = data.draw(st.sampled_from(sorted(line)))
        lines.append(line | {key: data.draw(anything)})
    content = write(*lines).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path = write()
    path.write_bytes(content[:cut])
    try:
        with read_here():
            json.dumps(import_jsonl(memory, path).to_dict())
    except (InvalidInputError, SchemaVersionError):
        assert cut < len(json.dumps(HEADER))
    assert memory.get_pattern("p1").description == "Kept as it is"
