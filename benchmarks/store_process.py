"""One vector store in a process of its own: does what each line of its input says, answers with a line.

``python -m benchmarks.store_process ENGINE FOLDER VECTORS QUERIES`` reads JSON objects; ``do`` names
a method of ``Worker``, the rest are its arguments.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.store_data import K, filters, row_id

__all__ = ["Worker", "main"]

BATCH = 4_096  # as whatworks fills its stores


class Worker:
    """Opens, fills and asks one store."""

    def __init__(self, engine: str, folder: str, vectors: str, queries: str) -> None:
        self._engine = engine
        self._folder = Path(folder)
        self._vectors = np.load(vectors, mmap_mode="r")
        self._queries = np.load(queries)
        self._store: Any = None
        self._added = 0
        self._filters: list[list[str]] = []

    def ready(self) -> None:
        """Everything that the measuring itself needs is in memory."""

    def open(self) -> int:
        from whatworks.stores.registry import open_store

        self._store = open_store(self._engine, self._folder, dim=self._queries.shape[1])
        return int(self._store.count())

    def build(self, size: int) -> dict[str, float]:
        """Seconds until ``size`` vectors are on the disk, and until upkeep is done as well."""
        start, cpu = perf_counter(), _cpu_seconds()
        self.open()
        for first in range(0, size, BATCH):
            rows = range(first, min(first + BATCH, size))
            self._store.upsert([row_id(row) for row in rows], self._vectors[first : rows.stop])
        self._store.flush()
        filled = perf_counter() - start
        self._maintain()
        self._store.close()
        return {"filled": filled, "ready": perf_counter() - start, "cpu": _cpu_seconds() - cpu}

    def _maintain(self) -> None:
        from whatworks.stores import CanMaintain

        store = self._store
        while isinstance(store, CanMaintain) and store.maintain():
            self._store.flush()

    def search(self, start: int, count: int) -> dict[str, Any]:
        """Milliseconds and answers of some queries, and the processor's milliseconds for all."""
        return self._asked(range(start, start + count), self._store.search)

    def search_among(self, start: int, count: int, size: int) -> dict[str, Any]:
        """The same among 1 % of the vectors."""
        if not self._filters:
            self._filters = [[row_id(row) for row in rows] for rows in filters(size)]
        wanted = iter([self._filters[n % len(self._filters)] for n in range(start, start + count)])

        def search(query: Any, k: int) -> Any:
            return self._store.search_among(query, k, next(wanted))

        return self._asked(range(start, start + count), search)

    def _asked(self, numbers: Sequence[int], search: Callable[[Any, int], Any]) -> dict[str, Any]:
        taken, answers = [], []
        cpu = process_time()
        for number in numbers:
            start = perf_counter()
            hits = search(self._queries[number], K)
            taken.append(1e3 * (perf_counter() - start))
            answers.append([hits.ids, hits.distances.tolist()])
        return {"ms": taken, "cpu": 1e3 * (process_time() - cpu), "answers": answers}

    def add(self, calls: int, size: int) -> dict[str, Any]:
        """Milliseconds of calls that add ``size`` new vectors and wait until they are on the disk."""
        taken = []
        for _ in range(calls):
            rows = [n % len(self._queries) for n in range(self._added, self._added + size)]
            names = [f"new-{n}" for n in range(self._added, self._added + size)]
            start = perf_counter()
            self._store.upsert(names, self._queries[rows])
            self._store.flush()
            taken.append(1e3 * (perf_counter() - start))
            self._added += size
        return {"ms": taken}


def _cpu_seconds() -> float:
    """The processor's time of this process, and of those that it started and that have ended."""
    return sum(os.times()[:4])


def main(words: Sequence[str]) -> None:
    # Engines may print; the answers have a way of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(*words)
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(getattr(worker, command.pop("do"))(**command)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
