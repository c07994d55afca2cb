"""Notes of others, which say what to do and not whether it helped: they become untested patterns.

Rules and skills (``SKILL.md``, ``AGENTS.md``, ``CLAUDE.md``, Cursor's ``.mdc``), and other memories:
the graph of MCP's memory server, claude-mem, mem0, basic-memory. A note that an export of
whatworks has written is left out: what the memory said itself is no news to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from whatworks.exporters.teach import END, START
from whatworks.hooks.spool import trimmed
from whatworks.ids import content_id
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report
from whatworks.readers import apart
from whatworks.readers.items import Fault, Link
from whatworks.readers.notes import OTHERS, Items, Note
from whatworks.records import NewPattern
from whatworks.text import clean_text

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["import_notes"]

MAX_NOTE = 4_000
LEAST_WORDS = 3  # what is shorter is a heading or a path, not advice


def import_notes(
    memory: Memory,
    path: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Import a file, or all rules, skills and memories below a folder, as patterns without tries.

    Parameters
    ----------
    path
        A file of at most 16 MiB (Markdown: 256 KiB, a database: 4 GiB), or a folder. In a folder
        other Markdown than rules, skills and the notes of basic-memory is
        passed over. Links are not followed, and told of in the report.
    dry_run
        Find out what would be written, and write nothing.
    progress
        Called with the number of notes read since the last call.

    Raises
    ------
    InvalidInputError
        There is no such file or folder, or a file is none of these forms.
    MissingExtraError
        Markdown needs the extra ``importers``.
    """
    report = Report(read={"notes": 0, "files": 0})
    intake = Intake(memory, report, dry_run=dry_run, given=[path])
    asked = {"path": str(path), "marks": [START, END]}
    with closing(apart.read("notes", Items, asked, below=_with_log(Path(path)))) as items:
        for item in items:
            if isinstance(item, Note):
                report.read["notes"] += 1
                _take(intake, report, item)
                if progress and report.read["notes"] % 1_000 == 0:
                    progress(1_000)
            elif isinstance(item, Fault):
                report.skip(At(item.path, item.place), item.reason)
            elif isinstance(item, Link):
                report.leave_link(item)
            elif item.kind == OTHERS:
                report.leave(OTHERS)
            else:
                report.read["files"] += item.count
    intake.finish()
    return report


def _with_log(path: Path) -> list[Path]:
    """A database lies in its file and those beside it."""
    logs = [Path(f"{path}{end}") for end in ("-wal", "-shm")]
    return [path, *logs] if path.suffix == ".db" else [path]


def _take(intake: Intake, report: Report, note: Note) -> None:
    description = clean_text(trimmed(note.text, intake.secrets), max_bytes=MAX_NOTE)
    if len(description.split()) < LEAST_WORDS:
        report.leave("short", At(note.path, note.place))
        return
    about = {
        clean_text(name, max_bytes=100): clean_text(intake.secrets.redacted(value), max_bytes=500)
        for name, value in note.about.items()
    }
    pattern = NewPattern(
        description,
        note.kind,
        pattern_id=content_id(note.kind, description),
        metadata=about,
    )
    intake.pattern(At(note.path, note.place), pattern)
