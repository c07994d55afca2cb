"""For tests of your own code and stores: an embedder without a model, and what a store must do."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from whatworks.errors import InvalidInputError, StoreError
from whatworks.samples import HashEmbedder, Vectors, clustered, directions, nearest, refused
from whatworks.store_checks import ChecksFromOutside
from whatworks.stores import CanIterate, CanMaintain, Hits, VectorStore
from whatworks.stores.contents import Contents

__all__ = ["HashEmbedder", "StoreConformance", "state_machine"]


class StoreConformance(ChecksFromOutside):
    """What every vector store must do, as pytest methods: subclass it and say how to open yours.

    Each check has an id, a sentence and its source. All compare with plain
    NumPy. None knows an engine. Checks get pytest's ``tmp_path``. Some open the
    store in another process, which finds the class only at the level of its
    module, and kill that.

    What a store cannot do is said in ``gaps``, by the id of the check and with
    the reason. Such a check has to fail: when it passes, the gap is out of date.

    Examples
    --------
    ::

        class TestMine(StoreConformance):
            gaps = {"S28": "the engine writes to its files when it opens them"}

            def open(self, path, dim):
                return MyStore(path, dim=dim)
    """

    gaps: ClassVar[dict[str, str]] = {}
    # How far a distance found through an index may be from the exact one.
    indexed_tolerance = 0.02
    recall = 0.95
    # Rows after which ``maintain`` has something to do.
    rows_to_index = 3_000
    # Rows that are read in pages; so many when WHATWORKS_FULL is set.
    many = 20_000
    many_in_full = 1_000_000

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for check, reason in cls.gaps.items():
            _expect_failure(cls, check, reason)

    # -- searching ------------------------------------------------------------------------------

    def test_s01_k_above_the_count_returns_all(self, tmp_path: Path) -> None:
        """S01: asked for more than there are, all come back, nearest first. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 20)
        self._same(store.search(vectors[3], 1_000), nearest(ids, vectors, vectors[3], 20))

    def test_s02_k_zero_returns_nothing(self, tmp_path: Path) -> None:
        """S02: no neighbours asked for, none returned; a negative k is refused. Source: base.py."""
        store, _, vectors = self._filled(tmp_path, 5)
        hits = store.search(vectors[0], 0)
        assert (hits.ids, hits.distances.shape) == ([], (0,)), hits
        with refused(InvalidInputError):
            store.search(vectors[0], -1)

    def test_s03_an_empty_store_finds_nothing(self, tmp_path: Path) -> None:
        """S03: a new store is empty and answers. Source: base.py."""
        store = self.open(tmp_path, 4)
        assert store.count() == 0
        assert store.search(np.ones(4, np.float32), 10).ids == []
        assert store.get(["nobody"]) == {}
        store.upsert([], np.empty((0, 4), np.float32))
        store.delete([])
        assert store.count() == 0

    def test_s04_distances_are_one_minus_cosine(self, tmp_path: Path) -> None:
        """S04: 0 for the same direction, 1 across, 2 for the opposite; float32. Source: base.py."""
        store = self.open(tmp_path, 2)
        store.upsert(["same", "across", "opposite"], np.array([[3, 0], [0, 5], [-7, 0]], np.float32))
        hits = store.search(np.array([2, 0], np.float32), 3)
        assert hits.ids == ["same", "across", "opposite"], hits
        assert hits.distances.dtype == np.float32
        np.testing.assert_allclose(hits.distances, [0, 1, 2], atol=self.tolerance)

    def test_s05_exact_below_the_index(self, tmp_path: Path) -> None:
        """S05: among 300 vectors the answers are those of a comparison with all. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 300, dim=24)
        for query in directions(20, 24, seed=1):
            self._same(store.search(query, 10), nearest(ids, vectors, query, 10))

    def test_s06_ties_come_in_the_order_of_ids(self, tmp_path: Path) -> None:
        """S06: equally near vectors are ordered by id, however they came. Source: base.py."""
        store = self.open(tmp_path, 2)
        ids = ["d", "b", "e", "a", "c"]
        store.upsert(ids, np.tile(np.array([[1, 0]], np.float32), (5, 1)))
        store.upsert(["far"], np.array([[0, 1]], np.float32))
        assert store.search(np.array([1, 0], np.float32), 6).ids == [*sorted(ids), "far"]

    def test_s07_recall_of_random_vectors(self, tmp_path: Path) -> None:
        """S07: of the ten nearest of 3,000 random vectors at least 95 % are found. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 3_000, dim=32)
        assert self._recall(store, ids, vectors) >= self.recall

    # -- what is stored -------------------------------------------------------------------------

    def test_s08_length_does_not_matter(self, tmp_path: Path) -> None:
        """S08: vectors as short as 1e-10 or as long as 1e37 are kept at length 1. Source: base.py."""
        store, vectors = self.open(tmp_path, 8), directions(6, 8)
        scales = np.array([1, 7, 1e-10, 1e10, 1e37, 0.5], np.float32)[:, None]
        store.upsert(list("abcdef"), vectors * scales)
        found = store.get(list("abcdef"))
        for row, name in enumerate("abcdef"):
            np.testing.assert_allclose(found[name], vectors[row], atol=self.kept)
            assert found[name].dtype == np.float32
            assert store.search(vectors[row] * 1e-9, 1).ids == [name]

    def test_s09_other_number_types_are_accepted(self, tmp_path: Path) -> None:
        """S09: float64 and integers are numbers too. Source: base.py."""
        store = self.open(tmp_path, 2)
        store.upsert(["a"], np.array([[1.0, 0.0]]))
        store.upsert(["b"], np.array([[0, 5]]))
        assert store.search(np.array([1, 0]), 2).ids == ["a", "b"]

    def test_s10_of_repeated_ids_the_last_stands(self, tmp_path: Path) -> None:
        """S10: an id twice in a batch is one vector, the last. Source: base.py; lance issue 4585."""
        store = self.open(tmp_path, 2)
        store.upsert(["a", "b", "a"], np.array([[1, 0], [1, 1], [0, 1]], np.float32))
        assert store.count() == 2
        np.testing.assert_allclose(store.get(["a"])["a"], [0, 1], atol=self.kept)

    def test_s11_a_replaced_vector_is_gone(self, tmp_path: Path) -> None:
        """S11: the same id again replaces: the old place finds something else. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 50)
        replaced = vectors.copy()
        replaced[::2] = directions(25, 16, seed=9)
        store.upsert(ids[::2], replaced[::2])
        assert store.count() == 50
        for query in (*vectors[:4], *replaced[:4]):
            self._same(store.search(query, 50), nearest(ids, replaced, query, 50))

    def test_s12_ids_are_opaque(self, tmp_path: Path) -> None:
        """S12: no character of an id means anything. Source: a filter that emptied a Lance table."""
        store, vectors = self.open(tmp_path, 16), directions(len(HOSTILE_IDS), 16)
        store.upsert(HOSTILE_IDS, vectors)
        assert store.count() == len(HOSTILE_IDS)
        for row, name in enumerate(HOSTILE_IDS):
            assert list(store.get([name])) == [name]
            assert store.search(vectors[row], 1).ids == [name]
        for left, name in enumerate(HOSTILE_IDS[::-1]):
            store.delete([name])
            assert store.count() == len(HOSTILE_IDS) - left - 1, name

    def test_s13_what_was_deleted_is_never_returned(self, tmp_path: Path) -> None:
        """S13: deleted vectors are not found, not got, not counted; others stay. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 40)
        store.delete([*ids[:10], "nobody", ids[0]])
        assert store.count() == 30
        assert store.get(ids).keys() == set(ids[10:])
        self._same(store.search(vectors[0], 40), nearest(ids[10:], vectors[10:], vectors[0], 30))

    def test_s14_what_was_deleted_can_come_back(self, tmp_path: Path) -> None:
        """S14: a deleted id may be used again. Source: duckdb issue 15836."""
        store, ids, vectors = self._filled(tmp_path, 10)
        store.delete(ids)
        assert store.search(vectors[0], 10).ids == []
        store.upsert(ids[::-1], vectors)
        self._same(store.search(vectors[0], 10), nearest(ids[::-1], vectors, vectors[0], 10))

    def test_s15_inputs_stay_untouched(self, tmp_path: Path) -> None:
        """S15: arrays and lists given are neither changed nor kept. Source: base.py."""
        store, vectors, ids = self.open(tmp_path, 16), directions(5, 16) * np.float32(3), list("abcde")
        kept = vectors.copy()
        store.upsert(ids, vectors)
        query = vectors[2].copy()
        store.search(query, 5)
        np.testing.assert_array_equal(vectors, kept)
        np.testing.assert_array_equal(query, kept[2])
        vectors[:] = 0
        ids.clear()
        assert store.search(query, 1).ids == ["c"]
        store.get(["c"])["c"].setflags(write=False)
        assert store.search(query, 1).ids == ["c"]

    # -- refusals -------------------------------------------------------------------------------

    def test_s16_what_is_no_direction_is_refused(self, tmp_path: Path) -> None:
        """S16: NaN, infinity, zero, denormals. Source: Lance ranked a near-zero vector first."""
        store, ids, vectors = self._filled(tmp_path, 5)
        for bad in (np.nan, np.inf, -np.inf, 0.0, 1e-40):
            row = np.full(16, bad, np.float32) if not np.isnan(bad) else vectors[0].copy()
            row[3] = bad
            with refused(InvalidInputError):
                store.upsert(["new", "bad"], np.stack([vectors[0], row]))
            with refused(InvalidInputError):
                store.search(row, 3)
        self._same(store.search(vectors[0], 9), nearest(ids, vectors, vectors[0], 5))

    def test_s17_a_wrong_shape_is_refused(self, tmp_path: Path) -> None:
        """S17: other dimensions, other counts, no numbers. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 5)
        for bad in (vectors[:, :8], vectors[0], vectors[None], np.full((5, 16), "a"), vectors[:3]):
            with refused(InvalidInputError):
                store.upsert(ids, bad)
        for query in (vectors[0, :8], vectors[:2]):
            with refused(InvalidInputError):
                store.search(query, 3)
        self._same(store.search(vectors[0], 9), nearest(ids, vectors, vectors[0], 5))

    def test_s18_an_id_must_be_a_text(self, tmp_path: Path) -> None:
        """S18: empty ids and other types are refused. Source: base.py."""
        store = self.open(tmp_path, 2)
        for bad in ("", None, 5, b"a"):
            with refused(InvalidInputError):
                store.upsert(["good", bad], np.ones((2, 2), np.float32))  # type: ignore[list-item]
        assert store.count() == 0

    # -- files ----------------------------------------------------------------------------------

    def test_s19_what_was_flushed_is_there_after_reopening(self, tmp_path: Path) -> None:
        """S19: a store that was flushed and closed answers as before. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 60)
        store.delete(ids[:10])
        store.flush()
        before = [store.search(query, 20) for query in vectors[:5]]
        store.close()
        store.close()
        again = self.open(tmp_path, 16)
        assert again.count() == 50
        for query, hits in zip(vectors[:5], before, strict=True):
            assert again.search(query, 20).ids == hits.ids
        again.upsert(["new"], vectors[:1])
        assert again.count() == 51

    def test_s20_what_was_not_flushed_is_there_or_not(self, tmp_path: Path) -> None:
        """S20: without a flush, changes may be lost, never mixed up. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 30)
        store.flush()
        replaced = directions(30, 16, seed=5)
        store.upsert(ids, replaced)
        again = self.open(tmp_path, 16)  # the first handle stands for a process that died
        found = again.get(ids)
        assert found.keys() == set(ids)
        for row, name in enumerate(ids):
            places = (vectors[row], replaced[row])
            assert any(np.allclose(found[name], place, atol=self.kept) for place in places), name

    def test_s21_another_dimension_does_not_open(self, tmp_path: Path) -> None:
        """S21: a store made for 16 dimensions refuses 8 when it is opened. Source: style guide."""
        store, *_ = self._filled(tmp_path, 5)
        store.flush()
        store.close()
        with refused(StoreError):
            self.open(tmp_path, 8)

    def test_s22_damaged_files_are_a_store_error(self, tmp_path: Path) -> None:
        """S22: files cut short, as a power cut leaves them, do not open. Source: Lance never syncs."""
        store, *_ = self._filled(tmp_path, 200)
        store.flush()
        store.close()
        for folder, _, files in os.walk(tmp_path):
            for name in files:
                os.truncate(
                    os.path.join(folder, name), os.path.getsize(os.path.join(folder, name)) // 2
                )
        with refused(StoreError):
            self.open(tmp_path, 16)

    def test_s23_two_folders_are_two_stores(self, tmp_path: Path) -> None:
        """S23: nothing is shared between stores that are open at once. Source: base.py."""
        one, other = self.open(tmp_path / "one", 4), self.open(tmp_path / "other", 8)
        one.upsert(["a"], np.ones((1, 4), np.float32))
        other.upsert(["b", "c"], directions(2, 8))
        assert (one.count(), other.count()) == (1, 2)
        one.flush()
        other.flush()
        one.close()
        assert other.search(np.ones(8, np.float32), 9).ids in (["b", "c"], ["c", "b"])
        assert self.open(tmp_path / "one", 4).search(np.ones(4, np.float32), 9).ids == ["a"]

    def test_s28_files_stay_as_they_were_flushed(self, tmp_path: Path) -> None:
        """S28: opening, searching and closing touch no file: the owner compares. Source: base.py."""
        store, _, vectors = self._filled(tmp_path, 300)
        store.flush()
        flushed = Contents(tmp_path).listing()
        for query in vectors[:3]:
            store.search(query, 5)
        store.close()
        assert Contents(tmp_path).listing() == flushed
        again = self.open(tmp_path, 16)
        assert again.count() == 300
        again.search(vectors[0], 5)
        again.close()
        assert Contents(tmp_path).listing() == flushed

    def test_s27_a_closed_store_refuses(self, tmp_path: Path) -> None:
        """S27: after ``close`` nothing is answered or written. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 5)
        store.flush()
        store.close()
        for use in (
            lambda: store.search(vectors[0], 3),
            lambda: store.upsert(["new"], vectors[:1]),
            lambda: store.get(ids),
            lambda: store.delete(ids),
            store.count,
            store.flush,
        ):
            with refused(StoreError):
                use()
        assert self.open(tmp_path, 16).count() == 5

    def test_s24_threads_may_search_while_another_writes(self, tmp_path: Path) -> None:
        """S24: searches during writes find what was there before them, once each. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 50)
        done, wrong = threading.Event(), list[object]()

        def search() -> None:
            try:
                while not done.is_set():
                    found = store.search(vectors[0], 200).ids
                    if not set(ids) <= set(found) or len(set(found)) != len(found):
                        wrong.append(found)
            except Exception as error:  # noqa: BLE001 - shown by the assertion below
                wrong.append(error)

        readers = [threading.Thread(target=search) for _ in range(3)]
        for reader in readers:
            reader.start()
        for n in range(12):
            store.upsert([f"new{n}-{m}" for m in range(5)], directions(5, 16, seed=n))
        done.set()
        for reader in readers:
            reader.join()
        assert wrong == []
        assert store.count() == 110

    # -- an index -------------------------------------------------------------------------------

    def test_s25_an_index_keeps_its_recall(self, tmp_path: Path) -> None:
        """S25: after ``maintain`` recall@10 is at least 0.95, distances close. Source: base.py."""
        store, vectors = self.open(tmp_path, 32), clustered(self.rows_to_index, 32)
        ids = [f"id{n:05}" for n in range(len(vectors))]
        store.upsert(ids, vectors)
        if isinstance(store, CanMaintain):
            assert store.maintain(), "there are rows enough for an index, and none was built"
            assert not store.maintain(), "nothing changed, and there is work again"
        assert self._recall(store, ids, vectors) >= self.recall
        hits = store.search(vectors[0], 10)
        exact = 1 - np.stack([vectors[ids.index(name)] for name in hits.ids]) @ vectors[0]
        np.testing.assert_allclose(hits.distances, exact, atol=self.indexed_tolerance)

    def test_s26_an_index_does_not_hide_what_came_later(self, tmp_path: Path) -> None:
        """S26: an index hides no new or replaced vector and no deletion. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, self.rows_to_index, dim=32)
        if isinstance(store, CanMaintain):
            store.maintain()
        new = directions(20, 32, seed=7)
        store.upsert([f"new{n}" for n in range(10)], new[:10])
        store.upsert(ids[:10], new[10:])
        store.delete(ids[10:20])
        for row in range(10):
            assert store.search(new[row], 1).ids == [f"new{row}"]
            assert store.search(new[10 + row], 1).ids == [ids[row]]
            assert ids[row] not in store.search(vectors[row], 1).ids
            assert ids[10 + row] not in store.search(vectors[10 + row], 10).ids
        assert store.count() == self.rows_to_index
        store.flush()
        store.close()
        again = self.open(tmp_path, 32)
        assert again.search(new[0], 1).ids == ["new0"]

    # -- filters --------------------------------------------------------------------------------

    def test_s29_a_filter_is_never_dropped(self, tmp_path: Path) -> None:
        """S29: only the ids given are found, all of them, exact. Source: dropped filters."""
        store, ids, vectors = self._filled(tmp_path, 300)
        for n, query in enumerate(directions(8, 16, seed=2)):
            few = ids[n::37]
            exact = nearest(few, vectors[n::37], query, 300)
            self._same(store.search_among(query, 300, few), exact)
            self._same(store.search_among(query, 3, [*few, "nobody", *few[:2]]), first(exact, 3))
        for none in ([], ["nobody"], ["it's", ""]):
            assert store.search_among(vectors[0], 5, none).ids == []
        assert store.search_among(vectors[0], 0, ids).ids == []
        with refused(InvalidInputError):
            store.search_among(vectors[0], -1, ids)

    def test_s30_a_filter_sees_changes(self, tmp_path: Path) -> None:
        """S30: a filter finds vectors where they are now, and none deleted. Source: base.py."""
        store, ids, vectors = self._filled(tmp_path, 60)
        vectors[:20] = directions(20, 16, seed=4)
        store.upsert(ids[:20], vectors[:20])
        store.delete(ids[20:30])
        some = [*ids[:10], *ids[20:35]]
        rows = [*range(10), *range(30, 35)]
        for query in (vectors[3], vectors[32], vectors[25]):
            exact = nearest([ids[row] for row in rows], vectors[rows], query, 60)
            self._same(store.search_among(query, 60, some), exact)

    # -- much at once ---------------------------------------------------------------------------

    def test_s31_all_ids_come_in_pages(self, tmp_path: Path) -> None:
        """S31: ``iter_ids`` gives each id once, and none that was deleted. Source: base.py."""
        count = self.many_in_full if os.environ.get("WHATWORKS_FULL") else self.many
        store, ids = self.open(tmp_path, 8), [f"id{n:07}" for n in range(count)]
        if not isinstance(store, CanIterate):
            return
        vectors = directions(count, 8)
        for start in range(0, count, 10_000):
            store.upsert(ids[start : start + 10_000], vectors[start : start + 10_000])
        store.upsert(ids[:500], vectors[-500:])
        store.delete(ids[100:300])
        pages = list(store.iter_ids())
        assert sorted(name for page in pages for name in page) == ids[:100] + ids[300:]
        assert store.count() == count - 200

    def test_s32_many_vectors_are_got_in_pages(self, tmp_path: Path) -> None:
        """S32: ``get`` of thousands of ids gives each its own vector. Source: limits of IN lists."""
        store, ids, vectors = self._filled(tmp_path, 4_000)
        for start in range(0, 4_000, 2_000):
            page = ids[start : start + 2_000]
            found = store.get([*page, "nobody"])
            assert found.keys() == set(page)
            np.testing.assert_allclose(
                np.stack([found[name] for name in page]), vectors[start : start + 2_000], atol=self.kept
            )

    def test_s33_a_batch_may_be_very_large(self, tmp_path: Path) -> None:
        """S33: 10,000 vectors in one call are all stored. Source: limits of batches of servers."""
        store, ids, vectors = self._filled(tmp_path, 10_000, dim=8)
        assert store.count() == 10_000
        for row in range(0, 10_000, 997):
            np.testing.assert_allclose(store.get([ids[row]])[ids[row]], vectors[row], atol=self.kept)
        store.delete(ids[1:])
        assert store.search(vectors[9], 5).ids == ids[:1]

    # -- rounding and shapes --------------------------------------------------------------------

    def test_s34_near_neighbours_keep_their_order(self, tmp_path: Path) -> None:
        """S34: distances around 0 and 2 are neither clipped nor rounded. Source: base.py."""
        store, (query, across) = self.open(tmp_path, 32), np.linalg.qr(directions(2, 32).T)[0].T
        far = np.array([0, 1e-4, 4e-4, 9e-4, 2e-3, 2])  # cosine distances
        made = np.outer(1 - far, query) + np.outer(np.sqrt(1 - (1 - far) ** 2), across)
        ids = [f"id{n}" for n in range(6)]
        store.upsert(ids[::-1], made[::-1])
        hits = store.search(query, 6)
        assert hits.ids == ids
        np.testing.assert_allclose(hits.distances, far, atol=self.tolerance)

    def test_s35_arrays_may_be_of_any_layout(self, tmp_path: Path) -> None:
        """S35: every other row, columns first, backwards, read-only. Source: raw memory."""
        store, vectors = self.open(tmp_path, 16), directions(12, 16)
        spread = np.repeat(vectors, 2, axis=1)[:, ::2]
        fixed = vectors[9:].copy()
        fixed.setflags(write=False)
        ids = [f"id{n:02}" for n in range(12)]
        store.upsert(ids[:3], spread[:3])
        store.upsert(ids[3:6], np.asfortranarray(vectors[3:6]))
        store.upsert(ids[6:9][::-1], vectors[6:9][::-1])
        store.upsert(ids[9:], fixed)
        for query in (spread[4], fixed[0], vectors[::-1, ::-1][0][::-1]):
            self._same(store.search(query, 12), nearest(ids, vectors, query, 12))

    def test_s36_equal_vectors_hide_nothing(self, tmp_path: Path) -> None:
        """S36: 100 equal vectors leave others findable. Source: OmenDB's graph lost 152 of 500."""
        store, vectors = self.open(tmp_path, 16), directions(301, 16)
        equal, others = [f"equal{n:02}" for n in range(100)], [f"other{n:03}" for n in range(300)]
        store.upsert(equal, np.tile(vectors[0], (100, 1)))
        store.upsert(others, vectors[1:])
        for row, name in enumerate(others, 1):
            assert store.search(vectors[row], 1).ids == [name]
        hits = store.search(vectors[0], 101)
        assert sorted(hits.ids[:100]) == equal
        np.testing.assert_allclose(hits.distances[:100], 0, atol=self.tolerance)

    # -- helpers --------------------------------------------------------------------------------

    def _filled(self, path: Path, count: int, dim: int = 16) -> tuple[VectorStore, list[str], Vectors]:
        store, vectors = self.open(path, dim), directions(count, dim)
        ids = [f"id{n:05}" for n in range(count)]
        store.upsert(ids, vectors)
        return store, ids, vectors

    def _same(self, hits: Hits, exact: Hits) -> None:
        np.testing.assert_allclose(hits.distances, exact.distances, atol=self.tolerance)
        assert hits.ids == exact.ids, (hits, exact)

    def _recall(self, store: VectorStore, ids: Sequence[str], vectors: Vectors) -> float:
        # Questions like the vectors: near one of them, as a text is near another one.
        queries = vectors[:: len(vectors) // 100] + 0.3 * directions(100, vectors.shape[1], seed=3)
        found = [len({*store.search(q, 10).ids} & {*nearest(ids, vectors, q, 10).ids}) for q in queries]
        return sum(found) / (10 * len(queries))


def _expect_failure(kind: type[StoreConformance], check: str, reason: str) -> None:
    """Mark a check of ``kind`` as one that fails; its other subclasses keep theirs."""
    import pytest

    (name,) = [name for name in dir(kind) if name.startswith(f"test_{check.lower()}_")]
    real = getattr(kind, name)

    @pytest.mark.xfail(reason=reason, strict=True)
    @wraps(real)
    def expected_to_fail(self: StoreConformance, tmp_path: Path) -> None:
        real(self, tmp_path)

    setattr(kind, name, expected_to_fail)


def first(hits: Hits, count: int) -> Hits:
    """The first ``count`` of them."""
    return Hits(hits.ids[:count], hits.distances[:count])


HOSTILE_IDS = [
    "x' OR '1'='1",
    "it's",
    'say "x"',
    "a\nb",
    "a\tb",
    "back\\slash",
    "percent % and _",
    "; DROP TABLE vectors; --",
    "模式",
    "🙂",
    "é",
    "e\u0301",
    " leading",
    "trailing ",
    "x" * 512,
    "NULL",
    "0",
    "{}[]()$1?",
]


def state_machine(kind: type[StoreConformance]) -> Any:
    """A hypothesis state machine that plays a store against a dict; needs ``hypothesis``.

    Run what is returned with ``hypothesis.stateful.run_state_machine_as_test``.
    """
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

    names = st.sampled_from(["a", "b", "c", "d'", "e\n", "模式"])
    # Few directions and many lengths, so that there are ties.
    places = st.tuples(*[st.sampled_from([-1.0, 0.0, 1.0, 3.0])] * 3).filter(any)

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.folder = TemporaryDirectory()
            self.model: dict[str, Vectors] = {}
            self.store = self.opened()

        def opened(self) -> VectorStore:
            return kind().open(Path(self.folder.name), 3)

        @rule(batch=st.lists(st.tuples(names, places), max_size=5))
        def upsert(self, batch: list[tuple[str, tuple[float, ...]]]) -> None:
            vectors = np.array([place for _, place in batch], np.float32).reshape(-1, 3)
            self.store.upsert([name for name, _ in batch], vectors)
            self.model |= {
                name: row / np.linalg.norm(row) for (name, _), row in zip(batch, vectors, strict=True)
            }

        @rule(ids=st.lists(names, max_size=3))
        def delete(self, ids: list[str]) -> None:
            self.store.delete(ids)
            self.model = {name: row for name, row in self.model.items() if name not in ids}

        @rule()
        def reopen(self) -> None:
            self.store.flush()
            self.store.close()
            self.store = self.opened()

        @rule()
        def maintain(self) -> None:
            if isinstance(self.store, CanMaintain):
                self.store.maintain()

        @rule(place=places, k=st.integers(0, 8))
        def search(self, place: tuple[float, ...], k: int) -> None:
            hits = self.store.search(np.array(place, np.float32), k)
            direction = np.array(place) / np.linalg.norm(place)
            exact = {name: 1 - float(row @ direction) for name, row in self.model.items()}
            assert len(set(hits.ids)) == len(hits.ids) == min(k, len(exact)), hits
            np.testing.assert_allclose(
                hits.distances, [exact[name] for name in hits.ids], atol=kind.tolerance
            )
            np.testing.assert_allclose(hits.distances, sorted(exact.values())[:k], atol=kind.tolerance)

        @rule(ids=st.lists(names, max_size=4))
        def get(self, ids: list[str]) -> None:
            found = self.store.get(ids)
            assert found.keys() == set(ids) & self.model.keys()
            for name, row in found.items():
                np.testing.assert_allclose(row, self.model[name], atol=kind.kept)

        @invariant()
        def count(self) -> None:
            assert self.store.count() == len(self.model)

        def teardown(self) -> None:
            self.store.close()
            self.folder.cleanup()

    return Machine
