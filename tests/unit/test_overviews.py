"""What works now, rises, falls and was never tried."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from whatworks import InvalidInputError, Memory, NewEvent
from whatworks.trends import sureness

END = datetime(2025, 3, 14, 12, tzinfo=UTC)


def tries(memory: Memory, name: str, outcomes: list[float], *, days_ago: int) -> None:
    """One try of a pattern an hour, on one day."""
    memory.record_many(
        NewEvent(name, outcome=outcome, timestamp=END - timedelta(days=days_ago, minutes=n))
        for n, outcome in enumerate(outcomes)
    )


@pytest.fixture
def told(memory: Memory) -> Memory:
    """Patterns that rise, fall, stay, are old, and were never tried; the newest outcome is of END."""
    for name in ("riser", "faller", "steady", "old", "new", "pending"):
        memory.add_pattern(f"approach {name}", pattern_id=name)
    for before, after, name in ((0.0, 1.0, "riser"), (1.0, 0.0, "faller"), (1.0, 1.0, "steady")):
        tries(memory, name, [before] * 20, days_ago=14)
        tries(memory, name, [after] * 10, days_ago=0)
    tries(memory, "old", [1.0] * 50, days_ago=60)
    memory.record("pending", outcome=None, timestamp=END + timedelta(days=9))
    return memory


def test_what_rises_and_falls_is_told_with_both_sides_and_an_interval(told: Memory) -> None:
    found = told.overview()
    assert (found.until, found.window_days, found.baseline_days) == (date(2025, 3, 14), 7, 28)
    (up,), (down,) = found.rising, found.falling
    assert (up.pattern.pattern_id, down.pattern.pattern_id) == ("riser", "faller")
    assert (up.recent_count, up.recent_mean, up.before_count, up.before_mean) == (10, 1.0, 20, 0.0)
    assert up.change == 1.0 and 0 < up.change_low < up.change_high <= 1
    assert down.change == -1.0 and down.probability == pytest.approx(1 - up.probability)
    assert (found.rising_count, found.falling_count, found.compared) == (1, 1, 3)
    assert found.by_chance == pytest.approx(0.15)


def test_the_overview_says_of_a_pattern_what_its_trend_says(told: Memory) -> None:
    (up,), trend = told.overview().rising, told.trend("riser")
    assert trend.direction == "rising"
    assert (up.change, up.change_low, up.change_high, up.probability) == (
        trend.change,
        trend.change_low,
        trend.change_high,
        trend.probability,
    )


def test_what_works_now_has_outcomes_in_the_last_days_and_the_surest_comes_first(told: Memory) -> None:
    working = told.overview().working
    assert [item.pattern.pattern_id for item in working] == ["steady", "riser"]  # not what is falling
    best = working[0]
    assert (best.resolved, best.mean_outcome) == (30, 1.0)
    assert 0.9 < best.low < best.high <= 1.0


def test_what_has_no_known_outcome_is_untested_also_if_it_was_tried(told: Memory) -> None:
    found = told.overview()
    assert {item.pattern_id for item in found.untested} == {"new", "pending"}
    assert found.untested_count == 2
    limited = told.overview(limit=1)
    assert (len(limited.untested), limited.untested_count) == (1, 2)
    assert len(limited.working) == 1


def test_a_forgotten_pattern_is_in_no_overview(told: Memory) -> None:
    told.forget("riser")
    assert told.overview().rising == ()


def test_an_empty_store_has_an_empty_overview(memory: Memory) -> None:
    found = memory.overview()
    assert (found.until, found.working, found.compared, found.untested_count) == (None, (), 0, 0)


@pytest.mark.parametrize("days", [0, 366, "7"])
def test_a_window_that_is_none_is_refused(memory: Memory, days: object) -> None:
    with pytest.raises(InvalidInputError, match="window_days"):
        memory.overview(window_days=days)  # type: ignore[arg-type]


def test_sureness_turns_its_sign_with_the_sides() -> None:
    import numpy as np

    one, other = (np.array([9.0]), np.array([9.0])), (np.array([5.0]), np.array([1.0]))
    assert sureness(*one, *other)[0] == -sureness(*other, *one)[0] > 1.6449


def test_predictions_are_listed_the_newest_first(memory: Memory) -> None:
    memory.add_pattern("retry", pattern_id="p")
    made = [memory.predict(f"situation {n}") for n in range(3)]
    found = memory.predictions(limit=2)
    assert [item.prediction_id for item in found] == [made[2].prediction_id, made[1].prediction_id]
    assert (found[0].context, found[0].made_at) == ("situation 2", made[2].made_at)
    memory.forget("p")
    assert memory.predictions() == []
