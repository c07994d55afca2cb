"""Predictions: the form, why one came out as it did, and how advice has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from whatworks.memory import Memory
from whatworks.records import Diff, Predicted, Why
from whatworks.ui.asked import Asked

__all__ = ["DiffPage", "PredictPage", "changes", "diff", "predict", "why"]

MONTH = timedelta(days=30)
LAST = 20


@dataclass(frozen=True, slots=True)
class PredictPage:
    """What the form holds before it is sent, and the predictions made last."""

    context: str
    limit: int
    made: list[Predicted]


@dataclass(frozen=True, slots=True)
class DiffPage:
    """The situation and the two times that are compared; ``None`` where the store is empty."""

    context: str
    earlier: datetime | None
    later: datetime | None


def predict(memory: Memory, asked: Asked) -> PredictPage:
    """Asked with ``context`` and ``limit``; nothing is predicted by looking."""
    limit = asked.count("limit", 5, most=50)
    return PredictPage(asked.text("context"), limit, memory.predictions(limit=LAST))


def why(memory: Memory, asked: Asked) -> Why:
    """Asked with ``id`` of a prediction."""
    return memory.why(asked.needed("id"))


def diff(memory: Memory, asked: Asked) -> DiffPage:
    """Asked with ``context``, ``from`` and ``to``.

    Default: the last thirty days that have a try, so that old stores show something.
    """
    later = asked.time("to") or memory.stats().last_event_at
    earlier = asked.time("from") or (later - MONTH if later else None)
    return DiffPage(asked.text("context"), earlier, later)


def changes(memory: Memory, asked: Asked) -> Diff:
    """What changed between the two times of ``diff``, and why; the largest change first."""
    page = diff(memory, asked)
    later = page.later or memory.clock()
    limit = asked.count("limit", 10, most=50)
    found = memory.diff(page.earlier or later - MONTH, later, context=page.context, limit=limit)
    return replace(found, changes=tuple(sorted(found.changes, key=lambda one: -abs(one.change or 0))))
