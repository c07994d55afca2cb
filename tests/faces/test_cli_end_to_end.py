"""The main job from the command line, with the real model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from whatworks.cli import app
from whatworks.doctor import examine

IMPORTS = "Run cargo check, fix the imports it names, run it again"
TEST = "Write a failing test before touching the code"
CONTEXT = "error[E0432]: unresolved import `crate::lexer` in src/parser.rs"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two patterns and a few tries, made by commands alone."""
    path = tmp_path_factory.mktemp("end-to-end") / "store"
    whatworks(path, "init")
    for name, description in (("imports", IMPORTS), ("test", TEST)):
        whatworks(path, "add", description, "--id", name)
    for n in range(4):
        whatworks(path, "record", "imports", "--outcome", "success", "--context", f"{CONTEXT} {n}")
        whatworks(path, "record", "test", "--outcome", "failed", "--context", f"{CONTEXT} {n}")
    return path


def whatworks(store: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--store", str(store)], env={"COLUMNS": "80"})
    assert (done.exit_code, done.stderr) == (0, ""), done.stderr
    return done.stdout


def as_json(store: Path, *words: str) -> Any:
    return json.loads(whatworks(store, *words, "--json"))


def test_similar_finds_by_meaning(store: Path) -> None:
    found = as_json(store, "similar", "rust imports missing", "--limit", "1")
    assert found[0]["pattern"]["pattern_id"] == "imports"
    assert found[0]["vector_rank"] == 1
    printed = whatworks(store, "similar", "rust imports missing")
    assert printed.index(IMPORTS[:30]) < printed.index(TEST[:30])
    assert as_json(store, "similar", "x", "--type", "nothing") == []
    assert "nothing similar" in whatworks(store, "similar", "x", "--type", "nothing")


def test_predict_says_what_to_expect_and_why_says_why(store: Path) -> None:
    printed = whatworks(store, "predict", "unresolved import in the parser")
    assert re.search(r"0\.\d\d \(0\.\d\d-\d\.\d\d\)", printed)
    assert printed.index(IMPORTS[:30]) < printed.index(TEST[:30])
    (following,) = re.findall(r"^next: whatworks (why .*) --store", printed, re.MULTILINE)
    explained = whatworks(store, *following.split())
    assert "context: unresolved import in the parser" in explained
    assert explained.count("expected") == 2
    first = as_json(store, "predict", "unresolved import in the parser")
    assert [answer["pattern"]["pattern_id"] for answer in first["answers"]] == ["imports", "test"]
    assert first["answers"][0]["evidence"][0]["context"].startswith(CONTEXT)
    why = as_json(store, "why", first["prediction_id"])
    assert why["prediction"]["answers"] == first["answers"]


def test_predict_considers_the_candidates_named_as_of_then(store: Path) -> None:
    words = ["predict", "unresolved import", "--candidate", "test"]
    (answer,) = as_json(store, *words)["answers"]
    assert answer["pattern"]["pattern_id"] == "test"
    assert as_json(store, *words, "--as-of", "2020-01-01")["answers"] == []
    assert "no answer" in whatworks(store, *words, "--as-of", "2020-01-01")


def test_the_installed_command_reads_a_situation_from_a_pipe(store: Path) -> None:
    command = [str(Path(sys.executable).parent / "whatworks"), "predict", "-", "--store", str(store)]
    done = subprocess.run(command, input=CONTEXT.encode(), capture_output=True, check=True)
    assert done.stderr == b""
    assert IMPORTS[:30] in done.stdout.decode()


def test_rebuilt_and_embedded_again_it_answers_the_same(store: Path) -> None:
    words = ["predict", "unresolved import in the parser"]
    before = as_json(store, *words)
    assert as_json(store, "rebuild")["vectors"]["contexts"]["waiting"] == 0
    assert as_json(store, "reembed")["embedder"] == as_json(store, "stats")["embedder"]
    after = as_json(store, *words)
    assert [(a["expected"], a["low"], a["high"]) for a in after["answers"]] == [
        (a["expected"], a["low"], a["high"]) for a in before["answers"]
    ]


def test_doctor_tries_the_model(store: Path) -> None:
    (found,) = [finding for finding in examine(store) if finding.layer == "embedder"]
    assert found.status == "ok"
    assert "384 dimensions" in found.message
    assert "all is well" in whatworks(store, "doctor")


def test_an_import_embeds_what_it_brings(store: Path, tmp_path: Path) -> None:
    whatworks(store, "export", str(tmp_path / "all.jsonl"))
    whatworks(tmp_path / "copy", "import", "jsonl", str(tmp_path / "all.jsonl"))
    vectors = as_json(tmp_path / "copy", "stats")["vectors"]
    assert vectors["patterns"]["waiting"] == vectors["contexts"]["waiting"] == 0
    assert vectors["patterns"]["vectors"] == 2


def test_diff_names_what_changed_the_advice(store: Path) -> None:
    printed = whatworks(store, "diff", "--from", "2026-01-01", "unresolved import in the parser")
    assert printed.startswith("from 2026-01-01 00:00 to ")
    assert "expected - -> 0." in printed and "place - -> 1" in printed
    assert re.search(r"^[+-]0\.\d{3}  0 -> 1  - -> 1\.00", printed, re.MULTILINE)
    words = ["diff", "unresolved import in the parser", "--from", "2026-01-01"]
    found = as_json(store, *words)
    for change in found["changes"]:
        assert sum(cause["share"] for cause in change["causes"]) == pytest.approx(change["change"])
    assert "nothing changed" in whatworks(store, *words, "--to", "2026-01-02")
