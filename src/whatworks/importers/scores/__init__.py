"""Runs and their scores, as tracing tools export them: Langfuse, LangSmith, MLflow, OTLP.

A run that was scored is a try of what its name says, with the score as outcome; a tool that
was called is a try of ``Use the tool NAME``, which failed if it ended with an error. A run
that nobody scored says nothing: that it ended does not mean that it was right.

Files are read (``readers.scores``) by what knows the tool that wrote them, what they hold is brought
together (``joined``), and scores with their runs become tries.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatworks import checks
from whatworks.checks import shown
from whatworks.errors import InvalidInputError
from whatworks.ids import content_id
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report
from whatworks.importers.scores.joined import Joined, joined
from whatworks.integrations._run import TOOL, tool_pattern
from whatworks.outcome_words import said
from whatworks.readers import apart
from whatworks.readers.items import Fault, Link, printable
from whatworks.readers.scores.forms import Begin, Items, RunAt
from whatworks.readers.scores.found import Run, Value
from whatworks.records import NewEvent, NewPattern
from whatworks.text import clean_text

if TYPE_CHECKING:
    from whatworks.memory import Memory

__all__ = ["import_scores"]

# More names of scores than this make a message that nobody reads.
LISTED = 20
Name = str | os.PathLike[str]
Scale = tuple[float, float]
Try = tuple[At, NewPattern, NewEvent]


@dataclass(frozen=True, slots=True)
class _Meaning:
    """Which scores are outcomes, what their numbers mean, and from when on tries are wanted."""

    names: Sequence[str]
    scale: Scale
    scales: Mapping[str, Scale] = field(default_factory=dict)
    since: datetime | None = None


def import_scores(
    memory: Memory,
    files: Name | Iterable[Name],
    *,
    score: str | Sequence[str] | None = None,
    scale: Scale = (0.0, 1.0),
    scales: Mapping[str, Scale] | None = None,
    since: datetime | None = None,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Import exports as JSON, JSON lines or Parquet; the same again writes nothing.

    Parameters
    ----------
    files
        A file, a folder of them, or several. Scores and runs may lie in different ones,
        in any order; links in folders are not followed.
    score
        Which score is the outcome; of several names the first that a run has. Default:
        the only one there is.
    scale
        What is worst and what is best on the scale of numbers, as in ``(1, 5)``;
        ``(1, 0)`` where less is better. Default: 0 to 1.
    scales
        The same of single scores, by their names.
    since
        Only runs that began at or after this time; those without a time are left out.
    dry_run
        Find out what would be written, and write nothing.
    progress
        Called with the number of tries read since the last call.

    Returns
    -------
    ``read`` counts runs, scores, of those that are outcomes the ones ``unmatched`` for lack
    of their run, what was ``unread``, and events.

    Raises
    ------
    InvalidInputError
        There is no such file, it is no such export, or it holds several scores and
        none was chosen.
    StoreError
        There is no room for temporary files.
    """
    given = [Path(files)] if isinstance(files, (str, os.PathLike)) else [Path(one) for one in files]
    for name, ends in [("scale", scale), *(scales or {}).items()]:
        _check(name, ends)
    if since is not None:
        since = checks.moment(since, "since", memory.clock())
    report = Report(read={"runs": 0, "scores": 0, "unmatched": 0, "unread": 0, "events": 0})
    with joined() as found:
        _read(given, found, report)
        names = _chosen(found, [score] if isinstance(score, str) else score, scales or {})
        intake = Intake(memory, report, dry_run=dry_run, given=given)
        meaning = _Meaning(names, scale, scales or {}, since)
        for at, pattern, event in _tries(found, meaning, report):
            report.read["events"] += 1
            intake.event(at, event, pattern=pattern)
            if progress and report.read["events"] % 1_000 == 0:
                progress(1_000)
    intake.finish()
    return report


def _check(name: str, scale: Scale) -> None:
    worst, best = scale
    if not math.isfinite(best - worst) or worst == best:
        raise InvalidInputError(
            f"{name} is {worst:g} to {best:g}; expected two different numbers, as in 1 to 5"
        )


def _read(given: Sequence[Path], found: Joined, report: Report) -> None:
    asked = {"paths": [str(path) for path in given]}
    found.begin(", ".join(map(printable, given[:3])))  # until a file is named
    with closing(apart.read("scores.forms", Items, asked, below=given)) as items:
        for item in items:
            if isinstance(item, Begin):
                found.begin(item.path)
            elif isinstance(item, Fault):
                report.read["unread"] += 1
                report.skip(At(item.path, item.place), item.reason)
            elif isinstance(item, Link):
                report.leave_link(item)
            elif isinstance(item, RunAt):
                found.add(item.run, item.place)
            else:
                found.add(item.score, item.place)
    report.read["runs"], report.read["scores"] = found.counts()
    if found.counts() == (0, 0):
        why = "".join(f"; {skip.place}: {skip.reason}" for skip in report.skipped[:1])
        raise InvalidInputError(
            f"{', '.join(map(printable, given[:3])) or 'nothing'} holds no runs or scores of Langfuse, "
            f"LangSmith, MLflow or OTLP{why}; tables of other tools are for: whatworks import table"
        )


def _chosen(found: Joined, score: Sequence[str] | None, scales: Mapping[str, Scale]) -> Sequence[str]:
    names = found.names(LISTED)
    told = {clean_text(name, max_bytes=100): count for name, count in names.items()}
    for name in [*(score or ()), *scales]:
        if not found.holds(name):
            raise InvalidInputError(
                f"score is {shown(name)}; expected one of {', '.join(told) or 'none'}"
            )
    if not score and len(names) > 1:
        listed = ", ".join(f"{name} ({count:,})" for name, count in told.items())
        raise InvalidInputError(f"there are several scores: {listed}; say which one is the outcome")
    return score or list(names)


def _tries(found: Joined, meaning: _Meaning, report: Report) -> Iterator[Try]:
    for at, score, run in found.scored(meaning.names):
        if run is None:
            report.read["unmatched"] += 1
            report.skip(at, f"its run {shown(score.run)} is not there; export the runs as well")
            continue
        try:
            outcome, state = _outcome(score.value, meaning.scales.get(score.name, meaning.scale))
        except InvalidInputError as error:
            report.skip(at, str(error))
            continue
        found.judge(score.run)
        if _wanted(run, meaning.since, at, report):
            name = f"score-{content_id(score.run, score.score_id)}"
            about = {"score": score.name, "judge": score.judge}
            yield at, *_records(run, name, outcome, state, about)
    for at, run in found.tools():
        if _wanted(run, meaning.since, at, report):
            name = f"run-{content_id('tool', run.key)}"
            yield at, *_records(run, name, float(not run.failed), None, {})


def _wanted(run: Run, since: datetime | None, at: At, report: Report) -> bool:
    if since is not None and run.at is None:
        report.skip(at, f"its run {shown(run.key)} has no time; without --since it would be taken")
    return since is None or (run.at is not None and run.at >= since)


def _outcome(value: Value, scale: Scale) -> tuple[float | None, Any]:
    """A number on its scale, and whatever people call an outcome."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        worst, best = scale
        share = (value - worst) / (best - worst)
        if not 0 <= share <= 1:
            raise InvalidInputError(
                f"the score is {shown(value)}, which is not from {worst:g} to {best:g}; give the scale"
            )
        return share, None
    told = said(value)
    return told.outcome, None if told.state == "resolved" else told.state


def _records(
    run: Run, event_id: str, outcome: float | None, state: Any, about: Mapping[str, str]
) -> tuple[NewPattern, NewEvent]:
    kind, name = TOOL if run.is_tool else "run", clean_text(run.name)
    description = tool_pattern(name) if run.is_tool else name or "a run without a name"
    pattern = NewPattern(description, kind, pattern_id=content_id(kind, description))
    event = NewEvent(
        pattern.pattern_id or "",
        outcome=outcome,
        state=state,
        context=run.situation or None,
        timestamp=run.at,
        event_id=event_id,
        session_id=run.session,
        duration_ms=None if run.seconds is None else 1e3 * max(run.seconds, 0.0),
        metadata={name: value for name, value in about.items() if value},
    )
    return pattern, event
