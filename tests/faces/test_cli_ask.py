from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from whatworks import Memory

Run = Callable[..., Result]


def shown(result: Result) -> Any:
    """The one JSON document that a command printed."""
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


def text(result: Result) -> str:
    assert result.exit_code == 0, result.stderr
    return result.stdout


# -- trend ----------------------------------------------------------------------------------------


def test_trend_draws_the_days_and_says_where_it_goes(run: Run, filled: Any) -> None:
    printed = text(run("trend", filled.imports, "--store", filled.path))
    assert "1.0 ┤" in printed and "0.0 ┤" in printed
    assert "●" in printed and "━" in printed and "░" in printed
    assert "2026-01-05" in printed and "2026-02-12" in printed
    assert "2026-02-12      1" in printed  # the newest day, with its tries
    assert "in the 7 days up to 2026-02-13 against the 28 days before" in printed


def test_trend_as_json_is_the_record(run: Run, filled: Any) -> None:
    trend = shown(run("trend", filled.imports, "--store", filled.path, "--json"))
    with Memory.open(filled.path, embedder="none") as memory:
        expected = memory.trend(filled.imports)
    assert trend["direction"] == expected.direction
    assert [day["day"] for day in trend["days"]] == [str(day.day) for day in expected.days]
    assert trend["days"][0]["moving_avg"] == expected.days[0].moving_avg


def test_trend_takes_a_window_and_a_time(run: Run, filled: Any) -> None:
    words = ["trend", filled.imports, "--store", filled.path, "--json"]
    trend = shown(run(*words, "--window-days", "3", "--as-of", "2026-01-20"))
    assert trend["window_days"] == 3
    assert trend["days"][0]["day"] == "2026-01-19"


def test_trend_of_a_pattern_without_tries_says_so(run: Run, filled: Any) -> None:
    added = shown(run("add", "Never tried", "--store", filled.path, "--json"))
    assert "no tries yet" in text(run("trend", added["pattern_id"], "--store", filled.path))


# -- why ------------------------------------------------------------------------------------------


def test_why_adds_up_to_what_was_expected(run: Run, filled: Any) -> None:
    printed = text(run("why", filled.prediction, "--store", filled.path))
    assert "context: unresolved import in module 2" in printed
    sums, added, totals = [], 0.0, []
    for line in printed.splitlines():
        first = line.split()[:1]
        if first and first[0][0] in "+-" and first[0][1:2].isdigit():
            added += float(first[0])
        elif first == ["adds"]:  # a new table; those of what speaks against it are no sums
            added = 0.0
        elif first == ["="]:
            totals.append(float(line.split()[1]))
            sums.append(added)
            added = 0.0
    assert len(totals) == 2
    assert sums == pytest.approx(totals, abs=0.01)


def test_why_as_json_has_every_answer(run: Run, filled: Any) -> None:
    why = shown(run("why", filled.prediction, "--limit", "1", "--store", filled.path, "--json"))
    assert len(why["explanations"]) == len(why["prediction"]["answers"]) == 2
    for explanation in why["explanations"]:
        total = sum(part["value"] for part in explanation["contributions"])
        assert total == pytest.approx(explanation["expected"], abs=1e-9)


def test_why_explains_as_many_answers_as_asked_for(run: Run, filled: Any) -> None:
    printed = text(run("why", filled.prediction, "--limit", "1", "--store", filled.path))
    assert "1 more with --limit 2" in printed


def test_why_shows_what_is_missing_what_speaks_against_it_and_what_would_turn_it(
    run: Run, filled: Any
) -> None:
    printed = text(run("why", filled.prediction, "--store", filled.path))
    said = f"{filled.search}: 1 of 2 outcomes known; 0."
    assert said in printed
    assert printed.split(said)[1].split("\n")[0].endswith("if the rest all failed / all worked")
    assert re.search(r"^against 0\.\d\d, the average being 0\.\d\d:$", printed, re.MULTILINE)
    assert re.search(r"^order: .*(without|left)", printed, re.MULTILINE)
    why = shown(run("why", filled.prediction, "--store", filled.path, "--json"))
    for explanation in why["explanations"]:
        assert (explanation["flip"] is None) != (explanation["remains"] is None)
    missing = {a["pattern"]["pattern_id"]: a["missing"] for a in why["prediction"]["answers"]}
    assert missing == {filled.imports: 0, filled.search: 1}


# -- lists ----------------------------------------------------------------------------------------


def test_patterns_show_their_record_and_how_it_went_lately(run: Run, filled: Any) -> None:
    printed = text(run("patterns", "--store", filled.path))
    line = next(line for line in printed.splitlines() if "cargo check" in line)
    assert line.split()[:2] == ["0.80", "30"]
    assert set(line.split()[2]) <= set("▁▂▃▄▅▆▇█")
    assert filled.imports in printed


def test_patterns_as_json_are_the_records(run: Run, filled: Any) -> None:
    found = shown(run("patterns", "--store", filled.path, "--json"))
    assert {item["pattern_id"] for item in found} == {filled.imports, filled.search}
    assert all(item["created_at"].endswith("+00:00") for item in found)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--type", "debugging"], ["imports"]),
        (["--type", "debugging", "--type", "searching"], ["imports", "search"]),
        (["--meta", "language=rust"], ["imports"]),
        (["--meta", "language=go"], []),
        (["--min-usage", "3"], ["imports"]),
        (["--used-after", "2026-01-06"], ["imports"]),
        (["--used-before", "2026-01-06"], ["search"]),
        (["--used-before", "2026-01-05T13:00:00+00:30"], ["search"]),
        (["--created-after", "2999-01-01"], []),
        (["--created-before", "2999-01-01"], ["imports", "search"]),
    ],
)
def test_patterns_are_narrowed_down(
    run: Run, filled: Any, options: list[str], expected: list[str]
) -> None:
    found = shown(run("patterns", *options, "--store", filled.path, "--json"))
    assert {item["pattern_id"] for item in found} == {getattr(filled, name) for name in expected}


def test_no_patterns_at_all_are_said_in_words(run: Run, filled: Any) -> None:
    assert "whatworks add" in text(run("patterns", "--type", "none", "--store", filled.path))
    assert shown(run("patterns", "--type", "none", "--store", filled.path, "--json")) == []


def test_events_are_listed_newest_first(run: Run, filled: Any) -> None:
    printed = text(run("events", "--limit", "2", "--store", filled.path))
    assert printed.index("event try-39") < printed.index("event try-38")
    assert "2026-02-13 12:00" in printed and "unresolved import in module 3" in printed
    found = shown(run("events", filled.search, "--store", filled.path, "--json"))
    assert [event["state"] for event in found] == ["pending", "resolved"]
    assert "pending" in text(run("events", filled.search, "--store", filled.path))


def test_no_events_are_said_in_words(run: Run, filled: Any) -> None:
    added = shown(run("add", "Never tried", "--store", filled.path, "--json"))
    assert "no events" in text(run("events", added["pattern_id"], "--store", filled.path))


def test_stats_count_what_there_is(run: Run, filled: Any) -> None:
    printed = text(run("stats", "--store", filled.path))
    assert "32 (31 resolved, 1 pending, 0 not used, 0 unknown)" in printed
    assert "hash-64, 64 dimensions" in printed
    stats = shown(run("stats", "--store", filled.path, "--json"))
    assert (stats["patterns"], stats["events"], stats["predictions"]) == (2, 32, 1)


# -- stores ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["similar", "x"],
        ["trend", "p"],
        ["predict", "x"],
        ["why", "p"],
        ["evaluate", "--policy", "greedy"],
        ["lift"],
        ["diff", "x", "--from", "2026-01-01"],
        ["patterns"],
        ["events"],
        ["stats"],
    ],
)
def test_asking_makes_no_store(run: Run, tmp_path: Path, words: list[str]) -> None:
    result = run(*words, "--store", tmp_path / "none")
    assert result.exit_code == 4
    assert "whatworks init" in result.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "words",
    [["similar", "x"], ["predict", "x"], ["diff", "x", "--from", "2026-01-01"]],
)
def test_questions_about_vectors_of_another_embedder_say_what_to_do(
    run: Run, filled: Any, words: list[str]
) -> None:
    result = run(*words, "--store", filled.path)
    assert result.exit_code == 7
    assert "'hash-64'" in result.stderr
    assert f"whatworks reembed --store {filled.path}" in result.stderr


def test_the_nearest_store_upwards_is_taken(
    run: Run, filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / "deep").mkdir(parents=True)
    filled.path.rename(tmp_path / "project" / ".whatworks")
    monkeypatch.chdir(tmp_path / "project" / "deep")
    assert "was not made by you on this machine" in run("stats").stderr
    run("init", "--store", str(tmp_path / "project" / ".whatworks"))
    assert shown(run("stats", "--json"))["path"] == str(tmp_path / "project" / ".whatworks")
