from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from whatworks import Memory, NewEvent, missing, rank
from whatworks.evidence import outcomes

Open = Callable[..., Memory]
CELL = st.tuples(st.integers(0, 30), st.integers(0, 30), st.floats(0, 1))
WEIGHTS = st.lists(st.floats(0.01, 1), min_size=5, max_size=5).map(
    lambda given_: tuple((np.array(given_) / sum(given_)).tolist())
)


def worth(n: Any) -> Any:
    return 2 * n / (n + 1)


def sums(cells: list[tuple[int, int, float]], filled: float | None) -> tuple[float, float]:
    """Effective tries and total of (resolved, missing, rate) cells, the missing filled in or not."""
    tries = total = 0.0
    for resolved, absent, rate in cells:
        n = resolved + (absent if filled is not None else 0)
        tries += worth(n)
        total += worth(n) * (resolved * rate + (filled or 0) * (n - resolved)) / n if n else 0.0
    return tries, total


NEAR = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 20), st.floats(0, 1)), max_size=12
)


def nearby(cells: list[tuple[int, int, int, float]], seed: int) -> missing.Nearby:
    """Cells (pattern, resolved, missing, rate) at random; only pattern 0 misses outcomes."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(len(cells) + 1, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pattern, resolved, absent, mean = np.array(cells, float).reshape(-1, 4).T
    return missing.Nearby(
        pattern.astype(np.int64),
        vectors[:-1] @ vectors[-1],
        vectors[:-1],
        worth(resolved),
        worth(resolved) * mean,
        np.where(pattern == 0, worth(resolved + absent) - worth(resolved), 0.0),
    )


@given(
    st.lists(CELL, max_size=12),
    NEAR,
    st.integers(0, 2**32 - 1),
    WEIGHTS,
    st.floats(-0.5, 0.5),
    st.tuples(st.floats(0, 5), st.floats(0, 1)),
    st.tuples(st.floats(0.1, 1e4), st.floats(0, 1)),
)
def test_an_estimate_lies_between_its_bounds(
    cells: list[tuple[int, int, float]],
    near: list[tuple[int, int, int, float]],
    seed: int,
    weights: tuple[float, ...],
    further: float,
    told: tuple[float, float],
    other: tuple[float, float],
) -> None:
    tries, total = sums(cells, None)
    grown, failed = sums(cells, 0.0)
    _, worked = sums(cells, 1.0)
    n = np.array([tries, *[other[0]] * 3])
    s = np.array([total, *[other[0] * other[1]] * 3])
    records = rank.Records(
        n, s, np.array([told[0], 0, 0, 0]), np.array([told[0] * told[1], 0, 0, 0]), np.zeros(4)
    )
    tried = n > 0
    whole = (
        int(tried.sum()), n.sum(), s.sum(), (n * n).sum(), (s[tried] ** 2 / n[tried]).sum()
    )  # fmt: skip
    learned = rank.Learned(weights, (0.3,) * 5, 1.0)
    here = nearby(near, seed)
    raw = rank.estimate(records, here.cells(None), rank.population(*whole), learned).raw[0] + further
    expected = float(np.clip(raw, *rank.BOUNDS))
    added = grown - tries, failed - total, worked - total
    low, high = missing.bounds(0, records, added, here, whole, learned, float(raw), expected)
    assert 0 < low <= expected <= high < 1
    if not added[0] and not here.missing.any():
        assert (low, high) == pytest.approx((expected, expected), abs=1e-9)


def test_bounds_are_the_estimates_with_the_missing_tries_in_the_record() -> None:
    """By hand: 10 effective tries with 6 worked, 10 more missing; all have 28 tries and 14 worked."""
    records = rank.Records(np.array([10.0]), np.array([6.0]), *np.zeros((3, 1)))
    plain = rank.Learned((1.0, 0.0, 0.0, 0.0, 0.0), (0.0,) * 5, 1.0)
    whole = (2, 28.0, 14.0, 10.0**2 + 18**2, 6**2 / 10 + 8**2 / 18)
    now = (6 + 15 * 0.5) / 25
    found = missing.bounds(
        0, records, (10.0, 0.0, 10.0), nearby([], 0), whole, plain, now, now
    )  # fmt: skip
    assert_allclose(found, [(6 + 15 * 15 / 40) / 35, (16 + 15 * 25 / 40) / 35])


def answer(memory: Memory, name: str, as_of: Any = None) -> Any:
    return memory.predict("here", candidates=[name], as_of=as_of).answers[0]


def test_missing_outcomes_are_counted_and_bound_the_estimate(memory: Memory) -> None:
    memory.add_patterns([{"description": n, "pattern_id": n} for n in ("open", "known", "untried")])
    for name in ("open", "known"):
        memory.record_many(NewEvent(name, outcome=n % 2, context=f"case {n}") for n in range(12))
    memory.record_many(NewEvent("open", outcome=None, context=f"more {n}") for n in range(20))
    memory.record_many(NewEvent("open", state="unknown") for _ in range(8))
    memory.record_many(NewEvent("open", state="not_used") for _ in range(50))
    memory.record("known", outcome=None)
    found = answer(memory, "open")
    assert (found.resolved, found.missing, found.coverage) == (12, 28, 0.3)
    assert found.bounds[0] < found.expected - 0.1
    assert found.bounds[1] > found.expected + 0.1
    few = answer(memory, "known")
    assert (few.resolved, few.missing, few.bounds) == (12, 1, None)
    assert few.coverage == pytest.approx(12 / 13)
    none = answer(memory, "untried")
    assert (none.resolved, none.missing, none.coverage, none.bounds) == (0, 0, None, None)


def others(memory: Memory) -> None:
    """A second pattern that holds the mean of all at one half."""
    memory.add_pattern("other", pattern_id="other")
    memory.record_many(NewEvent("other", outcome=n % 2) for n in range(10_000))


def test_only_missing_outcomes_give_wide_bounds_around_the_prior(memory: Memory) -> None:
    others(memory)
    memory.add_pattern("retry", pattern_id="p")
    memory.record_many(NewEvent("p", outcome=None, context=f"case {n}") for n in range(30))
    found = answer(memory, "p")
    assert (found.expected, found.verdict, found.coverage) == (0.5, "no evidence", 0.0)
    # Half of 15 tries of the prior, and 30; profiles with own places thin tries that crowd.
    assert found.bounds == pytest.approx((7.5 / 45, 37.5 / 45), abs=0.07)
    assert sum(found.bounds) == pytest.approx(1.0, abs=1e-6)


def test_a_loop_of_open_tries_in_one_context_can_change_little(memory: Memory) -> None:
    others(memory)
    memory.add_pattern("retry", pattern_id="p")
    memory.record_many(NewEvent("p", outcome=None, context="the same again") for _ in range(1_000))
    low, high = answer(memory, "p").bounds
    assert 0.4 < low < 0.5 < high < 0.6


@pytest.mark.parametrize("context", [None, "here", "somewhere else"])
def test_bounds_hold_what_then_comes_true(open_memory: Open, store: Any, context: str | None) -> None:
    """All is estimated anew but how local the world is, which 14 cells do not tell."""
    for end, outcome in enumerate((0.0, 1.0)):
        memory = open_memory(store.with_name(f"store{outcome}"))
        memory.add_patterns([{"description": n, "pattern_id": n} for n in ("p", "q", "r")])
        memory.record_many(NewEvent("q", outcome=n % 2, context=f"here {n}") for n in range(6))
        memory.record_many(NewEvent("r", outcome=n % 3 / 2) for n in range(9))
        memory.record_many(NewEvent("p", outcome=n % 3 / 2, context=f"here {n}") for n in range(6))
        memory.record_many(
            NewEvent("p", outcome=None, context=context, event_id=f"e{n}") for n in range(8)
        )
        told = answer(memory, "p").bounds[end]
        for n in range(8):
            memory.resolve(f"e{n}", outcome=outcome)
        assert answer(memory, "p").expected == pytest.approx(told, abs=1e-6)


def test_bounds_as_of_a_time_are_those_of_then(open_memory: Open, clock: Any) -> None:
    memory = open_memory(clock=clock)
    memory.add_pattern("retry", pattern_id="p")
    memory.record_many(NewEvent("p", outcome=None, context=f"c{n}", event_id=f"e{n}") for n in range(9))
    then, told = clock.now, answer(memory, "p")
    clock.advance(days=1)
    for n in range(9):
        memory.resolve(f"e{n}", outcome=1.0)
    assert answer(memory, "p").bounds is None
    again = answer(memory, "p", as_of=then)
    assert (again.missing, again.coverage, again.resolved) == (told.missing, 0.0, 0)
    assert again.bounds == pytest.approx(told.bounds)


def test_bounds_are_kept_in_the_receipt(open_memory: Open) -> None:
    memory = open_memory()
    memory.add_pattern("retry", pattern_id="p")
    memory.record_many(NewEvent("p", outcome=None, context=f"c{n}") for n in range(9))
    made = memory.predict("here")
    assert made.answers[0].bounds is not None
    memory.close()
    assert open_memory().why(made.prediction_id).prediction.answers == made.answers


def test_what_would_be_added_is_what_the_cells_say(memory: Memory) -> None:
    memory.add_pattern("retry", pattern_id="p")
    memory.record_many(NewEvent("p", outcome=0.5, context="here") for _ in range(2))
    memory.record_many(NewEvent("p", outcome=None, context="here") for _ in range(3))
    memory.record("p", outcome=None)
    memory.record("p", outcome=None, context="there")
    context = memory.events("p")[-1].context_id
    assert context is not None
    (added,) = outcomes.added(memory._keeper.evidence(), [0], [context], None).values()
    cells = [(2, 3, 0.5), (0, 1, 0.0)]
    tries, total = sums(cells, None)
    _, failed = sums(cells, 0.0)
    grown, worked = sums(cells, 1.0)
    assert added[:3] == pytest.approx((grown - tries + 1, failed - total, worked - total + 1))
    (hole,) = added.holes
    assert hole.context_id == context
    assert hole[1:] == pytest.approx((worth(2), 0.5 * worth(2), worth(5) - worth(2)))
