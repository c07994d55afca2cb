"""One run of an agent, in whatever framework: what it is told, what its tools did, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, TypeVar

from whatworks.checks import known_identifier, outcome
from whatworks.errors import InvalidInputError, MissingExtraError
from whatworks.following import followed
from whatworks.hooks.spool import trimmed
from whatworks.ids import content_id, uuid7
from whatworks.prompting import shown
from whatworks.records import NewEvent
from whatworks.redaction import Secrets
from whatworks.text import clean_text
from whatworks.tracking import Attempt, Tracker, known, missed

if TYPE_CHECKING:
    from whatworks.memory import Memory
    from whatworks.records import Suggestion

__all__ = ["TOOL", "Judge", "Told", "Watcher", "missing", "situation_of", "tool_pattern"]

T = TypeVar("T")
# Makes the outcome of a run from what it answered; None is not known.
Judge = Callable[[str], float | bool | None]

TOOL = "tool"


def missing(extra: str) -> MissingExtraError:
    """What is raised where the framework is not installed."""
    return MissingExtraError(
        f"whatworks.integrations.{extra.replace('-', '_')} needs its extra: "
        f"pip install 'whatworks[{extra}]'"
    )


def situation_of(said: object, secrets: Secrets) -> str | None:
    """A prompt as a situation: clean, without secrets, cut in the middle if it is long."""
    return clean_text(trimmed(said, secrets)) or None if isinstance(said, str) else None


@dataclass(frozen=True, slots=True)
class Told:
    """What a run was told at its beginning: plain values, which a framework may keep as JSON.

    ``shown`` are the descriptions of the patterns in ``text``, by id.
    """

    situation: str | None = None
    run_id: str = field(default_factory=uuid7)
    text: str = ""
    prediction_id: str | None = None
    shown: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, kept: object) -> Told:
        """What ``dataclasses.asdict`` made of one, whichever version did."""
        names = {item.name for item in fields(cls)}
        given = kept if isinstance(kept, Mapping) else {}
        return cls(**{name: value for name, value in given.items() if name in names})


class Watcher:
    """Tells runs what works, and takes down how their tools and they themselves ended.

    Whatever is wrong with the store is logged and counted in
    ``memory.untracked``; a run notices nothing.

    Parameters
    ----------
    memory
        What is asked and told.
    framework
        Its name, kept with every try.
    pattern
        An id or a description: what a run as a whole is a try of, such as a prompt. Default: nothing.
    limit
        How many patterns are suggested; 0 suggests nothing.
    tools
        Whether calls of tools are recorded as tries of ``Use the tool NAME``.
    outcome
        Makes the outcome of a run from its answer. Default: what ends has worked.
    """

    def __init__(
        self,
        memory: Memory,
        framework: str,
        *,
        pattern: str | None = None,
        limit: int = 3,
        tools: bool = True,
        outcome: Judge | None = None,
    ) -> None:
        if pattern is not None:
            known_identifier(pattern, "pattern")
        if limit < 0:
            raise InvalidInputError(f"limit is {limit}; expected 0 or more")
        self.memory = memory
        self.tools = tools
        self._metadata = {"framework": framework}
        self._pattern = pattern
        self._limit = limit
        self._outcome = outcome

    # -- told -------------------------------------------------------------------------------------

    def tell(self, asked: Callable[[], object]) -> Told:
        """What works in the situation that ``asked`` gives; empty if nothing is known."""
        situation = self.safely(
            "a situation could not be read", lambda: situation_of(asked(), self.memory.secrets), None
        )
        if situation is None or not self._limit:
            return Told(situation)

        def ask() -> Told:
            made = self.memory.suggest(situation, limit=self._limit)
            return Told(situation, made.prediction_id, made.text, made.prediction_id, _shown(made))

        return self.safely("nothing was suggested", ask, Told(situation))

    # -- done -------------------------------------------------------------------------------------

    def tool(self, name: str, told: Told, *, session_id: str | None = None) -> Tracker:
        """A block that is a call of the tool ``name``."""
        description = tool_pattern(name)
        named = told.prediction_id if content_id(TOOL, description) in told.shown else None
        return self.memory.track(
            description,
            context=told.situation,
            pattern_type=TOOL,
            prediction_id=named,
            session_id=session_id,
            metadata=self._metadata,
        )

    def ended(
        self,
        told: Told,
        error: BaseException | None = None,
        *,
        tools: Sequence[str] = (),
        done: Sequence[str] = (),
        said: str = "",
        session_id: str | None = None,
    ) -> None:
        """Close what the run was told: what was followed has its outcome, the rest is ``not_used``.

        Called again it corrects. ``tools`` names those that were called, ``done``
        says what was done in words, ``said`` is the answer.
        """
        attempt = self._judged(error, said)
        self.safely(
            "what a run was told stays open",
            lambda: self._write(self._events(told, attempt, tools, done, said, session_id)),
            None,
        )

    def _judged(self, error: BaseException | None, said: str) -> Attempt:
        attempt = Attempt("")
        if error is None and self._outcome is not None:
            attempt.outcome = self.safely(
                "the outcome of a run could not be told", lambda: self._judge(said), None
            )
            attempt.state = "unknown" if attempt.outcome is None else None
        attempt.ended(error)
        return attempt

    def _judge(self, said: str) -> float | None:
        found = None if self._outcome is None else self._outcome(said)
        return None if found is None else outcome(found)

    def _events(
        self,
        told: Told,
        attempt: Attempt,
        tools: Sequence[str],
        done: Sequence[str],
        said: str,
        session_id: str | None,
    ) -> list[NewEvent]:
        called = {content_id(TOOL, tool_pattern(name)) for name in tools} if self.tools else set()
        # Those whose calls were recorded name the prediction already.
        used = {
            name: followed(description, done, said)
            for name, description in told.shown.items()
            if name not in called
        }
        if self._pattern is not None:
            used[known(self.memory, self._pattern, "run")] = True
        return [
            NewEvent(
                name,
                outcome=attempt.outcome if tried else None,
                state=attempt.state if tried else "not_used",
                context=told.situation,
                event_id=f"run-{content_id(told.run_id, name)}",
                session_id=session_id,
                prediction_id=told.prediction_id if name in told.shown else None,
                metadata=self._metadata,
            )
            for name, tried in used.items()
        ]

    def _write(self, events: Sequence[NewEvent]) -> None:
        """Record what is new, and resolve anew what was recorded of the same run before."""
        if not events:
            return
        there = self.memory.get_events([str(event.event_id) for event in events])
        self.memory.record_many(event for event in events if event.event_id not in there)
        for event in events:
            before = there.get(str(event.event_id))
            if before is not None and (before.state, before.outcome) != (_state(event), event.outcome):
                self.memory.resolve(before.event_id, outcome=event.outcome, state=_state(event))

    def safely(self, what: str, call: Callable[[], T], otherwise: T) -> T:
        """What ``call`` gives; where it raises, ``otherwise``."""
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - it is not what the caller asked for
            missed(self.memory, what, error)
            return otherwise


def tool_pattern(name: str) -> str:
    """What a call of the tool ``name`` is a try of."""
    return f"Use the tool {clean_text(name) or 'without a name'}"


def _state(event: NewEvent) -> Literal["resolved", "not_used", "unknown"]:
    if event.state is None:
        return "resolved"
    assert event.state in ("resolved", "not_used", "unknown")
    return event.state


def _shown(made: Suggestion) -> dict[str, str]:
    return {answer.pattern_id: answer.pattern.description for answer in shown(made.prediction)}
