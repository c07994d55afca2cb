"""Bulk work by one process, and by 1, 2 and 4 workers of a Ray: ``python -m benchmarks.bulk``.

Embedding: what the journal of a memory tells is embedded by the memory itself, and by workers; the
vectors are compared to the bit. "Vectors that cost nothing" is how many a memory keeps at most. Index:
the graph of the default store, made by all processors, and in parts by workers, all of which are
searched then, one after the other. Prints a table; needs the extra ``ray``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from whatworks import Memory, NewPattern, bulk
from whatworks.bench import pattern_text
from whatworks.bulk import RayPool
from whatworks.embedders import Embedder
from whatworks.embedders.minilm import MiniLM
from whatworks.stores.usearch import ADD_WIDTH, CONNECTIVITY, SEARCH_WIDTH

TEXTS, VECTORS, REPEATS = 1_024, 20_000, 3
WORKERS = (1, 2, 4)
DIM, TOPICS, QUESTIONS, NEAREST, CANDIDATES = 384, 500, 200, 10, 64

Float32 = NDArray[np.float32]


class Instant:
    """Vectors that cost nothing."""

    def vectors(self, _: Embedder, lists: Iterable[list[str]]) -> Iterator[Float32]:
        some = np.random.default_rng(0).normal(size=(4_096, DIM)).astype(np.float32)
        for texts in lists:
            yield some[: len(texts)]


def journal_only(store: Path, to: Path) -> Path:
    """A copy of which only the journal is left, folded, and nothing embedded."""
    shutil.copytree(store, to)
    for path in to.glob("evidence*"):
        path.unlink()
    shutil.rmtree(to / "vectors", ignore_errors=True)
    Memory.open(to, embedder="none").close()
    return to


def embedded(store: Path, pool: Any) -> tuple[float, str]:
    """Seconds that embedding took, and a digest of the vectors."""
    with Memory.open(store) as memory, memory._link.kept() as desk:
        desk.catch_up()
        start = perf_counter()
        desk.keeper.embeddings.embed(None, pool)
        seconds = perf_counter() - start
    with duckdb.connect(str(store / "evidence.duckdb"), read_only=True) as con:
        rows = con.execute("SELECT collection, id, vector FROM embeddings ORDER BY ALL").fetchall()
    return seconds, sha256(repr(rows).encode()).hexdigest()


def embedding(folder: Path, texts: int, repeats: int) -> None:
    """The table of embedding: one process, workers, and what a memory takes at most."""
    store = folder / "store"
    with Memory.open(store, embedder="none") as memory:
        memory.add_patterns([NewPattern(f"{pattern_text(n)} ({n})") for n in range(texts)])
    turns = [(turn, workers) for turn in range(repeats) for workers in (0, *WORKERS, -1)]
    copies = {turn: journal_only(store, folder / "-".join(map(str, turn))) for turn in turns}
    seconds: dict[str, list[float]] = {}
    digests = set[str]()
    with RayPool(workers=max(WORKERS)) as pool:
        start = perf_counter()
        _warm(pool)
        starting = perf_counter() - start
        print("ready", flush=True)
        for turn, workers in turns:
            bulk.TASK_CPUS = max(WORKERS) / max(1, workers)  # so that so many run at a time
            by = [None, pool, Instant()][(workers > 0) - (workers < 0)]
            spent, digest = embedded(copies[turn, workers], by)
            if workers >= 0:
                digests.add(digest)
            seconds.setdefault(_name(workers), []).append(spent)
            print(f"  {_name(workers)}: {texts / spent:,.0f} texts/s", flush=True)
    assert len(digests) == 1, "the vectors differ"
    best = {name: min(times) for name, times in seconds.items()}
    print("| who embeds | texts a second | times one worker |\n|---|---|---|")
    for name, spent in best.items():
        print(f"| {name} | {texts / spent:,.0f} | {best[_name(1)] / spent:.2f} |")
    print(
        f"\n{texts:,} made-up texts, the best of {repeats} interleaved turns, all vectors the same to "
        f"the bit; a Ray of {max(WORKERS)} begins and loads the model in {starting:.0f} s; {_machine()}"
    )


def _warm(pool: RayPool) -> None:
    """Have every worker load the model."""
    bulk.TASK_CPUS = 1.0
    list(pool.vectors(MiniLM(), [[pattern_text(n) for n in range(2 * bulk.TASK * max(WORKERS))]]))


def _name(workers: int) -> str:
    return {0: "the memory itself", 1: "1 worker", -1: "vectors that cost nothing"}.get(
        workers, f"{workers} workers"
    )


def made_up(count: int) -> Float32:
    """Vectors of length 1 in topics, as texts are."""
    random = np.random.default_rng(0)
    topics = random.normal(size=(TOPICS, DIM))
    made = topics[random.integers(TOPICS, size=count)] + 0.7 * random.normal(size=(count, DIM))
    unit: Float32 = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return unit


def index() -> Any:
    """An empty index as the default store makes it."""
    import duckdb  # noqa: F401 - without it, onnxruntime dies when it is loaded after usearch
    from usearch.index import Index

    return Index(
        ndim=DIM,
        metric="cos",
        dtype="i8",
        connectivity=CONNECTIVITY,
        expansion_add=ADD_WIDTH,
        expansion_search=SEARCH_WIDTH,
    )


def build(vectors: Float32, first: int, path: str, threads: int) -> None:
    """Make an index of some rows, and write it."""
    made = index()
    made.add(np.arange(first, first + len(vectors), dtype=np.uint64), vectors, threads=threads)
    made.save(path)


def searched(paths: list[str], vectors: Float32, questions: Float32) -> tuple[float, float]:
    """Milliseconds of a search in all parts, compared exactly as the store does, and its recall."""
    parts = []
    for path in paths:
        parts.append(index())
        parts[-1].view(path)
    times, found = [], 0
    for question in questions:
        start = perf_counter()
        rows = np.concatenate([part.search(question, CANDIDATES).keys for part in parts])
        near = rows[np.argsort(1 - vectors[rows] @ question)[:NEAREST]]
        times.append(perf_counter() - start)
        truth = np.argpartition(1 - vectors @ question, NEAREST)[:NEAREST]
        found += len(set(near.tolist()) & set(truth.tolist()))
    return 1e3 * statistics.median(times), found / (NEAREST * len(questions))


def indexing(folder: Path, count: int, repeats: int) -> None:
    """The table of indexes: one by all processors, and parts by workers."""
    vectors = made_up(count + QUESTIONS)
    vectors, questions = vectors[:count], vectors[count:]
    seconds: dict[str, list[float]] = {}
    paths: dict[str, list[str]] = {}
    with RayPool(workers=max(WORKERS)) as pool:
        ray = pool._reached()
        task = ray.remote(num_cpus=1)(build)
        ray.get([task.remote(vectors[:999], 0, str(folder / f"warm-{n}"), 1) for n in range(16)])
        print("ready", flush=True)
        for turn in range(repeats):
            for workers in (0, *WORKERS):
                name = _name(workers) if workers else "all processors, one index"
                made = [str(folder / f"{turn}-{workers}-{n}") for n in range(workers or 1)]
                size = -(-count // len(made))
                parts = [(vectors[n * size :][:size], n * size, path) for n, path in enumerate(made)]
                one = ray.remote(num_cpus=max(WORKERS) / max(1, workers))(build)
                paths[name] = made
                start = perf_counter()
                if workers:
                    ray.get([one.remote(*part, 1) for part in parts])
                else:
                    build(*parts[0], os.cpu_count() or 1)
                seconds.setdefault(name, []).append(perf_counter() - start)
                print(f"  {name}: {count / seconds[name][-1]:,.0f} vectors/s", flush=True)
    best = {name: min(times) for name, times in seconds.items()}
    print("| who indexes | vectors a second | times one worker | a search of all parts | recall |")
    print("|---|---|---|---|---|")
    for name, spent in best.items():
        ms, recall = searched(paths[name], vectors, questions)
        rate, times = count / spent, best[_name(1)] / spent
        print(f"| {name} | {rate:,.0f} | {times:.2f} | {ms:.2f} ms | {recall:.1%} |")
    print(f"\n{count:,} made-up vectors, the best of {repeats} interleaved turns; {_machine()}")


def _machine() -> str:
    return f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk")
    parser.add_argument("what", choices=("embedding", "index"))
    parser.add_argument("--count", type=int)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    with TemporaryDirectory(prefix="whatworks-bulk-") as folder:
        if given.what == "embedding":
            embedding(Path(folder), given.count or TEXTS, given.repeats)
        else:
            indexing(Path(folder), given.count or VECTORS, given.repeats)


if __name__ == "__main__":
    main()
