"""Settings of other programs: shown before they are written, and taken out without a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from whatworks import InvalidInputError
from whatworks.hooks.settings import CLIENTS, change

THEIRS: dict[str, Any] = {
    "model": "large",
    "hooks": {
        "Stop": [{"hooks": [{"type": "command", "command": "say done"}]}],
        "PostToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "log it"}]}],
    },
}
JSON = sorted(set(CLIENTS) - {"opencode"})


@pytest.mark.parametrize("client", sorted(CLIENTS))
@pytest.mark.parametrize("there", [False, True])
def test_what_was_written_is_taken_out_without_a_trace(
    client: str, there: bool, tmp_path: Path
) -> None:
    path = tmp_path / CLIENTS[client].project
    if there and client != "opencode":
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(THEIRS))
    change(client, project=tmp_path, hook="/opt/whatworks-hook").write()
    assert "/opt/whatworks-hook" in path.read_text()
    change(client, project=tmp_path, undo=True).write()
    if there and client != "opencode":
        left = json.loads(path.read_text())
        assert {name: left[name] for name in THEIRS} == THEIRS
        assert set(left) - set(THEIRS) <= {"version"}
    else:
        assert not path.exists()


@pytest.mark.parametrize("client", JSON)
def test_installing_again_changes_nothing(client: str, tmp_path: Path) -> None:
    change(client, project=tmp_path, hook="/opt/whatworks-hook").write()
    again = change(client, project=tmp_path, hook="/opt/whatworks-hook")
    assert again.diff == ""
    moved = change(client, project=tmp_path, hook="/elsewhere/whatworks-hook")
    assert moved.diff.count("/opt/whatworks-hook") == moved.diff.count("/elsewhere/whatworks-hook") > 0


def test_the_diff_shows_each_line_that_would_be_written(tmp_path: Path) -> None:
    path = tmp_path / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text(json.dumps(THEIRS, indent=2) + "\n")
    made = change("claude", project=tmp_path, hook="/opt/whatworks-hook", prompt="mcp")
    assert path.read_text() == json.dumps(THEIRS, indent=2) + "\n"
    assert not [line for line in made.diff.splitlines() if line.startswith("-") and "say done" in line]
    assert '+            "server": "whatworks",' in made.diff


def test_a_path_with_spaces_is_quoted(tmp_path: Path) -> None:
    change("cursor", project=tmp_path, hook="/my tools/whatworks-hook").write()
    written = json.loads((tmp_path / ".cursor/hooks.json").read_text())
    assert written["version"] == 1
    assert written["hooks"]["stop"] == [{"command": "'/my tools/whatworks-hook' cursor"}]


@pytest.mark.parametrize("text", ["// mine\n{}", "[]", '{"hooks": []}', "{"])
def test_settings_that_are_not_understood_are_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=r"settings\.json"):
        change("claude", project=tmp_path)
    assert path.read_text() == text


def test_a_client_that_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="expected one of claude, codex"):
        change("emacs")
