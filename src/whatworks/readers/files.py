"""The file-based memory that whatworks replaces: ``sessions/*.json`` and ``patterns/*.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from whatworks.ids import content_id
from whatworks.readers import layout
from whatworks.readers.items import Fault, Item, Read, RefusedError, printable
from whatworks.readers.layout import ORIGIN, Learned, Turn
from whatworks.records import NewEvent, NewPattern

__all__ = ["Aggregate", "Items", "Try", "TurnsBegin", "read"]


class Aggregate(Item, frozen=True):
    """A learned pattern, and what it says of its own tries."""

    path: str
    place: str
    pattern: NewPattern
    success_rate: float
    usage_count: int
    reinforced_at: datetime | None


class Try(Item, frozen=True):
    """A turn that used tools: of ``learned``, if the memory has it, else of ``made``."""

    path: str
    place: str
    event: NewEvent
    learned: str | None
    made: NewPattern


class TurnsBegin(Item, frozen=True):
    """All patterns were told; turns follow."""


Items = Aggregate | Try | TurnsBegin | Fault | Read
Told = Iterator[Aggregate | Try | TurnsBegin | Fault | Read]


def read(path: str, now: str) -> Told:
    """Patterns first, then turns; what is told of ``steps`` is for progress alone.

    Sessions are read twice, so that a turn finds the patterns of every file
    and no more than one file is held.

    Parameters
    ----------
    path
        A folder that holds ``sessions/`` or ``patterns/`` or both; nothing else is read.
    now
        When it is read, in ISO 8601: what lies behind that is refused.
    """
    run = _Run(Path(path), datetime.fromisoformat(now))
    yield from run.patterns()
    yield TurnsBegin()
    yield from run.turns()


class _Run:
    """One folder, read once."""

    def __init__(self, root: Path, now: datetime) -> None:
        self._root = root
        self._now = now
        # Of each pattern a digest of what it says, and where it was first.
        self._learned: dict[str, tuple[str, str]] = {}
        self._by_use: dict[str, str] = {}
        self._sessions: list[Path] = []
        self._faults: list[Fault] = []

    # -- patterns ---------------------------------------------------------------------------------

    def patterns(self) -> Told:
        """The learned patterns of all files."""
        for path, items in self._lists():
            for n, item in enumerate(items):
                yield from self._learn(path, f"[{n}]", item, self._by_use)
            yield Read("steps", len(items))
        for path, session in self._objects(self._files("sessions")):
            self._sessions.append(path)
            yield Read("sessions")
            yield from self._learn_session(path, session, self._by_use, told=False)
        yield from self._told()

    def _told(self) -> Iterator[Fault]:
        """What went wrong since this was asked last."""
        faults, self._faults = self._faults, []
        yield from faults

    def _learn_session(
        self, path: Path, session: dict[str, Any], by_use: dict[str, str], *, told: bool
    ) -> Told:
        """A session's patterns; with ``told`` they are only found, since all was said of them."""
        try:
            items = layout.members(session, "successful_patterns")
        except RefusedError as refused:
            if not told:
                self._skip(path, refused)
            items = []
        for n, item in enumerate(items):
            yield from self._learn(path, f"successful_patterns[{n}]", item, by_use, told=told)
        if not told:
            yield Read("steps", len(items))

    def _learn(
        self, path: Path, place: str, item: object, by_use: dict[str, str], *, told: bool = False
    ) -> Told:
        try:
            learned = layout.learned(item, place, self._now)
        except RefusedError as refused:
            if not told:
                self._skip(path, refused)
                yield from self._told()
            return
        name, digest = str(learned.pattern.pattern_id), _digest(learned)
        earlier = self._learned.get(name)
        if earlier is not None and earlier[0] != digest:
            if not told:
                self._skip(path, RefusedError(place, f"{name} has other content in {earlier[1]}"))
                yield from self._told()
            return
        by_use.setdefault(content_id(learned.context, *learned.tools), name)
        if told:
            return
        yield Read("patterns")
        if earlier is None:
            self._learned[name] = digest, f"{printable(path)}, {place}"
            yield Aggregate(
                printable(path), place, learned.pattern,
                learned.success_rate, learned.usage_count, learned.reinforced_at,
            )  # fmt: skip

    # -- turns ------------------------------------------------------------------------------------

    def turns(self) -> Told:
        """The turns of all sessions that could be read."""
        for path, session in self._objects(self._sessions):
            own: dict[str, str] = {}
            for _ in self._learn_session(path, session, own, told=True):
                pass
            try:
                items = layout.members(session, "conversation_context")
            except RefusedError as refused:
                self._skip(path, refused)
                continue
            yield from self._session_turns(path, session, items, own)
            yield Read("steps", len(items))
        yield from self._told()

    def _session_turns(
        self, path: Path, session: dict[str, Any], items: list[Any], own: Mapping[str, str]
    ) -> Told:
        session_id = self._optional(path, lambda: layout.identifier(session, "session_id"))
        project = self._optional(path, lambda: layout.text(session, "project_path", "", ""))
        where = session_id or printable(Path(path.name))
        repeats: dict[str, int] = {}
        for n, item in enumerate(items):
            place = f"conversation_context[{n}]"
            try:
                turn = layout.turn(item, place, self._now)
            except RefusedError as refused:
                self._skip(path, refused)
                yield from self._told()
                continue
            yield Read("turns")
            if turn is not None:
                made, event_id = _made(turn), _event_id(turn, where, repeats)
                use = content_id(turn.query, *turn.tools)
                event = _event(str(made.pattern_id), event_id, turn, session_id, project)
                known = own.get(use) or self._by_use.get(use)
                yield Try(printable(path), place, event, known, made)

    def _optional(self, path: Path, read: Callable[[], str]) -> str | None:
        try:
            return read() or None
        except RefusedError as refused:
            self._skip(path, refused)
            return None

    # -- files ------------------------------------------------------------------------------------

    def _files(self, name: str) -> list[Path]:
        try:
            return layout.json_files(self._root / name, self._root)
        except RefusedError as refused:
            self._skip(self._root / name, refused)
            return []

    def _lists(self) -> Iterator[tuple[Path, list[Any]]]:
        for path, value in self._loaded(self._files("patterns")):
            if isinstance(value, list):
                yield path, value
            else:
                self._skip(path, RefusedError(layout.WHOLE, "is no list; expected a list of patterns"))

    def _objects(self, paths: list[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path, value in self._loaded(paths):
            if isinstance(value, dict):
                yield path, value
            else:
                self._skip(path, RefusedError(layout.WHOLE, "is no object; expected a session"))

    def _loaded(self, paths: list[Path]) -> Iterator[tuple[Path, Any]]:
        for path in paths:
            try:
                value = layout.load(path, self._root)
            except RefusedError as refused:
                self._skip(path, refused)
                continue
            yield path, value

    def _skip(self, path: Path, refused: RefusedError) -> None:
        self._faults.append(Fault(printable(path), refused.place, refused.reason))


def _made(turn: Turn) -> NewPattern:
    """The pattern for a turn's tools."""
    purpose = f" for {turn.query_type}" if turn.query_type else ""
    description = f"Use {', '.join(turn.tools)}{purpose}"
    name = content_id("EffectiveToolSequence", description)
    metadata = {"tools_involved": list(turn.tools), "origin": ORIGIN}
    return NewPattern(description, "EffectiveToolSequence", metadata, name, turn.timestamp)


def _event_id(turn: Turn, where: str, repeats: dict[str, int]) -> str:
    """An id from when, where, what and with which tools; the same again has another number.

    Not from the outcome: a turn that is judged anew later is not another try.
    """
    key = content_id(where, turn.timestamp.isoformat(), turn.query, *turn.tools)
    repeats[key] = repeats.get(key, 0) + 1
    return f"import-{content_id(key, str(repeats[key]))}"


def _event(
    pattern_id: str, event_id: str, turn: Turn, session_id: str | None, project: str | None
) -> NewEvent:
    metadata = {
        "query_type": turn.query_type,
        "lessons_learned": list(turn.lessons),
        "project_path": project,
    }
    return NewEvent(
        pattern_id,
        outcome=turn.outcome,
        context=turn.query or None,
        timestamp=turn.timestamp,
        event_id=event_id,
        session_id=session_id,
        files=turn.files,
        tools=turn.tools,
        metadata={name: value for name, value in metadata.items() if value},
    )


def _digest(learned: Learned) -> str:
    pattern = learned.pattern
    facts = [pattern.pattern_type, pattern.description, pattern.metadata]
    aggregate = [learned.success_rate, learned.usage_count]
    times = [str(pattern.created_at), str(learned.reinforced_at)]
    return content_id(json.dumps([facts, aggregate, times], sort_keys=True))
