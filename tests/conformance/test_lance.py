from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from whatworks.stores import lance
from whatworks.stores.lance import LanceStore
from whatworks.testing import StoreConformance, state_machine


@pytest.fixture(autouse=True)
def small_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index from 2,500 vectors on, with partitions as small as those of a large store are to it."""
    monkeypatch.setattr(lance, "INDEX_FROM", 2_500)
    monkeypatch.setattr(lance, "ROWS_PER_PARTITION", 100)


class TestLance(StoreConformance):
    def open(self, path: Path, dim: int) -> LanceStore:
        return LanceStore(path, dim=dim)

    def test_operations_in_any_order_agree_with_a_dict(self) -> None:
        run_state_machine_as_test(state_machine(type(self)), settings=settings(max_examples=15))
