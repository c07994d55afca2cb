"""The file-based memory that whatworks replaces: ``sessions/*.json`` and ``patterns/*.json``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatworks.errors import InvalidInputError
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report
from whatworks.readers import apart
from whatworks.readers.files import Aggregate, Items, Try, TurnsBegin
from whatworks.readers.items import Fault, Read
from whatworks.readers.layout import ORIGIN
from whatworks.records import Prior

if TYPE_CHECKING:
    from whatworks.memory import Memory

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
    run = _Run(memory, root, dry_run=dry_run, progress=progress or (lambda _: None))
    asked = {"path": str(root), "now": memory.clock().isoformat()}
    with closing(apart.read("files", Items, asked, below=[root])) as items:
        for item in items:
            run.take(item)
    run.finish()
    return run.report


@dataclass(slots=True)
class _Aggregate:
    """What a pattern says of itself, and how much of it came as turns."""

    at: At
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
    """One import: patterns first, then turns, then what is left of the aggregates."""

    def __init__(self, memory: Memory, root: Path, *, dry_run: bool, progress: Progress) -> None:
        self.report = Report({"sessions": 0, "turns": 0, "patterns": 0})
        self._progress = progress
        self._intake = Intake(memory, self.report, dry_run=dry_run, arrived=self._count, given=[root])
        self._learned: dict[str, _Aggregate] = {}

    def take(self, item: Aggregate | Try | TurnsBegin | Fault | Read) -> None:
        """Take what was read next."""
        if isinstance(item, Aggregate):
            self._learn(item)
        elif isinstance(item, Try):
            self._try(item)
        elif isinstance(item, TurnsBegin):
            self._intake.flush()
        elif isinstance(item, Fault):
            self.report.skip(At(item.path, item.place), item.reason)
        elif item.kind in self.report.read:
            self.report.read[item.kind] += item.count
        else:
            self._progress(item.count)

    def _learn(self, item: Aggregate) -> None:
        at = At(item.path, item.place)
        self._learned[str(item.pattern.pattern_id)] = _Aggregate(
            at, item.success_rate, item.usage_count, item.reinforced_at
        )
        self._intake.pattern(at, item.pattern)

    def _try(self, item: Try) -> None:
        at = At(item.path, item.place)
        if item.learned is None or item.learned in self._intake.foreign:
            self._intake.event(at, item.event, pattern=item.made)
        else:
            self._intake.event(at, replace(item.event, pattern_id=item.learned))

    def _count(self, event: Mapping[str, Any]) -> None:
        aggregate = self._learned.get(event["pattern_id"])
        if aggregate is not None:
            aggregate.tries += 1
            aggregate.outcomes += event["outcome"] or 0.0

    def finish(self) -> None:
        """Take what is left of the aggregates."""
        self._intake.flush()
        for name, aggregate in self._learned.items():
            rate, count = aggregate.rest()
            if count and name not in self._intake.foreign:
                self._intake.prior(
                    aggregate.at, Prior(name, rate, count, ORIGIN, aggregate.reinforced_at)
                )
        self._intake.finish()
