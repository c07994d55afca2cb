"""Optimistic choices: credit for what was tried less, nothing left to chance."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

from whatworks import InvalidInputError, Memory, NewEvent, rank


def fill(memory: Memory) -> None:
    """One pattern that is known well, one that is hardly known, one that was never tried."""
    for name in ("known", "new", "untried"):
        memory.add_pattern(f"pattern {name}", pattern_id=name)
    memory.record_many(
        NewEvent("known", outcome=float(n % 3 > 0), context=f"case {n}") for n in range(60)
    )
    memory.record_many(NewEvent("new", outcome=float(n % 2), context=f"case {n}") for n in range(2))


def test_optimism_is_the_deviation_of_a_record_of_that_length() -> None:
    nothing = np.zeros(3)
    records = rank.Records(
        np.array([0.0, 5.0, 5.0]), nothing, np.array([0.0, 2.0, 0.0]), nothing, np.array([0, 0, 1.0])
    )
    hope = rank.optimism(records, rank.Population(0.4, 12.0))
    assert hope == pytest.approx([sqrt(0.24 / n) for n in (12, 5 + 2 + 12, 5 + 4)])


def test_what_was_tried_less_comes_first_and_the_others_stay_in_order(memory: Memory) -> None:
    fill(memory)
    greedy = memory.predict("case")
    hopeful = memory.predict("case", explore="optimistic")
    receipt = next(memory_receipts(memory, hopeful.prediction_id))
    hope = {a["pattern_id"]: a["expected"] + a["hope"] for a in receipt["answers"]}
    assert hopeful.answers[0].pattern_id == max(hope, key=lambda name: hope[name])
    assert hopeful.answers[0].pattern_id != "known"
    assert hopeful.explored == (hopeful.answers[0].pattern_id != greedy.answers[0].pattern_id)
    assert [a.propensity for a in hopeful.answers] == [1.0, 0.0, 0.0]
    rest = [a.expected for a in hopeful.answers[1:]]
    assert rest == sorted(rest, reverse=True)


def memory_receipts(memory: Memory, *ids: str) -> Any:
    from whatworks.evidence import questions

    for name in ids:
        yield questions.receipt(memory._keeper.evidence(receipts=True), name)


def test_optimism_finds_a_pattern_beyond_those_shown(memory: Memory) -> None:
    fill(memory)
    (only,) = memory.predict("case", explore="optimistic", limit=1).answers
    assert only.pattern_id != "known"


def test_a_high_risk_forbids_hope(memory: Memory) -> None:
    fill(memory)
    asked = memory.predict("case", explore="optimistic", risk="high")
    assert not asked.explored
    assert asked.answers == memory.predict("case").answers


def test_an_empty_store_has_nothing_to_hope_for(memory: Memory) -> None:
    assert memory.predict("case", explore="optimistic").answers == ()


@pytest.mark.parametrize("given", ["optimist", "", "0.1", 0.6, -0.1, float("nan"), True, None])
def test_another_word_is_refused(memory: Memory, given: Any) -> None:
    wanted = r"explore is .*expected a number from 0 .*'optimistic'"
    with pytest.raises(InvalidInputError, match=wanted):
        memory.predict("case", explore=given)


def test_how_many_are_shown_does_not_decide_who_is_first(memory: Memory) -> None:
    for name in "abcdefgh":
        memory.add_pattern(f"pattern {name}", pattern_id=name)
    memory.record_many(NewEvent("a", outcome=float(n % 3 > 0), context=f"case {n}") for n in range(30))
    first = {
        memory.predict("case", explore="optimistic", limit=n).answers[0].pattern_id for n in (1, 2, 8)
    }
    assert len(first) == 1
