"""The keeper's socket: other processes of the same user ask, the keeper answers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from whatworks import system, wire
from whatworks.errors import InvalidInputError
from whatworks.wire import Gone, Hello, Reply, Request

__all__ = ["Server"]

# How often somebody who waits is told that his question is still at work.
BEAT_SECONDS = 1.0
RETRY_SECONDS = 0.05
HELLO_SECONDS = 5.0
MAX_CONNECTIONS = 256


class _Conversation:
    """One connection; while ``busy``, its client waits for an answer."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.busy = False
        self.used = monotonic()
        self._sending = threading.Lock()

    def say(self, message: Hello | Reply) -> None:
        with self._sending:
            self.busy = False
            self.used = monotonic()
            wire.send(self.connection, message)

    def beat(self) -> None:
        if not self._sending.acquire(blocking=False):
            return
        try:
            if self.busy:
                wire.send(self.connection, Reply("working"))
        except Gone:
            self.end()
        finally:
            self._sending.release()

    def end(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class Server:
    """Listens at ``path`` until ``close``.

    Parameters
    ----------
    path
        The socket; one that a dead keeper left is replaced.
    hello
        Who this is.
    answer
        Answers a request; raises ``Gone`` where another process has to.
    """

    def __init__(self, path: Path, hello: Hello, answer: Callable[[Request], Reply]) -> None:
        self._path = path
        self._hello = hello
        self._answer = answer
        self._conversations: set[_Conversation] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._listener = system.listen(path)
        if self._listener is not None:
            self._bound = _identity(path)
            system.close_in_child(self._listener)
            self._listener.settimeout(BEAT_SECONDS)
            threading.Thread(target=self._accept, name="whatworks-server", daemon=True).start()

    def _accept(self) -> None:
        listener = self._listener
        assert listener is not None
        beat = monotonic()
        while not self._closed:
            if monotonic() - beat >= BEAT_SECONDS:
                beat = monotonic()
                for conversation in list(self._conversations):
                    conversation.beat()
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:  # closed, or out of descriptors: the client tries again
                sleep(RETRY_SECONDS)
                continue
            system.close_in_child(connection)
            self._begin(_Conversation(connection))

    def _begin(self, conversation: _Conversation) -> None:
        with self._lock:
            if self._closed:
                conversation.connection.close()
                return
            if len(self._conversations) >= MAX_CONNECTIONS:
                self._make_room()
            self._conversations.add(conversation)
        target, name = self._converse, "whatworks-conversation"
        try:
            threading.Thread(target=target, args=(conversation,), name=name, daemon=True).start()
        except RuntimeError:  # no more threads: the client tries again
            with self._lock:
                self._conversations.discard(conversation)
            conversation.connection.close()

    def _make_room(self) -> None:
        """End the conversation that has been silent longest; its client connects anew when it asks."""
        idle = [each for each in self._conversations if not each.busy]
        if idle:
            min(idle, key=lambda each: each.used).end()

    def _converse(self, conversation: _Conversation) -> None:
        try:
            if system.peer_uid(conversation.connection) == os.getuid():
                self._greet(conversation)
                while not self._closed:
                    self._serve(conversation)
        except (Gone, TimeoutError, OSError):
            pass
        finally:
            with self._lock:
                self._conversations.discard(conversation)
            conversation.connection.close()

    def _greet(self, conversation: _Conversation) -> None:
        theirs = wire.receive(
            conversation.connection, Hello, patience=HELLO_SECONDS, limit=wire.MAX_REQUEST_BYTES
        )
        conversation.say(self._hello)
        if theirs.protocol != self._hello.protocol:
            raise Gone("it speaks another protocol; its hello was answered with ours")

    def _serve(self, conversation: _Conversation) -> None:
        request = wire.receive(
            conversation.connection, Request, patience=None, limit=wire.MAX_REQUEST_BYTES
        )
        conversation.busy = True
        try:
            reply = self._answer(request)
        except Gone:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the asker is to know
            reply = wire.failure(error)
        try:
            conversation.say(reply)
        except InvalidInputError as error:  # the answer is too long
            conversation.say(wire.failure(error))

    def reachable(self) -> bool:
        """Whether the socket is still in its place; where there are none, nothing is missing."""
        return self._listener is None or _identity(self._path) == self._bound

    def close(self) -> None:
        """Stop listening and end all conversations; their clients look for the next keeper."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._listener is None:
            return
        if self.reachable():  # else it is another keeper's
            with suppress(OSError):
                self._path.unlink()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for conversation in list(self._conversations):
            conversation.end()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
