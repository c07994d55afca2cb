from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize

from whatworks.recalibration import METHODS, BetaCorrection, Isotonic, judged

Float64 = NDArray[np.float64]
unit = st.floats(0, 1)
rows = st.lists(st.tuples(unit, unit), min_size=1, max_size=80)
ANY = np.linspace(0, 1, 101)


def overconfident(seed: int, n: int) -> tuple[Float64, Float64]:
    random = np.random.default_rng(seed)
    true = np.clip(random.beta(2, 1.5, n), 0.05, 0.95)
    said = true**2.5 / (true**2.5 + (1 - true) ** 2.5)
    return said, (random.random(n) < true).astype(float)


@given(rows)
def test_isotonic_is_the_best_fit_in_order(given_: Any) -> None:
    expected, outcome = np.array(given_).T
    at, place, counts = np.unique(expected, return_inverse=True, return_counts=True)
    best = isotonic_regression(np.bincount(place, outcome) / counts, weights=counts)
    made = Isotonic.fit(expected, outcome)
    assert_allclose(made.at, at)
    assert_allclose(made.level, best.x, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@given(given_=rows)
def test_a_correction_keeps_the_order_and_stays_a_probability(method: str, given_: Any) -> None:
    expected, outcome = np.array(given_).T
    found = METHODS[method].fit(expected, outcome).apply(ANY)
    assert (np.diff(found) >= -1e-12).all()
    assert ((found >= 0.01) & (found <= 0.99)).all()


@given(rows)
def test_beta_is_the_most_likely_curve(given_: Any) -> None:
    expected, outcome = np.array(given_).T
    p = np.clip(expected, 1e-6, 1 - 1e-6)
    features = np.stack([np.log(p), -np.log1p(-p), np.ones_like(p)], 1)

    def loss(at: Float64) -> float:
        odds = features @ at
        pull = ((at - [1, 1, 0]) ** 2).sum() / 2
        return float((np.logaddexp(0, odds) - outcome * odds).sum() + pull)

    found = BetaCorrection.fit(expected, outcome)
    bounds = [(0, None), (0, None), (None, None)]
    best = minimize(loss, [1.0, 1.0, 0.0], bounds=bounds, method="L-BFGS-B")
    assert loss(np.array([found.a, found.b, found.c])) <= best.fun + 1e-4 * (1 + abs(best.fun))


def test_beta_finds_the_curve_that_made_the_outcomes() -> None:
    random = np.random.default_rng(0)
    said = random.uniform(0.02, 0.98, 40_000)
    odds = 0.5 * np.log(said) - 0.8 * np.log1p(-said) + 0.3
    outcome = (random.random(40_000) < 1 / (1 + np.exp(-odds))).astype(float)
    found = BetaCorrection.fit(said, outcome)
    # Standard errors are about 0.02 at this size.
    assert (found.a, found.b, found.c) == pytest.approx((0.5, 0.8, 0.3), abs=0.08)


def test_outcomes_that_are_all_the_same_leave_numbers_finite() -> None:
    expected = np.array([0.0, 0.2, 0.9, 1.0])
    for kind in METHODS.values():
        for outcome in (np.ones(4), np.zeros(4)):
            assert np.isfinite(kind.fit(expected, outcome).apply(ANY)).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_correction_mends_an_overconfident_predictor(method: str) -> None:
    made = METHODS[method].fit(*overconfident(0, 2_000))
    said, outcome = overconfident(1, 2_000)
    found = judged(said, made.apply(said), outcome, np.arange(2_000), seed=0)
    change, before, after = found["brier_change"], found["brier_before"], found["brier_after"]
    assert change is not None and before is not None and after is not None
    assert change.high < 0
    assert change.value == pytest.approx(after.value - before.value)
    assert found["ece_after"].value < found["ece_before"].value / 2  # type: ignore[union-attr]


@pytest.mark.parametrize("method", METHODS)
def test_a_correction_of_true_predictions_is_not_praised(method: str) -> None:
    """Null control: of 60 true stores, chance makes the upper bound negative in one or two."""
    praised = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        said = np.clip(random.beta(2, 1.5, 600), 0.05, 0.95)
        outcome = (random.random(600) < said).astype(float)
        made = METHODS[method].fit(said[:300], outcome[:300])
        late = said[300:]
        found = judged(late, made.apply(late), outcome[300:], np.arange(300), seed=0)
        assert found["brier_change"] is not None
        praised += found["brier_change"].high < 0
    assert praised <= 6


def test_no_correction_changes_nothing() -> None:
    said, outcome = overconfident(0, 100)
    found = judged(said, said, outcome, np.arange(100), seed=0)
    for name in ("brier_change", "ece_change"):
        figure = found[name]
        assert figure is not None
        assert (figure.value, figure.low, figure.high) == (0, 0, 0)
