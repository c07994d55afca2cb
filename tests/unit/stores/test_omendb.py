"""What only the OmenDB adapter knows: rows without names, and when they are left behind."""

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


def test_a_database_of_mostly_unnamed_rows_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omendb, "UNNAMED", 10)
    monkeypatch.setattr(omendb, "PAGE", 64)
    store, ids, vectors = OmenStore(tmp_path, dim=8), [f"id{n}" for n in range(150)], directions(150, 8)
    for seed in (1, 2, 0):
        store.upsert(ids, directions(150, 8, seed=seed))
    store.delete(ids[100:])
    store.flush()
    assert {file.name.split(".")[0] for file in tmp_path.iterdir()} == {"names", "vectors-1"}
    for _ in range(2):
        assert store.count() == 100
        assert (
            store.search(vectors[3], 100).ids == nearest(ids[:100], vectors[:100], vectors[3], 100).ids
        )
        store.close()
        store = OmenStore(tmp_path, dim=8)


def test_rows_of_a_process_that_died_before_its_flush_are_not_found(tmp_path: Path) -> None:
    store = OmenStore(tmp_path, dim=4)
    store.upsert(["a"], directions(1, 4))
    store.flush()
    table = (tmp_path / "names.json").read_bytes()
    store.upsert(["a", "b"], directions(2, 4, seed=1))
    store.flush()
    store.close()
    (tmp_path / "names.json").write_bytes(table)  # which is written last
    again = OmenStore(tmp_path, dim=4)
    assert list(again.iter_ids()) == [["a"]]
    np.testing.assert_allclose(again.get(["a"])["a"], directions(1, 4)[0], atol=1e-6)
    again.upsert(["c"], directions(1, 4, seed=2))
    assert sorted(again.search(np.ones(4, np.float32), 9).ids) == ["a", "c"]


def test_a_database_that_has_lost_rows_does_not_open(tmp_path: Path) -> None:
    OmenStore(tmp_path, dim=4).close()
    (tmp_path / "names.json").write_text('{"generation": 0, "keys": {"a": "b"}}')
    with pytest.raises(StoreError, match="lost vectors"):
        OmenStore(tmp_path, dim=4)


def test_vectors_that_are_the_same_are_one_row(tmp_path: Path) -> None:
    store, vectors = OmenStore(tmp_path, dim=16), directions(101, 16)
    store.upsert([f"same{n:03}" for n in range(300)], np.tile(vectors[0], (300, 1)))
    store.upsert([f"other{n:03}" for n in range(100)], vectors[1:])
    assert store.search(vectors[0], 2).ids == ["same000", "same001"]
    assert len(store.search(vectors[0], 500).ids) == store.count() == 400
    for row in range(1, 101):
        assert store.search(vectors[row], 1).ids == [f"other{row - 1:03}"]
    store.delete(["same000"])
    store.upsert(["same001"], vectors[1:2])
    assert store.search(vectors[0], 1).ids == ["same002"]
    assert store.search(vectors[1], 2).ids == ["other000", "same001"]


def test_a_full_disk_is_called_that_and_the_batch_can_be_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, vectors = OmenStore(tmp_path, dim=4), directions(3, 4)

    rows = store._live()

    class Failing:
        exists = staticmethod(rows.database.exists)

        def set(self, **_: object) -> None:
            raise RuntimeError("No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(rows, "database", Failing())
        with pytest.raises(StoreFullError):
            store.upsert(["a", "b"], vectors[:2])
    assert store.count() == 0
    store.upsert(["a", "b", "c"], vectors)
    assert store.search(vectors[2], 1).ids == ["c"]
