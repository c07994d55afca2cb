"""The loop as an agent of Pydantic AI: a capability tells it what works and learns from its tools."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic_ai import Agent, Tool, ToolFailed
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from world import TOOLS, FailedError, FakeModel, Task, tasks, tell

from whatworks import Memory
from whatworks.integrations.pydantic_ai import WhatWorks


def run(store: Path, seed: int) -> list[bool]:
    """Do all tasks; whether each was mended at the first try."""
    now: list[Task] = []
    mended: list[bool] = []
    fake = FakeModel(seed)

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if any(isinstance(part, ToolReturnPart) for part in messages[-1].parts):
            return ModelResponse([TextPart("done")])
        return ModelResponse([ToolCallPart(fake.choose(info.instructions or ""), {})])

    def tool(name: str) -> Tool[None]:
        def attempt() -> str:
            mended.append(name in now[-1].mended_by)
            try:
                return now[-1].attempt(name)
            except FailedError as error:
                raise ToolFailed(str(error)) from error

        return Tool(attempt, name=name, description=TOOLS[name])

    with Memory.open(store) as memory:
        tell(memory)
        agent = Agent(
            FunctionModel(model),
            tools=[tool(name) for name in TOOLS],
            instructions="Mend what the user reports with one tool.",
            capabilities=[WhatWorks(memory, limit=len(TOOLS))],
        )

        async def all_tasks() -> None:
            for task in tasks(seed):
                now.append(task)
                await agent.run(task.text)

        asyncio.run(all_tasks())
    return mended
