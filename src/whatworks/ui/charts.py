"""Charts as plain data: options of ECharts, which one script draws.

No function stands in them, and no colour: ``--name`` is a property of the style sheet, so that
one option serves light and dark. Rates are in percent. The name of a point is what it says when it
is pointed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whatworks.evidence_words import KINDS
from whatworks.ledgers import CalibrationScore
from whatworks.records import Answer, ContextMap, Contribution, Explanation, Trend, TrendDay
from whatworks.ui.words import percent, short

__all__ = ["Option", "answers", "compare", "contexts", "contributions", "reliability", "trend"]

Option = dict[str, Any]

# What is told as worked, partly, failed on the map.
WORKED, FAILED = 2 / 3, 1 / 3
MOST_PARTS = 10
LABEL = 34


def _grid(**more: Any) -> Option:
    return {"left": 8, "right": 16, "top": 36, "bottom": 8, "containLabel": True, **more}


def _percent_axis(**more: Any) -> Option:
    return {
        "type": "value",
        "min": 0,
        "max": 100,
        "axisLabel": {"formatter": "{value} %", "color": "--muted", "hideOverlap": True},
        "splitLine": {"lineStyle": {"color": "--line"}},
        **more,
    }


def _base(**more: Any) -> Option:
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit"},
        # As rich text: HTML would need inline styles, which the page forbids.
        "tooltip": {
            "trigger": "item",
            "renderMode": "richText",
            "formatter": "{b}",
            "backgroundColor": "--panel",
            "borderColor": "--line",
            "textStyle": {"color": "--ink", "fontSize": 12},
            "confine": True,
        },
        "legend": {"top": 4, "left": 8, "textStyle": {"color": "--muted"}, "itemWidth": 16},
        **more,
    }


def _share(value: float) -> float:
    return round(100 * value, 1)


# -- trends ---------------------------------------------------------------------------------------


def trend(found: Trend) -> Option | None:
    """The moving average with its band, the single days, and where it changed for good."""
    days = [day for day in reversed(found.days) if day.moving_avg is not None]
    if not days:
        return None
    name = f"last {found.window_days} days"
    series = _band(days, name, "--accent")
    if found.change_point is not None:
        since = found.change_point.since.date().isoformat()
        series[0]["markLine"] = {
            "symbol": "none",
            "silent": True,
            "lineStyle": {"color": "--warn", "type": "dashed"},
            "label": {"formatter": f"changed {since}", "color": "--ink", "position": "insideEndTop"},
            "data": [{"xAxis": since}],
        }
    series.append(
        {
            "type": "scatter",
            "name": "single days",
            "symbolSize": 5,
            "itemStyle": {"color": "--muted", "opacity": 0.7},
            "data": [_day_point(day) for day in days if day.avg_success is not None],
        }
    )
    return _over_time(series, [name, "single days"])


def compare(a: Trend, b: Trend, names: tuple[str, str]) -> Option | None:
    """Two moving averages with their bands."""
    series: list[Option] = []
    labels = [f"A {short(names[0], LABEL)}", f"B {short(names[1], LABEL)}"]
    for found, name, colour in zip((a, b), labels, ("--accent", "--second"), strict=True):
        days = [day for day in reversed(found.days) if day.moving_avg is not None]
        if days:
            series += _band(days, name, colour)
    return _over_time(series, labels) if series else None


def _over_time(series: list[Option], legend: list[str]) -> Option:
    return _base(
        grid=_grid(),
        xAxis={
            "type": "time",
            "axisLabel": {"color": "--muted", "hideOverlap": True},
            "axisLine": {"lineStyle": {"color": "--line"}},
        },
        yAxis=_percent_axis(),
        legend={"top": 4, "left": 8, "textStyle": {"color": "--muted"}, "data": legend},
        series=series,
    )


def _band(days: Sequence[TrendDay], name: str, colour: str) -> list[Option]:
    """A line, and its interval as two stacked areas of which the lower one is not seen."""
    unseen = {"lineStyle": {"opacity": 0}, "symbol": "none", "silent": True, "type": "line"}
    lows = [(day.day.isoformat(), _share(day.moving_low or 0.0)) for day in days]
    highs = [_share(day.moving_high or 0.0) for day in days]
    stack = f"band {name}"
    return [
        {
            "type": "line",
            "name": name,
            "symbolSize": 5,
            "showSymbol": len(days) <= 120,
            "itemStyle": {"color": colour},
            "lineStyle": {"color": colour, "width": 2},
            "data": [_moving_point(day) for day in days],
        },
        {**unseen, "stack": stack, "data": [[day, low] for day, low in lows]},
        {
            **unseen,
            "stack": stack,
            "areaStyle": {"color": colour, "opacity": 0.16},
            "data": [[day, round(high - low, 1)] for (day, low), high in zip(lows, highs, strict=True)],
        },
    ]


def _moving_point(day: TrendDay) -> Option:
    told = _told(day.moving_avg, day.moving_low, day.moving_high, day.moving_count)
    return {
        "value": [day.day.isoformat(), _share(day.moving_avg or 0.0)],
        "name": f"{day.day}, moving average: {told}",
    }


def _day_point(day: TrendDay) -> Option:
    told = _told(day.avg_success, day.low, day.high, day.resolved_count)
    return {
        "value": [day.day.isoformat(), _share(day.avg_success or 0.0)],
        "name": f"{day.day} alone: {told}",
    }


def _told(mean: float | None, low: float | None, high: float | None, count: int) -> str:
    outcomes = "1 outcome" if count == 1 else f"{count:,} outcomes"
    return f"{percent(mean)} ({percent(low)} to {percent(high)}), {outcomes}"


# -- the map of contexts --------------------------------------------------------------------------


def contexts(found: ContextMap) -> Option | None:
    """Contexts in two dimensions; what came of them is told by colour and by shape."""
    if len(found.points) < 2:
        return None
    kinds = (
        ("worked", "circle", "--good"),
        ("partly", "diamond", "--warn"),
        ("failed", "triangle", "--bad"),
    )
    axis = {"type": "value", "axisLabel": {"show": False}, "axisTick": {"show": False},
            "axisLine": {"show": False}, "scale": True,
            "splitLine": {"lineStyle": {"color": "--line"}}}  # fmt: skip
    return _base(
        grid=_grid(),
        xAxis=axis,
        yAxis=axis,
        series=[
            {
                "type": "scatter",
                "name": name,
                "symbol": symbol,
                "itemStyle": {"color": colour, "opacity": 0.8},
                "data": [
                    {
                        "value": [round(point.x, 4), round(point.y, 4)],
                        "symbolSize": round(6 + 2 * min(point.tries, 25) ** 0.5, 1),
                        "name": f"{short(point.context, 80)}: {percent(point.mean_outcome)}"
                        f" of {point.tries}",
                    }
                    for point in found.points
                    if _came(point.mean_outcome) == name
                ],
            }
            for name, symbol, colour in kinds
        ],
    )


def _came(mean: float) -> str:
    return "worked" if mean >= WORKED else "failed" if mean <= FAILED else "partly"


# -- predictions ----------------------------------------------------------------------------------


def answers(found: Sequence[Answer], default: float) -> Option | None:
    """The estimates with their intervals, the first on top, and the level to beat."""
    if not found:
        return None
    shown = list(reversed(found))
    ranges = [
        {
            "value": [_share(answer.expected), row],
            "name": f"{short(answer.pattern.description, 60)}: {percent(answer.expected)}"
            f" ({percent(answer.low)} to {percent(answer.high)}),"
            f" {answer.n_effective:.1f} effective tries",
        }
        for row, answer in enumerate(shown)
    ]
    bars = [(_share(answer.low), _share(answer.high - answer.low)) for answer in shown]
    series = _floating(bars, ["--accent"] * len(bars), opacity=0.25)
    series.append(
        {
            "type": "scatter",
            "symbolSize": 10,
            "itemStyle": {"color": "--accent"},
            "data": ranges,
            "markLine": {
                "symbol": "none",
                "silent": True,
                "lineStyle": {"color": "--warn", "type": "dashed"},
                "label": {"formatter": f"all patterns {percent(default)}", "color": "--ink"},
                "data": [{"xAxis": _share(default)}],
            },
        }
    )
    labels = [short(answer.pattern.description, LABEL) for answer in shown]
    return _sideways(labels, series, _percent_axis())


def contributions(explanation: Explanation) -> Option | None:
    """The way to an estimate: each summand from where the one before ended."""
    parts = [part for part in explanation.contributions if part.value]
    if not parts:
        return None
    # In the order of their size; first where all start from.
    parts.sort(key=lambda part: part.kind != "population")
    shown, rest = parts[:MOST_PARTS], parts[MOST_PARTS:]
    steps = [(_part(part), part.value) for part in shown]
    if rest:
        steps.append((f"{len(rest)} smaller ones", sum(part.value for part in rest)))
    total, bars, colours = 0.0, list[tuple[float, float]](), list[str]()
    for _, value in steps:
        bars.append((_share(min(total, total + value)), _share(abs(value))))
        colours.append("--good" if value > 0 else "--bad")
        total += value
    names = [name for name, _ in steps]
    bars.append((0.0, _share(total)))
    colours = ["--muted", *colours[1:], "--accent"]
    told = [f"{name}: {100 * value:+.1f} points" for name, value in steps]
    told.append(f"expected {percent(explanation.expected)}")
    series = _floating(bars[::-1], colours[::-1], names=told[::-1])
    return _sideways([*names, "expected"][::-1], series, _percent_axis(min=None, max=None))


def _part(part: Contribution) -> str:
    context = f" {short(part.context, LABEL)}" if part.context else ""
    return f"{KINDS[part.kind]}{context}"


def _floating(
    bars: Sequence[tuple[float, float]],
    colours: Sequence[str],
    *,
    opacity: float = 0.9,
    names: Sequence[str] = (),
) -> list[Option]:
    """Bars that begin anywhere: on top of others that are not seen."""
    told = names or [""] * len(bars)
    return [
        {
            "type": "bar",
            "stack": "bar",
            "silent": True,
            "itemStyle": {"opacity": 0},
            "data": [start for start, _ in bars],
        },
        {
            "type": "bar",
            "stack": "bar",
            "silent": not names,
            "barMaxWidth": 16,
            "data": [
                {"value": size, "name": name, "itemStyle": {"color": colour, "opacity": opacity}}
                for (_, size), colour, name in zip(bars, colours, told, strict=True)
            ],
        },
    ]


def _sideways(labels: Sequence[str], series: list[Option], axis: Option) -> Option:
    return _base(
        grid=_grid(top=24),
        xAxis=axis,
        yAxis={
            "type": "category",
            "data": list(labels),
            "axisLabel": {"color": "--ink", "overflow": "truncate"},
            "axisLine": {"lineStyle": {"color": "--line"}},
            "axisTick": {"show": False},
        },
        legend={"show": False},
        series=series,
    )


# -- calibration ----------------------------------------------------------------------------------


def reliability(found: CalibrationScore) -> Option | None:
    """What was predicted against what came of it; on the line they are the same."""
    if not found.bins:
        return None
    points = [
        {
            "value": [_share(item.mean_prediction), _share(item.mean_outcome)],
            "name": f"said {percent(item.mean_prediction)}, came "
            + _told(item.mean_outcome, item.low, item.high, item.outcomes),
        }
        for item in found.bins
    ]
    # An interval is a line of its own: there is no chart for whiskers in the common build.
    whiskers = [
        {
            "type": "line",
            "silent": True,
            "symbol": "none",
            "lineStyle": {"color": "--accent", "width": 1},
            "data": [
                [_share(item.mean_prediction), _share(item.low)],
                [_share(item.mean_prediction), _share(item.high)],
            ],
        }
        for item in found.bins
    ]
    return _base(
        grid=_grid(top=16),
        xAxis=_percent_axis(name="predicted", nameLocation="middle", nameGap=28),
        yAxis=_percent_axis(),
        legend={"show": False},
        series=[
            {
                "type": "line",
                "silent": True,
                "symbol": "none",
                "lineStyle": {"color": "--muted", "type": "dashed", "width": 1},
                "data": [[0, 0], [100, 100]],
            },
            *whiskers,
            {
                "type": "scatter",
                "symbolSize": 8,
                "itemStyle": {"color": "--accent"},
                "data": points,
            },
        ],
    )
