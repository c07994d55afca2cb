"""What is thought of sources, and what is held back of what they told, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from whatworks.cli.show import cell, count, number, say, show, table, when

if TYPE_CHECKING:
    from whatworks.records import Held, Import, Judgement, Pattern, Told

__all__ = ["imports", "judgement", "quarantine", "told"]

_REASONS = {
    "distrusted": "distrusted",
    "hour": "too many in an hour",
    "source": "too many of a source",
    "share": "share is full",
}


def judgement(found: Judgement) -> None:
    """What is thought of a source, and what that does."""
    say(f"{found.source} is {found.trust}: {count(found.counted)} of its tries count,")
    say(f"and {count(found.held)} are in quarantine")


def quarantine(found: Sequence[Held], described: Mapping[str, Pattern]) -> None:
    """What counts for nothing, and why."""
    if not found:
        say("no try is held back")
        return
    rows = [
        (
            cell(item.source, (item.channel, "dim")),
            count(item.tries),
            number(item.mean_outcome),
            cell(when(item.last_at), (_REASONS[item.reason], "dim")),
            cell(_described(item.pattern_id, described), (item.pattern_id, "dim")),
        )
        for item in found
    ]
    show(table(("source", ">tries", ">outcome", "last, why held", "*pattern"), rows))
    say("")
    say("whatworks approve SOURCE lets all tries of a source count")


def _described(name: str, known: Mapping[str, Pattern]) -> str:
    """Its description; the id of one that was forgotten meanwhile."""
    return known[name].description if name in known else name


def imports(found: Sequence[Import]) -> None:
    """Which files tries were imported from."""
    if not found:
        say("no try was imported")
        return
    rows = [
        (
            cell(item.label, cut=False),  # whole: it is what distrust wants
            when(item.imported_at),
            count(item.events),
            count(item.checked),
            number(item.mean_outcome),
            count(item.held),
        )
        for item in found
    ]
    show(table(("*label", "imported", ">tries", ">checked", ">outcome", ">held"), rows))
    say("")
    say("whatworks distrust LABEL lets nothing of a file count")


def told(found: Told) -> None:
    """How much of what counts a check found, and how much came with files; nothing if none did."""
    if found.checked or found.imported:
        imported = sum(found.imported.values())
        say(f"of {count(found.outcomes)} outcomes {count(found.checked)} were found by a check, and")
        files = f" from {count(len(found.imported))} files" if len(found.imported) > 1 else ""
        files = files or "".join(f" from {label}" for label in found.imported)
        say(f"{count(imported)} were imported{files}")
