"""Charts say what the answers say, and are what Altair takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from whatworks import Memory, MissingExtraError, NewEvent, plots

NOW = datetime(2025, 3, 14, 12, 0, tzinfo=UTC)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none", clock=lambda: NOW) as opened:
        for name in ("one", "two"):
            opened.add_pattern(f"way {name}", pattern_id=name)
        opened.record_many(
            NewEvent(name, outcome=float(day > 20), timestamp=NOW - timedelta(days=day), tools=["Bash"])
            for day in range(40)
            for name in ("one", "two")
        )
        opened.record_many([NewEvent("one", timestamp=NOW, tools=["Edit"])])
        yield opened


def data(chart: Any, layer: int) -> list[dict[str, Any]]:
    """The rows behind a layer; asking for them checks the chart against Altair's schema."""
    made = chart.to_dict(format="vega-lite")
    found = made["layer"][layer].get("data", made.get("data"))
    values: list[dict[str, Any]] = found["values"]
    return values


def test_a_trend_has_each_day_with_its_interval_and_the_change(memory: Memory) -> None:
    trend = memory.trend("one")
    rows = data(trend.plot(), 1)
    assert [row["rate"] for row in rows] == [day.moving_avg for day in reversed(trend.days)]
    assert all(row["low"] <= row["rate"] + 0.5 and row["rate"] <= row["high"] + 0.5 for row in rows)
    assert trend.change_point is not None
    assert data(trend.plot(), 2) == [
        {"pattern": "one", "day": trend.change_point.since.date().isoformat()}
    ]


def test_several_trends_are_in_one_chart_and_none_is_an_empty_one(memory: Memory) -> None:
    both = plots.trends(memory.trend("one"), memory.trend("two"))
    assert {row["pattern"] for row in data(both, 1)} == {"one", "two"}
    assert data(plots.trends(), 1) == []


def test_rates_are_in_the_order_given_without_those_that_nobody_knows(memory: Memory) -> None:
    found = memory.rates("tool")
    assert {rate.value for rate in found} == {"Bash", "Edit"}
    (row,) = data(plots.rates(found), 0)
    assert (row["group"], row["outcomes"], row["rate"]) == ("Bash", 80, found[0].mean_outcome)


def test_predictions_are_shown_against_what_came_of_them(memory: Memory) -> None:
    assert data(memory.calibration().plot(), 1) == []


def test_without_altair_the_command_is_named(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'whatworks\[plot\]'"):
        memory.trend("one").plot()
