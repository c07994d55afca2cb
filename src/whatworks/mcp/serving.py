"""The server on standard input and output, or over HTTP with a token, or tokens."""

from __future__ import annotations

import hmac
import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mcp.server import MCPServer

from whatworks import ports
from whatworks.errors import InvalidInputError
from whatworks.mcp.gate import Finds, Gate, Limits
from whatworks.mcp.many import Many
from whatworks.spaces.tokens import Token

if TYPE_CHECKING:
    from whatworks.mcp.address import Address
    from whatworks.mcp.pool import Pool

__all__ = ["TOKEN", "http_app", "run_http", "run_spaces", "run_stdio", "spaces_app"]

# The variable that holds the token; without it one is made for this run.
TOKEN = "WHATWORKS_MCP_TOKEN"
LEAST_TOKEN = 16
# A record is at most 64 KiB in each of a few fields.
MAX_BODY = 1 << 20


def run_stdio(server: MCPServer) -> None:
    """Serve one client until it closes standard input."""
    server.run("stdio")


def run_http(server: MCPServer, *, address: Address) -> None:
    """Serve one memory; clients send the token, under a host name and origin that are allowed."""
    given = os.environ.get(TOKEN)
    token = secrets.token_urlsafe(24) if given is None else given
    said = () if given is not None else (f"Authorization: Bearer {token}",)
    _listen(http_app(server, token=token, address=address), address, said)


def run_spaces(pool: Pool, keys: Finds, *, address: Address) -> None:
    """Serve all namespaces; clients send a token of theirs."""
    _listen(spaces_app(pool, keys, address=address), address)


def _listen(app: Any, address: Address, said: Sequence[str] = ()) -> None:
    """Serve until the process is told to end; what is ``said``, and where, once clients may connect."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", server_header=False, **address.tls())
    taken = ports.taken(address.host, address.port)
    for line in (*said, address.url):
        print(line, file=sys.stderr)  # noqa: T201
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=taken)


def http_app(server: MCPServer, *, token: str, address: Address, limits: Limits | None = None) -> Any:
    """The ASGI application of one memory: nothing without the token, whatever the path."""
    if len(token) < LEAST_TOKEN:
        raise InvalidInputError(f"{TOKEN} has {len(token)} characters; expected {LEAST_TOKEN} or more")
    return Gate(_app(server, address), _OneKey(token), limits)


def spaces_app(pool: Pool, keys: Finds, *, address: Address, limits: Limits | None = None) -> Any:
    """The ASGI application of many: nothing without a token, and with one what it opens."""
    return Gate(_app(Many(pool), address), keys, limits)


def _app(server: MCPServer, address: Address) -> Any:
    # Nothing is kept between requests, so that each of them is answered for its own token alone.
    return server.streamable_http_app(
        transport_security=address.security(), max_request_body_size=MAX_BODY, stateless_http=True
    )


class _OneKey:
    """Finds the one token there is, which opens the one memory there is."""

    def __init__(self, token: str) -> None:
        self._expected = token.encode()
        self._token = Token("all", (), True, "", datetime.now(UTC), None)

    def find(self, given: str) -> Token | None:
        """As a header has it: each character is a byte."""
        same = hmac.compare_digest(given.encode("latin-1", "replace"), self._expected)
        return self._token if same else None
