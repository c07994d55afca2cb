"""Estimates of other policies: equal to plain formulas and to obp's, true where the truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from benchmarks.decisions.against_obp import ours
from benchmarks.decisions.bandit import ARMS, decisions, log, policies, value
from scipy.stats import t as student

from whatworks import Evaluation
from whatworks.errors import InvalidInputError
from whatworks.evaluation import (
    Counts,
    Decision,
    Policy,
    Weighed,
    before_the_draw,
    dr,
    estimate,
    evaluate,
    ips,
    policy_of,
    snips,
    t_quantile,
    weigh,
)

OBP: list[dict[str, Any]] = orjson.loads((Path(__file__).parent / "obp.json").read_bytes())["rows"]
NONE_LEFT_OUT = Counts(600, 0, 0)


def by_kind(name: str) -> Policy:
    table = policies()[name].tolist()
    return lambda receipt: dict(zip(ARMS, table[receipt["kind"]], strict=True))


def judged(seed: int, name: str, **options: Any) -> Evaluation:
    each = [weigh(decision, by_kind(name)) for decision in decisions(log(seed, **options))]
    return evaluate(name, each, NONE_LEFT_OUT)


def even(n: int, **changes: Any) -> list[Weighed]:
    """Decisions that all count alike, every second one a success."""
    return [
        Weighed(1.0, float(i % 2), 0.5, 0.5, 1.0, 0.0, f"context {i}")._replace(**changes)
        for i in range(n)
    ]


# -- estimates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", OBP, ids=lambda row: f"{row['policy']} {row['seed']}")
def test_estimates_are_those_of_obp(row: dict[str, Any]) -> None:
    found = ours(log(row["seed"]), policies()[row["policy"]])
    for kind in ("ips", "snips", "dr"):
        assert found[kind] == pytest.approx(row[kind], abs=1e-9)


def test_estimates_are_the_formulas_added_up_by_hand() -> None:
    weight, outcome = np.array([2.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.5])
    said, direct = np.array([0.6, 0.2, 0.4]), np.array([0.5, 0.3, 0.1])
    assert ips(weight, outcome)[0] == pytest.approx((2 * 1 + 0 + 0.5) / 3)
    assert snips(weight, outcome)[0] == pytest.approx((2 * 1 + 0 + 0.5) / 3)
    assert dr(weight, outcome, said, direct)[0] == pytest.approx(
        (0.5 + 2 * (1 - 0.6) + 0.3 + 0.1 + 1 * (0.5 - 0.4)) / 3
    )
    for _, influence in (
        ips(weight, outcome),
        snips(weight, outcome),
        dr(weight, outcome, said, direct),
    ):
        assert influence.mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("freedom", [7, 9, 29, 100, 1e6])
def test_the_quantile_is_that_of_student(freedom: float) -> None:
    assert t_quantile(freedom) == pytest.approx(student.ppf(0.975, freedom), abs=1e-3)


def test_repeats_in_one_context_make_the_interval_no_narrower() -> None:
    influence = np.tile([0.5, -0.5], 50)
    alone = estimate(0.5, influence, np.arange(100), 100.0)
    repeated = estimate(0.5, np.repeat(influence, 4), np.repeat(np.arange(100), 4), 400.0)
    assert (alone.low, alone.high) == pytest.approx((repeated.low, repeated.high))


@cache
def simulated(name: str, repeats: int) -> list[Evaluation]:
    return [
        judged(seed, name, contexts=480 // repeats, repeats=repeats, explore=0.5) for seed in range(200)
    ]


@pytest.mark.parametrize(("name", "repeats"), [("best by kind", 1), ("uniform", 4)])
@pytest.mark.parametrize("kind", ["ips", "snips", "dr"])
def test_95_percent_intervals_hold_the_truth_in_95_of_100_logs(
    name: str, repeats: int, kind: str
) -> None:
    """200 logs: the share of a true 95 % has a standard deviation of 1.5 %; 3 of them are allowed."""
    found = [getattr(made, kind) for made in simulated(name, repeats)]
    truth = value(policies()[name])
    share = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.905 <= share <= 0.995
    error = np.mean([each.value for each in found]) - truth
    assert abs(error) < 4 * np.std([each.value for each in found]) / 200**0.5  # no bias


def test_the_difference_to_what_was_done_is_known_better_than_either() -> None:
    found = judged(1, "half best")
    assert found.difference and found.dr and found.logged
    assert found.difference.value == pytest.approx(found.dr.value - found.logged.value)
    assert found.difference.high - found.difference.low < found.dr.high - found.dr.low


def test_the_policy_that_was_followed_is_worth_the_mean_outcome() -> None:
    found = evaluate("greedy", even(100), NONE_LEFT_OUT)
    assert found.status == "estimated" and found.effective_size == pytest.approx(100)
    for each in (found.logged, found.ips, found.snips, found.dr):
        assert each and each.value == pytest.approx(0.5) and each.low < 0.41 and each.high > 0.59
    assert found.difference and found.difference.value == found.difference.low == 0


# -- refusals -------------------------------------------------------------------------------------


def refused(found: Evaluation) -> str:
    assert found.status == "refused" and found.reason and "\n" not in found.reason
    numbers = (found.logged, found.ips, found.snips, found.dr, found.difference)
    assert all(number is None for number in numbers)
    return found.reason


def test_nothing_to_judge_by_is_refused() -> None:
    found = evaluate("greedy", [], Counts(3, 0, 2))
    assert "prediction_id" in refused(found)
    assert (found.predictions, found.unresolved, found.support) == (3, 2, None)


def test_a_policy_without_overlap_is_refused() -> None:
    made = log(1, explore=0.0)  # deterministic
    each = [weigh(decision, by_kind("always b")) for decision in decisions(made)]
    found = evaluate("always b", each, NONE_LEFT_OUT)
    assert "no overlap" in refused(found)
    assert found.support is not None and found.support < 0.5


def test_a_few_heavy_weights_are_refused() -> None:
    found = evaluate("x", [*even(3, weight=200.0), *even(997, weight=0.4)], NONE_LEFT_OUT)
    assert "too little data" in refused(found)
    assert found.effective_size is not None and found.effective_size < 30
    assert found.largest_weight == 200


def test_many_overridden_decisions_are_refused_and_few_are_not() -> None:
    assert "another pattern" in refused(evaluate("x", even(100), Counts(200, 12, 0)))
    assert evaluate("x", even(100), Counts(200, 11, 0)).status == "estimated"


def test_decisions_that_went_missing_by_what_was_placed_first_are_refused() -> None:
    made = decisions(log(1, contexts=1_000, repeats=1))
    seen = [d for d in made if d.receipt["answers"][0]["pattern_id"] != "a" or d.outcome]
    assert len(seen) < len(made)
    each = [weigh(decision, policy_of("fixed:a")) for decision in seen]
    assert "should be 1.00 on average" in refused(evaluate("x", each, NONE_LEFT_OUT))


# -- policies -------------------------------------------------------------------------------------

ANSWERS = [
    {"pattern_id": "drawn", "place": 2, "expected": 0.5, "low": 0.1, "parts": [0.2, 0.4, 0.1],
     "propensity": 0.1},
    {"pattern_id": "best", "place": 0, "expected": 0.7, "low": 0.3, "parts": [0.2, 0.2, 0.0],
     "propensity": 0.7},
]  # fmt: skip
HIDDEN = {"pattern_id": "safe", "place": 1, "expected": 0.6, "low": 0.4, "parts": [0.1, 0.1, 0.0],
          "propensity": 0.2}  # fmt: skip
RECEIPT = {
    "prediction_id": "p", "context": "c", "mu": 0.4, "answers": ANSWERS, "unshown": [HIDDEN],
    "explored": True, "masked": "safe", "seed": 5, "draw": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "chosen"),
    [("greedy", "best"), ("best-record", "drawn"), ("cautious", "safe"), ("fixed:other", "other")],
)
def test_a_named_policy_goes_by_what_the_receipt_names(name: str, chosen: str) -> None:
    assert policy_of(name)(before_the_draw(RECEIPT)) == {chosen: 1.0}


def test_the_uniform_policy_takes_all_that_the_receipt_names() -> None:
    found = policy_of("uniform")(before_the_draw(RECEIPT))
    assert found == pytest.approx({"drawn": 1 / 3, "best": 1 / 3, "safe": 1 / 3})


def test_a_policy_does_not_see_what_was_drawn() -> None:
    seen = before_the_draw(RECEIPT)
    assert [answer["pattern_id"] for answer in seen["answers"]] == ["best", "safe", "drawn"]
    assert not {"explored", "masked", "seed", "draw", "unshown"} & set(seen)


def test_a_decision_is_weighed_by_one_over_the_propensity_of_the_first_answer() -> None:
    shares = {"drawn": 0.25, "best": 0.25, "safe": 0.25, "unknown": 0.25}
    found = weigh(Decision(RECEIPT, 1.0), lambda receipt: shares)
    assert found.weight == pytest.approx(2.5)
    assert (found.outcome, found.said, found.context) == (1.0, 0.5, "c")
    assert found.direct == pytest.approx((0.5 + 0.7 + 0.6 + 0.4) / 4)
    assert found.support == pytest.approx(0.75)
    assert found.variance == pytest.approx(0.25**2 * (1 / 0.1 + 1 / 0.7 + 1 / 0.2) - 0.75**2)


def test_older_receipts_placed_the_best_first_always() -> None:
    old = {
        "prediction_id": "p", "context": "c", "mu": 0.4,
        "answers": [{"pattern_id": "a", "expected": 0.7}, {"pattern_id": "b", "expected": 0.6}],
    }  # fmt: skip
    assert weigh(Decision(old, 1.0), policy_of("greedy"))[:2] == (1.0, 1.0)
    other = weigh(Decision(old, 1.0), policy_of("fixed:b"))
    assert (other.weight, other.support) == (0.0, 0.0)


@pytest.mark.parametrize(
    "found",
    [
        {"best": 0.5}, {"best": 2.0, "drawn": -1.0}, {"best": float("nan")}, {}, None, ["best"],
        {"best": "1"}, {"best": None},
    ],
)  # fmt: skip
def test_a_policy_that_gives_no_probabilities_is_refused(found: Any) -> None:
    def policy(receipt: Mapping[str, Any]) -> Mapping[str, float]:
        return found  # type: ignore[no-any-return]

    with pytest.raises(InvalidInputError, match="add up to 1"):
        weigh(Decision(RECEIPT, 1.0), policy)


def test_an_unknown_policy_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match="greedy, best-record"):
        policy_of("boldest")
