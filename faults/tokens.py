"""Clients with tokens of many namespaces: none reads or writes what its token does not open."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

from starlette.testclient import TestClient

from faults.isolation import MARK, _strangers
from faults.result import Control, Result, Size, none_of
from faults.rpc import post, result, served
from whatworks import Memory
from whatworks.spaces import names, tokens
from whatworks.spaces.tokens import Keys, Token
from whatworks.testing import HashEmbedder

__all__ = ["NAME", "WHAT", "run"]

NAME = "tokens"
WHAT = "many clients of one server name namespaces at random: a token opens its own, and nothing else"
# Namespaces, tokens, requests.
SIZES = {"smoke": (8, 16, 800), "full": (100, 200, 10_000)}
# Fewer than there are, so that stores are opened and closed while others are asked.
MOST_OPEN = {"smoke": 3, "full": 12}
THREADS = 6
BURST = 20
NAMED = re.compile(r"namespace is '[^']*'")
TRICKS = (
    "nix",
    "",
    ".",
    "..",
    "../n-1",
    "n-1/../n-2",
    "/",
    "n-1/",
    "N-1",
    "n-1\0",
    "*",
    "%2e%2e",
    "n-1 ",
)
READS = ("search_patterns", "suggest_pattern", "explain_pattern", "compare_patterns", "resource")


@dataclass
class _Seen:
    """What the clients have seen, together."""

    leaks: int = 0
    looks: int = 0  # answers in which marks were looked for
    let_in: int = 0
    strangers: int = 0  # requests with a token that is none
    told_apart: int = 0
    foreign: int = 0
    failed: int = 0
    wrote: Counter[int] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)


@dataclass(frozen=True)
class _Client:
    secret: str
    token: Token
    own: tuple[int, ...]


def run(size: Size, seed: int, folder: Path) -> Result:
    """Ask from several threads, rightly and wrongly, and look for each other's marks everywhere."""
    namespaces, count, requests = SIZES[size]
    root, rng = folder / "root", Random(seed)
    clients = _founded(root, namespaces, count, rng)
    gone = [tokens.add(root, f"gone-{n}", ["n-0"])[1] for n in range(5)]
    for n in range(5):
        tokens.remove(root, f"gone-{n}")
    late = tokens.add(root, "late", ["n-0"], days=1e-9)[1]
    seen = _Seen()
    with served(root, Keys(root), most=MOST_OPEN[size]) as client:
        _asked(client, clients, [*gone, late, "", "ww_x", late[:-1]], namespaces, requests, seed, seen)
    written = _written(root, clients, namespaces, seen)
    files = [note for n in range(namespaces) for note in _strangers(root / f"n-{n}", n)]
    seen.notes += files
    figures = (
        none_of("answers with something of another namespace", seen.leaks, seen.looks),
        none_of("foreign namespaces told apart from none", seen.told_apart, seen.foreign),
        none_of("requests let in without a valid token", seen.let_in, seen.strangers),
        none_of(
            "tries lost, doubled, or by who may only read",
            written,
            sum(seen.wrote.values()),
        ),
        none_of("files with something of another namespace", len(files), namespaces),
        none_of("requests that failed with 5xx or an unexpected error", seen.failed, requests),
    )
    options = (
        f"{namespaces} namespaces of which {MOST_OPEN[size]} are open at once, {count} tokens, "
        f"{requests:,} requests from {THREADS} threads"
    )
    return Result(figures, options, _control(folder / "control", seed), tuple(seen.notes))


def _founded(root: Path, namespaces: int, count: int, rng: Random) -> list[_Client]:
    names.make_root(root)
    for n in range(namespaces):
        with Memory.open(root / f"n-{n}", embedder=HashEmbedder(16), durability="process") as memory:
            memory.add_pattern(f"way of-store-{n}-only", pattern_id=f"way-{n}")
            memory.add_pattern(f"other way of-store-{n}-only", pattern_id=f"other-{n}")
            memory.record(f"way-{n}", outcome=1.0, context=f"case of-store-{n}-only")
    made = []
    for number in range(count):
        own = tuple(rng.sample(range(namespaces), rng.choice((1, 1, 2, 3))))
        writes = rng.random() < 0.7
        token, secret = tokens.add(root, f"t-{number}", [f"n-{n}" for n in own], writes=writes)
        made.append(_Client(secret, token, own))
    return made


def _asked(
    client: TestClient, clients: Sequence[_Client], wrong: Sequence[str], namespaces: int,
    requests: int, seed: int, seen: _Seen,
) -> None:  # fmt: skip
    def burst(number: int) -> None:
        rng = Random(f"{seed}/{number}")
        some = rng.sample(clients, 2)  # clients ask several times, and stores stay open for a while
        for step in range(BURST):
            who = rng.choice(some)
            if rng.random() < 0.05:
                _stranger(client, rng.choice(wrong), rng, seen)
            else:
                _one(client, who, namespaces, f"{number}-{step}", rng, seen)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(burst, range(requests // BURST)))


def _stranger(client: TestClient, secret: str, rng: Random, seen: _Seen) -> None:
    answer = post(
        client, secret, "tools/call", {"name": "search_patterns", "arguments": {"query": "way"}}
    )
    with seen.lock:
        seen.strangers += 1
        if answer.status_code != 401 or answer.content:
            seen.let_in += 1
            seen.notes.append(f"let in with {secret[:6]!r}...")


def _one(
    client: TestClient, who: _Client, namespaces: int, step: str, rng: Random, seen: _Seen
) -> None:
    asked: object
    kind = rng.random()
    if kind < 0.6:
        n: int | None = rng.choice(who.own)
        asked = f"n-{n}"
    elif kind < 0.85:
        n = rng.randrange(namespaces)
        asked = f"n-{n}"
    else:
        n, asked = None, rng.choice(TRICKS)
    is_own = n in who.own
    if len(who.own) == 1 and rng.random() < 0.5:
        n, asked, is_own = who.own[0], None, True  # the only one need not be named
    tool = rng.choice((*READS, "record_outcome", "record_outcome"))
    named = n if is_own and n is not None else rng.randrange(namespaces)
    answer = _sent(client, who.secret, tool, asked, named, step, rng)
    marks = {int(found) for found in MARK.findall(answer.content)}
    may = {n} if is_own else set()
    body = result(answer) if answer.status_code == 200 else {}
    refused = "error" in body or bool(body.get("isError"))
    with seen.lock:
        seen.looks += 1
        if marks - may or (not is_own and not refused):
            seen.leaks += 1
            seen.notes.append(
                f"{who.token.namespaces} asked {tool} of {asked!r}: {answer.text[:150]!r}"
            )
        if answer.status_code != 200 or "-32603" in answer.text:
            seen.failed += 1
            seen.notes.append(f"{tool} of {asked!r}: {answer.status_code} {answer.text[:100]!r}")
        if tool == "record_outcome" and not refused and n is not None:
            seen.wrote[n] += 1
    if n is not None and not is_own and refused and tool != "record_outcome":
        _compare(client, who, tool, asked, answer, seen)


def _compare(
    client: TestClient, who: _Client, tool: str, asked: object, answer: Any, seen: _Seen
) -> None:
    """Whether a foreign namespace is refused in the words in which one is that does not exist."""
    other = "nix"
    again = _sent(client, who.secret, tool, other, 0, "x", Random(1))
    first, second = (
        _unnamed(str(one.text), str(name)) for one, name in ((answer, asked), (again, other))
    )
    expected = f"expected one of {', '.join(who.token.namespaces)}"
    alike = _plain(first) == _plain(second) and expected in again.text
    with seen.lock:
        seen.foreign += 1
        if not alike:
            seen.told_apart += 1
            seen.notes.append(f"{first[:150]!r} is not {second[:150]!r}")


def _unnamed(text: str, name: str) -> str:
    """A refusal without the name that was asked for; ``n-1`` is no part of ``n-15``."""
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "?", text)


def _plain(text: str) -> str:
    """A refusal without what the request itself said."""
    return re.sub(r"whatworks://[^\"' ]*", "URI", NAMED.sub("namespace is ?", text))


def _sent(
    client: TestClient, secret: str, tool: str, asked: object, n: int, step: str, rng: Random
) -> Any:
    if tool == "resource":
        uri = rng.choice(("whatworks://summary", f"whatworks://pattern/way-{n}"))
        return post(
            client,
            secret,
            "resources/read",
            {"uri": uri + ("" if asked is None else f"?namespace={asked}")},
        )
    arguments: dict[str, object] = {
        "search_patterns": {"query": "way"},
        "suggest_pattern": {"situation": f"case {rng.randrange(9)}"},
        "explain_pattern": {"pattern_id": f"way-{n}"},
        "compare_patterns": {"pattern_ids": [f"way-{n}", f"other-{n}"], "situation": "case"},
        "record_outcome": {
            "pattern": f"way-{n}", "outcome": rng.choice(("success", "failed")), "outcome_id": step,
        },
    }[tool]  # fmt: skip
    if asked is not None:
        arguments |= {"namespace": asked}
    return post(client, secret, "tools/call", {"name": tool, "arguments": arguments})


def _written(root: Path, clients: Sequence[_Client], namespaces: int, seen: _Seen) -> int:
    """How many tries are missing, too many, or of a source that may not write there."""
    wrong = 0
    may = {who.token.source: set(who.own) if who.token.writes else set() for who in clients}
    for n in range(namespaces):
        with Memory.open(root / f"n-{n}", embedder=HashEmbedder(16), durability="process") as memory:
            told = {item.source: item.events + item.held for item in memory.sources()}
        told.pop("local")
        wrong += abs(sum(told.values()) - seen.wrote[n])
        wrong += sum(count for source, count in told.items() if n not in may.get(source, set()))
    return wrong


class _Everybody:
    """No check of tokens: whoever asks may use all namespaces."""

    def __init__(self, namespaces: int) -> None:
        opens = tuple(f"n-{n}" for n in range(namespaces))
        self._token = Token("anybody", opens, True, "anybody", datetime.now(UTC), None)

    def find(self, given: str, /) -> Token:
        return self._token


def _control(folder: Path, seed: int) -> Control:
    """A server that does not look at tokens must be found out."""
    clients, seen = _founded(folder, 4, 4, Random(seed)), _Seen()
    with served(folder, _Everybody(4), most=4) as client:
        _asked(client, clients, ["", "ww_x"], 4, 200, seed, seen)
    found = seen.leaks and seen.let_in
    said = f"{seen.leaks} foreign answers, {seen.let_in} strangers let in"
    return Control("tokens are not looked at", bool(found), said)
