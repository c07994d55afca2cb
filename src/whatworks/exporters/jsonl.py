"""JSON lines: all that was recorded in a store, one object a line.

The first line is the header, then come patterns, priors and events, each the
oldest first::

    {"kind":"header","format":1,"embedder":"..."}
    {"kind":"pattern","pattern_id":"...",...}
    {"kind":"prior","prior_id":"...",...}
    {"kind":"event","event_id":"...",...}

Times are RFC 3339 in UTC. Nothing in it depends on the store's place or
age, so that equal stores give equal bytes. Receipts of predictions are not
part of it, and what follows from events (rates, counts) is worked out anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

import orjson

from whatworks.exporters.files import replacing
from whatworks.memory import Memory
from whatworks.records import Pattern, Prior, UsageEvent

__all__ = ["FIELDS", "FORMAT", "export_jsonl"]

# Raise when an older whatworks could not read an export any more.
FORMAT = 1
FIELDS: dict[str, tuple[str, ...]] = {
    "pattern": (
        "pattern_id",
        "pattern_type",
        "description",
        "metadata",
        "created_at",
        "updated_at",
    ),
    "prior": ("prior_id", "pattern_id", "success_rate", "usage_count", "origin", "timestamp"),
    "event": (
        "event_id",
        "pattern_id",
        "timestamp",
        "state",
        "outcome",
        "context",
        "session_id",
        "source",
        "channel",
        "files",
        "tools",
        "duration_ms",
        "cost",
        "prediction_id",
        "metadata",
        "resolved_at",
    ),
}
STEP = 1_000

Item = TypeVar("Item", Prior, UsageEvent)


def export_jsonl(
    memory: Memory,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    progress: Callable[[int], object] | None = None,
) -> dict[str, int]:
    """Write the store's content as JSON lines, and return counts of patterns, priors and events.

    Parameters
    ----------
    target
        A file, which appears whole or not at all and is readable by its owner
        only, or a binary stream such as ``sys.stdout.buffer``.
    progress
        Called with the number of lines written since the last call.

    Raises
    ------
    InvalidInputError
        The target is no file, or its folder is missing.
    StoreError
        The file cannot be written; ``StoreFullError`` if the disk is full.
    """
    if not isinstance(target, (str, os.PathLike)):
        return _write(memory, target, progress)
    with replacing(Path(target)) as draft, open(draft, "wb") as file:
        return _write(memory, file, progress)


def _write(
    memory: Memory, stream: BinaryIO, progress: Callable[[int], object] | None
) -> dict[str, int]:
    known: set[str] = set()
    parts = {
        "pattern": _noted(memory.iter_patterns(), known),
        "prior": _of(memory.iter_priors(), known),
        "event": _of(memory.iter_events(), known),
    }
    header = {"kind": "header", "format": FORMAT, "embedder": memory.stats().embedder}
    stream.write(orjson.dumps(header) + b"\n")
    counts = {}
    for kind, items in parts.items():
        counts[f"{kind}s"] = 0
        lines = _lines(kind, items)
        while step := list(islice(lines, STEP)):
            stream.write(b"".join(step))
            counts[f"{kind}s"] += len(step)
            if progress:
                progress(len(step))
    stream.flush()
    return counts


def _noted(patterns: Iterator[Pattern], known: set[str]) -> Iterator[Pattern]:
    for pattern in patterns:
        known.add(pattern.pattern_id)
        yield pattern


def _of(items: Iterator[Item], known: set[str]) -> Iterator[Item]:
    """What belongs to the patterns written; others were added meanwhile."""
    return (item for item in items if item.pattern_id in known)


def _lines(kind: str, items: Iterable[object]) -> Iterator[bytes]:
    names = FIELDS[kind]
    for item in items:
        fields = {name: getattr(item, name) for name in names}
        yield orjson.dumps({"kind": kind} | fields, option=orjson.OPT_UTC_Z) + b"\n"
