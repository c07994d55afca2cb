"""The first place is drawn as the receipt says, from what is plausible, and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import beta

from whatworks import choosing
from whatworks.checks import Chance
from whatworks.choosing import chance_of_best, choose, first_places, placed, plausible

NEVER = Chance(0.0, 0.0, "normal", None)


def entry(name: str, expected: float, half: float, verdict: str = "worth trying") -> dict[str, Any]:
    return {
        "pattern_id": name,
        "expected": expected,
        "low": max(expected - half, 0.0),
        "high": min(expected + half, 1.0),
        "n_effective": 5.0,
        "verdict": verdict,
    }


ENTRIES = [
    entry("best", 0.7, 0.2),
    entry("near", 0.6, 0.2),
    entry("new", 0.5, 0.4, "no evidence"),
    entry("bad", 0.45, 0.3, "not recommended"),
    entry("poor", 0.2, 0.1, "worth trying"),
]


@pytest.mark.parametrize(
    ("mean", "spread"),
    [
        ([0.7, 0.6, 0.5], [0.1, 0.2, 0.3]),
        ([0.9, 0.5, 0.5, 0.5, 0.3], [0.05, 0.45, 0.3, 0.2, 0.1]),
        ([0.01, 0.02], [0.005, 0.01]),
        ([0.6, 0.595], [0.02, 0.02]),
    ],
)
def test_the_chance_of_being_the_best_is_the_integral(mean: list[float], spread: list[float]) -> None:
    found = chance_of_best(np.array(mean), np.array(spread))
    dist = []
    for m, s in zip(mean, spread, strict=True):
        size = m * (1 - m) / s**2 - 1
        dist.append(beta(m * size, (1 - m) * size))
    for n, own in enumerate(dist):
        others = [each for k, each in enumerate(dist) if k != n]

        def integrand(u: float, own: Any = own, others: Any = others) -> float:
            return float(np.prod([each.cdf(own.ppf(u)) for each in others]))

        expected = quad(integrand, 0, 1, limit=200)[0]
        assert found[n] == pytest.approx(expected, abs=2e-3)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 0.99), st.floats(0, 1e9)),
        min_size=1,
        max_size=5,
    )
)
def test_chances_of_being_the_best_add_up_whatever_is_given(given_: list[tuple[float, float]]) -> None:
    mean, spread = np.array(given_).T
    found = chance_of_best(mean, spread)
    assert np.isfinite(found).all() and (found >= 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert_allclose(chance_of_best(mean[::-1], spread[::-1])[::-1], found, atol=1e-9)


def test_only_what_may_be_as_good_is_plausible_and_five_at_most() -> None:
    low, high = np.full(9, 0.4), np.full(9, 0.8)
    high[1] = 0.39
    against = np.zeros(9, bool)
    against[2] = True
    assert plausible(low, high, against).tolist() == [0, 3, 4, 5, 6]
    assert plausible(low, high, np.ones(9, bool)).tolist() == []
    assert plausible(low[:0], high[:0], against[:0]).tolist() == []


def test_without_exploring_the_best_stands_first_always() -> None:
    told = placed(ENTRIES, 3, NEVER)
    assert [(a["pattern_id"], a["propensity"]) for a in told["answers"]] == [
        ("best", 1.0), ("near", 0.0), ("new", 0.0),
    ]  # fmt: skip
    assert told["unshown"] == [] and not told["explored"] and told["masked"] is None
    assert (told["explore"], told["mask"], told["seed"]) == (0.0, 0.0, None)


def test_exploring_keeps_the_best_first_as_often_as_was_said_and_leaves_out_the_hopeless() -> None:
    told = placed(ENTRIES, 5, Chance(0.2, 0.0, "normal", 1))
    by_name = {a["pattern_id"]: a["propensity"] for a in told["answers"]}
    assert by_name["best"] >= 0.8
    assert by_name["bad"] == by_name["poor"] == 0
    assert min(by_name["near"], by_name["new"]) >= 0.2 * choosing.FLOOR
    assert sum(by_name.values()) == pytest.approx(1, abs=1e-12)


def test_where_everything_is_advised_against_the_best_of_it_stands_first() -> None:
    against = [entry("a", 0.3, 0.1, "not recommended"), entry("b", 0.2, 0.1, "not recommended")]
    told = placed(against, 5, Chance(0.5, 0.5, "normal", 3))
    assert [a["propensity"] for a in told["answers"]] == [1.0, 0.0]


def test_nothing_to_choose_from_is_no_error() -> None:
    told = placed([], 5, Chance(0.5, 0.5, "normal", 3))
    assert told["answers"] == told["unshown"] == told["draw"] == []


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_what_is_shown_first_is_as_frequent_as_its_propensity(limit: int) -> None:
    """4 standard deviations of a binomial share of 20,000 draws: below 0.015."""
    chances = np.array([0.6, 0.25, 0.0, 0.15])
    shows = np.array([True, False, True, True])
    draws = 20_000
    made = [choose(chances, shows, limit=limit, mask=0.4, seed=n) for n in range(draws)]
    first = Counter(choice.shown[0] for choice in made)
    said = made[0].propensity
    assert said.sum() == pytest.approx(1, abs=1e-12)
    for n, share in enumerate(said):
        assert first[n] / draws == pytest.approx(share, abs=0.015)
        if share == 0:
            assert first[n] == 0


def test_each_answer_worth_showing_is_withheld_as_often_as_was_said() -> None:
    chances, shows = np.array([1.0, 0.0, 0.0]), np.array([True, True, False])
    made = [choose(chances, shows, limit=3, mask=0.3, seed=n) for n in range(20_000)]
    withheld = Counter(choice.masked for choice in made)
    assert made[0].mask_propensity == pytest.approx(0.15)
    assert withheld[0] / 20_000 == pytest.approx(0.15, abs=0.011)
    assert withheld[1] / 20_000 == pytest.approx(0.15, abs=0.011)
    assert 2 not in withheld
    assert all(choice.masked not in choice.shown for choice in made)


def test_withholding_never_leaves_nothing() -> None:
    for seed in range(100):
        choice = choose(np.array([1.0]), np.array([True]), limit=9, mask=0.5, seed=seed)
        assert (choice.shown, choice.masked, choice.mask_propensity) == ((0,), None, 0.0)


def test_the_rest_stays_in_its_order() -> None:
    chances, shows = np.array([0.5, 0.0, 0.0, 0.5]), np.zeros(4, bool)
    orders = {choose(chances, shows, limit=3, mask=0, seed=n).shown for n in range(50)}
    assert orders == {(0, 1, 2), (3, 0, 1)}


def test_what_a_receipt_names_does_not_depend_on_the_draw() -> None:
    chance = Chance(0.5, 0.5, "normal", 0)
    for limit in (1, 2, 3):
        tolds = [placed(ENTRIES, limit, chance._replace(seed=n)) for n in range(60)]
        named = {
            tuple(sorted((a["place"], a["propensity"]) for a in told["answers"] + told["unshown"]))
            for told in tolds
        }
        assert len(named) == 1
        assert sum(share for _, share in named.pop()) == pytest.approx(1, abs=1e-12)
        assert len({tuple(a["pattern_id"] for a in told["answers"]) for told in tolds}) > 1


def test_a_seed_that_nobody_gave_is_made_and_kept() -> None:
    chance = Chance(0.5, 0.0, "normal", None)
    told = placed(ENTRIES, 3, chance)
    assert told["seed"] is not None
    assert placed(ENTRIES, 3, chance._replace(seed=told["seed"])) == told
    assert placed(ENTRIES, 3, chance)["seed"] != told["seed"]


def test_no_weight_can_be_above_the_bound_of_the_floor() -> None:
    sure = [entry("best", 0.9, 0.5), *(entry(f"p{n}", 0.4, 0.3) for n in range(6))]
    told = placed([{**each, "n_effective": 1e6} for each in sure], 9, Chance(0.1, 0.0, "normal", 0))
    drawn = [a["propensity"] for a in told["answers"] if a["propensity"]]
    assert len(drawn) == choosing.PLAUSIBLE
    assert 1 / min(drawn) == pytest.approx(200)


def test_first_places_of_nothing_are_none() -> None:
    none = np.empty(0)
    assert first_places(none, none, none, none, none.astype(bool), 0.5).tolist() == []
