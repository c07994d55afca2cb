"""Runs and their scores, as tracing tools export them: Langfuse, LangSmith, MLflow, OTLP.

A run that was scored is a try of what its name says, with the score as outcome; a tool that
was called is a try of ``Use the tool NAME``, which failed if it ended with an error. A run
that nobody scored says nothing: that it ended does not mean that it was right.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from whatworks.checks import shown
from whatworks.errors import InvalidInputError
from whatworks.hooks.spool import trimmed
from whatworks.ids import content_id
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report, printable
from whatworks.integrations._run import TOOL, tool_pattern
from whatworks.json_lines import objects
from whatworks.memory import Memory
from whatworks.outcome_words import said
from whatworks.records import NewEvent, NewPattern
from whatworks.redaction import Secrets
from whatworks.text import clean_text

__all__ = ["import_scores"]

MAX_BYTES = 256 << 20
MAX_CONTEXT = 4_000
# How OpenTelemetry calls the event of a score.
EVALUATION = "gen_ai.evaluation.result"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Run:
    """What ran, in which situation, when; ``failed`` is known of tools alone."""

    name: str
    situation: str = ""
    at: datetime | None = None
    seconds: float | None = None
    session: str | None = None
    is_tool: bool = False
    failed: bool | None = None


@dataclass(frozen=True, slots=True)
class _Score:
    """A score of a run; ``run`` is its id, ``judge`` who gave it: human, model or code."""

    run: str
    name: str
    value: object
    score_id: str
    judge: str = ""


@dataclass(slots=True)
class _Found:
    """What an export holds, in the order it came."""

    runs: dict[str, _Run] = field(default_factory=dict)
    scores: list[_Score] = field(default_factory=list)


def import_scores(
    memory: Memory,
    file: str | os.PathLike[str],
    *,
    score: str | None = None,
    scale: tuple[float, float] = (0.0, 1.0),
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Import an export of at most 256 MiB: JSON, JSON lines or Parquet; the same again writes nothing.

    Parameters
    ----------
    score
        Which score is the outcome. Default: the only one there is.
    scale
        What is worst and what is best on the scale of numbers, as in ``(1, 5)``;
        ``(1, 0)`` where less is better. Default: 0 to 1.
    dry_run
        Find out what would be written, and write nothing.
    progress
        Called with the number of tries read since the last call.

    Raises
    ------
    InvalidInputError
        It is no such export, or holds several scores and none was chosen.
    """
    path, (worst, best) = Path(file), scale
    if worst == best:
        raise InvalidInputError(f"scale is {worst:g} to {best:g}; expected two different numbers")
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise InvalidInputError(f"{path} is no file of at most {MAX_BYTES >> 20} MiB; give an export")
    found = _found(_rows(path))
    if not found.runs and not found.scores:
        raise InvalidInputError(
            f"{path} holds no runs or scores of Langfuse, LangSmith, MLflow or OTLP; "
            "tables of other tools are for: whatworks import table"
        )
    chosen = _chosen(found, score)
    report = Report(read={"runs": len(found.runs), "scores": len(found.scores), "events": 0})
    intake = Intake(memory, report, dry_run=dry_run)
    for number, (at, pattern, event) in enumerate(
        _tries(found, chosen, scale, path, report, memory.secrets), 1
    ):
        report.read["events"] += 1
        intake.event(at, event, pattern=pattern)
        if progress and number % 1_000 == 0:
            progress(1_000)
    intake.finish()
    return report


def _chosen(found: _Found, score: str | None) -> str | None:
    names = Counter(one.name for one in found.scores)
    if score is not None and score not in names:
        raise InvalidInputError(
            f"score is {shown(score)}; expected one of {', '.join(names) or 'none'}"
        )
    if score is None and len(names) > 1:
        listed = ", ".join(f"{name} ({count:,})" for name, count in names.most_common(20))
        raise InvalidInputError(f"there are several scores: {listed}; say which one is the outcome")
    return score or next(iter(names), None)


def _tries(
    found: _Found,
    chosen: str | None,
    scale: tuple[float, float],
    path: Path,
    report: Report,
    secrets: Secrets,
) -> Iterator[tuple[At, NewPattern, NewEvent]]:
    scored = set()
    for number, score in enumerate(found.scores, 1):
        if score.name != chosen:
            continue
        at, run = At(printable(path), f"score {number}"), found.runs.get(score.run)
        if run is None:
            report.skip(at, f"its run {shown(score.run)} is not in the file; export the runs as well")
            continue
        try:
            outcome, state = _outcome(score.value, scale)
        except InvalidInputError as error:
            report.skip(at, str(error))
            continue
        scored.add(score.run)
        about = {"score": score.name, "judge": score.judge}
        yield (
            at,
            *_records(
                run, f"score-{content_id(score.run, score.score_id)}", outcome, state, about, secrets
            ),
        )
    for name, run in found.runs.items():
        if run.is_tool and run.failed is not None and name not in scored:
            at = At(printable(path), f"run {name}")
            yield (
                at,
                *_records(
                    run, f"run-{content_id('tool', name)}", float(not run.failed), None, {}, secrets
                ),
            )


def _outcome(value: object, scale: tuple[float, float]) -> tuple[float | None, Any]:
    """A number on its scale, and whatever people call an outcome."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        worst, best = scale
        share = (value - worst) / (best - worst)
        if not 0 <= share <= 1:
            raise InvalidInputError(
                f"the score is {shown(value)}, which is not from {worst:g} to {best:g}; give the scale"
            )
        return share, None
    told = said(value)
    return told.outcome, None if told.state == "resolved" else told.state


def _records(
    run: _Run,
    event_id: str,
    outcome: float | None,
    state: Any,
    about: Mapping[str, str],
    secrets: Secrets,
) -> tuple[NewPattern, NewEvent]:
    kind = TOOL if run.is_tool else "run"
    name = clean_text(run.name)
    description = tool_pattern(name) if run.is_tool else name or "a run without a name"
    pattern = NewPattern(description, kind, pattern_id=content_id(kind, description))
    event = NewEvent(
        pattern.pattern_id or "",
        outcome=outcome,
        state=state,
        context=clean_text(trimmed(run.situation, secrets), max_bytes=MAX_CONTEXT) or None,
        timestamp=run.at,
        event_id=event_id,
        session_id=run.session,
        duration_ms=None if run.seconds is None else 1e3 * max(run.seconds, 0.0),
        metadata={name: value for name, value in about.items() if value},
    )
    return pattern, event


# -- reading ------------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet(path)
        return
    if suffix == ".json":
        try:
            yield from _flat(orjson.loads(path.read_bytes()))
            return
        except orjson.JSONDecodeError:
            pass  # lines under another name
    yield from objects(path)


def _flat(held: object) -> Iterator[Row]:
    if isinstance(held, list):
        yield from (one for one in held if isinstance(one, dict))
    elif isinstance(held, dict):
        lists = [
            held[name] for name in ("data", "traces", "scores", "runs", "feedback") if name in held
        ]
        rows = [one for one in lists if isinstance(one, list)]
        if rows and not {"id", "info"} & held.keys():  # else it is a trace that holds its scores
            for one in rows:
                yield from _flat(one)
        else:
            yield held


def _parquet(path: Path) -> Iterator[Row]:
    import duckdb

    with duckdb.connect() as con:
        try:
            literal = re.sub(r"([*?\[])", r"[\1]", str(path))  # a name, not a pattern of names
            result = con.execute("SELECT * FROM read_parquet(?)", [literal])
            names = [column[0] for column in result.description]
            while rows := result.fetchmany(1_000):
                yield from (dict(zip(names, row, strict=True)) for row in rows)
        except duckdb.Error as error:
            raise InvalidInputError(f"{path} is no Parquet file: {error}") from error


def _found(rows: Iterable[Row]) -> _Found:
    """Each row by the fields that only its kind has."""
    found = _Found()
    for row in rows:
        if "resourceSpans" in row:
            _otlp(found, row)
        elif isinstance(row.get("info"), Mapping) and "trace_id" in row["info"]:
            _mlflow(found, row["info"])
        elif "run_type" in row:
            _langsmith_run(found, row)
        elif "run_id" in row and "key" in row:
            _langsmith_feedback(found, row)
        elif ("dataType" in row or "data_type" in row) and "name" in row:
            _langfuse_score(found, row)
        elif "id" in row and "name" in row and ("timestamp" in row or "startTime" in row):
            _langfuse_run(found, row)
    return found


def _langfuse_run(found: _Found, row: Row) -> None:
    """A trace, or an observation within one."""
    kind = _text(row.get("type")).upper()
    began, ended = _moment(row.get("startTime") or row.get("timestamp")), _moment(row.get("endTime"))
    found.runs[str(row["id"])] = _Run(
        _text(row["name"]),
        _situation(row.get("input")),
        began,
        _seconds(began, ended),
        _text(row.get("sessionId") or row.get("traceId")) or None,
        kind == "TOOL",
        _text(row.get("level")).upper() == "ERROR" if kind == "TOOL" else None,
    )
    for score in row.get("scores") or ():
        if isinstance(score, Mapping):
            _langfuse_score(found, {"traceId": row["id"], **score})


def _langfuse_score(found: _Found, row: Row) -> None:
    kind = _text(row.get("dataType") or row.get("data_type")).upper()
    value = row.get("stringValue") if kind == "CATEGORICAL" else row.get("value")
    if kind == "BOOLEAN" and value in (0, 1):
        value = bool(value)
    names = ("observationId", "observation_id", "traceId", "trace_id", "sessionId", "session_id")
    run = next((str(row[name]) for name in names if row.get(name)), "")
    judges = {"ANNOTATION": "human", "EVAL": "model", "API": "code"}
    found.scores.append(
        _Score(
            run, _text(row.get("name")), value, _score_id(found, row),
            judges.get(_text(row.get("source")).upper(), ""),
        )
    )  # fmt: skip


def _langsmith_run(found: _Found, row: Row) -> None:
    began, ended = _moment(row.get("start_time")), _moment(row.get("end_time"))
    is_tool = row["run_type"] == "tool"
    found.runs[str(row.get("id"))] = _Run(
        _text(row.get("name")),
        _situation(row.get("inputs")),
        began,
        _seconds(began, ended),
        _text(row.get("trace_id")) or None,
        is_tool,
        bool(row.get("error")) if is_tool else None,
    )


def _langsmith_feedback(found: _Found, row: Row) -> None:
    value = row.get("score") if row.get("score") is not None else row.get("value")
    source = row.get("feedback_source")
    kind = _text(source.get("type")) if isinstance(source, Mapping) else ""
    judge = {"app": "human", "model": "model", "api": "code", "auto_eval": "model"}.get(kind, kind)
    found.scores.append(
        _Score(
            str(row["run_id"]),
            _text(row["key"]),
            value,
            _score_id(found, row),
            judge,
        )
    )


def _mlflow(found: _Found, info: Row) -> None:
    tags = info.get("tags") if isinstance(info.get("tags"), Mapping) else {}
    name, run = str((tags or {}).get("mlflow.traceName") or "trace"), str(info["trace_id"])
    took = info.get("execution_duration_ms")
    found.runs[run] = _Run(
        name,
        _situation(info.get("request_preview")),
        _moment(info.get("request_time")),
        took / 1e3 if isinstance(took, (int, float)) else None,
    )
    for number, one in enumerate(info.get("assessments") or ()):
        told = one.get("feedback") if isinstance(one, Mapping) else None
        if isinstance(told, Mapping) and one.get("valid", True):
            source = one.get("source")
            kind = _text(source.get("source_type")) if isinstance(source, Mapping) else ""
            judge = {"HUMAN": "human", "LLM_JUDGE": "model", "CODE": "code"}.get(kind.upper(), "")
            name = _text(one.get("assessment_name"))
            score_id = str(one.get("assessment_id") or f"{name}-{number}")
            found.scores.append(_Score(run, name, told.get("value"), score_id, judge))


def _otlp(found: _Found, row: Row) -> None:
    for resource in _maps(row["resourceSpans"]):
        for scope in _maps(resource.get("scopeSpans")):
            for span in _maps(scope.get("spans")):
                _span(found, span)


def _span(found: _Found, span: Row) -> None:
    held, run = _attributes(span), str(span.get("spanId"))
    tool = _text(held.get("gen_ai.tool.name"))
    is_tool = held.get("gen_ai.operation.name") == "execute_tool" or bool(tool)
    evaluations = [one for one in _maps(span.get("events")) if one.get("name") == EVALUATION]
    if not is_tool and not evaluations:
        return
    began = _nanoseconds(span.get("startTimeUnixNano"))
    ended = _nanoseconds(span.get("endTimeUnixNano"))
    status = span.get("status")
    code = status.get("code") if isinstance(status, Mapping) else None
    agent = _text(held.get("gen_ai.agent.name"))
    name = tool if is_tool else f"Ask the agent {agent}" if agent else ""
    found.runs[run] = _Run(
        name or _text(span.get("name")),
        _situation(held.get("gen_ai.input.messages") or held.get("gen_ai.prompt")),
        began,
        _seconds(began, ended),
        _text(held.get("gen_ai.conversation.id") or span.get("traceId")) or None,
        is_tool,
        code in (2, "STATUS_CODE_ERROR") or bool(held.get("error.type")) if is_tool else None,
    )
    for number, event in enumerate(evaluations):
        told = _attributes(event)
        value = told.get("gen_ai.evaluation.score.value")
        label = told.get("gen_ai.evaluation.score.label")
        score = _text(told.get("gen_ai.evaluation.name"))
        found.scores.append(
            _Score(run, score, label if value is None else value, f"{score}-{number}", "code")
        )


def _attributes(held: Row) -> dict[str, Any]:
    """OTLP's list of keys and typed values as a mapping; JSON has its whole numbers as text."""
    found: dict[str, Any] = {}
    for one in _maps(held.get("attributes")):
        value = one.get("value")
        if isinstance(value, Mapping):
            kind, typed = next(iter(value.items()), ("", None))
            if kind == "intValue" and re.fullmatch(r"-?\d{1,19}", str(typed)):
                typed = int(str(typed))
            found[str(one.get("key"))] = typed
    return found


def _score_id(found: _Found, row: Row) -> str:
    """The id of a score; one without is known by its place."""
    return str(row.get("id") or f"number {len(found.scores)}")


# -- values -------------------------------------------------------------------------------------------


def _situation(value: object, depth: int = 0) -> str:
    """The text of what a run was given: itself, the last message of the user, or its only text."""
    if isinstance(value, str):
        if value[:1] in "[{" and depth == 0:
            try:
                return _situation(orjson.loads(value), 1)
            except orjson.JSONDecodeError:
                return value
        return value
    if depth > 5:
        return ""
    if isinstance(value, Mapping):
        for name in (
            "messages",
            "input",
            "question",
            "query",
            "prompt",
            "content",
            "text",
            "parts",
            "kwargs",
        ):
            if found := _situation(value.get(name), depth + 1):
                return found
        texts = [one for one in value.values() if isinstance(one, str)]
        return texts[0] if len(texts) == 1 else ""
    if isinstance(value, (list, tuple)):
        users = [
            one for one in _maps(value)
            if _text(one.get("role") or one.get("type")).lower() in ("user", "human")
        ]  # fmt: skip
        told = users or list(value)
        return _situation(told[-1], depth + 1) if told else ""
    return ""


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else "" if value is None else str(value)[:200]


def _maps(value: object) -> list[Row]:
    return (
        [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []
    )


def _seconds(began: datetime | None, ended: datetime | None) -> float | None:
    return (ended - began).total_seconds() if began and ended else None


def _moment(value: object) -> datetime | None:
    """A time as these tools write it; one without a zone is UTC."""
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value / 1e3 if value > 1e11 else value  # some write milliseconds
        return _nanoseconds(int(seconds * 1e9)) if 0 < seconds < 1e11 else None
    else:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _nanoseconds(value: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(str(value).partition(".")[0]) / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return None
