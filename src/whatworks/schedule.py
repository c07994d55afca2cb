"""When the next backup is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from whatworks.backup import newest
from whatworks.errors import WhatWorksError

__all__ = ["Schedule"]

# A backup that failed, on a full disk for example, is tried again after this part of the interval.
RETRY = 10


class Schedule:
    """Calls ``make`` whenever the newest backup in ``folder`` is older than ``every``.

    Parameters
    ----------
    store_id
        Whose backups count.
    failed
        Called with the error where ``make`` raised one.
    """

    def __init__(
        self,
        make: Callable[[], object],
        *,
        folder: Path,
        store_id: str,
        every: timedelta,
        clock: Callable[[], datetime],
        failed: Callable[[WhatWorksError], object],
    ) -> None:
        self._make = make
        self._every = every
        self._clock = clock
        self._failed = failed
        made = newest(folder, store_id)
        now = clock()
        self._due = now if made is None else min(made, now) + every

    def tick(self) -> None:
        """Make a backup if one is due."""
        now = self._clock()
        self._due = min(self._due, now + self._every)  # the clock may have been set back
        if now < self._due:
            return
        try:
            self._make()
        except WhatWorksError as error:
            self._failed(error)
            self._due = self._clock() + self._every / RETRY
        else:
            self._due = self._clock() + self._every
