"""Requests to the MCP server over HTTP, in this process, and the server of namespaces to ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from whatworks import Memory
from whatworks.mcp.address import Address
from whatworks.mcp.gate import Finds, Limits
from whatworks.mcp.pool import Pool
from whatworks.mcp.serving import spaces_app
from whatworks.testing import HashEmbedder

__all__ = ["HEADERS", "PORT", "client_of", "post", "result", "served"]

PORT = 8765
OWN = f"http://127.0.0.1:{PORT}"
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
UNLIMITED = Limits(per_second=1e9, burst=1 << 30, at_once=1 << 30)


@contextmanager
def client_of(app: Any) -> Iterator[TestClient]:
    """A client, for any threads; what the server fails on is an answer, as it is over a network."""
    with TestClient(app, base_url=OWN, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@contextmanager
def served(root: Path, keys: Finds, *, most: int) -> Iterator[TestClient]:
    """A client of the server of all namespaces of a root, of which ``most`` are open at once."""

    def opened(folder: Path, source: str) -> Memory:
        return Memory.open(
            folder, embedder=HashEmbedder(16), durability="process", create=False, source=source,
            channel="mcp-http",
        )  # fmt: skip

    pool = Pool(root, opened, most=most)
    with client_of(spaces_app(pool, keys, address=Address(PORT), limits=UNLIMITED)) as client:
        yield client


def post(client: TestClient, secret: str | None, method: str, params: object) -> Any:
    """The response to one request."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = HEADERS | ({} if secret is None else {"authorization": f"Bearer {secret}"})
    return client.post("/mcp", content=json.dumps(body), headers=headers)


def result(answer: Any) -> dict[str, Any]:
    """The result of a request, or ``{"error": ...}``."""
    text = answer.text
    line = next((row[6:] for row in text.splitlines() if row.startswith("data: {")), text)
    body = json.loads(line)
    found: dict[str, Any] = body.get("result") or {"error": body.get("error")}
    return found
