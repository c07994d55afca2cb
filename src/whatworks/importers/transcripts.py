"""What sessions of coding agents teach: Claude Code, Codex and ATIF."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report
from whatworks.readers import apart
from whatworks.readers.items import Fault, Link
from whatworks.readers.transcripts import Items, Try

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["import_transcripts"]


def import_transcripts(
    memory: Memory,
    path: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Import what a session's file, or all files below a folder, teach about repairs.

    Parameters
    ----------
    path
        A ``.jsonl`` or ``.json`` file, or a folder such as ``~/.claude/projects``.
        Links are not followed.
    dry_run
        Find out what would be written, and write nothing.
    progress
        Called with the number of files read since the last call.

    Raises
    ------
    InvalidInputError
        There is no such file or folder.
    """
    report = Report(read={"sessions": 0, "events": 0})
    intake = Intake(memory, report, dry_run=dry_run, checked=True, given=[path])
    asked = {"path": str(path), "key": memory.secrets.key}
    with closing(apart.read("transcripts", Items, asked, below=[path])) as items:
        for item in items:
            if isinstance(item, Try):
                _take(intake, item)
            elif isinstance(item, Fault):
                report.skip(At(item.path, item.place), item.reason)
            elif isinstance(item, Link):
                report.leave_link(item)
            elif item.kind in report.read:
                report.read[item.kind] += item.count
            elif progress:
                progress(item.count)
    intake.finish()
    return report


def _take(intake: Intake, item: Try) -> None:
    moment = item.event.timestamp
    place = f"{moment:%Y-%m-%d %H:%M}" if moment else "file"
    intake.event(At(item.path, place), item.event, pattern=item.pattern)
