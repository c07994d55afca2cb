"""Single writes, each on the disk when it returns, and everything made anew from the journal."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.corpus import Corpus, Size, embedder
from benchmarks.measure import disk_bytes, interleaved
from benchmarks.results import Measured, Result
from whatworks import Memory, vectors
from whatworks.bench import pattern_id

__all__ = ["NAME", "rebuild", "record"]

NAME = "writing"


def record(folder: Path, size: Size, *, calls: int) -> list[Result]:
    """One try after the other, in a copy of a store."""
    measured = Measured(NAME, str(size))
    with TemporaryDirectory(prefix="whatworks-benchmark-", dir=folder.parent) as name:
        copy = Path(shutil.copytree(folder, Path(name) / "store"))
        with Memory.open(copy, embedder="none") as memory:
            numbers = [number % size.patterns for number in range(calls)]
            memory.record(pattern_id(0), outcome=1.0)
            # Twice: a handle learns that a pattern exists when it first writes to it.
            for metric in ("record, a pattern not written to before", "record"):
                _add(measured, metric, [partial(_record, memory, number) for number in numbers])
            counted = [partial(_asked, memory, number) for number in numbers[: calls // 4]]
            _add(measured, "record, and ask with it counted", counted)
    return measured.results


def _record(memory: Memory, number: int) -> None:
    memory.record(pattern_id(number), outcome=1.0)


def _asked(memory: Memory, number: int) -> None:
    before = memory.get_pattern(pattern_id(number)).usage_count
    memory.record(pattern_id(number), outcome=1.0, context=f"recorded and asked, {number}")
    assert memory.get_pattern(pattern_id(number)).usage_count == before + 1


def _add(measured: Measured, metric: str, calls: Sequence[Callable[[], object]]) -> None:
    measured.add(metric, interleaved({metric: calls})[metric], "ms")


def rebuild(folder: Path, corpus: Corpus, size: Size) -> list[Result]:
    """Evidence from the journal, and vectors from the embeddings that are kept."""
    measured = Measured(NAME, str(size))
    with TemporaryDirectory(prefix="whatworks-benchmark-", dir=folder.parent) as name:
        copy = Path(shutil.copytree(folder, Path(name) / "store"))
        with Memory.open(copy, embedder="none") as memory:
            start = perf_counter()
            memory.rebuild()
            measured.add("rebuild of the evidence", perf_counter() - start, "s")
        measured.add("vectors from their embeddings", _vectors(copy, corpus, size), "s")
    return measured.results


def _vectors(store: Path, corpus: Corpus, size: Size) -> float:
    """Seconds until the files of the vector store are there again; also a small store gets them."""
    before, vectors.IN_MEMORY = vectors.IN_MEMORY, min(vectors.IN_MEMORY, size.patterns // 2)
    shutil.rmtree(store / "vectors", ignore_errors=True)
    try:
        with Memory.open(store, embedder=_Never(corpus)) as memory:
            start = perf_counter()
            memory.flush()
            seconds = perf_counter() - start
    finally:
        vectors.IN_MEMORY = before
    if disk_bytes(store / "vectors") < size.patterns * embedder(corpus).dim:
        raise RuntimeError("there are no vectors after a flush")
    return seconds


class _Never:
    """Says how it is called and never embeds: no text has changed."""

    def __init__(self, corpus: Corpus) -> None:
        prepared = embedder(corpus)
        self.model_id, self.dim = prepared.model_id, prepared.dim

    def __call__(self, texts: list[str], /) -> object:
        raise AssertionError(f"embedded anew: {texts[0]!r}")
