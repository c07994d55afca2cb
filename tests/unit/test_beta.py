from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import beta

from whatworks.beta import beta_cdf, credible_interval, rate_interval


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("size", [0.02, 0.5, 1, 2, 3.7, 10, 17, 100, 520, 2e3, 1e4, 1e6, 1e8])
def test_the_interval_is_that_of_a_beta_distribution(size: float, level: float) -> None:
    mean = np.array([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
    low, high = credible_interval(mean, np.full(7, size), level)
    a, b = mean * size, (1 - mean) * size
    assert_allclose(low, beta.ppf((1 - level) / 2, a, b), atol=1e-9)
    assert_allclose(high, beta.ppf((1 + level) / 2, a, b), atol=1e-9)


@given(
    st.lists(st.tuples(st.floats(0.01, 1e5), st.floats(0.01, 1e5)), min_size=1, max_size=20),
    st.floats(0.1, 0.99),
)
def test_the_bounds_of_any_interval_are_exact(rows: list[tuple[float, float]], level: float) -> None:
    a, b = np.array(rows).T
    low, high = credible_interval(a / (a + b), a + b, level)
    assert ((low >= 0) & (low <= high + 1e-9) & (high <= 1)).all()
    assert_allclose(low, beta.ppf((1 - level) / 2, a, b), atol=1e-8)
    assert_allclose(high, beta.ppf((1 + level) / 2, a, b), atol=1e-8)


@pytest.mark.parametrize("level", [0.01, 0.5, 0.8, 0.9, 0.95, 0.9544])
def test_the_interval_of_a_rate_is_exact_from_no_success_on(level: float) -> None:
    """Of every number of successes among few tries, and of some among up to ten million."""
    few = np.array([(n, s) for n in range(1, 40) for s in range(n + 1)])
    many = np.unique(np.geomspace(40, 1e7, 60).round())
    share = np.concatenate([[0], np.geomspace(1e-7, 0.5, 30)])
    rows = [(n, s) for n in many for s in np.unique((n * share).round())]
    count, total = np.concatenate([few, rows, [(n, n - s) for n, s in rows]]).T
    low, high = rate_interval(total, count, level)
    a, b = total + 0.5, count - total + 0.5
    assert_allclose(low, beta.ppf((1 - level) / 2, a, b), atol=5e-10)
    assert_allclose(high, beta.ppf((1 + level) / 2, a, b), atol=5e-10)


def test_an_interval_is_the_same_whatever_else_is_asked_for() -> None:
    size, mean = np.geomspace(0.1, 1e6, 1_501), np.linspace(0.001, 0.999, 1_501)
    low, high = credible_interval(mean, size, 0.8)
    for n in range(0, 1_501, 100):
        alone = credible_interval(mean[n : n + 1], size[n : n + 1], 0.8)
        assert_allclose([low[n], high[n]], np.ravel(alone), rtol=0, atol=1e-11)


def test_many_are_as_exact_as_few() -> None:
    size = np.geomspace(0.1, 1e4, 5_001)
    mean = np.linspace(0.01, 0.99, 5_001)
    low, high = credible_interval(mean, size, 0.8)
    alone = [credible_interval(mean[n : n + 1], size[n : n + 1], 0.8) for n in (0, 2_000, 5_000)]
    for n, ends in zip((0, 2_000, 5_000), alone, strict=True):
        assert_allclose([low[n], high[n]], [ends[0][0], ends[1][0]], atol=1e-9)


def test_the_interval_of_nothing_is_empty() -> None:
    low, high = credible_interval(np.empty(0), np.empty(0), 0.8)
    assert (low.shape, high.shape) == ((0,), (0,))


def test_the_interval_narrows_with_the_sample() -> None:
    low, high = credible_interval(np.full(50, 0.3), np.geomspace(1, 1e6, 50), 0.8)
    assert (np.diff(high - low) < 0).all()


@pytest.mark.parametrize("size", [0.01, 1, 7.5, 1e3, 1e5])
def test_the_chance_below_a_bound_is_that_of_a_beta_distribution(size: float) -> None:
    x = np.linspace(0, 1, 101)
    for mean in (0.01, 0.3, 0.95):
        found = beta_cdf(x, np.full(101, mean), np.full(101, float(size)))
        assert_allclose(found, beta.cdf(x, mean * size, (1 - mean) * size), atol=1e-9)
