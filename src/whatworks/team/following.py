"""Exchanging again and again: every second while the database answers, ever more seldom while not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from whatworks.errors import StoreBusyError, UnreachableError, WhatWorksError
from whatworks.team.exchange import Exchange, exchanging
from whatworks.team.records import TeamSync

if TYPE_CHECKING:
    from whatworks.keeper import Keeper

__all__ = ["Background", "follow"]

EVERY_SECONDS = 1.0
# After a failure it waits twice as long each time, up to this; after a refusal at once so long.
LONGEST_SECONDS = 30.0
# A command that is done in a moment opens no connection.
FIRST_SECONDS = 0.5
# How long a keeper that lets go waits for an exchange under way.
CLOSE_SECONDS = 2.0
PROBLEM = "the team: "


def follow(
    exchange: Exchange,
    stop: threading.Event,
    *,
    every: float = EVERY_SECONDS,
    done: Callable[[TeamSync], object] = lambda _: None,
    failed: Callable[[WhatWorksError], object] = lambda _: None,
) -> None:
    """Exchange every so many seconds until ``stop`` is set, and once more if it is connected then.

    ``done`` hears of each exchange, ``failed`` of what went wrong; both from this thread.
    """
    wait = every
    try:
        while True:
            try:
                done(exchange.once())
                wait = every
            except WhatWorksError as error:
                failed(error)
                wait = min(2 * wait, LONGEST_SECONDS)
                if not isinstance(error, UnreachableError):
                    wait = LONGEST_SECONDS
            if stop.wait(wait):
                break
        if exchange.connected:
            with suppress(WhatWorksError):
                done(exchange.once())
    finally:
        exchange.close()


class Background:
    """Exchanges while a keeper keeps a store, unless another process does.

    ``ships_last`` says whether what was written meanwhile is shipped also if that was a moment only.
    """

    def __init__(self, keeper: Keeper, *, ships_last: Callable[[], bool]) -> None:
        self._keeper = keeper
        self._ships_last = ships_last
        self._folder: Path = keeper.folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="whatworks-team", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        if self._stop.wait(FIRST_SECONDS) and not self._has_to_ship():
            return
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(exchanging(self._folder))
                    follow(
                        Exchange(self._folder, self._keeper.put_in_order, self._keeper.put_vectors),
                        self._stop,
                        every=EVERY_SECONDS,
                        done=self._done,
                        failed=self._failed,
                    )
                    return
                except StoreBusyError:  # it looks again, for that process may end
                    if self._stop.wait(EVERY_SECONDS):
                        return
                except Exception as error:  # noqa: BLE001 - shown in stats; the next keeper tries again
                    self._keeper.problems.note(f"{PROBLEM}{error}")
                    return

    def _has_to_ship(self) -> bool:
        return self._ships_last() and self._keeper.journal.acknowledged > 0

    def _done(self, told: TeamSync) -> None:
        self._keeper.problems.clear(PROBLEM)
        if told.problem:
            self._keeper.problems.note(f"{PROBLEM}{told.problem}")
        if told.fetched:
            self._keeper.upkeep.wake()

    def _failed(self, error: WhatWorksError) -> None:
        self._keeper.problems.clear(PROBLEM)
        self._keeper.problems.note(f"{PROBLEM}{error}")

    def close(self) -> None:
        """Ship once more, and end."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_SECONDS)
