"""Tables of tries: CSV, TSV, JSON lines and Parquet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from whatworks import checks
from whatworks.checks import shown
from whatworks.errors import InvalidInputError
from whatworks.ids import content_id
from whatworks.importers.alike import Marked, marked
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report
from whatworks.readers import apart, values
from whatworks.readers.items import printable
from whatworks.readers.table import Broken, Items
from whatworks.records import NewEvent, NewPattern
from whatworks.redaction import UNKEYED, Secrets
from whatworks.text import clean_text, subject_renamed

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["FIELDS", "import_table"]

REQUIRED = ("pattern", "outcome")
FIELDS = (
    *REQUIRED,
    "context",
    "timestamp",
    "event_id",
    "session_id",
    "pattern_type",
    "files",
    "tools",
    "duration_ms",
    "cost",
)
# A description up to this long is also a good id: it can be read and typed.
MAX_SPEAKING_ID = 128
CHUNK = 1_000


def import_table(
    memory: Memory,
    file: str | os.PathLike[str],
    *,
    columns: Mapping[str, str],
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Import a table with one try a row, and report what was read, written and skipped.

    The format follows from the ending: ``.csv``, ``.tsv``, ``.jsonl``,
    ``.ndjson``, ``.json`` (JSON lines), ``.parquet``. Text is UTF-8. Files of
    any size are read in bounded memory.

    Parameters
    ----------
    columns
        From field to column. Needed: ``pattern`` (the id of a pattern, or a
        description: a new one is added with it, and with it as its id up to
        128 bytes) and ``outcome`` (0 to 1, or a word such as true, failed;
        empty is pending). Possible: ``context``, ``timestamp`` (ISO 8601, UTC
        without a zone, or seconds since 1970; default: now), ``event_id``,
        ``session_id``, ``pattern_type`` (of a new pattern; its first row
        counts), ``files`` and ``tools`` (a list, or names set apart by ``;``
        or ``,``), ``duration_ms``, ``cost``.
    progress
        Called with the number of rows read since the last call.

    Returns
    -------
    A report with the ``read`` count of ``rows``; the place of a skipped one is
    ``row n``, counted from 1 behind the header. Rows without an ``event_id``
    get one from their content and their number among rows alike: importing a
    file again writes nothing, and two rows alike are two tries.

    Raises
    ------
    InvalidInputError
        The map names an unknown field or a column that is not there, or the
        file is not of its format.
    """
    path, fields = Path(file), _fields(columns)
    report = Report({"rows": 0})
    called = {field: f"column {shown(name)}" for field, name in columns.items() if name != field}
    intake = Intake(memory, report, dry_run=dry_run, given=[path], called=called)
    names = [columns[field] for field in fields]
    given = {"path": str(path), "columns": names, "key": columns.get("event_id")}
    with (
        closing(apart.read("table", Items, given, below=[path])) as items,
        marked(items, len(names)) as rows,
    ):
        while chunk := list(islice(rows, CHUNK)):
            tries = list(_tries(chunk, fields, called, printable(path), report, memory.secrets))
            known = intake.known(item.text for item in tries if item.text != item.event.pattern_id)
            for item in tries:
                event, pattern = item.event, item.pattern
                if item.text in known:
                    event, pattern = replace(event, pattern_id=item.text), None
                if intake.event(item.at, event, pattern=pattern, may_repeat=item.alike):
                    report.read["rows"] += 1
            if progress:
                progress(len(chunk))
        intake.finish()
    return report


@dataclass(frozen=True, slots=True)
class _Try:
    """A row: the try, the pattern to add if there is none, and the text that may be a pattern's id."""

    at: At
    text: str
    event: NewEvent
    pattern: NewPattern | None
    alike: bool


def _fields(columns: Mapping[str, str]) -> list[str]:
    """The mapped fields in a fixed order."""
    unknown = [field for field in columns if field not in FIELDS]
    missing = [field for field in REQUIRED if field not in columns]
    if unknown or missing:
        wrong = f"has the unknown field {shown(unknown[0])}" if unknown else f"lacks {missing[0]}"
        raise InvalidInputError(
            f"the map of columns {wrong}; it needs {' and '.join(REQUIRED)}, and may have "
            f"{', '.join(FIELDS[len(REQUIRED) :])}"
        )
    for column in columns.values():
        checks.text(column, "a column's name", UNKEYED)
    return [field for field in FIELDS if field in columns]


def _tries(
    rows: Iterable[Marked | Broken],
    fields: Sequence[str],
    called: Mapping[str, str],
    path: str,
    report: Report,
    secrets: Secrets,
) -> Iterator[_Try]:
    for row in rows:
        at = At(path, f"row {row.number}")
        if isinstance(row, Broken):
            report.skip(at, row.reason)
            continue
        try:
            yield _try(at, row, dict(zip(fields, row.texts, strict=True)), secrets)
        except InvalidInputError as error:
            report.skip(at, subject_renamed(str(error), called))


def _try(at: At, row: Marked, given: Mapping[str, str | None], secrets: Secrets) -> _Try:
    texts = {field: clean_text(text) if text else "" for field, text in given.items()}
    text = checks.text(texts["pattern"], "pattern", secrets)  # which may be an id
    pattern_type = texts.get("pattern_type") or "general"
    pattern_id = text if _speaking(text, MAX_SPEAKING_ID) else content_id(pattern_type, text)
    outcome, state = values.outcome(texts["outcome"])
    timestamp = values.timestamp(texts.get("timestamp", ""))
    event = NewEvent(
        pattern_id,
        outcome=outcome,
        context=texts.get("context") or None,
        state=state,
        timestamp=timestamp,
        event_id=texts.get("event_id") or _event_id(given, row.occurrence),
        session_id=texts.get("session_id") or None,
        files=values.names(texts.get("files", ""), "files"),
        tools=values.names(texts.get("tools", ""), "tools"),
        duration_ms=values.amount(texts.get("duration_ms", ""), "duration_ms"),
        cost=values.amount(texts.get("cost", ""), "cost"),
    )
    pattern = NewPattern(text, pattern_type, {}, pattern_id, timestamp)
    return _Try(
        at, text if _speaking(text, checks.MAX_ID_BYTES) else pattern_id, event, pattern, row.alike
    )


def _speaking(text: str, size: int) -> bool:
    """Whether a description of at most ``size`` bytes can be an id."""
    return len(text.encode()) <= size and text.isprintable()


def _event_id(given: Mapping[str, str | None], occurrence: int) -> str:
    parts = [part for field, text in given.items() for part in (field, text or "")]
    return f"import-{content_id(*parts, str(occurrence))}"
