"""Spans of OpenTelemetry: outcomes from those of others, and what a memory says in its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, StatusCode, set_span_in_context

from support import runs
from support.runs import ASKED, PIN, known
from whatworks import Memory, NotFoundError
from whatworks.integrations.otel import WhatWorksProcessor, instrument

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
Tries = list[tuple[str, float | None, str]]


class Traced:
    """A program whose spans and log records a memory sees."""

    def __init__(self, memory: Memory, **options: Any) -> None:
        self.processor = WhatWorksProcessor(memory, **options)
        self.spans = TracerProvider()
        self.spans.add_span_processor(self.processor)
        self.logs = LoggerProvider()
        self.logs.add_log_record_processor(self.processor)  # type: ignore[arg-type]

    @contextmanager
    def span(self, **attributes: Any) -> Iterator[Span]:
        named = {name.replace("__", "."): value for name, value in attributes.items()}
        tracer = self.spans.get_tracer("test")
        with tracer.start_as_current_span("a span", attributes=named) as span:
            yield span

    def tool(self, name: str = "look", **attributes: Any) -> Any:
        operation = {"gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": name}
        return self.span(**operation, **attributes)

    def evaluate(self, span: Span, name: str = "gen_ai.evaluation.result", **score: Any) -> None:
        attributes = {f"gen_ai.evaluation.score.{part}": value for part, value in score.items()}
        record = LogRecord(event_name=name, attributes=attributes, context=set_span_in_context(span))
        self.logs.get_logger("test").emit(record)


@pytest.fixture
def traced(memory: Memory) -> Traced:
    return Traced(memory)


def tries(memory: Memory) -> Tries:
    return runs.tries(memory, "otel")


# -- in --------------------------------------------------------------------------------------------


def test_a_tool_that_was_executed_has_worked(memory: Memory, traced: Traced) -> None:
    with traced.tool(whatworks__context=ASKED, gen_ai__conversation__id="talk"):
        pass
    (event,) = memory.events()
    assert (event.outcome, event.context, event.session_id) == (1.0, ASKED, "talk")
    assert event.tools == ("look",)
    assert 0 <= event.duration_ms < 5_000  # type: ignore[operator]
    assert tries(memory) == [("Use the tool look", 1.0, "resolved")]


def test_a_tool_that_raises_has_failed(memory: Memory, traced: Traced) -> None:
    with pytest.raises(LookupError), traced.tool():
        raise LookupError
    assert tries(memory) == [("Use the tool look", 0.0, "resolved")]


def test_a_status_and_a_type_of_error_are_failures(memory: Memory, traced: Traced) -> None:
    with traced.tool() as span:
        span.set_status(StatusCode.ERROR)
    with traced.tool() as span:
        span.set_attribute("error.type", "timeout")
    assert tries(memory) == [("Use the tool look", 0.0, "resolved")] * 2
    assert memory.events()[0].metadata == {"framework": "otel", "error": "timeout"}


def test_other_spans_are_left_alone(memory: Memory, traced: Traced) -> None:
    with traced.span(gen_ai__operation__name="chat"):
        pass
    with traced.span(gen_ai__operation__name="invoke_agent", gen_ai__agent__name="helper"):
        pass
    with traced.span():
        pass
    assert memory.events() == []
    assert memory.untracked == 0


@pytest.mark.parametrize(
    ("score", "outcome"),
    [
        ({"value": 0.25}, 0.25),
        ({"label": "pass"}, 1.0),
        ({"label": "fail", "value": 1.0}, 0.0),
        ({"label": "not_relevant", "value": 1.0}, 0.0),
        ({"label": "purple", "value": 0.75}, 0.75),
    ],
)
@pytest.mark.parametrize("logged", [False, True])
def test_an_evaluation_has_the_last_word(
    memory: Memory, traced: Traced, score: dict[str, Any], outcome: float, logged: bool
) -> None:
    with traced.tool() as span:
        if logged:
            traced.evaluate(span, **score)
        else:
            attributes = {f"gen_ai.evaluation.score.{part}": value for part, value in score.items()}
            span.add_event("gen_ai.evaluation.result", attributes)
    assert tries(memory) == [("Use the tool look", outcome, "resolved")]


def test_an_evaluation_that_comes_later_corrects_and_several_have_a_mean(
    memory: Memory, traced: Traced
) -> None:
    with traced.tool() as span:
        pass
    traced.evaluate(span, value=0.5)
    assert tries(memory) == [("Use the tool look", 0.5, "resolved")]
    traced.evaluate(span, value=0.0)
    assert tries(memory) == [("Use the tool look", 0.25, "resolved")]


def test_an_agent_is_judged_once_it_is_evaluated(memory: Memory, traced: Traced) -> None:
    agent = {"gen_ai__operation__name": "invoke_agent", "gen_ai__agent__name": "helper"}
    with traced.span(**agent) as span:
        pass
    traced.evaluate(span, label="correct")
    with traced.span(**agent) as span:
        traced.evaluate(span, label="incorrect")
    assert tries(memory) == [
        ("Ask the agent helper", 0.0, "resolved"),
        ("Ask the agent helper", 1.0, "resolved"),
    ]


def test_a_span_may_name_its_pattern_and_its_prediction(memory: Memory, traced: Traced) -> None:
    known(memory)
    made = memory.suggest(ASKED)
    with traced.span(
        whatworks__pattern__id="pin",
        whatworks__prediction__id=made.prediction_id,
        whatworks__context=ASKED,
    ) as span:
        traced.evaluate(span, value=1.0)
    assert tries(memory) == [(PIN, 1.0, "resolved")]
    assert memory.calibration().resolved == 1


@pytest.mark.parametrize("score", [{}, {"value": 4.0}, {"label": "purple"}])
def test_an_evaluation_that_says_no_outcome_is_passed_over(
    memory: Memory, traced: Traced, score: dict[str, Any]
) -> None:
    with traced.tool() as span:
        traced.evaluate(span, **score)
        traced.evaluate(span, name="another.event", value=0.0)
    assert tries(memory) == [("Use the tool look", 1.0, "resolved")]
    assert memory.untracked == 0


def test_the_situation_may_be_made_from_the_span(memory: Memory) -> None:
    def situation(span: ReadableSpan) -> str | None:
        return f"in {span.name}"

    with Traced(memory, situation=situation).tool():
        pass
    assert memory.events()[0].context == "in a span"


def test_a_store_that_is_closed_stops_no_program(memory: Memory, traced: Traced) -> None:
    memory.close()
    with traced.tool() as span:
        pass
    traced.evaluate(span, value=1.0)
    assert memory.untracked == 1
    assert traced.spans.force_flush()


# -- out -------------------------------------------------------------------------------------------


@pytest.fixture
def spans(memory: Memory) -> Iterator[Callable[[], Any]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.add_span_processor(WhatWorksProcessor(memory))
    known(memory)
    undo = instrument(memory, provider)
    yield exporter.get_finished_spans
    undo()


def test_a_suggestion_is_a_span_without_what_was_said(memory: Memory, spans: Any) -> None:
    made = memory.suggest(ASKED)
    (span,) = spans()
    assert span.name == "search_memory"
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "search_memory",
        "gen_ai.memory.record.count": 2,
        "whatworks.prediction.id": made.prediction_id,
    }


def test_a_try_is_a_span_however_it_is_recorded_and_teaches_nothing_twice(
    memory: Memory, spans: Any
) -> None:
    event = memory.record("pin", outcome=1.0, context="secret")
    with memory.track("pin", context="secret"):
        pass
    memory.record_many([{"pattern_id": "pin", "outcome": 1.0}, {"pattern_id": "pin", "outcome": 0.0}])
    assert [span.name for span in spans()] == ["create_memory"] * 3
    assert dict(spans()[0].attributes) == {
        "gen_ai.operation.name": "create_memory",
        "gen_ai.memory.record.count": 1,
        "gen_ai.memory.record.id": event.event_id,
        "whatworks.pattern.id": "pin",
    }
    assert spans()[2].attributes["gen_ai.memory.record.count"] == 2
    assert tries(memory) == []


def test_each_outcome_is_an_evaluation_in_its_span(memory: Memory, spans: Any) -> None:
    prediction = memory.predict(ASKED).prediction_id
    memory.record("pin", outcome=0.25, prediction_id=prediction)
    memory.record("pin", outcome=None, state="not_used")
    memory.record_many([{"pattern_id": "pin", "outcome": 1.0}] * 300)
    scored, unused, many = spans()
    (event,) = scored.events
    assert (event.name, dict(event.attributes)) == (
        "gen_ai.evaluation.result",
        {
            "gen_ai.evaluation.name": "whatworks.outcome",
            "gen_ai.evaluation.score.value": 0.25,
            "whatworks.pattern.id": "pin",
            "whatworks.prediction.id": prediction,
        },
    )
    assert (len(unused.events), len(many.events)) == (0, 128)


def test_what_was_said_stands_in_it_if_that_is_wanted(
    memory: Memory, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CAPTURE, "true")
    memory.suggest(ASKED)
    memory.record("pin", outcome=1.0, context=ASKED, event_id="e")
    asked, told = spans()
    assert asked.attributes["gen_ai.memory.query.text"] == ASKED
    assert PIN in {
        found["content"] for found in orjson.loads(asked.attributes["gen_ai.memory.records"])
    }
    assert orjson.loads(told.attributes["gen_ai.memory.records"]) == [
        {"id": "e", "content": ASKED, "metadata": {"pattern_id": "pin", "outcome": 1.0}}
    ]


def test_an_error_is_that_of_the_memory_and_stands_in_the_span(memory: Memory, spans: Any) -> None:
    with pytest.raises(NotFoundError):
        memory.record("nobody", outcome=1.0)
    (span,) = spans()
    assert span.attributes["error.type"] == "NotFoundError"
    assert span.status.status_code is StatusCode.ERROR


def test_it_can_be_undone(memory: Memory) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrument(memory, provider)()
    memory.add_pattern(PIN, pattern_id="pin")
    memory.record("pin", outcome=1.0)
    assert exporter.get_finished_spans() == ()
