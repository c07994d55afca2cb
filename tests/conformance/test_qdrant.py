from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from whatworks.stores import qdrant
from whatworks.stores.qdrant import QdrantStore
from whatworks.testing import StoreConformance, state_machine


@pytest.fixture(autouse=True)
def small_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index from 2,500 vectors on."""
    monkeypatch.setattr(qdrant, "INDEX_FROM", 2_500)


class TestQdrant(StoreConformance):
    def open(self, path: Path, dim: int) -> QdrantStore:
        return QdrantStore(path, dim=dim)

    def test_operations_in_any_order_agree_with_a_dict(self) -> None:
        run_state_machine_as_test(state_machine(type(self)), settings=settings(max_examples=10))
