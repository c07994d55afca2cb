"""How much of what was shown is known to have worked or not."""

from __future__ import annotations

from pathlib import Path

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


def test_nothing_shown_is_no_coverage_rather_than_a_bad_one(memory: Memory) -> None:
    with memory:
        assert (memory.stats().shown, memory.stats().coverage) == (0, None)


def test_an_answer_counts_once_its_receipt_is_named_with_an_end(memory: Memory) -> None:
    with memory:
        made = memory.predict("case")
        assert (memory.stats().shown, memory.stats().shown_resolved) == (3, 0)
        receipt = made.prediction_id
        memory.record("a", context="case", outcome=0.0, prediction_id=receipt)
        memory.record("a", context="case", outcome=1.0, prediction_id=receipt)  # the same answer
        memory.record("b", context="case", outcome=None, state="not_used", prediction_id=receipt)
        pending = memory.record(
            "c", context="case", outcome=None, state="pending", prediction_id=receipt
        )
        assert memory.stats().coverage == pytest.approx(2 / 3)
        memory.resolve(pending.event_id, outcome=0.5)
        assert memory.stats().coverage == 1.0


def test_what_was_not_shown_and_what_names_no_receipt_counts_for_nothing(memory: Memory) -> None:
    with memory:
        made = memory.predict("case", candidates=["a"])
        memory.record("b", context="case", outcome=1.0, prediction_id=made.prediction_id)
        memory.record("a", context="case", outcome=1.0)
        assert (memory.stats().shown, memory.stats().shown_resolved) == (1, 0)


def test_only_the_newest_receipts_are_looked_at(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "RECEIPTS", 1)
    with memory:
        old = memory.predict("case", candidates=["a"])
        memory.record("a", context="case", outcome=1.0, prediction_id=old.prediction_id)
        assert memory.stats().coverage == 1.0
        memory.predict("case", candidates=["a", "b"])
        assert (memory.stats().shown, memory.stats().shown_resolved) == (2, 0)
