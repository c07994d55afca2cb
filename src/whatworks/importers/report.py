"""What an import has read, written and left out."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["At", "RefusedError", "Report", "Skip", "printable"]

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


class RefusedError(Exception):
    """An item cannot be imported; its reader turns this into a ``Skip``."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


@dataclass
class Report:
    """Counts of what was read and written by kind, and every item that was skipped.

    ``read`` counts what could be understood; of that, what contradicts the
    store is skipped all the same. After a dry run ``written`` says
    what an import would write. From the 100,000th on, skipped items share one
    entry that counts them.
    """

    read: dict[str, int]
    written: dict[str, int] = field(default_factory=lambda: {"patterns": 0, "events": 0, "priors": 0})
    skipped: list[Skip] = field(default_factory=list)
    _unlisted: int = 0

    def skip(self, at: At, reason: str) -> None:
        """Note an item that is left out."""
        if len(self.skipped) < MAX_SKIPS:
            self.skipped.append(Skip(at.path, at.place, reason))
            return
        self._unlisted += 1
        more = f"{self._unlisted + 1:,} items from here on; the last one: {reason}"
        self.skipped[-1] = Skip(at.path, f"up to {at.place}", more)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values: ``read``, ``written`` and ``skipped``."""
        return {
            "read": dict(self.read),
            "written": dict(self.written),
            "skipped": [asdict(skip) for skip in self.skipped],
        }


def printable(path: str | os.PathLike[str]) -> str:
    """The path as text that can be printed and sent, whatever bytes its name has."""
    return os.fsencode(path).decode(errors="replace")
