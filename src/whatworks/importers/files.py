"""The file-based memory that whatworks replaces: ``sessions/*.json`` and ``patterns/*.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from whatworks.errors import InvalidInputError
from whatworks.ids import content_id
from whatworks.importers import layout
from whatworks.importers.intake import Intake
from whatworks.importers.layout import ORIGIN, Learned, Turn
from whatworks.importers.report import At, RefusedError, Report, printable
from whatworks.memory import Memory
from whatworks.records import NewEvent, NewPattern, Prior

__all__ = ["import_files"]

Progress = Callable[[int], object]


def import_files(
    memory: Memory,
    folder: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Import a file-based memory, and report what was read, written and skipped.

    A learned pattern keeps its id. A turn with tools becomes a try: of the
    learned pattern whose context is the turn's query and whose tools are the
    turn's, in this order, in the same session or else in any file; else of a
    pattern made for its tools. What a learned pattern says of itself
    (``success_rate`` x ``usage_count``), less the tries that came as turns,
    becomes a prior. Importing again writes what is new since.

    Parameters
    ----------
    folder
        Holds ``sessions/`` or ``patterns/`` or both; nothing else is read.
    progress
        Called with the number of patterns and turns read since the last call.

    Returns
    -------
    A report with ``read`` counts of ``sessions``, ``turns`` and ``patterns``.
    Each thing that could not be imported is one entry of ``skipped``.

    Raises
    ------
    InvalidInputError
        The folder has neither ``sessions`` nor ``patterns``.
    """
    root = Path(folder)
    if not any(os.path.isdir(root / name) for name in ("sessions", "patterns")):
        raise InvalidInputError(
            f"{root} has no folder 'sessions' or 'patterns'; give the folder that holds them"
        )
    run = _Run(memory, root, dry_run, progress or (lambda _: None))
    run.patterns()
    run.turns()
    run.priors()
    return run.report


@dataclass(slots=True)
class _Aggregate:
    """What a pattern says of itself, and how much of it came as turns."""

    at: At
    digest: str
    success_rate: float
    usage_count: int
    reinforced_at: datetime | None
    tries: int = 0
    outcomes: float = 0.0

    def rest(self) -> tuple[float, int]:
        """Rate and count of the tries that did not come as turns."""
        count = self.usage_count - self.tries
        if count <= 0:
            return 0.0, 0
        rate = (self.success_rate * self.usage_count - self.outcomes) / count
        # A rate that was rounded or smoothed may not agree with the turns.
        return min(max(rate, 0.0), 1.0), count


class _Run:
    """One import: patterns first, then turns, then what is left of the aggregates.

    Sessions are read twice, so that a turn finds the patterns of every file
    and no more than one file is held.
    """

    def __init__(self, memory: Memory, root: Path, dry_run: bool, progress: Progress) -> None:
        self.report = Report({"sessions": 0, "turns": 0, "patterns": 0})
        self._memory = memory
        self._root = root
        self._progress = progress
        self._intake = Intake(memory, self.report, dry_run=dry_run, arrived=self._count)
        self._learned: dict[str, _Aggregate] = {}
        self._by_use: dict[str, str] = {}
        self._sessions: list[Path] = []

    # -- patterns ---------------------------------------------------------------------------------

    def patterns(self) -> None:
        """Take the learned patterns of all files."""
        for path, items in self._lists():
            for n, item in enumerate(items):
                self._learn(path, f"[{n}]", item, self._by_use)
            self._progress(len(items))
        for path, session in self._objects(self._files("sessions")):
            self._sessions.append(path)
            self.report.read["sessions"] += 1
            self._progress(self._learn_session(path, session, self._by_use, told=False))
        self._intake.flush()

    def _learn_session(
        self, path: Path, session: dict[str, Any], by_use: dict[str, str], *, told: bool
    ) -> int:
        """Take a session's patterns, or with ``told`` only find them, and return how many there are."""
        try:
            items = layout.members(session, "successful_patterns")
        except RefusedError as refused:
            if not told:
                self._skip(path, refused)
            return 0
        for n, item in enumerate(items):
            self._learn(path, f"successful_patterns[{n}]", item, by_use, told=told)
        return len(items)

    def _learn(
        self, path: Path, place: str, item: object, by_use: dict[str, str], *, told: bool = False
    ) -> None:
        try:
            learned = layout.learned(item, place, self._memory.clock())
        except RefusedError as refused:
            if not told:
                self._skip(path, refused)
            return
        name, digest = str(learned.pattern.pattern_id), _digest(learned)
        earlier = self._learned.get(name)
        if earlier is not None and earlier.digest != digest:
            if not told:
                first = f"{earlier.at.path}, {earlier.at.place}"
                self._skip(path, RefusedError(place, f"{name} has other content in {first}"))
            return
        by_use.setdefault(content_id(learned.context, *learned.tools), name)
        if told:
            return
        self.report.read["patterns"] += 1
        if earlier is None:
            at = At(printable(path), place)
            self._learned[name] = _Aggregate(
                at, digest, learned.success_rate, learned.usage_count, learned.reinforced_at
            )
            self._intake.pattern(at, learned.pattern)

    # -- turns ------------------------------------------------------------------------------------

    def turns(self) -> None:
        """Take the turns of all sessions that could be read."""
        for path, session in self._objects(self._sessions):
            own: dict[str, str] = {}
            self._learn_session(path, session, own, told=True)
            try:
                items = layout.members(session, "conversation_context")
            except RefusedError as refused:
                self._skip(path, refused)
                continue
            self._session_turns(path, session, items, own)
            self._progress(len(items))
        self._intake.flush()

    def _session_turns(
        self, path: Path, session: dict[str, Any], items: list[Any], own: Mapping[str, str]
    ) -> None:
        session_id = self._optional(path, lambda: layout.identifier(session, "session_id"))
        project = self._optional(path, lambda: layout.text(session, "project_path", "", ""))
        where = session_id or printable(Path(path.name))
        repeats: dict[str, int] = {}
        for n, item in enumerate(items):
            place = f"conversation_context[{n}]"
            try:
                turn = layout.turn(item, place, self._memory.clock())
            except RefusedError as refused:
                self._skip(path, refused)
                continue
            self.report.read["turns"] += 1
            if turn is not None:
                at, event_id = At(printable(path), place), _event_id(turn, where, repeats)
                pattern_id, made = self._tried(turn, own)
                event = _event(pattern_id, event_id, turn, session_id, project)
                self._intake.event(at, event, pattern=made)

    def _optional(self, path: Path, read: Callable[[], str]) -> str | None:
        try:
            return read() or None
        except RefusedError as refused:
            self._skip(path, refused)
            return None

    def _tried(self, turn: Turn, own: Mapping[str, str]) -> tuple[str, NewPattern | None]:
        """The pattern that a turn tried: the id of a learned one, or one for the turn's tools."""
        use = content_id(turn.query, *turn.tools)
        name = own.get(use) or self._by_use.get(use)
        if name is not None and name not in self._intake.foreign:
            return name, None
        purpose = f" for {turn.query_type}" if turn.query_type else ""
        description = f"Use {', '.join(turn.tools)}{purpose}"
        name = content_id("EffectiveToolSequence", description)
        metadata = {"tools_involved": list(turn.tools), "origin": ORIGIN}
        made = NewPattern(description, "EffectiveToolSequence", metadata, name, turn.timestamp)
        return name, made

    def _count(self, event: Mapping[str, Any]) -> None:
        aggregate = self._learned.get(event["pattern_id"])
        if aggregate is not None:
            aggregate.tries += 1
            aggregate.outcomes += event["outcome"]

    # -- aggregates -------------------------------------------------------------------------------

    def priors(self) -> None:
        """Take what is left of the aggregates, and finish."""
        for name, aggregate in self._learned.items():
            rate, count = aggregate.rest()
            if count and name not in self._intake.foreign:
                self._intake.prior(
                    aggregate.at, Prior(name, rate, count, ORIGIN, aggregate.reinforced_at)
                )
        self._intake.finish()

    # -- files ------------------------------------------------------------------------------------

    def _files(self, name: str) -> list[Path]:
        try:
            return layout.json_files(self._root / name)
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
        self.report.skip(At(printable(path), refused.place), refused.reason)


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
