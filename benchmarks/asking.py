"""Questions to a store that is open and warm, in a process of its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from benchmarks.child import Child
from benchmarks.corpus import Corpus, Size
from benchmarks.measure import quantiles
from benchmarks.nearest import recall
from benchmarks.results import Measured, Result
from benchmarks.store_data import edges
from whatworks import Memory
from whatworks.bench import END, pattern_id

__all__ = ["NAME", "VIEWS", "Asker", "Viewer", "run"]

NAME = "questions"
TARGET = "benchmarks.asking"
SINCE = (END - timedelta(days=30)).replace(tzinfo=None)
# What the design documents as public: each view, of its last 30 days.
VIEWS = {
    "patterns": "SELECT count(*), avg(success_rate) FROM patterns WHERE created_at >= ?",
    "usage_events": "SELECT timestamp::DATE AS day, count(*), avg(outcome) FROM usage_events "
    "WHERE timestamp >= ? GROUP BY day ORDER BY day",
    "usage_events, newest 100": "SELECT * FROM usage_events WHERE timestamp >= ? "
    "ORDER BY timestamp DESC LIMIT 100",
    "contexts": "SELECT count(*) FROM contexts WHERE first_seen_at >= ?",
    "predictions": "SELECT prediction_id, made_at, context FROM predictions WHERE made_at >= ?",
    "trend_daily": "SELECT day, sum(usage_count), sum(resolved_count) FROM trend_daily "
    "WHERE day >= ?::DATE GROUP BY day ORDER BY day",
}


class Asker:
    """A memory with the built-in model, which answers all."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._memory: Any = None

    def open(self) -> None:
        self._memory = Memory.open(self._folder, create=False)

    def open_without_embedder(self) -> None:
        self._memory = Memory.open(self._folder, create=False, embedder="none")

    def by_text(self, text: str) -> int:
        return len(self._memory.find_similar(text))

    def predict(self, text: str) -> int:
        return len(self._memory.predict(text).answers)

    def trend(self, name: str) -> int:
        return len(self._memory.trend(name).days)

    def events(self, name: str) -> int:
        return len(self._memory.events(name))

    def newest_events(self) -> int:
        return len(self._memory.events())

    def newest_patterns(self) -> int:
        return len(self._memory.patterns())

    def sql(self) -> int:
        query = "SELECT * FROM usage_events ORDER BY timestamp DESC LIMIT 100"
        return len(self._memory.sql(query).rows)

    def stats(self) -> int:
        return int(self._memory.stats().events)


class Viewer:
    """The public views by SQL, in the evidence of a store that nobody keeps at the time."""

    def __init__(self, folder: str) -> None:
        self._connection = duckdb.connect(f"{folder}/evidence.duckdb", read_only=True)

    def view(self, name: str) -> int:
        return len(self._connection.execute(VIEWS[name], [SINCE]).fetchall())


def run(folder: Path, corpus: Corpus, size: Size, *, asked: int) -> list[Result]:
    """Every question ``asked`` times, each but the repeated texts about something else."""
    measured = Measured(NAME, str(size))
    with Child(f"{TARGET}:Asker", str(folder)) as child:
        child.ask("open")
        _ask(measured, child, corpus, size, asked)
    _by_vector(measured, folder, corpus, size, asked)
    with Child(f"{TARGET}:Viewer", str(folder)) as child:
        for name in VIEWS:
            child.timed("view", [[name]])
            _add(measured, f"view of 30 days: {name}", child.timed("view", [[name]] * asked).ms)
    return measured.results


def _ask(measured: Measured, child: Child, corpus: Corpus, size: Size, asked: int) -> None:
    short = corpus.short_questions()
    ids = [[pattern_id(n)] for n in range(min(asked, size.patterns))]
    warm, texts = short[0], [[text] for text in short[1 : asked + 1]]
    questions: list[tuple[str, str, Sequence[Sequence[str]]]] = [
        ("find_similar, new short text", "by_text", texts),
        ("find_similar, repeated text", "by_text", texts),
        (
            "find_similar, long text",
            "by_text",
            [[f"{a} {b}"] for (a,), (b,) in itertools.pairwise(texts)],
        ),
        ("predict, new text", "predict", [[f"{text} again"] for (text,) in texts]),
        ("trend", "trend", ids),
        ("stats", "stats", [[]] * asked),
        ("events of a pattern", "events", ids),
        ("events, the newest", "newest_events", [[]] * asked),
        ("patterns, the newest", "newest_patterns", [[]] * asked),
        ("sql, newest 100 of usage_events", "sql", [[]] * max(1, asked // 10)),
    ]
    child.ask("by_text", warm)
    child.ask("predict", warm)
    for metric, method, calls in questions:
        child.ask(method, *calls[0])
        # The first was asked: for a new text only the others are new.
        new = calls[1:] if metric.startswith(("find", "predict")) else calls
        _add(measured, metric, child.timed(method, new).ms)


def _by_vector(measured: Measured, folder: Path, corpus: Corpus, size: Size, asked: int) -> None:
    vectors = np.load(corpus.files.vectors, mmap_mode="r")[: size.patterns]
    words = [str(folder), str(corpus.files.vectors), str(corpus.files.queries)]
    with Child("benchmarks.vector_peers:WhatWorks", *words) as child:
        child.ask("open", 0)
        child.timed("search", [[number] for number in range(5)])
        timed = child.timed("search", [[number] for number in range(asked)])
    _add(measured, "find_similar by vector", timed.ms)
    queries = np.load(corpus.files.queries)[:asked]
    share = recall(timed.answers, vectors, queries, edges(vectors, queries))
    measured.add("find_similar by vector, recall@10", share, "")


def _add(measured: Measured, metric: str, taken: Sequence[float]) -> None:
    measured.add(metric, quantiles(taken), "ms")
