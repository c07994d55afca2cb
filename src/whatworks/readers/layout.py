"""The layout of the file-based memory: its folder, its sessions' turns, its learned patterns."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from whatworks import checks
from whatworks.checks import shown
from whatworks.errors import InvalidInputError
from whatworks.readers import values
from whatworks.readers.items import RefusedError
from whatworks.records import NewPattern
from whatworks.redaction import UNKEYED
from whatworks.text import clean_text

__all__ = [
    "ORIGIN",
    "Learned",
    "Turn",
    "identifier",
    "json_files",
    "learned",
    "load",
    "members",
    "text",
    "turn",
]

ORIGIN = "file-memory"
# Parsed JSON takes about ten times its size in memory.
MAX_FILE_BYTES = 64 << 20
MAX_DEPTH = 32
WHOLE = "file"
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Learned:
    """A LearnedPattern: what can be tried, and the aggregate of its tries."""

    pattern: NewPattern
    context: str
    tools: tuple[str, ...]
    success_rate: float
    usage_count: int
    reinforced_at: datetime | None


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that used tools: one try."""

    timestamp: datetime
    query: str
    query_type: str
    files: Sequence[str]
    tools: tuple[str, ...]
    outcome: float
    lessons: Sequence[str]


# -- files ----------------------------------------------------------------------------------------


def json_files(folder: Path, root: Path) -> list[Path]:
    """The ``*.json`` of a folder within ``root`` by name; none if there is no such folder."""
    if not os.path.isdir(folder):
        return []
    _within(folder, root)
    try:
        with os.scandir(folder) as entries:
            return [folder / name for name in sorted(e.name for e in entries) if name.endswith(".json")]
    except OSError as error:
        raise RefusedError("folder", f"cannot be read: {error.strerror}") from error


def _within(path: Path, root: Path) -> None:
    home = os.path.realpath(root)
    if os.path.commonpath([home, os.path.realpath(path)]) != home:
        raise RefusedError(WHOLE, "is a link that leaves the folder")


def load(path: Path, root: Path) -> Any:
    """The JSON value in a file of at most 64 MB that lies within ``root``."""
    _within(path, root)
    data = _read(path)
    if not data.strip():
        raise RefusedError(WHOLE, "is empty")
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        raise RefusedError(
            f"line {error.lineno} column {error.colno} (char {error.pos})", f"is not JSON: {error.msg}"
        ) from error
    except UnicodeDecodeError as error:
        raise RefusedError(f"byte {error.start}", f"is no {error.encoding}: {error.reason}") from error
    except RecursionError as error:
        raise RefusedError(WHOLE, "is nested too deeply") from error
    except ValueError as error:
        raise RefusedError(WHOLE, str(error)) from error


def _read(path: Path) -> bytes:
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise RefusedError(WHOLE, "is no regular file")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RefusedError(WHOLE, f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise RefusedError(WHOLE, f"has more than {MAX_FILE_BYTES:,} bytes")
    return data


# -- items ----------------------------------------------------------------------------------------


def learned(item: object, place: str, now: datetime) -> Learned:
    """A LearnedPattern from its JSON; the error names the field that is wrong."""
    given = _object(item, place)
    tools, context = _names(given, "tools_involved", place), text(given, "context", place, "")
    rate = _share(given, "success_rate", place)
    with _at(f"{place}.usage_count"):
        count = checks.count(_present(given, "usage_count", place), "usage_count", least=0, most=10**12)
    pattern = NewPattern(
        description=text(given, "description", place),
        pattern_type=text(given, "pattern_type", place),
        metadata={
            "context": context,
            "files_involved": _names(given, "files_involved", place),
            "tools_involved": list(tools),
            "conditions": _texts(given, "conditions", place),
            "origin": ORIGIN,
        },
        pattern_id=identifier(given, "pattern_id", place),
        created_at=_time(given, "first_learned", place, now),
    )
    with _at(place):
        checks.pattern(pattern, now, UNKEYED)  # they are taken out with the store's key later
    reinforced_at = _time(given, "last_reinforced", place, now)
    return Learned(pattern, context, tuple(tools), rate, count, reinforced_at)


def turn(item: object, place: str, now: datetime) -> Turn | None:
    """A turn from its JSON, nothing if it used no tools; the error names the field that is wrong."""
    given = _object(item, place)
    _present(given, "tools_used", place)
    tools = _names(given, "tools_used", place)
    if not tools:
        return None
    query = text(given, "user_query", place)
    with _at(f"{place}.user_query"):
        checks.context(query or None, UNKEYED)
    outcome = _share(given, "outcome_quality", place)
    _present(given, "timestamp", place)
    timestamp = _time(given, "timestamp", place, now)
    if timestamp is None:
        raise RefusedError(f"{place}.timestamp", "is null; expected a time")
    return Turn(
        timestamp=timestamp,
        query=query,
        query_type=text(given, "query_type", place, ""),
        files=_names(given, "files_involved", place),
        tools=tuple(tools),
        outcome=outcome,
        lessons=_texts(given, "lessons_learned", place),
    )


def members(given: dict[str, Any], name: str) -> list[Any]:
    """The list that must stand under ``name``."""
    value = _present(given, name, "")
    if not isinstance(value, list):
        raise RefusedError(name, f"is {_kind(value)}; expected a list")
    return value


def identifier(given: dict[str, Any], name: str, place: str = "") -> str:
    """An id, cleaned; it must stand under ``name``."""
    with _at(_path(place, name)):
        return checks.identifier(text(given, name, place), name)


def text(given: dict[str, Any], name: str, place: str, default: str | None = None) -> str:
    """A text, cleaned; ``default`` if it is missing or null."""
    value = given.get(name)
    if value is None and default is not None:
        return default
    _present(given, name, place)
    if not isinstance(value, str):
        raise RefusedError(_path(place, name), f"is {_kind(value)}; expected text")
    return clean_text(value)


def _object(item: object, place: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise RefusedError(place, f"is {_kind(item)}; expected an object")
    if _deep(item, MAX_DEPTH):
        raise RefusedError(place, f"is nested more than {MAX_DEPTH} deep")
    return item


def _deep(value: object, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deep(item, levels - 1) for item in inner)


def _present(given: dict[str, Any], name: str, place: str) -> Any:
    if name not in given:
        raise RefusedError(_path(place, name), "is missing")
    return given[name]


def _share(given: dict[str, Any], name: str, place: str) -> float:
    value = _present(given, name, place)
    if type(value) not in (int, float):  # a bool is a number to Python, but not to the layout
        raise RefusedError(_path(place, name), f"is {_kind(value)}; expected a number from 0 to 1")
    if not 0 <= value <= 1:  # false for NaN as well
        raise RefusedError(_path(place, name), f"is {shown(value)}; expected a number from 0 to 1")
    return float(value)


def _time(given: dict[str, Any], name: str, place: str, now: datetime) -> datetime | None:
    value = text(given, name, place, "")
    with _at(_path(place, name)):
        return checks.moment(values.rfc3339(value), name, now) if value else None


def _texts(given: dict[str, Any], name: str, place: str) -> list[str]:
    """A list of texts, cleaned; empty if it is missing or null."""
    items = given.get(name)
    if items is None:
        return []
    if not isinstance(items, list):
        raise RefusedError(_path(place, name), f"is {_kind(items)}; expected a list of texts")
    for n, item in enumerate(items):
        if not isinstance(item, str):
            raise RefusedError(f"{_path(place, name)}[{n}]", f"is {_kind(item)}; expected text")
    return [clean_text(item) for item in items]


def _names(given: dict[str, Any], name: str, place: str) -> list[str]:
    with _at(_path(place, name)):
        texts = _texts(given, name, place)
        checks.names(texts, name, UNKEYED)
        return texts


def _path(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _kind(value: object) -> str:
    return _KINDS.get(type(value)) or f"the number {shown(value)}"


@contextmanager
def _at(place: str) -> Iterator[None]:
    try:
        yield
    except InvalidInputError as error:
        raise RefusedError(place, str(error)) from error
