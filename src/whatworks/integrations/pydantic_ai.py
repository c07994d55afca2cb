"""Pydantic AI (extra ``pydantic-ai``): a capability of agents."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whatworks.integrations._run import Judge, Told, Watcher, missing

try:
    from pydantic_ai import ModelMessage, ModelRequest, ModelResponse, RunContext, UserPromptPart
    from pydantic_ai.capabilities import (
        AbstractCapability,
        ValidatedToolArgs,
        WrapRunHandler,
        WrapToolExecuteHandler,
    )
    from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, SkipToolExecution
    from pydantic_ai.messages import ToolCallPart
    from pydantic_ai.run import AgentRunResult
    from pydantic_ai.tools import ToolDefinition
except ImportError as error:
    raise missing("pydantic-ai") from error

if TYPE_CHECKING:
    from whatworks.memory import Memory
    from whatworks.tracking import Attempt

__all__ = ["WhatWorks"]


class WhatWorks(AbstractCapability[Any]):
    """Tells an agent what worked in situations like this, and learns from its tools and its end.

    For ``Agent(..., capabilities=[WhatWorks(memory)])``. A call of a tool is a try of ``Use the tool
    NAME``: it failed if the tool raised, or asked for a retry. What was
    suggested and followed has the outcome of the run, the rest is
    ``not_used``. What is deferred or waits for approval says nothing.

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
            memory, "pydantic-ai", pattern=pattern, limit=limit, tools=tools, outcome=outcome
        )
        self._told = Told()
        self._calls: list[tuple[str, str]] = []

    # -- what it is told --------------------------------------------------------------------------

    async def for_run(self, ctx: RunContext[Any]) -> WhatWorks:
        """Ask what works, once a run."""
        mine = copy.copy(self)
        mine._told = await asyncio.to_thread(self._watcher.tell, lambda: _asked(ctx))
        mine._calls = []
        return mine

    def get_instructions(self) -> str | None:
        """What works, beside the instructions of the agent; nothing where nothing is known."""
        return self._told.text or None

    # -- what it does -----------------------------------------------------------------------------

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: ValidatedToolArgs,
        handler: WrapToolExecuteHandler,
    ) -> Any:
        """Record the call as a try."""
        self._calls.append((call.tool_name, f"{call.tool_name} {args}"))
        if not self._watcher.tools:
            return await handler(args)
        async with self._watcher.tool(call.tool_name, self._told, session_id=ctx.run_id) as attempt:
            with _deferred(attempt):
                return await handler(args)

    # -- how it ends ------------------------------------------------------------------------------

    async def wrap_run(self, ctx: RunContext[Any], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Close what the run was told."""
        try:
            result = await handler()
        except BaseException as error:
            # A run that is cancelled has no time to wait for a thread.
            self._ended(ctx, lambda: (ctx.messages, ""), error)
            raise
        await asyncio.to_thread(
            self._ended, ctx, lambda: (result.new_messages(), str(result.output)), None
        )
        return result

    def _ended(
        self,
        ctx: RunContext[Any],
        seen: Callable[[], tuple[Sequence[ModelMessage], str]],
        error: BaseException | None,
    ) -> None:
        self._watcher.safely(
            "the end of a run was not read", lambda: self._close(ctx, *seen(), error), None
        )

    def _close(
        self,
        ctx: RunContext[Any],
        messages: Sequence[ModelMessage],
        output: str,
        error: BaseException | None,
    ) -> None:
        answers = [message.text for message in messages if isinstance(message, ModelResponse)]
        self._watcher.ended(
            self._told,
            error,
            tools=[name for name, _ in self._calls],
            done=[*(done for _, done in self._calls), *(said for said in answers if said)],
            said=output,
            session_id=ctx.run_id,
        )


@contextmanager
def _deferred(attempt: Attempt) -> Iterator[None]:
    try:
        yield
    except (ApprovalRequired, CallDeferred, SkipToolExecution):  # not run, or not yet
        attempt.state = "not_used"
        raise


def _asked(ctx: RunContext[Any]) -> str | None:
    """The prompt of the run, else the last one of the messages that it goes on from."""
    if ctx.prompt is not None:
        return _text(ctx.prompt)
    parts = (
        part
        for message in reversed(ctx.messages)
        if isinstance(message, ModelRequest)
        for part in reversed(message.parts)
    )
    return next((_text(part.content) for part in parts if isinstance(part, UserPromptPart)), None)


def _text(prompt: str | Sequence[Any]) -> str:
    """What a prompt says, without its pictures and files."""
    return prompt if isinstance(prompt, str) else "\n".join(p for p in prompt if isinstance(p, str))
