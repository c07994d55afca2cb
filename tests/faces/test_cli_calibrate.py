from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import Result

from whatworks import Calibration, Memory, NewEvent
from whatworks.testing import HashEmbedder

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 64 predictions with an outcome, of a pattern type that looks like markup."""
    path = tmp_path_factory.mktemp("calibrated") / "store"
    with Memory.open(path, embedder=HashEmbedder(), vectors="exact", source="ci") as memory:
        memory.add_pattern("mend the imports", pattern_type="[red]debugging", pattern_id="p")
        memory.record_many(NewEvent("p", outcome=n % 4 > 0, context=f"case{n}") for n in range(40))
        ids = [memory.predict(f"other{n}").prediction_id for n in range(64)]
        memory.record_many(
            NewEvent("p", outcome=n % 8 == 0, prediction_id=name) for n, name in enumerate(ids)
        )
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


def text(result: Result) -> str:
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_calibrate_says_it_in_words_and_numbers(run: Run, path: Path) -> None:
    printed = text(run("calibrate", "--store", path))
    words = " ".join(printed.split())
    assert "64 of 64 predictions (100 %) got an outcome." in words
    assert "too hopeful by about" in words
    for name in ("Brier score", "- resolution", "log loss", "ECE", "80 % intervals hold"):
        assert name in printed
    table = printed.split("said ● seen 1")[1].split("score")[0]
    assert "●" in table and "│" in table and "░" in table
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_calibrate_as_json_is_the_record(run: Run, path: Path) -> None:
    shown = json.loads(text(run("calibrate", "--json", "--recalibrate", "beta", "--store", path)))
    with Memory.open(path, embedder="none") as memory:
        expected = memory.calibration(recalibrate="beta")
    assert set(shown) == {field.name for field in fields(Calibration)}
    assert shown["overall"]["brier"]["value"] == pytest.approx(expected.overall.brier.value)  # type: ignore[union-attr]
    assert shown["summary"] == list(expected.summary)
    assert shown["recalibration"]["method"] == "beta"


@pytest.mark.parametrize(("by", "name"), [("age", "up to 7 days"), ("source", "ci")])
def test_groups_are_shown_where_asked_for(run: Run, path: Path, by: str, name: str) -> None:
    printed = text(run("calibrate", "--by", by, "--store", path))
    assert any(line.startswith(name) and "too hopeful" in line for line in printed.splitlines())
    assert name not in text(run("calibrate", "--store", path))


def test_names_of_groups_do_no_harm_to_the_terminal(run: Run, path: Path) -> None:
    printed = text(run("calibrate", "--by", "type", "--store", path, columns=120))
    assert "[red]debugging" in printed


@pytest.mark.parametrize("method", ["isotonic", "beta"])
def test_a_correction_is_shown_where_asked_for(run: Run, path: Path, method: str) -> None:
    printed = text(run("calibrate", "--recalibrate", method, "--store", path))
    assert f"{method.capitalize()} recalibration, learned from" in " ".join(printed.split()) or (
        "Too little to learn a correction from" in " ".join(printed.split())
    )


def test_times_leave_out_what_was_before(run: Run, path: Path) -> None:
    printed = text(run("calibrate", "--since", "2020-01-01", "--as-of", "2020-01-02", "--store", path))
    assert "No predictions were made in this time." in printed
    assert "score" not in printed.split()


@pytest.mark.parametrize(
    "words", [["--by", "nosuch"], ["--recalibrate", "nosuch"], ["--since", "yesterday"]]
)
def test_options_that_make_no_sense_are_refused(run: Run, path: Path, words: list[str]) -> None:
    result = run("calibrate", *words, "--store", path)
    assert result.exit_code == 2
    assert words[0] in result.stderr and "expected" in result.stderr


def test_an_empty_store_is_calibrated_too(run: Run, tmp_path: Path) -> None:
    text(run("init", "--store", tmp_path / "s"))
    printed = text(run("calibrate", "--by", "type", "--recalibrate", "beta", "--store", tmp_path / "s"))
    assert "No predictions were made in this time." in printed
