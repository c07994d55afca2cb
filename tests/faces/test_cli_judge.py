"""The commands evaluate and lift, and what predict leaves to chance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from whatworks import Memory, NewEvent
from whatworks.testing import HashEmbedder

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that explored and withheld 80 times; every second try of what stood first worked."""
    path = tmp_path_factory.mktemp("lived") / "store"
    with Memory.open(path, embedder=HashEmbedder(), vectors="exact") as memory:
        for name in ("a", "b"):
            memory.add_pattern(f"pattern {name}", pattern_id=name)
            memory.record_many(NewEvent(name, outcome=float(n % 2), context=f"{n}") for n in range(4))
        made = [memory.predict(f"case {n}", explore=0.5, mask=0.5, seed=n) for n in range(80)]
        memory.record_many(
            NewEvent(each.answers[0].pattern_id, outcome=n % 2, prediction_id=each.prediction_id)
            for n, each in enumerate(made)
        )
    return path


def test_evaluate_shows_the_estimates_and_what_they_rest_on(run: Run, lived: Path) -> None:
    result = run("evaluate", "--policy", "uniform", "--store", lived)
    assert result.exit_code == 0, result.stderr
    for words in ("mean of what was done", "0.50 (", "doubly robust", "80 of 80 predictions", "100%"):
        assert words in result.stdout


def test_evaluate_refuses_in_a_sentence_and_without_numbers(run: Run, lived: Path) -> None:
    with Memory.open(lived, embedder="none") as memory:
        memory.add_pattern("never shown", pattern_id="c")
    result = run("evaluate", "--policy", "fixed:c", "--store", lived)
    assert result.exit_code == 0
    assert result.stdout.startswith("refused: no overlap: ")
    assert "doubly robust" not in result.stdout


def test_evaluate_as_json_is_the_record(run: Run, lived: Path) -> None:
    options = ["--policy", "greedy", "--exploring", "--as-placed", "--store", lived, "--json"]
    found = json.loads(run("evaluate", *options).stdout)
    with Memory.open(lived, embedder="none") as memory:
        expected = memory.evaluate("greedy", exploring=True, as_placed=True)
    assert (found["status"], found["decisions"]) == ("estimated", 80)
    assert expected.dr and found["dr"]["value"] == expected.dr.value


def test_evaluate_needs_a_policy_that_exists(run: Run, lived: Path) -> None:
    assert run("evaluate", "--store", lived).exit_code == 2
    assert run("evaluate", "--policy", "boldest", "--store", lived).exit_code == 2
    assert run("evaluate", "--policy", "fixed:nobody", "--store", lived).exit_code == 4


def test_lift_shows_both_sides_and_what_is_missing(run: Run, lived: Path) -> None:
    result = run("lift", "--store", lived, columns=120)
    assert result.exit_code == 0, result.stderr
    assert "too little data" in result.stdout and "more needed" in result.stdout
    assert "pattern a" in result.stdout and "pattern b" in result.stdout
    apart = json.loads(run("lift", "a", "--by-context", "--store", lived, "--json").stdout)
    assert {item["pattern_id"] for item in apart} == {"a"}
    assert all(item["context"].startswith("case ") for item in apart)
    assert run("lift", "nobody", "--store", lived).exit_code == 4


def test_lift_says_what_to_do_where_nothing_was_withheld(run: Run, filled: object) -> None:
    assert "--mask" in run("lift", "--store", filled.path).stdout  # type: ignore[attr-defined]


def test_predict_leaves_to_chance_what_it_is_told(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name in ("a", "b"):
        assert run("add", f"pattern {name}", "--id", name, "--store", store).exit_code == 0
    words = ["predict", "now", "--store", store, "--explore", "0.5", "--mask", "0.1", "--seed"]
    found = [json.loads(run(*words, 0, "--json").stdout) for _ in range(2)]
    assert found[0]["answers"] == found[1]["answers"] and found[0]["explore"] == 0.5
    assert sum(answer["propensity"] for answer in found[0]["answers"]) == pytest.approx(1)
    high = json.loads(run(*words, 0, "--risk", "high", "--json").stdout)
    assert (high["explore"], high["explored"]) == (0, False)
    assert found[0]["explored"]  # that is what the first number of seed 0, 0.84, says
    assert "drawn, explore 0.5, to learn of it" in run(*words, 0).stdout
    assert run(*words, 1, "--explore", "0.6").exit_code == 2
