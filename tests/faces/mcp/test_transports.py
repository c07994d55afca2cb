"""The MCP server over HTTP and pipes, asked rightly and wrongly."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.testclient import TestClient

from whatworks import InvalidInputError, Memory
from whatworks.mcp.address import Address
from whatworks.mcp.gate import Limits
from whatworks.mcp.server import build
from whatworks.mcp.serving import http_app
from whatworks.mcp.source import Source

TOKEN = "0123456789abcdef-token"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    },
}
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = Source(lambda: Memory.open(tmp_path / "store", embedder="none", channel="mcp"))
    address = Address(port, hosts=["agents.example:443"])
    app = http_app(build(source), token=TOKEN, address=address)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/mcp"
    server.should_exit = True
    thread.join(10)


def test_with_the_token_it_is_the_same_server(url: str) -> None:
    async def main() -> Any:
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            await client.call_tool("record_outcome", {"pattern": "retry", "outcome": "ok"})
            return await client.read_resource("whatworks://summary")

    (summary,) = asyncio.run(main()).contents
    assert summary.text.startswith("1 patterns, 1 tries")


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": f"Bearer {TOKEN}", "host": "evil.example"}, 421),
        ({"authorization": f"Bearer {TOKEN}", "origin": "http://evil.example"}, 403),
        ({"authorization": f"Bearer {TOKEN}", "host": "agents.example:443"}, 200),
        ({"authorization": f"Bearer {TOKEN}"}, 200),
    ],
)
def test_without_the_token_or_from_elsewhere_nothing_is_answered(
    url: str, more: dict[str, str], status: int
) -> None:
    found = httpx2.post(url, json=HELLO, headers=HEADERS | more)
    assert found.status_code == status
    if status != 200:
        assert "whatworks" not in found.text


def test_a_body_without_end_is_refused(url: str) -> None:
    headers = HEADERS | {"authorization": f"Bearer {TOKEN}"}
    found = httpx2.post(url, content=b"x" * (2 << 20), headers=headers)
    assert found.status_code == 413


def test_a_token_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="expected 16 or more"):
        http_app(build(Source(Memory.open)), token="secret", address=Address(1))


def malformed(chance: random.Random) -> bytes:
    """A line that is no request, or a request that is wrong."""
    whole = json.dumps(HELLO).encode()
    return chance.choice(
        [
            lambda: bytes(chance.randrange(256) for _ in range(chance.randrange(200))).replace(
                b"\n", b" "
            ),
            lambda: whole[: chance.randrange(len(whole))],
            lambda: b"[" * chance.randrange(1, 2_000),
            lambda: json.dumps(chance.choice([None, 7, "x", [], {}, [HELLO] * 3])).encode(),
            lambda: json.dumps(
                {**HELLO, "method": chance.choice([None, 7, "", "tools/none"])}
            ).encode(),
            lambda: json.dumps(
                {
                    "jsonrpc": "2.0",
                    "id": chance.randrange(9),
                    "method": "tools/call",
                    "params": {
                        "name": chance.choice(["record_outcome", "suggest_pattern", "nothing", 7]),
                        "arguments": chance.choice(
                            [None, [], {"situation": 7}, {"outcome": {"a": []}}]
                        ),
                    },
                }
            ).encode(),
        ]
    )()


def test_a_thousand_malformed_frames_leave_it_answering(tmp_path: Path) -> None:
    chance = random.Random(1)
    command = [
        str(Path(sys.executable).with_name("whatworks")),
        "mcp",
        "--store",
        str(tmp_path / "store"),
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        answers: list[dict[str, Any]] = []
        reader = threading.Thread(target=lambda: answers.extend(map(json.loads, child.stdout)))
        reader.start()
        child.stdin.write(json.dumps(HELLO).encode() + b"\n")
        initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        child.stdin.write(json.dumps(initialized).encode() + b"\n")
        for _ in range(1_000):
            child.stdin.write(malformed(chance) + b"\n")
        child.stdin.write(b'{"jsonrpc": "2.0", "id": "last", "method": "tools/list"}\n')
        child.stdin.flush()
        deadline = time.monotonic() + 30
        while not any(one.get("id") == "last" for one in answers) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.stdin.close()
        assert child.wait(20) == 0
        reader.join()
    (last,) = [one for one in answers if one.get("id") == "last"]
    assert len(last["result"]["tools"]) >= 5
    with Memory.open(tmp_path / "store", embedder="none") as memory:
        assert memory.stats().events == 0


def test_the_one_token_has_limits_like_those_of_many(tmp_path: Path) -> None:
    source = Source(lambda: Memory.open(tmp_path / "store", embedder="none", channel="mcp"))
    limits = Limits(burst=2, per_second=0.001)
    app = http_app(build(source), token=TOKEN, address=Address(80), limits=limits)
    headers = HEADERS | {"authorization": f"Bearer {TOKEN}", "host": "127.0.0.1:80"}
    with TestClient(app) as client:
        assert client.get("/mcp", headers=headers).status_code == 405
        told = [client.post("/mcp", json=HELLO, headers=headers).status_code for _ in range(3)]
        wrong = headers | {"authorization": "Bearer wrong"}
        assert client.post("/mcp", json=HELLO, headers=wrong).status_code == 401
    assert told == [200, 200, 429]
