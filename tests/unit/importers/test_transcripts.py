"""Sessions of coding agents, as their programs keep them, teach the same as their hooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from whatworks import InvalidInputError, Memory
from whatworks.importers.transcripts import import_transcripts

MINUTE = "2026-05-01T10:{:02d}:00.000Z"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        yield opened


def written(path: Path, lines: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def claude(folder: Path) -> Path:
    """A failing test, an edit, and the test again."""
    base = {"sessionId": "c1", "cwd": "/home/ada"}

    def used(n: int, name: str, call: str, **given: Any) -> dict[str, Any]:
        block = {"type": "tool_use", "id": call, "name": name, "input": given}
        message = {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, block]}
        return base | {"type": "assistant", "timestamp": MINUTE.format(n), "message": message}

    def got(n: int, call: str, said: str, *, wrong: bool = False) -> dict[str, Any]:
        block = {"type": "tool_result", "tool_use_id": call, "content": said, "is_error": wrong}
        message = {"role": "user", "content": [block]}
        return base | {"type": "user", "timestamp": MINUTE.format(n), "message": message}

    asked = {"role": "user", "content": "make the parser tests pass"}
    return written(
        folder / "c1.jsonl",
        [
            {"type": "summary", "summary": "parser"},
            base | {"type": "user", "timestamp": MINUTE.format(0), "message": asked},
            used(1, "Bash", "t1", command="pytest tests/test_parser.py"),
            got(2, "t1", "Exit code 1\nKeyError: 'comma'", wrong=True),
            used(3, "Edit", "t2", file_path="/home/ada/parser.py", old_string="a", new_string="b"),
            got(4, "t2", "done"),
            used(5, "Bash", "t3", command="pytest tests/test_parser.py"),
            got(6, "t3", "=== 3 passed in 0.1s ==="),
        ],
    )


def codex(folder: Path) -> Path:
    def line(n: int, kind: str, **payload: Any) -> dict[str, Any]:
        return {"timestamp": MINUTE.format(n), "type": kind, "payload": payload}

    def ran(n: int, call: str, command: str, code: int, output: str = "") -> list[dict[str, Any]]:
        given = json.dumps({"command": ["bash", "-lc", command]})
        end = {"call_id": call, "aggregated_output": output, "exit_code": code}
        return [
            line(n, "response_item", type="function_call", name="shell", arguments=given, call_id=call),
            line(n, "event_msg", type="exec_command_end", **end),
        ]

    return written(
        folder / "2026" / "rollout-1.jsonl",
        [
            line(0, "session_meta", id="x1"),
            line(0, "event_msg", type="user_message", message="fix the build"),
            *ran(1, "a", "cargo build", 101, "error[E0432]: unresolved import `serde`"),
            *ran(2, "b", "cargo add serde", 0),
            *ran(3, "c", "cargo build", 0, "Finished"),
            line(4, "event_msg", type="task_complete", last_agent_message="Added serde."),
        ],
    )


def atif(folder: Path) -> Path:
    def step(command: str, output: str) -> dict[str, Any]:
        call = {"tool_call_id": command, "function_name": "bash", "arguments": {"command": command}}
        result = {"source_call_id": command, "content": output}
        return {"source": "agent", "tool_calls": [call], "observation": {"results": [result]}}

    trajectory = {
        "schema_version": "ATIF-v1.4",
        "session_id": "h1",
        "steps": [
            {"source": "user", "message": "make it build"},
            step("go build ./...", "exit code: 1\nerror: cannot find package"),
            step("go mod tidy", "exit code: 0"),
            step("go build ./... ", "exit code: 0"),
        ],
    }
    path = folder / "trajectory.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(trajectory))
    return path


EXPECTED = {
    "edit parser.py": "pytest tests/test_parser.py fails: KeyError: 'comma'",
    "run cargo add serde": "cargo build fails: error[E0432]: unresolved import `serde`",
    "run go mod tidy": "go build ./... fails: error: cannot find package",
}


def test_each_format_tells_what_repaired_what(memory: Memory, tmp_path: Path) -> None:
    for made in (claude, codex, atif):
        made(tmp_path / "sessions")
    report = import_transcripts(memory, tmp_path / "sessions")
    assert (report.read, report.skipped) == ({"sessions": 3, "events": 3}, [])
    assert report.written == {"patterns": 3, "events": 3, "priors": 0}
    descriptions = {pattern.pattern_id: pattern.description for pattern in memory.patterns()}
    found = {descriptions[event.pattern_id]: event for event in memory.events()}
    assert {name: event.context for name, event in found.items()} == EXPECTED
    assert {event.outcome for event in found.values()} == {1.0}
    edit = found["edit parser.py"]
    assert (edit.files, edit.duration_ms) == (("/home/ada/parser.py",), 240_000)
    assert edit.timestamp.isoformat() == "2026-05-01T10:06:00+00:00"


def test_importing_again_writes_nothing(memory: Memory, tmp_path: Path) -> None:
    path = claude(tmp_path / "sessions")
    assert import_transcripts(memory, path, dry_run=True).written["events"] == 1
    assert memory.stats().events == 0
    import_transcripts(memory, path)
    again = import_transcripts(memory, path)
    assert again.written == {"patterns": 0, "events": 0, "priors": 0}


def test_what_is_no_session_is_passed_over(memory: Memory, tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    claude(folder)
    (folder / "broken.jsonl").write_bytes(b'{"type": "user", "message"\n\xff\n[[[[\n7\n')
    (folder / "other.json").write_text('{"steps": 7}')
    (folder / "notes.txt").write_text("not read")
    (folder / "deep.jsonl").write_text("[" * 100_000)
    (folder / "link.jsonl").symlink_to(folder / "c1.jsonl")
    report = import_transcripts(memory, folder)
    assert (report.read["sessions"], report.written["events"]) == (1, 1)


def test_a_path_that_is_not_there_is_refused(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no file or folder"):
        import_transcripts(memory, tmp_path / "nothing")
