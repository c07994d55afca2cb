"""The values that go in and out of a memory: frozen dataclasses, no behaviour.

All times are timezone-aware and in UTC. All outcomes, rates, estimates and
bounds are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from whatworks.frozen import dataclass

if TYPE_CHECKING:
    import altair

    from whatworks.findings import Answer as Answer
    from whatworks.findings import Backup as Backup
    from whatworks.findings import Cause as Cause
    from whatworks.findings import Change as Change
    from whatworks.findings import Cluster as Cluster
    from whatworks.findings import ContextMap as ContextMap
    from whatworks.findings import ContextPoint as ContextPoint
    from whatworks.findings import Contribution as Contribution
    from whatworks.findings import Diff as Diff
    from whatworks.findings import Erased as Erased
    from whatworks.findings import Estimate as Estimate
    from whatworks.findings import Evaluation as Evaluation
    from whatworks.findings import Evidence as Evidence
    from whatworks.findings import Explanation as Explanation
    from whatworks.findings import Flip as Flip
    from whatworks.findings import Forgotten as Forgotten
    from whatworks.findings import Held as Held
    from whatworks.findings import Import as Import
    from whatworks.findings import Judgement as Judgement
    from whatworks.findings import Lift as Lift
    from whatworks.findings import Migration as Migration
    from whatworks.findings import Mover as Mover
    from whatworks.findings import Overview as Overview
    from whatworks.findings import Predicted as Predicted
    from whatworks.findings import Prediction as Prediction
    from whatworks.findings import Proposal as Proposal
    from whatworks.findings import Rate as Rate
    from whatworks.findings import RelatedFile as RelatedFile
    from whatworks.findings import Rows as Rows
    from whatworks.findings import Selection as Selection
    from whatworks.findings import Source as Source
    from whatworks.findings import Stats as Stats
    from whatworks.findings import Step as Step
    from whatworks.findings import Suggestion as Suggestion
    from whatworks.findings import Timeline as Timeline
    from whatworks.findings import Told as Told
    from whatworks.findings import Why as Why
    from whatworks.findings import Working as Working

__all__ = [
    "Answer",
    "Backup",
    "Cause",
    "Change",
    "ChangePoint",
    "Cluster",
    "Coincidence",
    "ContextMap",
    "ContextPoint",
    "Contribution",
    "Diff",
    "Erased",
    "Estimate",
    "Evaluation",
    "Evidence",
    "Explanation",
    "Flip",
    "Forgotten",
    "Held",
    "Import",
    "Judgement",
    "Lift",
    "Match",
    "Migration",
    "Mover",
    "NewEvent",
    "NewPattern",
    "Overview",
    "Pattern",
    "Predicted",
    "Prediction",
    "Prior",
    "Proposal",
    "Rate",
    "RelatedFile",
    "Rows",
    "Selection",
    "Source",
    "Stats",
    "Step",
    "Suggestion",
    "Timeline",
    "Told",
    "Trend",
    "TrendDay",
    "UsageEvent",
    "Where",
    "Why",
    "Working",
]

State = Literal["pending", "resolved", "not_used", "unknown"]
Direction = Literal["rising", "falling", "steady", "too little data"]
Risk = Literal["low", "normal", "high"]
Effect = Literal["helps", "hurts", "no difference", "too little data"]
Trust = Literal["vouched", "unvouched", "approved", "distrusted"]
Reason = Literal["distrusted", "hour", "source", "share"]
Verdict = Literal["recommended", "worth trying", "not recommended", "no evidence"]


@dataclass(frozen=True, slots=True)
class NewPattern:
    """A pattern to be stored: the fields of ``Memory.add_pattern``."""

    description: str
    pattern_type: str = "general"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    pattern_id: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One try to be stored: the fields of ``Memory.record``."""

    pattern_id: str
    outcome: float | None = None
    context: str | None = None
    state: State | None = None
    timestamp: datetime | None = None
    event_id: str | None = None
    session_id: str | None = None
    files: Sequence[str] = ()
    tools: Sequence[str] = ()
    duration_ms: float | None = None
    cost: float | None = None
    prediction_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prior:
    """What somebody says of a pattern without the single tries: a rate and a count.

    ``success_rate`` is in [0, 1], ``usage_count`` at least 0. Kept apart from
    events, and weighed far below them (see ``rank.PRIOR_WEIGHT``).
    """

    pattern_id: str
    success_rate: float
    usage_count: int
    origin: str
    timestamp: datetime | None = None
    prior_id: str | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """An approach that can be tried again, with its record so far.

    ``success_rate`` is the mean outcome of the ``resolved_count`` resolved
    tries, ``None`` without any. ``usage_count`` counts all tries but those
    that turned out ``not_used``. ``prior_rate`` and ``prior_count`` sum up
    imported aggregates and are part of neither. ``archived_at`` is since when
    it is out of what is found and recommended, ``None`` if it is not.
    """

    pattern_id: str
    pattern_type: str
    description: str
    metadata: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    success_rate: float | None = None
    usage_count: int = 0
    resolved_count: int = 0
    last_used_at: datetime | None = None
    prior_rate: float | None = None
    prior_count: int = 0
    archived_at: datetime | None = None
    archive_reason: str | None = None


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One try of a pattern.

    Only ``state == "resolved"`` counts as evidence; then, and only then,
    ``outcome`` is a number. ``pending`` waits for its outcome, ``unknown``
    will never have one, ``not_used`` was offered and not tried. ``recorded_at``
    is when it came in, where how much counts depends on that: of what came
    through a channel of strangers; ``None`` else. ``checked`` says that the
    outcome was found by a check, such as a command that ran or a person who
    looked, and not told by who did the work; false without an outcome.
    ``imported_from`` names the file it was imported from, as
    ``import:NAME@HASH`` or, of an export, ``export:NAME@HASH``; behind that
    come those before.
    """

    event_id: str
    pattern_id: str
    timestamp: datetime
    state: State
    outcome: float | None = None
    context: str | None = None
    context_id: str | None = None
    session_id: str | None = None
    source: str = "local"
    channel: str = "library"
    files: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    duration_ms: float | None = None
    cost: float | None = None
    prediction_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    resolved_at: datetime | None = None
    recorded_at: datetime | None = None
    checked: bool = False
    imported_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Where:
    """Typed conditions on patterns; all that are given must hold.

    ``metadata`` asks for top-level keys with these values (text, number,
    bool or None). Times are timezone-aware; ``*_after`` is inclusive,
    ``*_before`` is not. ``used_*`` refer to the last use. ``archived`` asks for
    archived patterns alone; else there are none among them.
    """

    pattern_type: str | Sequence[str] | None = None
    metadata: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    created_after: datetime | None = None
    created_before: datetime | None = None
    used_after: datetime | None = None
    used_before: datetime | None = None
    min_usage: int = 0
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A pattern that is like the text asked for.

    ``distance`` is the cosine distance in [0, 2], smaller is nearer, ``None``
    if only words matched. ``vector_rank`` and ``keyword_rank`` count from 1;
    ``None`` if that list does not hold the pattern. ``score`` fuses the two
    (reciprocal ranks, larger is better) and says nothing about success.
    """

    pattern: Pattern
    distance: float | None
    score: float
    vector_rank: int | None
    keyword_rank: int | None

    @property
    def pattern_id(self) -> str:
        """Id of the pattern."""
        return self.pattern.pattern_id

    @property
    def success_rate(self) -> float | None:
        """Mean outcome of the pattern's resolved tries, ``None`` without any."""
        return self.pattern.success_rate

    @property
    def usage_count(self) -> int:
        """Number of tries of the pattern."""
        return self.pattern.usage_count


@dataclass(frozen=True, slots=True)
class TrendDay:
    """One calendar day (UTC) on which a pattern was used.

    ``avg_success`` is the mean of the ``resolved_count`` outcomes of the day
    with a 95 % credible interval ``low``..``high``; ``moving_avg`` is the mean
    of all ``moving_count`` outcomes of the window of calendar days that ends
    on this day, with its own interval. ``None`` where nothing is resolved.
    """

    day: date
    usage_count: int
    resolved_count: int
    avg_success: float | None
    low: float | None
    high: float | None
    moving_count: int
    moving_avg: float | None
    moving_low: float | None
    moving_high: float | None


@dataclass(frozen=True, slots=True)
class Trend:
    """How a pattern develops; ``days`` are newest first, days without use are absent.

    ``change`` is the mean outcome of the last window minus that of the
    ``baseline_days`` before it, with a 90 % credible interval; ``probability``
    is that of a rise. ``direction`` is ``rising`` or ``falling`` when the
    interval excludes zero, ``steady`` when it is narrow, else ``too little
    data``. ``None`` where one of the two sides has no outcomes.
    ``change_point`` is the last one of the pattern's whole life, if any.
    """

    pattern_id: str
    window_days: int
    baseline_days: int
    days: tuple[TrendDay, ...]
    direction: Direction
    change: float | None
    change_low: float | None
    change_high: float | None
    probability: float | None
    change_point: ChangePoint | None = None

    @property
    def until(self) -> date | None:
        """The day on which the last window ends: of its own last outcome, ``None`` without any.

        ``Overview.until`` is that of the last outcome of all patterns.
        """
        return next((day.day for day in self.days if day.resolved_count), None)

    def plot(self) -> altair.LayerChart:
        """The moving average with its interval, as ``plots.trends``; needs the extra ``plot``."""
        from whatworks.plots import trends

        return trends(self)


@dataclass(frozen=True, slots=True)
class Coincidence:
    """What else changed in a pattern's tries when its outcomes did; it need not be the cause.

    ``field`` is ``source``, ``channel``, ``tool`` or a key of the events'
    metadata; ``before`` and ``after`` are the shares of the tries with this
    ``value`` on both sides.
    """

    field: str
    value: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """When a pattern's outcomes changed, more than the contexts it was tried in explain.

    ``since`` is the first try of the present regime. ``before`` and ``after``
    are the mean outcomes on both sides, from so many effective tries. What
    was before counts no longer for the pattern, only for how hard it was there.
    ``along`` is what changed with it, at most five.
    """

    since: datetime
    tries_before: float
    before: float
    tries_after: float
    after: float
    along: tuple[Coincidence, ...] = ()


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from whatworks import findings

    return getattr(findings, name)
