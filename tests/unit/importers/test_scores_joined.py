"""Scores from other files than their runs, several scores with a scale each, a part of the time."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from support.exports import EVALUATED, LANGFUSE, LANGSMITH, NESTED, OTLP, lines, tries
from whatworks import InvalidInputError, Memory, StoreError
from whatworks.importers.scores import import_scores
from whatworks.importers.scores.joined import joined
from whatworks.readers.scores.found import Run, Score


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "exports" / "below").mkdir(parents=True)
    return tmp_path / "exports"


# -- several files --------------------------------------------------------------------------------


def test_scores_find_their_runs_in_other_files_whatever_the_order(tmp_path: Path) -> None:
    parts = [LANGFUSE[2:], LANGFUSE[:2], (OTLP,), (EVALUATED,), (NESTED,)]
    files = [lines(tmp_path / f"{number}.jsonl", *part) for number, part in enumerate(parts)]
    chance, found = random.Random(7), []
    for number, order in enumerate(chance.sample(list(permutations(files)), 6)):
        with Memory.open(tmp_path / f"store-{number}", embedder="none") as memory:
            report = import_scores(memory, order, score=["helpfulness", "relevance"])
            assert (report.skipped, report.read["unmatched"]) == ([], 0)
            found.append(tries(memory))
            again = import_scores(memory, files, score=["helpfulness", "relevance"])
            assert again.written == {"patterns": 0, "events": 0, "priors": 0}
    assert len(found[0]) == 6
    assert all(one == found[0] for one in found)


def test_a_folder_is_all_exports_below_it_and_nothing_else(memory: Memory, folder: Path) -> None:
    lines(folder / "scores.jsonl", LANGFUSE[2])
    (folder / "below" / "runs.json").write_text(json.dumps([LANGFUSE[0]]))
    (folder / "notes.md").write_text("no export")
    (folder / ".whatworks").mkdir()
    (folder / ".whatworks" / "store.json").write_text("{}")
    report = import_scores(memory, folder)
    assert (report.skipped, report.read["events"]) == ([], 1)


def test_lines_are_lines_under_another_name(memory: Memory, folder: Path) -> None:
    report = import_scores(memory, lines(folder / "lines.json", *LANGFUSE, ["no", "rows"]))
    assert report.read["events"] == 2
    assert [skip.place for skip in report.skipped] == ["line 4", "line 4"]


def test_a_score_whose_run_is_in_no_file_is_counted_and_told(memory: Memory, folder: Path) -> None:
    lines(folder / "runs.jsonl", LANGFUSE[0])
    other = {**LANGFUSE[2], "id": "sc9", "traceId": "t9"}
    nowhere = {**LANGFUSE[2], "id": "sc8", "traceId": None}
    lines(folder / "scores.jsonl", LANGFUSE[2], other, nowhere)
    report = import_scores(memory, folder)
    assert report.read == {"runs": 1, "scores": 3, "unmatched": 2, "unread": 0, "events": 1}
    assert [(Path(skip.path).name, skip.place) for skip in report.skipped] == [
        ("scores.jsonl", "line 2"),
        ("scores.jsonl", "line 3"),
    ]
    assert "'t9' is not there; export the runs as well" in report.skipped[0].reason


def test_a_run_that_two_files_tell_of_is_the_one_that_says_more(tmp_path: Path) -> None:
    less = {name: LANGFUSE[0][name] for name in ("id", "name", "timestamp")}
    files = [
        lines(tmp_path / f"{number}.jsonl", row)
        for number, row in enumerate((less, LANGFUSE[0], LANGFUSE[2]))
    ]
    for number, order in enumerate(permutations(files)):
        with Memory.open(tmp_path / f"store-{number}", embedder="none") as memory:
            import_scores(memory, order)
            assert tries(memory) == [("answer-ticket", "refund me", 0.75, "resolved")]


def test_a_tool_that_ended_says_more_than_the_same_while_it_ran(tmp_path: Path) -> None:
    running = {**LANGSMITH[1], "end_time": None, "status": "pending"}
    failed = {**LANGSMITH[1], "error": "timeout", "end_time": "2026-05-01T10:00:01", "status": "error"}
    for number, rows in enumerate(permutations((running, failed))):
        with Memory.open(tmp_path / f"store-{number}", embedder="none") as memory:
            import_scores(memory, lines(tmp_path / f"{number}.jsonl", *rows))
            assert [outcome for _, _, outcome, _ in tries(memory)] == [0.0]


def test_scores_without_ids_are_the_same_in_files_that_overlap(memory: Memory, tmp_path: Path) -> None:
    score = {name: value for name, value in LANGFUSE[2].items() if name not in ("id", "timestamp")}
    first = lines(tmp_path / "a.jsonl", LANGFUSE[0], score, score, {**score, "value": 0.5})
    second = lines(tmp_path / "b.jsonl", {**score, "value": 0.5}, score, score)
    assert import_scores(memory, first).written["events"] == 3
    assert import_scores(memory, [second, first, first, tmp_path / "b.jsonl"]).written["events"] == 0


def test_no_file_at_all_is_refused(memory: Memory, tmp_path: Path, folder: Path) -> None:
    for given in ([], folder, [tmp_path / "none.json"]):
        with pytest.raises(InvalidInputError):
            import_scores(memory, given)


def test_what_waits_for_its_run_waits_on_disk() -> None:
    at, text = "line 1", "x" * 1_000
    with joined() as found:
        found.begin("a.jsonl")
        tracemalloc.start()
        for number in range(20_000):
            found.add(Run(f"r{number}", "run", text), at)
            found.add(Score(f"r{number}", "right", 1.0, f"s{number}"), at)
        assert sum(run is not None for _, _, run in found.scored(["right"])) == 20_000
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4 << 20  # of 20 MB of text


def test_no_room_for_what_waits_is_an_error_of_the_store() -> None:
    with pytest.raises(StoreError, match="cannot be joined"), joined() as found:
        found._con.execute("PRAGMA max_page_count = 20")
        found.begin("a.jsonl")
        for number in range(1_000):
            found.add(Run(f"r{number}", "run", "x" * 1_000), "line 1")


# -- several scores -------------------------------------------------------------------------------

STARS = {**LANGFUSE[2], "id": "sc5", "name": "stars", "value": 4}
HARM = {**LANGFUSE[2], "id": "sc6", "name": "harm", "value": 0.1}


def test_each_score_is_read_on_its_own_scale(memory: Memory, tmp_path: Path) -> None:
    other = {**LANGFUSE[0], "id": "t2"}
    file = lines(tmp_path / "a.jsonl", LANGFUSE[0], other, STARS, {**HARM, "traceId": "t2"})
    scales = {"stars": (1.0, 5.0), "harm": (1.0, 0.0)}
    import_scores(memory, file, score=["stars", "harm"], scales=scales)
    assert [outcome for _, _, outcome, _ in tries(memory)] == [0.75, 0.9]


def test_a_scale_without_a_name_is_that_of_all_others(memory: Memory, tmp_path: Path) -> None:
    other = {**LANGFUSE[0], "id": "t2"}
    file = lines(tmp_path / "a.jsonl", LANGFUSE[0], other, STARS, {**HARM, "traceId": "t2"})
    scales = {"harm": (1.0, 0.0)}
    import_scores(memory, file, score=["stars", "harm"], scale=(0.0, 5.0), scales=scales)
    assert [outcome for _, _, outcome, _ in tries(memory)] == [0.8, 0.9]


def test_a_run_with_several_scores_is_one_try_by_the_one_that_was_named_first(
    memory: Memory, tmp_path: Path
) -> None:
    file = lines(tmp_path / "a.jsonl", LANGFUSE[0], LANGFUSE[2], STARS, HARM)
    import_scores(memory, file, score=["harm", "helpfulness"])
    assert [outcome for _, _, outcome, _ in tries(memory)] == [0.1]


def test_a_name_that_no_score_has_is_refused_wherever_it_stands(memory: Memory, tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", LANGFUSE[0], LANGFUSE[2])
    for options in ({"score": ["helpfulness", "speed"]}, {"scales": {"speed": (1.0, 5.0)}}):
        with pytest.raises(InvalidInputError, match="'speed'; expected one of helpfulness"):
            import_scores(memory, file, **options)  # type: ignore[arg-type]


# -- a part of the time ---------------------------------------------------------------------------


def test_only_what_ran_since_then_is_taken(memory: Memory, tmp_path: Path) -> None:
    later = [
        {**LANGFUSE[0], "id": "t2", "timestamp": "2026-05-02T00:00:00Z"},
        {**LANGFUSE[1], "id": "o2", "startTime": "2026-05-03T00:00:00Z", "endTime": None},
        {**LANGFUSE[2], "id": "sc2", "traceId": "t2", "value": 0.25},
    ]
    file = lines(tmp_path / "a.jsonl", *LANGFUSE, *later)
    report = import_scores(memory, file, since=datetime(2026, 5, 2, tzinfo=UTC))
    assert (report.skipped, report.read["events"]) == ([], 2)
    assert [outcome for _, _, outcome, _ in tries(memory)] == [0.0, 0.25]
    assert import_scores(memory, file).written["events"] == 2


def test_a_run_without_a_time_is_told_where_a_time_is_asked_for(memory: Memory, tmp_path: Path) -> None:
    run: dict[str, Any] = {**LANGSMITH[1], "start_time": None}
    report = import_scores(
        memory, lines(tmp_path / "a.jsonl", run), since=datetime(2026, 5, 2, tzinfo=UTC)
    )
    assert report.read["events"] == 0
    assert "has no time" in report.skipped[0].reason


@pytest.mark.parametrize("since", [datetime(2026, 5, 2), datetime(3026, 5, 2, tzinfo=UTC)])
def test_a_time_without_a_zone_or_ahead_of_the_clock_is_refused(
    since: datetime, memory: Memory, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="since is"):
        import_scores(memory, lines(tmp_path / "a.jsonl", *LANGFUSE), since=since)
