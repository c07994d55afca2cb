"""OTLP as JSON: spans, and evaluations as their events or as log records that name them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from whatworks.readers.scores.fields import (
    Row,
    first,
    hex_id,
    mapping,
    maps,
    nanoseconds,
    plain,
    seconds,
    situation,
    text,
)
from whatworks.readers.scores.found import Found, Run, Score, Unread

__all__ = ["KINDS", "found"]

KINDS = ("resourceSpans", "resourceLogs", "resourceMetrics")
# How OpenTelemetry calls the event of a score.
EVALUATION = "gen_ai.evaluation.result"
RESPONSE = "gen_ai.response.id"
FAILED = (2, "STATUS_CODE_ERROR")
MAX_DEPTH = 16


def found(row: Row) -> Iterator[Found]:
    """All spans, and the evaluations among events and log records."""
    for span in _items(row, "resourceSpans", "scopeSpans", "spans"):
        yield from _span(span)
    for record in _items(row, "resourceLogs", "scopeLogs", "logRecords"):
        yield from _record(record)


def _items(row: Row, resources: str, scopes: str, items: str) -> Iterator[Row]:
    for resource in maps(row.get(resources)):
        for scope in maps(resource.get(scopes)):
            yield from maps(scope.get(items))


def _span(span: Row) -> Iterator[Found]:
    key = _key(span)
    if not key:
        yield Unread("a span has no id")
        return
    held = _attributes(span)
    tool, agent = text(held.get("gen_ai.tool.name")), text(held.get("gen_ai.agent.name"))
    is_tool = held.get("gen_ai.operation.name") == "execute_tool" or bool(tool)
    name = tool if is_tool else f"Ask the agent {agent}" if agent else ""
    began = nanoseconds(span.get("startTimeUnixNano"))
    failed = mapping(span.get("status")).get("code") in FAILED or bool(held.get("error.type"))
    yield Run(
        key,
        name or text(span.get("name")),
        situation(first(held, "gen_ai.input.messages", "gen_ai.prompt")),
        began,
        seconds(began, nanoseconds(span.get("endTimeUnixNano"))),
        text(held.get("gen_ai.conversation.id")) or hex_id(span.get("traceId")) or None,
        is_tool,
        failed if is_tool else None,
        _response(held),
    )
    for event in maps(span.get("events")):
        if event.get("name") == EVALUATION:
            yield _score(key, event, _attributes(event))


def _record(record: Row) -> Iterator[Found]:
    """A log record of an evaluation; others are of no interest."""
    if record.get("eventName") not in (EVALUATION, None, ""):
        return
    held = _attributes(record)
    if EVALUATION in (record.get("eventName"), held.get("event.name")):
        # Where the span is not known, the convention names the answer that it gave.
        yield _score(_key(record) or _response(held), record, held)


def _score(run: str, event: Row, held: Row) -> Score:
    return Score(
        run,
        text(held.get("gen_ai.evaluation.name")),
        plain(first(held, "gen_ai.evaluation.score.value", "gen_ai.evaluation.score.label")),
        "",
        "code",
        text(event.get("timeUnixNano")),
    )


def _key(item: Row) -> str:
    """A span's id is one within its trace only."""
    span = hex_id(item.get("spanId"))
    return f"{hex_id(item.get('traceId'))}/{span}" if span.strip("0") else ""


def _response(held: Row) -> str:
    said = text(held.get(RESPONSE))
    return f"response {said}" if said else ""


def _attributes(held: Row) -> dict[str, Any]:
    """OTLP's list of keys and typed values as a mapping."""
    return {text(one.get("key")): _value(one.get("value"), 0) for one in maps(held.get("attributes"))}


def _value(value: object, depth: int) -> Any:
    """A typed value; JSON has its whole numbers as text."""
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return None
    kind, typed = next(iter(value.items()), ("", None))
    if kind == "intValue" and re.fullmatch(r"-?\d{1,19}", text(typed), re.ASCII):
        return int(text(typed))
    if kind == "arrayValue":
        return [_value(one, depth + 1) for one in maps(mapping(typed).get("values"))]
    if kind == "kvlistValue":
        pairs = maps(mapping(typed).get("values"))
        return {text(one.get("key")): _value(one.get("value"), depth + 1) for one in pairs}
    return typed
