"""Asking the process that keeps a store."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

from whatworks import system, wire
from whatworks.errors import SchemaVersionError, StoreBusyError, StoreError
from whatworks.lock import holder
from whatworks.wire import Gone, Hello, Reply, Request

__all__ = ["Client"]

# A keeper that neither answers nor says that it works for so long is stuck.
SILENCE_SECONDS = 10.0


class Client:
    """Connections to the keeper of one store, one for each thread that asks at the same time."""

    def __init__(self, path: Path, hello: Hello) -> None:
        self._path = path
        self._hello = hello
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()
        self.keeper = 0  # the keeper's process

    def connected(self) -> bool:
        """Whether some process seems to listen."""
        with self._lock:
            if self._idle:
                return True
        try:
            connection = self._connect()
        except Gone:
            return False
        with self._lock:
            self._idle.append(connection)
        return True

    def ask(self, request: Request) -> Reply:
        """The keeper's reply.

        Raises
        ------
        Gone
            There is no keeper, or it went before it answered.
        StoreBusyError
            It is there and does not answer.
        SchemaVersionError
            It speaks another protocol.
        """
        connection = self._taken() or self._connect()
        try:
            wire.send(connection, request, limit=wire.MAX_REQUEST_BYTES)
            reply = self._reply(connection)
        except BaseException as error:
            self._drop(connection)
            self.close()  # the others lead to the same process
            if isinstance(error, Gone):
                error.asked = True
            raise
        with self._lock:
            self._idle.append(connection)
        return reply

    def _reply(self, connection: socket.socket) -> Reply:
        while True:
            try:
                reply = wire.receive(connection, Reply, patience=SILENCE_SECONDS)
            except TimeoutError as error:
                raise self._silent(self.keeper) from error
            if reply.kind != "working":
                return reply

    def _silent(self, pid: int) -> StoreBusyError:
        return StoreBusyError(
            f"process {pid} keeps the store {self._path.parent} and has not answered for "
            f"{SILENCE_SECONDS:.0f} seconds; end it, and another takes over",
            pid,
        )

    def _taken(self) -> socket.socket | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self) -> socket.socket:
        try:
            connection = system.connect(self._path, SILENCE_SECONDS)
        except OSError as error:
            raise Gone(str(error)) from error
        system.close_in_child(connection)
        try:
            if system.peer_uid(connection) != os.getuid():
                raise StoreError(f"{self._path} belongs to another user; remove it")
            wire.send(connection, self._hello)
            theirs = wire.receive(connection, Hello, patience=SILENCE_SECONDS)
        except TimeoutError as error:
            self._drop(connection)
            raise self._silent(holder(self._path.parent) or 0) from error
        except BaseException:
            self._drop(connection)
            raise
        if theirs.protocol != self._hello.protocol:
            self._drop(connection)
            raise SchemaVersionError(
                f"the store is kept by process {theirs.pid}, which runs whatworks {theirs.version}, "
                f"and this is {self._hello.version}: pip install whatworks=={theirs.version}, or "
                "upgrade that one"
            )
        self.keeper = theirs.pid
        return connection

    def _drop(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.close()

    def close(self) -> None:
        """Let go of all connections; the next question makes a new one."""
        while (connection := self._taken()) is not None:
            self._drop(connection)
