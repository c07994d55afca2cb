"""The suite of benchmarks: what a guard notices, what the page says of goals."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from benchmarks import guard, page, results
from benchmarks.corpus import Size
from benchmarks.goals import GOALS, Figure
from benchmarks.results import Measured, Result, Run

from whatworks import Memory, Trend

PICTURES = page.PAGE.parent / "pictures"
SMALL = Size(60, 30, 300)


def run_of(*results: Result) -> Run:
    return Run(
        datetime(2026, 1, 2, tzinfo=UTC), "full: x", "abc", "two cores", "Python", 5, 1, 1, results
    )


def measured(metric: str, value: float, *, subject: str = "whatworks", unit: str = "ms") -> Result:
    collected = Measured("questions", "100,000 patterns")
    collected.add(metric, value, unit, subject=subject)
    return collected.results[0]


@pytest.fixture(scope="module")
def before() -> guard.Counts:
    return guard.counts(SMALL)


def test_the_guard_lets_an_unchanged_product_through(before: guard.Counts) -> None:
    assert guard.compare(guard.counts(SMALL), before) == []
    assert before["events of a pattern"]["statements"] > 0
    assert before["trend"]["calls"] > 0
    assert before["record"]["bytes"] > 0


def test_the_guard_notices_a_question_that_asks_the_evidence_twice(
    before: guard.Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Memory.trend

    def slower(memory: Memory, pattern_id: str) -> Trend:
        memory.events(pattern_id)
        return usual(memory, pattern_id)

    monkeypatch.setattr(Memory, "trend", slower)
    lines = guard.compare(guard.counts(SMALL), before)
    assert {line.partition(":")[0] for line in lines} == {"trend"}
    assert any("statements" in line for line in lines)


def test_the_guard_notices_a_tenth_more_calls_and_one_statement_more() -> None:
    kept = {"trend": {"statements": 2.0, "calls": 1_000.0}}
    assert guard.compare({"trend": {"statements": 2.0, "calls": 1_100.0}}, kept) == []
    assert guard.compare({"trend": {"statements": 3.0, "calls": 1_000.0}}, kept) != []
    assert guard.compare({"trend": {"statements": 2.0, "calls": 1_101.0}}, kept) != []
    assert guard.compare({"trend": {"statements": 2.0, "calls": 1_101.0}}, kept, calls=False) == []


def test_the_guard_fails_with_the_counts_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "guard.json"
    monkeypatch.setattr(guard, "counts", lambda: {"trend": {"statements": 2.0}})
    guard.check(write=True, file=file)
    guard.check(write=False, file=file)
    kept = json.loads(file.read_text())
    kept["counts"]["trend"]["statements"] = 1.0
    file.write_text(json.dumps(kept))
    with pytest.raises(SystemExit, match="trend: 2 statements, before 1"):
        guard.check(write=False, file=file)


def test_a_goal_says_how_many_times_it_is_missed() -> None:
    goal = next(goal for goal in GOALS if goal.name == "trend, 1,000,000 events")
    least = next(goal for goal in GOALS if goal.name == "short texts in bulk")
    assert goal.factor(Figure(6.0, None, 0.0)) == 2
    assert least.factor(Figure(175.0, None, 0.0)) == 2
    assert least.factor(Figure(700.0, None, 0.0)) < 1


def test_the_page_tells_met_missed_and_not_measured() -> None:
    runs = {"ask-100k": run_of(measured("trend", 6.0), measured("predict, new text", 5.0))}
    said = {
        line.split(" | ")[1]: line for line in page.made(runs).splitlines() if line.startswith("| ")
    }
    assert "MISSED, 2.00 times" in said["trend, 1,000,000 events"]
    assert "| met |" in said["predict, new text, 1,000,000 events"]
    assert "not measured" in said["trend, 10,000,000 events"]


def test_whatworks_is_held_against_the_fastest_peer_that_keeps_patterns_and_finds_enough() -> None:
    goal = next(goal for goal in GOALS if "fastest that keeps" in goal.name)
    found = [measured("search", 2.0)]
    for peer, ms, recall in (
        ("usearch", 0.4, 0.99),
        ("OmenDB", 0.5, 0.5),
        ("qdrant-edge", 1.0, 0.96),
        ("Chroma", 3.0, 0.99),
    ):
        found += [measured("search", ms, subject=peer), measured("recall@10", recall, subject=peer)]
    figure = goal.figure({"vectors-100k": run_of(*found)})
    assert figure is not None
    assert figure.value == 2
    assert "qdrant-edge" in figure.note


def test_a_peer_that_could_not_run_is_named() -> None:
    found = [
        measured("search", 2.0),
        measured("left out: No module named 'chromadb'", float("nan"), subject="Chroma"),
    ]
    assert "- Chroma: left out: No module named 'chromadb'" in page.made(
        {"vectors-10k": run_of(*found)}
    )


def test_every_goal_is_about_a_part_and_a_figure_that_there_are() -> None:
    """A name that changes in a part would leave its goal "not measured" for ever."""
    from benchmarks import parts

    asked: set[str] = set()

    class Parts(dict[str, Run]):
        def __contains__(self, name: object) -> bool:
            asked.add(str(name))
            return False

    for goal in GOALS:
        assert goal.figure(Parts()) is None
    assert asked <= set(parts.full(Path()))


def test_results_kept_in_the_repository_are_read_back_and_newer_ones_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, before = tmp_path / "results.duckdb", run_of(measured("trend", 1.0))
    monkeypatch.setattr(results, "FILE", file)
    monkeypatch.setattr(results, "KEPT", tmp_path / "latest.json")
    results.keep({"x": before, "y": before}, results.KEPT)
    assert results.kept(results.KEPT) == {"x": before, "y": before}
    newer = replace(run_of(measured("trend", 2.0)), at=before.at + timedelta(days=1))
    results.save(newer, file)
    monkeypatch.setattr(results.kept, "__defaults__", (results.KEPT,))
    assert results.latest_parts("full", file) == {"x": newer, "y": before}


def test_the_page_shows_what_is_kept() -> None:
    """So that no figure stands in it that is not in the repository."""
    shown = page.made(
        results.kept(), [path.name for path in sorted(PICTURES.glob("performance-*.svg"))]
    )
    assert shown == page.PAGE.read_text()
