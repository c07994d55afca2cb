from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from whatworks.stores import usearch
from whatworks.stores.usearch import UsearchStore
from whatworks.testing import StoreConformance, state_machine


@pytest.fixture(autouse=True)
def small_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index from 2,500 vectors on."""
    monkeypatch.setattr(usearch, "INDEX_FROM", 2_500)


class TestUsearch(StoreConformance):
    kept, tolerance = 2e-5, 3e-5  # numbers of 16 bits: half a step of each, and of three of them

    def open(self, path: Path, dim: int) -> UsearchStore:
        return UsearchStore(path, dim=dim)

    def test_operations_in_any_order_agree_with_a_dict(self) -> None:
        run_state_machine_as_test(state_machine(type(self)), settings=settings(max_examples=40))


class TestUsearchIndexedEarly(StoreConformance):
    """The same with an index as soon as there are a few vectors."""

    kept, tolerance = 2e-5, 3e-5
    rows_to_index = 200
    recall = 0.9  # of random vectors, which have no neighbourhoods

    @pytest.fixture(autouse=True)
    def tiny(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(usearch, "INDEX_FROM", 1)
        monkeypatch.setattr(usearch, "UNINDEXED", 0)
        monkeypatch.setattr(usearch, "DEAD", 2)
        monkeypatch.setattr(usearch, "SCAN_SHARE", 10)

    def open(self, path: Path, dim: int) -> UsearchStore:
        return UsearchStore(path, dim=dim)

    def test_operations_in_any_order_agree_with_a_dict(self, tiny: None) -> None:
        run_state_machine_as_test(state_machine(type(self)), settings=settings(max_examples=40))


def test_a_search_looks_at_more_candidates_the_larger_the_index_is() -> None:
    widths = [usearch._search_width(rows) for rows in (0, 5_000, 100_000, 200_000, 1_000_000)]
    assert widths == [64, 64, 64, 94, 164]
