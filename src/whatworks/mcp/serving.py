"""The server on standard input and output, or over HTTP on this machine with a token."""

from __future__ import annotations

import hmac
import os
import secrets
import sys
from collections.abc import Sequence
from typing import Any

from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from whatworks.errors import InvalidInputError

__all__ = ["TOKEN", "http_app", "run_http", "run_stdio"]

# The variable that holds the token; without it one is made for this run.
TOKEN = "WHATWORKS_MCP_TOKEN"
LEAST_TOKEN = 16
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# A record is at most 64 KiB in each of a few fields.
MAX_BODY = 1 << 20


def run_stdio(server: MCPServer) -> None:
    """Serve one client until it closes standard input."""
    server.run("stdio")


def run_http(server: MCPServer, *, port: int, hosts: Sequence[str], origins: Sequence[str]) -> None:
    """Serve on ``127.0.0.1``; clients send the token, under a host name and origin that are allowed."""
    import uvicorn

    token = os.environ.get(TOKEN)
    if token is None:
        token = secrets.token_urlsafe(24)
        print(f"Authorization: Bearer {token}", file=sys.stderr)  # noqa: T201
    app = http_app(server, token=token, port=port, hosts=hosts, origins=origins)
    print(f"http://127.0.0.1:{port}/mcp", file=sys.stderr)  # noqa: T201
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def http_app(
    server: MCPServer,
    *,
    token: str,
    port: int,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> Any:
    """The ASGI application: nothing without the token, whatever the path.

    ``hosts`` and ``origins`` are allowed besides those of the loopback.
    """
    if len(token) < LEAST_TOKEN:
        raise InvalidInputError(f"{TOKEN} has {len(token)} characters; expected {LEAST_TOKEN} or more")
    named = [f"{name}:{port}" for name in LOOPBACK]
    security = TransportSecuritySettings(
        allowed_hosts=[*named, *hosts],
        allowed_origins=[*(f"http://{name}" for name in named), *origins],
    )
    app = server.streamable_http_app(
        transport_security=security, max_request_body_size=MAX_BODY, stateless_http=True
    )
    return _Guarded(app, token)


class _Guarded:
    """Passes on what carries the token, and answers 401 to all else."""

    def __init__(self, app: Any, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body"})
                return
        elif scope["type"] != "lifespan":
            return  # no websockets here
        await self._app(scope, receive, send)
