"""What an export holds: runs, scores of runs, and what of it could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["Found", "Run", "Score", "Unread", "Value"]

# Of a score; text stands for whatever else it was.
Value = str | float | bool | None


@dataclass(frozen=True, slots=True)
class Run:
    """What ran, in which situation, when; ``failed`` is known of tools alone.

    ``key`` is what scores name it by, ``also`` what they name it by instead.
    """

    key: str
    name: str
    situation: str = ""
    at: datetime | None = None
    seconds: float | None = None
    session: str | None = None
    is_tool: bool = False
    failed: bool | None = None
    also: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A score of the run ``run``; ``judge`` is who gave it: human, model or code.

    ``given`` says when, in whatever form: of two scores without an id that are
    alike it tells whether they are one.
    """

    run: str
    name: str
    value: Value
    score_id: str = ""
    judge: str = ""
    given: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of an export that cannot be read, and why."""

    reason: str


Found = Run | Score | Unread
