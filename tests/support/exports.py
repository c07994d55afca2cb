"""What tracing tools export, in small; and the tries that a memory holds after an import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whatworks import Memory

Tries = list[tuple[str, str | None, float | None, str]]


def tries(memory: Memory) -> Tries:
    names = {pattern.pattern_id: pattern.description for pattern in memory.patterns()}
    found = [(names[e.pattern_id], e.context, e.outcome, e.state) for e in memory.events()]
    return sorted(found, key=str)


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


LANGFUSE = (
    {
        "id": "t1", "name": "answer-ticket", "timestamp": "2026-05-01T10:00:00.000Z",
        "input": {"messages": [
            {"role": "system", "content": "You help."}, {"role": "user", "content": "refund me"},
        ]},
        "sessionId": "s1",
    },
    {
        "id": "o1", "traceId": "t1", "type": "TOOL", "name": "find_order", "level": "ERROR",
        "startTime": "2026-05-01T10:00:01Z", "endTime": "2026-05-01T10:00:01.500Z",
        "input": {"query": "order 7"},
    },
    {
        "id": "sc1", "name": "helpfulness", "traceId": "t1", "dataType": "NUMERIC", "value": 0.75,
        "source": "ANNOTATION", "timestamp": "2026-05-01T11:00:00Z",
    },
)  # fmt: skip
LANGSMITH = (
    {
        "id": "r1", "name": "agent", "run_type": "chain", "start_time": "2026-05-01T10:00:00",
        "end_time": "2026-05-01T10:00:02", "inputs": {"question": "refund me"}, "trace_id": "r1",
    },
    {
        "id": "r2", "name": "find_order", "run_type": "tool", "start_time": "2026-05-01T10:00:00",
        "end_time": "2026-05-01T10:00:01", "inputs": {"input": "order 7"}, "error": None,
    },
    {
        "id": "f1", "run_id": "r1", "key": "correct", "score": 1,
        "feedback_source": {"type": "app"}, "created_at": "2026-05-01T11:00:00",
    },
)  # fmt: skip
MLFLOW = {
    "info": {
        "trace_id": "tr-1", "request_time": "2026-05-01T10:00:00Z", "state": "OK",
        "execution_duration_ms": 1500, "request_preview": json.dumps({"question": "refund me"}),
        "tags": {"mlflow.traceName": "agent"},
        "assessments": [
            {
                "assessment_id": "a1", "assessment_name": "correctness", "valid": True,
                "source": {"source_type": "LLM_JUDGE", "source_id": "judge"},
                "feedback": {"value": "yes"},
            },
            {"assessment_name": "expected", "expectation": {"value": "a refund"}},
        ],
    },
    "data": {"spans": []},
}  # fmt: skip


def attribute(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


OTLP: dict[str, Any] = {
    "resourceSpans": [{"scopeSpans": [{"spans": [
        {
            "traceId": "aa", "spanId": "b1", "name": "execute_tool find_order",
            "startTimeUnixNano": "1777629600000000000", "endTimeUnixNano": "1777629600250000000",
            "status": {"code": 2},
            "attributes": [
                attribute("gen_ai.operation.name", stringValue="execute_tool"),
                attribute("gen_ai.tool.name", stringValue="find_order"),
                attribute("error.type", stringValue="timeout"),
            ],
        },
        {
            "traceId": "aa", "spanId": "b2", "name": "invoke_agent support",
            "startTimeUnixNano": "1777629600000000000", "endTimeUnixNano": "1777629602000000000",
            "status": {},
            "attributes": [
                attribute("gen_ai.agent.name", stringValue="support"),
                attribute("gen_ai.input.messages", stringValue=json.dumps(
                    [{"role": "user", "parts": [{"type": "text", "content": "refund me"}]}]
                )),
            ],
            "events": [{"name": "gen_ai.evaluation.result", "attributes": [
                attribute("gen_ai.evaluation.name", stringValue="relevance"),
                attribute("gen_ai.evaluation.score.value", doubleValue=0.25),
            ]}],
        },
        {"traceId": "aa", "spanId": "b3", "name": "chat", "attributes": [], "status": {}},
    ]}]}]
}  # fmt: skip


# A trace as it is downloaded: its observations within it, all their scores beside them.
NESTED = {
    **LANGFUSE[0],
    "observations": [
        {**LANGFUSE[1], "scores": [{**LANGFUSE[2], "id": "sc3", "observationId": "o1", "value": 0.5}]},
        {
            "id": "o2", "traceId": "t1", "parentObservationId": "o1", "type": "GENERATION",
            "name": "draft", "startTime": "2026-05-01T10:00:02Z", "input": "write an answer",
        },
    ],
    "scores": [
        {**LANGFUSE[2], "observationId": None},
        {**LANGFUSE[2], "id": "sc4", "observationId": "o2", "value": 1},
    ],
}  # fmt: skip
MLFLOW_SPANS = {
    "info": {
        **MLFLOW["info"],
        "assessments": [
            {**MLFLOW["info"]["assessments"][0], "assessment_id": "a2", "span_id": "00f067aa0ba902b7"},
        ],
    },
    "data": {"spans": [
        {
            "span_id": "00f067aa0ba902b6", "parent_span_id": "00f067aa0ba902b7", "name": "find_order",
            "start_time_unix_nano": 1777629600000000000, "end_time_unix_nano": 1777629600500000000,
            "status": {"code": "ERROR", "message": "no such order"},
            "attributes": {
                "mlflow.spanType": json.dumps("TOOL"),
                "mlflow.spanInputs": json.dumps({"query": "order 7"}),
            },
        },
        {
            "span_id": "00f067aa0ba902b7", "parent_span_id": None, "name": "answer",
            "start_time_unix_nano": 1777629600000000000, "end_time_unix_nano": 1777629601000000000,
            "status": {"code": "OK", "message": None},
            "attributes": {
                "mlflow.spanType": json.dumps("CHAIN"),
                "mlflow.spanInputs": json.dumps({"question": "refund me"}),
            },
        },
    ]},
}  # fmt: skip


def evaluated(value: float = 0.75, **record: Any) -> dict[str, Any]:
    """The log record of an evaluation; ``record`` replaces its fields, ``None`` removes one."""
    held = {
        "timeUnixNano": "1777629605000000000", "traceId": "aa", "spanId": "b3",
        "eventName": "gen_ai.evaluation.result",
        "attributes": [
            attribute("gen_ai.evaluation.name", stringValue="relevance"),
            attribute("gen_ai.evaluation.score.value", doubleValue=value),
        ],
        **record,
    }  # fmt: skip
    kept = {name: one for name, one in held.items() if one is not None}
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [kept]}]}]}


EVALUATED = evaluated()
