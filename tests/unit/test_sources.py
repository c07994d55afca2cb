from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from whatworks import Memory

Open = Callable[..., Memory]


def test_a_source_is_compared_with_what_others_tell_of_the_same_patterns(
    open_memory: Open, store: Path
) -> None:
    honest, liar = (open_memory(store, source=name) for name in ("honest", "liar"))
    for name in ("p", "q", "alone"):
        honest.add_pattern(f"approach {name}", pattern_id=name)
    for n in range(10):
        honest.record("p", outcome=float(n < 4), session_id=f"s{n % 2}")
        honest.record("q", outcome=1.0)
    for _ in range(30):
        liar.record("p", outcome=1.0)
        liar.record("alone", outcome=1.0)
    liar.record("q", outcome=None)
    first, second = honest.sources()
    assert (first.source, first.events, first.resolved, first.patterns) == ("liar", 61, 60, 3)
    assert (first.shared, first.mean_shared, first.mean_others) == (30, 1.0, pytest.approx(0.4))
    assert (second.source, second.events, second.sessions, second.shared) == ("honest", 20, 2, 10)
    assert second.mean_outcome == pytest.approx(0.7)
    assert (second.mean_shared, second.mean_others) == (pytest.approx(0.4), 1.0)
    honest.forget(source="liar")
    (left,) = honest.sources()
    assert (left.source, left.shared, left.mean_shared, left.mean_others) == ("honest", 0, None, None)


def test_nobody_has_told_anything_yet(memory: Memory) -> None:
    assert memory.sources() == []
