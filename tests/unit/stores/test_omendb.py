"""What only the OmenDB adapter knows: rows that no longer count, and when they are left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whatworks.errors import StoreError, StoreFullError
from whatworks.stores import omendb
from whatworks.stores.omendb import OmenStore
from whatworks.testing import directions, nearest


def test_vectors_replaced_many_times_do_not_hide_others(tmp_path: Path) -> None:
    store, ids = OmenStore(tmp_path, dim=16), [f"id{n:03}" for n in range(200)]
    for seed in range(6):
        vectors = directions(200, 16, seed=seed)
        store.upsert(ids, vectors)
    for query in directions(20, 16, seed=9):
        assert store.search(query, 20).ids == nearest(ids, vectors, query, 20).ids


def test_a_database_of_mostly_dead_rows_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omendb, "DEAD", 10)
    monkeypatch.setattr(omendb, "PAGE", 64)
    store, ids, vectors = OmenStore(tmp_path, dim=8), [f"id{n}" for n in range(150)], directions(150, 8)
    for _ in range(3):
        store.upsert(ids, vectors)
    store.delete(ids[100:])
    store.flush()
    assert {file.name.split(".")[0] for file in tmp_path.iterdir()} == {"ids", "vectors-1"}
    for _ in range(2):
        assert store.count() == 100
        assert (
            store.search(vectors[3], 100).ids == nearest(ids[:100], vectors[:100], vectors[3], 100).ids
        )
        store.close()
        store = OmenStore(tmp_path, dim=8)


def test_rows_of_a_process_that_died_before_its_flush_do_not_count(tmp_path: Path) -> None:
    store = OmenStore(tmp_path, dim=4)
    store.upsert(["a"], directions(1, 4))
    store.flush()
    table = (tmp_path / "ids.json").read_bytes()
    store.upsert(["a", "b"], directions(2, 4, seed=1))
    store.flush()
    store.close()
    (tmp_path / "ids.json").write_bytes(table)  # which is written last
    again = OmenStore(tmp_path, dim=4)
    assert list(again.iter_ids()) == [["a"]]
    np.testing.assert_allclose(again.get(["a"])["a"], directions(1, 4)[0], atol=1e-6)
    again.upsert(["c"], directions(1, 4, seed=2))
    assert sorted(again.search(np.ones(4, np.float32), 9).ids) == ["a", "c"]


def test_a_database_that_has_lost_rows_does_not_open(tmp_path: Path) -> None:
    OmenStore(tmp_path, dim=4).close()
    (tmp_path / "ids.json").write_text('{"generation": 0, "ids": ["a"]}')
    with pytest.raises(StoreError, match="lost vectors"):
        OmenStore(tmp_path, dim=4)


def test_a_batch_that_fails_leaves_no_key_to_be_used_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, vectors = OmenStore(tmp_path, dim=4), directions(3, 4)

    class Failing:
        def set(self, **_: object) -> None:
            raise RuntimeError("No space left on device (os error 28)")

    rows = store._live()
    whole, rows.database = rows.database, Failing()
    with pytest.raises(StoreFullError):
        store.upsert(["a", "b"], vectors[:2])
    rows.database = whole
    whole.set(ids=["0"], vectors=vectors[:1])  # what the engine may have kept of it
    store.upsert(["c"], vectors[2:])
    assert store.search(vectors[2], 3).ids == ["c"]
