from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from whatworks import calibration

Float64 = NDArray[np.float64]

FLAG_Z = 2.2414


def logistic(x: Float64) -> Float64:
    return 1 / (1 + np.exp(-x))


def world(seed: int, n: int, *, stretch: float = 1.0, shift: float = 0.0) -> tuple[Float64, Float64]:
    """What is said and what comes of it; stretch and shift of the log odds make it untrue."""
    random = np.random.default_rng(seed)
    true = np.clip(random.beta(2, 1.5, n), 0.01, 0.99)
    outcome = (random.random(n) < true).astype(float)
    return logistic(stretch * np.log(true / (1 - true)) + shift), outcome


def scored(expected: Float64, outcome: Float64, context: Any = None, seed: int = 0) -> dict[str, Any]:
    context = np.arange(len(expected)) if context is None else context
    return calibration.scores(expected, outcome, context, calibration.bins(expected), seed=seed)


def values(found: dict[str, Any]) -> dict[str, float | None]:
    return {name: None if figure is None else figure.value for name, figure in found.items()}


unit = st.floats(0, 1)
rows = st.lists(st.tuples(unit, unit, st.integers(0, 9)), min_size=1, max_size=60)


# -- scores ---------------------------------------------------------------------------------------


@given(rows)
def test_the_parts_of_the_brier_score_add_up_for_any_predictions_and_outcomes(given_: Any) -> None:
    expected, outcome, context = np.array(given_).T
    found = values(scored(expected, outcome, context))
    parts = found["reliability"] - found["resolution"] + found["uncertainty"] + found["within"]  # type: ignore[operator]
    assert found["brier"] == pytest.approx(((expected - outcome) ** 2).mean(), abs=1e-12)
    assert parts == pytest.approx(found["brier"], abs=1e-12)


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(given_: Any, random: Any) -> None:
    shuffled = random.sample(given_, len(given_))
    one, other = (scored(*np.array(each).T) for each in (given_, shuffled))
    for name in one:
        for mine, its in zip(figure(one[name]), figure(other[name]), strict=True):
            assert mine == pytest.approx(its, abs=1e-9), name


def figure(found: Any) -> tuple[float, ...]:
    return () if found is None else (found.value, found.low, found.high)


@given(rows)
def test_every_interval_holds_its_value(given_: Any) -> None:
    expected, outcome, context = np.array(given_).T
    for found in scored(expected, outcome, context).values():
        assert found is None or found.low <= found.value <= found.high


@given(st.lists(unit, min_size=1, max_size=60))
def test_perfect_predictions_have_no_error(given_: Any) -> None:
    outcome = np.array(given_)
    found = values(scored(outcome, outcome))
    for name in ("brier", "reliability", "ece", "bias"):
        assert found[name] == pytest.approx(0, abs=1e-12)
    assert found["skill"] in (None, pytest.approx(1))


def test_the_scores_are_those_of_their_formulas() -> None:
    expected = np.repeat([0.2, 0.8], 10)
    outcome = np.array([1.0] * 3 + [0.0] * 7 + [1.0] * 6 + [0.0] * 4)
    found = values(scored(expected, outcome))
    assert found["reliability"] == pytest.approx((0.1**2 + 0.2**2) / 2)
    assert found["resolution"] == pytest.approx(0.15**2)
    assert found["uncertainty"] == pytest.approx(0.45 * 0.55)
    assert found["within"] == pytest.approx(0)
    assert found["ece"] == pytest.approx(0.15)
    assert found["bias"] == pytest.approx(0.05)
    assert found["skill"] == pytest.approx(1 - found["brier"] / found["uncertainty"])  # type: ignore[operator]
    assert found["log_loss"] == pytest.approx(
        -np.mean([0.3 * np.log(0.2) + 0.7 * np.log(0.8), 0.6 * np.log(0.8) + 0.4 * np.log(0.2)])
    )


def test_a_sure_and_wrong_prediction_costs_much_and_not_everything() -> None:
    found = scored(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    assert 10 < found["log_loss"].value < 20


def test_there_is_no_skill_against_outcomes_that_are_all_the_same() -> None:
    assert scored(np.linspace(0.1, 0.9, 40), np.ones(40))["skill"] is None


def test_repeats_in_one_context_make_intervals_no_narrower() -> None:
    expected, outcome = world(1, 200)
    once = scored(expected, outcome)["brier"]
    tenfold = scored(*(np.repeat(a, 10) for a in (expected, outcome, np.arange(200))))["brier"]
    assert tenfold.value == pytest.approx(once.value)
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low, rel=0.01)


def test_intervals_of_thousands_of_contexts_are_those_of_the_normal_distribution() -> None:
    expected, outcome = world(2, 20_000)
    found = scored(expected, outcome)["brier"]
    deviation = np.std((expected - outcome) ** 2) / np.sqrt(20_000)
    # Quantiles of 1,000 replicates are known to about 3 % of the standard deviation each.
    assert found.high - found.low == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_the_interval_of_the_brier_score_holds_its_expectation_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    expected = np.clip(random.beta(2, 1.5, 200), 0.01, 0.99)
    truth = (expected * (1 - expected)).mean()
    held = 0
    for _ in range(100):
        found = scored(expected, (random.random(200) < expected).astype(float))["brier"]
        held += found.low <= truth <= found.high
    # 95 of 100, less three standard deviations of the count.
    assert held >= 89


# -- bins -----------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]) | unit, min_size=1, max_size=300))
def test_bins_rise_and_never_part_equals(given_: Any) -> None:
    expected = np.array(given_)
    bin_of = calibration.bins(expected)
    assert set(bin_of) == set(range(bin_of.max() + 1))
    assert bin_of.max() < 10
    order = np.argsort(expected, kind="stable")
    assert (np.diff(bin_of[order]) >= 0).all()
    for value in np.unique(expected):
        assert len(set(bin_of[expected == value])) == 1


def test_bins_of_different_predictions_have_equal_counts() -> None:
    assert np.bincount(calibration.bins(np.linspace(0, 1, 400))).tolist() == [40] * 10
    assert np.bincount(calibration.bins(np.linspace(0, 1, 60))).tolist() == [20] * 3


def test_the_table_has_every_row_once() -> None:
    expected, outcome = world(3, 500)
    bin_of = calibration.bins(expected)
    table = calibration.table(expected, outcome, np.arange(500), bin_of)
    assert sum(item.outcomes for item in table) == 500
    for before, after in pairwise(table):
        assert before.most < after.least
    for item in table:
        assert item.least <= item.mean_prediction <= item.most
        assert item.low <= item.mean_outcome <= item.high


def test_the_interval_of_a_rate_is_that_of_jeffreys() -> None:
    found = calibration.rate(np.array([1.0] * 7 + [0.0] * 3), np.arange(10))
    assert (found.low, found.high) == pytest.approx(stats.beta.ppf([0.025, 0.975], 7.5, 3.5))


def test_a_rate_from_one_context_stays_unsure() -> None:
    found = calibration.rate(np.ones(1_000), np.zeros(1_000))
    assert found.low < 0.5  # a thousand tries in one place are worth two


def test_the_error_by_chance_is_that_of_true_predictions() -> None:
    found = []
    for seed in range(60):
        expected, outcome = world(seed, 300)
        found.append(scored(expected, outcome)["ece"].value)
    bin_of = calibration.bins(expected)
    said = calibration.chance_error(expected, outcome, np.arange(300), bin_of)
    assert np.mean(found) == pytest.approx(said, rel=0.1)  # the mean of 60 is known to 4 %


# -- tests of truth -------------------------------------------------------------------------------


def test_the_tests_are_those_of_their_formulas_where_each_context_has_one_row() -> None:
    expected, outcome = world(4, 50)
    chance = expected * (1 - expected)
    slope = 1 - 2 * expected - np.mean(1 - 2 * expected)
    found = calibration.z_scores(expected, outcome, np.arange(50))
    for weight, z in zip((np.full(50, -1.0), slope), found, strict=True):
        parts = weight * (outcome - expected)
        variance = max((weight**2 * chance).sum(), (parts**2).sum())
        assert z == pytest.approx(parts.sum() / np.sqrt(variance))


@pytest.mark.parametrize("n", [40, 200, 1_000])
@pytest.mark.parametrize("copies", [1, 3])
def test_true_predictions_are_hardly_ever_flagged(n: int, copies: int) -> None:
    """Null control: one in twenty is flagged by either test; here at most one in ten of 200."""
    flagged = 0
    for seed in range(200):
        expected, outcome = world(seed, n)
        parts = (np.repeat(a, copies) for a in (expected, outcome, np.arange(n)))
        flagged += max(abs(z or 0) for z in calibration.z_scores(*parts)) > FLAG_Z
    assert flagged <= 20


@pytest.mark.parametrize(
    ("stretch", "shift", "which", "sign"),
    [(2.0, 0.0, 1, 1), (0.4, 0.0, 1, -1), (1.0, 0.8, 0, 1), (1.0, -0.8, 0, -1)],
)
def test_untrue_predictions_are_flagged_for_what_they_are(
    stretch: float, shift: float, which: int, sign: int
) -> None:
    """Power at 300 outcomes; chance alone would flag 5 of 200."""
    flagged = 0
    for seed in range(200):
        expected, outcome = world(seed, 300, stretch=stretch, shift=shift)
        z = calibration.z_scores(expected, outcome, np.arange(300))[which]
        flagged += z is not None and sign * z > FLAG_Z
    assert flagged >= 180


def test_a_mean_difference_alone_is_no_wrong_spread() -> None:
    flagged = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        true = random.uniform(0.1, 0.6, 300)
        outcome = (random.random(300) < true).astype(float)
        level, spread = calibration.z_scores(true + 0.3, outcome, np.arange(300))
        assert level is not None and level > FLAG_Z
        flagged += spread is not None and abs(spread) > FLAG_Z
    assert flagged <= 8  # 2.5 % of 100, and three standard deviations of the count


def test_outcomes_that_are_all_the_same_are_no_proof() -> None:
    """40 of 40 is expected one time in eight at 0.95."""
    z, _ = calibration.z_scores(np.full(40, 0.95), np.ones(40), np.arange(40))
    assert z is not None and -FLAG_Z < z < 0


def test_predictions_of_one_half_have_no_spread_to_test() -> None:
    assert calibration.z_scores(np.full(40, 0.5), np.ones(40), np.arange(40))[1] is None
