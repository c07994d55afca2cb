"""A report: one file, which needs no other and trusts no text."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from typer.testing import Result

from support.inspected import HOSTILE, fill
from whatworks import Memory
from whatworks.ui.report import as_html, as_markdown, escaped, report

Run = Callable[..., Result]


@pytest.fixture
def memory(memory: Memory) -> Memory:
    fill(memory)
    return memory


def test_a_report_holds_everything_in_one_file(memory: Memory) -> None:
    text = as_html(report(memory))
    markup = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    assert "approach faller" in markup and "http" not in markup.replace("http-equiv", "")
    assert not re.search(r'(?:src|href)="(?!#)', markup)
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert links <= set(re.findall(r'id="([^"]+)"', text)) and "pattern-1" in links


def test_nothing_runs_but_the_scripts_that_it_names_by_hash(memory: Memory) -> None:
    text = as_html(report(memory))
    policy = unescape(re.search(r'Security-Policy" content="([^"]*)"', text)[1])  # type: ignore[index]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for kind in ("script", "style"):
        for inside in re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL):
            digest = b64encode(hashlib.sha256(inside.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    assert len(re.findall("sha256-", policy)) == 3
    assert text.count("<script>") == 2 and "<script>alert" not in text


def test_the_patterns_that_fell_come_first_and_no_more_than_asked_for(memory: Memory) -> None:
    assert [page.pattern.pattern_id for page in report(memory, most=2).patterns] == ["faller", "riser"]
    assert report(memory, most=2).first.overview.window_days == 7


def test_markdown_has_the_same_figures_and_means_nothing_else(memory: Memory) -> None:
    text = as_markdown(report(memory))
    (row,) = re.findall(r"\| approach faller of the build \| (-.*) \|\n", text)
    assert re.match(r"-\d+ \(-\d+ to -\d+\) \| 100\xa0% of 22 \| 0\xa0% of 6", row)
    assert "<script>" not in text and "<img" not in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(bars) == 1, table


def test_every_sign_of_markdown_is_escaped() -> None:
    assert escaped("a|b\n# [x](y) **z** `c`") == r"a\|b \# \[x\]\(y\) \*\*z\*\* \`c\`"
    assert "<" not in escaped(HOSTILE)


def test_an_empty_store_has_a_report(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "empty", embedder="none") as memory:
        made = report(memory)
    assert "No outcome is known yet" in as_html(made)
    assert "None." in as_markdown(made)


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_the_command_writes_a_file_for_its_owner_alone(
    run: Run, memory: Memory, store: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name
    done = run("report", "-o", target, "--store", store, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {"path": str(target), "patterns": 3, "bytes": target.stat().st_size}
    assert target.stat().st_mode & 0o777 == 0o600
    assert "written to" in run("report", "-o", target, "--store", store).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-o", "report.pdf"), "neither .html nor .md"),
        (("-o", "nowhere/report.md"), "there is no folder"),
        (("--days", "0"), "days is 0"),
    ],
)
def test_what_cannot_be_written_is_told(
    run: Run, memory: Memory, store: Path, words: tuple[str, ...], told: str
) -> None:
    done = run("report", *words, "--store", store)
    assert done.exit_code == 2 and told in done.stderr and done.stderr.count("\n") == 1
