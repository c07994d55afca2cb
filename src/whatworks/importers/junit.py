"""Reports of test runs: JUnit XML, and the JSON lines of pytest-reportlog. A test's run is a try of it.

So the memory knows which tests fail, how often, since when and with what
message. Skipped tests were not tried.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from whatworks.errors import InvalidInputError, MissingExtraError
from whatworks.ids import content_id
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report, printable
from whatworks.json_lines import objects
from whatworks.memory import Memory
from whatworks.records import NewEvent, NewPattern
from whatworks.redaction import Secrets
from whatworks.text import clean_text

__all__ = ["import_tests"]

PATTERN_TYPE = "test"
MAX_BYTES = 64 << 20
MAX_MESSAGE = 2_000


@dataclass(frozen=True, slots=True)
class _Run:
    """One test's run; ``failed`` is ``None`` if it was skipped."""

    name: str
    failed: bool | None
    message: str
    seconds: float | None
    at: datetime


def import_tests(
    memory: Memory,
    file: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Import a report (``.xml`` or ``.jsonl``) of at most 64 MiB; the same again writes nothing.

    Raises
    ------
    InvalidInputError
        It is no report, or too large.
    MissingExtraError
        XML needs the package junitparser.
    """
    path = Path(file)
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise InvalidInputError(f"{path} is no file of at most {MAX_BYTES >> 20} MiB; give a report")
    runs = _reportlog(path) if path.suffix == ".jsonl" else _junit(path)
    report = Report(read={"tests": 0, "failed": 0, "skipped": 0})
    intake = Intake(memory, report, dry_run=dry_run)
    seen: Counter[str] = Counter()
    digest = blake2b(path.read_bytes(), digest_size=8).hexdigest()
    for number, run in enumerate(runs, 1):
        report.read["tests"] += 1
        report.read["failed"] += bool(run.failed)
        report.read["skipped"] += run.failed is None
        seen[run.name] += 1
        pattern, event = _records(run, digest, seen[run.name], memory.secrets)
        intake.event(At(printable(path), f"test {number}"), event, pattern=pattern)
        if progress and number % 1_000 == 0:
            progress(1_000)
    intake.finish()
    return report


def _records(run: _Run, digest: str, occurrence: int, secrets: Secrets) -> tuple[NewPattern, NewEvent]:
    description = f"test {clean_text(run.name)}"
    pattern = NewPattern(description, PATTERN_TYPE, pattern_id=content_id(PATTERN_TYPE, description))
    event = NewEvent(
        pattern.pattern_id or "",
        outcome=None if run.failed is None else float(not run.failed),
        state="not_used" if run.failed is None else None,
        context=clean_text(secrets.redacted(run.message), max_bytes=MAX_MESSAGE) or None,
        timestamp=run.at,
        # Of the report itself: a copy of it has another time, and the same runs.
        event_id=f"test-{content_id(digest, run.name, str(occurrence))}",
        duration_ms=None if run.seconds is None else 1e3 * max(run.seconds, 0.0),
    )
    return pattern, event


def _junit(path: Path) -> Iterator[_Run]:
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


def _cases(suites: Any, path: Path) -> Iterator[_Run]:
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
            yield _Run(name, None if skipped else bool(wrong), message, case.time, at)


def _reportlog(path: Path) -> Iterator[_Run]:
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
        at = datetime.fromtimestamp(start, UTC) if isinstance(start, (int, float)) else modified
        took = held.get("duration")
        yield _Run(
            name,
            None if outcome == "skipped" else outcome == "failed",
            _longrepr(held.get("longrepr")) if outcome == "failed" else "",
            float(took) if isinstance(took, (int, float)) else None,
            at,
        )


def _longrepr(value: object) -> str:
    if isinstance(value, dict):
        crash = value.get("reprcrash")
        return str(crash.get("message", "")) if isinstance(crash, dict) else ""
    return value if isinstance(value, str) else ""


def _moment(text: str | None, otherwise: datetime) -> datetime:
    """A report's own time; one without a zone is of the machine that reads it."""
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    return otherwise
