"""What the commands say of sources that count, and of those that do not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from whatworks import Memory

Run = Callable[..., Result]


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A store in which one source of strangers tells twenty times."""
    path = tmp_path / "store"
    with Memory.open(path, embedder="none") as owner:
        owner.add_pattern("edit at once", pattern_id="edit")
        owner.record_many({"pattern_id": "edit", "outcome": 0.0, "context": f"c{n}"} for n in range(12))
    with Memory.open(path, embedder="none", source="ci-agent", channel="mcp-http") as agent:
        agent.record_many({"pattern_id": "edit", "outcome": 1.0} for _ in range(20))
    return path


def test_sources_say_who_is_not_vouched_for_and_what_is_held(run: Run, told: Path) -> None:
    said = run("sources", "--store", told)
    assert "unvouched" in said.stdout and "17" in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80
    found = json.loads(run("sources", "--store", told, "--json").stdout)
    assert [(item["source"], item["events"], item["held"]) for item in found] == [
        ("local", 12, 0),
        ("ci-agent", 3, 17),
    ]


def test_quarantine_lists_what_counts_for_nothing_and_why(run: Run, told: Path) -> None:
    said = run("quarantine", "--store", told).stdout
    assert "too many in an hour" in said and "whatworks approve SOURCE" in said
    assert "edit at once" in said and "mcp-http" in said and re.search(r"20\d\d-\d\d-\d\d", said)
    assert max(map(len, said.splitlines())) <= 80
    (found,) = json.loads(run("quarantine", "--store", told, "--json").stdout)
    assert (found["source"], found["reason"], found["tries"]) == ("ci-agent", "hour", 17)


def test_approve_and_distrust_say_how_much_counts_now(run: Run, told: Path) -> None:
    said = run("approve", "ci-agent", "--store", told)
    assert "20 of its tries count,\nand 0 are in quarantine" in said.stdout
    assert run("quarantine", "--store", told).stdout.strip() == "no try is held back"
    found = json.loads(run("distrust", "ci-agent", "--store", told, "--json").stdout)
    assert found.pop("judged_at")
    assert found == {"source": "ci-agent", "trust": "distrusted", "counted": 0, "held": 20}
    assert (
        "ci-agent is unvouched: 3 of its tries count,"
        in run("unjudge", "ci-agent", "--store", told).stdout
    )


def test_a_source_that_nobody_knows_is_an_error_of_one_line(run: Run, told: Path) -> None:
    said = run("distrust", "nobody", "--store", told)
    assert said.exit_code != 0
    assert "no source 'nobody' has told of a try" in said.stderr


def test_files_that_were_imported_are_listed_and_can_be_distrusted(
    run: Run, told: Path, tmp_path: Path
) -> None:
    assert run("sources", "--imports", "--store", told).stdout.strip() == "no try was imported"
    table = tmp_path / "a log with a long name that somebody sent us.csv"
    table.write_text("p,o\nedit at once,1\nedit at once,1\n")
    run("import", "table", table, "--map", "pattern=p,outcome=o", "--no-embed", "--store", told)
    said = run("sources", "--imports", "--store", told)
    assert "import:a log" in said.stdout and max(map(len, said.stdout.splitlines())) <= 80
    (found,) = json.loads(run("sources", "--imports", "--store", told, "--json").stdout)
    assert (found["events"], found["checked"], found["trust"]) == (2, 0, "vouched")
    assert "0 of its tries count" in run("distrust", found["label"], "--store", told).stdout
    forgotten = run("forget", "--source", found["label"], "--yes", "--store", told)
    assert forgotten.exit_code == 0, forgotten.stderr
    assert json.loads(run("sources", "--imports", "--store", told, "--json").stdout) == []


def test_an_export_with_judgements_says_what_was_left_out(run: Run, told: Path, tmp_path: Path) -> None:
    run("distrust", "ci-agent", "--store", told)
    run("export", tmp_path / "all.jsonl", "--store", told)
    said = run("import", "jsonl", tmp_path / "all.jsonl", "--no-embed", "--store", tmp_path / "new")
    assert "left out: 1 judgements of sources and 20 tries of sources distrusted there" in said.stdout
    said = run(
        "import", "jsonl", tmp_path / "all.jsonl", "--trust-judgements", "--no-embed", "--json",
        "--store", tmp_path / "new",
    )  # fmt: skip
    written = json.loads(said.stdout)["written"]
    assert (written["judgements"], written["held"]) == (1, 20)


def test_why_says_how_much_was_checked_and_imported(run: Run, told: Path, tmp_path: Path) -> None:
    run("record", "edit", "--outcome", "1", "--checked", "--store", told)
    (tmp_path / "log.csv").write_text("p,o\nedit at once,1\n")
    run("import", "table", tmp_path / "log.csv", "--map", "pattern=p,outcome=o", "--store", told)
    with Memory.open(told) as memory:
        made = memory.predict("anything", candidates=["edit"])
    said = run("why", made.prediction_id, "--store", told)
    assert "outcomes 1 were found by a check" in said.stdout, said.output
