"""Charts for notebooks: Altair objects made of answers; needs the extra ``plot``.

Every function takes what a question returned, and gives a chart that can be changed further.
Each shows the interval with the value, and how many outcomes are behind it when pointed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from whatworks.errors import MissingExtraError

if TYPE_CHECKING:
    import altair

    from whatworks.ledgers import Calibration
    from whatworks.records import Rate, Trend

__all__ = ["calibration", "rates", "trends"]

COLOUR = "#1f5fa8"
HEIGHT = 220


def trends(*found: Trend) -> altair.LayerChart:
    """The moving averages of one pattern or several over time, each with its 95 % interval.

    A rule marks the day since which a pattern is as it is now, if it changed for good.
    """
    alt = _altair()
    rows = [
        {
            "pattern": trend.pattern_id,
            "day": day.day.isoformat(),
            "rate": day.moving_avg,
            "low": day.moving_low,
            "high": day.moving_high,
            "outcomes": day.moving_count,
        }
        for trend in found
        for day in reversed(trend.days)
        if day.moving_avg is not None
    ]
    points = [
        {"pattern": trend.pattern_id, "day": trend.change_point.since.date().isoformat()}
        for trend in found
        if trend.change_point is not None
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("day:T", title=None),
        color=alt.Color("pattern:N", legend=None if len(found) == 1 else alt.Legend(title=None)),
    )
    band = base.mark_area(opacity=0.2).encode(y=_rate(alt.Y, "low:Q"), y2="high:Q")
    line = base.mark_line(point=True).encode(
        y=_rate(alt.Y, "rate:Q"),
        tooltip=["pattern:N", "day:T", *_told("rate", "low", "high", "outcomes")],
    )
    changed = (
        alt.Chart(alt.Data(values=points))
        .mark_rule(strokeDash=[4, 4])
        .encode(x="day:T", color="pattern:N", tooltip=["pattern:N", "day:T"])
    )
    made: altair.LayerChart = alt.layer(band, line, changed).properties(
        height=HEIGHT, width="container"
    )
    return made.properties(height=HEIGHT, width="container")


def rates(found: Sequence[Rate]) -> altair.LayerChart:
    """The mean outcome of each group with its 95 % interval, in the order given."""
    alt = _altair()
    rows = [
        {"group": r.value, "rate": r.mean_outcome, "low": r.low, "high": r.high, "outcomes": r.resolved}
        for r in found
        if r.mean_outcome is not None
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("group:N", sort=None, title=None),
        tooltip=["group:N", *_told("rate", "low", "high", "outcomes")],
    )
    bar = base.mark_rule(color=COLOUR).encode(x=_rate(alt.X, "low:Q"), x2="high:Q")
    point = base.mark_point(filled=True, color=COLOUR, size=60).encode(x=_rate(alt.X, "rate:Q"))
    made: altair.LayerChart = alt.layer(bar, point).properties(width="container")
    return made


def calibration(found: Calibration) -> altair.LayerChart:
    """What came of predictions against what they said, with 95 % intervals; the diagonal is right."""
    alt = _altair()
    rows = [
        {
            "predicted": bin_.mean_prediction,
            "came": bin_.mean_outcome,
            "low": bin_.low,
            "high": bin_.high,
            "outcomes": bin_.outcomes,
        }
        for bin_ in found.overall.bins
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=_rate(alt.X, "predicted:Q"), tooltip=_told("predicted", "came", "low", "high", "outcomes")
    )
    diagonal = (
        alt.Chart(alt.Data(values=[{"at": 0.0}, {"at": 1.0}]))
        .mark_line(color="gray", strokeDash=[4, 4])
        .encode(x="at:Q", y="at:Q")
    )
    bar = base.mark_rule(color=COLOUR).encode(y=_rate(alt.Y, "low:Q"), y2="high:Q")
    point = base.mark_point(filled=True, color=COLOUR, size=60).encode(y=_rate(alt.Y, "came:Q"))
    made: altair.LayerChart = alt.layer(diagonal, bar, point).properties(height=HEIGHT, width=HEIGHT)
    return made


def _rate(channel: Any, field: str) -> Any:
    scale = _altair().Scale(domain=[0, 1])
    return channel(field, scale=scale, axis=_altair().Axis(format="%"), title=None)


def _told(*fields: str) -> list[str]:
    return [f"{field}:Q" for field in fields]


def _altair() -> Any:
    try:
        import altair
    except ModuleNotFoundError as error:
        raise MissingExtraError("charts need their extra: pip install 'whatworks[plot]'") from error
    return altair
