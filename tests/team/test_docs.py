"""What docs/team.md says can be typed, against a database of the test's own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whatworks import Memory, config
from whatworks.cli import app

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "team.md").read_text()
URL = "postgresql://ada@localhost:5433/memory"
# What differs from one time to the next: ids, times, and sizes, since a journal names processes.
VARIES = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\d \d\d:\d\d|[0-9.]+ k?B| +$", re.M)


def steps() -> list[tuple[str, str]]:
    """The commands in their order, with what they print."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], ""))
            else:
                found[-1] = found[-1][0], f"{found[-1][1]}{line}\n"
    return found


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "78")
    monkeypatch.chdir(tmp_path)


def test_two_agents_share_what_they_learn_as_the_document_says(url: str, tmp_path: Path) -> None:
    for command, shown in steps():
        # The address of the test's own has words behind it already.
        words = [
            url + word[len(URL) :].replace("?", "&") if word.startswith(URL) else word
            for word in shlex.split(command)[1:]
        ]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{command}: {done.output}"
        if "status" in words or "namespaces" in words:  # the address and the user are others
            continue
        printed = done.stdout.replace(str(tmp_path), "/home/ada")
        assert VARIES.sub("", printed) == VARIES.sub("", shown)
    names: dict[str, object] = {}
    exec(compile(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[0], "team.md", "exec"), names)


def test_the_demo_of_a_team_shows_one_machine_what_the_other_tried() -> None:
    words = [sys.executable, str(ROOT / "examples" / "team.py")]
    done = subprocess.run(
        words, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    asked = done.stdout.partition("predict")[2].partition("$ ")[0]
    assert "Run cargo check" in asked.partition("Delete the lock file")[0]
    counted = done.stdout.partition("patterns --store ada")[2].partition("team status")[0]
    assert re.search(r"0\.67 +3 ", counted)


def test_a_command_that_cannot_reach_the_database_says_so(url: str, tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(app, ["team", "init", url, "--store", "ada", "--name", "ada"]).exit_code == 0
    path = tmp_path / "ada" / config.TEAM
    path.write_text(path.read_text().replace(url, f"postgresql://ada@/memory?host={tmp_path}"))
    for words in (["sync"], ["status"]):
        done = run(app, ["team", *words, "--store", "ada"])
        assert "does not answer" in " ".join(done.output.split())
    assert run(app, ["team", "sync", "--store", "ada"]).exit_code == 6
    Memory.open(tmp_path / "alone", embedder="none").close()
    assert run(app, ["team", "status", "--store", "alone"]).exit_code == 4
