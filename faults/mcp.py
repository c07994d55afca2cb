"""Requests of strangers and broken requests of friends, to the MCP server over HTTP."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import httpx2
from starlette.testclient import TestClient

from faults.hostile import SEEDS
from faults.result import Control, Result, Size, none_of
from faults.rpc import HEADERS, PORT, client_of, served
from whatworks import Memory
from whatworks.mcp.address import Address
from whatworks.mcp.server import build
from whatworks.mcp.serving import http_app
from whatworks.mcp.source import Source
from whatworks.spaces import names, tokens
from whatworks.spaces.tokens import Keys
from whatworks.testing import HashEmbedder

__all__ = ["NAME", "WHAT", "run"]

NAME = "mcp"
WHAT = "the MCP server answers strangers with 401, 403 and 421, and broken requests in words"
# Requests with a token, to one memory and to many.
SIZES = {"smoke": 400, "full": 10_000}
SECRET = "0123456789abcdef-token"
PATHS = (
    "/mcp",
    "/mcp/",
    "/",
    "/sse",
    "/messages",
    "/docs",
    "/openapi.json",
    "/.well-known/oauth-protected-resource",
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
WRONG = (
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer x",
    f"Basic {SECRET}",
    f"Bearer {SECRET[:-1]}",
    SECRET,
    "Bearer \xff",
)
HOSTS = (
    f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"[::1]:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}",
    "evil.example", f"127.0.0.1.evil.example:{PORT}", f"evil.example:{PORT}",
)  # fmt: skip
ORIGINS = (
    f"http://127.0.0.1:{PORT}", None, "null", "http://evil.example", f"https://127.0.0.1:{PORT}",
    f"http://127.0.0.1:{PORT + 1}",
)  # fmt: skip
# The code of an exception that nobody saw coming, and what the SDK says of one in a tool.
UNEXPECTED = re.compile(r'"code":-32603|Error executing tool \w+"')
CALLS = (
    "initialize", "ping", "tools/list", "tools/call", "resources/list", "resources/templates/list",
    "resources/read", "prompts/list", "prompts/get", "completion/complete", "logging/setLevel",
    "server/discover", "subscriptions/listen", "notifications/cancelled", "notifications/initialized",
    "nothing",
)  # fmt: skip
TOOLS = (
    "suggest_pattern", "record_outcome", "search_patterns", "explain_pattern", "compare_patterns",
    "forget_pattern", "nothing",
)  # fmt: skip
FIELDS = (
    "name", "arguments", "uri", "namespace", "situation", "query", "pattern", "pattern_id",
    "pattern_ids", "outcome", "limit", "days", "prediction_id", "outcome_id", "session_id", "files",
    "protocolVersion", "capabilities", "clientInfo", "cursor", "_meta", "ref", "argument", "level",
)  # fmt: skip


def run(size: Size, seed: int, folder: Path) -> Result:
    """Ask without a token, from other hosts and pages, and then anything at all with one."""
    rng, notes, count = Random(seed), list[str](), SIZES[size]
    let_in = wrong = failed = 0
    with _opened(folder / "root" / "own") as memory, _quiet():
        memory.add_pattern("one's own", pattern_id="p")
        memory.record("p", outcome=1.0, context="a case")
        with ExitStack() as stack:
            for client, secret in _faces(folder, stack):
                let_in += sum(
                    not _refused(client, *one, notes) for one in product(PATHS, METHODS, WRONG)
                )
                wrong += sum(
                    not _guarded(client, secret, *one, notes) for one in product(HOSTS, ORIGINS)
                )
                failed += _anything(client, secret, folder, rng, count, notes)
        lost = 1 - len(memory.get_patterns(["p"]))
    faces = 2
    figures = (
        none_of("requests without a token that get more than 401", let_in,
                faces * len(PATHS) * len(METHODS) * len(WRONG)),
        none_of("hosts and origins that were let in and should not be", wrong,
                faces * len(HOSTS) * len(ORIGINS)),
        none_of("requests that failed with 5xx or told of the machine", failed, faces * count),
        none_of("patterns that somebody took away", lost, 1),
    )  # fmt: skip
    options = (
        f"one memory and many, {len(PATHS)} paths, {len(HOSTS) * len(ORIGINS)} hosts and origins, "
        f"{count:,} requests to each"
    )
    return Result(figures, options, _control(folder / "control"), tuple(notes))


def _opened(folder: Path) -> Memory:
    return Memory.open(folder, embedder=HashEmbedder(16), durability="process", channel="mcp-http")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log, which has a line for each request that is refused."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _faces(folder: Path, stack: ExitStack) -> list[tuple[TestClient, str]]:
    """The server of one memory and that of many, each with its token."""
    source = Source(lambda: _opened(folder / "root" / "own"), apart="mcp-http/")
    one = http_app(build(source, forgets=False), token=SECRET, address=Address(PORT))
    root = folder / "root"
    names.make_root(root)
    root.chmod(0o700)
    _, secret = tokens.add(root, "ada", ["own", "other"])
    _opened(root / "other").close()
    many = served(root, Keys(root), most=2)
    return [(stack.enter_context(client_of(one)), SECRET), (stack.enter_context(many), secret)]


def _refused(client: TestClient, path: str, method: str, given: str | None, notes: list[str]) -> bool:
    headers = [] if given is None else [(b"authorization", given.encode("latin-1"))]
    found = client.request(method, path, headers=headers)
    if (found.status_code, found.content) == (401, b""):
        return True
    notes.append(f"{method} {path} with {given!r}: {found.status_code}")
    return False


def _guarded(client: TestClient, secret: str, host: str, origin: str | None, notes: list[str]) -> bool:
    """Whether a request with these headers is let in as it should be."""
    headers = HEADERS | {"host": host, "authorization": f"Bearer {secret}"}
    headers |= {} if origin is None else {"origin": origin}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    status = client.post("/mcp", json=body, headers=headers).status_code
    own = host in HOSTS[:3] and origin in ORIGINS[:2]
    right = status == 200 if own else status in (400, 403, 421)
    if not right:
        notes.append(f"host {host}, origin {origin}: {status}")
    return right


def _anything(
    client: TestClient, secret: str, folder: Path, rng: Random, count: int, notes: list[str]
) -> int:
    """Requests with any content; none may fail but in words that say nothing of the machine."""
    failed = 0
    for _ in range(count):
        method, path, headers, body = _made(rng, secret)
        try:
            answer = client.request(method, path, headers=headers, content=body)
        except (ValueError, UnicodeError, TypeError, httpx2.InvalidURL):
            continue  # no client can send that
        text = answer.text
        shown = any(told in text for told in ("Traceback", "/site-packages/", str(folder)))
        if answer.status_code >= 500 or shown or UNEXPECTED.search(text):
            failed += 1
            notes.append(f"{method} {path!r:.40} {body!r:.150}: {answer.status_code} {text!r:.100}")
    return failed


def _made(rng: Random, secret: str) -> tuple[str, str, dict[str, str], bytes]:
    headers = HEADERS | {"authorization": f"Bearer {secret}"}
    # Streams of the first server stay open, and are not asked for.
    method = "POST" if rng.random() < 0.9 else rng.choice(("PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"))
    path = "/mcp" if rng.random() < 0.95 else "/" + rng.choice(("mcp/", "mcp/x", "", "%2e%2e/mcp", "x"))
    if rng.random() < 0.15:
        headers["mcp-protocol-version"] = rng.choice(
            ("2025-06-18", "2025-11-25", "2026-07-28", "1", "x" * 99)
        )
    if rng.random() < 0.05:
        headers["mcp-session-id"] = rng.choice(("x", "0" * 32))
    if rng.random() < 0.05:
        headers["accept"] = rng.choice(("*/*", "text/html", "application/json"))
    if rng.random() < 0.05:
        headers["content-type"] = rng.choice(("text/plain", "application/json; charset=utf-16", "x"))
    return method, path, headers, _body(rng)


def _body(rng: Random) -> bytes:
    kind = rng.random()
    if kind < 0.08:
        return rng.choice(SEEDS).encode("utf-8", "surrogatepass")
    if kind < 0.12:
        return rng.choice(
            (b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"x" * (2 << 20), b"null", b"[]", b"1e999")
        )
    call, params = _call(rng)
    request = {"jsonrpc": "2.0", "id": rng.randrange(99), "method": call, "params": params}
    if rng.random() < 0.1:
        request[rng.choice(("jsonrpc", "id", "method", "params"))] = _value(rng)
    if rng.random() < 0.05:
        del request[rng.choice(("jsonrpc", "id", "method", "params"))]
    body: Any = [request] * rng.randrange(1, 4) if rng.random() < 0.03 else request
    return json.dumps(body).encode()


def _call(rng: Random) -> tuple[str, Any]:
    """A method and what it is given; half of them call tools."""
    if rng.random() < 0.5:
        tool = rng.choice(TOOLS)
        return "tools/call", {"name": tool, "arguments": _arguments(rng, tool)}
    # The first server never ends a subscription by itself.
    call = rng.choice([name for name in CALLS if name != "subscriptions/listen"])
    if call == "resources/read" and rng.random() < 0.8:
        place = rng.choice(("summary", "pattern/p", "pattern/"))
        return call, {"uri": f"whatworks://{place}{_value(rng)}"[:200]}
    return call, {rng.choice(FIELDS): _value(rng) for _ in range(rng.randrange(4))}


def _arguments(rng: Random, tool: str) -> dict[str, Any]:
    """What the tool takes, some of it put in the place of something else; or anything."""
    if rng.random() < 0.2:
        return {rng.choice(FIELDS): _value(rng) for _ in range(rng.randrange(1, 6))}
    text = "".join(rng.choice(SEEDS) for _ in range(rng.randint(1, 3))) or "x"
    found: dict[str, Any] = {
        "suggest_pattern": {"situation": text, "limit": rng.choice((1, 5, 20, 21))},
        "record_outcome": {
            "pattern": rng.choice(("p", text)), "outcome": rng.choice(("success", 0.5, "4/5", True)),
            "situation": text, "outcome_id": text, "files": [text],
        },
        "search_patterns": {"query": text},
        "explain_pattern": {"pattern_id": rng.choice(("p", text)), "days": rng.choice((1, 7, 365))},
        "compare_patterns": {"pattern_ids": ["p", rng.choice(("p", text))], "situation": text},
    }.get(tool, {"pattern_id": "p", "confirm": True})  # fmt: skip
    if rng.random() < 0.2:
        found[rng.choice(list(found))] = _value(rng)
    if rng.random() < 0.7:
        found["namespace"] = rng.choice(("own", "own", "other", "nix"))
    return found


def _value(rng: Random) -> Any:
    kind = rng.randrange(7)
    if kind == 0:
        return rng.choice(("p", "one's own", "success", "80%", "own", "other"))
    if kind == 1:
        return rng.choice((-1, 0, 1, 5, 10**9, 10**400, 1.5, 1e308, True, None))
    if kind == 2:
        return [_value(rng) for _ in range(rng.randrange(4))]
    if kind == 3:
        return {rng.choice(FIELDS): rng.choice(SEEDS)}
    return "".join(rng.choice(SEEDS) for _ in range(rng.randint(1, 3)))[:9_000]


def _control(folder: Path) -> Control:
    """A server without its guard must be found out."""
    source = Source(lambda: _opened(folder))
    guarded = http_app(build(source), token=SECRET, address=Address(PORT))
    with client_of(guarded._app) as client, _quiet():
        # Streams stay open, and are not asked for.
        asked = product(PATHS, [method for method in METHODS if method != "GET"], WRONG)
        answered = sum(not _refused(client, *one, []) for one in asked)
    return Control("the guard is taken away", answered > 0, f"{answered} requests answered")
