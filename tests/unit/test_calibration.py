from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy import stats

from whatworks import calibration
from whatworks.beta import beta_cdf, credible_interval

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


def test_spiegelhalters_z_is_that_of_its_formula_where_outcomes_are_independent() -> None:
    expected, outcome = world(4, 50)
    variance = ((1 - 2 * expected) ** 2 * expected * (1 - expected)).sum()
    plain = ((outcome - expected) * (1 - 2 * expected)).sum() / np.sqrt(variance)
    _, found = calibration.z_scores(expected, outcome, np.arange(50))
    assert found is not None
    assert np.sign(found) == np.sign(plain)
    assert abs(found) <= abs(plain) + 1e-12  # the larger of two variances


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


def test_outcomes_that_are_all_the_same_are_no_proof() -> None:
    """40 of 40 is expected one time in eight at 0.95."""
    z, _ = calibration.z_scores(np.full(40, 0.95), np.ones(40), np.arange(40))
    assert z is not None and -FLAG_Z < z < 0


def test_predictions_of_one_half_have_no_spread_to_test() -> None:
    assert calibration.z_scores(np.full(40, 0.5), np.ones(40), np.arange(40))[1] is None


# -- intervals ------------------------------------------------------------------------------------


def store(
    seed: int, situations: int, *, claim: float, only_failures: bool = False, graded: bool = False
) -> tuple[Any, ...]:
    """Rates that vary as promised, each tried twice; ``claim`` multiplies what is promised."""
    random = np.random.default_rng(seed)
    size = random.choice([1.5, 3.0, 6.0], situations)
    p = np.clip(random.beta(2, 2, situations), 0.05, 0.95)
    rates = random.beta(p * size, (1 - p) * size)
    tries = [(random.random(situations) < rates).astype(float) for _ in range(2)]
    if graded:  # a quarter of the variance of 0 and 1
        tries = [random.beta(3 * rates + 1e-9, 3 * (1 - rates) + 1e-9) for _ in range(2)]
    again = tries[0] < 0.5 if only_failures else np.ones(situations, bool)
    first = (p, size * claim, tries[0], np.arange(situations))
    updated = (p * size + tries[0]) / (size + 1), (size + 1) * claim, tries[1], np.arange(situations)
    p, size, outcome, context = (
        np.concatenate([a, b[again]]) for a, b in zip(first, updated, strict=True)
    )
    low, high = credible_interval(p, size, 0.8)
    return p, np.minimum(low, p), np.maximum(high, p), size, outcome, context


def coverage(rows: tuple[Any, ...]) -> tuple[Any, Any]:
    pairs = calibration.repeats(rows[-1], np.zeros(len(rows[-1])))
    return calibration.interval_coverage(*rows, pairs, seed=0)


@pytest.mark.parametrize("only_failures", [False, True])
def test_the_intervals_of_a_true_store_hold_as_often_as_they_promise(only_failures: bool) -> None:
    found = [
        coverage(store(seed, 2_000, claim=1.0, only_failures=only_failures))[0] for seed in range(6)
    ]
    # One store is known to 0.04; the mean of six to 0.016, and a convex function adds a little.
    assert np.mean([item.value for item in found]) == pytest.approx(0.8, abs=0.05)
    assert sum(item.low <= 0.8 <= item.high for item in found) >= 5


@pytest.mark.parametrize("only_failures", [False, True])
def test_the_intervals_of_a_store_that_claims_too_much_are_caught(only_failures: bool) -> None:
    for seed in range(4):
        rows = store(seed, 2_000, claim=6.0, only_failures=only_failures)
        held, width = coverage(rows)
        assert held.high < 0.8
        assert width.low > 1.2
        p, low, high, size, _, _ = (part[:2_000] for part in rows)
        truth = np.mean(beta_cdf(high, p, size / 6) - beta_cdf(low, p, size / 6))
        assert held.value == pytest.approx(truth, abs=0.15)


def test_the_intervals_of_a_store_that_claims_too_little_are_too_wide() -> None:
    held, width = coverage(store(0, 2_000, claim=0.25))
    assert held.low > 0.8
    assert width.high < 1


def test_intervals_are_judged_by_graded_outcomes_too() -> None:
    true, _ = coverage(store(0, 2_000, claim=1.0, graded=True))
    bold, _ = coverage(store(0, 2_000, claim=6.0, graded=True))
    assert true.value == pytest.approx(0.8, abs=0.08)  # roughly: see the docstring
    assert bold.high < 0.7


def test_single_outcomes_say_nothing_of_intervals() -> None:
    rows = tuple(part[:2_000] for part in store(0, 2_000, claim=6.0))
    assert coverage(rows) == (None, None)


def test_a_repeat_is_the_next_try_of_the_same_pattern_in_the_same_context() -> None:
    context = np.array([1, 2, 1, 1, 2, 1])
    pattern = np.array([5, 5, 6, 5, 6, 5])
    first, then = calibration.repeats(context, pattern)
    assert sorted(zip(first.tolist(), then.tolist(), strict=True)) == [(0, 3), (3, 5)]
    assert len(calibration.repeats(context[:0], pattern[:0])[0]) == 0


# -- the beta distribution ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.01, 1, 7.5, 1e3, 1e5])
def test_the_chance_below_a_bound_is_that_of_a_beta_distribution(size: float) -> None:
    x = np.linspace(0, 1, 101)
    for mean in (0.01, 0.3, 0.95):
        found = beta_cdf(x, np.full(101, mean), np.full(101, float(size)))
        assert_allclose(found, stats.beta.cdf(x, mean * size, (1 - mean) * size), atol=1e-9)
