"""Exports of tracing tools: a run that was scored is a try, and so is a tool that was called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support.exports import LANGFUSE, LANGSMITH, MLFLOW, OTLP, Tries, lines, tries
from whatworks import InvalidInputError, Memory
from whatworks.importers.scores import import_scores


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        yield opened


# -- each tool in its own words -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            LANGFUSE,
            [
                ("Use the tool find_order", "order 7", 0.0, "resolved"),
                ("answer-ticket", "refund me", 0.75, "resolved"),
            ],
        ),
        (
            LANGSMITH,
            [
                ("Use the tool find_order", "order 7", 1.0, "resolved"),
                ("agent", "refund me", 1.0, "resolved"),
            ],
        ),
        ((MLFLOW,), [("agent", "refund me", 1.0, "resolved")]),
        (
            (OTLP,),
            [
                ("Ask the agent support", "refund me", 0.25, "resolved"),
                ("Use the tool find_order", None, 0.0, "resolved"),
            ],
        ),
    ],
    ids=["langfuse", "langsmith", "mlflow", "otlp"],
)
def test_scores_and_tools_become_tries_and_the_same_again_writes_nothing(
    rows: tuple[Any, ...], expected: Tries, memory: Memory, tmp_path: Path
) -> None:
    file = lines(tmp_path / "export.jsonl", *rows)
    report = import_scores(memory, file, dry_run=True)
    assert report.written == {"patterns": len(expected), "events": len(expected), "priors": 0}
    assert memory.stats().events == 0
    assert import_scores(memory, file).skipped == []
    assert tries(memory) == expected
    assert import_scores(memory, file).written == {"patterns": 0, "events": 0, "priors": 0}


def test_who_judged_and_when_and_how_long_it_took_are_kept(memory: Memory, tmp_path: Path) -> None:
    import_scores(memory, lines(tmp_path / "a.jsonl", *LANGFUSE))
    import_scores(memory, lines(tmp_path / "b.jsonl", MLFLOW))
    by = {event.metadata.get("judge"): event for event in memory.events()}
    assert by["human"].metadata == {"score": "helpfulness", "judge": "human"}
    assert by["human"].timestamp.isoformat() == "2026-05-01T10:00:00+00:00"
    assert (by["model"].duration_ms, by[None].duration_ms) == (1_500, 500)


def test_an_array_an_object_of_lists_and_parquet_are_read_as_well(tmp_path: Path) -> None:
    held: dict[str, Any] = {"data": [LANGFUSE[0]], "scores": [LANGFUSE[2]]}
    (tmp_path / "object.json").write_text(json.dumps(held))
    (tmp_path / "array.json").write_text(json.dumps([LANGFUSE[0], LANGFUSE[2]]))
    lines(tmp_path / "rows.jsonl", {**LANGSMITH[1], "inputs": json.dumps(LANGSMITH[1]["inputs"])})
    duckdb.sql(
        f"COPY (FROM read_json('{tmp_path}/rows.jsonl')) TO '{tmp_path}/runs.parquet' (FORMAT parquet)"
    )
    (tmp_path / "trace.json").write_text(json.dumps({**LANGFUSE[0], "scores": [LANGFUSE[2]]}))
    for name in ("object.json", "array.json", "trace.json", "runs.parquet"):
        with Memory.open(tmp_path / name.replace(".", "-"), embedder="none") as memory:
            assert import_scores(memory, tmp_path / name).written["events"] == 1
            assert len(tries(memory)) == 1


# -- what a score means is never guessed ----------------------------------------------------------


def scored(value: object, kind: str = "NUMERIC", **more: object) -> tuple[Any, Any]:
    return LANGFUSE[0], {**LANGFUSE[2], "value": value, "dataType": kind, **more}


@pytest.mark.parametrize(
    ("value", "scale", "expected"),
    [(4, (1.0, 5.0), 0.75), (0.2, (1.0, 0.0), 0.8), (1, (0.0, 1.0), 1.0), (-1, (-1.0, 1.0), 0.0)],
)
def test_a_number_is_read_on_the_scale_that_is_given(
    value: float, scale: tuple[float, float], expected: float, memory: Memory, tmp_path: Path
) -> None:
    import_scores(memory, lines(tmp_path / "a.jsonl", *scored(value)), scale=scale)
    assert memory.events()[0].outcome == pytest.approx(expected)


def test_categories_and_booleans_are_words(memory: Memory, tmp_path: Path) -> None:
    for number, row in enumerate(
        (
            scored(None, "CATEGORICAL", stringValue="Passed", id="1"),
            scored(0, "BOOLEAN", id="2"),
            scored(None, "CATEGORICAL", stringValue="skipped", id="3"),
        )
    ):
        import_scores(memory, lines(tmp_path / f"{number}.jsonl", *row), scale=(1.0, 5.0))
    assert [(outcome, state) for _, _, outcome, state in tries(memory)] == [
        (0.0, "resolved"),
        (1.0, "resolved"),
        (None, "not_used"),
    ]


def test_of_several_scores_one_must_be_chosen(memory: Memory, tmp_path: Path) -> None:
    other = {**LANGFUSE[2], "id": "sc2", "name": "toxicity", "value": 0.1}
    file = lines(tmp_path / "a.jsonl", LANGFUSE[0], LANGFUSE[2], other)
    with pytest.raises(InvalidInputError, match=r"helpfulness \(1\), toxicity \(1\)"):
        import_scores(memory, file)
    with pytest.raises(InvalidInputError, match="expected one of helpfulness, toxicity"):
        import_scores(memory, file, score="speed")
    import_scores(memory, file, score="toxicity", scale=(1.0, 0.0))
    assert [outcome for _, _, outcome, _ in tries(memory)] == [0.9]


def test_a_score_without_its_run_and_a_run_without_a_score_teach_nothing(
    memory: Memory, tmp_path: Path
) -> None:
    report = import_scores(memory, lines(tmp_path / "a.jsonl", LANGFUSE[2]))
    assert "export the runs as well" in report.skipped[0].reason
    import_scores(memory, lines(tmp_path / "b.jsonl", LANGFUSE[0]))
    assert memory.stats().events == 0


def test_scores_without_ids_are_several(memory: Memory, tmp_path: Path) -> None:
    score = {name: value for name, value in LANGFUSE[2].items() if name != "id"}
    file = lines(tmp_path / "a.jsonl", LANGFUSE[0], score, {**score, "value": 0.5})
    assert import_scores(memory, file).skipped == []
    assert sorted(outcome or 0 for _, _, outcome, _ in tries(memory)) == [0.5, 0.75]


def test_a_parquet_file_is_its_name_and_no_pattern_of_names(memory: Memory, tmp_path: Path) -> None:
    for name, run in (("a*.parquet", LANGSMITH[1]), ("ab.parquet", {**LANGSMITH[1], "id": "other"})):
        lines(tmp_path / "rows.jsonl", {**run, "inputs": json.dumps(run["inputs"])})
        duckdb.sql(f"COPY (FROM read_json('{tmp_path}/rows.jsonl')) TO '{tmp_path}/{name}'")
    assert import_scores(memory, tmp_path / "a*.parquet").read["runs"] == 1
