"""A process that reads for us, and dies, hangs, floods or lies: one line says so, and no more."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from whatworks import InvalidInputError, Memory
from whatworks.importers import import_jsonl
from whatworks.readers import apart, jsonl
from whatworks.readers import child as reading

HEADER = '{"type":"Line","number":1,"value":{"kind":"header","format":1}}\n'
BEGIN = f"""
import os, signal, sys, time
out = sys.stdout.buffer
out.write({HEADER.encode()!r})
out.flush()
"""
PATTERN = {
    "kind": "pattern", "pattern_id": "p1", "pattern_type": "t", "description": "one way",
    "metadata": {}, "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z",
}  # fmt: skip


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        opened.add_pattern("Kept as it is", pattern_id="kept")
        yield opened


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a program of the test in the place of the one that reads; gives the file to import."""

    def put(code: str) -> Path:
        (tmp_path / "strange_child.py").write_text(BEGIN + code)
        monkeypatch.setattr(apart, "CHILD", "strange_child")
        before = os.environ.get("PYTHONPATH", "")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), before]))
        (tmp_path / "export.jsonl").write_text("{}\n")
        return tmp_path / "export.jsonl"

    return put


def line(value: object) -> str:
    return f"out.write({str(value).encode()!r} + b'\\n')\n"


PROPER = f"""
import json
said = {{"type": "Line", "number": 2, "value": {PATTERN!r}}}
out.write(json.dumps(said).encode() + b"\\n")
"""
END = line('{"type":"End"}')

WRONG = {
    "ends too early": ("", "its reader ended with 0"),
    "fails": ("sys.exit(3)", "its reader ended with 3"),
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", "its reader ended with -11"),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "too much processor time or memory"),
    "says what is no JSON": (line("{") + END, "its items"),
    "says what is no text": ("out.write(b'\\xff\\xfe\\n')\n" + END, "its items"),
    "says something of another kind": (
        line('{"type":"Row","number":1,"texts":[]}') + END,
        "none of its",
    ),
    "says something that others say": (line('{"type":"Read","kind":"x","count":1}') + END, "its items"),
    "says a number that is none": (line('{"type":"Line","number":"x","value":1}') + END, "its items"),
    "nests without end": (
        line('{"type":"Line","number":2,"value":' + "[" * 5_000),
        "its items",
    ),
    "says half a line": ("out.write(b'{\"type\":')", "its reader ended with 0"),
    "hangs": ("time.sleep(600)", "said nothing for 1 seconds"),
    "says one line without end": ("while True: out.write(b'x' * 65536)", "more came of it"),
    "says lines without end": (
        """while True: out.write(b'{"type":"Line","number":2,"value":1}\\n')""",
        "more came of it",
    ),
    "says a little now and then": (
        'while True:\n    out.write(b\'{"type":"Line","number":2,"value":1}\\n\')\n'
        "    out.flush()\n    time.sleep(0.3)",
        "takes more than 2 seconds",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_reader_that(wrong: str, memory: Memory, child: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, reason = WRONG[wrong]
    monkeypatch.setattr(apart, "SILENT_SECONDS", 1.0 if wrong == "hangs" else 20.0)
    monkeypatch.setattr(apart, "LEAST_SECONDS", 1.0 if "little" in wrong else 60.0)
    monkeypatch.setattr(apart, "MAX_LINE", 1 << 20)
    monkeypatch.setattr(apart, "LEAST_BYTES", 2 << 20)
    file = child(PROPER + "out.flush()\n" + code)
    with pytest.raises(InvalidInputError, match=reason) as caught:
        import_jsonl(memory, file)
    assert "\n" not in str(caught.value)
    assert [pattern.pattern_id for pattern in memory.patterns()] == ["kept"]
    assert not _running(str(file.parent))


def test_a_reader_that_does_right_is_believed(memory: Memory, child: Any) -> None:
    assert import_jsonl(memory, child(PROPER + END)).written["patterns"] == 1


def test_what_it_says_is_checked_like_any_caller_s(memory: Memory, child: Any) -> None:
    lie = PROPER.replace("'one way'", "'key \\u202e\\x00'").replace("'p1'", "'../x\\n'")
    report = import_jsonl(memory, child(lie + END))
    assert len(report.skipped) == 1
    assert [pattern.pattern_id for pattern in memory.patterns()] == ["kept"]


def test_what_it_says_of_faults_cannot_steer_a_terminal(memory: Memory, child: Any) -> None:
    fault = r'{"type":"Fault","path":"a\u001b[2J","place":"line\u202e 2","reason":"x\u001b]0;t\u0007y"}'
    (skip,) = import_jsonl(memory, child(line(fault) + END)).skipped
    assert (skip.place, skip.reason) == ("line 2", "xy")
    failed = r'{"type":"Failed","error":"input","message":"no\n\u001b[31m way"}'
    with pytest.raises(InvalidInputError, match=r"^no way$"):
        import_jsonl(memory, child(line(failed)))


def test_what_was_acknowledged_before_stays(
    memory: Memory, child: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whatworks.importers import intake

    monkeypatch.setattr(intake, "BATCH", 1)
    with pytest.raises(InvalidInputError, match="not read to its end"):
        import_jsonl(memory, child(PROPER + "out.flush()\nos._exit(1)"))
    assert {pattern.pattern_id for pattern in memory.patterns()} == {"kept", "p1"}


def test_a_module_in_the_folder_where_somebody_is_is_not_loaded(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('loaded')")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"kind": "header", "format": 1}\n')
    assert import_jsonl(memory, tmp_path / "a.jsonl").read == {"lines": 1}
    assert memory.sql("select 1 as one").rows == ((1,),)


def test_a_system_that_starts_no_process_says_so(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whatworks import StoreError

    (tmp_path / "a.jsonl").write_text("{}\n")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    with pytest.raises(StoreError, match="no process can be started"):
        import_jsonl(memory, tmp_path / "a.jsonl")


def _running(folder: str) -> list[str]:
    """Processes that have our program's folder in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if int(entry.parent.name) != os.getpid() and folder.encode() in entry.read_bytes():
                found.append((entry.parent / "cmdline").read_text())
        except OSError:
            continue
    return [command for command in found if "strange_child" in command]


def test_a_whole_number_without_end_refuses_its_item_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ({"n": 10**5000}, {"n": 10**400, "s": "\ud800"}, {"n": 10**40, "s": "\ud800"})
    items = [jsonl.Line(number, value) for number, value in enumerate(given, 2)]
    monkeypatch.setattr(jsonl, "read", lambda: iter(items))
    reading.answer("jsonl", {}, out := BytesIO())
    refused, also, fine, end = (json.loads(line) for line in out.getvalue().splitlines())
    assert (refused["type"], refused["place"]) == ("Fault", "line 2")
    assert "more than 300 digits" in refused["reason"]
    assert also["place"] == "line 3"
    assert fine["value"] == {"n": 1e40, "s": "?"}
    assert end["type"] == "End"
