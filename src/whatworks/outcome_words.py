"""Outcomes as people, agents and tools write them."""

from __future__ import annotations

import re
from typing import NamedTuple

from whatworks.checks import outcome, shown
from whatworks.errors import InvalidInputError
from whatworks.records import State

__all__ = ["WORDS", "Said", "said"]


class Said(NamedTuple):
    """An outcome from 0 to 1, or the state of a try that has none."""

    outcome: float | None
    state: State


_WORKED = (
    "success succeeded successful passed pass ok okay worked works fixed solved done good "
    "yes true green"
)
_FAILED = (
    "failure failed fail error errored broken wrong bad no false red crashed timeout reverted rejected"
)
_PARTLY = "partial partially partly mixed half"
_NOT_USED = "not_used unused skipped skip ignored n/a"
_UNKNOWN = "unknown unclear cancelled canceled aborted interrupted"
_PENDING = "pending running in_progress started"
WORDS: dict[str, Said] = {
    word: result
    for words, result in (
        (_WORKED, Said(1.0, "resolved")),
        (_PARTLY, Said(0.5, "resolved")),
        (_FAILED, Said(0.0, "resolved")),
        (_NOT_USED, Said(None, "not_used")),
        (_UNKNOWN, Said(None, "unknown")),
        (_PENDING, Said(None, "pending")),
    )
    for word in words.split()
}
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/|of|out of)\s*(\d+(?:\.\d+)?)")


def said(value: object) -> Said:
    """The outcome that a word or a number stands for.

    Examples
    --------
    >>> said("Passed"), said("not used"), said("3/4").outcome, said(0.8).outcome
    (Said(outcome=1.0, state='resolved'), Said(outcome=None, state='not_used'), 0.75, 0.8)

    Raises
    ------
    InvalidInputError
        It stands for none; the message has the list.
    """
    if isinstance(value, str):
        text = re.sub(r"[\s-]+", "_", value.strip().strip(".!").casefold())
        if text in WORDS:
            return WORDS[text]
        number = _number(value.strip())
        if number is not None and 0 <= number <= 1:
            return Said(number, "resolved")
        raise InvalidInputError(
            f"outcome is {shown(value)}; expected a number from 0 to 1, a share such as 80% or 4/5, "
            f"or one of {', '.join(WORDS)}"
        )
    return Said(outcome(value), "resolved")


def _number(text: str) -> float | None:
    if match := _PERCENT.fullmatch(text):
        return float(match[1]) / 100
    if match := _PART.fullmatch(text):
        return float(match[1]) / float(match[2]) if float(match[2]) else None
    try:
        return float(text)
    except ValueError:
        return None
