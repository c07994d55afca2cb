"""What each tracing tool keeps where: scores of what lies within traces, and calls of tools."""

from __future__ import annotations

import base64
import json
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
    Tries,
    attribute,
    evaluated,
    lines,
    tries,
)
from whatworks import Memory
from whatworks.importers.scores import import_scores

FIND = "Use the tool find_order"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        yield opened


def taken(memory: Memory, file: Path, **options: Any) -> Tries:
    """The tries after an import in which nothing was skipped, and which adds nothing when repeated."""
    assert import_scores(memory, file, **options).skipped == []
    assert import_scores(memory, file, **options).written["events"] == 0
    return tries(memory)


# -- Langfuse -------------------------------------------------------------------------------------


def test_a_score_of_an_observation_is_an_outcome_of_its_tool(memory: Memory, tmp_path: Path) -> None:
    score = {**LANGFUSE[2], "observationId": "o1"}
    assert taken(memory, lines(tmp_path / "a.jsonl", *LANGFUSE[:2], score)) == [
        (FIND, "order 7", 0.75, "resolved")
    ]


def test_observations_within_a_trace_are_runs_and_their_scores_are_theirs(
    memory: Memory, tmp_path: Path
) -> None:
    assert taken(memory, lines(tmp_path / "a.jsonl", NESTED)) == [
        (FIND, "order 7", 0.5, "resolved"),
        ("answer-ticket", "refund me", 0.75, "resolved"),
        ("draft", "write an answer", 1.0, "resolved"),
    ]
    assert {event.session_id for event in memory.events()} == {"s1"}


def test_a_trace_within_its_observations_and_one_beside_them_are_the_same(
    memory: Memory, tmp_path: Path
) -> None:
    observations: Any = NESTED["observations"]
    scores: Any = [*NESTED["scores"], *observations[0]["scores"]]  # type: ignore[misc]
    apart = {"trace": LANGFUSE[0], "observations": observations, "scores": scores}
    (tmp_path / "apart.json").write_text(json.dumps(apart))
    found = taken(memory, lines(tmp_path / "nested.jsonl", NESTED))
    assert import_scores(memory, tmp_path / "apart.json").written["events"] == 0
    assert tries(memory) == found


def test_a_tool_within_a_trace_that_nobody_scored_is_a_try_as_well(
    memory: Memory, tmp_path: Path
) -> None:
    trace = {**LANGFUSE[0], "observations": [LANGFUSE[1]], "scores": ["sc1"]}
    assert taken(memory, lines(tmp_path / "a.jsonl", trace)) == [(FIND, "order 7", 0.0, "resolved")]


def test_a_score_within_an_observation_is_its_own_though_it_names_the_trace_alone(
    memory: Memory, tmp_path: Path
) -> None:
    trace = {**LANGFUSE[0], "observations": [{**LANGFUSE[1], "scores": [LANGFUSE[2]]}]}
    assert taken(memory, lines(tmp_path / "a.jsonl", trace)) == [(FIND, "order 7", 0.75, "resolved")]


def test_sessions_hold_their_traces(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"id": "s1", "createdAt": "2026", "traces": [NESTED]}))
    assert len(taken(memory, tmp_path / "s.json")) == 3


def test_exports_that_write_their_fields_with_underscores_are_read_alike(
    memory: Memory, tmp_path: Path
) -> None:
    observation = {
        "id": "o1", "trace_id": "t1", "type": "TOOL", "name": "find_order", "level": "DEFAULT",
        "start_time": "2026-05-01 10:00:01", "end_time": "2026-05-01 10:00:02",
        "input": '{"query": "order 7"}',
    }  # fmt: skip
    score = {
        "id": "sc1", "trace_id": "t1", "observation_id": "o1", "name": "right", "source": "EVAL",
        "data_type": "CATEGORICAL", "string_value": "partly",
    }  # fmt: skip
    assert taken(memory, lines(tmp_path / "a.jsonl", observation, score)) == [
        (FIND, "order 7", 0.5, "resolved")
    ]
    (event,) = memory.events()
    assert (event.duration_ms, event.metadata["judge"]) == (1_000, "model")


# -- LangSmith ------------------------------------------------------------------------------------


def test_a_tool_that_still_runs_has_not_worked_yet(memory: Memory, tmp_path: Path) -> None:
    running = {**LANGSMITH[1], "end_time": None, "status": "pending"}
    assert taken(memory, lines(tmp_path / "a.jsonl", LANGSMITH[0], running)) == []
    done = {**LANGSMITH[1], "error": "timeout", "status": "error"}
    assert taken(memory, lines(tmp_path / "b.jsonl", done)) == [(FIND, "order 7", 0.0, "resolved")]


def test_parquet_with_nested_columns_and_times_is_read_like_lines(
    memory: Memory, tmp_path: Path
) -> None:
    query = """
        SELECT 'r1'::VARCHAR AS id, 'chain' AS run_type, 'agent' AS name,
               TIMESTAMPTZ '2026-05-01 12:00:00+02' AS start_time,
               {'messages': [{'role': 'user', 'content': 'refund me'}]} AS inputs,
               NULL AS run_id, NULL AS key, NULL::DECIMAL(4, 2) AS score, NULL AS feedback_source
        UNION ALL SELECT 'f1', NULL, NULL, NULL, NULL, 'r1', 'correct', 4.00, '{"type": "app"}'
    """
    duckdb.sql(f"COPY ({query}) TO '{tmp_path}/a.parquet' (FORMAT parquet)")
    found = taken(memory, tmp_path / "a.parquet", scale=(1.0, 5.0))
    assert found == [("agent", "refund me", 0.75, "resolved")]
    (event,) = memory.events()
    assert event.timestamp.isoformat() == "2026-05-01T10:00:00+00:00"
    assert event.metadata["judge"] == "human"


# -- MLflow ---------------------------------------------------------------------------------------


def test_an_assessment_that_names_a_span_is_an_outcome_of_that_span(
    memory: Memory, tmp_path: Path
) -> None:
    assert taken(memory, lines(tmp_path / "a.jsonl", MLFLOW_SPANS)) == [
        (FIND, "order 7", 0.0, "resolved"),
        ("answer", "refund me", 1.0, "resolved"),
    ]
    tool = next(event for event in memory.events() if event.outcome == 0)
    assert (tool.session_id, tool.duration_ms) == ("tr-1", 500)


def spans(form: str) -> dict[str, Any]:
    """The same spans as earlier versions of MLflow wrote them."""
    data: Any = MLFLOW_SPANS["data"]
    if form == "base64":
        changed = [
            {
                **span,
                "span_id": base64.b64encode(bytes.fromhex(span["span_id"])).decode(),
                "status": {"code": f"STATUS_CODE_{span['status']['code']}", "message": ""},
            }
            for span in data["spans"]
        ]
    else:
        changed = [
            {
                "name": span["name"],
                "context": {"span_id": f"0x{span['span_id']}", "trace_id": "0x1"},
                "start_time": span["start_time_unix_nano"],
                "end_time": span["end_time_unix_nano"],
                "status_code": span["status"]["code"],
                "attributes": span["attributes"],
            }
            for span in data["spans"]
        ]
    return {**MLFLOW_SPANS, "data": {"spans": changed}}


@pytest.mark.parametrize("form", ["base64", "context"])
def test_spans_of_each_version_of_mlflow_are_the_same_spans(
    form: str, memory: Memory, tmp_path: Path
) -> None:
    found = taken(memory, lines(tmp_path / "new.jsonl", MLFLOW_SPANS))
    report = import_scores(memory, lines(tmp_path / "old.jsonl", spans(form)))
    assert (report.skipped, report.written["events"]) == ([], 0)
    assert tries(memory) == found


def test_an_assessment_of_a_span_is_none_of_its_trace(memory: Memory, tmp_path: Path) -> None:
    trace = {**MLFLOW_SPANS, "data": {"spans": []}}
    report = import_scores(memory, lines(tmp_path / "a.jsonl", trace))
    assert (report.read["unmatched"], memory.stats().events) == (1, 0)


def test_an_assessment_that_was_replaced_counts_no_more(memory: Memory, tmp_path: Path) -> None:
    info: Any = MLFLOW["info"]
    replaced = [{**info["assessments"][0], "valid": False}, *info["assessments"][1:]]
    assert taken(memory, lines(tmp_path / "a.jsonl", {"info": {**info, "assessments": replaced}})) == []


# -- OTLP -----------------------------------------------------------------------------------------


def test_an_evaluation_in_a_log_record_is_an_outcome_of_the_span_that_it_names(
    memory: Memory, tmp_path: Path
) -> None:
    spans = {"resourceSpans": OTLP["resourceSpans"]}
    found = taken(memory, lines(tmp_path / "a.jsonl", evaluated(spanId="b1"), EVALUATED, spans))
    assert found == [
        ("Ask the agent support", "refund me", 0.25, "resolved"),
        (FIND, None, 0.75, "resolved"),
        ("chat", None, 0.75, "resolved"),
    ]


def test_an_older_log_record_has_the_name_of_its_event_among_its_attributes(
    memory: Memory, tmp_path: Path
) -> None:
    record = evaluated(eventName=None)
    held = record["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    held["attributes"].append(attribute("event.name", stringValue="gen_ai.evaluation.result"))
    found = taken(memory, lines(tmp_path / "a.jsonl", OTLP, record))
    assert ("chat", None, 0.75, "resolved") in found


def test_log_records_of_other_events_and_metrics_are_passed_over(
    memory: Memory, tmp_path: Path
) -> None:
    rows = (evaluated(eventName="exception"), evaluated(eventName=None), {"resourceMetrics": []}, OTLP)
    assert len(taken(memory, lines(tmp_path / "a.jsonl", *rows))) == 2


def answered(span: str, answer: str) -> dict[str, Any]:
    held = {
        "traceId": "aa", "spanId": span, "name": f"chat {span}",
        "attributes": [attribute("gen_ai.response.id", stringValue=answer)],
    }  # fmt: skip
    return {"resourceSpans": [{"scopeSpans": [{"spans": [held]}]}]}


def test_an_evaluation_without_a_span_names_the_answer_that_a_span_gave(
    memory: Memory, tmp_path: Path
) -> None:
    record = evaluated(spanId=None, traceId=None)
    held = record["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    held["attributes"].append(attribute("gen_ai.response.id", stringValue="r1"))
    file = lines(tmp_path / "a.jsonl", record, answered("c1", "r1"), answered("c2", "r2"))
    assert taken(memory, file) == [("chat c1", None, 0.75, "resolved")]


def test_an_answer_that_several_spans_claim_is_none_of_theirs(memory: Memory, tmp_path: Path) -> None:
    record = evaluated(spanId=None, traceId=None)
    held = record["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    held["attributes"].append(attribute("gen_ai.response.id", stringValue="r1"))
    file = lines(tmp_path / "a.jsonl", record, answered("c1", "r1"), answered("c2", "r1"))
    report = import_scores(memory, file)
    assert (report.read["unmatched"], memory.stats().events) == (1, 0)


def test_the_same_span_id_in_another_trace_is_another_span(memory: Memory, tmp_path: Path) -> None:
    other = json.loads(json.dumps(OTLP).replace('"aa"', '"ab"'))
    assert len(taken(memory, lines(tmp_path / "a.jsonl", OTLP, other))) == 4


def test_ids_in_base64_and_in_capitals_are_the_same_ids(memory: Memory, tmp_path: Path) -> None:
    trace, span = "5B8EFFF798038103D269B633813FC60C", "EEE19B7EC3C1B174"
    spans = {**answered(span, "r")}
    spans["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = trace
    encoded = [base64.b64encode(bytes.fromhex(one)).decode() for one in (trace, span)]
    record = evaluated(traceId=encoded[0], spanId=encoded[1])
    assert len(taken(memory, lines(tmp_path / "a.jsonl", record, spans))) == 1
    assert memory.events()[0].session_id == trace.lower()


def test_an_evaluation_that_is_delivered_twice_is_one(memory: Memory, tmp_path: Path) -> None:
    assert len(taken(memory, lines(tmp_path / "a.jsonl", OTLP, EVALUATED, EVALUATED))) == 3


def test_messages_as_structured_attributes_are_situations(memory: Memory, tmp_path: Path) -> None:
    message = {"kvlistValue": {"values": [
        attribute("role", stringValue="user"), attribute("content", stringValue="refund me"),
    ]}}  # fmt: skip
    spans = answered("b3", "r")
    held = spans["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    held["attributes"].append(attribute("gen_ai.input.messages", arrayValue={"values": [message]}))
    assert taken(memory, lines(tmp_path / "a.jsonl", spans, EVALUATED)) == [
        ("chat b3", "refund me", 0.75, "resolved")
    ]
