from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import whatworks
from whatworks import Memory
from whatworks.testing import HashEmbedder

Run = Callable[..., Result]


def shown(result: Result, code: int = 0) -> Any:
    """The one JSON document that a command printed."""
    assert result.exit_code == code, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_version_is_that_of_the_package(run: Run, filled: Any) -> None:
    assert run("version").stdout.startswith(f"whatworks {whatworks.__version__}, Python 3.")
    assert shown(run("version", "--json"))["whatworks"] == whatworks.__version__
    assert "format 1, vectors by hash-64 in exact" in run("version", "--store", filled.path).stdout
    assert shown(run("version", "--store", filled.path, "--json"))["store"]["embedder"] == "hash-64"


def test_rebuild_makes_the_same_evidence_again(run: Run, filled: Any) -> None:
    before = shown(run("events", "--limit", "99", "--store", filled.path, "--json"))
    (filled.path / "evidence.duckdb").unlink()
    assert "2 patterns and 32 events" in run("rebuild", "--store", filled.path).stdout
    assert shown(run("rebuild", "--store", filled.path, "--json"))["events"] == 32
    assert shown(run("events", "--limit", "99", "--store", filled.path, "--json")) == before


def test_reembed_takes_a_function_of_ones_own(
    run: Run, filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "my_models.py").write_text(
        "from whatworks.testing import HashEmbedder\n\n"
        "class Small(HashEmbedder):\n"
        "    def __init__(self):\n"
        "        super().__init__(32)\n"
    )
    made = shown(run("reembed", "--embedder", "my_models:Small", "--store", filled.path, "--json"))
    assert (made["embedder"], made["dim"]) == ("hash-32", 32)
    assert "hash-32" in run("reembed", "--embedder", "my_models:Small", "--store", filled.path).stdout
    with Memory.open(filled.path, embedder=HashEmbedder(32)) as memory:
        assert memory.find_similar("cargo check names imports")[0].pattern_id == filled.imports


def test_migrate_moves_the_vectors_there_and_back(run: Run, filled: Any) -> None:
    before = shown(run("stats", "--store", filled.path, "--json"))["vectors"]["engine"]
    result = run("migrate", "--to", "usearch", "--store", filled.path)
    assert f"vectors in usearch, before in {before}" in result.stdout
    assert "--back" in result.stdout
    made = shown(run("migrate", "--back", "--store", filled.path, "--json"))
    assert (made["before"], made["after"], made["former"]) == ("usearch", before, "usearch")
    assert set(made["recall"].values()) == {1.0}


@pytest.mark.parametrize("arguments", [[], ["--back", "--to", "exact"], ["--to", "nosuch"], ["--back"]])
def test_migrate_says_what_it_expects(run: Run, filled: Any, arguments: list[str]) -> None:
    result = run("migrate", *arguments, "--store", filled.path)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "name", ["nothing", "no_such_module:f", "os:no_such_name", ":f", "whatworks.records:NewPattern"]
)
def test_an_embedder_that_cannot_be_loaded_changes_nothing(run: Run, filled: Any, name: str) -> None:
    result = run("reembed", "--embedder", name, "--store", filled.path)
    assert result.exit_code == 2
    assert "--embedder" in result.stderr
    assert shown(run("stats", "--store", filled.path, "--json"))["embedder"] == "hash-64"


def test_doctor_finds_nothing_in_a_healthy_store(run: Run, filled: Any) -> None:
    filled.path.chmod(0o700)
    result = run("doctor", "--store", filled.path)
    assert result.exit_code == 0
    assert "all is well" in result.stdout
    layers = {finding["layer"] for finding in shown(run("doctor", "--store", filled.path, "--json"))}
    assert {"versions", "folder", "lock", "store.json", "journal", "evidence", "vectors"} < layers
    assert {"embedder", "disk"} < layers


def test_doctor_says_how_to_mend_what_it_finds(run: Run, filled: Any) -> None:
    filled.path.chmod(0o755)
    result = run("doctor", "--store", filled.path, columns=200)
    assert result.exit_code == 3
    assert f"mend: chmod 700 {filled.path}" in result.stdout
    assert "1 to look at" in result.stdout
    found = shown(run("doctor", "--store", filled.path, "--json"), code=3)
    assert [item["layer"] for item in found if item["status"] != "ok"] == ["folder"]


def test_doctor_of_nothing_finds_nothing_to_examine(run: Run, tmp_path: Path) -> None:
    assert run("doctor", "--store", tmp_path / "none").exit_code == 4


def test_the_demo_does_not_write_into_a_store_that_is_there(run: Run, filled: Any) -> None:
    result = run("demo", "--store", filled.path)
    assert result.exit_code == 2
    assert shown(run("stats", "--store", filled.path, "--json"))["events"] == 32


def test_the_demo_and_the_benchmark_get_what_the_command_line_says(
    run: Run, filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Any] = []
    monkeypatch.setattr("whatworks.demo.main", lambda **given: called.append(given))
    monkeypatch.setattr("whatworks.bench.main", lambda *given: called.append(given))
    run("demo")
    run("demo", "--json", "--store", "d")
    run("bench")
    run("bench", "--json", "--store", filled.path)
    assert called == [
        {"json": False, "store": None},
        {"json": True, "store": tmp_path / "d"},
        (None, False),
        (filled.path, True),
    ]


def test_forget_counts_asks_and_then_leaves_nothing(run: Run, filled: Any, tmp_path: Path) -> None:
    name = "build"
    with Memory.open(filled.path, embedder="none") as memory:
        name = memory.patterns()[0].pattern_id
        tries = memory.get_pattern(name).usage_count
    counted = shown(run("forget", name, "--store", filled.path, "--json"))
    assert (counted["patterns"], counted["events"], counted["dry_run"]) == (1, tries, True)
    asked = run("forget", name, "--store", filled.path, input="n\n")
    assert "Forget this for good? [y/N]: n\nnothing was forgotten" in asked.stdout
    assert shown(run("forget", name, "--store", filled.path, "--json", "--dry-run"))["events"] == tries
    done = run("forget", name, "--store", filled.path, "--yes", "--backups", tmp_path / "backups")
    assert done.exit_code == 0, done.stderr
    assert "of the journal written over" in done.stdout
    assert len(list((tmp_path / "backups").iterdir())) == 1
    gone = run("forget", name, "--store", filled.path, "--yes")
    assert gone.exit_code == 4
    assert gone.stderr.startswith(f"whatworks: there is no pattern '{name}'")
    assert run("forget", "--store", filled.path).exit_code == 2
