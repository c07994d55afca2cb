"""Langfuse: traces, observations within or beside them, and their scores."""

from __future__ import annotations

from collections.abc import Iterator

from whatworks.readers.scores.fields import Row, first, maps, moment, plain, seconds, situation, text
from whatworks.readers.scores.found import Found, Run, Score, Unread

__all__ = ["found", "is_run", "is_score"]

# Observations lie in a list; a tool that nests them does not do so without end.
MAX_DEPTH = 32
JUDGES = {"ANNOTATION": "human", "EVAL": "model", "API": "code"}


def is_score(row: Row) -> bool:
    """Whether it has the fields that only a score has; some exports write ``data_type``."""
    return "name" in row and ("dataType" in row or "data_type" in row)


def is_run(row: Row) -> bool:
    """Whether it is a trace or an observation."""
    return (
        "id" in row and "name" in row and first(row, "timestamp", "startTime", "start_time") is not None
    )


def found(row: Row) -> Iterator[Found]:
    """A score, or a run with what lies within it."""
    yield from _score(row) if is_score(row) else _run(row, {}, 0)


def _run(row: Row, within: Row, depth: int) -> Iterator[Found]:
    if not (key := text(row.get("id"))):
        yield Unread("a run has no id")
        return
    began = moment(first(row, "startTime", "start_time", "timestamp"))
    is_tool = text(row.get("type")).upper() == "TOOL"
    session = first(row, "sessionId", "session_id") or within.get("session")
    trace = first(row, "traceId", "trace_id") or within.get("trace")
    yield Run(
        key,
        text(row.get("name")),
        situation(row.get("input")),
        began,
        seconds(began, moment(first(row, "endTime", "end_time"))),
        text(session or trace) or None,
        is_tool,
        text(row.get("level")).upper() == "ERROR" if is_tool else None,
    )
    named = "observationId" if trace else "traceId"
    for score in maps(row.get("scores")):
        # A trace holds the scores of its observations as well, which say so.
        yield from _score({named: key} | {name: one for name, one in score.items() if one is not None})
    inner = {"session": session, "trace": trace or key}
    for observation in maps(row.get("observations")):
        if depth == MAX_DEPTH:
            yield Unread(f"observations are nested more than {MAX_DEPTH} deep")
            return
        yield from _run(observation, inner, depth + 1)


def _score(row: Row) -> Iterator[Found]:
    kind = text(first(row, "dataType", "data_type")).upper()
    value = first(row, "stringValue", "string_value") if kind == "CATEGORICAL" else row.get("value")
    if kind == "BOOLEAN" and value in (0, 1):
        value = bool(value)
    run = first(row, "observationId", "observation_id")
    run = run or first(row, "traceId", "trace_id", "sessionId", "session_id")
    yield Score(
        text(run),
        text(row.get("name")),
        plain(value),
        text(row.get("id")),
        JUDGES.get(text(row.get("source")).upper(), ""),
        text(first(row, "timestamp", "createdAt", "created_at")),
    )
