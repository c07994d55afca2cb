"""LangSmith: runs, and the feedback on them."""

from __future__ import annotations

from collections.abc import Iterator

from whatworks.readers.scores.fields import (
    Row,
    first,
    mapping,
    moment,
    plain,
    seconds,
    situation,
    text,
)
from whatworks.readers.scores.found import Found, Run, Score, Unread

__all__ = ["found", "is_run", "is_score"]

JUDGES = {"app": "human", "model": "model", "api": "code", "auto_eval": "model"}


def is_run(row: Row) -> bool:
    """Whether it has the field that only a run has."""
    return "run_type" in row


def is_score(row: Row) -> bool:
    """Whether it is feedback."""
    return "run_id" in row and "key" in row


def found(row: Row) -> Iterator[Found]:
    """A run, or a score of one."""
    yield _run(row) if is_run(row) else _score(row)


def _run(row: Row) -> Found:
    if not (key := text(row.get("id"))):
        return Unread("a run has no id")
    began = moment(row.get("start_time"))
    is_tool = row["run_type"] == "tool"
    over = is_tool and text(row.get("status")) != "pending"  # else its end is yet to come
    return Run(
        key,
        text(row.get("name")),
        situation(row.get("inputs")),
        began,
        seconds(began, moment(row.get("end_time"))),
        text(row.get("trace_id")) or None,
        is_tool,
        bool(row.get("error")) if over else None,
    )


def _score(row: Row) -> Found:
    kind = text(mapping(row.get("feedback_source")).get("type"))
    return Score(
        text(row["run_id"]),
        text(row["key"]),
        plain(first(row, "score", "value")),
        text(row.get("id")),
        JUDGES.get(kind, kind),
        text(row.get("created_at")),
    )
