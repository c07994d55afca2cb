"""What an import has read, written and left out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whatworks.readers.items import Link

__all__ = ["At", "Report", "Skip"]

# A file that is wrong from end to end must not fill the memory with its reasons.
MAX_SKIPS = 100_000


@dataclass(frozen=True, slots=True)
class At:
    """Where an item lies: a file, and a place in it such as ``line 29`` or ``row 17``."""

    path: str
    place: str


@dataclass(frozen=True, slots=True)
class Skip:
    """One item that was left out, and why."""

    path: str
    place: str
    reason: str


@dataclass
class Report:
    """Counts of what was read and written by kind, and every item that was skipped.

    ``read`` counts what could be understood; of that, what contradicts the
    store is skipped all the same. After a dry run ``written`` says
    what an import would write. ``left`` counts what was left out on purpose:
    what an export says of sources, unless it is to be trusted, links, notes too short
    to say what to do, Markdown of no known form; ``left_at`` says where links and short
    notes are. From the 100,000th on, skipped items share one entry that counts them.
    """

    read: dict[str, int]
    written: dict[str, int] = field(default_factory=lambda: {"patterns": 0, "events": 0, "priors": 0})
    skipped: list[Skip] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    left_at: list[Skip] = field(default_factory=list)
    _unlisted: int = 0

    def skip(self, at: At, reason: str) -> None:
        """Note an item that is left out."""
        if len(self.skipped) < MAX_SKIPS:
            self.skipped.append(Skip(at.path, at.place, reason))
            return
        self._unlisted += 1
        more = f"{self._unlisted + 1:,} items from here on; the last one: {reason}"
        self.skipped[-1] = Skip(at.path, f"up to {at.place}", more)

    def leave(self, kind: str, at: At | None = None) -> None:
        """Count an item that is left out on purpose, and note where it is, if that is told."""
        self.left[kind] = self.left.get(kind, 0) + 1
        if at is not None and len(self.left_at) < MAX_SKIPS:
            self.left_at.append(Skip(at.path, at.place, kind))

    def leave_link(self, link: Link) -> None:
        """A link, which is not followed."""
        self.leave("links", At(link.path, "link"))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values: ``left`` and ``left_at`` only where something was."""
        return {
            "read": dict(self.read),
            "written": dict(self.written),
            "skipped": [asdict(skip) for skip in self.skipped],
        } | (
            {"left": dict(self.left), "left_at": [asdict(item) for item in self.left_at]}
            if self.left
            else {}
        )
