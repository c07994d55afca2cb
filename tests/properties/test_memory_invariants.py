"""What must hold for the answers of a whole memory; each rules out a defect that others have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from support.snapshot import rounded
from whatworks import Memory, NewEvent
from whatworks.exporters import export_jsonl
from whatworks.importers import import_jsonl, import_table

Open = Callable[..., Memory]
CASES = ["imports broken in parser", "timeout in network test", "merge conflict in lock file"]


@pytest.fixture
def memory(open_memory: Open) -> Memory:
    return open_memory(durability="process")


def numbers(memory: Memory) -> Any:
    """The estimates of every pattern in every case."""
    return rounded(
        [
            sorted(
                (a.pattern_id, a.expected, a.low, a.high, a.n_effective)
                for a in memory.predict(case).answers
            )
            for case in CASES
        ]
    )


def patterns(memory: Memory, *names: str) -> None:
    memory.add_patterns({"description": f"approach {name}", "pattern_id": name} for name in names)


def log(seed: int, size: int = 40) -> list[NewEvent]:
    random = Random(seed)
    return [
        NewEvent(
            random.choice("abc"),
            outcome=random.choice([0.0, 0.5, 1.0, None]),
            context=random.choice([*CASES, None]),
            event_id=f"e{n}",
        )
        for n in range(size)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_events_does_not_matter(open_memory: Open, store: Path, seed: int) -> None:
    events = log(seed)
    one = open_memory(durability="process")
    other = open_memory(store.with_name("other"), durability="process")
    for memory in (one, other):
        patterns(memory, "a", "b", "c")
    one.record_many(events)
    Random(seed).shuffle(events)
    for event in events:
        other.record_many([event])
    assert numbers(one) == numbers(other)


def test_d8_the_same_event_twice_changes_nothing(memory: Memory) -> None:
    patterns(memory, "a", "b", "c")
    memory.record_many(log(1))
    before = numbers(memory)
    memory.record_many(log(1))
    for event in log(1)[:10]:
        memory.record_many([event])
    assert numbers(memory) == before
    assert memory.stats().events == 40


def test_d8_storing_a_pattern_again_is_no_use_of_it(memory: Memory) -> None:
    patterns(memory, "a", "b", "c")
    memory.record_many(log(2))
    before, counts = numbers(memory), [p.usage_count for p in memory.iter_patterns()]
    for _ in range(3):
        patterns(memory, "a", "b", "c")
    assert numbers(memory) == before
    assert [p.usage_count for p in memory.iter_patterns()] == counts


@pytest.mark.parametrize("state", ["pending", "unknown", "not_used"])
def test_what_has_no_outcome_moves_no_estimate(memory: Memory, state: Any) -> None:
    patterns(memory, "a", "b", "c")
    memory.record_many(log(3))
    before = numbers(memory)
    memory.record_many(
        NewEvent(name, state=state, context=CASES[0]) for name in "abc" for _ in range(5)
    )
    assert numbers(memory) == before


@pytest.mark.parametrize("tries", [1, 3, 20])
def test_d2_d5_d6_never_worked_is_below_untried_and_always_worked_above(
    memory: Memory, tries: int
) -> None:
    patterns(memory, "failed", "untried", "worked", "other")
    memory.record_many(NewEvent("other", outcome=n % 2, context="elsewhere") for n in range(10))
    memory.record_many(
        NewEvent(name, outcome=outcome, context=CASES[n % 3])
        for name, outcome in (("failed", 0.0), ("worked", 1.0))
        for n in range(tries)
    )
    for case in [*CASES, "something else"]:
        expected = {answer.pattern_id: answer.expected for answer in memory.predict(case).answers}
        assert expected["failed"] < expected["untried"] < expected["worked"]


def test_patterns_equal_on_average_are_ranked_by_where_they_work(memory: Memory) -> None:
    patterns(memory, "a", "b")
    memory.record_many(
        NewEvent(name, outcome=float((name == "a") == (case == CASES[0])), context=case)
        for name in "ab"
        for case in CASES[:2]
        for _ in range(5)
    )
    assert memory.get_pattern("a").success_rate == memory.get_pattern("b").success_rate == 0.5
    assert [memory.predict(case).answers[0].pattern_id for case in CASES[:2]] == ["a", "b"]


def test_d12_an_outcome_is_credited_to_the_pattern_that_was_tried(memory: Memory) -> None:
    """Elsewhere every memory that was shown gets the reward of the one that was used."""
    patterns(memory, "used", "shown")
    made = memory.predict(CASES[0])
    assert {answer.pattern_id for answer in made.answers} == {"used", "shown"}
    memory.record("used", outcome=1.0, context=CASES[0], prediction_id=made.prediction_id)
    assert memory.get_pattern("shown").usage_count == 0
    expected = {answer.pattern_id: answer.expected for answer in memory.predict(CASES[0]).answers}
    assert expected["used"] > expected["shown"]
    parts = memory.why(memory.predict(CASES[0]).prediction_id).explanations
    shown = next(item for item in parts if item.pattern_id == "shown")
    assert not [part for part in shown.contributions if part.kind == "tries"]


def test_a_loop_in_one_context_does_not_take_the_first_place(memory: Memory) -> None:
    patterns(memory, "looped", "solid")
    memory.record_many(
        NewEvent("looped", outcome=1.0, context="the same thing again") for _ in range(500)
    )
    memory.record_many(NewEvent("solid", outcome=1.0, context=f"{CASES[n % 3]} {n}") for n in range(12))
    memory.record_many(NewEvent("looped", outcome=0.0, context=f"{CASES[n % 3]} {n}") for n in range(4))
    assert memory.predict(CASES[0]).answers[0].pattern_id == "solid"


def test_importing_the_same_twice_changes_nothing(memory: Memory, tmp_path: Path) -> None:
    table = tmp_path / "log.csv"
    rows = [f"{'abc'[n % 3]},{n % 2},{CASES[n % 3]}" for n in range(30)]
    table.write_text("\n".join(["pattern,outcome,context", *rows]))
    columns = {name: name for name in ("pattern", "outcome", "context")}
    import_table(memory, table, columns=columns)
    before = numbers(memory)
    import_table(memory, table, columns=columns)
    export_jsonl(memory, tmp_path / "export.jsonl")
    import_jsonl(memory, tmp_path / "export.jsonl")
    assert numbers(memory) == before
    assert memory.stats().events == 30


def test_without_evidence_of_its_own_a_pattern_has_the_prior_and_says_so(memory: Memory) -> None:
    patterns(memory, "a", "b", "untried")
    memory.record_many(NewEvent(name, outcome=n % 2) for name in "ab" for n in range(9))
    made = memory.predict(CASES[0])
    answer = next(item for item in made.answers if item.pattern_id == "untried")
    assert answer.expected == pytest.approx(made.default)
    assert (answer.verdict, answer.evidence, answer.coverage) == ("no evidence", (), None)
    parts = memory.why(made.prediction_id).explanations[made.answers.index(answer)].contributions
    assert {part.kind: part.value for part in parts if part.value} == {
        "population": pytest.approx(made.default)
    }


STRANGE = [
    "🙂" * 900,
    "a" * 30_000,
    "x\n\ty",
    "ⅷ∀",
    "0",
    "the same",
    "the same ",
    "'; --",
    "é",
    "e\u0301",
]


@pytest.mark.parametrize("outcome", [5e-324, 0.0, 1.0, 0.1 + 0.2])
def test_estimates_are_finite_and_inside_of_zero_and_one_for_any_input(
    memory: Memory, outcome: float
) -> None:
    patterns(memory, "a", "b")
    memory.record_many(
        NewEvent(name, outcome=value, context=context)
        for context in STRANGE
        for name, value in (("a", outcome), ("b", None), ("a", 1 - outcome), ("b", 1.0))
    )
    memory.add_priors([{"pattern_id": "b", "success_rate": 1.0, "usage_count": 10**12, "origin": "o"}])
    for question in (*STRANGE, *CASES):
        for answer in memory.predict(question).answers:
            low, high = answer.bounds or (answer.low, answer.high)
            assert 0 < answer.expected < 1
            assert 0 <= answer.low <= answer.expected <= answer.high <= 1
            assert 0 <= low <= answer.expected <= high <= 1
            assert 1 <= answer.n_effective < float("inf")
