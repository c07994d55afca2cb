"""Lance: vectors in a columnar file with an index, the default for large stores.

What this adapter knows of Lance (14.0, measured):

- It never syncs. After a power cut the newest manifest may be empty, and the
  dataset does not open; whoever owns the store rebuilds it then.
- One writer at a time, or ``merge_insert`` may store a new id twice.
- A handle that writes refuses to read meanwhile: writing has handles of its own.
- An IVF_SQ index gives twice the cosine distance, unless some rows are outside of it.
- Rows that are not in the index are scanned on each search: 9 ms for 2,000.
- A search with a filter on 1,000 of 100,000 ids takes 120 ms; getting their vectors takes 16.
- Merging files removes none; each commit leaves a manifest and a transaction.
- A handle on a version that was cleaned up finds its files gone.
- It panics on some damaged files, which is no ``Exception``, and believes others:
  there are no checksums over data. Whoever owns the store compares its files first.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whatworks import failpoints, system
from whatworks.errors import StoreError
from whatworks.stores.base import Float32, Hits, VectorStore, closed, translated

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LanceStore"]

# An exact scan of this many vectors takes about as long as an indexed search.
INDEX_FROM = 5_000
# Rows outside of the index that a search may scan, and as a share of those inside.
UNINDEXED, UNINDEXED_SHARE = 1_000, 0.05
INDEX = "vector_idx"
# Files of more rows than this are left alone, so that merging costs the same in a store of any size.
LARGE_FRAGMENT = 65_536
MAX_FRAGMENTS = 16
MAX_VERSIONS = 16
# Partitions of about 400 rows, of which so many times the root of their number are searched:
# recall@10 of 0.99 and 0.97 on 10,000 and 100,000 embeddings of real texts; 6 % of them gave
# 0.95 and 0.87, and took 0.5 ms less (docs/stores-benchmark.md has the texts).
ROWS_PER_PARTITION = 400
PROBES_PER_ROOT = 6.5
# Twice as many rows as wanted are compared exactly: the index alone gives 2 (1 - cos), and rounded.
REFINED = 2


class LanceStore(VectorStore):
    """Vectors in a Lance dataset; exact below 5,000 vectors, IVF_SQ above."""

    engine = "lance"
    packages = ("pylance",)

    def __init__(self, path: Path, *, dim: int) -> None:
        super().__init__(path, dim=dim)
        # Lance reports its own retries on stderr; they are not the caller's business.
        os.environ.setdefault("LANCE_LOG", "error")
        self._write_lock = threading.Lock()
        self._uri = str(path / "vectors.lance")
        self._dataset = self._open()
        self._indexed = self._partitions()

    def _open(self) -> Any:
        import lance

        with self._translated("does not open"):
            if not os.path.exists(self._uri):
                empty = self._table([], np.empty((0, self.dim), Float32))
                made = lance.write_dataset(empty, self._uri)
                failpoints.reached("lance.created")
                return made
            dataset = lance.dataset(self._uri)
            _check(dataset, self._uri, self.dim)
            return dataset

    def _translated(self, what: str) -> AbstractContextManager[None]:
        return translated(f"the Lance dataset {self._uri} {what}")

    def _table(self, ids: Sequence[str], vectors: NDArray[Float32]) -> pa.Table:
        import pyarrow as pa

        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), pa.float32())
        columns = [
            pa.array(ids, pa.string()),
            pa.FixedSizeListArray.from_arrays(flat, self.dim),
        ]
        return pa.table(columns, names=["id", "vector"])

    def _upsert(self, ids: list[str], vectors: NDArray[Float32]) -> None:
        table = self._table(ids, vectors)
        with self._writing() as dataset:
            merge = dataset.merge_insert("id")
            merge.when_matched_update_all().when_not_matched_insert_all().execute(table)
            failpoints.reached("lance.merged")

    def _live(self) -> Any:
        dataset = self._dataset
        if dataset is None:
            raise closed()
        return dataset

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        """A handle for one change, after which searches see the new state."""
        import lance

        with self._write_lock, self._translated("refused"):
            self._live()
            yield lance.dataset(self._uri)
            self._dataset = lance.dataset(self._uri)
            self._indexed = self._partitions()

    def _read(self, **what: Any) -> Any:
        """Rows of the newest version; another one may be cleaned up while it is read."""
        while True:
            dataset = self._live()
            try:
                return dataset.to_table(**what)
            except Exception:
                if dataset is self._dataset:
                    raise

    def _search(self, query: NDArray[Float32], k: int) -> Hits:
        nearest = {"column": "vector", "q": query, "k": k, "metric": "cosine"}
        if self._indexed:
            nearest["nprobes"] = min(self._indexed, round(PROBES_PER_ROOT * math.sqrt(self._indexed)))
            nearest["refine_factor"] = REFINED
        else:
            nearest["use_index"] = False
        with self._translated("cannot be searched"):
            found = self._read(columns=["id", "_distance"], nearest=nearest)
        return Hits(found["id"].to_pylist(), found["_distance"].to_numpy())

    def get(self, ids: Sequence[str]) -> dict[str, NDArray[Float32]]:
        if not ids:
            return {}
        with self._translated("cannot be read"):
            found = self._read(columns=["id", "vector"], filter=_is_in(ids))
        vectors = found["vector"].combine_chunks().flatten().to_numpy().reshape(-1, self.dim)
        return dict(zip(found["id"].to_pylist(), vectors, strict=True))

    def iter_ids(self) -> Iterator[list[str]]:
        with self._translated("cannot be read"):
            for batch in self._live().to_batches(columns=["id"]):
                yield batch["id"].to_pylist()

    def delete(self, ids: Sequence[str]) -> None:
        if ids:
            with self._writing() as dataset:
                dataset.delete(_is_in(ids))

    def count(self) -> int:
        with self._translated("cannot be read"):
            return int(self._live().count_rows())

    def maintain(self) -> bool:
        """Build or extend the index, merge small files, clean up, if due; one call at a time."""
        with self._translated("cannot be looked after"):
            due = [work for work in (self._index_work(), self._file_work()) if work is not None]
        for work in due:
            with self._writing() as dataset:
                work(dataset)
        if due or self._versions() > MAX_VERSIONS:
            with self._writing() as dataset:
                _clean_up(dataset)
            due.append(_clean_up)
        return bool(due)

    def _index_work(self) -> Callable[[Any], object] | None:
        rows = self.count()
        if rows < INDEX_FROM:
            return None
        if not self._indexed:
            return partial(_build, rows=rows)
        outside = self._dataset.stats.index_stats(INDEX)["num_unindexed_rows"]
        if outside <= max(UNINDEXED, UNINDEXED_SHARE * rows):
            return None
        if rows > 4 * ROWS_PER_PARTITION * self._indexed:
            return partial(_build, rows=rows)  # grown fourfold: the old partitions are too coarse
        return _extend

    def _file_work(self) -> Callable[[Any], object] | None:
        rows = [fragment.metadata.physical_rows for fragment in self._dataset.get_fragments()]
        small = sum(count < LARGE_FRAGMENT for count in rows)
        return _compact if small > MAX_FRAGMENTS else None

    def _versions(self) -> int:
        with self._translated("cannot be read"):
            return len(os.listdir(os.path.join(self._uri, "_versions")))

    def _partitions(self) -> int:
        """Number of partitions of the index, 0 without one."""
        for index in self._dataset.describe_indices():
            if index.name == INDEX:
                stats = self._dataset.stats.index_stats(INDEX)
                return max(1, len(stats["indices"][0].get("partitions", [])))
        return 0

    def flush(self) -> None:
        """Sync the files that Lance has written and left to the operating system."""
        self._live()
        for folder, _, files in os.walk(self._uri):
            for name in files:
                with suppress(FileNotFoundError):  # cleaned up meanwhile
                    system.sync(Path(folder, name))
            failpoints.reached("lance.synced")
            with suppress(FileNotFoundError):
                system.sync(Path(folder))

    def close(self) -> None:
        self._dataset = None


def _build(dataset: Any, *, rows: int) -> None:
    dataset.create_index(
        "vector",
        name=INDEX,
        index_type="IVF_SQ",
        metric="cosine",
        num_partitions=max(1, rows // ROWS_PER_PARTITION),
        replace=True,
    )
    failpoints.reached("lance.indexed")


def _extend(dataset: Any) -> None:
    dataset.optimize.optimize_indices(num_indices_to_merge=1)
    failpoints.reached("lance.extended")


def _compact(dataset: Any) -> None:
    dataset.optimize.compact_files(target_rows_per_fragment=LARGE_FRAGMENT)
    failpoints.reached("lance.compacted")


def _clean_up(dataset: Any) -> None:
    """Remove all versions but the newest, and what failed writes have left behind."""
    dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
    failpoints.reached("lance.cleaned")


def _check(dataset: Any, uri: str, dim: int) -> None:
    """Raise unless vectors have ``dim`` dimensions and every file is as long as it was written."""
    found = dataset.schema.field("vector").type.list_size
    if found != dim:
        raise StoreError(f"the Lance dataset {uri} has vectors of {found} dimensions, not {dim}")
    for fragment in dataset.get_fragments():
        for file in fragment.data_files():
            # A power cut leaves files short that were never synced; opening does not notice.
            if os.path.getsize(os.path.join(uri, "data", file.path)) != file.file_size_bytes:
                raise StoreError(f"the Lance dataset {uri} is damaged: {file.path} was cut short")


def _is_in(ids: Sequence[str]) -> Any:
    """A filter on ids as an expression: no id is ever part of a text that is parsed."""
    import pyarrow.compute as pc

    return pc.field("id").isin(list(ids))
