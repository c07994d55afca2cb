"""What a user would take for vectors alone, each as its documentation shows it, for ``worker``.

``fill`` takes the first vectors of a file, ``open`` finds them again in a new process; ``search``
gives the rows of the ten nearest. ``effort`` is how many candidates a graph looks at: the suite takes
the least that finds 95 % of the nearest. Nothing is imported before it is needed: that counts as its
start and its memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

__all__ = ["PEERS", "Peer", "WhatWorks"]

K = 10
BATCH = 5_000
M, BUILD_WIDTH = 16, 128


class Peer:
    """One way to keep vectors."""

    needs: ClassVar[str] = "numpy"  # the module that must be installed
    persistent: ClassVar[bool] = True  # whether it finds its data again after a restart
    has_effort: ClassVar[bool] = False

    def __init__(self, folder: str, vectors: str, queries: str) -> None:
        self.folder = Path(folder)
        self.vectors = np.load(vectors, mmap_mode="r")
        self.queries = np.load(queries)
        self.lists = [query.tolist() for query in self.queries[:1_000]]

    def fill(self, size: int) -> None:
        raise NotImplementedError

    def open(self, effort: int) -> None:
        raise NotImplementedError

    def search(self, number: int) -> list[int]:
        raise NotImplementedError


class NumpyExact(Peer):
    """A file of vectors, mapped; every search compares with all."""

    def fill(self, size: int) -> None:
        self.folder.mkdir(parents=True)
        np.save(self.folder / "vectors.npy", self.vectors[:size])

    def open(self, effort: int) -> None:
        self._held = np.load(self.folder / "vectors.npy", mmap_mode="r")

    def search(self, number: int) -> list[int]:
        near = self._held @ self.queries[number]
        best = np.argpartition(-near, K)[:K]
        return [int(row) for row in best[np.argsort(-near[best])]]


class DuckDBExact(Peer):
    """A table with a column ``FLOAT[n]``; every search compares with all."""

    needs = "duckdb"

    def fill(self, size: int) -> None:
        import duckdb
        import pyarrow as pa

        self.folder.mkdir(parents=True)
        dim = self.vectors.shape[1]
        with duckdb.connect(str(self.folder / "vectors.duckdb")) as con:
            con.execute(f"CREATE TABLE vectors (id INTEGER, vector FLOAT[{dim}])")
            for first in range(0, size, BATCH):
                part = np.ascontiguousarray(self.vectors[first : min(first + BATCH, size)])
                flat = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), dim)
                con.register("part", pa.table({"id": range(first, first + len(part)), "vector": flat}))
                con.execute("INSERT INTO vectors SELECT * FROM part")

    def open(self, effort: int) -> None:
        import duckdb

        self._con = duckdb.connect(str(self.folder / "vectors.duckdb"), read_only=True)
        self._sql = (
            f"SELECT id FROM vectors ORDER BY array_cosine_similarity(vector, "
            f"?::FLOAT[{self.vectors.shape[1]}]) DESC LIMIT {K}"
        )

    def search(self, number: int) -> list[int]:
        return [row for (row,) in self._con.execute(self._sql, [self.lists[number]]).fetchall()]


class Hnswlib(Peer):
    """A graph in memory, saved to a file and loaded from it."""

    needs = "hnswlib"
    has_effort = True

    def _index(self) -> Any:
        import hnswlib

        return hnswlib.Index(space="cosine", dim=self.vectors.shape[1])

    def fill(self, size: int) -> None:
        self.folder.mkdir(parents=True)
        index = self._index()
        index.init_index(size, ef_construction=BUILD_WIDTH, M=M)
        index.add_items(self.vectors[:size])
        index.save_index(str(self.folder / "index"))

    def open(self, effort: int) -> None:
        self._held = self._index()
        self._held.load_index(str(self.folder / "index"))
        self._held.set_ef(effort)

    def search(self, number: int) -> list[int]:
        rows, _ = self._held.knn_query(self.queries[number], k=K)
        return [int(row) for row in rows[0]]


class Usearch(Peer):
    """A graph of float16 numbers, saved to a file and mapped from it."""

    needs = "usearch"
    has_effort = True

    def _index(self, **more: Any) -> Any:
        from usearch.index import Index

        return Index(
            ndim=self.vectors.shape[1], metric="cos", dtype="f16", connectivity=M,
            expansion_add=BUILD_WIDTH, **more,
        )  # fmt: skip

    def fill(self, size: int) -> None:
        self.folder.mkdir(parents=True)
        index = self._index()
        for first in range(0, size, BATCH):
            rows = np.arange(first, min(first + BATCH, size))
            index.add(rows, np.asarray(self.vectors[rows]))
        index.save(str(self.folder / "index"))

    def open(self, effort: int) -> None:
        self._held = self._index(expansion_search=effort)
        self._held.view(str(self.folder / "index"))
        self._held.expansion_search = effort

    def search(self, number: int) -> list[int]:
        return [int(row) for row in self._held.search(self.queries[number], K).keys]


class Chroma(Peer):
    """A collection of a ``PersistentClient``."""

    needs = "chromadb"
    has_effort = True

    def _client(self) -> Any:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        return chromadb.PersistentClient(str(self.folder), settings)

    def fill(self, size: int) -> None:
        hnsw = {"space": "cosine", "max_neighbors": M, "ef_construction": BUILD_WIDTH}
        held = self._client().create_collection(
            "vectors", embedding_function=None, configuration={"hnsw": hnsw}
        )
        for first in range(0, size, BATCH):
            rows = range(first, min(first + BATCH, size))
            held.add(ids=[str(row) for row in rows], embeddings=self.vectors[first : rows.stop])

    def open(self, effort: int) -> None:
        self._held = self._client().get_collection("vectors", embedding_function=None)
        self._held.modify(configuration={"hnsw": {"ef_search": effort}})
        self._held = self._client().get_collection("vectors", embedding_function=None)

    def search(self, number: int) -> list[int]:
        found = self._held.query(query_embeddings=[self.queries[number]], n_results=K, include=[])
        return [int(row) for row in found["ids"][0]]


class QdrantEdge(Peer):
    """A shard of Qdrant Edge, optimised after it was filled."""

    needs = "qdrant_edge"
    has_effort = True

    def fill(self, size: int) -> None:
        import qdrant_edge as edge

        self.folder.mkdir(parents=True)
        kind = edge.EdgeVectorParams(size=self.vectors.shape[1], distance=edge.Distance.Cosine)
        graph = edge.HnswIndexConfig(m=M, ef_construct=BUILD_WIDTH, full_scan_threshold=1_000)
        shard = edge.EdgeShard.create(
            str(self.folder), edge.EdgeConfig(vectors=kind, hnsw_config=graph)
        )
        for first in range(0, size, BATCH):
            rows = range(first, min(first + BATCH, size))
            points = [edge.Point(row, self.vectors[row].tolist(), {}) for row in rows]
            shard.update(edge.UpdateOperation.upsert_points(points))
        shard.flush()
        shard.optimize()
        shard.flush()
        shard.close()

    def open(self, effort: int) -> None:
        import qdrant_edge as edge

        self._edge = edge
        self._params = edge.SearchParams(hnsw_ef=effort)
        self._held = edge.EdgeShard.load(str(self.folder))

    def search(self, number: int) -> list[int]:
        nearest = self._edge.Query.Nearest(self.lists[number])
        request = self._edge.QueryRequest(query=nearest, limit=K, params=self._params)
        return [int(point.id) for point in self._held.query(request)]


class OmenDB(Peer):
    """A database of OmenDB, flushed."""

    needs = "omendb"
    has_effort = True

    def fill(self, size: int) -> None:
        import omendb

        dense = {"dim": self.vectors.shape[1], "quantization": "none"}
        held = omendb.create(str(self.folder), {"metric": "cosine", "dense": dense})
        for first in range(0, size, BATCH):
            rows = range(first, min(first + BATCH, size))
            held.set(ids=[str(row) for row in rows], vectors=np.array(self.vectors[first : rows.stop]))
        held.flush()
        held.close()

    def open(self, effort: int) -> None:
        import omendb

        self._effort = effort
        self._held = omendb.open(str(self.folder))

    def search(self, number: int) -> list[int]:
        return [int(hit["id"]) for hit in self._held.search(self.queries[number], K, ef=self._effort)]


class WhatWorks(Peer):
    """A memory through its public API: patterns with all that is known of them, not rows alone."""

    needs = "whatworks"

    def open(self, effort: int) -> None:
        from whatworks import Memory
        from whatworks.embedders.minilm import MiniLM

        class Silent:
            """Names the model of the vectors; no text is asked for."""

            model_id, dim = MiniLM.model_id, MiniLM.dim

            def __call__(self, texts: list[str], /) -> Any:
                raise AssertionError(f"embedded: {texts[0]!r}")

        self._held: Any = Memory.open(self.folder, embedder=Silent(), create=False)

    def search(self, number: int) -> list[int]:
        matches = self._held.find_similar(vector=self.queries[number])
        return [int(match.pattern_id.rpartition("-")[2]) for match in matches]


PEERS: dict[str, type[Peer]] = {
    "NumPy, exact": NumpyExact,
    "DuckDB, exact": DuckDBExact,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "qdrant-edge": QdrantEdge,
    "Chroma": Chroma,
    "OmenDB": OmenDB,
}
