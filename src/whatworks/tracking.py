"""Outcomes from what happens anyway: a block or a function that is a try of a pattern."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from whatworks.checks import MAX_TEXT_BYTES
from whatworks.errors import InvalidInputError, NotFoundError
from whatworks.redaction import Secrets
from whatworks.text import clean_text

if TYPE_CHECKING:
    from whatworks.memory import Memory
    from whatworks.records import UsageEvent

__all__ = ["Attempt", "Tracker", "known", "missed"]

P = ParamSpec("P")
T = TypeVar("T")
# What is said of the situation: the text itself, or what makes it from a call's arguments.
Context = str | Callable[..., str | None] | None

log = logging.getLogger("whatworks")
_counting = threading.Lock()


@dataclass(slots=True)
class Attempt:
    """One try that is under way; what is set here stands, whatever happens afterwards.

    ``outcome`` is a number from 0 to 1. ``state`` says "not_used" or "unknown"
    where there is none. ``files`` and ``tools`` may be appended to. ``event``
    is what was recorded, once it was.
    """

    pattern: str
    context: str | None = None
    outcome: float | None = None
    state: Literal["not_used", "unknown"] | None = None
    files: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    cost: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    event: UsageEvent | None = None
    started: float = field(default_factory=perf_counter)

    def ended(self, error: BaseException | None) -> None:
        """Take the end of the block for the outcome, unless it was said."""
        if self.outcome is not None or self.state is not None:
            return
        if error is None:
            self.outcome = 1.0
        elif isinstance(error, Exception) and not isinstance(error, asyncio.CancelledError):
            self.outcome = 0.0
        else:  # somebody stopped it: that says nothing of the approach
            self.state = "unknown"


# The blocks that this thread or task is in, the innermost last.
_open: ContextVar[tuple[tuple[Tracker, Attempt], ...]] = ContextVar("whatworks.attempts", default=())


class Tracker:
    """Records tries of a pattern, as ``with``, ``async with`` and decorator: see ``Memory.track``."""

    def __init__(
        self,
        memory: Memory,
        pattern: str,
        *,
        context: Context,
        outcome: Callable[[Any], float | bool | None] | None,
        pattern_type: str,
        prediction_id: str | None,
        session_id: str | None,
        metadata: dict[str, Any],
    ) -> None:
        self._memory = memory
        self._pattern = pattern
        self._context = context
        self._outcome = outcome
        self._type = pattern_type
        self._prediction_id = prediction_id
        self._session_id = session_id
        self._metadata = metadata
        self._id: str | None = None

    # -- blocks -----------------------------------------------------------------------------------

    def __enter__(self) -> Attempt:
        if callable(self._context):
            raise InvalidInputError("context is a function; expected text, as a block has no arguments")
        return self._enter(self._context)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        attempt = self._leave()
        if attempt is not None:
            attempt.ended(error)
            self._record(attempt)

    async def __aenter__(self) -> Attempt:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        attempt = self._leave()
        if attempt is not None:
            attempt.ended(error)
            await asyncio.to_thread(self._record, attempt)

    def _enter(self, context: str | None) -> Attempt:
        attempt = Attempt(self._pattern, context, metadata=dict(self._metadata))
        _open.set((*_open.get(), (self, attempt)))
        return attempt

    def _leave(self) -> Attempt | None:
        """The innermost open attempt of this tracker."""
        blocks = _open.get()
        for place in reversed(range(len(blocks))):
            if blocks[place][0] is self:
                _open.set(blocks[:place] + blocks[place + 1 :])
                return blocks[place][1]
        self._missed(
            f"a try of {self._pattern!r} was not recorded",
            RuntimeError("its block was left in another thread or task than it was entered in"),
        )
        return None

    # -- functions --------------------------------------------------------------------------------

    def __call__(self, function: Callable[P, T], /) -> Callable[P, T]:
        """Every call of ``function`` is a try."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidInputError(
                f"{function.__qualname__} is a generator; expected a function that returns: "
                "track the block that uses it"
            )
        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, T]", self._tracked_async(function))

        @functools.wraps(function)
        def tracked(*args: P.args, **kwargs: P.kwargs) -> T:
            with ExitStack() as stack:
                attempt = self._enter(self._situation(args, kwargs))
                stack.push(self.__exit__)
                result = function(*args, **kwargs)
                self._judge(attempt, result)
                return result

        return tracked

    def _tracked_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def tracked(*args: Any, **kwargs: Any) -> Any:
            async with AsyncExitStack() as stack:
                attempt = self._enter(self._situation(args, kwargs))
                stack.push_async_exit(self.__aexit__)
                result = await function(*args, **kwargs)
                self._judge(attempt, result)
                return result

        return tracked

    def _situation(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        if not callable(self._context):
            return self._context
        try:
            return self._context(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - it is not what the caller asked for
            self._missed(f"the context of {self._pattern!r} could not be told", error)
            return None

    def _judge(self, attempt: Attempt, result: object) -> None:
        if self._outcome is None or attempt.outcome is not None or attempt.state is not None:
            return
        try:
            said = self._outcome(result)
            attempt.outcome = None if said is None else float(said)
        except Exception as error:  # noqa: BLE001 - as above
            self._missed(f"the outcome of {self._pattern!r} could not be told", error)
            said = None
        if said is None:
            attempt.state = "unknown"

    # -- recording --------------------------------------------------------------------------------

    def _record(self, attempt: Attempt) -> None:
        """Whatever goes wrong here is not the caller's business: it is logged and counted."""
        took = 1e3 * (perf_counter() - attempt.started)
        try:
            attempt.event = self._memory.record(
                self._known(),
                outcome=attempt.outcome,
                state=attempt.state,
                context=None
                if attempt.context is None
                else _kept(attempt.context, self._memory.secrets),
                files=attempt.files,
                tools=attempt.tools,
                duration_ms=took,
                cost=attempt.cost,
                metadata=attempt.metadata,
                prediction_id=self._prediction_id,
                session_id=self._session_id,
            )
        except Exception as error:  # noqa: BLE001
            self._missed(f"a try of {attempt.pattern!r} was not recorded", error)

    def _known(self) -> str:
        """The id of the pattern: what was given, or that of the description which was given."""
        if self._id is None:
            self._id = known(self._memory, self._pattern, self._type)
        return self._id

    def _missed(self, what: str, error: Exception) -> None:
        missed(self._memory, what, error)


def known(memory: Memory, pattern: str, pattern_type: str) -> str:
    """The id of ``pattern``, which is an id, or the description of an approach that is added."""
    try:
        return memory.get_pattern(pattern).pattern_id
    except (NotFoundError, InvalidInputError):
        return memory.add_pattern(pattern, pattern_type=pattern_type).pattern_id


def missed(memory: Memory, what: str, error: Exception) -> None:
    """Log and count what could not be recorded or told: it is not the caller's business."""
    with _counting:
        memory.untracked += 1
    said = memory.secrets.redacted(f"{what}: {type(error).__name__}: {error}")
    log.warning("%s", said)


def _kept(context: str, secrets: Secrets) -> str | None:
    """A situation as it may be recorded: what comes from a program need not be clean or short."""
    # Before it is cut: of a secret that is cut in two the rest would not look like one.
    return clean_text(secrets.redacted(clean_text(context)), max_bytes=MAX_TEXT_BYTES) or None
