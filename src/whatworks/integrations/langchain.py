"""LangChain and LangGraph (extra ``langchain``): a middleware of agents, and a store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, NotRequired

from whatworks.integrations._run import Judge, Told, Watcher, missing

try:
    from langchain.agents.middleware.types import (
        AgentMiddleware,
        AgentState,
        ModelRequest,
        ModelResponse,
        PrivateStateAttr,
    )
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
    from langgraph.errors import GraphBubbleUp
    from langgraph.prebuilt.tool_node import ToolCallRequest
    from langgraph.runtime import Runtime
    from langgraph.types import Command
except ImportError as error:
    raise missing("langchain") from error

from whatworks.integrations._langgraph_store import WhatWorksStore

if TYPE_CHECKING:
    from whatworks.memory import Memory
    from whatworks.tracking import Attempt

__all__ = ["WhatWorksMiddleware", "WhatWorksStore"]


class _State(AgentState[Any]):
    """What a run was told goes with its state, through checkpoints and interrupts."""

    whatworks: NotRequired[Annotated[dict[str, Any], PrivateStateAttr]]


class WhatWorksMiddleware(AgentMiddleware[_State, Any, Any]):
    """Tells an agent what worked in situations like this, and learns from its tools and its end.

    For ``create_agent(..., middleware=[WhatWorksMiddleware(memory)])``. A call of a tool is a try of
    ``Use the tool NAME``: it failed if the tool raised or answered with
    ``status="error"``. What was suggested and followed has the outcome of
    the run, the rest is ``not_used``. An interrupt says nothing.

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
        Makes the outcome of a run from its last answer; ``None`` is not known. Default: what ends
        without an exception has worked.
    """

    state_schema = _State

    def __init__(
        self,
        memory: Memory,
        *,
        pattern: str | None = None,
        limit: int = 3,
        tools: bool = True,
        outcome: Judge | None = None,
    ) -> None:
        super().__init__()
        self._watcher = Watcher(
            memory, "langchain", pattern=pattern, limit=limit, tools=tools, outcome=outcome
        )

    # -- what it is told --------------------------------------------------------------------------

    def before_agent(self, state: _State, runtime: Runtime[Any]) -> dict[str, Any]:
        """Ask what works, once a run."""
        return {"whatworks": asdict(self._watcher.tell(lambda: _asked(state)))}

    async def abefore_agent(self, state: _State, runtime: Runtime[Any]) -> dict[str, Any]:
        """As ``before_agent``."""
        return await asyncio.to_thread(self.before_agent, state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Put it at the end of the system message."""
        with self._watched(request.state):
            return handler(_told_to(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As ``wrap_model_call``."""
        with self._watched(request.state):
            return await handler(_told_to(request))

    # -- what it does -----------------------------------------------------------------------------

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Record the call as a try."""
        with self._watched(request.state):
            if not self._watcher.tools:
                return handler(request)
            with self._watcher.tool(request.tool_call["name"], _told(request.state)) as attempt:
                with _interrupts(attempt):
                    answer = handler(request)
                _judge(attempt, answer)
                return answer

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """As ``wrap_tool_call``."""
        with self._watched(request.state):
            if not self._watcher.tools:
                return await handler(request)
            async with self._watcher.tool(request.tool_call["name"], _told(request.state)) as attempt:
                with _interrupts(attempt):
                    answer = await handler(request)
                _judge(attempt, answer)
                return answer

    # -- how it ends ------------------------------------------------------------------------------

    def after_agent(self, state: _State, runtime: Runtime[Any]) -> None:
        """Close what the run was told."""
        self._ended(state)

    async def aafter_agent(self, state: _State, runtime: Runtime[Any]) -> None:
        """As ``after_agent``."""
        await asyncio.to_thread(self._ended, state)

    @contextmanager
    def _watched(self, state: Any) -> Iterator[None]:
        """An exception ends the run, as far as can be seen from here; ``after_agent`` corrects it."""
        try:
            yield
        except GraphBubbleUp:
            raise
        except BaseException as error:
            self._ended(state, error)
            raise

    def _ended(self, state: Any, error: BaseException | None = None) -> None:
        self._watcher.safely("the end of a run was not read", lambda: self._close(state, error), None)

    def _close(self, state: Any, error: BaseException | None) -> None:
        since = _since(state)
        calls = [call for message in since for call in getattr(message, "tool_calls", ())]
        self._watcher.ended(
            _told(state),
            error,
            tools=[call["name"] for call in calls],
            done=[f"{call['name']} {call['args']}" for call in calls],
            said=" ".join(message.text for message in since if isinstance(message, AIMessage)),
        )


@contextmanager
def _interrupts(attempt: Attempt) -> Iterator[None]:
    try:
        yield
    except GraphBubbleUp:  # somebody is asked first, and the tool is called again afterwards
        attempt.state = "not_used"
        raise


def _judge(attempt: Attempt, answer: object) -> None:
    if isinstance(answer, ToolMessage) and answer.status == "error":
        attempt.outcome = 0.0


def _told(state: Any) -> Told:
    kept = state.get("whatworks") if isinstance(state, Mapping) else None
    return Told.of(kept)


def _told_to(request: ModelRequest[Any]) -> ModelRequest[Any]:
    text = _told(request.state).text
    if not text:
        return request
    before = request.system_message
    content: list[Any] = [] if before is None else list(before.content_blocks)
    block = {"type": "text", "text": f"\n\n{text}" if content else text}
    return request.override(system_message=SystemMessage([*content, block]))


def _messages(state: Any) -> Sequence[BaseMessage]:
    return state.get("messages", ()) if isinstance(state, Mapping) else ()


def _asked(state: Any) -> str | None:
    """The last message of a human."""
    said = (m.text for m in reversed(_messages(state)) if isinstance(m, HumanMessage))
    return next(said, None)


def _since(state: Any) -> Sequence[BaseMessage]:
    """The messages after the last one of a human."""
    messages = _messages(state)
    asked = [place for place, m in enumerate(messages) if isinstance(m, HumanMessage)]
    return messages[asked[-1] + 1 if asked else 0 :]
