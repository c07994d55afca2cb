"""Change points are found where they are, and not where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from whatworks import drift

Float64 = NDArray[np.float64]
SEEDS = range(100)


def tries(random: np.random.Generator, *regimes: tuple[float, int]) -> Float64:
    """Outcomes of one regime after the other, each (rate, number)."""
    return np.concatenate([(random.random(n) < rate).astype(float) for rate, n in regimes])


def kind(random: np.random.Generator, n: int, which: int) -> Float64:
    """Contexts of one kind of work: near each other, and far from those of other kinds."""
    vectors = np.eye(16)[which] + 0.15 * random.normal(size=(n, 16))
    unit: Float64 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def found(outcome: Float64, vectors: Float64 | None = None, worth: Float64 | None = None) -> int:
    """Where the last regime begins, in one context if none are given."""
    ones = np.ones(len(outcome))
    return drift.last_change(
        ones if worth is None else worth,
        outcome,
        np.ones(len(outcome) - 1, bool),
        lambda: np.ones((len(outcome), 1)) if vectors is None else vectors,
    )


def never() -> Any:
    pytest.fail("contexts were asked for without need")


# -- found ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(60, 40), (40, 40), (200, 60)])
def test_a_break_is_found_within_a_few_tries_of_its_place(before: int, after: int) -> None:
    off = []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        place = found(tries(random, (0.8, before), (0.2, after)))
        off.append(abs(place - before) if place else np.inf)
    # Outcomes next to the break may be those of either side: two in a row happen one time in 25.
    assert np.mean(np.array(off) <= 6) >= 0.9
    assert np.median(off) <= 2


def test_of_several_changes_the_last_is_found() -> None:
    off = [
        abs(found(tries(np.random.default_rng(seed), (0.9, 60), (0.1, 60), (0.9, 60))) - 120)
        for seed in SEEDS
    ]
    assert np.mean(np.array(off) <= 10) >= 0.95


def test_a_change_without_doubt_is_found_where_it_is() -> None:
    assert found(np.repeat([1.0, 0.0], 30)) == 30
    assert found(np.repeat([1.0, 0.0, 1.0], 30)) == 60
    assert found(np.repeat([0.2, 0.8], [50, 10])) == 50


@pytest.mark.parametrize("after", [1, 2])
def test_a_few_tries_are_no_regime_of_their_own(after: int) -> None:
    assert found(np.repeat([1.0, 0.0], [40, after])) == 0


def test_worth_counts_and_not_the_number_of_cells() -> None:
    outcome = np.repeat([1.0, 0.0], 8)
    assert found(outcome) == 8
    assert found(outcome, worth=np.full(16, 0.4)) == 0
    assert found(np.repeat([1.0, 0.0], 4), worth=np.full(8, 2.0)) == 4


def test_graded_outcomes_change_by_little_and_it_is_seen() -> None:
    off = []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        outcome = np.concatenate([random.normal(0.7, 0.1, 40), random.normal(0.45, 0.1, 40)])
        off.append(abs(found(np.clip(outcome, 0, 1)) - 40))
    assert np.mean(np.array(off) <= 4) >= 0.9


# -- no false alarms --------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("contexts", ["one", "each another"])
def test_a_steady_pattern_raises_hardly_an_alarm(rate: float, contexts: str) -> None:
    alarms = 0
    for seed in SEEDS:
        random = np.random.default_rng(1_000 + seed)
        outcome = tries(random, (rate, 200))
        vectors = random.normal(size=(200, 16))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        alarms += found(outcome, None if contexts == "one" else vectors) > 0
    assert alarms <= 5


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.3])
def test_steady_graded_outcomes_raise_hardly_an_alarm(spread: float) -> None:
    made = [np.random.default_rng(seed).normal(0.6, spread, 200) for seed in SEEDS]
    assert sum(found(np.clip(outcome, 0, 1)) > 0 for outcome in made) <= 5


# -- contexts as an excuse --------------------------------------------------------------------------


def test_a_change_that_goes_with_another_kind_of_work_is_excused() -> None:
    alarms = control = 0
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        outcome = tries(random, (0.9, 50), (0.2, 50))
        blocks = np.vstack([kind(random, 50, 0), kind(random, 50, 1)])
        alarms += found(outcome, blocks) > 0
        # Null control: the same outcomes where the work stayed the same, or was mixed all along.
        control += abs(found(outcome, kind(random, 100, 0)) - 50) <= 8
        control += abs(found(outcome, blocks[np.argsort(np.arange(100) % 2)]) - 50) <= 8
    assert alarms == 0
    assert control >= 190


def test_contexts_of_one_kind_need_not_be_the_same_to_be_no_excuse() -> None:
    """Numbered tickets: cosines of .6 and above count as the same work."""
    random = np.random.default_rng(0)
    outcome = np.repeat([1.0, 0.0], 20)
    early, late = kind(random, 20, 0), kind(random, 20, 0)
    cosine = (early @ late.T).mean()
    assert 0.6 < cosine < 0.95
    assert found(outcome, np.vstack([early, late])) == 20


def test_tries_without_any_context_are_watched_too() -> None:
    assert found(np.repeat([1.0, 0.0], 20), np.zeros((40, 8))) == 20


def test_contexts_that_turn_up_only_later_excuse_what_comes_with_them() -> None:
    outcome = np.repeat([1.0, 0.0], 20)
    vectors = np.zeros((40, 8))
    vectors[20:, 0] = 1.0
    assert found(outcome, vectors) == 0


# -- several at once --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_of_several_series_only_those_that_may_have_changed_are_suspicious(seed: int) -> None:
    random = np.random.default_rng(seed)
    series = [
        tries(random, (random.random(), int(random.integers(1, 40))), (random.random(), 30))
        for _ in range(20)
    ]
    series.append(np.ones(1))
    starts = np.cumsum([0, *map(len, series[:-1])])
    outcome = np.concatenate(series)
    suspects = drift.suspicious(np.ones(len(outcome)), outcome, np.ones(len(outcome), bool), starts)
    assert suspects.tolist() == [found(one) > 0 for one in series]


# -- edges ------------------------------------------------------------------------------------------


def test_nothing_and_one_cell_have_no_change() -> None:
    assert drift.last_change(np.empty(0), np.empty(0), np.empty(0, bool), never) == 0
    assert drift.last_change(np.ones(1), np.ones(1), np.empty(0, bool), never) == 0
    assert drift.last_change(np.full(1, 100.0), np.ones(1), np.empty(0, bool), never) == 0


@pytest.mark.parametrize("outcome", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("n", [2, 8, 300])
def test_the_same_outcome_each_time_is_no_change_and_asks_for_no_context(
    outcome: float, n: int
) -> None:
    assert drift.last_change(np.ones(n), np.full(n, outcome), np.ones(max(n - 1, 0), bool), never) == 0


@pytest.mark.parametrize("worth", [1e-9, 1.0, 1e6])
def test_any_worth_gives_a_place_without_a_warning(worth: float) -> None:
    outcome = np.repeat([1.0, 0.0], 10)
    assert found(outcome, worth=np.full(20, worth)) == (10 if worth >= 1 else 0)


def test_equal_cells_may_come_in_any_order() -> None:
    random = np.random.default_rng(7)
    outcome = np.repeat([1.0, 0.5, 0.0], [20, 20, 20])
    vectors = kind(random, 60, 0)
    place = found(outcome, vectors)
    assert place == 40
    for _ in range(20):
        order = np.concatenate([start + random.permutation(20) for start in (0, 20, 40)])
        assert found(outcome[order], vectors[order]) == place


def test_inputs_stay_untouched() -> None:
    worth, outcome = np.ones(40), np.repeat([1.0, 0.0], 20)
    vectors = kind(np.random.default_rng(1), 40, 0)
    kept = [part.copy() for part in (worth, outcome, vectors)]
    drift.last_change(worth, outcome, np.ones(len(worth) - 1, bool), lambda: vectors)
    for before, after in zip(kept, (worth, outcome, vectors), strict=True):
        assert (before == after).all()


def test_what_happened_at_one_time_has_no_order() -> None:
    outcome, apart = np.repeat([1.0, 0.0], 20), np.ones(39, bool)
    assert found(outcome) == 20
    apart[19] = False
    assert drift.last_change(np.ones(40), outcome, apart, lambda: np.ones((40, 1))) in (19, 21)
    never_apart = np.zeros(39, bool)
    assert drift.last_change(np.ones(40), outcome, never_apart, never) == 0
