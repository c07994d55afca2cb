"""What is special about usearch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from whatworks import packing
from whatworks.stores import usearch
from whatworks.stores.usearch import UsearchStore


def test_a_model_can_be_loaded_after_the_store(tmp_path: Path) -> None:
    """usearch 2.26 before onnxruntime 1.32 ended the process."""
    code = (
        "import sys; from pathlib import Path; from whatworks.stores import open_store\n"
        "open_store('usearch', Path(sys.argv[1]), dim=3)\n"
        "import onnxruntime"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "store")], check=True)


def test_erasing_leaves_no_byte_of_what_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usearch, "INDEX_FROM", 50)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((200, 8)).astype(np.float32)
    store = UsearchStore(tmp_path, dim=8)
    store.upsert([f"id-{n:03}" for n in range(200)], vectors)
    store.maintain()
    store.flush()
    gone = [b"id-007", packing.packed(vectors[7:8]).tobytes()]
    store.delete(["id-007"])
    store.flush()
    assert all(any(part in path.read_bytes() for path in tmp_path.iterdir()) for part in gone)
    store.erase()
    assert not any(part in path.read_bytes() for path in tmp_path.iterdir() for part in gone)
    assert store.count() == 199
    assert store.search(vectors[8], 1).ids == ["id-008"]
    store.maintain()
    assert store.search(vectors[8], 1).ids == ["id-008"]
