"""Reports of test runs are tries of tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from whatworks import InvalidInputError, Memory
from whatworks.importers.junit import import_tests

XML = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" timestamp="2026-05-01T10:00:00+00:00" tests="4">
<testcase classname="tests.test_a" name="test_one" time="0.25"/>
<testcase classname="tests.test_a" name="test_two" time="0.5">
  <failure message="AssertionError: 1 != 2">trace</failure></testcase>
<testcase classname="tests.test_a" name="test_three" time="0"><skipped message="later"/></testcase>
<testcase classname="tests.test_b" name="test_four" time="0.1">
  <error message="OSError: gone"/></testcase>
</testsuite></testsuites>
"""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        yield opened


def found(memory: Memory) -> dict[str, tuple[float | None, str, str | None]]:
    names = {pattern.pattern_id: pattern.description for pattern in memory.patterns()}
    return {names[e.pattern_id]: (e.outcome, e.state, e.context) for e in memory.events()}


def test_a_junit_report_tells_what_passed_failed_and_was_skipped(
    memory: Memory, tmp_path: Path
) -> None:
    (tmp_path / "report.xml").write_text(XML)
    report = import_tests(memory, tmp_path / "report.xml")
    assert report.read == {"tests": 4, "failed": 2, "skipped": 1}
    assert found(memory) == {
        "test tests.test_a.test_one": (1.0, "resolved", None),
        "test tests.test_a.test_two": (0.0, "resolved", "AssertionError: 1 != 2"),
        "test tests.test_a.test_three": (None, "not_used", None),
        "test tests.test_b.test_four": (0.0, "resolved", "OSError: gone"),
    }
    (one,) = [event for event in memory.events() if event.duration_ms == 250]
    assert one.timestamp.isoformat() == "2026-05-01T10:00:00+00:00"
    assert import_tests(memory, tmp_path / "report.xml").written["events"] == 0


def test_a_report_log_tells_the_phase_that_failed(memory: Memory, tmp_path: Path) -> None:
    def phase(name: str, when: str, outcome: str, longrepr: object = None) -> str:
        report = {"$report_type": "TestReport", "nodeid": name, "when": when, "outcome": outcome}
        return json.dumps(report | {"duration": 0.5, "start": 1_777_000_000.0, "longrepr": longrepr})

    crash = {"reprcrash": {"message": "TypeError: no"}}
    lines = [
        '{"pytest_version": "9", "$report_type": "SessionStart"}',
        phase("t.py::a", "setup", "passed"),
        phase("t.py::a", "call", "passed"),
        phase("t.py::a", "teardown", "failed", crash),
        phase("t.py::b", "setup", "skipped"),
        phase("t.py::c", "call", "passed"),
        phase("t.py::c", "teardown", "passed"),
        "broken",
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    import_tests(memory, tmp_path / "log.jsonl")
    assert found(memory) == {
        "test t.py::a": (0.0, "resolved", "TypeError: no"),
        "test t.py::b": (None, "not_used", None),
        "test t.py::c": (1.0, "resolved", None),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html></html>",
        "<testsuites><testsuite>",
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9))
        + "]><testsuites>&j;</testsuites>",
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><testsuites><testsuite>'
        '<testcase name="&e;"/></testsuite></testsuites>',
    ],
)
def test_hostile_reports_are_refused(memory: Memory, tmp_path: Path, text: str) -> None:
    (tmp_path / "report.xml").write_text(text)
    with pytest.raises(InvalidInputError):
        import_tests(memory, tmp_path / "report.xml")
    assert memory.stats().events == 0
