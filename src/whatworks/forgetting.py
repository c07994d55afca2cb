"""Forgetting: what is chosen is gone from every answer at once, and from the disk soon after."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from whatworks.config import replace_file
from whatworks.errors import disk_error
from whatworks.evidence import forgetting
from whatworks.hooks.spool import FOLDER
from whatworks.ids import uuid7
from whatworks.link import FORGOTTEN as MARK
from whatworks.records import Forgotten
from whatworks.replay import FORGOTTEN

if TYPE_CHECKING:
    from whatworks.keeper import Keeper
    from whatworks.records import Selection

__all__ = ["forget"]


def forget(keeper: Keeper, selection: Selection, *, dry_run: bool) -> Forgotten:
    """Forget what ``selection`` chooses, or only count it; see ``Memory.forget``."""
    chosen = forgetting.choose(keeper.evidence(receipts=True), selection)
    if not dry_run:
        # First: hooks would tell of the same tries again.
        _forget_sessions(keeper.folder / FOLDER, chosen.sessions, selection.containing)
        if chosen:
            keeper.journal.append(FORGOTTEN, list(forgetting.records(chosen)))
            keeper.catch_up()
            _tell(keeper.folder)
            keeper.wake()
    return Forgotten(
        patterns=len(chosen.patterns),
        events=len(chosen.events),
        contexts=chosen.contexts,
        priors=len(chosen.priors),
        predictions=len(chosen.predictions),
        dry_run=dry_run,
    )


def _tell(folder: Path) -> None:
    """Let all processes know that what they know by heart may be gone."""
    try:
        replace_file(folder / MARK, uuid7().encode())
    except OSError as error:
        raise disk_error(error, f"write {folder / MARK}") from error


def _forget_sessions(spool: Path, sessions: Collection[str], text: str | None) -> None:
    """Remove what hooks have written of sessions, and of those that hold a text."""
    for path in spool.glob("*.jsonl"):
        held = text is not None and text.lower() in path.read_text(errors="replace").lower()
        if held or any(name.endswith(f"-{path.stem}") for name in sessions):
            for each in (path, path.with_suffix(".done"), path.with_suffix(".tmp")):
                with suppress(FileNotFoundError):
                    each.unlink()
