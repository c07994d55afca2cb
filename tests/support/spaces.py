"""Namespaces under a root, served in this process."""

from __future__ import annotations

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
from whatworks.spaces.tokens import Keys
from whatworks.testing import HashEmbedder

PORT = 8765
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
FREE = {"per_second": 1e6, "burst": 1_000_000, "at_once": 64}


def opened(folder: Path, source: str) -> Memory:
    return Memory.open(
        folder, embedder=HashEmbedder(16), create=False, source=source, channel="mcp-http",
        durability="process",
    )  # fmt: skip


def filled(root: Path, *names: str) -> None:
    """A store for each name, in which one pattern and its tries hold the name."""
    for name in names:
        with Memory.open(root / name, embedder=HashEmbedder(16), durability="process") as memory:
            memory.add_pattern(f"the way of {name}", pattern_id=f"way-{name}")
            memory.record(f"way-{name}", outcome=1.0, context=f"a case of {name}")
    root.chmod(0o700)


@contextmanager
def served(
    root: Path, *, keys: Finds | None = None, limits: Limits | None = None, pool: Pool | None = None
) -> Iterator[TestClient]:
    """A client of the server of all namespaces, which sends nothing by itself."""
    app = spaces_app(
        pool or Pool(root, opened),
        keys or Keys(root),
        address=Address(PORT),
        limits=limits or Limits(**FREE),  # type: ignore[arg-type]
    )
    with TestClient(app, base_url=f"http://127.0.0.1:{PORT}", raise_server_exceptions=False) as client:
        yield client


def ask(client: TestClient, token: str | None, method: str, **params: Any) -> Any:
    """The response to one request."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = HEADERS | ({} if token is None else {"authorization": f"Bearer {token}"})
    return client.post("/mcp", json=body, headers=headers)


def result(answer: Any) -> dict[str, Any]:
    """What a response holds: the result, or ``{"error": ...}``."""
    import json

    text = answer.text
    line = next((row[6:] for row in text.splitlines() if row.startswith("data: {")), text)
    body = json.loads(line)
    found: dict[str, Any] = body.get("result") or {"error": body["error"]}
    return found


def call(client: TestClient, token: str | None, name: str, **arguments: Any) -> dict[str, Any]:
    """The result of a tool."""
    return result(ask(client, token, "tools/call", name=name, arguments=arguments))


def said(found: dict[str, Any]) -> str:
    """The text of a tool's result."""
    return str(found["content"][0]["text"])
