"""A network between a machine and a server, which can be cut."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

__all__ = ["Cut", "Network"]

# How it is cut: nothing passes any more and nobody is told; only what the server says is lost, as
# behind a one-way filter; or every connection is torn down and new ones are refused.
Cut = Literal["black hole", "half open", "refused"]
BLOCK = 64 << 10


class Network:
    """Passes bytes between a port of its own and that of a server, until it is cut.

    What was on its way when it was cut is lost. Once it is mended, connections from before go on being
    silent, as those do whose state a router has forgotten: whoever has one must notice by himself.
    """

    host = "127.0.0.1"
    inside: tuple[str, ...] = ()  # what to put before a command that is to run behind it

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._cut: Cut | None = None
        self._generation = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def cut(self, how: Cut) -> None:
        """Let nothing pass from now on."""
        self._generation += 1
        self._cut = how
        if how == "refused":
            self._call(self._tear)

    def mend(self) -> None:
        """Let new connections pass."""
        self._cut = None

    def _call(self, what: Callable[[], None]) -> None:
        async def called() -> None:
            what()

        self._do(called())

    def _tear(self) -> None:
        for writer in list(self._writers):
            with suppress(Exception):
                writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        born = self._generation
        try:
            if self._cut == "refused":
                return
            while self._cut is not None:  # taken, as by a router, and not answered
                await asyncio.sleep(0.05)
            try:
                there, back = await asyncio.open_connection(*self._target)
            except OSError:
                return
            self._writers.add(back)
            try:
                ways = (
                    asyncio.create_task(self._pass(reader, back, born, answers=False)),
                    asyncio.create_task(self._pass(there, writer, born, answers=True)),
                )
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
            finally:
                self._writers.discard(back)
                back.close()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, born: int, *, answers: bool
    ) -> None:
        with suppress(OSError):
            while data := await source.read(BLOCK):
                if born == self._generation or (self._cut == "half open" and not answers):
                    target.write(data)
                    await target.drain()
            # Not even that one of them hung up passes.
            while born != self._generation and self._cut != "refused":
                await asyncio.sleep(0.2)

    def close(self) -> None:
        """End it and every connection."""
        self._do(self._ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()

    async def _ended(self) -> None:
        self._server.close()
        self._tear()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait(others, timeout=5) if others else None
