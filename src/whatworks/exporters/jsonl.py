"""JSON lines: all that was recorded in a store, one object a line.

The first line is the header, then come what the owner said of sources, patterns,
priors, events, and the events that are held back, each the oldest first::

    {"kind":"header","format":1,"embedder":"..."}
    {"kind":"judgement","source":"...","trust":"distrusted","judged_at":"..."}
    {"kind":"pattern","pattern_id":"...",...}
    {"kind":"prior","prior_id":"...",...}
    {"kind":"event","event_id":"...",...}
    {"kind":"held","event_id":"...",...}

Times are RFC 3339 in UTC. Nothing in it depends on the store's place or
age, so that equal stores give equal bytes. Receipts of predictions are not
part of it, and what follows from events (rates, counts) is worked out anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import orjson

from whatworks.channels import CHECKING, IMPORT, UNVOUCHED
from whatworks.exporters.files import replacing
from whatworks.memory import Memory
from whatworks.records import Pattern, Prior, UsageEvent, Where

if TYPE_CHECKING:
    from whatworks.records import Judgement, Source

__all__ = ["FIELDS", "FORMAT", "OPTIONAL", "export_jsonl"]

# Raise when an older whatworks could not read an export any more.
FORMAT = 3
# What a store without archived patterns is written as, and one that is no more than that.
PLAIN, ARCHIVED = 1, 2
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
FIELDS |= {"held": FIELDS["event"], "judgement": ("source", "trust", "judged_at")}
# Only where there is something to say; a file with these has format 2, or 3 where it is of tries.
OPTIONAL: dict[str, tuple[str, ...]] = {
    "pattern": ("archived_at", "archive_reason"),
    "event": ("recorded_at", "checked", "imported_from"),
    "held": ("recorded_at", "checked", "imported_from"),
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

    Counted as well, where there are any: ``held``, the tries in quarantine, and ``judgements``.

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
    judgements = memory.judgements()
    judged = {said.source for said in judgements}
    parts = {
        "pattern": _noted(memory.iter_patterns(), known),
        "prior": _of(memory.iter_priors(), known),
        "event": _first(_of(memory.iter_events(), known), judged),
        "held": _first(_of(memory.iter_held(), known), judged),
    }
    header = {
        "kind": "header",
        "format": _format(memory, judgements),
        "embedder": memory.stats().embedder,
    }
    stream.write(orjson.dumps(header) + b"\n")
    stream.writelines(_lines("judgement", judgements))
    counts = {"patterns": 0, "priors": 0, "events": 0}
    for kind, items in parts.items():
        name = kind if kind == "held" else f"{kind}s"
        lines = _lines(kind, items)
        while step := list(islice(lines, STEP)):
            stream.write(b"".join(step))
            counts[name] = counts.get(name, 0) + len(step)
            if progress:
                progress(len(step))
    stream.flush()
    return counts | ({"judgements": len(judgements)} if judgements else {})


def _format(memory: Memory, judgements: Sequence[Judgement]) -> int:
    """The oldest format that says it all."""
    imported = any(found.label.startswith(f"{IMPORT}:") for found in memory.imports())
    if judgements or imported or any(map(_needs_more, memory.sources())):
        return FORMAT
    return ARCHIVED if memory.patterns(where=Where(archived=True), limit=1) else PLAIN


def _needs_more(source: Source) -> bool:
    unsaid = source.resolved if source.channel in CHECKING else 0  # as their channel has it
    return bool(source.held or source.checked != unsaid or source.channel in UNVOUCHED)


def _noted(patterns: Iterator[Pattern], known: set[str]) -> Iterator[Pattern]:
    for pattern in patterns:
        known.add(pattern.pattern_id)
        yield pattern


def _of(items: Iterator[Item], known: set[str]) -> Iterator[Item]:
    """What belongs to the patterns written; others were added meanwhile."""
    return (item for item in items if item.pattern_id in known)


def _first(events: Iterator[UsageEvent], judged: set[str]) -> Iterator[UsageEvent]:
    """Events without the exports that they came by: those say nothing of where a try was first told.

    But for exports of which the owner thinks something: what holds for them must hold for their tries.
    """
    for event in events:
        labels = tuple(
            label for label in event.imported_from if label in judged or label.startswith(f"{IMPORT}:")
        )
        yield event if labels == event.imported_from else replace(event, imported_from=labels)


def _lines(kind: str, items: Iterable[object]) -> Iterator[bytes]:
    names = FIELDS[kind]
    for item in items:
        fields = {name: getattr(item, name) for name in names}
        more = {name: getattr(item, name) for name in OPTIONAL.get(kind, ())}
        checked = more.pop("checked", None)
        fields |= {name: value for name, value in more.items() if value not in (None, ())}
        # Its channel says it of an outcome, unless it is otherwise.
        if fields.get("outcome") is not None and checked is not (fields["channel"] in CHECKING):
            fields["checked"] = checked
        yield orjson.dumps({"kind": kind} | fields, option=orjson.OPT_UTC_Z) + b"\n"
