"""What is special about usearch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from whatworks import packing
from whatworks.samples import nearest
from whatworks.stores import usearch
from whatworks.stores.base import as_unit
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


def test_embeddings_that_lean_to_one_side_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With integers of usearch's own scale a third of the nearest is not among those looked at."""
    monkeypatch.setattr(usearch, "INDEX_FROM", 50)
    rng = np.random.default_rng(0)
    topics, side = rng.standard_normal((100, 384)), 6 * rng.standard_normal(384)

    def leaning(count: int) -> np.ndarray:
        near = topics[rng.integers(0, len(topics), count)] + 0.7 * rng.standard_normal((count, 384))
        return (near + side).astype(np.float32)

    vectors, ids = leaning(4_000), [f"id-{n}" for n in range(4_000)]
    store = UsearchStore(tmp_path, dim=384)
    store.upsert(ids, vectors)
    store.maintain()
    queries = leaning(50)
    found = [
        len({*store.search(query, 10).ids} & {*nearest(ids, as_unit(vectors, 384), query, 10).ids})
        for query in queries
    ]
    assert sum(found) >= 0.97 * 10 * len(queries)
