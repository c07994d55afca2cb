"""The upkeep of a store: a thread that does what is due while nobody asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from whatworks import system
from whatworks.journal import Journal
from whatworks.problems import Problems

__all__ = ["Upkeep"]

# How often it looks for what other processes wrote.
LOOK_SECONDS = 0.25
# How long the background work lets writes gather before it folds them.
GATHER_SECONDS = 0.2
# While so much more is written in that time, it waits on, but not longer than this.
BURST_SECONDS, BURST_BYTES = 1.0, 256 << 10
STOPPED = "background work stopped"


class Upkeep:
    """Looks whether something is due, and tends the store once writes have gathered.

    Parameters
    ----------
    journal
        What this process writes; as long as much comes the store is not tended.
    problems
        Where it is noted that tending failed; it is tried again when something is due again.
    stop
        Ends it once set.
    look
        Called a few times a second, whatever else there is to do.
    due
        Whether there is something to do that ``wake`` was not called for.
    tend
        Does all that there is to do.
    rest
        Called after a look if there is nothing to do.
    """

    def __init__(
        self,
        journal: Journal,
        problems: Problems,
        stop: threading.Event,
        *,
        look: Callable[[], object],
        due: Callable[[], bool],
        tend: Callable[[], object],
        rest: Callable[[], object],
    ) -> None:
        self._journal = journal
        self._problems = problems
        self._stop = stop
        self._look = look
        self._due = due
        self._tend = tend
        self._rest = rest
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it has begun, or all is over; for one thread at a time."""
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(target=self._work, name="whatworks-keeper", daemon=True)
            self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether its own thread asks."""
        return threading.current_thread() is self._thread

    def wake(self) -> None:
        """Something was written: have it folded soon."""
        self._wake.set()

    def join(self) -> None:
        """Wait until it has ended, once ``stop`` is set; its own thread does not wait for itself."""
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            woken = self._wake.wait(LOOK_SECONDS)
            try:
                self._look()
                if not (woken or self._due()):
                    self._rest()
                    continue
                self._wake.clear()
                if self._gather():
                    return
                with system.taking_turns():
                    self._tend()
                self._problems.clear(STOPPED)
            except Exception as error:  # noqa: BLE001 - shown in stats; the next write tries again
                if not self._stop.is_set():
                    self._problems.note(f"{STOPPED}: {error}")

    def _gather(self) -> bool:
        """Wait for the rest of a burst of writes, in one fold it takes less time; true if all ends."""
        until, before = monotonic() + BURST_SECONDS, self._written()
        while not self._stop.wait(GATHER_SECONDS):
            if self._written() < before + BURST_BYTES or monotonic() >= until:
                return False
            before = self._written()
        return True

    def _written(self) -> int:
        position = self._journal.position()
        return 0 if position is None else position[1]
