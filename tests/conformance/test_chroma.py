from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from whatworks.stores.chroma import ChromaStore
from whatworks.testing import StoreConformance, state_machine


class TestChroma(StoreConformance):
    gaps: ClassVar[dict[str, str]] = {
        "S28": "Chroma 1.5 writes a row to the table acquire_write of its SQLite file at each opening"
    }

    def open(self, path: Path, dim: int) -> ChromaStore:
        return ChromaStore(path, dim=dim)

    def test_operations_in_any_order_agree_with_a_dict(self) -> None:
        run_state_machine_as_test(state_machine(type(self)), settings=settings(max_examples=5))
