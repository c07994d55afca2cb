"""MLflow: traces with their assessments and spans, as ``Trace.to_json`` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from whatworks.readers.scores.fields import (
    Row,
    first,
    hex_id,
    mapping,
    maps,
    moment,
    nanoseconds,
    number,
    plain,
    seconds,
    situation,
    text,
)
from whatworks.readers.scores.found import Found, Run, Score, Unread

__all__ = ["found", "is_trace"]

JUDGES = {"HUMAN": "human", "LLM_JUDGE": "model", "CODE": "code"}
FAILED = ("ERROR", "STATUS_CODE_ERROR")


def is_trace(row: Row) -> bool:
    """Whether it holds what is known of a trace."""
    return "trace_id" in mapping(row.get("info"))


def found(row: Row) -> Iterator[Found]:
    """The trace, its spans, and the scores of both."""
    info = mapping(row["info"])
    if not (trace := text(info["trace_id"])):
        yield Unread("a trace has no id")
        return
    took = number(info.get("execution_duration_ms"))
    yield Run(
        trace,
        text(mapping(info.get("tags")).get("mlflow.traceName")) or "trace",
        situation(info.get("request_preview")),
        moment(info.get("request_time")),
        None if took is None else took / 1e3,
    )
    for span in maps(mapping(row.get("data")).get("spans")):
        yield _span(span, trace)
    for one in maps(info.get("assessments")):
        if one.get("valid") is not False and mapping(one.get("feedback")):
            yield _score(one, trace)


def _span(span: Row, trace: str) -> Found:
    # The second of the forms it has had keeps ids in a context, and other names for the rest.
    name = hex_id(first(span, "span_id") or mapping(span.get("context")).get("span_id"))
    if not name:
        return Unread(f"a span of the trace {trace[:100]} has no id")
    held = mapping(span.get("attributes"))
    began = nanoseconds(first(span, "start_time_unix_nano", "start_time"))
    ended = nanoseconds(first(span, "end_time_unix_nano", "end_time"))
    is_tool = text(_loaded(held.get("mlflow.spanType"))).upper() == "TOOL"
    code = first(mapping(span.get("status")), "code") or span.get("status_code")
    return Run(
        f"{trace}/{name}",
        text(span.get("name")),
        situation(held.get("mlflow.spanInputs")),
        began,
        seconds(began, ended),
        trace,
        is_tool,
        code == 2 or text(code).upper() in FAILED if is_tool else None,
    )


def _loaded(value: object) -> Any:
    """An attribute, which MLflow keeps as JSON."""
    try:
        return orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        return value


def _score(one: Row, trace: str) -> Score:
    span = hex_id(one.get("span_id"))
    kind = text(mapping(one.get("source")).get("source_type")).upper()
    return Score(
        f"{trace}/{span}" if span else trace,
        text(one.get("assessment_name")),
        plain(mapping(one["feedback"]).get("value")),
        text(one.get("assessment_id")),
        JUDGES.get(kind, ""),
        text(one.get("create_time")),
    )
