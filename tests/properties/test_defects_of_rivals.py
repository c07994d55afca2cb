"""Defects found in other memories of outcomes, one test each; D10 is no defect of numbers.

Each test holds the rival's formula beside the memory's answer, as a null
control: the formula must show the defect, and the memory must not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import exp, sqrt
from statistics import mean, stdev
from typing import Any

import pytest

from whatworks import Answer, Memory, NewEvent, learning

Open = Callable[..., Memory]


@pytest.fixture
def memory(open_memory: Open) -> Memory:
    return open_memory(durability="process")


def tried(memory: Memory, runs: dict[str, Sequence[float]]) -> None:
    """Patterns by name with the outcomes of their tries, each in a context of its own."""
    memory.add_patterns([{"description": f"approach {n}", "pattern_id": n} for n in runs])
    memory.record_many(
        NewEvent(name, outcome=outcome, context=f"the build broke at step {n}")
        for name, outcomes in runs.items()
        for n, outcome in enumerate(outcomes)
    )


def asked(memory: Memory, question: str = "the build broke") -> dict[str, Answer]:
    return {answer.pattern_id: answer for answer in memory.predict(question).answers}


def rate(wins: int, tries: int) -> list[float]:
    """Outcomes with the wins spread evenly."""
    return [float((n * wins) // tries != ((n + 1) * wins) // tries) for n in range(tries)]


def wilson_lower(wins: float, tries: int, z: float = 1.96) -> float:
    """Wilson (1927)."""
    if not tries:
        return 0.0
    p = wins / tries
    middle, spread = p + z * z / (2 * tries), z * sqrt(p * (1 - p) / tries + z * z / (4 * tries**2))
    return (middle - spread) / (1 + z * z / tries)


def test_d1_outcomes_are_not_filtered_before_they_are_averaged(memory: Memory) -> None:
    runs = {"rarely": rate(8, 80), "often": rate(56, 80)}
    tried(memory, runs)

    def rival(outcomes: Sequence[float]) -> float:
        return mean([outcome for outcome in outcomes if outcome > 0.7])

    assert rival(runs["rarely"]) == rival(runs["often"]) == 1.0
    found = asked(memory)
    assert found["rarely"].expected < 0.35 < 0.5 < found["often"].expected
    assert found["rarely"].verdict == "not recommended"


def test_d2_never_worked_is_not_unknown(memory: Memory) -> None:
    runs = {"never": rate(0, 20), "once": rate(1, 20), "untried": [], "other": rate(10, 20)}
    tried(memory, runs)

    def rival(outcomes: Sequence[float]) -> float:
        known = mean(outcomes) if outcomes else 0.0
        return 0.25 + known / 2 if known else 0.5  # a rate of nought is taken for none

    assert (rival(runs["never"]), rival(runs["once"])) == (0.5, 0.275)
    assert rival(runs["never"]) == rival(runs["untried"]) > rival(runs["once"])
    found = asked(memory)
    assert found["never"].expected < found["once"].expected < found["untried"].expected


def test_d3_one_win_does_not_drown_nine_losses(memory: Memory) -> None:
    runs = {"one in ten": rate(1, 10), "half": rate(5, 10), "other": rate(5, 10)}
    tried(memory, runs)

    def rival(outcomes: Sequence[float]) -> float:
        """Mean of values -0.8 and 0.8, weighted by their softmax; above 0.02 is promoted."""
        values = [0.8 if outcome else -0.8 for outcome in outcomes]
        weights = [exp(value / 0.5) for value in values]
        return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

    assert rival(runs["one in ten"]) == pytest.approx(0.371, abs=0.001)
    found = asked(memory)
    assert found["one in ten"].expected < memory.predict("the build broke").default
    assert found["one in ten"].verdict != "recommended"
    assert found["one in ten"].expected < found["half"].expected - 0.1


def test_d4_failures_belong_to_the_pattern_that_failed(memory: Memory) -> None:
    runs = {"poor": rate(4, 20), "other": rate(10, 20)}
    tried(memory, runs)

    def rival(name: str) -> float:
        """Gain: only successes are linked, and the failures count among the others."""
        linked = [outcome for outcome in runs[name] if outcome > 0.005]
        failed = [outcome for outcome in runs[name] if outcome <= 0.005]
        return mean(linked) - mean([*failed, *(x for n in runs if n != name for x in runs[n])])

    assert rival("poor") > 0.5
    pattern = memory.get_pattern("poor")
    assert (pattern.success_rate, pattern.resolved_count) == (0.2, 20)
    found = asked(memory)
    assert found["poor"].expected < memory.predict("the build broke").default < found["other"].expected


def test_d5_three_of_three_is_above_untested(memory: Memory) -> None:
    runs = {"three": rate(3, 3), "eight": rate(8, 10), "untested": [], "other": rate(5, 10)}
    tried(memory, runs)

    def rival(outcomes: Sequence[float]) -> float:
        return wilson_lower(sum(outcomes), len(outcomes)) if outcomes else 0.5

    assert rival(runs["three"]) == pytest.approx(0.438, abs=0.001)
    assert rival(runs["eight"]) == pytest.approx(0.490, abs=0.001)
    assert rival(runs["untested"]) > max(rival(runs["three"]), rival(runs["eight"]))
    found = asked(memory)
    assert min(found["three"].expected, found["eight"].expected) > found["untested"].expected


def test_d6_failures_push_below_untested(memory: Memory) -> None:
    runs = {"failed": rate(0, 20), "untested": [], "other": rate(10, 20)}
    tried(memory, runs)

    def rival(outcomes: Sequence[float]) -> float:
        return 0.25 * wilson_lower(sum(outcomes), len(outcomes))  # a boost, never below 0

    assert rival(runs["failed"]) == pytest.approx(rival(runs["untested"])) == pytest.approx(0.0)
    found = asked(memory)
    assert found["failed"].expected < found["untested"].expected - 0.13


def test_d7_what_is_learned_changes_the_answers(
    open_memory: Open, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bandit that nobody calls would pass every test of its own."""
    expected = []
    for name, due in (("learns", learning.due), ("does not", lambda *_: False)):
        monkeypatch.setattr(learning, "due", due)
        memory = open_memory(store.with_name(name), durability="process")
        memory.add_patterns([{"description": n, "pattern_id": n} for n in "ab"])
        memory.record_many(
            NewEvent(p, outcome=float((p == "a") == (n % 2 == 0)), context=f"{words} broke again {n}")
            for p in "ab"
            for n in range(24)
            for words in [("build", "network")[n % 2]]
        )
        expected.append([asked(memory, "build broke again")[p].expected for p in "ab"])
    learnt, plain = expected
    assert learnt[0] - learnt[1] > plain[0] - plain[1] + 0.05


def test_d7_an_interval_from_two_outcomes_is_wide(memory: Memory) -> None:
    tried(memory, {"two": [1.0, 1.0], "graded": [0.7, 0.8]})

    def rival(outcomes: Sequence[float]) -> tuple[float, float]:
        half = 1.96 * stdev(outcomes) / sqrt(len(outcomes))
        return mean(outcomes) - half, mean(outcomes) + half

    assert rival([1.0, 1.0]) == (1.0, 1.0)  # certain, from two tries
    assert rival([0.7, 0.8])[1] - rival([0.7, 0.8])[0] < 0.2
    for answer in asked(memory).values():
        assert answer.high - answer.low > 0.35
        assert answer.low < 0.6
        assert answer.verdict != "recommended"


@pytest.mark.parametrize("tries", [6, 24])
def test_d7_confidence_does_not_rise_with_the_size_of_the_effect(open_memory: Open, tries: int) -> None:
    memory = open_memory(durability="process")
    runs = {f"{wins} of 6": rate(wins * tries // 6, tries) for wins in (3, 4, 5, 6)}
    tried(memory, runs)

    def rival(outcomes: Sequence[float]) -> float:
        return min(len(outcomes) / 100, 1) * min(abs(mean(outcomes) - 0.5) / 0.5, 1)

    said = [rival(outcomes) for outcomes in runs.values()]
    assert said == sorted(said)
    assert said[-1] > 2.9 * said[1] > said[0] == 0
    found = asked(memory)
    sure = [found[name].n_effective for name in runs]
    assert max(sure[1:]) <= sure[0] * 1.05


def test_d8_storing_a_pattern_again_is_no_failed_use_of_it(memory: Memory) -> None:
    tried(memory, {"good": rate(4, 4), "other": rate(2, 4)})
    before = asked(memory)
    for _ in range(12):
        memory.add_pattern("approach good", pattern_id="good")

    def rival(wins: int, tries: int, stored_again: int) -> float:
        return wins / (tries + stored_again)

    assert rival(4, 4, 12) == 0.25
    assert asked(memory)["good"].expected == before["good"].expected
    assert memory.get_pattern("good").usage_count == 4


def test_d9_a_rate_is_not_that_of_the_survivors(memory: Memory) -> None:
    runs = {"p": [0.9, 0.8, *[0.1] * 8], "other": rate(5, 10)}
    tried(memory, runs)

    def rival(outcomes: Sequence[float]) -> float:
        return mean([outcome for outcome in outcomes if outcome >= 0.5])

    assert rival(runs["p"]) == pytest.approx(0.85)
    assert memory.get_pattern("p").success_rate == pytest.approx(0.25)
    assert asked(memory)["p"].expected < asked(memory)["other"].expected


def test_d11_what_was_recorded_counts_without_being_switched_on(memory: Memory) -> None:
    memory.add_patterns([{"description": "the build broke", "pattern_id": "alike"}])
    memory.add_patterns([{"description": "wait and retry", "pattern_id": "works"}])
    before = memory.predict("the build broke").answers
    memory.record_many(NewEvent("alike", outcome=0.0, context=f"the build broke {n}") for n in range(4))
    memory.record_many(NewEvent("works", outcome=1.0, context=f"the build broke {n}") for n in range(4))

    def rival(similarity: float, feedback: float, influence: float = 0.0) -> float:
        return (1 - influence) * similarity + influence * feedback

    assert rival(1.0, 0.0) > rival(0.0, 1.0)
    assert [answer.pattern_id for answer in before] == ["alike", "works"]
    after = memory.predict("the build broke").answers
    assert [answer.pattern_id for answer in after] == ["works", "alike"]


def test_d12_a_bystander_gets_no_credit(memory: Memory) -> None:
    tried(memory, {"other": rate(8, 20), "good": [], "bystander": [], "stranger": []})
    shown: dict[str, list[float]] = {"good": [], "bystander": []}
    for n in range(20):
        made = memory.predict(f"case {n}", candidates=["good", "bystander"])
        outcome = float(n % 10 > 0)
        memory.record("good", outcome=outcome, context=f"case {n}", prediction_id=made.prediction_id)
        memory.record("bystander", outcome=None, state="not_used", prediction_id=made.prediction_id)
        for rewards in shown.values():
            rewards.append(outcome)  # the rival: one reward to all that were shown

    assert mean(shown["bystander"]) == mean(shown["good"]) == 0.9
    found = asked(memory, "case 30")
    # As if it had never been shown: the level of a pattern that nobody tried.
    assert found["bystander"].expected == pytest.approx(found["stranger"].expected, abs=1e-12)
    assert found["bystander"].verdict == "no evidence"
    assert (found["bystander"].missing, found["bystander"].coverage) == (0, None)
    assert found["good"].expected > found["bystander"].expected


def test_d13_a_week_is_seven_days_and_days_weigh_by_their_tries(memory: Memory) -> None:
    memory.add_pattern("retry", pattern_id="p")
    start = datetime(2025, 1, 6, 12, tzinfo=UTC)
    weekly = [(start + timedelta(weeks=n), [float(n >= 6)]) for n in range(7)]
    last = (start + timedelta(weeks=6, days=1), [0.0] * 99)
    memory.record_many(
        NewEvent("p", outcome=outcome, timestamp=day)
        for day, outcomes in [*weekly, last]
        for outcome in outcomes
    )

    def rival(days: Sequence[tuple[datetime, list[float]]]) -> float:
        return mean(mean(outcomes) for _, outcomes in days[-7:])  # rows, each with the same weight

    assert rival(weekly) == pytest.approx(1 / 7)
    assert rival([*weekly, last]) == pytest.approx(1 / 7)
    newest, before, *_ = memory.trend("p").days
    assert (before.moving_avg, before.moving_count) == (1.0, 1)
    assert (newest.moving_avg, newest.moving_count) == (pytest.approx(0.01), 100)
