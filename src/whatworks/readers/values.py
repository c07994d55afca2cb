"""From texts in files to times, outcomes, numbers and lists."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import orjson

from whatworks.checks import EPOCH, shown
from whatworks.errors import InvalidInputError
from whatworks.records import State
from whatworks.text import clean_text

__all__ = ["amount", "names", "outcome", "rfc3339", "timestamp"]

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_DAY = re.compile(r"\d{8}", re.ASCII)

_WORKED = "true t yes y success successful succeeded succeed passed pass ok worked solved done"
_FAILED = "false f no n failure failed fail unsuccessful error broken unsolved"
_OUTCOMES: dict[str, tuple[float | None, State]] = {
    **dict.fromkeys(_WORKED.split(), (1.0, "resolved")),
    **dict.fromkeys(_FAILED.split(), (0.0, "resolved")),
    **dict.fromkeys(["", "null", "none", "pending"], (None, "pending")),
    "unknown": (None, "unknown"),
    "not_used": (None, "not_used"),
}


def rfc3339(text: str) -> datetime:
    """A time such as ``2025-07-01T00:00:00.339563579Z``, in UTC, cut to microseconds."""
    if _RFC3339.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise InvalidInputError(
        f"the time is {shown(text)}; expected RFC 3339 such as 2025-07-01T00:00:00.123456789Z"
    )


def timestamp(text: str) -> datetime | None:
    """A time from ISO 8601 or from seconds since 1970, in UTC; nothing if ``text`` is empty.

    A time without a zone is taken as UTC, a date as its midnight. Eight
    digits are a date, not seconds.
    """
    if not text:
        return None
    try:
        if _NUMBER.fullmatch(text) and not _DAY.fullmatch(text):
            return EPOCH + timedelta(seconds=float(text))
        moment = datetime.fromisoformat(text.upper())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"timestamp is {shown(text)}; expected ISO 8601 or seconds since 1970"
        ) from error


def outcome(text: str) -> tuple[float | None, State]:
    """Outcome and state from a number or a word; an empty text is pending."""
    if (known := _OUTCOMES.get(text.lower())) is not None:
        return known
    if not _NUMBER.fullmatch(text):
        raise InvalidInputError(
            f"outcome is {shown(text)}; expected a number from 0 to 1, true or false, success or "
            "failed, or nothing while it is not known"
        )
    return float(text), "resolved"


def amount(text: str, name: str) -> float | None:
    """A number; nothing if ``text`` is empty."""
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise InvalidInputError(f"{name} is {shown(text)}; expected a number")
    return float(text)


def names(text: str, name: str) -> list[str]:
    """Names from a JSON list, or set apart by semicolons, or without these by commas."""
    if not text:
        return []
    if not text.startswith("["):
        parts = text.split(";" if ";" in text else ",")
        return [cleaned for part in parts if (cleaned := clean_text(part))]
    try:
        items = orjson.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"{name} is {shown(text)}; expected a JSON list: {error}") from error
    for item in items:
        if not isinstance(item, str):
            raise InvalidInputError(f"{name} has {shown(item)}; expected a list of texts")
    return [clean_text(item) for item in items]
