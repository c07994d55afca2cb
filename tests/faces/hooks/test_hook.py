"""The hook itself: quick, silent, and never in the way of the agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from whatworks import Memory, config
from whatworks.hooks import spool

HOOK = Path(sys.executable).with_name("whatworks-hook")
PAYLOAD = {"hook_event_name": "Stop", "session_id": "s", "last_assistant_message": "done"}


def run(store: Path, given: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "WHATWORKS_STORE": str(store)}
    return subprocess.run(
        [str(HOOK), *words], input=given, capture_output=True, env=environment, timeout=20, check=False
    )


@pytest.mark.parametrize("harness", ["claude", "codex", "gemini", "cursor", "opencode"])
def test_it_writes_a_line_and_says_nothing(harness: str, tmp_path: Path) -> None:
    done = run(tmp_path, json.dumps(PAYLOAD).encode(), harness)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{}\n", b"")
    (line,) = (tmp_path / "spool" / "s.jsonl").read_text().splitlines()
    assert json.loads(line)["payload"] == PAYLOAD
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "given", [b"", b"nonsense", b"[1, 2]", b"\xff\xfe", b'{"session_id": 7}', b"{" * 5_000]
)
def test_whatever_it_is_given_the_agent_goes_on(given: bytes, tmp_path: Path) -> None:
    done = run(tmp_path, given, "claude")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{}\n", b"")


def test_a_store_that_cannot_be_written_does_not_stop_the_agent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(tmp_path / "file", json.dumps(PAYLOAD).encode(), "claude")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{}\n", b"")


def test_it_gives_up_when_nothing_comes() -> None:
    start = time.monotonic()
    with subprocess.Popen(
        [str(HOOK), "claude"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.wait(10) == 0
        assert child.stdin is not None
    assert time.monotonic() - start < 8


def test_it_loads_the_standard_library_alone() -> None:
    program = (
        "import sys; before = set(sys.modules); import whatworks.hooks.main\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'whatworks'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_it_takes_little_longer_than_a_python_that_does_nothing(tmp_path: Path) -> None:
    given = json.dumps(PAYLOAD).encode()
    taken: dict[str, list[float]] = {"hook": [], "nothing": []}
    for _ in range(12):
        for name, command in (("hook", [str(HOOK), "claude"]), ("nothing", [sys.executable, "-c", ""])):
            start = time.perf_counter()
            environment = {**os.environ, "WHATWORKS_STORE": str(tmp_path)}
            subprocess.run(command, input=given, env=environment, capture_output=True, check=True)
            taken[name].append(time.perf_counter() - start)
    assert median(taken["hook"]) < 4 * median(taken["nothing"]) + 0.02


@pytest.mark.parametrize("where", ["variable", "project", "home"])
def test_it_means_the_store_that_everything_else_means(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("WHATWORKS_STORE", raising=False)
    inside = tmp_path / "project" / "deep"
    inside.mkdir(parents=True)
    if where == "variable":
        monkeypatch.setenv("WHATWORKS_STORE", "~/mine")
    if where == "project":
        Memory.open(tmp_path / "project" / ".whatworks", embedder="none").close()
    monkeypatch.chdir(inside)
    assert spool.locate() == config.locate(None)
    assert spool.locate(str(inside)) == config.locate(None)


def test_a_prompt_gets_a_suggestion_where_something_is_known(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Memory.open(store) as memory:
        memory.add_pattern("pin the timezone", pattern_id="pin")
        for n in range(12):
            memory.record("pin", outcome=1.0, context=f"flaky date test {n}")
    prompt: dict[str, Any] = {"hook_event_name": "UserPromptSubmit", "session_id": "s"}
    asked = run(
        store, json.dumps(prompt | {"prompt": "a date test is flaky"}).encode(), "claude", "--suggest"
    )
    said = json.loads(asked.stdout)["hookSpecificOutput"]
    assert said["hookEventName"] == "UserPromptSubmit"
    assert "pin the timezone [pin]" in said["additionalContext"]
    lines = (store / "spool" / "s.jsonl").read_text().splitlines()
    told = [json.loads(line)["payload"]["hook_event_name"] for line in lines]
    assert told == ["UserPromptSubmit", "whatworks.shown"]
