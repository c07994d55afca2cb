"""Exports that somebody broke, by hand or on purpose: what is wrong is told, the rest is taken."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support.exports import (
    EVALUATED,
    LANGFUSE,
    LANGSMITH,
    MLFLOW,
    MLFLOW_SPANS,
    NESTED,
    OTLP,
    lines,
    tries,
)
from support.reading import read_here
from whatworks import InvalidInputError, Memory
from whatworks.importers import Report
from whatworks.importers.scores import import_scores
from whatworks.readers.scores import forms

SPANS = OTLP["resourceSpans"][0]["scopeSpans"][0]["spans"]
ROWS = [*LANGFUSE, *LANGSMITH, MLFLOW, OTLP, EVALUATED, NESTED, MLFLOW_SPANS]


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("hostile") / "store", embedder="none") as opened:
        yield opened


def nested(levels: int, key: str) -> Any:
    held: Any = 1
    for level in range(levels):
        held = [held] if level % 2 else {key: held}
    return held


JUNK: list[Any] = [
    None, True, 0, -1, 1e308, -1e308, 2**63, 10**30, "", "\x00", "x" * 50_000, [], {}, [1], {"a": 1},
    "NaN", "Infinity", "1e999", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "9" * 5_000,
    "{" * 50, "[" * 3_000, "ab==" * 6, "\u202e",
    nested(600, "x"), nested(400, "observations"), nested(300, "data"), nested(300, "arrayValue"),
]  # fmt: skip


def broken(value: Any, chance: random.Random) -> Any:
    """``value`` with some of its parts lost and others replaced."""
    if chance.random() < 0.05:
        return chance.choice(JUNK)
    if isinstance(value, dict):
        return {key: broken(one, chance) for key, one in value.items() if chance.random() > 0.03}
    return [broken(one, chance) for one in value] if isinstance(value, list) else value


NAMES = ("helpfulness", "correct", "relevance", "correctness")


def imported(memory: Memory, file: Path) -> Report | None:
    """What an import says, with the scores that the export still holds; nothing if it is refused."""
    try:
        with read_here():
            return import_scores(memory, file)
    except InvalidInputError as error:
        names = [name for name in NAMES if f"{name} (" in str(error)]
    return import_scores(memory, file, score=names) if names else None


@pytest.mark.parametrize("seed", range(60))
def test_however_an_export_is_broken_it_is_taken_as_far_as_it_goes_and_once(
    seed: int, memory: Memory, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    rows = [broken(row, chance) for row in chance.choices(ROWS, k=8)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    for file in (lines(tmp_path / "a.jsonl", *rows), tmp_path / "a.json"):
        if (report := imported(memory, file)) is not None:
            again = imported(memory, file)
            assert again is not None and again.read == report.read
            assert again.written == {"patterns": 0, "events": 0, "priors": 0}
    assert memory.stats().events > 0


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[1, 2]", '{"name": 1}', "[" * 100_000, '{"info": {"trace_id": 1}', "\x00\xff"],
)
def test_what_is_no_export_is_refused_and_changes_nothing(text: str, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "store", embedder="none") as memory:
        for name in ("a.json", "a.jsonl", "a.parquet"):
            (tmp_path / name).write_text(text)
            with pytest.raises(InvalidInputError):
                import_scores(memory, tmp_path / name)
        assert (memory.stats().patterns, memory.stats().events) == (0, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "exports").mkdir()
    return tmp_path / "exports"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        yield opened


def test_fields_of_wrong_kinds_take_no_other_row_with_them(empty: Memory, tmp_path: Path) -> None:
    wrong: list[Any] = [
        {"id": "x", "name": ["a"], "timestamp": {"b": 1}, "input": [[[[[[[[1]]]]]]]]},
        {"run_type": "tool", "id": None, "name": None, "start_time": "yesterday", "inputs": 7},
        {"info": {"trace_id": "t", "tags": 7, "assessments": [1, {"feedback": {"value": {}}}]}},
        {"resourceSpans": [{"scopeSpans": [{"spans": [7, {"events": [{"name": "x"}]}]}]}]},
        {"resourceSpans": 7},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [7, {"attributes": 7}]}]}]},
        {"run_id": "r", "key": None, "feedback_source": "me"},
        {"run_type": "chain", "id": "y", "name": "late", "start_time": 1e308, "inputs": ""},
        {"run_type": "chain", "id": "z", "name": "early", "start_time": -1e308, "inputs": ""},
        {"name": None, "dataType": None},
    ]
    file = lines(tmp_path / "a.jsonl", *wrong, *LANGFUSE)
    import_scores(empty, file, score="helpfulness")
    assert ("answer-ticket", "refund me", 0.75, "resolved") in tries(empty)


@pytest.mark.usefixtures("read_here")
def test_lines_that_cannot_be_read_are_counted_and_told(
    empty: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MAX_LINE", 2_000)
    file = lines(tmp_path / "a.jsonl", *LANGFUSE)
    wrong = ["{", "[1]", '{"a": 1}', '{"a": ' + "1" * 3_000 + "}", '"text"', '{"score": NaN}']
    file.write_text(file.read_text() + "\n".join(["", *wrong]))
    report = import_scores(empty, file)
    assert report.read == {"runs": 2, "scores": 1, "unmatched": 0, "unread": 6, "events": 2}
    assert [(skip.place, skip.reason.split(":")[0]) for skip in report.skipped] == [
        ("line 5", "is not JSON"),
        ("line 6", "is no JSON object"),
        ("line 7", "is no run and no score of Langfuse, LangSmith, MLflow or OTLP"),
        ("line 8", "has more than 0 MiB"),
        ("line 9", "is no JSON object"),
        ("line 10", "is not JSON"),
    ]


def test_a_document_that_ends_too_early_is_one_fault_and_not_one_a_line(
    empty: Memory, folder: Path
) -> None:
    text = json.dumps([*LANGFUSE], indent=1)
    (folder / "a.json").write_text(text[:-10])
    lines(folder / "b.jsonl", *LANGFUSE)
    report = import_scores(empty, folder)
    assert [skip.place for skip in report.skipped] == ["file"]
    assert report.read["events"] == 2


def test_what_has_no_id_is_told_and_everything_else_taken(empty: Memory, tmp_path: Path) -> None:
    rows = [
        {**LANGFUSE[0], "id": ""},
        {**LANGSMITH[1], "id": None},
        {"info": {"trace_id": None}},
        {"info": {"trace_id": "t"}, "data": {"spans": [{"name": "no id"}]}},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "no id"}, {"spanId": "0000"}]}]}]},
    ]
    report = import_scores(empty, lines(tmp_path / "a.jsonl", *rows, *LANGFUSE))
    assert (report.read["unread"], report.read["events"]) == (6, 2)
    assert all(skip.reason.endswith("has no id") for skip in report.skipped)


def test_observations_within_observations_without_end_are_told(empty: Memory, tmp_path: Path) -> None:
    row: dict[str, Any] = {**LANGFUSE[1], "id": "last", "observations": []}
    for number in range(100):
        row = {**LANGFUSE[1], "id": f"o{number}", "observations": [row]}
    report = import_scores(empty, lines(tmp_path / "a.jsonl", row))
    assert [skip.reason for skip in report.skipped] == ["observations are nested more than 32 deep"]
    assert report.read["events"] == 33


def test_runs_that_are_each_other_s_parents_are_runs_like_others(empty: Memory, tmp_path: Path) -> None:
    spans = [
        {**span, "parentSpanId": other["spanId"]}
        for span, other in zip(SPANS, reversed(SPANS), strict=True)
    ]
    otlp = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    langfuse = [
        {**LANGFUSE[1], "id": one, "parentObservationId": other} for one, other in ("ab", "ba", "cc")
    ]
    report = import_scores(empty, lines(tmp_path / "a.jsonl", otlp, *langfuse))
    assert (report.skipped, report.read["events"]) == ([], 5)


@pytest.mark.parametrize("value", [5, -0.1, 1e300, -1e308, "NaN", "1e999", "superb", None, [1], {}])
def test_a_score_that_means_nothing_here_is_left_out_and_said(
    value: object, empty: Memory, tmp_path: Path
) -> None:
    score = {**LANGFUSE[2], "value": value}
    report = import_scores(empty, lines(tmp_path / "a.jsonl", LANGFUSE[0], score))
    assert empty.stats().events == 0
    assert len(report.skipped) == 1


@pytest.mark.parametrize(
    "value", ["'nan'::DOUBLE", "'inf'::DOUBLE", "170141183460469231731687303715884105727"]
)
def test_numbers_that_only_parquet_has_are_left_out_and_said(
    value: str, empty: Memory, tmp_path: Path
) -> None:
    query = f"""
        SELECT 'r1' AS id, 'chain' AS run_type, 'a' AS name, NULL AS run_id, NULL AS key, NULL AS score
        UNION ALL SELECT 'f1', NULL, NULL, 'r1', 'correct', {value}
    """
    duckdb.sql(f"COPY ({query}) TO '{tmp_path}/a.parquet' (FORMAT parquet)")
    report = import_scores(empty, tmp_path / "a.parquet")
    assert (report.read["scores"], report.read["events"], len(report.skipped)) == (1, 0, 1)


@pytest.mark.parametrize(
    "scale", [(1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf")), (-1e308, 1e308)]
)
def test_a_scale_that_is_none_is_refused(
    scale: tuple[float, float], empty: Memory, tmp_path: Path
) -> None:
    file = lines(tmp_path / "a.jsonl", *LANGFUSE)
    for given in ({"scale": scale}, {"scales": {"helpfulness": scale}}):
        with pytest.raises(InvalidInputError, match="two different numbers"):
            import_scores(empty, file, **given)  # type: ignore[arg-type]


def test_names_of_scores_without_end_make_no_message_without_end(empty: Memory, tmp_path: Path) -> None:
    many = [{**LANGFUSE[2], "id": str(n), "name": f"score-{n}" * 50} for n in range(500)]
    with pytest.raises(InvalidInputError) as refused:
        import_scores(empty, lines(tmp_path / "a.jsonl", LANGFUSE[0], *many))
    assert len(str(refused.value)) < 3_000


def test_a_file_that_cannot_be_read_takes_no_other_with_it(empty: Memory, folder: Path) -> None:
    (folder / "a.parquet").write_text("no table")
    (folder / "b.json").symlink_to("/dev/zero")
    lines(folder / "c.jsonl", *LANGFUSE)
    report = import_scores(empty, folder)
    assert [Path(skip.path).name for skip in report.skipped] == ["a.parquet"]
    assert report.read["events"] == 2


@pytest.mark.usefixtures("read_here")
def test_a_document_that_is_too_large_to_parse_is_told(
    empty: Memory, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MAX_DOCUMENT", 1 << 20)
    (folder / "a.json").write_text(json.dumps([{**LANGFUSE[0], "input": "x" * (1 << 20)}]))
    lines(folder / "b.jsonl", *LANGFUSE)
    report = import_scores(empty, folder)
    assert report.skipped[0].reason == "has more than 1 MiB; give it as JSON lines"
    assert report.read["events"] == 2


def test_secrets_in_what_a_run_was_given_do_not_come_along(empty: Memory, tmp_path: Path) -> None:
    run = {**LANGFUSE[0], "input": "use password=hunter2secret to log in"}
    import_scores(empty, lines(tmp_path / "a.jsonl", run, LANGFUSE[2]))
    (event,) = empty.events()
    assert event.context is not None and "hunter2secret" not in event.context
