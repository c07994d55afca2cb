"""JSON lines as ``whatworks export`` writes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatworks import checks
from whatworks.channels import CHECKING, EXPORT
from whatworks.checks import shown
from whatworks.errors import InvalidInputError, SchemaVersionError
from whatworks.exporters.jsonl import FIELDS, FORMAT, OPTIONAL
from whatworks.importers import origin
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report
from whatworks.readers import apart, values
from whatworks.readers.items import Fault, printable
from whatworks.readers.jsonl import Items, Line
from whatworks.records import Judgement, Pattern, Prior, UsageEvent

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["import_jsonl"]

STEP = 1_000
TIMES = (
    "created_at",
    "updated_at",
    "timestamp",
    "resolved_at",
    "archived_at",
    "recorded_at",
    "judged_at",
)


def import_jsonl(
    memory: Memory,
    file: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    trust_judgements: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Import an export of a store, and report what was read, written and skipped.

    Patterns, priors and events come back as they were, with times, source
    and channel; an id that the store has stays as it is there. Importing
    again writes nothing.

    Parameters
    ----------
    trust_judgements
        Believe what the file says of sources, for what they have told and will tell: only of an
        export of your own. Else that is left out, and so are tries that the file holds back
        because their source is distrusted there.
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
    report, path, count = Report({"lines": 0}), Path(file), 0
    if not path.is_file():
        raise InvalidInputError(f"{printable(path)} cannot be read: it is no file; give an export")
    intake = _Lines(memory, report, path, dry_run=dry_run, trust_judgements=trust_judgements)
    with closing(apart.read("jsonl", Items, {"path": str(path)}, below=[path])) as items:
        _check_header(path, next(items, None))
        report.read["lines"] += 1
        for count, item in enumerate(items, 1):
            intake.take(item)
            if progress and count % STEP == 0:
                progress(STEP)
        if progress:
            progress(count % STEP)
    intake.finish()
    return report


def _check_header(path: Path, first: Line | Fault | None) -> None:
    header = first.value if isinstance(first, Line) else None
    found = None
    if isinstance(header, dict) and header.get("kind") == "header":
        found = header.get("format")
    if not isinstance(found, int):
        raise InvalidInputError(
            f"{path} does not begin with the header of an export; for other JSON lines use "
            "whatworks import table"
        )
    if found > FORMAT:
        raise SchemaVersionError(
            f"{path} has format {found}, this whatworks knows {FORMAT}: pip install --upgrade whatworks"
        )


class _Lines(Intake):
    """Takes the lines of an export."""

    def __init__(
        self, memory: Memory, report: Report, path: Path, *, dry_run: bool, trust_judgements: bool
    ) -> None:
        super().__init__(memory, report, dry_run=dry_run, given=[path])
        self._path = printable(path)
        self._label = origin.label(path, memory.secrets, kind=EXPORT)
        self._trusted = trust_judgements
        self._distrusted: set[str] = set()

    def take(self, read: Line | Fault) -> None:
        """Take a line, or note in the report why it is left out."""
        if isinstance(read, Fault):
            self._report.skip(At(self._path, read.place), read.reason)
            return
        at = At(self._path, f"line {read.number}")
        try:
            kind, item = _record(read.value)
        except InvalidInputError as error:
            self._report.skip(at, str(error))
            return
        if isinstance(item, Judgement):
            taken = self._judgement(at, item)
        elif isinstance(item, Pattern):
            taken = self.pattern(at, item)
        elif isinstance(item, Prior):
            taken = self.prior(at, item)
        elif kind == "held" and not self._distrusted.isdisjoint((item.source, *item.imported_from)):
            self._report.leave("held")
            taken = True
        else:
            before = [label for label in item.imported_from if label != self._label]
            taken = self.event(at, replace(item, imported_from=(self._label, *before)))
        self._report.read["lines"] += taken

    def _judgement(self, at: At, item: Judgement) -> bool:
        if self._trusted:
            return self.judgement(at, item)
        if item.trust == "distrusted":
            self._distrusted.add(item.source)
        self._report.leave("judgements")
        return True


def _record(item: Any) -> tuple[str, Pattern | Prior | UsageEvent | Judgement]:
    """The kind of a line, and its record; the values of that are checked when it is taken."""
    if not isinstance(item, dict):
        raise InvalidInputError(f"is {shown(item)}; expected an object")
    kind = item.pop("kind", None)
    if not isinstance(kind, str) or kind not in FIELDS:
        raise InvalidInputError(f"kind is {shown(kind)}; expected one of {', '.join(FIELDS)}")
    for name in FIELDS[kind]:
        if name not in item:
            raise InvalidInputError(f"{name} is missing")
    if unknown := item.keys() - {*FIELDS[kind], *OPTIONAL.get(kind, ())}:
        raise InvalidInputError(f"there is no field {shown(min(unknown))} in a line of kind {kind}")
    fields = {name: _value(name, value) for name, value in item.items()}
    if kind in ("event", "held"):
        fields.setdefault("checked", item["channel"] in CHECKING)
    if kind == "judgement":
        return kind, Judgement(counted=0, held=0, **fields)
    # Without its id an item would come back as another one.
    name = f"{'event' if kind == 'held' else kind}_id"
    checks.identifier(item[name], name)
    return kind, _RECORDS[kind](**fields)


def _value(name: str, value: Any) -> Any:
    if name == "imported_from":
        return tuple(checks.imported_from(value))
    if name not in TIMES or value is None:
        return value
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} is {shown(value)}; expected a time as text")
    return values.rfc3339(value)


_RECORDS: dict[str, type[Pattern] | type[Prior] | type[UsageEvent]] = {
    "pattern": Pattern,
    "prior": Prior,
    "event": UsageEvent,
    "held": UsageEvent,
}
