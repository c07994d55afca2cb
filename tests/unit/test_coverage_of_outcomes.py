"""How much of what was shown is known to have worked or not."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from whatworks import Memory
from whatworks.evidence import questions
from whatworks.testing import HashEmbedder


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    made = Memory.open(tmp_path / "store", embedder=HashEmbedder())
    for name in ("a", "b", "c"):
        made.add_pattern(f"approach {name}", pattern_id=name)
        made.record(name, context="case", outcome=1.0)
    return made


def test_no_predictions_are_no_coverage_rather_than_a_bad_one(memory: Memory) -> None:
    with memory:
        assert (memory.stats().shown, memory.stats().coverage) == (0, None)


@pytest.mark.parametrize("state", ["resolved", "not_used"])
def test_a_prediction_is_closed_once_the_end_of_an_answer_is_known(
    memory: Memory, state: Literal["resolved", "not_used"]
) -> None:
    with memory:
        first, _ = memory.predict("case"), memory.predict("case")
        assert memory.stats().coverage == 0.0
        outcome = 1.0 if state == "resolved" else None
        for _ in range(2):  # the second closes nothing more
            memory.record(
                "a", context="case", outcome=outcome, state=state, prediction_id=first.prediction_id
            )
        assert (memory.stats().shown, memory.stats().shown_resolved) == (2, 1)
        assert memory.stats().coverage == 0.5


@pytest.mark.parametrize("state", ["pending", "unknown"])
def test_what_is_open_closes_nothing_until_it_is_resolved(
    memory: Memory, state: Literal["pending", "unknown"]
) -> None:
    with memory:
        made = memory.predict("case").prediction_id
        event = memory.record("c", context="case", outcome=None, state=state, prediction_id=made)
        assert memory.stats().coverage == 0.0
        memory.resolve(event.event_id, outcome=0.5)
        assert memory.stats().coverage == 1.0


def test_what_was_not_answered_and_what_names_no_prediction_closes_nothing(memory: Memory) -> None:
    with memory:
        made = memory.predict("case", candidates=["a"])
        memory.record("b", context="case", outcome=1.0, prediction_id=made.prediction_id)
        memory.record("a", context="case", outcome=1.0)
        assert memory.stats().coverage == 0.0


def test_only_the_newest_predictions_are_looked_at(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "RECEIPTS", 1)
    with memory:
        old = memory.predict("case")
        memory.record("a", context="case", outcome=1.0, prediction_id=old.prediction_id)
        assert memory.stats().coverage == 1.0
        memory.predict("case")
        assert (memory.stats().shown, memory.stats().shown_resolved) == (1, 0)
