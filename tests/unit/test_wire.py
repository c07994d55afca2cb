"""What goes over the socket comes out of it as it was, and nothing else does harm."""

from __future__ import annotations

import inspect
import os
import socket
import struct
import threading
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from whatworks import errors, wire
from whatworks.checks import Chance
from whatworks.client import Client
from whatworks.desk import Desk
from whatworks.errors import (
    InvalidInputError,
    SchemaVersionError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    WhatWorksError,
)
from whatworks.records import Pattern, Stats, UsageEvent, Where
from whatworks.server import Server
from whatworks.wire import Gone, Hello, Reply, Request

NOW = datetime(2025, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)
# A JSON object as users keep it with patterns and events.
METADATA = {
    "text": 'it\'s a "b"\n模式 \u2028 🙂 \x07',
    "numbers": [0, -1, 2**63 - 1, -(2**63), 0.1, 1.0, 1e-300, 1.7976931348623157e308],
    "none": None,
    "nested": {"a": [{"b": [True, False, None]}], "": {}},
}
HELLO = Hello(wire.PROTOCOL, "1.2.3", 42, "store")
STAYS = {"evaluate_function", "flush_by", "migrate", "reembed"}
METHODS = {
    name: method for name, method in inspect.getmembers(Desk, inspect.isfunction) if name[0] != "_"
}
SENDABLE = sorted(METHODS.keys() - STAYS)


def example(kind: Any, *, full: bool) -> Any:
    """A value of an annotation: with everything in it that there may be, or with as little."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in parts and not full:
            return None
        return example(next(part for part in parts if part is not type(None)), full=full)
    if origin is Literal:
        return parts[-1] if full else parts[0]
    if origin is tuple and parts[-1:] != (Ellipsis,):
        return tuple(example(part, full=full) for part in parts)
    if origin in (list, tuple, set, Sequence):
        of = list if origin is Sequence else origin
        return of([example(parts[0], full=full)] * 2 if full else [])
    if origin in (dict, Mapping):
        return {"key": example(parts[1], full=full)} if full else {}
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        names = [each.name for each in fields(kind)] if is_dataclass(kind) else kind._fields
        hints = get_type_hints(kind)
        return typing.cast("Any", kind)(**{name: example(hints[name], full=full) for name in names})
    plain = {
        str: 'wörd "x"\n' if full else "",
        int: 2**62 if full else 0,
        float: 0.1 if full else 0.0,
        bool: full,
        datetime: NOW,
        date: NOW.date(),
        type(None): None,
        Any: METADATA if full else None,
        object: METADATA if full else None,
    }
    return plain[kind]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in content and in type, all the way down."""
    if type(one) is not type(other):
        return False
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def over(message: Any) -> Any:
    """What arrives of a message."""
    return msgspec.json.decode(msgspec.json.encode(message), type=type(message))


# -- questions and answers --------------------------------------------------------------------------


def test_every_question_can_be_sent_but_those_that_take_functions() -> None:
    assert [name for name in sorted(METHODS) if wire.question(name) is None] == sorted(STAYS)
    assert {"predict", "find_similar", "events_after", "embed_some"} <= set(SENDABLE)


@pytest.mark.parametrize("name", ["nothing", "", "_answers", "__init__", "__class__", "keeper"])
def test_nothing_else_of_the_desk_can_be_asked(name: str) -> None:
    assert wire.question(name) is None


@pytest.mark.parametrize("full", [True, False], ids=["full", "empty"])
@pytest.mark.parametrize("name", SENDABLE)
def test_every_answer_arrives_as_it_was_given(name: str, full: bool) -> None:
    given = example(wire.hints(METHODS[name])["return"], full=full)
    reply = over(Reply("answer", wire.encoded(given), stamp=7))
    assert same(wire.form(METHODS[name]).answer(reply), given)
    assert reply.stamp == 7


@pytest.mark.parametrize("full", [True, False], ids=["full", "empty"])
@pytest.mark.parametrize("name", SENDABLE)
def test_every_argument_arrives_as_it_was_given(name: str, full: bool) -> None:
    form = wire.form(METHODS[name])
    given = {
        key: example(kind, full=full)
        for key, kind in wire.hints(METHODS[name]).items()
        if key != "return"
    }
    request = over(form.request((), given, ("a.log", 2**40)))
    assert request.ask == name
    assert request.position == ("a.log", 2**40)
    assert same(form.values(request), given)


def test_arguments_may_be_given_by_place_or_by_name_or_left_out() -> None:
    form = wire.form(Desk.trend)
    for given, named in [(("p", 7, NOW), {}), (("p",), {"window_days": 7, "as_of": NOW})]:
        found = form.values(over(form.request(given, named, None)))
        assert found == {"pattern_id": "p", "window_days": 7, "as_of": NOW}
    with pytest.raises(TypeError):
        form.request(("p", 7, NOW, "more"), {}, None)


def test_conditions_and_chances_keep_their_kinds() -> None:
    where = Where(
        pattern_type=["a", "b"],
        metadata={"n": 1, "x": 1.0, "yes": True, "no": None, "s": "1"},
        created_after=NOW,
    )
    form = wire.form(Desk.matching)
    assert same(form.values(over(form.request((where, 5), {}, None)))["where"], where)
    one = Where(pattern_type="a")
    assert same(form.values(over(form.request((one, 5), {}, None)))["where"], one)
    chance = Chance(0.25, 0.5, "low", None, optimistic=True)
    named = {"limit": 1, "candidates": ["p"], "as_of": None, "now": NOW, "chance": chance}
    found = wire.form(Desk.predict).values(over(wire.form(Desk.predict).request(("c",), named, None)))
    assert same(found["chance"], chance)


@pytest.mark.parametrize(
    "moment",
    [
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        NOW,
        NOW.replace(microsecond=0),
    ],
)
def test_times_keep_every_microsecond(moment: datetime) -> None:
    event = UsageEvent("e", "p", moment, "resolved", 1.0, resolved_at=moment)
    form = wire.form(Desk.events_of)
    (found,) = form.answer(over(Reply("answer", wire.encoded({"e": event})))).values()
    assert found == event
    assert found.timestamp.utcoffset() == timedelta(0)


# -- versions ---------------------------------------------------------------------------------------


def test_what_a_newer_version_adds_is_ignored_and_what_an_older_one_lacks_has_its_default() -> None:
    plain = msgspec.json.decode(b'{"ask":"stats","added":{"later":[1]}}', type=Request)
    assert plain == Request("stats")
    plain = msgspec.json.decode(b'{"kind":"working","added":1}', type=Reply)
    assert (plain.error, plain.pid, plain.stamp) == ("", None, 0)
    hello = b'{"protocol":1,"version":"9","pid":1,"store_id":"s","added":1}'
    assert msgspec.json.decode(hello, type=Hello) == Hello(1, "9", 1, "s")


def test_records_of_another_minor_version_are_understood() -> None:
    stats = msgspec.to_builtins(example(Stats, full=True))
    newer, older = stats | {"added": {"a": 1}}, {k: v for k, v in stats.items() if k != "keeper"}
    form = wire.form(Desk.stats)
    assert form.answer(Reply("answer", wire.encoded(newer))) == example(Stats, full=True)
    assert form.answer(Reply("answer", wire.encoded(older))).keeper == 0
    pattern = msgspec.to_builtins(Pattern("p", "general", "x", {}, NOW, NOW)) | {"added": 1}
    found = wire.form(Desk.patterns).answer(Reply("answer", wire.encoded({"p": pattern})))
    assert found["p"].pattern_id == "p"


# -- errors -----------------------------------------------------------------------------------------

KINDS = [
    kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type) and issubclass(kind, WhatWorksError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_the_same_error(kind: type[WhatWorksError]) -> None:
    raised = kind('two "words": ключ')
    found = wire.error_of(over(wire.failure(raised)))
    assert type(found) is kind
    assert str(found) == str(raised)


def test_the_process_that_is_busy_is_named_over_the_wire() -> None:
    found = wire.error_of(over(wire.failure(StoreBusyError("busy", 123))))
    assert isinstance(found, StoreBusyError)
    assert found.pid == 123


def test_other_exceptions_arrive_as_store_errors_that_show_them() -> None:
    found = wire.error_of(over(wire.failure(ZeroDivisionError("by nought"))))
    assert type(found) is StoreError
    assert "ZeroDivisionError('by nought')" in str(found)


@pytest.mark.parametrize("name", ["", "LaterError", "disk_error", "__all__", "annotations", "errno"])
def test_an_error_of_no_known_kind_is_a_store_error(name: str) -> None:
    assert type(wire.error_of(Reply("error", error=name, message="m"))) is StoreError


# -- bytes ------------------------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


Ends = tuple[socket.socket, socket.socket]


def test_messages_follow_one_another(ends: Ends) -> None:
    one, other = ends
    for n in range(3):
        wire.send(one, Reply("answer", wire.encoded("x" * 10_000 * n), stamp=n))
    assert [wire.receive(other, Reply, patience=10).stamp for _ in range(3)] == [0, 1, 2]


def test_a_message_that_comes_in_pieces_is_put_together(ends: Ends) -> None:
    one, other = ends
    body = msgspec.json.encode(HELLO)

    def drip() -> None:
        for byte in struct.pack("!I", len(body)) + body:
            one.sendall(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    assert wire.receive(other, Hello, patience=10) == HELLO
    thread.join()


def test_what_is_longer_than_a_message_may_be_is_refused_before_it_is_sent(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_BYTES", 1_000)
    with pytest.raises(InvalidInputError, match="ask for less"):
        wire.send(ends[0], Reply("answer", wire.encoded("x" * 2_000)))
    wire.send(ends[0], HELLO)
    assert wire.receive(ends[1], Hello, patience=10) == HELLO


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("!I", 2**32 - 1),
        struct.pack("!I", 1_001) + b"x" * 1_001,
        struct.pack("!I", 5) + b"\xff\xfe{}!",
        struct.pack("!I", 2) + b"{}",
        struct.pack("!I", 2) + b"[]",
        struct.pack("!I", 0),
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(4_000),
    ],
    ids=["4 GB", "too long", "no JSON", "no hello", "a list", "nothing", "HTTP", "noise"],
)
def test_garbage_is_no_message(ends: Ends, sent: bytes) -> None:
    ends[0].sendall(sent)
    ends[0].shutdown(socket.SHUT_WR)
    with pytest.raises(Gone):
        wire.receive(ends[1], Hello, patience=10, limit=1_000)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 20])
def test_a_connection_that_ends_within_a_message_is_gone(ends: Ends, count: int) -> None:
    body = msgspec.json.encode(HELLO)
    ends[0].sendall((struct.pack("!I", len(body)) + body)[:count])
    ends[0].close()
    with pytest.raises(Gone):
        wire.receive(ends[1], Hello, patience=10)


def test_half_a_message_is_not_waited_for_without_end(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MESSAGE_SECONDS", 0.05)
    ends[0].sendall(struct.pack("!I", 100) + b"{")
    with pytest.raises(Gone, match="half"):
        wire.receive(ends[1], Hello, patience=10)


def test_silence_is_told_from_a_connection_that_ended(ends: Ends) -> None:
    with pytest.raises(TimeoutError):
        wire.receive(ends[1], Hello, patience=0.05)
    ends[1].close()
    with pytest.raises(Gone):
        wire.send(ends[0], HELLO)


# -- client and server ------------------------------------------------------------------------------


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    opened: list[Server] = []

    def start(answer: Callable[[Request], Reply], hello: Hello = HELLO) -> Path:
        opened.append(Server(tmp_path / "keeper.sock", hello, answer))
        return tmp_path / "keeper.sock"

    yield start
    for server in opened:
        server.close()
        server.close()


def echo(request: Request) -> Reply:
    return Reply("answer", wire.encoded(request.ask))


def test_a_client_is_answered(serve: Callable[..., Path]) -> None:
    client = Client(serve(echo), HELLO)
    assert [msgspec.json.decode(client.ask(Request(f"q{n}")).value) for n in range(3)] == [
        "q0",
        "q1",
        "q2",
    ]
    assert client.keeper == 42
    client.close()
    assert msgspec.json.decode(client.ask(Request("again")).value) == "again"
    client.close()


def test_another_protocol_is_refused_with_the_version_to_install(serve: Callable[..., Path]) -> None:
    path = serve(echo, Hello(wire.PROTOCOL + 1, "9.8.7", 77, "store"))
    client = Client(path, HELLO)
    with pytest.raises(SchemaVersionError, match=r"process 77.*whatworks 9\.8\.7.*==9\.8\.7"):
        client.ask(Request("stats"))
    client.close()


def test_an_error_of_the_keeper_is_raised_as_it_is(serve: Callable[..., Path]) -> None:
    def full(request: Request) -> Reply:
        raise StoreFullError("no room")

    client = Client(serve(full), HELLO)
    reply = client.ask(Request("stats"))
    assert type(wire.error_of(reply)) is StoreFullError
    assert client.connected()  # an error ends no connection
    client.close()


def test_an_answer_that_is_too_long_is_an_error_and_not_the_end(
    serve: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_BYTES", 5_000)

    def answer(request: Request) -> Reply:
        return Reply("answer", wire.encoded("x" * (10_000 if request.ask == "long" else 1)))

    client = Client(serve(answer), HELLO)
    error = wire.error_of(client.ask(Request("long")))
    assert isinstance(error, InvalidInputError)
    assert client.ask(Request("short")).kind == "answer"
    client.close()


@pytest.mark.parametrize(
    "noise",
    [b"", b"\x00", b"\xff" * 100, os.urandom(1_000), b"\x00\x00\x00\x02{}"],
    ids=["nothing", "a byte", "too long", "noise", "no hello"],
)
def test_who_sends_garbage_disturbs_nobody(serve: Callable[..., Path], noise: bytes) -> None:
    path = serve(echo)
    client = Client(path, HELLO)
    client.ask(Request("before"))
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(path))
        stranger.sendall(noise)
        stranger.shutdown(socket.SHUT_WR)
        stranger.settimeout(10)
        with suppress(ConnectionResetError):
            assert stranger.recv(100) == b""
    assert msgspec.json.decode(client.ask(Request("after")).value) == "after"
    client.close()


def test_a_question_that_takes_long_is_waited_for(
    serve: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from whatworks import client as clients
    from whatworks import server

    monkeypatch.setattr(server, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(clients, "SILENCE_SECONDS", 0.4)
    going = threading.Event()

    def slow(request: Request) -> Reply:
        going.wait(1.0)  # longer than a silent keeper would be waited for
        return echo(request)

    client = Client(serve(slow), HELLO)
    assert msgspec.json.decode(client.ask(Request("slow")).value) == "slow"
    client.close()


def test_closing_the_server_ends_conversations_and_removes_the_socket(tmp_path: Path) -> None:
    asked, ended = threading.Event(), threading.Event()

    def never(request: Request) -> Reply:
        asked.set()
        ended.wait(30)
        raise Gone("closed meanwhile")

    path = tmp_path / "keeper.sock"
    server, client = Server(path, HELLO, never), Client(path, HELLO)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.ask, Request("x"))
        assert asked.wait(30)
        server.close()
        with pytest.raises(Gone):
            asking.result(30)
    ended.set()
    assert not path.exists()
    assert not client.connected()
    client.close()


def test_an_answer_of_another_version_is_an_error_of_ours() -> None:
    shape = wire.form(Desk.stats)
    with pytest.raises(errors.SchemaVersionError, match="same version"):
        shape.answer(Reply("answer", msgspec.Raw(b'{"path": 5}')))
