"""The built-in model alone, and beside a bulk import that needs it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.corpus import Corpus
from benchmarks.measure import interleaved
from benchmarks.results import Measured, Result
from whatworks import Memory
from whatworks.embedders.minilm import MiniLM

__all__ = ["NAME", "run"]

NAME = "embedding"


def run(corpus: Corpus, *, texts: int, singles: int) -> list[Result]:
    """Short texts in bulk, one by one, and in an import."""
    measured = Measured(NAME, f"{texts:,} texts")
    short = corpus.short_questions()
    bulk = [f"{short[n % len(short)]} {n}" for n in range(texts)]  # no text twice
    model = MiniLM()
    start = perf_counter()
    model(short[:1])
    measured.add("load, and embed the first text", 1e3 * (perf_counter() - start), "ms")
    rate = _rate(model, bulk)
    measured.add("short texts in bulk", rate, "texts/s")
    one = [partial(model, [text]) for text in short[:singles]]
    measured.add("one short text", interleaved({"one": one})["one"], "ms")
    with (
        TemporaryDirectory(prefix="whatworks-benchmark-") as name,
        Memory.open(Path(name) / "store", embedder=model) as memory,
    ):
        start = perf_counter()
        memory.add_patterns(bulk)
        memory.flush()
        imported = texts / (perf_counter() - start)
    again = (rate + _rate(model, bulk)) / 2
    measured.add("bulk import of patterns", imported, "texts/s")
    measured.add("time of an import, as a multiple of that of its embedding", again / imported, "")
    return measured.results


def _rate(model: MiniLM, texts: Sequence[str]) -> float:
    start = perf_counter()
    model(list(texts))
    return len(texts) / (perf_counter() - start)
