"""What a user would take for vectors alone, each as its documentation shows it, for ``worker``.

``fill`` takes the first vectors of a file, ``open`` finds them again in a new process; ``search``
gives the rows of the ten nearest. What can keep more beside a vector keeps its pattern, and answers
with that; ``search_rows`` is the same without. ``effort`` is how many candidates a graph looks at: the
suite takes the least that finds 95 % of the nearest. Nothing is imported before it is needed: that
counts as its start and its memory.
"""

from __future__ import annotations

import json
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
    keeps_patterns: ClassVar[bool] = False  # and their text and type: a store, and not an index
    can_leave_out: ClassVar[bool] = False  # these, in an answer: ``search_rows``
    has_effort: ClassVar[bool] = False

    def __init__(self, folder: str, vectors: str, queries: str, patterns: str = "") -> None:
        """``patterns``: a file with what is kept of each, a JSON object a line."""
        self.folder = Path(folder)
        self._file = patterns
        self._told: list[dict[str, str]] = []
        self.vectors = np.load(vectors, mmap_mode="r")
        self.queries = np.load(queries)
        self.lists = [query.tolist() for query in self.queries[:1_000]]

    def fill(self, size: int) -> None:
        raise NotImplementedError

    def open(self, effort: int) -> None:
        raise NotImplementedError

    def search(self, number: int) -> list[int]:
        raise NotImplementedError

    def search_rows(self, number: int) -> list[int]:
        raise NotImplementedError

    def read(self) -> None:
        """Have ready what belongs to the vectors; before ``fill``."""
        if self.keeps_patterns:
            self._told = [json.loads(line) for line in Path(self._file).read_text().splitlines()]


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

    COLUMNS = ("pattern_id", "description", "pattern_type", "created_at")
    needs = "duckdb"
    keeps_patterns = can_leave_out = True

    def fill(self, size: int) -> None:
        import duckdb
        import pyarrow as pa

        self.folder.mkdir(parents=True)
        dim = self.vectors.shape[1]
        with duckdb.connect(str(self.folder / "vectors.duckdb")) as con:
            kept = ", ".join(f"{name} VARCHAR" for name in self.COLUMNS)
            con.execute(f"CREATE TABLE vectors (id INTEGER, vector FLOAT[{dim}], {kept})")
            for first in range(0, size, BATCH):
                part = np.ascontiguousarray(self.vectors[first : min(first + BATCH, size)])
                flat = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), dim)
                columns = {"id": range(first, first + len(part)), "vector": flat}
                told = pa.Table.from_pylist(self._told[first : first + len(part)])
                con.register("part", pa.table(columns | {name: told[name] for name in self.COLUMNS}))
                con.execute("INSERT INTO vectors SELECT * FROM part")

    def open(self, effort: int) -> None:
        import duckdb

        self._con = duckdb.connect(str(self.folder / "vectors.duckdb"), read_only=True)
        self._alike = f"array_cosine_similarity(vector, ?::FLOAT[{self.vectors.shape[1]}]) AS alike"

    def search(self, number: int) -> list[int]:
        return [_row(found[0]) for found in self._rows(", ".join(self.COLUMNS), number)]

    def search_rows(self, number: int) -> list[int]:
        return [found[0] for found in self._rows("id", number)]

    def _rows(self, columns: str, number: int) -> Any:
        query = f"SELECT {columns}, {self._alike} FROM vectors ORDER BY alike DESC LIMIT {K}"
        return self._con.execute(query, [self.lists[number]]).fetchall()


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
    """A collection of a ``PersistentClient``, with descriptions as documents, the rest as metadata."""

    needs = "chromadb"
    keeps_patterns = can_leave_out = True
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
            held.add(
                ids=[str(row) for row in rows],
                embeddings=self.vectors[first : rows.stop],
                documents=[self._told[row].pop("description") for row in rows],
                metadatas=[self._told[row] for row in rows],
            )

    def open(self, effort: int) -> None:
        self._held = self._client().get_collection("vectors", embedding_function=None)
        self._held.modify(configuration={"hnsw": {"ef_search": effort}})
        self._held = self._client().get_collection("vectors", embedding_function=None)

    def search(self, number: int) -> list[int]:
        found = self._ask(number, ["documents", "metadatas", "distances"])
        return [_row(told["pattern_id"]) for told in found["metadatas"][0]]

    def search_rows(self, number: int) -> list[int]:
        return [int(row) for row in self._ask(number, [])["ids"][0]]

    def _ask(self, number: int, include: list[str]) -> Any:
        query = [self.queries[number]]
        return self._held.query(query_embeddings=query, n_results=K, include=include)


class QdrantEdge(Peer):
    """A shard of Qdrant Edge with patterns as payloads, optimised after it was filled."""

    needs = "qdrant_edge"
    keeps_patterns = can_leave_out = True
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
            points = [edge.Point(row, self.vectors[row].tolist(), self._told[row]) for row in rows]
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
        return [_row(point.payload["pattern_id"]) for point in self._ask(number, with_payload=True)]

    def search_rows(self, number: int) -> list[int]:
        return [int(point.id) for point in self._ask(number, with_payload=False)]

    def _ask(self, number: int, *, with_payload: bool) -> Any:
        nearest = self._edge.Query.Nearest(self.lists[number])
        request = self._edge.QueryRequest(
            query=nearest, limit=K, params=self._params, with_payload=with_payload
        )
        return self._held.query(request)


class OmenDB(Peer):
    """A database of OmenDB with patterns as metadata, flushed."""

    needs = "omendb"
    keeps_patterns = True
    has_effort = True

    def fill(self, size: int) -> None:
        import omendb

        dense = {"dim": self.vectors.shape[1], "quantization": "none"}
        held = omendb.create(str(self.folder), {"metric": "cosine", "dense": dense})
        for first in range(0, size, BATCH):
            rows = range(first, min(first + BATCH, size))
            held.set(
                ids=[str(row) for row in rows],
                vectors=np.array(self.vectors[first : rows.stop]),
                metadatas=self._told[first : rows.stop],
            )
        held.flush()
        held.close()

    def open(self, effort: int) -> None:
        import omendb

        self._effort = effort
        self._held = omendb.open(str(self.folder))

    def search(self, number: int) -> list[int]:
        hits = self._held.search(self.queries[number], K, ef=self._effort)
        return [_row(hit["metadata"]["pattern_id"]) for hit in hits]


class WhatWorks(Peer):
    """A memory through its public API: patterns with all that is known of them, not rows alone."""

    needs = "whatworks"
    keeps_patterns = True

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
        return [_row(match.pattern_id) for match in matches]


def _row(pattern_id: str) -> int:
    return int(pattern_id.rpartition("-")[2])


PEERS: dict[str, type[Peer]] = {
    "NumPy, exact": NumpyExact,
    "DuckDB, exact": DuckDBExact,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "qdrant-edge": QdrantEdge,
    "Chroma": Chroma,
    "OmenDB": OmenDB,
}
