"""A Qdrant server, for which the client's own local mode stands in: the same calls, no network."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from qdrant_client import QdrantClient

from support.qdrant import Served
from whatworks.stores import VectorStore, qdrant
from whatworks.stores.qdrant import QdrantStore
from whatworks.testing import StoreConformance, state_machine

pytestmark = pytest.mark.filterwarnings("ignore:Local mode performs exact")
URL = "http://stand-in:6333"


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    local = QdrantClient(":memory:")
    served = Served(local)
    monkeypatch.setattr(qdrant, "_client", lambda url: served)
    yield
    local.close()


def name_of(path: Path) -> str:
    return "test-" + blake2b(str(path).encode(), digest_size=8).hexdigest()


class TestQdrantServer(StoreConformance):
    gaps: ClassVar[dict[str, str]] = {
        "S22": "the files are the server's: the client has none",
        "S37": "what stands for the server here dies with the process that is killed",
        "S38": "what stands for the server here dies with the process that is killed",
    }

    def open(self, path: Path, dim: int) -> VectorStore:
        return QdrantStore.connect(URL, name_of(path), dim=dim)

    def test_operations_in_any_order_agree_with_a_dict(self) -> None:
        run_state_machine_as_test(state_machine(type(self)), settings=settings(max_examples=15))

    def test_a_removed_store_is_empty_when_it_is_opened_again(self, tmp_path: Path) -> None:
        store, *_ = self._filled(tmp_path, 5)
        store.close()
        QdrantStore.remove(URL, name_of(tmp_path))
        QdrantStore.remove(URL, name_of(tmp_path))
        assert self.open(tmp_path, 8).count() == 0
