from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whatworks.beta import beta_cdf, credible_interval
from whatworks.interval_check import interval_coverage, repeats


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
    pairs = repeats(rows[-1], np.zeros(len(rows[-1])))
    return interval_coverage(*rows, pairs, seed=0)


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
    first, then = repeats(context, pattern)
    assert sorted(zip(first.tolist(), then.tolist(), strict=True)) == [(0, 3), (3, 5)]
    assert len(repeats(context[:0], pattern[:0])[0]) == 0


def test_rates_that_were_never_expected_are_in_no_interval() -> None:
    """All fails where success was nearly sure: no Beta distribution around 0.99 can say so."""
    p, size, context = np.full(200, 0.99), np.full(200, 3.0), np.repeat(np.arange(100), 2)
    low, high = credible_interval(p, size, 0.8)
    held, width = coverage((p, np.minimum(low, p), high, size, np.zeros(200), context))
    assert held.high < 0.1
    assert width.low > 10
