"""whatworks alone, as its store grows; and the embedding model alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.embedder import FastEmbedder
from benchmarks.measure import BARE, Quantiles, disk_bytes, fresh, quantiles
from benchmarks.results import Measured, Result
from whatworks import Memory
from whatworks.bench import (
    Size,
    batches,
    context_text,
    events,
    latency,
    measure_generated,
    pattern_id,
    pattern_text,
    patterns,
    question_text,
)
from whatworks.embedders.minilm import MiniLM

__all__ = ["MODEL", "NAME", "check_growth", "model", "run"]

NAME = "whatworks alone"
MODEL = "the embedding model"
BATCH = 5_000
SINGLE = 300
ASKED = 80
_TREND = """
from whatworks import Memory
memory = Memory.open({folder!r}, embedder='none')
assert memory.trend({pattern_id!r}).days
"""
_FIND = """
from benchmarks.embedder import FastEmbedder
from whatworks import Memory
memory = Memory.open({folder!r}, embedder=FastEmbedder())
assert memory.find_similar({text!r})
"""
# In a process of its own: loading leaves memory behind that asking does not need.
_ASK = """
import json
from dataclasses import asdict
from pathlib import Path
from benchmarks.embedder import FastEmbedder
from whatworks.bench import measure_store
report = measure_store(Path({folder!r}), embedder=FastEmbedder(), asked={asked})
Path({answers!r}).write_text(json.dumps(asdict(report)))
"""


def run(size: Size, *, starts: int = 5) -> list[Result]:
    """Fill a store and ask it; vectors by an embedder without a model."""
    measured = Measured(NAME, f"{size.patterns:,} patterns, {size.events:,} events")
    with TemporaryDirectory(prefix="whatworks-benchmark-") as name:
        folder = Path(name) / "store"
        _add_patterns(measured, folder, size)
        _add_events(measured, folder, size)
        _record(measured, folder, size)
        _recall(measured, folder, size)
        _starts(measured, folder, starts)
        _ask(measured, folder, Path(name) / "answers.json")
        _rebuild(measured, folder, size)
    return measured.results


def _add_patterns(measured: Measured, folder: Path, size: Size) -> None:
    made = list(patterns(size.patterns))
    with Memory.open(folder, embedder=FastEmbedder()) as memory:
        start = perf_counter()
        for batch in batches(made, BATCH):
            memory.add_patterns(batch)
        memory.flush()
        measured.add("add_patterns and flush", size.patterns / (perf_counter() - start), "patterns/s")
    measured.add("on disk, per pattern", disk_bytes(folder) / size.patterns, "bytes")


def _add_events(measured: Measured, folder: Path, size: Size) -> None:
    before = disk_bytes(folder)
    made = list(batches(events(size), BATCH))
    with Memory.open(folder, embedder="none") as memory:
        start = perf_counter()
        for batch in made:
            memory.record_many(batch)
        measured.add("record_many", size.events / (perf_counter() - start), "events/s")
        memory.stats()  # answers when everything is folded
        measured.add("record_many until folded", size.events / (perf_counter() - start), "events/s")
    with Memory.open(folder, embedder=FastEmbedder()) as memory:
        start = perf_counter()
        memory.flush()
        measured.add("flush of new contexts", size.contexts / (perf_counter() - start), "texts/s")
    measured.add("on disk, per event", (disk_bytes(folder) - before) / size.events, "bytes")
    for part in ("journal", "evidence.duckdb", "vectors"):
        measured.add(f"on disk, {part}", _bytes(folder / part) / 1e6, "MB")


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else disk_bytes(path)


def _record(measured: Measured, folder: Path, size: Size) -> None:
    """One try after the other, in a memory just opened; of many patterns, and of one."""
    with Memory.open(folder, embedder=FastEmbedder()) as memory:
        numbers = list(range(min(SINGLE, size.patterns)))
        for metric, chosen in (("many patterns", numbers), ("one pattern", [0] * SINGLE)):
            calls = [partial(memory.record, pattern_id(n), outcome=1.0) for n in chosen]
            _add_latency(measured, f"record, {metric}", calls)
        _add_latency(measured, "record, and ask with it folded", _asking(memory, numbers))


def _asking(memory: Memory, numbers: Sequence[int]) -> Sequence[Callable[[], object]]:
    """Record a try in a new context, and ask for the counts of its pattern."""

    def call(number: int) -> None:
        name = pattern_id(number)
        before = memory.get_pattern(name).usage_count
        memory.record(name, outcome=1.0, context=f"recorded and asked, {number}")
        assert memory.get_pattern(name).usage_count == before + 1

    return [partial(call, number) for number in numbers]


def _add_latency(measured: Measured, metric: str, calls: Sequence[Callable[[], object]]) -> None:
    _, p50, p95, n = latency(metric, calls)
    measured.add(metric, Quantiles(p50, p95, n), "ms")


def _recall(measured: Measured, folder: Path, size: Size) -> None:
    """Share of the ten truly nearest patterns among the ten nearest that find_similar names."""
    embedder = FastEmbedder()
    vectors = _unit(embedder([pattern_text(number) for number in range(size.patterns)]))
    shares = []
    with Memory.open(folder, embedder=embedder) as memory:
        for text in map(question_text, range(ASKED)):
            distances = 1 - vectors @ _unit(embedder([text]))[0]
            edge = np.partition(distances, 9)[9] + 1e-6
            near = {pattern_id(int(number)) for number in np.flatnonzero(distances <= edge)}
            matches = memory.find_similar(text, limit=100)
            found = {match.pattern_id for match in matches if (match.vector_rank or 11) <= 10}
            shares.append(len(found & near) / 10)
    measured.add("recall@10 of find_similar's vectors", float(np.mean(shares)), "")


def _unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _starts(measured: Measured, folder: Path, starts: int) -> None:
    programs = {
        "bare": BARE,
        "first trend": _TREND.format(folder=str(folder), pattern_id=pattern_id(0)),
        "first find_similar": _FIND.format(folder=str(folder), text=question_text(0)),
    }
    taken = fresh(programs, starts)
    bare = taken.pop("bare")
    for name, found in taken.items():
        ms = [ours.ms - python.ms for ours, python in zip(found, bare, strict=True)]
        uss = [ours.uss_mb - python.uss_mb for ours, python in zip(found, bare, strict=True)]
        measured.add(f"start to the {name}", quantiles(ms), "ms")
        measured.add(f"private memory after the {name}", quantiles(uss), "MB")


def _ask(measured: Measured, folder: Path, answers: Path) -> None:
    program = _ASK.format(folder=str(folder), asked=ASKED, answers=str(answers))
    bare = fresh({"bare": BARE, "ask": program}, 1)["bare"][0]
    report = json.loads(answers.read_text())
    for metric, p50, p95, n in report["latencies"]:
        measured.add(metric, Quantiles(p50, p95, n), "ms")
    measured.add("private memory after all questions", report["private_mb"] - bare.uss_mb, "MB")
    measured.add("resident memory after all questions", report["rss_mb"] - bare.rss_mb, "MB")


def _rebuild(measured: Measured, folder: Path, size: Size) -> None:
    with Memory.open(folder, embedder="none") as memory:
        start = perf_counter()
        memory.rebuild()
        rate = (size.patterns + size.events) / (perf_counter() - start)
    measured.add("rebuild of the evidence (fold alone)", rate, "records/s")


def model(texts: int) -> list[Result]:
    """The default embedder: alone, and in ``find_similar`` over a small store."""
    measured = Measured(MODEL, f"{texts:,} texts")
    embedder = MiniLM()
    start = perf_counter()
    embedder([context_text(0)])
    measured.add("load, and embed the first text", 1e3 * (perf_counter() - start), "ms")
    start = perf_counter()
    embedder([context_text(number) for number in range(texts)])
    measured.add("embed many texts", texts / (perf_counter() - start), "texts/s")
    _add_latency(
        measured, "embed one text", [partial(embedder, [question_text(n)]) for n in range(ASKED)]
    )
    report = measure_generated(embedder=embedder, size=Size(texts // 2, texts // 4, texts))
    for metric, p50, p95, n in report.latencies:
        if metric.startswith("find_similar"):
            measured.add(metric, Quantiles(p50, p95, n), "ms")
    return measured.results


def check_growth(small: Sequence[Result], large: Sequence[Result], *, at_most: float = 10.0) -> None:
    """Raise if a question takes ``at_most`` times as long on the larger store."""
    before = {result.metric: result.p50 for result in small if result.unit == "ms"}
    for result in large:
        # Below two milliseconds other work on the machine decides.
        if result.unit == "ms" and result.p50 > at_most * max(before[result.metric], 2.0):
            raise SystemExit(
                f"{result.metric} takes {result.p50:.1f} ms with {result.size}, "
                f"{before[result.metric]:.1f} ms with {small[0].size}: it should not grow so fast"
            )
