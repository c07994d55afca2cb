from __future__ import annotations

from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from whatworks.stores.exact import ExactStore
from whatworks.testing import StoreConformance, state_machine


class TestExact(StoreConformance):
    def open(self, path: Path, dim: int) -> ExactStore:
        return ExactStore(path, dim=dim)

    def test_operations_in_any_order_agree_with_a_dict(self) -> None:
        run_state_machine_as_test(state_machine(type(self)), settings=settings(max_examples=60))
