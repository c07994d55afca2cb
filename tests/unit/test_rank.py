from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from support import reference
from whatworks import rank
from whatworks.beta import credible_interval
from whatworks.rank import Cells, Population, Records

WHOLE = Population(0.6, 15.0)


def records(
    *rows: tuple[float, float],
    priors: tuple[tuple[float, float], ...] = (),
    changed: tuple[bool, ...] = (),
) -> Records:
    numbers = np.array(rows, float).reshape(-1, 2)
    imported = np.array(priors or [(0, 0)] * len(rows), float).reshape(-1, 2)
    flags = np.array(changed or [False] * len(rows), float)
    return Records(numbers[:, 0], numbers[:, 1], imported[:, 0], imported[:, 1], flags)


def cells(*rows: tuple[int, float, float, float]) -> Cells:
    """Cells (pattern, cosine, effective tries, mean), each in a context of its own direction."""
    pattern, similarity, effective, mean = np.array(rows, float).reshape(-1, 4).T
    between = np.outer(similarity, similarity)
    np.fill_diagonal(between, 1.0)
    return Cells(pattern.astype(np.int64), similarity, between, effective, mean)


# -- tries ------------------------------------------------------------------------------------------


def test_a_thousand_repeats_in_one_context_are_worth_less_than_two_tries() -> None:
    worth = rank.effective_tries(np.arange(0.0, 1_001.0))
    assert worth[0] == 0
    assert worth[1] == 1
    assert (np.diff(worth) > 0).all()
    assert worth[-1] < 2


@given(st.lists(st.floats(0, 1e9), max_size=20))
def test_effective_tries_leave_their_input_alone(tries: list[float]) -> None:
    given_ = np.array(tries)
    before = given_.copy()
    assert (rank.effective_tries(given_) <= np.maximum(given_, 0) + 1e-12).all()
    assert (given_ == before).all()


def test_an_imported_aggregate_is_worth_a_fifth_and_five_at_most() -> None:
    assert_allclose(rank.prior_tries(np.array([0, 1, 10, 25, 1e9])), [0, 0.2, 2, 5, 5])


@pytest.mark.parametrize(
    ("stored", "looked_at"),
    [(0, 64), (999, 64), (1_000, 128), (4_999, 128), (5_000, 256), (10**6, 256)],
)
def test_more_neighbours_are_looked_at_in_larger_stores(stored: int, looked_at: int) -> None:
    assert rank.neighbourhood(stored) == looked_at


# -- population -------------------------------------------------------------------------------------


def sums(rows: list[tuple[float, float]]) -> tuple[int, float, float, float, float]:
    """What ``rank.population`` takes, from the effective tries and totals of the patterns."""
    return (
        len(rows),
        sum(n for n, _ in rows),
        sum(s for _, s in rows),
        sum(n * n for n, _ in rows),
        sum(s * s / n for n, s in rows),
    )


def test_without_any_tries_half_is_expected() -> None:
    assert rank.population(0, 0, 0, 0, 0) == Population(0.5, rank.KAPPA_DEFAULT)


@pytest.mark.parametrize("patterns", [1, 2])
def test_too_few_patterns_get_the_default_strength(patterns: int) -> None:
    assert rank.population(*sums([(10, 10 * n) for n in range(patterns)])).kappa == rank.KAPPA_DEFAULT


def test_patterns_that_are_all_alike_bind_strongly_and_different_ones_weakly() -> None:
    alike = rank.population(*sums([(100, 50)] * 10))
    apart = rank.population(*sums([(100, 0), (100, 100)] * 5))
    assert (alike.kappa, apart.kappa) == (50.0, 10.0)
    assert alike.mu == apart.mu == pytest.approx(0.5)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_a_population_without_any_variance_is_finite(outcome: float) -> None:
    whole = rank.population(*sums([(5, 5 * outcome)] * 4))
    assert 0 < whole.mu < 1
    assert rank.KAPPA_BOUNDS[0] <= whole.kappa <= rank.KAPPA_BOUNDS[1]


RECORDS = st.lists(
    st.tuples(st.floats(0.5, 1e4), st.floats(0, 1)).map(lambda row: (row[0], row[0] * row[1])),
    max_size=12,
)


@given(RECORDS)
def test_the_population_is_that_of_the_slow_reference(rows: list[tuple[float, float]]) -> None:
    whole = rank.population(*sums(rows))
    mu, kappa = reference.population(rows)
    assert whole.mu == pytest.approx(mu)
    # Near "no variance between patterns" the two round differently; both then stop at a bound.
    if 10.001 < kappa < 49.9:
        assert whole.kappa == pytest.approx(kappa, rel=1e-3)


def test_the_strength_between_its_bounds_is_that_of_the_moments() -> None:
    random = np.random.default_rng(5)
    inside = 0
    for _ in range(200):
        tries = random.integers(2, 40, 8).astype(float)
        rates = random.beta(4, 4, 8)
        rows = [(float(n), float(n * rate)) for n, rate in zip(tries, rates, strict=True)]
        _, kappa = reference.population(rows)
        assert rank.population(*sums(rows)).kappa == pytest.approx(kappa, rel=1e-6)
        inside += 10 < kappa < 50
    assert inside > 50


# -- estimates --------------------------------------------------------------------------------------

CELLS = st.lists(
    st.tuples(st.integers(0, 5), st.floats(-1, 1), st.floats(0.5, 100), st.floats(0, 1)), max_size=15
)
CHANGED = st.tuples(*[st.booleans()] * 6)


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1)), min_size=6, max_size=6),
    CELLS,
    CHANGED,
    st.floats(0.01, 0.99),
    st.floats(10, 50),
)
def test_estimates_are_those_of_the_slow_reference(
    rows: list[tuple[float, float]],
    near: list[tuple[int, float, float, float]],
    changed: tuple[bool, ...],
    mu: float,
    kappa: float,
) -> None:
    own = [(tries, tries * mean) for tries, mean in rows]
    around = cells(*near)
    learned = rank.Learned((0.1, 0.3, 0.3, 0.2, 0.1), (0.5, 0.2, 0.2, 0.4, 0.4), 1.0)
    made = rank.estimate(records(*own, changed=changed), around, Population(mu, kappa), learned)
    named = {str(n): row for n, row in enumerate(own)}
    told = [(str(pattern), *rest) for pattern, *rest in near]
    between = around.between.tolist()
    slow = [
        reference.estimate(
            str(n),
            named,
            told,
            between,
            (mu, kappa),
            learned.weights,
            learned.closeness,
            changed=[str(m) for m, is_ in enumerate(changed) if is_],
        )
        for n in range(6)
    ]
    assert_allclose(made.expected, slow, rtol=1e-9, atol=1e-9)
    known = records(*own, changed=changed), around, Population(mu, kappa), learned
    assert_allclose(rank.expect(*known), slow, rtol=1e-9, atol=1e-9)
    some = rank.estimate(*known, asked=[4, 0])
    for name in ("raw", "expected", "variance", "n_effective", "effect", "influence"):
        assert_allclose(getattr(some, name), getattr(made, name)[[4, 0]], rtol=1e-9, atol=1e-9)


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1)), min_size=6, max_size=6),
    CELLS,
    CHANGED,
    st.floats(0.01, 0.99),
    st.floats(10, 50),
)
def test_estimates_are_finite_inside_their_bounds_and_add_up(
    rows: list[tuple[float, float]],
    near: list[tuple[int, float, float, float]],
    changed: tuple[bool, ...],
    mu: float,
    kappa: float,
) -> None:
    own = records(*((tries, tries * mean) for tries, mean in rows), changed=changed)
    around = cells(*near)
    made = rank.estimate(own, around, Population(mu, kappa))
    for part in (made.raw, made.expected, made.variance, made.n_effective, made.effect):
        assert np.isfinite(part).all()
    assert ((made.expected >= 0.01) & (made.expected <= 0.99)).all()
    assert (made.n_effective >= 1).all()
    assert (made.variance > 0).all()
    assert_allclose(made.population + made.record + made.prior + made.effect.sum(1), made.raw)
    low, high = credible_interval(made.expected, made.n_effective, 0.8)
    assert ((low < high) & (low >= 0) & (high <= 1)).all()


def test_without_evidence_the_estimate_is_that_of_the_population() -> None:
    made = rank.estimate(records((0, 0)), cells(), WHOLE)
    assert_allclose(made.expected, WHOLE.mu)
    assert made.effect.shape == (1, 0)


def test_an_estimate_for_no_patterns_is_empty() -> None:
    made = rank.estimate(records(), cells(), WHOLE)
    assert made.expected.shape == (0,)


def test_inputs_stay_untouched() -> None:
    own, near = records((5, 3), (8, 2)), cells((0, 0.9, 3, 1.0), (1, 0.2, 7, 0.1))
    kept = [part.copy() for part in (own.tries, own.total, near.similarity, near.effective, near.mean)]
    rank.estimate(own, near, WHOLE)
    for before, after in zip(
        kept, (own.tries, own.total, near.similarity, near.effective, near.mean), strict=True
    ):
        assert (before == after).all()


def test_an_aggregate_counts_like_tries_of_the_record() -> None:
    told = rank.estimate(records((4, 3), priors=((2, 1),)), cells(), WHOLE)
    seen = rank.estimate(records((6, 4)), cells(), WHOLE)
    # To a part in a thousand: tries that crowd are thinned, an aggregate is not.
    assert_allclose(told.expected, seen.expected, rtol=1e-3)


def test_a_try_far_away_counts_for_almost_nothing() -> None:
    here = rank.estimate(records((1, 1)), cells((0, 1.0, 1, 1.0)), WHOLE)
    elsewhere = rank.estimate(records((1, 1)), cells((0, 0.0, 1, 1.0)), WHOLE)
    assert abs(elsewhere.effect[0, 0]) < 1e-12 < 0.05 < here.effect[0, 0]
    assert here.expected[0] > elsewhere.expected[0]


def test_a_try_in_the_opposite_direction_counts_a_little_against() -> None:
    opposite = rank.estimate(records((1, 1)), cells((0, -1.0, 1, 1.0)), WHOLE)
    here = rank.estimate(records((1, 1)), cells((0, 1.0, 1, 1.0)), WHOLE)
    assert -0.4 * here.effect[0, 0] < opposite.effect[0, 0] < 0


@given(st.lists(st.tuples(*[st.floats(-1, 1)] * 3), min_size=1, max_size=12), st.floats(0.2, 2.0))
def test_the_kernel_is_that_of_the_slow_reference_and_positive_definite(
    rows: list[tuple[float, float, float]], reach: float
) -> None:
    vectors = rank.centred(np.array(rows), (0.5, 0.0, 0.0))
    slow = reference.centred(rows, (0.5, 0.0, 0.0))
    assert_allclose(vectors, slow, atol=1e-12)
    cosines = np.clip(vectors @ vectors.T, -1, 1)
    made = rank.kernel(cosines, reach)
    assert_allclose(made, [[reference.kernel(c, reach) for c in row] for row in cosines], atol=1e-12)
    assert rank.kernel(np.array([1.0, 0.0]), reach).tolist() == [1.0, 0.0]
    assert np.linalg.eigvalsh(made).min() > -1e-9


def test_without_a_center_vectors_stay_as_they_are() -> None:
    vectors = np.array([[0.6, 0.8], [1.0, 0.0]])
    assert rank.centred(vectors, ()) is vectors
    assert rank.centred(vectors, (1.0, 0.0))[1].tolist() == [0.0, 0.0]


def test_a_pattern_that_changed_is_bound_less_by_the_others() -> None:
    rows = records((5, 5), (5, 5), changed=(True, False))
    changed, steady = rank.estimate(rows, cells(), WHOLE).expected
    assert WHOLE.mu < steady < changed
    assert rank.kappa_of(WHOLE, True) == rank.KAPPA_CHANGED == 4.0
    assert rank.kappa_of(WHOLE, False) == WHOLE.kappa


def test_tries_of_a_pattern_that_crowd_say_less_of_it_than_as_many_apart() -> None:
    local = rank.Learned((0, 0, 0, 0, 1.0), (0.5,) * 5, 1.0)
    apart = rank.Learned((0, 0, 0, 0, 1.0), (0.0,) * 5, 1.0)
    own = records((50, 50))
    crowded = rank.estimate(own, cells(), WHOLE, local).expected[0]
    assert WHOLE.mu < crowded < rank.estimate(own, cells(), WHOLE, apart).expected[0]


# -- what is learned ----------------------------------------------------------------------------------


def worlds(own: bool, size: int = 60) -> list[rank.Trial]:
    """Trials with five neighbours that tell the outcome exactly, or not at all."""
    random = np.random.default_rng(3)
    trials = []
    for _ in range(size):
        outcome = float(random.integers(2))
        near = [(0, 0.95, 1, outcome if own else float(random.integers(2))) for _ in range(5)]
        trials.append(rank.Trial(records((50, 25)), cells(*near), 0, outcome))
    return trials


def test_a_local_world_is_told_from_one_that_is_not() -> None:
    near = rank.UNLEARNED.closeness
    local = rank.learn(worlds(own=True), WHOLE, near, ())
    flat = rank.learn(worlds(own=False), WHOLE, near, ())
    assert sum(local.weights) == pytest.approx(1)
    assert sum(local.weights[3:]) > 0.9
    assert sum(flat.weights[:2]) > 0.9


def test_graded_outcomes_vary_less_than_coin_flips() -> None:
    trials = [rank.Trial(records((50, 25)), cells(), 0, 0.5 + 0.1 * (-1) ** n) for n in range(40)]
    assert rank.learn(trials, Population(0.5, 15.0), rank.UNLEARNED.closeness, ()).dispersion < 0.1


def test_without_any_trial_nothing_is_learned() -> None:
    assert rank.learn([], WHOLE, rank.UNLEARNED.closeness, ()) == rank.UNLEARNED


# -- verdicts and fusion ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "tries", "said"),
    [
        (0.7, 0.9, 10, "recommended"),
        (0.7, 0.9, 3, "recommended"),
        (0.7, 0.9, 2.9, "worth trying"),
        (0.5, 0.9, 10, "worth trying"),
        (0.6, 0.9, 10, "worth trying"),
        (0.1, 0.6, 10, "not recommended"),
        (0.1, 0.5, 1, "not recommended"),
        (0.1, 0.9, 0.99, "no evidence"),
        (0.7, 0.9, 0, "no evidence"),
    ],
)
def test_the_verdict_follows_from_the_interval_and_the_tries(
    low: float, high: float, tries: float, said: str
) -> None:
    assert rank.verdict(low, high, tries, 0.6) == said


def test_ranks_are_fused_by_their_reciprocals() -> None:
    fused = rank.fuse(["a", "b", "c"], ["c", "a"])
    assert fused == pytest.approx({"a": 1 / 61 + 1 / 62, "b": 1 / 62, "c": 1 / 63 + 1 / 61})
    assert rank.fuse([], []) == {}
