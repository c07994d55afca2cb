"""Exploring, withholding and judging through ``Memory``, on a real store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import orjson
import pytest

from whatworks import InvalidInputError, Memory, NewEvent, NotFoundError, Prediction
from whatworks.evidence import questions

Open = Callable[..., Memory]
CHANCES = {"good": 0.9, "fair": 0.6, "poor": 0.3}


@pytest.fixture
def taught(memory: Memory) -> Memory:
    """A store that has tried three patterns twenty times each."""
    for name in CHANCES:
        memory.add_pattern(f"pattern {name}", pattern_id=name)
    memory.record_many(
        NewEvent(name, outcome=float(n < 20 * chance), context=f"earlier {n} of {name}")
        for name, chance in CHANCES.items()
        for n in range(20)
    )
    return memory


def receipt_of(memory: Memory, made: Prediction) -> dict[str, Any]:
    found = questions.receipt(memory._keeper.evidence(receipts=True), made.prediction_id)
    assert found is not None
    return dict(found)


def lived_through(memory: Memory, n: int, **options: Any) -> None:
    """``n`` predictions whose first answer is tried, in a context of its own each."""
    chance = Random(0)
    tries = []
    for seed in range(n):
        context = f"situation number {seed}"
        made = memory.predict(context, seed=seed, **options)
        first = made.answers[0].pattern_id
        outcome = float(chance.random() < CHANCES[first])
        tries.append(
            NewEvent(first, outcome=outcome, context=context, prediction_id=made.prediction_id)
        )
    memory.record_many(tries)


# -- predict --------------------------------------------------------------------------------------


def test_nothing_is_left_to_chance_unless_asked_for(taught: Memory) -> None:
    made = taught.predict("now")
    assert [answer.propensity for answer in made.answers] == [1.0, 0.0, 0.0]
    assert (made.explore, made.risk, made.explored) == (0.0, "normal", False)
    assert (made.answers, made.default) == (taught.predict("now").answers, made.default)


def test_exploring_draws_the_first_answer_and_says_how_likely_that_was(taught: Memory) -> None:
    made = [taught.predict("now", explore=0.5, seed=seed) for seed in range(100)]
    said = {a.pattern_id: a.propensity for a in made[0].answers}
    assert sum(said.values()) == pytest.approx(1) and said["good"] >= 0.5
    first = Counter(each.answers[0].pattern_id for each in made)
    # 4 standard deviations of a share of 100 draws
    assert first["good"] / 100 == pytest.approx(said["good"], abs=0.2)
    assert first["fair"] > 0
    for each in made:
        assert {a.pattern_id: a.propensity for a in each.answers} == said
        assert each.explored == (each.answers[0].pattern_id != "good")
        rest = [a.expected for a in each.answers[1:]]
        assert rest == sorted(rest, reverse=True)


def test_the_pattern_drawn_is_shown_even_where_the_limit_is_one(taught: Memory) -> None:
    made = [taught.predict("now", explore=0.5, limit=1, seed=seed) for seed in range(40)]
    assert {len(each.answers) for each in made} == {1}
    assert {"good", "fair"} <= {each.answers[0].pattern_id for each in made}
    receipt = receipt_of(taught, made[0])
    named = receipt["answers"] + receipt["unshown"]
    assert sum(answer["propensity"] for answer in named) == pytest.approx(1)


def test_a_receipt_repeats_its_draws(taught: Memory) -> None:
    made = taught.predict("now", explore=0.4, mask=0.4)
    seed = receipt_of(taught, made)["seed"]
    again = taught.predict("now", explore=0.4, mask=0.4, seed=seed)
    assert again.answers == made.answers and again.explored == made.explored
    told, first = receipt_of(taught, again), receipt_of(taught, made)
    assert (told["masked"], told["draw"]) == (first["masked"], first["draw"])
    assert taught.why(made.prediction_id).prediction == made


def test_high_risk_leaves_nothing_to_chance(taught: Memory) -> None:
    for seed in range(30):
        made = taught.predict("now", explore=0.5, mask=0.5, risk="high", seed=seed)
        assert [a.pattern_id for a in made.answers] == ["good", "fair", "poor"]
        assert [a.propensity for a in made.answers] == [1.0, 0.0, 0.0]
        told = receipt_of(taught, made)
        assert (made.explore, told["mask"], told["risk"], told["masked"]) == (0.0, 0.0, "high", None)


def test_a_masked_answer_is_in_the_receipt_and_not_shown(taught: Memory) -> None:
    made = [taught.predict("now", mask=0.5, seed=seed) for seed in range(40)]
    told = [receipt_of(taught, each) for each in made]
    masked = Counter(each["masked"] for each in told)
    assert masked[None] > 8 and masked["good"] > 2 and "poor" not in masked
    for each, receipt in zip(made, told, strict=True):
        names = {a.pattern_id for a in each.answers}
        assert receipt["masked"] not in names and len(names) == 3 - (receipt["masked"] is not None)
        assert len(taught.why(each.prediction_id).explanations) == len(names)
        assert sum(a["propensity"] for a in receipt["answers"] + receipt["unshown"]) == pytest.approx(1)


@pytest.mark.parametrize(
    "options",
    [
        {"explore": 0.51}, {"explore": -0.1}, {"explore": float("nan")}, {"explore": True},
        {"explore": "0.1"}, {"explore": None}, {"explore": 10**400}, {"mask": 0.6}, {"mask": []},
        {"risk": "none"}, {"risk": None}, {"risk": []}, {"seed": -1}, {"seed": 1.5}, {"seed": 2**64},
        {"risk": "high", "explore": 2},
    ],
)  # fmt: skip
def test_what_cannot_be_left_to_chance_is_refused(taught: Memory, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="expected"):
        taught.predict("now", **options)
    assert taught.stats().predictions == 0


def test_an_empty_store_explores_nothing(memory: Memory) -> None:
    made = memory.predict("now", explore=0.5, mask=0.5)
    assert made.answers == () and not made.explored
    assert memory.why(made.prediction_id).explanations == ()
    assert memory.lift() == []
    assert memory.evaluate("uniform").status == "refused"


# -- evaluate -------------------------------------------------------------------------------------


def test_other_policies_are_judged_by_what_was_explored(memory: Memory) -> None:
    for name in ("good", "fair"):
        memory.add_pattern(f"pattern {name}", pattern_id=name)
    lived_through(memory, 150, explore=0.5)
    greedy, other = memory.evaluate("fixed:good"), memory.evaluate("fixed:fair")
    for found, name in ((greedy, "good"), (other, "fair")):
        assert (found.status, found.decisions, found.contexts) == ("estimated", 150, 150)
        assert found.dr and found.dr.low < CHANCES[name] < found.dr.high
    assert greedy.difference and other.difference
    assert greedy.difference.low > 0 > other.difference.high
    assert memory.evaluate("uniform").support == pytest.approx(1)
    always = memory.evaluate(lambda receipt: {receipt["answers"][0]["pattern_id"]: 1.0})
    assert always.dr == memory.evaluate("greedy").dr and always.policy == "<lambda>"


def test_a_store_that_never_explored_can_judge_only_what_it_did(taught: Memory) -> None:
    lived_through(taught, 40)
    same, other = taught.evaluate("greedy"), taught.evaluate("fixed:poor")
    assert same.status == "estimated" and same.effective_size == pytest.approx(40)
    assert other.status == "refused" and other.reason and "no overlap" in other.reason
    assert other.dr is None and other.support == 0
    none = taught.evaluate("greedy", exploring=True)
    assert (none.status, none.decisions) == ("refused", 0)


def test_what_callers_tried_instead_is_counted_and_then_refused(taught: Memory) -> None:
    tries = []
    for n in range(60):
        made = taught.predict(f"situation {n}")
        name = made.answers[1 if n % 3 == 0 else 0].pattern_id
        tries.append(NewEvent(name, outcome=float(n % 2), prediction_id=made.prediction_id))
    taught.record_many(tries)
    found = taught.evaluate("greedy")
    assert (found.status, found.decisions, found.overridden) == ("refused", 40, 20)
    assert found.reason and "20 of 60" in found.reason
    kept = taught.evaluate("greedy", as_placed=True)
    assert (kept.status, kept.decisions, kept.overridden) == ("estimated", 60, 0)
    assert kept.dr and kept.dr.value == pytest.approx(0.5)


def test_the_first_try_decides_and_its_known_outcomes_count(taught: Memory, clock: Any) -> None:
    made = taught.predict("now")
    first, second = (answer.pattern_id for answer in made.answers[:2])

    def tried(name: str, after: int, **fields: Any) -> None:
        taught.record(
            name,
            timestamp=clock.now + timedelta(minutes=after),
            prediction_id=made.prediction_id,
            **fields,
        )

    tried(second, 9, outcome=1.0)
    tried(second, 1, outcome=None, state="not_used")
    tried(first, 2, outcome=None, event_id="open")
    found = taught.evaluate("greedy")
    assert (found.decisions, found.overridden, found.unresolved) == (0, 0, 1)
    taught.resolve("open", outcome=0.25)
    tried(first, 3, outcome=0.75)
    found = taught.evaluate("greedy")
    assert (found.decisions, found.overridden, found.unresolved) == (1, 0, 0)
    assert found.reason and "too little data: the 1 decisions are worth 1.0" in found.reason


def test_tries_that_name_no_prediction_of_the_store_are_none_of_its_decisions(taught: Memory) -> None:
    taught.record("good", outcome=1.0, prediction_id="from elsewhere")
    assert taught.evaluate("greedy").decisions == 0


def test_policies_that_do_not_exist_are_refused(taught: Memory) -> None:
    with pytest.raises(InvalidInputError, match="expected one of"):
        taught.evaluate("boldest")
    with pytest.raises(NotFoundError):
        taught.evaluate("fixed:nobody")
    with pytest.raises(InvalidInputError):
        taught.evaluate("fixed:")
    with pytest.raises(InvalidInputError):
        taught.evaluate(5)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        taught.lift("nobody")


def test_receipts_of_before_there_was_exploring_are_judged_as_they_were(taught: Memory) -> None:
    made = taught.predict("now")
    receipt = receipt_of(taught, made) | {"prediction_id": "old", "context": "old"}
    for key in ("explore", "risk", "mask", "seed", "unshown", "explored", "masked",
                "mask_propensity", "draw"):  # fmt: skip
        del receipt[key]
    for answer in receipt["answers"]:
        del answer["place"], answer["propensity"]
    keeper = taught._keeper
    keeper.note_down("prediction.made", orjson.loads(orjson.dumps(receipt)), keeper.holds)
    taught.record("good", outcome=1.0, prediction_id="old")
    found = taught.evaluate("greedy")
    assert (found.decisions, found.support, found.mean_weight) == (1, 1.0, 1.0)
    assert taught.lift() == []
    old = taught.why("old").prediction
    assert [a.propensity for a in old.answers] == [1.0, 0.0, 0.0]
    assert (old.explore, old.risk, old.explored) == (0.0, "normal", False)


# -- lift -----------------------------------------------------------------------------------------


def test_lift_is_measured_from_what_was_withheld(taught: Memory) -> None:
    lived_through(taught, 120, mask=0.5)
    found = {each.pattern_id: each for each in taught.lift()}
    assert found["good"].lift and found["good"].withheld > 10
    assert found["good"].lift.low < CHANCES["good"] - CHANCES["fair"] < found["good"].lift.high
    assert found["poor"].lift and found["poor"].lift.low < 0 < found["poor"].lift.high
    assert taught.lift("good") == [found["good"]]
    taught.add_pattern("never shown", pattern_id="new")
    (none,) = taught.lift("new")
    assert (none.verdict, none.lift, none.shown, none.withheld) == ("too little data", None, 0, 0)
    assert none.needed > 0
    apart = taught.lift("good", by_context=True)
    assert len(apart) == found["good"].shown + found["good"].withheld
    assert {each.verdict for each in apart} == {"too little data"}


def test_thousands_of_receipts_at_once_are_taken_in(taught: Memory) -> None:
    receipt = receipt_of(taught, taught.predict("now"))
    # As large as those of ten answers with their evidence: 24 MB at once.
    receipt["cells"] = receipt["cells"] * -(-12_000 // len(orjson.dumps(receipt["cells"])))
    for n in range(2_000):
        keeper = taught._keeper
        keeper.note_down("prediction.made", receipt | {"prediction_id": f"copy {n}"}, keeper.holds)
    taught.record("good", outcome=1.0, prediction_id="copy 1999")
    found = taught.evaluate("greedy")
    assert (found.predictions, found.decisions) == (2_001, 1)
