"""One server for many namespaces: what a client sees and reaches is what its token opens.

The tools are those of ``server``. Which memory they mean is decided here, before they are called, by
the token that the request came with; where that is missing, nothing is answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError

from whatworks import __version__
from whatworks.checks import shown
from whatworks.errors import InvalidInputError, WhatWorksError
from whatworks.mcp.gate import GRANT
from whatworks.mcp.server import INSTRUCTIONS, fill
from whatworks.spaces.tokens import Token

if TYPE_CHECKING:
    from whatworks.findings import Prediction
    from whatworks.mcp.pool import Pool
    from whatworks.mcp.source import Source
    from whatworks.memory import Memory

__all__ = ["Many"]

ARGUMENT = "namespace"
# The token of the request that is being answered, and the memory that its call is about.
_token: ContextVar[Token] = ContextVar("whatworks_token")
_source: ContextVar[Source] = ContextVar("whatworks_source")
_MARK = f"?{ARGUMENT}="


class _Chosen:
    """What the tools ask: the memory that the present call is about, and no other."""

    def memory(self) -> Memory:
        return _source.get().memory()

    def own_id(self, given: str | None) -> str | None:
        return _source.get().own_id(given)

    def showed(self, made: Prediction, session: str) -> None:
        """Nothing: hooks of clients write on other machines."""


class Many(MCPServer[Any]):
    """The server over a pool of namespaces; requests have to come through a ``gate.Gate``."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

        @asynccontextmanager
        async def lifespan(_: MCPServer[Any]) -> AsyncIterator[None]:
            pool.watch()
            try:
                yield
            finally:
                pool.close()

        super().__init__(
            "whatworks",
            title="What works",
            instructions=INSTRUCTIONS,
            version=__version__,
            lifespan=lifespan,
            log_level="WARNING",
        )
        fill(self, _Chosen())
        self._reading = {
            tool.name
            for tool in self._tool_manager.list_tools()
            if tool.annotations is not None and tool.annotations.read_only_hint
        }
        self.middleware.append(self._granted)

    async def _granted(self, ctx: Any, call_next: Any) -> Any:
        """Let a request be answered for the token that it came with."""
        token = ctx.request.scope[GRANT]  # without one it ends here
        marked = _token.set(token)
        try:
            return await call_next(ctx)
        finally:
            _token.reset(marked)

    async def list_tools(self) -> list[Any]:
        token = _token.get()
        tools = [tool for tool in await super().list_tools() if self._may(token, tool.name)]
        if len(token.namespaces) == 1:
            return tools
        return [tool.model_copy(update={"input_schema": _asking(tool, token)}) for tool in tools]

    def _may(self, token: Token, name: str) -> bool:
        return token.writes or name in self._reading

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        token = _token.get()
        if not self._may(token, name):
            raise ToolError(f"this token may only read; {shown(name)} is not for it")
        given = dict(arguments)
        try:
            namespace = _chosen(token, given.pop(ARGUMENT, None))
        except InvalidInputError as error:
            raise ToolError(str(error)) from error
        async with self._using(namespace, token, ToolError):
            return await super().call_tool(name, given, context)

    async def list_resources(self) -> list[Any]:
        found = await super().list_resources()
        return [
            item.model_copy(update={"uri": f"{item.uri}{mark}"}) for item in found for mark in _marks()
        ]

    async def list_resource_templates(self) -> list[Any]:
        found = await super().list_resource_templates()
        return [
            item.model_copy(update={"uri_template": f"{item.uri_template}{mark}"})
            for item in found
            for mark in _marks()
        ]

    async def read_resource(self, uri: Any, context: Any = None) -> Any:
        token = _token.get()
        plain, mark, named = str(uri).rpartition(_MARK)
        try:
            namespace = _chosen(token, named if mark else None)
        except InvalidInputError as error:
            raise ResourceNotFoundError(str(error)) from error
        async with self._using(namespace, token, ResourceError):
            return await super().read_resource(plain if mark else uri, context)

    @asynccontextmanager
    async def _using(
        self, namespace: str, token: Token, failure: type[Exception]
    ) -> AsyncIterator[None]:
        """Have the tools mean a namespace; opening it may take a while, and others go on meanwhile."""
        try:
            source = await anyio.to_thread.run_sync(self._pool.take, namespace, token.source)
        except WhatWorksError as error:
            raise failure(str(error)) from error
        marked = _source.set(source)
        try:
            yield
        finally:
            _source.reset(marked)
            self._pool.give_back(namespace)


def _chosen(token: Token, given: object) -> str:
    """The namespace that is meant: of the token's own, or none, whether there is such a one or not."""
    if given is None and len(token.namespaces) == 1:
        return token.namespaces[0]
    if given in token.namespaces:
        return str(given)
    own = ", ".join(token.namespaces)
    raise InvalidInputError(f"namespace is {shown(given)}; expected one of {own}")


def _marks() -> list[str]:
    """What tells the resources of several namespaces apart."""
    own = _token.get().namespaces
    return [""] if len(own) == 1 else [f"{_MARK}{name}" for name in own]


def _asking(tool: Any, token: Token) -> Mapping[str, Any]:
    """The arguments of a tool, and which memory is meant."""
    schema: dict[str, Any] = tool.input_schema
    chosen = {
        "type": "string",
        "enum": list(token.namespaces),
        "description": "Which memory is meant.",
        "title": "Namespace",
    }
    return {
        **schema,
        "properties": {ARGUMENT: chosen, **schema.get("properties", {})},
        "required": [ARGUMENT, *schema.get("required", [])],
    }
