from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from whatworks import Memory, config

Run = Callable[..., Result]


def shown(result: Result) -> Any:
    """The one JSON document that a command printed."""
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


# -- init -----------------------------------------------------------------------------------------


def test_init_makes_a_store_in_this_folder(run: Run, tmp_path: Path) -> None:
    result = run("init")
    assert result.exit_code == 0
    assert f"made a store in {tmp_path / '.whatworks'}" in result.stdout
    assert config.load(tmp_path / ".whatworks").vectors == "usearch"


def test_init_twice_keeps_the_store(run: Run, tmp_path: Path) -> None:
    first = shown(run("init", "--json"))
    second = shown(run("init", "--json"))
    assert (first["created"], second["created"]) == (True, False)
    assert first["path"] == second["path"] == str(tmp_path / ".whatworks")
    assert first["store"]["store_id"] == second["store"]["store_id"]
    assert "already" in run("init").stdout


def test_init_goes_where_the_option_or_the_environment_says(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = shown(run("init", "--store", tmp_path / "a", "--vectors", "exact", "--json"))
    assert config.load(tmp_path / "a").vectors == made["store"]["vectors"] == "exact"
    monkeypatch.setenv("WHATWORKS_STORE", str(tmp_path / "b"))
    assert shown(run("init", "--json"))["path"] == str(tmp_path / "b")


def test_init_with_an_engine_that_is_not_there_makes_no_store(run: Run, tmp_path: Path) -> None:
    result = run("init", "--vectors", "abacus", "--store", tmp_path / "a")
    assert result.exit_code == 2
    assert "exact, lance" in result.stderr
    assert run("stats", "--store", tmp_path / "a").exit_code == 4
    assert run("init", "--vectors", "exact", "--store", tmp_path / "a").exit_code == 0


# -- add ------------------------------------------------------------------------------------------


def test_add_keeps_a_pattern_and_says_what_to_do_next(run: Run, tmp_path: Path) -> None:
    result = run("add", "Clear the cache", "--store", tmp_path / "a store")
    assert result.exit_code == 0
    with Memory.open(tmp_path / "a store", embedder="none") as memory:
        (pattern,) = memory.patterns()
    assert pattern.description == "Clear the cache"
    assert f"whatworks record {pattern.pattern_id}" in result.stdout
    assert f"--store '{tmp_path / 'a store'}'" in result.stdout  # quoted, ready to be typed


def test_add_takes_type_id_and_metadata(run: Run, tmp_path: Path) -> None:
    words = ["add", "Clear it", "--type", "build", "--id", "p/1", "--store", tmp_path / "s", "--json"]
    meta = ["--meta", "language=rust", "--meta", "level=3", "--meta", "deep=[1, 2]", "--meta", "a=b=c"]
    pattern = shown(run(*words, *meta))
    assert (pattern["pattern_id"], pattern["pattern_type"]) == ("p/1", "build")
    assert pattern["metadata"] == {"language": "rust", "level": 3, "deep": [1, 2], "a": "b=c"}


def test_add_reads_standard_input_and_cleans_it(run: Run, tmp_path: Path) -> None:
    long = "\x1b[31mpress\x00 the \u202ebutton\x1b[0m\nthen \xfcber\n"
    pattern = shown(run("add", "-", "--store", tmp_path / "s", "--json", input=long))
    assert pattern["description"] == "press the button\nthen \xfcber"


def test_add_takes_bytes_that_are_no_text(run: Run, tmp_path: Path) -> None:
    pattern = shown(run("add", "-", "--store", tmp_path / "s", "--json", input=b"caf\xe9 au lait"))
    assert pattern["description"] == "caf\ufffd au lait"


def test_add_refuses_what_is_too_long(run: Run, tmp_path: Path) -> None:
    result = run("add", "-", "--store", tmp_path / "s", input="x" * 10_000_000)
    assert result.exit_code == 2
    assert "at most 65,536" in result.stderr


def test_adding_the_same_again_is_adding_it_once(run: Run, tmp_path: Path) -> None:
    first, second = (
        shown(run("add", "Clear it", "--store", tmp_path / "s", "--json"))["pattern_id"]
        for _ in range(2)
    )
    assert first == second


# -- record and resolve ---------------------------------------------------------------------------


def test_record_keeps_all_that_it_is_given(run: Run, filled: Any) -> None:
    words = ["record", filled.search, "--outcome", "0.8", "--context", "caf\u0065\u0301", "--json"]
    more = ["--event-id", "e1", "--session", "s1", "--file", "a.rs", "--file", "b.rs", "--tool", "rg"]
    rest = ["--duration-ms", "12.5", "--cost", "0.01", "--prediction", filled.prediction]
    when = ["--time", "2026-02-03T04:05:06+01:00", "--meta", "retry=true", "--store", filled.path]
    event = shown(run(*words, *more, *rest, *when))
    expected = {
        "event_id": "e1",
        "pattern_id": filled.search,
        "timestamp": "2026-02-03T03:05:06+00:00",
        "state": "resolved",
        "outcome": 0.8,
        "context": "caf\xe9",
        "session_id": "s1",
        "channel": "cli",
        "files": ["a.rs", "b.rs"],
        "tools": ["rg"],
        "duration_ms": 12.5,
        "cost": 0.01,
        "prediction_id": filled.prediction,
        "metadata": {"retry": True},
    }
    assert {name: event[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("word", "outcome", "state"),
    [
        ("1", 1.0, "resolved"),
        ("0.25", 0.25, "resolved"),
        ("success", 1.0, "resolved"),
        ("Failed", 0.0, "resolved"),
        ("not_used", None, "not_used"),
        ("unknown", None, "unknown"),
        ("pending", None, "pending"),
    ],
)
def test_an_outcome_is_a_number_or_a_word(
    run: Run, filled: Any, word: str, outcome: float | None, state: str
) -> None:
    event = shown(run("record", filled.search, "--outcome", word, "--store", filled.path, "--json"))
    assert (event["outcome"], event["state"]) == (outcome, state)


@pytest.mark.parametrize("word", ["1.5", "-1", "nan", "inf", "sort of", "", "1e999"])
def test_other_outcomes_are_refused(run: Run, filled: Any, word: str) -> None:
    result = run("resolve", "open", f"--outcome={word}", "--store", filled.path)
    assert result.exit_code == 2
    assert "outcome" in result.stderr


def test_a_try_without_an_outcome_is_pending_until_it_is_resolved(run: Run, filled: Any) -> None:
    store = ["--store", filled.path]
    recorded = run("record", filled.search, "--context", "-", "--event-id", "e2", *store, input="here")
    assert "event e2 is pending" in recorded.stdout
    assert "whatworks resolve e2 --outcome" in recorded.stdout
    resolved = run("resolve", "e2", "--outcome", "failed", "--time", "2026-02-03T00:00:00Z", *store)
    assert resolved.stdout == "event e2 is resolved with outcome 0.00\n"
    event = shown(run("resolve", "e2", "--outcome", "0.5", *store, "--json"))
    assert (event["outcome"], event["context"]) == (0.5, "here")


def test_a_retry_with_the_same_event_id_is_the_same_try(run: Run, filled: Any) -> None:
    words = ["record", filled.search, "--outcome", "1", "--event-id", "e3", "--store", filled.path]
    first, second = shown(run(*words, "--json")), shown(run(*words, "--json"))
    assert first == second
    conflict = run(
        "record", filled.imports, "--outcome", "1", "--event-id", "e3", "--store", filled.path
    )
    assert conflict.exit_code == 2


def test_what_is_not_there_cannot_be_recorded_or_resolved(run: Run, filled: Any) -> None:
    assert run("record", "nobody", "--outcome", "1", "--store", filled.path).exit_code == 4
    assert run("resolve", "never", "--outcome", "1", "--store", filled.path).exit_code == 4


def test_a_resolved_try_does_not_become_pending_again(run: Run, filled: Any) -> None:
    result = run("resolve", "try-0", "--outcome", "pending", "--store", filled.path)
    assert result.exit_code == 2


def test_resolve_makes_no_store(run: Run, tmp_path: Path) -> None:
    result = run("resolve", "e", "--outcome", "1", "--store", tmp_path / "s")
    assert result.exit_code == 4
    assert "whatworks init" in result.stderr
    assert not (tmp_path / "s").exists()
