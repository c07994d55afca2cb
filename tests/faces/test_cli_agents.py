"""Commands for agents: install, uninstall, suggest, sync, teach, mcp."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from whatworks import Memory
from whatworks.hooks import spool

Run = Callable[..., Result]


def test_install_shows_asks_and_writes(run: Run, tmp_path: Path) -> None:
    path = tmp_path / ".claude" / "settings.json"
    refused = run("install", "claude", "--project", tmp_path, input="n\n")
    assert '+    "UserPromptSubmit": [' in refused.stdout
    assert "nothing was written" in refused.stdout
    assert not path.exists()
    assert "written" in run("install", "claude", "--project", tmp_path, input="y\n").stdout
    assert "nothing to change" in run("install", "claude", "--project", tmp_path).stdout
    done = json.loads(run("uninstall", "claude", "--project", tmp_path, "--yes", "--json").stdout)
    assert done["written"]
    assert not path.exists()


def test_as_json_install_only_shows_unless_it_is_told_yes(run: Run, tmp_path: Path) -> None:
    shown = json.loads(run("install", "codex", "--project", tmp_path, "--json").stdout)
    assert (shown["written"], "whatworks-hook" in shown["diff"]) == (False, True)
    assert not Path(shown["path"]).exists()


def test_install_may_name_a_store(run: Run, tmp_path: Path) -> None:
    run("install", "cursor", "--project", tmp_path, "--store", tmp_path / "mine", "--yes")
    hooks = json.loads((tmp_path / ".cursor" / "hooks.json").read_text())["hooks"]
    assert f"--store {tmp_path / 'mine'} cursor" in hooks["stop"][0]["command"]


@pytest.mark.parametrize("words", [["install", "emacs"], ["install", "claude", "--prompt", "shout"]])
def test_what_cannot_be_installed_is_told(run: Run, words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "expected" in result.stderr


def test_what_hooks_wrote_is_taken_in(run: Run, filled: Any) -> None:
    store = Path(filled.path)
    for happened in (
        {"hook_event_name": "PostToolUseFailure", "tool_name": "Bash", "error": "Exit code 1"}
        | {"tool_input": {"command": "make test"}},
        {"hook_event_name": "PostToolUse", "tool_name": "Edit", "tool_input": {"file_path": "a.c"}},
        {"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_input": {"command": "make test"}},
    ):
        spool.append(store, "claude", "s", happened)
    assert json.loads(run("sync", "--store", store, "--json").stdout) == {"tries": 1}
    assert run("sync", "--store", store).stdout == "0 tries taken in\n"
    assert "edit a.c" in run("patterns", "--store", store).stdout


def test_a_suggestion_is_text_for_a_prompt(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "mine"
    with Memory.open(store) as memory:
        memory.record(memory.add_pattern("name the import").pattern_id, outcome=1.0, context="imports")
    text = run("suggest", "unresolved import", "--store", store).stdout
    first, *_, last = text.splitlines()
    assert first.startswith("<whatworks-")
    assert last == first.replace("<", "</")
    made = json.loads(run("suggest", "-", "--store", store, "--json", input="imports").stdout)
    assert made["prediction"]["prediction_id"]


def test_nothing_is_suggested_where_nothing_is_known(run: Run, tmp_path: Path) -> None:
    run("init", "--store", tmp_path / "empty")
    words = ["suggest", "anything", "--store", tmp_path / "empty"]
    assert "nothing is known" in run(*words).stdout
    assert run(*words, "--text-only").stdout == ""


def test_what_is_certain_is_written_where_agents_read(run: Run, filled: Any, tmp_path: Path) -> None:
    assert "patterns written to" in run("teach", tmp_path / "AGENTS.md", "--store", filled.path).stdout
    assert "whatworks:start" in (tmp_path / "AGENTS.md").read_text()
    refused = run("teach", tmp_path / "notes.docx", "--store", filled.path)
    assert (refused.exit_code, "expected .md" in refused.stderr) == (2, True)


def test_the_mcp_server_says_what_it_misses() -> None:
    program = "import sys; sys.modules['mcp'] = None; from whatworks.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "mcp"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "pip install 'whatworks[mcp]'" in done.stderr
