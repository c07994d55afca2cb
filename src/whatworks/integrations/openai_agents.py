"""OpenAI Agents SDK (extra ``openai-agents``): a processor of traces, and instructions."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

from whatworks.integrations._run import Judge, Told, Watcher, missing

try:
    from agents import (
        Agent,
        AgentHookContext,
        RunContextWrapper,
        RunHooks,
        Span,
        Trace,
        TracingProcessor,
        get_current_span,
    )
    from agents.tracing import FunctionSpanData, ResponseSpanData
except ImportError as error:
    raise missing("openai-agents") from error

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["WhatWorks"]


@dataclass(slots=True)
class _Run:
    """A run that is under way; ``told`` is set at its first turn."""

    told: Told | None = None
    tools: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    said: str = ""
    error: BaseException | None = None


class WhatWorks(TracingProcessor):
    """Tells agents what worked in situations like this, and learns from their tools and their end.

    For ``add_trace_processor(works)``, ``Agent(instructions=works.instructions("..."))`` and
    ``Runner.run(..., hooks=works.hooks)``: the trace tells which tools failed and how runs ended,
    the hooks what was answered, which traces say of some models only. With
    tracing disabled nothing is learned. A call of a tool is a try of
    ``Use the tool NAME``. What was suggested and followed has the outcome of the run, the rest is
    ``not_used``.

    Parameters
    ----------
    memory
        What is asked and told.
    pattern
        An id or a description: what a run as a whole is a try of, such as a prompt. Default: nothing.
    limit
        How many patterns are suggested; 0 suggests nothing.
    tools
        Whether calls of tools are recorded.
    outcome
        Makes the outcome of a run from its output as text; ``None`` is not known. Default: what ends
        without an exception has worked.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        pattern: str | None = None,
        limit: int = 3,
        tools: bool = True,
        outcome: Judge | None = None,
    ) -> None:
        self._watcher = Watcher(
            memory, "openai-agents", pattern=pattern, limit=limit, tools=tools, outcome=outcome
        )
        self._lock = threading.Lock()
        # The run that each open span belongs to, by the span's id.
        self._runs: dict[str, _Run] = {}
        self.hooks: RunHooks[Any] = _Answers(self._answered)

    # -- what it is told --------------------------------------------------------------------------

    def instructions(
        self, base: str = ""
    ) -> Callable[[RunContextWrapper[Any], Agent[Any]], Awaitable[str]]:
        """Instructions of an agent: ``base``, and what works, which is asked once a run."""

        async def told(context: RunContextWrapper[Any], agent: Agent[Any]) -> str:
            run = self._current() or _Run()
            if run.told is None:
                items = context.turn_input
                run.told = await asyncio.to_thread(self._watcher.tell, lambda: _asked(items))
            return "\n\n".join(filter(None, (base, run.told.text)))

        return told

    def _answered(self, output: object) -> None:
        run = self._current()
        if run is not None:
            run.said = self._watcher.safely("an answer was not read", lambda: str(output), "")

    def _current(self) -> _Run | None:
        span = get_current_span()
        return None if span is None else self._runs.get(span.span_id)

    # -- what it does -----------------------------------------------------------------------------

    def on_span_start(self, span: Span[Any]) -> None:
        """Find the run that a span belongs to."""
        with self._lock:
            outer = self._runs.get(span.parent_id or "")
            if span.span_data.type == "task" or (outer is None and span.span_data.type == "agent"):
                self._runs[span.span_id] = _Run()
            elif outer is not None:
                self._runs[span.span_id] = outer

    def on_span_end(self, span: Span[Any]) -> None:
        """Record the call of a tool as a try, and close what a run was told."""
        with self._lock:
            run = self._runs.pop(span.span_id, None)
            outer = self._runs.get(span.parent_id or "")
        if run is None:
            return
        data = span.span_data
        if isinstance(data, FunctionSpanData):
            self._called(run, data, span)
        elif isinstance(data, ResponseSpanData) and data.response is not None:
            run.said = data.response.output_text or run.said
        elif data.type in ("agent", "task"):
            if span.error is not None:
                run.error = RuntimeError(span.error["message"])
            if run is not outer:
                self._ended(run, span.trace_id)

    def _called(self, run: _Run, data: FunctionSpanData, span: Span[Any]) -> None:
        run.tools.append(data.name)
        run.done.append(f"{data.name} {data.input or ''}")
        if self._watcher.tools:
            tool = self._watcher.tool(data.name, run.told or Told(), session_id=span.trace_id)
            with tool as attempt:
                attempt.outcome = 1.0 if span.error is None else 0.0
                attempt.started = perf_counter() - _seconds(span)

    def _ended(self, run: _Run, session_id: str) -> None:
        self._watcher.ended(
            run.told or Told(),
            # A span says only of some exceptions that the run ended with them.
            sys.exc_info()[1] or run.error,
            tools=run.tools,
            done=run.done,
            said=run.said,
            session_id=session_id,
        )

    def on_trace_start(self, trace: Trace) -> None:
        """A trace may hold several runs: their spans tell."""

    def on_trace_end(self, trace: Trace) -> None:
        """As ``on_trace_start``."""

    def shutdown(self) -> None:
        """Forget the runs that are under way; the memory is its owner's to close."""
        with self._lock:
            self._runs.clear()

    def force_flush(self) -> None:
        """Nothing waits: what was recorded is recorded."""


class _Answers(RunHooks[Any]):
    """Hands on what agents answer."""

    def __init__(self, answered: Callable[[object], None]) -> None:
        self._answered = answered

    async def on_agent_end(
        self, context: AgentHookContext[Any], agent: Agent[Any], output: Any
    ) -> None:
        self._answered(output)


def _seconds(span: Span[Any]) -> float:
    if span.started_at is None or span.ended_at is None:
        return 0.0
    took = datetime.fromisoformat(span.ended_at) - datetime.fromisoformat(span.started_at)
    return max(took.total_seconds(), 0.0)


def _asked(items: Sequence[Any]) -> str | None:
    """The last message of a user."""
    for item in reversed(items):
        if isinstance(item, Mapping) and item.get("role") == "user":
            content = item.get("content")
            if isinstance(content, str):
                return content
            return "\n".join(part.get("text", "") for part in content or ())
    return None
