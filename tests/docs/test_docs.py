"""What the documents say is tried: examples run, commands exist, links lead somewhere."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_example_of_the_readme_prints_what_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(blocks(README, "python")[0], "README.md", "exec"), {})
    assert printed.getvalue() == blocks(README, "text")[0]


def test_the_examples_for_agents_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for block in blocks((ROOT / "docs/agents.md").read_text(), "python"):
            exec(compile(block, "docs/agents.md", "exec"), names)
    assert printed.getvalue() == "4\n('grep',)\n"


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        code = re.findall(r"`(make [a-z -]+)`", document.read_text())
        lines = [
            line for block in blocks(document.read_text(), "console") for line in block.splitlines()
        ]
        for command in [*code, *(line.split("#")[0] for line in lines if line.startswith("make "))]:
            assert set(command.split()[1:]) <= targets, f"{document.name}: {command}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_no_document_speaks_of_a_command_that_does_not_exist() -> None:
    from typer.main import get_command

    from whatworks.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    for document in DOCUMENTS:
        for command in re.findall(
            r"^whatworks ([a-z]+)|`whatworks ([a-z]+)", document.read_text(), re.M
        ):
            assert (command[0] or command[1]) in known, f"{document.name}: whatworks {command}"


def test_every_failpoint_is_in_the_list_of_them() -> None:
    from faults import page

    assert page.points() in page.PAGE.read_text(), "run python -m faults points"


def test_every_fault_suite_has_a_place_for_its_figures() -> None:
    from faults import page, running

    text = "".join(path.read_text() for path in page.PAGES)
    for name in running.SUITES:
        assert name == running.suite(name).NAME
        for mark in ("figures of", "end of"):
            assert text.count(f"<!-- {mark} {name} -->") == 1
