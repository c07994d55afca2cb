"""Reports of test runs: JUnit XML, and the JSON lines of pytest-reportlog. A test's run is a try of it.

So the memory knows which tests fail, how often, since when and with what
message. Skipped tests were not tried.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from whatworks.errors import InvalidInputError
from whatworks.ids import content_id
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report
from whatworks.readers import apart
from whatworks.readers.items import printable
from whatworks.readers.junit import Items, Run
from whatworks.records import NewEvent, NewPattern
from whatworks.redaction import Secrets
from whatworks.text import clean_text

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["import_tests"]

PATTERN_TYPE = "test"
MAX_BYTES = 64 << 20
MAX_MESSAGE = 2_000


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
    report = Report(read={"tests": 0, "failed": 0, "skipped": 0})
    intake = Intake(memory, report, dry_run=dry_run, checked=True, given=[path])
    seen: Counter[str] = Counter()
    digest = blake2b(path.read_bytes(), digest_size=8).hexdigest()
    with closing(apart.read("junit", Items, {"path": str(path)}, below=[path])) as runs:
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


def _records(run: Run, digest: str, occurrence: int, secrets: Secrets) -> tuple[NewPattern, NewEvent]:
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
