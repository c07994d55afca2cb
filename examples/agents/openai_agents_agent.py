"""The loop with the OpenAI Agents SDK: instructions tell it what works, traces what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    Model,
    ModelResponse,
    Runner,
    Usage,
    function_tool,
    set_trace_processors,
)
from agents.testing import assistant_message, function_call
from world import TOOLS, FakeModel, Task, tasks, tell

from whatworks import Memory
from whatworks.integrations.openai_agents import WhatWorks


class Scripted(Model):
    """Calls one tool, and then says that it is done."""

    def __init__(self, fake: FakeModel) -> None:
        self.fake = fake

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,  # noqa: A002 - so the SDK calls it
        *more: Any,
        **others: Any,
    ) -> ModelResponse:
        called = not isinstance(input, str) and any(
            item.get("type") == "function_call_output" for item in input
        )
        name = "" if called else self.fake.choose(system_instructions or "")
        answer = assistant_message("done") if called else function_call(name, {}, call_id="1")
        return ModelResponse(output=[answer], usage=Usage(), response_id=None)

    def stream_response(self, *more: Any, **others: Any) -> AsyncIterator[Any]:
        raise NotImplementedError("this loop does not stream")


def run(store: Path, seed: int) -> list[bool]:
    """Do all tasks; whether each was mended at the first try."""
    now: list[Task] = []
    mended: list[bool] = []

    def tool(name: str) -> FunctionTool:
        def attempt() -> str:
            mended.append(name in now[-1].mended_by)
            return now[-1].attempt(name)

        return function_tool(attempt, name_override=name, description_override=TOOLS[name])

    with Memory.open(store) as memory:
        tell(memory)
        works = WhatWorks(memory, limit=len(TOOLS))
        set_trace_processors([works])  # and none that sends traces away
        agent = Agent(
            "mender",
            instructions=works.instructions("Mend what the user reports with one tool."),
            model=Scripted(FakeModel(seed)),
            tools=[tool(name) for name in TOOLS],
        )

        async def all_tasks() -> None:
            for task in tasks(seed):
                now.append(task)
                await Runner.run(agent, task.text, hooks=works.hooks)

        asyncio.run(all_tasks())
        set_trace_processors([])
    return mended
