"""Lift is what showing changes: a bystander has none, however good its company."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whatworks import Lift
from whatworks.lifts import Showing, lift, showings

WITH_GOOD, WITHOUT_GOOD = 0.9, 0.2


def answer(name: str, verdict: str = "recommended") -> dict[str, Any]:
    return {"pattern_id": name, "verdict": verdict}


def receipt(answers: list[dict[str, Any]], masked: str | None, each: float) -> dict[str, Any]:
    return {"context": "c", "answers": answers, "masked": masked, "mask_propensity": each}


def episodes(seed: int, n: int, mask: float) -> list[tuple[dict[str, Any], float]]:
    """Half of the situations have a good pattern and, always beside it, a bystander."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        if rng.random() < 0.5:
            lost = rng.choice(["good", "bystander"]) if rng.random() < mask else None
            shown = [answer(name) for name in ("good", "bystander") if name != lost]
            works = WITHOUT_GOOD if lost == "good" else WITH_GOOD
            made = receipt([*shown, answer("last", "not recommended")], lost, mask / 2)
        else:
            works, made = WITHOUT_GOOD, receipt([answer("last", "not recommended")], None, 0.0)
        found.append((made, float(rng.random() < works)))
    return found


def measured(name: str, seen: list[tuple[dict[str, Any], float]]) -> Lift:
    every = [each for made, outcome in seen for each in showings(made, outcome)]
    return lift(name, None, [each for each in every if each.pattern_id == name])


def naive(name: str, seen: list[tuple[dict[str, Any], float]]) -> float:
    """Mean outcome where it was shown minus where it was not: association, not lift."""
    shown = [name in [a["pattern_id"] for a in made["answers"]] for made, _ in seen]
    outcome = np.array([outcome for _, outcome in seen])
    return float(outcome[np.array(shown)].mean() - outcome[~np.array(shown)].mean())


def test_a_bystander_converges_to_no_lift_though_it_is_seen_where_things_go_well() -> None:
    seen = episodes(1, 40_000, 0.1)
    bystander, good = measured("bystander", seen), measured("good", seen)
    assert naive("bystander", seen) > 0.5  # the null control: association credits it
    assert bystander.verdict == "no difference" and bystander.lift
    assert abs(bystander.lift.value) < 0.03  # 3 standard errors at 1,000 withheld
    assert bystander.lift.low < 0 < bystander.lift.high
    assert good.verdict == "helps" and good.lift
    assert good.lift.value == pytest.approx(WITH_GOOD - WITHOUT_GOOD, abs=0.04)


def test_withholding_the_other_one_is_not_held_against_a_bystander() -> None:
    """At mask 0.5 counting the predictions without the good one as shown would give -0.23."""
    bystander = measured("bystander", episodes(2, 40_000, 0.5))
    assert bystander.lift and abs(bystander.lift.value) < 0.02


@pytest.mark.parametrize("name", ["good", "bystander"])
def test_95_percent_intervals_hold_the_lift_in_95_of_100_stores(name: str) -> None:
    """200 stores of some 15 withheld; 3 standard deviations of 1.5 % are allowed, and more is safe."""
    truth = {"good": WITH_GOOD - WITHOUT_GOOD, "bystander": 0.0}[name]
    found = [measured(name, episodes(seed, 300, 0.2)).lift for seed in range(200)]
    held = [each.low <= truth <= each.high for each in found if each]
    assert len(held) == 200
    assert np.mean(held) >= 0.905


def test_sides_are_weighed_by_one_over_the_probability_of_what_happened() -> None:
    found = lift(
        "p",
        None,
        [
            Showing("p", "c", True, 0.1, 1.0),
            Showing("p", "c", True, 0.4, 0.0),
            Showing("p", "c", False, 0.5, 1.0),
            Showing("p", "c", False, 1.0, 0.0),
            Showing("p", "c", False, 1.0, None),
        ],
    )
    assert found.withheld_mean == pytest.approx(10 / 12.5)
    assert found.shown_mean == pytest.approx(2 / 3)
    assert (found.shown, found.withheld, found.unresolved) == (2, 2, 1)


def test_what_a_receipt_shows_is_only_what_it_could_have_withheld() -> None:
    answers = [answer("a"), answer("b", "worth trying"), answer("c", "no evidence")]
    assert showings(receipt(answers, None, 0.1), 1.0) == [
        Showing("a", "c", False, 0.8, 1.0), Showing("b", "c", False, 0.8, 1.0),
    ]  # fmt: skip
    assert showings(receipt(answers, "z", 0.1), None) == [Showing("z", "c", True, 0.1, None)]


@pytest.mark.parametrize("sides", [(0, 0), (0, 50), (50, 0), (9, 500), (500, 9)])
def test_too_little_data_says_how_much_is_missing(sides: tuple[int, int]) -> None:
    withheld, shown = sides
    seen = [Showing("p", "c", True, 0.05, 0.0)] * withheld
    seen += [Showing("p", "c", False, 0.95, 1.0)] * shown
    found = lift("p", None, seen)
    assert found.verdict == "too little data" and found.needed > 0
    assert (found.lift is None) == (0 in sides)


def test_what_is_needed_is_about_what_a_verdict_takes() -> None:
    def seen(withheld: int) -> list[Showing]:
        made = [Showing("p", "c", True, 0.05, float(n % 2)) for n in range(withheld)]
        return made + [Showing("p", "c", False, 0.95, float(n % 2)) for n in range(withheld * 19)]

    found = lift("p", None, seen(20))
    assert found.verdict == "too little data" and 60 < found.needed < 120
    assert lift("p", None, seen(20 + found.needed)).verdict == "no difference"
    assert lift("p", None, seen(20 + found.needed // 2)).verdict == "too little data"


def test_one_sided_outcomes_still_have_an_interval() -> None:
    seen = [Showing("p", "c", False, 0.9, 1.0)] * 100 + [Showing("p", "c", True, 0.1, 1.0)] * 12
    found = lift("p", None, seen)
    assert found.lift and found.lift.value == 0
    assert found.lift.low < -0.005 and found.lift.high > 0.1
    hurt = lift("p", None, [each._replace(outcome=float(each.withheld)) for each in seen])
    assert hurt.verdict == "hurts" and hurt.lift and hurt.lift.low >= -1
