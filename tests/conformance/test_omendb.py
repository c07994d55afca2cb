from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from whatworks.stores.omendb import OmenStore
from whatworks.testing import StoreConformance, state_machine


class TestOmenDB(StoreConformance):
    gaps: ClassVar[dict[str, str]] = {
        "S20": "OmenDB 0.0.37 opens a database once at a time: a second handle is a StoreError",
    }

    def open(self, path: Path, dim: int) -> OmenStore:
        return OmenStore(path, dim=dim)

    def test_operations_in_any_order_agree_with_a_dict(self) -> None:
        run_state_machine_as_test(state_machine(type(self)), settings=settings(max_examples=10))
