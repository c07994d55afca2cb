"""A handle on an open store: what every question and every write goes through."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from whatworks import checks
from whatworks.errors import NotFoundError, StoreClosedError
from whatworks.records import Pattern

if TYPE_CHECKING:
    from whatworks.answers import Answers
    from whatworks.differences import Differences
    from whatworks.keeper import Keeper
    from whatworks.predictions import Predictions
    from whatworks.writer import Writer

__all__ = ["Clock", "Handle"]

Clock = Callable[[], datetime]


class Handle:
    """The parts of an open store, and whether it is still open."""

    def __init__(self, keeper: Keeper, *, source: str, channel: str, clock: Clock) -> None:
        from whatworks.answers import Answers
        from whatworks.differences import Differences
        from whatworks.predictions import Predictions
        from whatworks.writer import Writer

        answers = Answers(keeper)
        self._parts = keeper, answers, Writer(keeper), Predictions(keeper, answers)
        self._diffs = Differences(keeper, answers, self._parts[3])
        self._origin = {"source": source, "channel": channel}
        self._clock = clock
        # Closes at the latest when the object or the interpreter goes.
        self._finalize = weakref.finalize(self, keeper.release)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store; a second call does nothing."""
        self._finalize()

    @property
    def _keeper(self) -> Keeper:
        self._check()
        return self._parts[0]

    @property
    def _answers(self) -> Answers:
        self._check()
        return self._parts[1]

    @property
    def _writer(self) -> Writer:
        self._check()
        return self._parts[2]

    @property
    def _predictions(self) -> Predictions:
        self._check()
        return self._parts[3]

    @property
    def _differences(self) -> Differences:
        self._check()
        return self._diffs

    @property
    def clock(self) -> Clock:
        """What this memory takes the time from."""
        return self._clock

    def _check(self) -> None:
        """Raise if this handle was closed, or the process forked; others may use the keeper on."""
        self._parts[0].check()
        if not self._finalize.alive:
            raise StoreClosedError("this memory is closed; open it again")

    def get_pattern(self, pattern_id: str) -> Pattern:
        """The pattern with this id.

        Raises
        ------
        NotFoundError
            No such pattern.
        """
        checked = checks.identifier(pattern_id, "pattern_id")
        found = self._answers.patterns([checked]).get(checked)
        if found is None:
            raise NotFoundError(f"there is no pattern {checks.shown(checked)} in this store")
        return found

    def _moment(self, as_of: datetime | None) -> datetime | None:
        return None if as_of is None else checks.moment(as_of, "as_of", self._clock())
