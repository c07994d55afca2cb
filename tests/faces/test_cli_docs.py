"""docs/cli.md and the help say the same of every command, and what they show can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import Result

from whatworks import doctor, ledgers, records, repair, sharing
from whatworks.cli import app
from whatworks.cli.exits import CODES
from whatworks.spaces import tokens
from whatworks.stores import overview
from whatworks.team import records as teams

Run = Callable[..., Result]

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
GROUPS: dict[str, dict[str, Any]] = {
    name: COMMANDS[name].commands for name in ("import", "team", "token")
}
LEAVES = {name: command for name, command in COMMANDS.items() if name not in GROUPS} | {
    f"{group} {name}": command for group, inner in GROUPS.items() for name, command in inner.items()
}
EXPECTED = (
    "init add record resolve similar trend predict why diff patterns events rates clusters related "
    "sources quarantine sql stats calibrate evaluate lift install uninstall plugin mcp suggest sync "
    "teach import export share ui report top distrust approve unjudge optimize archive unarchive "
    "forget serve backup restore rebuild reembed migrate doctor stores team token "
    "bench demo version"
)


def shown_commands() -> list[str]:
    """All commands in the console blocks, without what is before or behind a pipe."""
    blocks = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    parts = [part.strip() for line in lines for part in re.split(r"[|;] ", line)]
    return [part for part in parts if part.startswith("whatworks ")]


def test_the_commands_are_those_that_were_asked_for() -> None:
    assert set(COMMANDS) == set(EXPECTED.split())
    assert " ".join(GROUPS["import"]) == "files table jsonl transcripts git tests scores notes"
    assert (
        " ".join(GROUPS["team"])
        == "init join status sync doctor grant namespaces retire snapshot vectors"
    )
    assert " ".join(GROUPS["token"]) == "add list remove"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_section_with_its_help(name: str) -> None:
    assert f"\n### whatworks {name}\n" in TEXT
    assert f"[{name}](#whatworks-{name})" in TEXT
    sentence = COMMANDS[name].help.split("\n\n")[0]
    section = " ".join(TEXT.split(f"\n### whatworks {name}\n")[1].split("\n###")[0].split())
    assert section.startswith(sentence)


@pytest.mark.parametrize("name", LEAVES)
def test_every_help_is_one_sentence_and_one_example(run: Run, name: str) -> None:
    sentence, example = LEAVES[name].help.split("\n\n")
    assert sentence.endswith(".") and len(sentence) <= 72
    assert example.startswith(f"Example: whatworks {name}")
    printed = run(*name.split(), "--help", columns=200).stdout
    assert sentence in printed and example in printed


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_takes_store_and_json(run: Run, name: str) -> None:
    printed = run(*name.split(), "--help").stdout
    assert "--store" in printed or (name.startswith("token ") and "--root" in printed)
    assert "--json" in printed or name == "mcp"  # which speaks JSON all the time


@pytest.mark.parametrize(
    "line", [*shown_commands(), *(command.help.split("Example: ")[1] for command in LEAVES.values())]
)
def test_what_is_shown_can_be_typed(run: Run, line: str) -> None:
    words = shlex.split(line.split(" > ")[0])[1:]
    assert run(*words, "--help").exit_code == 0


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_that_only_one_command_has_is_explained(name: str) -> None:
    for parameter in LEAVES[name].params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert option in TEXT, f"{name} {option}"


def test_the_exit_codes_are_those_of_the_program() -> None:
    table = dict(re.findall(r"^\| (\d) \| (.*) \|$", TEXT, re.MULTILINE))
    assert table == {str(code): meaning for code, meaning in CODES.items()}


@pytest.mark.parametrize("name", re.findall(r"^- \*\*(\w+)\*\*:", TEXT, re.MULTILINE))
def test_the_documents_have_the_fields_of_the_records(name: str) -> None:
    kind = next(
        getattr(home, name)
        for home in (records, ledgers, doctor, repair, overview, sharing, teams, tokens)
        if hasattr(home, name)
    )
    listed = re.search(rf"^- \*\*{name}\*\*:(.*?)(?=^- \*\*|^$)", TEXT, re.MULTILINE | re.DOTALL)
    assert listed
    assert re.findall(r"`(\w+)`", listed[1]) == [field.name for field in fields(kind)]


def test_every_document_that_a_command_prints_is_explained() -> None:
    explained = set(re.findall(r"^- \*\*(\w+)\*\*:", TEXT, re.MULTILINE))
    assert explained >= {
        "Pattern", "UsageEvent", "Match", "Trend", "TrendDay", "Prediction", "Answer", "Evidence",
        "Why", "Explanation", "Contribution", "Stats", "Finding", "Evaluation", "Lift", "Estimate",
        "Calibration", "CalibrationScore", "IntervalCheck", "Recalibration", "ReliabilityBin",
        "Flip", "Diff", "Change", "Cause", "Backup", "Repair", "StoreKind", "Suggestion",
    }  # fmt: skip
    listed = set(re.findall(r"`([a-z]+)", "".join(re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE))))
    assert listed == set(EXPECTED.split()) - {"mcp"}


def test_no_output_in_the_document_is_wider_than_80_columns() -> None:
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL):
        for line in block.splitlines():
            assert len(line) <= 80 or line.startswith(("$ ", "skipped ", "{", "search-first,"))
