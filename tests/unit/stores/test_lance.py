from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whatworks import StoreError, system
from whatworks.stores import lance
from whatworks.stores.lance import LanceStore
from whatworks.testing import clustered, directions


def test_a_data_file_that_was_cut_short_does_not_open(tmp_path: Path) -> None:
    """A power cut leaves the newest files short; Lance opens them and fails at the first search."""
    store = LanceStore(tmp_path, dim=8)
    store.upsert([f"id{n}" for n in range(100)], directions(100, 8))
    store.upsert([f"new{n}" for n in range(100)], directions(100, 8, seed=1))
    store.close()
    newest = max(
        (tmp_path / "vectors.lance" / "data").iterdir(), key=lambda path: path.stat().st_mtime_ns
    )
    for size in (newest.stat().st_size - 1, 0):
        with open(newest, "r+b") as file:
            file.truncate(size)
        with pytest.raises(StoreError, match="was cut short"):
            LanceStore(tmp_path, dim=8)


def test_an_engine_that_fails_is_a_store_error(tmp_path: Path) -> None:
    store = LanceStore(tmp_path, dim=8)
    vectors = directions(100, 8)
    store.upsert([f"id{n}" for n in range(100)], vectors)
    for path in (tmp_path / "vectors.lance" / "data").iterdir():
        path.unlink()
    for use in (
        lambda: store.search(vectors[0], 3),
        lambda: store.get(["id1"]),
        lambda: store.upsert(["new"], vectors[:1]),
        lambda: store.delete(["id1"]),
    ):
        with pytest.raises(StoreError):
            use()


@pytest.fixture
def small_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance, "INDEX_FROM", 1_000)
    monkeypatch.setattr(lance, "ROWS_PER_PARTITION", 100)


@pytest.mark.usefixtures("small_index")
def test_an_index_is_built_extended_and_built_anew_as_the_store_grows(tmp_path: Path) -> None:
    store, vectors = LanceStore(tmp_path, dim=16), clustered(10_000, 16)
    ids = [f"id{n:05}" for n in range(10_000)]
    store.upsert(ids[:900], vectors[:900])
    assert not store.maintain()
    store.upsert(ids[900:1_000], vectors[900:1_000])
    assert store.maintain()
    assert store._indexed == 10
    store.upsert(ids[1_000:2_000], vectors[1_000:2_000])
    assert not store.maintain()  # a thousand more are scanned in passing
    store.upsert(ids[2_000:2_500], vectors[2_000:2_500])
    assert store.maintain()
    assert store._indexed == 10
    store.upsert(ids[2_500:], vectors[2_500:])
    assert store.maintain()
    assert store._indexed == 100
    assert store.search(vectors[9_999], 1).ids == ["id09999"]


def test_many_small_writes_are_merged_into_few_files(tmp_path: Path) -> None:
    store, vectors = LanceStore(tmp_path, dim=8), directions(lance.MAX_FRAGMENTS + 2, 8)
    for n, vector in enumerate(vectors):
        store.upsert([f"id{n}"], vector[None])
    assert store.maintain()
    assert len(store._dataset.get_fragments()) == 1
    assert not store.maintain()
    assert store.count() == len(vectors)
    np.testing.assert_allclose(store.get(["id3"])["id3"], vectors[3], atol=1e-6)


def test_replacing_leaves_few_files(tmp_path: Path) -> None:
    store, vectors = LanceStore(tmp_path, dim=8), directions(1, 8)
    for _ in range(3 * lance.MAX_VERSIONS):
        store.upsert(["one"], vectors)
        store.maintain()
    store.flush()
    assert sum(path.is_file() for path in tmp_path.rglob("*")) < 5 * lance.MAX_VERSIONS
    assert store.count() == 1


def test_large_fragments_are_not_merged_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance, "LARGE_FRAGMENT", 100)
    store, vectors = LanceStore(tmp_path, dim=8), directions(2_000, 8)
    for n in range(0, 2_000, 100):
        store.upsert([f"id{row}" for row in range(n, n + 100)], vectors[n : n + 100])
    assert len(store._dataset.get_fragments()) == 20
    assert store._file_work() is None


def test_a_reader_does_not_miss_the_files_of_a_version_that_was_cleaned_up(tmp_path: Path) -> None:
    store, vectors = LanceStore(tmp_path, dim=8), directions(60, 8)
    store.upsert(["a", "b"], vectors[:2])
    old = store._dataset
    for n in range(2, 60):
        store.upsert([f"id{n}"], vectors[n : n + 1])
    store.maintain()
    new = store._dataset
    with pytest.raises(Exception, match=r"(?i)not found"):
        old.to_table()

    class Stale:
        def to_table(self, **what: object) -> object:
            store._dataset = new
            return old.to_table(**what)

    store._dataset = Stale()
    assert set(store.get(["a", "id59"])) == {"a", "id59"}


def test_a_panic_of_the_engine_is_a_store_error(tmp_path: Path) -> None:
    class PanicException(BaseException):
        pass

    class Panics:
        def count_rows(self) -> int:
            raise PanicException("index out of bounds")

    store = LanceStore(tmp_path, dim=8)
    store._dataset = Panics()
    with pytest.raises(StoreError, match="out of bounds"):
        store.count()


def test_flushing_syncs_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[str] = set()
    monkeypatch.setattr(system, "sync", lambda path: synced.add(str(path)))
    store = LanceStore(tmp_path, dim=8)
    store.upsert(["a"], directions(1, 8))
    store.flush()
    written = {str(path) for path in (tmp_path / "vectors.lance").rglob("*")}
    assert written | {str(tmp_path / "vectors.lance")} <= synced
