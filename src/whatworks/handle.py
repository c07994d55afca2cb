"""A handle on an open store: what every question and every write goes through."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from whatworks import checks
from whatworks.channels import CHECKING
from whatworks.desk import Desk
from whatworks.errors import NotFoundError, StoreClosedError
from whatworks.link import Link
from whatworks.records import Pattern
from whatworks.redaction import Secrets

if TYPE_CHECKING:
    from whatworks.keeper import Keeper
    from whatworks.writer import Writer

__all__ = ["Clock", "Handle"]

Clock = Callable[[], datetime]
P = ParamSpec("P")
T = TypeVar("T")


class Handle:
    """The link to an open store, and whether this handle of it is still open."""

    def __init__(self, link: Link, *, source: str, channel: str, checking: bool, clock: Clock) -> None:
        self._shared = link
        self._write: Writer | None = None
        self._origin = {"source": source, "channel": channel}
        self._checking = checking or channel in CHECKING
        self._clock = clock
        # What ``track`` could not record, or could not tell, since this was opened.
        self.untracked = 0
        # Closes at the latest when the object goes, or the interpreter (see ``link``).
        self._finalize = weakref.finalize(self, link.release_later)
        self._finalize.atexit = False

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
        if self._finalize.detach() is not None:
            self._shared.release()

    @property
    def _link(self) -> Link:
        self._check()
        return self._shared

    @property
    def _writer(self) -> Writer:
        self._check()
        if self._write is None:  # who only asks writes nothing
            from whatworks.writer import Writer

            self._write = Writer(self._shared)
        return self._write

    @property
    def _keeper(self) -> Keeper:
        """The keeper, which this process becomes for it; for tests."""
        with self._link.kept() as desk:
            return desk.keeper

    @property
    def clock(self) -> Clock:
        """What this memory takes the time from."""
        return self._clock

    @property
    def secrets(self) -> Secrets:
        """Takes secrets out of texts as they are before they are written; see ``redaction``."""
        return self._shared.secrets

    def _ask(self, question: Callable[Concatenate[Desk, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of whoever keeps the store."""
        self._check()
        return self._shared.ask(question, *args, **kwargs)

    def _check(self) -> None:
        """Raise if this handle was closed, or the process forked; others may use the link on."""
        self._shared.check()
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
        found = self._ask(Desk.patterns, [checked]).get(checked)
        if found is None:
            raise NotFoundError(f"there is no pattern {checks.shown(checked)} in this store")
        return found

    def _moment(self, value: datetime | None, name: str = "as_of") -> datetime | None:
        return None if value is None else checks.moment(value, name, self._clock())
