"""The loop as an agent of LangChain: the middleware tells it what works and learns from its tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from world import TOOLS, FailedError, FakeModel, Task, tasks, tell

from whatworks import Memory
from whatworks.integrations.langchain import WhatWorksMiddleware


class Model(BaseChatModel):
    """Calls one tool, and then says that it is done."""

    fake: Any

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Any, **more: Any) -> Model:
        return self

    def _generate(self, messages: list[BaseMessage], *more: Any, **others: Any) -> ChatResult:
        if isinstance(messages[-1], ToolMessage):
            answer = AIMessage("done")
        else:
            name = self.fake.choose(messages[0].text)
            answer = AIMessage("", tool_calls=[{"name": name, "args": {}, "id": "1"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def run(store: Path, seed: int) -> list[bool]:
    """Do all tasks; whether each was mended at the first try."""
    now: list[Task] = []
    mended: list[bool] = []

    def tool(name: str) -> BaseTool:
        def attempt() -> str:
            mended.append(name in now[-1].mended_by)
            try:
                return now[-1].attempt(name)
            except FailedError as error:
                raise ToolException(str(error)) from error

        return StructuredTool.from_function(
            attempt, name=name, description=TOOLS[name], handle_tool_error=True
        )

    with Memory.open(store) as memory:
        tell(memory)
        agent = create_agent(
            Model(fake=FakeModel(seed)),
            tools=[tool(name) for name in TOOLS],
            system_prompt="Mend what the user reports with one tool.",
            middleware=[WhatWorksMiddleware(memory, limit=len(TOOLS))],
        )
        for task in tasks(seed):
            now.append(task)
            agent.invoke({"messages": [{"role": "user", "content": task.text}]})
    return mended
