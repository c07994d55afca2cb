from __future__ import annotations

from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from whatworks.records import Trend
from whatworks.trends import BASELINE_WINDOWS, DaySum, trend

MONDAY = date(2025, 3, 3)


def day(number: int, resolved: int, outcome_sum: float, used: int | None = None) -> DaySum:
    return DaySum(
        MONDAY + timedelta(days=number), resolved if used is None else used, resolved, outcome_sum
    )


def simulated(rates: list[float], per_day: int, seed: int) -> Trend:
    """The trend of one day after another with these success rates."""
    random = Random(seed)
    days = [
        day(number, per_day, sum(random.random() < rate for _ in range(per_day)))
        for number, rate in enumerate(rates)
    ]
    return trend("p", days, 7)


# -- the moving average -------------------------------------------------------------------------------


def test_d13_a_pattern_used_weekly_is_not_averaged_over_seven_weeks() -> None:
    """The window is 7 calendar days; 7 rows of a weekly pattern would be 49 days."""
    made = trend("p", [day(7 * week, 1, float(week == 9)) for week in range(10)], 7)
    assert made.days[0].day == MONDAY + timedelta(days=63)
    assert (made.days[0].moving_count, made.days[0].moving_avg) == (1, 1.0)


def test_d13_a_day_counts_by_its_outcomes() -> None:
    """The mean of two daily means would be 0.5."""
    made = trend("p", [day(0, 1, 0.0), day(1, 99, 99.0)], 7)
    assert made.days[0].moving_avg == pytest.approx(0.99)


def test_a_day_without_use_is_a_gap_that_moves_no_border() -> None:
    made = trend("p", [day(0, 1, 1.0), day(6, 1, 0.0), day(7, 1, 0.0)], 7)
    assert [row.moving_count for row in made.days] == [2, 2, 1]
    assert [row.moving_avg for row in made.days] == [0.0, 0.5, 1.0]


def test_days_come_newest_first() -> None:
    made = trend("p", [day(0, 1, 1.0), day(3, 2, 1.0), day(9, 4, 1.0)], 7)
    assert [row.resolved_count for row in made.days] == [4, 2, 1]


def test_a_day_with_open_outcomes_counts_as_used_and_says_nothing() -> None:
    made = trend("p", [day(0, 2, 1.0), day(1, 0, 0.0, used=5)], 7)
    newest = made.days[0]
    assert (newest.usage_count, newest.resolved_count) == (5, 0)
    assert (newest.avg_success, newest.low, newest.high) == (None, None, None)
    assert (newest.moving_count, newest.moving_avg) == (2, 0.5)
    assert made.days[1].avg_success == 0.5


def test_a_pattern_without_days_has_too_little_data() -> None:
    made = trend("p", [], 7)
    assert (made.days, made.direction, made.change, made.probability) == (
        (),
        "too little data",
        None,
        None,
    )
    unresolved = trend("p", [day(0, 0, 0.0, used=3)], 7)
    assert (unresolved.direction, unresolved.change) == ("too little data", None)
    assert unresolved.days[0].moving_avg is None


DAYS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 9), st.floats(0, 1)), unique_by=lambda d: d[0]
)


@given(DAYS, st.integers(1, 60))
def test_every_row_agrees_with_a_plain_recount(rows: list[tuple[int, int, float]], window: int) -> None:
    days = [day(number, count, count * mean, used=count + 1) for number, count, mean in sorted(rows)]
    made = trend("p", days, window)
    assert [row.day for row in made.days] == [item.day for item in reversed(days)]
    for row in made.days:
        inside = [d for d in days if row.day - timedelta(days=window) < d.day <= row.day]
        count, total = sum(d.resolved for d in inside), sum(d.outcome_sum for d in inside)
        assert row.moving_count == count
        assert row.moving_avg == (pytest.approx(total / count) if count else None)


@given(DAYS)
def test_the_intervals_are_those_of_jeffreys(rows: list[tuple[int, int, float]]) -> None:
    days = [day(number, count, count * mean) for number, count, mean in sorted(rows)]
    for row, given_ in zip(trend("p", days, 7).days, reversed(days), strict=True):
        if not given_.resolved:
            assert (row.low, row.high) == (None, None)
            continue
        a, b = given_.outcome_sum + 0.5, given_.resolved - given_.outcome_sum + 0.5
        assert (row.low, row.high) == pytest.approx(beta.ppf([0.025, 0.975], a, b), abs=1e-9)


# -- the direction ------------------------------------------------------------------------------------


def test_a_clear_rise_and_a_clear_fall_are_told() -> None:
    rising = simulated([0.3] * 28 + [0.9] * 7, per_day=5, seed=1)
    falling = simulated([0.9] * 28 + [0.3] * 7, per_day=5, seed=2)
    assert (rising.direction, falling.direction) == ("rising", "falling")
    assert rising.change == pytest.approx(0.6, abs=0.2)
    assert rising.change_low is not None
    assert rising.change_low > 0
    assert falling.change_high is not None
    assert falling.change_high < 0
    assert rising.probability is not None
    assert rising.probability > 0.99
    assert falling.probability is not None
    assert falling.probability < 0.01


def test_much_of_the_same_is_steady_and_little_of_it_is_too_little() -> None:
    assert simulated([0.6] * 35, per_day=20, seed=3).direction == "steady"
    assert simulated([0.6] * 35, per_day=1, seed=3).direction == "too little data"


def test_a_series_that_does_not_change_is_called_rising_or_falling_as_rarely_as_promised() -> None:
    moved = sum(
        simulated([0.5] * 35, per_day=4, seed=seed).direction in ("rising", "falling")
        for seed in range(200)
    )
    # The interval is one of 90 %: 20 of 200, and 33 with three standard deviations more.
    assert moved <= 33


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_a_pattern_used_weekly_is_rarely_given_a_direction_that_it_does_not_have(rate: float) -> None:
    def direction(seed: int) -> str:
        random = Random(seed)
        return trend("p", [day(7 * n, 1, float(random.random() < rate)) for n in range(5)], 7).direction

    assert sum(direction(seed) != "too little data" for seed in range(200)) <= 33


def test_one_success_after_one_failure_is_too_little_data() -> None:
    assert trend("p", [day(0, 1, 0.0), day(8, 1, 1.0)], 7).direction == "too little data"


def test_the_change_compares_the_last_window_with_the_four_before() -> None:
    old, before, recent = (day(n, 10, 10.0) for n in (0, 20, 47))
    made = trend("p", [old, DaySum(before.day, 10, 10, 2.0), DaySum(recent.day, 10, 10, 5.0)], 7)
    assert made.baseline_days == 7 * BASELINE_WINDOWS
    assert made.change == pytest.approx(0.3)


def test_windows_do_not_overlap_and_leave_no_gap() -> None:
    """The last window ends on day 50: days 44 to 50, and 16 to 43 before it."""
    for number, counted in ((15, False), (16, True), (43, True)):
        made = trend("p", [day(number, 10, 0.0), day(50, 10, 10.0)], 7)
        assert (made.change == 1.0) == counted, number
    assert trend("p", [day(43, 10, 0.0), day(44, 10, 10.0), day(50, 10, 10.0)], 7).change == 1.0
    assert trend("p", [day(44, 10, 0.0), day(50, 10, 10.0)], 7).change is None


def test_a_first_window_has_nothing_to_be_compared_with() -> None:
    made = trend("p", [day(n, 10, 5.0) for n in range(7)], 7)
    assert (made.direction, made.change, made.change_low, made.probability) == (
        "too little data", None, None, None
    )  # fmt: skip


@given(DAYS, st.integers(1, 30))
def test_a_change_lies_in_its_interval(rows: list[tuple[int, int, float]], window: int) -> None:
    made = trend(
        "p", [day(number, count, count * mean) for number, count, mean in sorted(rows)], window
    )
    if made.change is None:
        assert made.direction == "too little data"
        return
    assert made.change_low is not None
    assert made.change_high is not None
    assert made.probability is not None
    assert -1 <= made.change_low <= made.change <= made.change_high <= 1
    assert 0 <= made.probability <= 1
    assert (made.direction == "rising") == (made.change_low > 0)
    assert (made.direction == "falling") == (made.change_high < 0)
