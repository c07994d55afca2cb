"""OpenTelemetry (extra ``otel``): outcomes from the spans of others, and spans of a memory's own.

Names are those of the conventions for generative AI, which are still in development
(https://github.com/open-telemetry/semantic-conventions-genai); those of
``whatworks.*`` are ours.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from whatworks.errors import InvalidInputError
from whatworks.ids import content_id
from whatworks.integrations._run import TOOL, missing, situation_of, tool_pattern
from whatworks.outcome_words import said
from whatworks.records import NewEvent, Suggestion, UsageEvent
from whatworks.tracking import known, missed

try:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
    from opentelemetry.trace import Span, StatusCode, TracerProvider
except ImportError as error:
    raise missing("otel") from error

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["WhatWorksProcessor", "instrument"]

T = TypeVar("T")
Key = tuple[int, int]

OPERATION = "gen_ai.operation.name"
ERROR = "error.type"
EVALUATION = "gen_ai.evaluation.result"
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
PATTERN, PREDICTION, SITUATION = "whatworks.pattern.id", "whatworks.prediction.id", "whatworks.context"
# Labels of evaluators that are no words for an outcome elsewhere.
_LABELS = {"correct": 1.0, "incorrect": 0.0, "relevant": 1.0, "not_relevant": 0.0}
# Outcomes that one span tells as evaluations; exporters keep no more events of a span.
EVALUATED = 128
# Spans whose evaluations are still put together.
KEPT = 10_000


class WhatWorksProcessor(SpanProcessor):
    """Learns from spans that end: of tools that are executed, and of whatever is evaluated.

    For ``TracerProvider.add_span_processor``, and for
    ``LoggerProvider.add_log_record_processor`` where evaluations are log records. A span
    ``execute_tool`` is a try of ``Use the tool NAME``; it failed if its status is an
    error or it has ``error.type``. An event ``gen_ai.evaluation.result`` has the last
    word: of several the mean. Its label counts if it is a word for an outcome,
    else its score if that lies in [0, 1]. Evaluated spans of
    agents are tries of ``Ask the agent NAME``, those with ``whatworks.pattern.id`` of that pattern,
    others are left alone. ``whatworks.prediction.id`` names the prediction.

    Parameters
    ----------
    memory
        What is told.
    situation
        Makes the context of a try from its span. Default: the attribute ``whatworks.context``.
    """

    def __init__(
        self, memory: Memory, *, situation: Callable[[ReadableSpan], str | None] | None = None
    ) -> None:
        self._memory = memory
        self._situation = situation
        self._lock = threading.Lock()
        self._scores: OrderedDict[Key, list[float]] = OrderedDict()
        # Spans that were recorded; an evaluation corrects what was.
        self._recorded: OrderedDict[Key, None] = OrderedDict()
        # Spans that are a try once somebody evaluates them.
        self._waiting: OrderedDict[Key, ReadableSpan] = OrderedDict()

    def on_end(self, span: ReadableSpan) -> None:
        """Record a span that is a try."""
        try:
            self._ended(span)
        except Exception as error:  # noqa: BLE001 - it is not what the caller asked for
            missed(self._memory, f"the span {span.name!r} was not recorded", error)

    def on_emit(self, log_record: Any) -> None:
        """Take an evaluation from a log record."""
        record = log_record.log_record
        attributes = record.attributes or {}
        name = getattr(record, "event_name", None) or attributes.get("event.name")
        score = _score(attributes) if name == EVALUATION else None
        if score is None or not record.span_id:
            return
        try:
            self._scored((record.trace_id, record.span_id), score)
        except Exception as error:  # noqa: BLE001 - as above
            missed(self._memory, "an evaluation was not recorded", error)

    def shutdown(self) -> None:
        """Nothing to do: the memory is its owner's to close."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits: what was recorded is recorded."""
        return True

    def _ended(self, span: ReadableSpan) -> None:
        attributes, place = span.attributes or {}, span.get_span_context()
        if _pattern(attributes) is None or place is None:
            return
        key = (place.trace_id, place.span_id)
        found = [_score(event.attributes or {}) for event in span.events if event.name == EVALUATION]
        scores = self._put(key, [score for score in found if score is not None])
        failed = span.status.status_code is StatusCode.ERROR or ERROR in attributes
        if scores:
            outcome = sum(scores) / len(scores)
        elif attributes.get(OPERATION) == "execute_tool":
            outcome = 0.0 if failed else 1.0
        else:
            with self._lock:
                _keep(self._waiting, key, span)
            return
        self._record(key, span, outcome)

    def _record(self, key: Key, span: ReadableSpan, outcome: float) -> None:
        attributes = span.attributes or {}
        named = _pattern(attributes)
        assert named is not None
        tool = attributes.get("gen_ai.tool.name")
        session = _text(attributes.get("gen_ai.conversation.id")) or f"{key[0]:032x}"
        metadata = {"framework": "otel"}
        if ERROR in attributes:
            metadata["error"] = str(attributes[ERROR])
        self._memory.record_many(
            [
                NewEvent(
                    known(self._memory, *named),
                    outcome=outcome,
                    context=self._context(span),
                    event_id=_event(key),
                    session_id=session,
                    tools=[str(tool)] if tool else [],
                    duration_ms=((span.end_time or 0) - (span.start_time or 0)) / 1e6,
                    prediction_id=_text(attributes.get(PREDICTION)),
                    metadata=metadata,
                )
            ]
        )
        with self._lock:
            _keep(self._recorded, key, None)

    def _context(self, span: ReadableSpan) -> str | None:
        if self._situation is None:
            return situation_of((span.attributes or {}).get(SITUATION), self._memory.secrets)
        return situation_of(self._situation(span), self._memory.secrets)

    def _put(self, key: Key, scores: Sequence[float]) -> list[float]:
        """All the scores of a span that are known so far."""
        with self._lock:
            there = [*self._scores.get(key, ()), *scores]
            if scores:
                _keep(self._scores, key, there)
            return there

    def _scored(self, key: Key, score: float) -> None:
        scores = self._put(key, [score])
        with self._lock:
            span, there = self._waiting.pop(key, None), key in self._recorded
        outcome = sum(scores) / len(scores)
        if span is not None:
            self._record(key, span, outcome)
        elif there:
            self._memory.resolve(_event(key), outcome=outcome)


def instrument(memory: Memory, tracer_provider: TracerProvider | None = None) -> Callable[[], None]:
    """Have ``memory`` say in spans what it does, until the function returned is called.

    ``suggest`` is a span ``search_memory``, ``record`` and whatever else records tries one
    ``create_memory``, with an event ``gen_ai.evaluation.result`` for each outcome, at most 128.
    What was asked and answered stands in them only if
    ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` is ``true``.

    Parameters
    ----------
    memory
        An open one; only this handle of the store is changed.
    tracer_provider
        Default: the global one.
    """
    tracer = trace.get_tracer("whatworks", tracer_provider=tracer_provider)
    suggest, record_many = memory.suggest, memory.record_many

    def spanned(operation: str, call: Callable[[], T], told: Callable[[Span, T], None]) -> T:
        with tracer.start_as_current_span(operation) as span:
            span.set_attribute(OPERATION, operation)
            try:
                found = call()
            except Exception as error:
                span.set_attribute(ERROR, type(error).__qualname__)
                raise
            told(span, found)
            return found

    @functools.wraps(suggest)
    def suggest_(context: str, **options: Any) -> Suggestion:
        return spanned("search_memory", lambda: suggest(context, **options), _suggested)

    @functools.wraps(record_many)
    def record_many_(events: Iterable[NewEvent | Mapping[str, Any]]) -> list[UsageEvent]:
        return spanned("create_memory", lambda: record_many(events), _recorded)

    vars(memory).update(suggest=suggest_, record_many=record_many_)

    def undo() -> None:
        vars(memory).pop("suggest", None)
        vars(memory).pop("record_many", None)

    return undo


def _suggested(span: Span, made: Suggestion) -> None:
    answers = made.prediction.answers
    span.set_attribute("gen_ai.memory.record.count", len(answers))
    span.set_attribute(PREDICTION, made.prediction_id)
    if _captures():
        span.set_attribute("gen_ai.memory.query.text", made.prediction.context)
        records = [
            {
                "id": answer.pattern_id,
                "content": answer.pattern.description,
                "score": answer.expected,
                "metadata": {"verdict": answer.verdict},
            }
            for answer in answers
        ]
        span.set_attribute("gen_ai.memory.records", orjson.dumps(records).decode())


def _recorded(span: Span, events: Sequence[UsageEvent]) -> None:
    span.set_attribute("gen_ai.memory.record.count", len(events))
    if len(events) == 1:
        span.set_attribute("gen_ai.memory.record.id", events[0].event_id)
        span.set_attribute(PATTERN, events[0].pattern_id)
    for event in events[:EVALUATED]:
        if event.outcome is not None:
            told: dict[str, str | float] = {
                "gen_ai.evaluation.name": "whatworks.outcome",
                "gen_ai.evaluation.score.value": event.outcome,
                PATTERN: event.pattern_id,
            }
            if event.prediction_id:
                told[PREDICTION] = event.prediction_id
            span.add_event(EVALUATION, told)
    if _captures():
        records = [
            {
                "id": event.event_id,
                "content": event.context or "",
                "metadata": {"pattern_id": event.pattern_id, "outcome": event.outcome},
            }
            for event in events
        ]
        span.set_attribute("gen_ai.memory.records", orjson.dumps(records).decode())


def _captures() -> bool:
    return os.environ.get(CONTENT, "").strip().lower() in ("true", "1", "span_only", "span_and_event")


def _pattern(attributes: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a span is a try of, and its type."""
    if given := _text(attributes.get(PATTERN)):
        # Spans of the memory itself say what they are of, and are no tries.
        return None if str(attributes.get(OPERATION)).endswith("_memory") else (given, "run")
    if tool := _text(attributes.get("gen_ai.tool.name")):
        return tool_pattern(tool), TOOL
    if agent := _text(attributes.get("gen_ai.agent.name")):
        return f"Ask the agent {agent}", "run"
    return None


def _score(attributes: Mapping[str, Any]) -> float | None:
    """The outcome that an evaluation says, if it says one."""
    for part in ("label", "value"):
        value = attributes.get(f"gen_ai.evaluation.score.{part}")
        if isinstance(value, str) and value.casefold() in _LABELS:
            return _LABELS[value.casefold()]
        with suppress(InvalidInputError):
            if value is not None:
                return said(value).outcome
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _event(key: Key) -> str:
    return f"otel-{content_id(*map(str, key))}"


def _keep(there: OrderedDict[Key, Any], key: Key, value: Any) -> None:
    there[key] = value
    there.move_to_end(key)
    while len(there) > KEPT:
        there.popitem(last=False)
