"""The memory behind the server: opened when it is first needed, while the handshake goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whatworks.memory import Memory
    from whatworks.records import Prediction

__all__ = ["Source"]

ABSORB_SECONDS = 2.0
log = logging.getLogger("whatworks")


class Source:
    """Opens a memory once, from whichever thread comes first.

    Parameters
    ----------
    open_memory
        Opens it; what it raises, every call of ``memory`` raises.
    store
        Its folder, where hooks leave what happened: it is taken in every few seconds.
    apart
        Stands before every id that a client gives a try: else a stranger could take
        those that the owner's own programs will use.
    """

    def __init__(
        self, open_memory: Callable[[], Memory], store: Path | None = None, *, apart: str = ""
    ) -> None:
        self._open = open_memory
        self._apart = apart
        self._store = store
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._memory: Memory | None = None

    def memory(self) -> Memory:
        """The memory, open."""
        with self._lock:
            if self._memory is None:
                self._memory = self._open()
            return self._memory

    def own_id(self, given: str | None) -> str | None:
        """The id of a try as it is kept."""
        return given if given is None else self._apart + given

    def warm(self) -> None:
        """Open it in a thread of its own, and have the model loaded before somebody waits for it."""
        threading.Thread(target=self._warm, name="whatworks-mcp-warm", daemon=True).start()

    def _warm(self) -> None:
        with suppress(Exception):  # the first call says what is wrong
            self.memory().find_similar("what works", limit=1)
        if self._store is None:
            return
        from whatworks.hooks.absorb import absorb_store

        while not self._stop.wait(ABSORB_SECONDS):
            try:
                absorb_store(self._store)
            except Exception as error:  # noqa: BLE001 - what hooks left waits for the next time
                log.warning("what hooks wrote waits: %s", error)

    def showed(self, made: Prediction, session: str) -> None:
        """Take down what a session was shown: its hooks tell what became of it."""
        if self._store is not None:
            from whatworks.hooks.absorb import showed

            with suppress(OSError):
                showed(self._store, made, session)

    def close(self) -> None:
        """Let go of the memory."""
        self._stop.set()
        with self._lock:
            if self._memory is not None:
                self._memory.close()
