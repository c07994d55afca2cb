"""What goes over a keeper's socket: messages of JSON behind their length in four bytes.

A client says hello, then asks one question at a time; the keeper answers it
or says why not, and meanwhile once a second that it is still at work. What may be asked is what
``Desk`` has, by name; arguments and answers are typed by its annotations. New
fields of messages have defaults and unknown ones are ignored, so that minor
versions understand each other; a change that breaks this raises ``PROTOCOL``.
"""

from __future__ import annotations

import inspect
import socket
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, get_type_hints

import msgspec

from whatworks import errors
from whatworks.desk import Desk

__all__ = [
    "HAND_OVER",
    "MAX_BYTES",
    "MAX_REQUEST_BYTES",
    "PROTOCOL",
    "Form",
    "Gone",
    "Hello",
    "Reply",
    "Request",
    "encoded",
    "error_of",
    "failure",
    "form",
    "hints",
    "question",
    "receive",
    "send",
]

PROTOCOL = 1
# A page of events has a few megabytes, a long answer as much.
MAX_BYTES = 64 << 20
# A question is some kilobytes; only answers are long.
MAX_REQUEST_BYTES = 16 << 20
# Asks the keeper to give the store to the one who asks.
HAND_OVER = "hand over"
# Whoever has begun a message finishes it in this time, in seconds.
MESSAGE_SECONDS = 10.0

Message = TypeVar("Message")


class Gone(Exception):  # noqa: N818 - never leaves the library
    """The other side is not there any more, or speaks another language.

    ``asked`` says whether it had been asked already.
    """

    asked = False


class Hello(msgspec.Struct):
    """Who is at the other end; the first message of both sides."""

    protocol: int
    version: str
    pid: int
    store_id: str


class Request(msgspec.Struct):
    """A question, its arguments by name, and how far the asker has written: segment, offset."""

    ask: str
    values: dict[str, msgspec.Raw] = {}
    position: tuple[str, int] | None = None


class Reply(msgspec.Struct):
    """``answer``, ``error`` or ``working``; ``stamp`` is the keeper's clock."""

    kind: str
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    message: str = ""
    pid: int | None = None
    stamp: int = 0


class Form:
    """How a question of the desk is written and read."""

    def __init__(self, question: Callable[..., Any]) -> None:
        kinds = hints(question)
        self.name = question.__name__
        self._signature = inspect.signature(question)
        self._answer = msgspec.json.Decoder(kinds.pop("return"))
        self._values = {name: msgspec.json.Decoder(kind) for name, kind in kinds.items()}

    def request(
        self, given: tuple[Any, ...], named: dict[str, Any], position: tuple[str, int] | None
    ) -> Request:
        """The message that asks with these arguments."""
        bound = self._signature.bind(None, *given, **named).arguments
        bound.pop("self")
        values = {name: encoded(value) for name, value in bound.items()}
        return Request(self.name, values, position)

    def values(self, request: Request) -> dict[str, Any]:
        """The arguments of a message."""
        return {name: self._values[name].decode(raw) for name, raw in request.values.items()}

    def answer(self, reply: Reply) -> Any:
        """The answer in a message."""
        try:
            return self._answer.decode(reply.value)
        except msgspec.MsgspecError as error:
            raise errors.SchemaVersionError(
                f"the store is kept by another version of whatworks, whose {self.name} this one does "
                f"not understand: run both with the same version ({error})"
            ) from error


def hints(question: Callable[..., Any]) -> dict[str, Any]:
    """Its annotations; of the records only those that they name are loaded."""
    import whatworks.records

    records: dict[str, Any] = {}
    while True:
        try:
            return get_type_hints(question, localns=records)
        except NameError as error:
            home = whatworks if error.name in whatworks.__all__ else whatworks.records
            if error.name is None or error.name not in home.__all__:
                raise
            records[error.name] = getattr(home, error.name)


@cache
def form(question: Callable[..., Any]) -> Form:
    """The form of a question."""
    return Form(question)


@cache
def question(name: str) -> Callable[..., Any] | None:
    """The question of this name, ``None`` if there is none, or none that can be sent."""
    found = getattr(Desk, name, None)
    if name.startswith("_") or not inspect.isfunction(found):
        return None
    try:
        form(found)
    except (NameError, TypeError):  # it takes what stays in one process
        return None
    return found


def encoded(value: object) -> msgspec.Raw:
    """A value as a part of a message."""
    return msgspec.Raw(msgspec.json.encode(value))


def failure(error: Exception) -> Reply:
    """An error as a message."""
    if not isinstance(error, errors.WhatWorksError):
        error = errors.StoreError(f"the keeper failed: {error!r}")
    pid = getattr(error, "pid", None)
    return Reply("error", error=type(error).__name__, message=str(error), pid=pid)


def error_of(reply: Reply) -> errors.WhatWorksError:
    """The exception that a message stands for."""
    if reply.error == "StoreBusyError":
        return errors.StoreBusyError(reply.message, reply.pid)
    kind = getattr(errors, reply.error, errors.StoreError) if reply.error in errors.__all__ else None
    if not (isinstance(kind, type) and issubclass(kind, errors.WhatWorksError)):
        kind = errors.StoreError
    return kind(reply.message)


# -- bytes ----------------------------------------------------------------------------------------


def send(connection: socket.socket, message: msgspec.Struct, *, limit: int | None = None) -> None:
    """Send one message of at most ``limit`` bytes, else ``MAX_BYTES``."""
    body = msgspec.json.encode(message)
    limit = MAX_BYTES if limit is None else limit
    if len(body) > limit:
        raise errors.InvalidInputError(
            f"this takes {len(body) / 1e6:,.0f} MB between processes, at most "
            f"{limit / 1e6:,.0f} are possible; ask for less at a time"
        )
    try:
        connection.sendall(struct.pack("!I", len(body)) + body)
    except OSError as error:
        raise Gone(str(error)) from error


def receive(
    connection: socket.socket, kind: type[Message], *, patience: float | None, limit: int = MAX_BYTES
) -> Message:
    """The next message; wait for its beginning ``patience`` seconds, without it for ever.

    Raises
    ------
    TimeoutError
        Nothing came.
    Gone
        The connection ended, or what came is no such message.
    """
    connection.settimeout(patience)
    head = _exactly(connection, 4)
    (length,) = struct.unpack("!I", head)
    if length > limit:
        raise Gone(f"a message of {length} bytes")
    connection.settimeout(MESSAGE_SECONDS)
    try:
        return msgspec.json.decode(_exactly(connection, length), type=kind)
    except TimeoutError as error:
        raise Gone("half a message") from error
    except msgspec.MsgspecError as error:
        raise Gone(str(error)) from error


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = connection.recv(min(count - len(parts), 1 << 20))
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone(str(error)) from error
        if not part:
            raise Gone("the connection ended")
        parts += part
    return bytes(parts)
