"""What a session teaches: which actions repaired a failing check, and which advice was followed.

An *attempt* begins when a check fails, and ends when the same check runs
again: what was edited and run in between is the approach, the check and its
complaint are the situation, and whether it passes is the outcome. Nothing is
asked of the model, and no outcome is made up: an attempt that is never
checked has none. Advice that was shown is used if its actions were taken, or
if what was said at the end of the turn is what it says; else it is not used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from whatworks.following import followed
from whatworks.hooks.commands import Check, check, complaint, passed, plain, reverted
from whatworks.hooks.happenings import Happening
from whatworks.ids import content_id
from whatworks.records import State

__all__ = ["Advice", "Learned", "learn"]

# Actions of an attempt that are named; more were a rewrite, which nobody repeats.
MOST_ACTIONS = 6
# Commands that look and change nothing.
_LOOKS = re.compile(
    r"^(?:ls|cat|head|tail|grep|rg|find|pwd|echo|sed -n|wc|git (?:status|diff|log|show)|which|tree)\b"
)
_CORRECTIONS = re.compile(
    r"^(?:no[,.!]|no$|nope|that(?:'s| is) (?:wrong|not)|wrong\b|undo|revert|"
    r"still (?:fail|broken|wrong|not)|"
    r"it (?:still )?(?:doesn't|does not) work|not what i)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Advice:
    """A pattern that was shown: its id and description."""

    pattern_id: str
    description: str


@dataclass(frozen=True, slots=True)
class Learned:
    """One try: ``pattern`` is an id if ``known``, else a description."""

    event_id: str
    pattern: str
    known: bool
    context: str
    outcome: float | None
    state: State
    at: float
    files: tuple[str, ...] = ()
    milliseconds: float | None = None
    prediction: str | None = None


@dataclass(slots=True)
class _Attempt:
    context: str
    began: float
    actions: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def add(self, action: str, files: Iterable[str] = ()) -> None:
        if action not in self.actions:
            self.actions.append(action)
        self.files += [name for name in files if name not in self.files]


@dataclass(slots=True)
class _Turn:
    """From one prompt to the next."""

    prompt: str = ""
    open: bool = False  # a prompt came, and no end yet
    # With the prediction, and the situation it was made for.
    shown: list[tuple[Advice, str, str]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    result: bool | None = None  # of the last check


def learn(
    session: str, happenings: Iterable[Happening], advice: dict[str, Advice], *, over: bool
) -> Iterator[Learned]:
    """The tries of a session, in the order in which they ended; the same ids every time.

    Parameters
    ----------
    session
        Its id.
    happenings
        All of them so far, the oldest first.
    advice
        The patterns that were shown, by id.
    over
        Nothing more will come: what is open has no outcome.
    """
    yield from _Session(session, advice).learn(happenings, over=over)


class _Session:
    def __init__(self, session: str, advice: dict[str, Advice]) -> None:
        self._session = session
        self._advice = advice
        self._turn = _Turn()
        self._attempts: dict[Check, _Attempt] = {}
        self._last: Learned | None = None  # the last attempt that passed: it may be taken back
        self._seen: Counter[tuple[str, ...]] = Counter()

    def learn(self, happenings: Iterable[Happening], *, over: bool) -> Iterator[Learned]:
        at = 0.0
        for item in happenings:
            at = item.at
            if item.kind == "prompt":
                yield from self._prompt(item)
            elif item.kind == "shown":
                found = [self._advice[name] for name in item.shown if name in self._advice]
                self._turn.shown += [(advice, item.prediction, item.text) for advice in found]
            elif item.kind == "command":
                yield from self._command(item)
            elif item.kind == "edit" and item.ok is not False:
                self._act(
                    f"edit {', '.join(PurePosixPath(name).name for name in item.files)}", item.files
                )
            elif item.kind in ("stop", "broken"):
                yield from self._end_turn(item.at, item.text if item.kind == "stop" else "")
        if over:
            yield from self._end_turn(at, "")
            for attempt in self._attempts.values():
                if attempt.actions:
                    yield self._tried(attempt, at, None)

    # -- turns --------------------------------------------------------------------------------------

    def _prompt(self, item: Happening) -> Iterator[Learned]:
        early = [] if self._turn.open else self._turn.shown  # shown before the prompt was told
        if self._turn.open:
            yield from self._end_turn(item.at, "")
        if self._last is not None and _CORRECTIONS.match(item.text.strip()):
            yield self._taken_back(item.at)
        self._last = None
        self._turn = _Turn(item.text, True, early)

    def _end_turn(self, at: float, said: str) -> Iterator[Learned]:
        """What became of the advice that was shown."""
        turn = self._turn
        for advice, prediction, situation in turn.shown:
            used = followed(advice.description, turn.done, said)
            yield Learned(
                self._id("shown", advice.pattern_id, prediction),
                advice.pattern_id,
                True,
                turn.prompt or situation,
                None if not used or turn.result is None else float(turn.result),
                "not_used" if not used else "unknown" if turn.result is None else "resolved",
                at,
                prediction=prediction or None,
            )
        self._turn = _Turn()

    # -- actions ------------------------------------------------------------------------------------

    def _act(self, action: str, files: Iterable[str] = ()) -> None:
        self._turn.done.append(action)
        for attempt in self._attempts.values():
            attempt.add(action, files)

    def _command(self, item: Happening) -> Iterator[Learned]:
        if self._last is not None and reverted(item.text):
            yield self._taken_back(item.at)
        name = check(item.text)
        if name is None:
            if item.ok is not False and not _LOOKS.match(plain(item.text)):
                self._act(f"run {plain(item.text)}")
            return
        if item.stopped:
            return
        result = passed(item.ok, item.output)
        if result is None:
            return
        self._turn.result = result
        # A run of everything that passes says it of each part; a part says nothing of the others.
        ended = [key for key in self._attempts if key == name]
        if result and not name.targets:
            ended = [key for key in self._attempts if key.name == name.name]
        for key in ended:
            attempt = self._attempts.pop(key)
            if attempt.actions:
                made = self._tried(attempt, item.at, result)
                self._last = made if result else None
                yield made
        if not result:
            said = complaint(item.output)
            context = f"{plain(item.text)} fails: {said}" if said else f"{plain(item.text)} fails"
            self._attempts[name] = _Attempt(context, item.at)

    def _tried(self, attempt: _Attempt, at: float, result: bool | None) -> Learned:
        actions = attempt.actions[:MOST_ACTIONS]
        more = len(attempt.actions) - len(actions)
        return Learned(
            self._id("attempt", attempt.context, *attempt.actions),
            "; ".join(actions) + (f"; and {more} more steps" if more else ""),
            False,
            attempt.context,
            None if result is None else float(result),
            "unknown" if result is None else "resolved",
            at,
            tuple(attempt.files),
            1e3 * (at - attempt.began),
        )

    def _taken_back(self, at: float) -> Learned:
        assert self._last is not None
        last, self._last = self._last, None
        return replace(last, outcome=0.0, at=at)

    def _id(self, *parts: str) -> str:
        self._seen[parts] += 1  # the same again in one session is another try
        return f"hook-{content_id(self._session, str(self._seen[parts]), *parts)}"
