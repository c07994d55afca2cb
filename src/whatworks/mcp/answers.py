"""What the tools give back: models for programs, and short lines for models."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from whatworks.channels import UNVOUCHED
from whatworks.findings import Answer, Prediction
from whatworks.prompting import line, named, one_line, worked
from whatworks.records import Match, Pattern, Trend, UsageEvent

__all__ = [
    "Compared",
    "Explained",
    "Found",
    "FoundPattern",
    "Gone",
    "Recorded",
    "Suggested",
    "Suggestions",
    "compared_lines",
    "explained_lines",
    "found",
    "found_lines",
    "gone_line",
    "recorded",
    "recorded_lines",
    "suggestion_lines",
    "suggestions",
]


class Suggested(BaseModel):
    """What to expect of one pattern in the situation."""

    pattern_id: str
    description: str
    verdict: str
    expected: float = Field(description="expected outcome, 0 (fails) to 1 (works)")
    low: float = Field(description="lower end of the 80 % interval")
    high: float
    tries: int = Field(description="tries with a known outcome")


class Suggestions(BaseModel):
    """Patterns, best first; name the prediction_id in record_outcome."""

    prediction_id: str
    suggestions: list[Suggested]


class Recorded(BaseModel):
    """The try as it is stored."""

    event_id: str
    pattern_id: str
    state: str
    outcome: float | None
    counts: bool = Field(description="whether it counts; else it is kept, and may count later")


class Gone(BaseModel):
    """What was forgotten, or would be."""

    pattern_id: str
    tries: int
    forgotten: bool


class FoundPattern(BaseModel):
    """A pattern with its record."""

    pattern_id: str
    description: str
    pattern_type: str
    success_rate: float | None
    tries: int


class Found(BaseModel):
    """Patterns that are like the text, the most similar first."""

    patterns: list[FoundPattern]


class Explained(BaseModel):
    """One pattern: how it did, how it develops."""

    pattern: FoundPattern
    direction: str
    change: float | None = Field(description="last window against the days before it")
    recent: list[str] = Field(description="the newest tries, one line each")


class Compared(BaseModel):
    """The patterns asked about in one situation, best first, and how sure the order is."""

    prediction_id: str
    suggestions: list[Suggested]
    clear: bool = Field(
        description="whether the interval of the best ends above the next one's estimate"
    )


def suggestions(made: Prediction) -> list[Suggested]:
    """The answers of a prediction."""
    return [_suggested(answer) for answer in made.answers]


def _suggested(answer: Answer) -> Suggested:
    return Suggested(
        pattern_id=answer.pattern_id,
        description=one_line(answer.pattern.description),
        verdict=answer.verdict,
        expected=round(answer.expected, 3),
        low=round(answer.low, 3),
        high=round(answer.high, 3),
        tries=answer.resolved,
    )


def suggestion_lines(made: Prediction) -> list[str]:
    """One line for each answer, and what to do with it."""
    if not made.answers:
        return ["Nothing is known yet. Do what seems best, and record_outcome what came of it."]
    rows = [f"- {line(answer)}" for answer in made.answers]
    return [*rows, f"After trying one: record_outcome with prediction_id {made.prediction_id}"]


def compared_lines(made: Prediction, *, clear: bool) -> list[str]:
    """One line for each pattern, and whether the difference is more than chance."""
    rows = [f"- {line(answer)}" for answer in made.answers]
    said = (
        "The first is clearly better." if clear else "Too close to call: either may be the better one."
    )
    return [*rows, f"{said} prediction_id {made.prediction_id}"]


def gone_line(gone: Gone) -> str:
    """What was forgotten, or how to do it."""
    what = f"[{gone.pattern_id}] with {gone.tries} tries"
    if gone.forgotten:
        return f"Forgotten: {what}"
    return f"Would forget {what}; call it again with confirm=true"


def recorded(event: UsageEvent, *, counts: bool) -> Recorded:
    """A try that was recorded."""
    return Recorded(
        event_id=event.event_id,
        pattern_id=event.pattern_id,
        state=event.state,
        outcome=event.outcome,
        counts=counts,
    )


def recorded_lines(made: Recorded, channel: str) -> list[str]:
    """What was recorded, and if it does not count, why.

    Strangers do not hear which of the limits it is, nor whether they are distrusted: they would
    only go round it.
    """
    result = made.state if made.outcome is None else f"{made.outcome:.2g}"
    what = f"[{made.pattern_id}] {result}, event {made.event_id}"
    if made.counts:
        return [f"Recorded: {what}"]
    why = (
        "what a source that is not approved tells counts up to a limit"
        if channel in UNVOUCHED
        else "its source is distrusted"
    )
    return [
        f"Kept, but not counted: {what}",
        f"Reason: {why}. Do not repeat it; the owner sees it with whatworks quarantine.",
    ]


def found(pattern: Pattern) -> FoundPattern:
    """A pattern with its record."""
    return FoundPattern(
        pattern_id=pattern.pattern_id,
        description=one_line(pattern.description),
        pattern_type=pattern.pattern_type,
        success_rate=None if pattern.success_rate is None else round(pattern.success_rate, 3),
        tries=pattern.resolved_count,
    )


def _row(pattern: Pattern) -> str:
    return f"{named(pattern)}: {worked(pattern, pattern.resolved_count)}"


def found_lines(matches: Sequence[Match]) -> list[str]:
    """One line for each match."""
    if not matches:
        return ["Nothing similar is stored."]
    return [f"- {_row(match.pattern)}" for match in matches]


def explained_lines(pattern: Pattern, trend: Trend, events: Sequence[UsageEvent]) -> list[str]:
    """The record, the trend and the newest tries of a pattern."""
    said = f"Trend: {trend.direction}"
    if trend.change is not None:
        said += (
            f"; the {trend.window_days} days up to {trend.until} {trend.change:+.2f} against the "
            f"{trend.baseline_days} before ({trend.change_low:+.2f} to {trend.change_high:+.2f})"
        )
    if trend.change_point is not None:
        point = trend.change_point
        said += (
            f"; since {point.since:%Y-%m-%d} it works {point.after:.0%} of the time, "
            f"before {point.before:.0%}"
        )
    return [_row(pattern), said, *(f"- {row}" for row in event_rows(events))]


def event_rows(events: Sequence[UsageEvent]) -> list[str]:
    """One line for each try: when, how it ended, and where."""
    return [
        f"{event.timestamp:%Y-%m-%d} "
        f"{event.state if event.outcome is None else f'{event.outcome:.2g}'}"
        f"{'' if event.context is None else ': ' + one_line(event.context, 100)}"
        for event in events
    ]
