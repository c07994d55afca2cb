"""Texts, times, numbers and situations from the fields of exports, whatever they hold."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from whatworks.hooks.spool import trimmed
from whatworks.readers.scores.found import Value
from whatworks.redaction import UNKEYED
from whatworks.text import clean_text

__all__ = [
    "Row",
    "first",
    "hex_id",
    "mapping",
    "maps",
    "moment",
    "nanoseconds",
    "number",
    "plain",
    "seconds",
    "situation",
    "text",
]

Row = Mapping[str, Any]
# Of an id, a name or a word: what is longer is none, and must not fill a message.
MAX_TEXT = 10_000
MAX_CONTEXT = 4_000
MAX_DEPTH = 5
# Where frameworks keep what somebody asked, the likeliest first.
_ASKED = ("messages", "input", "question", "query", "prompt", "content", "text", "parts", "kwargs")
_PADDED_BYTES = {12: 8, 24: 16}
_HEX = re.compile(r"(?:0x)?([0-9a-f]+)", re.ASCII | re.IGNORECASE)


def text(value: object) -> str:
    """A text or a number as text, stripped; empty for everything else."""
    if isinstance(value, str):
        return value.strip()[:MAX_TEXT]
    # A list could be nested deeper than Python can print.
    return "" if value is None or isinstance(value, (Mapping, list, tuple, set)) else str(value)[:200]


def first(row: Row, *names: str) -> Any:
    """The first of these fields that says something."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def mapping(value: object) -> Row:
    """An object, which some exports hold as text; empty if it is none."""
    if isinstance(value, str) and value[:1] == "{":
        value = _parsed(value)
    return value if isinstance(value, Mapping) else {}


def maps(value: object) -> list[Row]:
    """The objects of a list, which some exports hold as text."""
    if isinstance(value, str) and value[:1] == "[":
        value = _parsed(value)
    return (
        [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []
    )


def _parsed(value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def number(value: object) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    try:
        found = float(value)
    except (OverflowError, ValueError):
        return None
    return found if math.isfinite(found) else None


def plain(value: object) -> Value:
    """The value of a score as JSON can hold it: what is no word and no number becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float, Decimal)):
        found = number(value)
        return str(value)[:200] if found is None else found  # such as nan
    return text(value) if isinstance(value, str) else f"a {type(value).__name__}"


def hex_id(value: object) -> str:
    """An id of OpenTelemetry in small hexadecimal digits; some exports write its bytes in base64."""
    said = text(value)
    if length := _PADDED_BYTES.get(len(said)):
        try:
            data = base64.b64decode(said, validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if len(data) == length:
            return data.hex()
    found = _HEX.fullmatch(said)
    return found[1].lower() if found else said


# -- times ----------------------------------------------------------------------------------------


def moment(value: object) -> datetime | None:
    """A time as these tools write it; one without a zone is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:  # the first and the last day there are, elsewhere
            return None
    given = number(value)
    if given is None or not 0 < given < 1e14:
        return None
    return nanoseconds(int((given / 1e3 if given > 1e11 else given) * 1e9))  # some write milliseconds


def nanoseconds(value: object) -> datetime | None:
    """A time from nanoseconds since 1970, a number or its digits."""
    try:
        return datetime.fromtimestamp(int(text(value).partition(".")[0]) / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def seconds(began: datetime | None, ended: datetime | None) -> float | None:
    """How long something took; nothing if that is not known."""
    return max((ended - began).total_seconds(), 0.0) if began and ended else None


# -- situations -----------------------------------------------------------------------------------


def situation(value: object) -> str:
    """What a run was given, without secrets: itself, the user's last message, or its only text."""
    # Without the store's key: what waits for its scores waits without secrets.
    return clean_text(trimmed(_asked(value, 0), UNKEYED), max_bytes=MAX_CONTEXT)


def _asked(value: object, depth: int) -> str:
    if isinstance(value, str):
        held = _parsed(value) if depth == 0 and value[:1] in ("[", "{") else None
        return value if held is None else _asked(held, 1)
    if depth > MAX_DEPTH:
        return ""
    if isinstance(value, Mapping):
        for name in _ASKED:
            if found := _asked(value.get(name), depth + 1):
                return found
        texts = [one for one in value.values() if isinstance(one, str)]
        return texts[0] if len(texts) == 1 else ""
    if isinstance(value, (list, tuple)) and value:
        users = [
            one
            for one in maps(value)
            if text(one.get("role") or one.get("type")).lower() in ("user", "human")
        ]
        return _asked((users or value)[-1], depth + 1)
    return ""
