"""The loop of any framework that emits spans of OpenTelemetry: the memory learns from the spans."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from world import TOOLS, FailedError, FakeModel, tasks, tell

from whatworks import Memory
from whatworks.integrations.otel import WhatWorksProcessor


def run(store: Path, seed: int) -> list[bool]:
    """Do all tasks; whether each was mended at the first try."""
    model, mended = FakeModel(seed), []
    with Memory.open(store) as memory:
        tell(memory)
        provider = TracerProvider()
        provider.add_span_processor(WhatWorksProcessor(memory))
        tracer = provider.get_tracer("mender")
        for task in tasks(seed):
            suggestion = memory.suggest(task.text, limit=len(TOOLS))
            tool = model.choose(suggestion.text)
            attributes = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": tool,
                "whatworks.context": task.text,
                "whatworks.prediction.id": suggestion.prediction_id,
            }
            with (
                suppress(FailedError),
                tracer.start_as_current_span(f"execute_tool {tool}", attributes=attributes),
            ):
                task.attempt(tool)
            mended.append(tool in task.mended_by)
    return mended
