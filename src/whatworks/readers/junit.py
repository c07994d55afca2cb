"""Reports of test runs: JUnit XML, and the JSON lines of pytest-reportlog."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whatworks.errors import InvalidInputError, MissingExtraError
from whatworks.json_lines import objects
from whatworks.readers.items import Item
from whatworks.readers.walk import opened

__all__ = ["Items", "Run", "read"]

# Of a message: the importer takes secrets out of it before it cuts it to what is kept.
LONGEST = 1 << 20


class Run(Item, frozen=True):
    """One test's run; ``failed`` is ``None`` if it was skipped."""

    name: str
    failed: bool | None
    message: str
    seconds: float | None
    at: datetime


Items = Run


def read(path: str) -> Iterator[Run]:
    """The runs of a report.

    Raises
    ------
    InvalidInputError
        It is no report.
    MissingExtraError
        XML needs the package junitparser.
    """
    file = Path(path)
    opened(file).close()  # which refuses what is no file, or an archive
    return _reportlog(file) if file.suffix == ".jsonl" else _junit(file)


def _junit(path: Path) -> Iterator[Run]:
    try:
        from junitparser import JUnitXml
    except ModuleNotFoundError as error:
        raise MissingExtraError("reports in XML need junitparser: pip install junitparser") from error
    try:
        whole: Any = JUnitXml.fromfile(str(path))
        found = list(_cases(whole if isinstance(whole, JUnitXml) else [whole], path))
    except Exception as error:  # the parsers behind it have errors of their own
        raise InvalidInputError(f"{path} is no JUnit report: {error}") from error
    yield from found


def _cases(suites: Any, path: Path) -> Iterator[Run]:
    from junitparser import Error, Failure, Skipped

    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    for suite in suites:
        at = _moment(suite.timestamp, modified)
        for case in suite:
            results = case.result or []
            wrong = [result for result in results if isinstance(result, Failure | Error)]
            skipped = any(isinstance(result, Skipped) for result in results) and not wrong
            message = " ".join(str(result.message or result.text or "") for result in wrong)
            name = ".".join(filter(None, (case.classname, case.name)))
            failed = None if skipped else bool(wrong)
            yield Run(name, failed, message[:LONGEST], _seconds(case.time), at)


def _reportlog(path: Path) -> Iterator[Run]:
    """Of each test the phase that says most: the first that failed, else the call."""
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    phases: dict[str, dict[str, Any]] = {}
    for held in objects(path):
        if held.get("$report_type") != "TestReport":
            continue
        name, outcome = str(held.get("nodeid")), held.get("outcome")
        before = phases.get(name, {})
        says_more = outcome == "failed" or held.get("when") == "call" or not before
        if says_more and before.get("outcome") != "failed":
            phases[name] = held
    if not phases:
        raise InvalidInputError(f"{path} is no report log of pytest; it has no test in it")
    for name, held in phases.items():
        outcome, start = held.get("outcome"), held.get("start")
        at = _passed(start, modified)
        yield Run(
            name,
            None if outcome == "skipped" else outcome == "failed",
            _longrepr(held.get("longrepr"))[:LONGEST] if outcome == "failed" else "",
            _seconds(held.get("duration")),
            at,
        )


def _longrepr(value: object) -> str:
    if isinstance(value, dict):
        crash = value.get("reprcrash")
        return str(crash.get("message", "")) if isinstance(crash, dict) else ""
    return value if isinstance(value, str) else ""


def _moment(text: str | None, otherwise: datetime) -> datetime:
    """A report's own time; one without a zone is of the machine that reads it."""
    with suppress(TypeError, ValueError, OverflowError):
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    return otherwise


def _passed(value: object, otherwise: datetime) -> datetime:
    """A time from seconds since 1970."""
    with suppress(ValueError, OverflowError, OSError):
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
    return otherwise


def _seconds(value: object) -> float | None:
    """How long it took, if that is said with a number."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
