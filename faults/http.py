"""Requests of strangers and broken requests of friends, to the inspector: refused, never failed on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import httpx2
from starlette.testclient import TestClient

from faults.hostile import SEEDS
from faults.result import Control, Result, Size, none_of
from whatworks import Memory
from whatworks.testing import HashEmbedder
from whatworks.ui import app as inspector
from whatworks.ui.guard import Guard, Session

__all__ = ["NAME", "WHAT", "run"]

NAME = "http"
WHAT = "the inspector answers strangers with 401 and 403, and broken requests in words"
# Requests with the token.
SIZES = {"smoke": 400, "full": 10_000}
PORT = 8000
OWN = f"http://127.0.0.1:{PORT}"
FIELDS = (
    "id", "q", "days", "page", "limit", "context", "from", "to", "a", "b", "by", "path", "together",
    "count", "source", "confirm", "description", "type", "done", "token", "csrf",
)  # fmt: skip
HOSTS = (
    "127.0.0.1:8000", "localhost:8000", "[::1]:8000", "127.0.0.1", "127.0.0.1:8001", "evil.example",
    "127.0.0.1.evil.example:8000", "",
)  # fmt: skip
ORIGINS = (OWN, None, "null", "http://evil.example", "https://127.0.0.1:8000", "http://127.0.0.1:8001")


def run(size: Size, seed: int, folder: Path) -> Result:
    """Ask without the token, from other hosts and pages, and then anything at all with it."""
    rng, notes = Random(seed), list[str]()
    with Memory.open(folder / "store", embedder=HashEmbedder(16), durability="process") as memory:
        memory.add_pattern("one's own", pattern_id="p")
        memory.record("p", outcome=1.0, context="a case", files=["a.py", "b.py"])
        session = Session()
        built = inspector.build(memory, session, port=PORT)
        paths = list(_paths(built))
        with TestClient(built, base_url=OWN, follow_redirects=False) as client:
            let_in = [path for path in paths if _status(client, "GET", path) != 401]
            let_in += [path for path in paths if _status(client, "POST", path) not in (401, 403)]
            client.get("/", params={"token": session.token})
            places = [(host, origin) for host, origin in product(HOSTS, ORIGINS)]
            wrong = [place for place in places if not _guarded(client, session, *place)]
            failed = _anything(client, session, paths, rng, SIZES[size], notes)
        still = memory.get_pattern("p").usage_count
    notes += [f"without the token: {path}" for path in let_in]
    notes += [f"let in from {place}" for place in wrong]
    figures = (
        none_of("routes that answer without the token", len(let_in), 2 * len(paths)),
        none_of("hosts and origins that were let in and should not be", len(wrong), len(places)),
        none_of("requests that failed with 5xx or not in one line", failed, SIZES[size]),
        none_of("patterns and tries lost by forms without their secret", 1 - still, 1),
    )
    options = f"{len(paths)} routes, {len(places)} hosts and origins, {SIZES[size]:,} requests"
    return Result(figures, options, _control(folder / "control"), tuple(notes))


def _paths(built: Guard) -> Iterator[str]:
    for route in built._app.routes:
        yield "/static/inspector.js" if route.path == "/static" else route.path


def _status(client: TestClient, method: str, path: str) -> int:
    return client.request(
        method, path, headers={"origin": OWN} if method == "POST" else None
    ).status_code


def _guarded(client: TestClient, session: Session, host: str, origin: str | None) -> bool:
    """Whether reading and writing with these headers are let in as they should be."""
    known = host in HOSTS[:2]
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    read = client.get("/sources.json", headers=headers).status_code
    wrote = client.post("/distrust", data={"csrf": session.csrf, "source": "nobody"}, headers=headers)
    reads = known or read in (400, 403, 421)
    own = known and origin == OWN  # both names are this machine
    writes = wrote.status_code == 404 if own else wrote.status_code in (400, 403, 421)
    return reads and writes


def _anything(
    client: TestClient, session: Session, paths: list[str], rng: Random, count: int, notes: list[str]
) -> int:
    """Requests with any fields; only forms lack their secret, so nothing is written."""
    failed = 0
    for _ in range(count):
        path = rng.choice(paths) if rng.random() < 0.9 else "/" + rng.choice(SEEDS)[:40]
        fields = {rng.choice(FIELDS): _value(rng) for _ in range(rng.randrange(5))}
        method = rng.choice(("GET", "GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"))
        try:
            answer = _sent(client, method, path, fields, rng)
        except (ValueError, UnicodeError, TypeError, httpx2.InvalidURL):
            continue  # no client can send that
        body = answer.content
        plain = answer.status_code < 500 and (answer.status_code < 400 or _told(answer))
        if not plain or (session.csrf.encode() in body and path.endswith(".json")):
            failed += 1
            notes.append(f"{method} {path!r:.60} {fields!r:.80}: {answer.status_code} {body!r:.80}")
    return failed


def _sent(client: TestClient, method: str, path: str, fields: dict[str, str], rng: Random) -> Any:
    if method == "POST":
        body = rng.choice((fields, None))
        raw = rng.choice(SEEDS).encode("utf-8", "surrogatepass")
        return client.post(path, data=body, content=None if body else raw, headers={"origin": OWN})
    return client.request(method, path, params=fields)


def _told(answer: Any) -> bool:
    """Whether a refusal is a page or one line, and shows nothing of the machine."""
    text = answer.text
    return "Traceback" not in text and "/site-packages/" not in text


def _value(rng: Random) -> str:
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice(("p", "a.py", "tool", "week", "file", "2026-01-01", "1", "7", "30"))
    if kind == 1:
        return str(rng.choice((-1, 0, 10**9, 10**400, 1.5)))
    return "".join(rng.choice(SEEDS) for _ in range(rng.randint(1, 3)))[:2_000]


def _control(folder: Path) -> Control:
    """An inspector without its guard must be found out."""
    with Memory.open(folder, embedder=HashEmbedder(16), durability="process") as memory:
        built = inspector.build(memory, Session(), port=PORT)
        with TestClient(built._app, base_url=OWN, follow_redirects=False) as client:
            answered = sum(_status(client, "GET", path) != 401 for path in _paths(built))
    return Control("the guard is taken away", answered > 0, f"{answered} routes answered")
