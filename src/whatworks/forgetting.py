"""Forgetting: what is chosen is gone from every answer at once, and from the disk soon after."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from whatworks import erasure, system
from whatworks.evidence import forgetting
from whatworks.hooks.spool import FOLDER, plain
from whatworks.json_lines import objects
from whatworks.records import Forgotten
from whatworks.replay import FORGOTTEN

if TYPE_CHECKING:
    from whatworks.keeper import Keeper
    from whatworks.records import Selection

__all__ = ["forget"]

# How long it waits for a process that takes in what hooks wrote.
SPOOL_SECONDS = 5.0


def forget(keeper: Keeper, selection: Selection, *, dry_run: bool) -> Forgotten:
    """Forget what ``selection`` chooses, or only count it; see ``Memory.forget``."""
    single = _single(keeper, selection)
    with keeper.still() as evidence:  # else tries may come in between whose outcomes stay
        chosen = forgetting.choose(evidence, selection, must_be=dry_run)
        if not dry_run and (chosen or single):
            keeper.journal.append(FORGOTTEN, list(forgetting.records(chosen, single)))
            keeper.catch_up()
            keeper.upkeep.wake()
    if not dry_run:
        _forget_sessions(keeper.folder / FOLDER, chosen.sessions, selection.containing)
    return Forgotten(
        patterns=len(chosen.patterns),
        events=len(chosen.events),
        contexts=chosen.contexts,
        priors=len(chosen.priors),
        predictions=len(chosen.predictions),
        records=len(single),
        dry_run=dry_run,
    )


def _single(keeper: Keeper, selection: Selection) -> list[tuple[str, int]]:
    """Records that hold the text and that no table shows any more, such as earlier descriptions."""
    text = selection.only_text
    return [] if text is None else erasure.holding(keeper.folder / "journal", text)


# -- what hooks wrote -----------------------------------------------------------------------------


def _forget_sessions(spool: Path, sessions: Collection[str], text: str | None) -> None:
    """Remove what hooks have written of sessions, and of those that hold a text."""
    if not spool.is_dir():
        return
    with _locked(spool / "lock"):
        for path in spool.glob("*.jsonl"):
            lines = list(objects(path))
            names = {f"{plain(str(line.get('harness')))}-{path.stem}" for line in lines}
            held = text is not None and any(erasure.says(line, text.lower()) for line in lines)
            if held or not names.isdisjoint(sessions):
                for each in (path, path.with_suffix(".done"), path.with_suffix(".tmp")):
                    with suppress(FileNotFoundError):
                        each.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep away whoever takes in what hooks wrote, unless he takes very long."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + SPOOL_SECONDS
        while not system.try_lock(file) and time.monotonic() < until:
            time.sleep(0.05)
        yield
    finally:
        os.close(file)
