"""The stores behind a server of many namespaces: opened when first used, closed when idle."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from whatworks.errors import StoreBusyError, StoreError, WhatWorksError
from whatworks.mcp.source import Source
from whatworks.spaces import names

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["IDLE_SECONDS", "MOST_OPEN", "Pool"]

# An open store of some size holds 50 to 100 MB, so these are at most 1.6 GB.
MOST_OPEN = 16
# To open one again takes a tenth of a second; an agent asks every few of them while it works.
IDLE_SECONDS = 60.0
# How long a request waits for one of the others to be let go of.
PATIENCE_SECONDS = 2.0
LOOK_SECONDS = 5.0
log = logging.getLogger("whatworks")


@dataclass
class _Open:
    """One namespace, and a handle on it for each source that writes there."""

    users: int = 0
    used_at: float = 0.0
    sources: dict[str, Source] = field(default_factory=dict)
    opening: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        for source in self.sources.values():
            with suppress(WhatWorksError):
                source.close()


class Pool:
    """Lends the memory of a namespace for as long as a call takes, from any thread.

    Parameters
    ----------
    root
        The folder of all namespaces.
    open_memory
        Opens the store in a folder for a source.
    most
        How many are open at once; one more waits until another is not in use.
    """

    def __init__(
        self,
        root: Path,
        open_memory: Callable[[Path, str], Memory],
        *,
        most: int = MOST_OPEN,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._root, self._open_memory = root, open_memory
        self._most, self._idle_seconds = most, idle_seconds
        self._turn = threading.Condition()
        self._open: dict[str, _Open] = {}
        self._stop = threading.Event()

    def take(self, namespace: str, source: str) -> Source:
        """The memory of a namespace for a source; ``give_back`` has to follow.

        Raises
        ------
        StoreBusyError
            As many as may be are open and in use.
        StoreError
            It cannot be opened; the log says why, for that is no business of clients.
        """
        place = names.folder(self._root, namespace)
        entry = self._entered(namespace)
        try:
            with entry.opening:
                if source not in entry.sources:
                    made = Source(lambda: self._open_memory(place, source), apart=f"{source}/")
                    made.memory()
                    entry.sources[source] = made
                return entry.sources[source]
        except WhatWorksError as error:
            self.give_back(namespace)
            log.warning("namespace %s cannot be opened: %s", namespace, error)
            raise StoreError(
                f"namespace {namespace!r} cannot be opened now; the server's log says why"
            ) from error
        except BaseException:
            self.give_back(namespace)
            raise

    def give_back(self, namespace: str) -> None:
        """Say that a call is done."""
        with self._turn:
            entry = self._open.get(namespace)  # one in use is only ever taken out by ``close``
            if entry is not None:
                entry.users -= 1
                entry.used_at = monotonic()
                if not entry.users and not entry.sources:
                    del self._open[namespace]  # it could not be opened, and takes no other's place
                self._turn.notify_all()

    def opened(self) -> list[str]:
        """The namespaces that are open, those not used for the longest time first."""
        with self._turn:
            return sorted(self._open, key=lambda name: self._open[name].used_at)

    def _entered(self, namespace: str) -> _Open:
        """The entry of a namespace, which counts one user more."""
        taken: list[_Open] = []
        try:
            with self._turn:
                if namespace not in self._open:
                    room = self._turn.wait_for(
                        lambda: namespace in self._open or self._has_room(taken), PATIENCE_SECONDS
                    )
                    if not room:
                        raise StoreBusyError(
                            f"{self._most} namespaces are in use, as many as may be; "
                            "ask again in a moment"
                        )
                entry = self._open.setdefault(namespace, _Open())
                entry.users += 1
                return entry
        finally:
            _close(taken)  # which takes a while, and nobody need wait for it

    def _has_room(self, taken: list[_Open]) -> bool:
        """Whether one more may be opened; takes out the one that was idle for the longest time."""
        if len(self._open) < self._most:
            return True
        idle = [name for name, entry in self._open.items() if not entry.users]
        if not idle:
            return False
        taken.append(self._open.pop(min(idle, key=lambda name: self._open[name].used_at)))
        return True

    def watch(self) -> None:
        """Close what is idle from now on, in a thread of its own."""
        threading.Thread(target=self._watch, name="whatworks-mcp-idle", daemon=True).start()

    def _watch(self) -> None:
        while not self._stop.wait(min(LOOK_SECONDS, self._idle_seconds)):
            self.close_idle()

    def close_idle(self) -> None:
        """Close the namespaces that nobody has used for a while."""
        before = monotonic() - self._idle_seconds
        with self._turn:
            idle = [n for n, entry in self._open.items() if not entry.users and entry.used_at < before]
            taken = [self._open.pop(name) for name in idle]
        _close(taken)

    def close(self) -> None:
        """Close all."""
        self._stop.set()
        with self._turn:
            taken, self._open = list(self._open.values()), {}
        _close(taken)


def _close(taken: list[_Open]) -> None:
    for entry in taken:
        entry.close()
