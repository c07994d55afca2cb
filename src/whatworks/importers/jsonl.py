"""JSON lines as ``whatworks export`` writes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from whatworks import checks
from whatworks.checks import shown
from whatworks.errors import InvalidInputError, SchemaVersionError
from whatworks.exporters.jsonl import FIELDS, FORMAT
from whatworks.importers import values
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report, printable
from whatworks.json_lines import numbered
from whatworks.memory import Memory
from whatworks.records import Pattern, Prior, UsageEvent

__all__ = ["import_jsonl"]

# More than the largest event: a context, metadata and two thousand names at their limits.
MAX_LINE_BYTES = 32 << 20
STEP = 1_000
TIMES = ("created_at", "updated_at", "timestamp", "resolved_at")


def import_jsonl(
    memory: Memory,
    file: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Import an export of a store, and report what was read, written and skipped.

    Patterns, priors and events come back as they were, with times, source
    and channel; an id that the store has stays as it is there. Importing
    again writes nothing.

    Parameters
    ----------
    progress
        Called with the number of lines read since the last call.

    Returns
    -------
    A report with the ``read`` count of ``lines``, the header among them; the
    place of a skipped one is ``line n``.

    Raises
    ------
    InvalidInputError
        No such file, or its first line is not the header of an export.
    SchemaVersionError
        A newer whatworks wrote the file.
    """
    report, path = Report({"lines": 0}), Path(file)
    intake = Intake(memory, report, dry_run=dry_run)
    try:
        with open(path, "rb") as stream:
            lines = numbered(stream, MAX_LINE_BYTES)
            _, first = next(lines, (0, b""))
            _check_header(path, first)
            report.read["lines"] += 1
            while step := list(islice(lines, STEP)):
                for number, line in step:
                    _take(intake, report, At(printable(path), f"line {number}"), line)
                if progress:
                    progress(len(step))
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    intake.finish()
    return report


def _check_header(path: Path, line: bytes) -> None:
    try:
        header = orjson.loads(line)
    except ValueError:
        header = None
    is_header = isinstance(header, dict) and header.get("kind") == "header"
    found = header.get("format") if is_header else None
    if not isinstance(found, int):
        raise InvalidInputError(
            f"{path} does not begin with the header of an export; for other JSON lines use "
            "whatworks import table"
        )
    if found > FORMAT:
        raise SchemaVersionError(
            f"{path} has format {found}, this whatworks knows {FORMAT}: pip install --upgrade whatworks"
        )


def _take(intake: Intake, report: Report, at: At, line: bytes) -> None:
    try:
        item = _record(_parsed(line))
    except InvalidInputError as error:
        report.skip(at, str(error))
        return
    if isinstance(item, Pattern):
        taken = intake.pattern(at, item)
    elif isinstance(item, Prior):
        taken = intake.prior(at, item)
    else:
        taken = intake.event(at, item)
    report.read["lines"] += taken


def _parsed(line: bytes) -> dict[str, Any]:
    if len(line) >= MAX_LINE_BYTES:
        raise InvalidInputError(f"the line has {MAX_LINE_BYTES:,} bytes or more")
    try:
        item = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"is not JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(item, dict):
        raise InvalidInputError(f"is {shown(item)}; expected an object")
    return item


def _record(item: dict[str, Any]) -> Pattern | Prior | UsageEvent:
    """The record that a line stands for; its values are checked when it is taken."""
    kind = item.pop("kind", None)
    if not isinstance(kind, str) or kind not in FIELDS:
        raise InvalidInputError(f"kind is {shown(kind)}; expected one of {', '.join(FIELDS)}")
    for name in FIELDS[kind]:
        if name not in item:
            raise InvalidInputError(f"{name} is missing")
    if unknown := item.keys() - set(FIELDS[kind]):
        raise InvalidInputError(f"there is no field {shown(min(unknown))} in a line of kind {kind}")
    # Without its id an item would come back as another one.
    checks.identifier(item[f"{kind}_id"], f"{kind}_id")
    return _RECORDS[kind](**{name: _value(name, value) for name, value in item.items()})


def _value(name: str, value: Any) -> Any:
    if name not in TIMES or value is None:
        return value
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} is {shown(value)}; expected a time as text")
    return values.rfc3339(value)


_RECORDS: dict[str, type[Pattern] | type[Prior] | type[UsageEvent]] = {
    "pattern": Pattern,
    "prior": Prior,
    "event": UsageEvent,
}
