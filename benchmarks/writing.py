"""Single writes, each on the disk when it returns, and everything made anew from the journal."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.corpus import Corpus, Size, embedder
from benchmarks.floors import Parts, split
from benchmarks.measure import disk_bytes, interleaved, quantiles
from benchmarks.results import Measured, Result
from whatworks import Memory, NewEvent, tries, vectors
from whatworks.bench import context_text, pattern_id
from whatworks.journal import Journal

__all__ = ["NAME", "rebuild", "record"]

NAME = "writing"
AT_ONCE, CONTEXTS = 1_000, 5_000
MANY: Parts = {
    "check and redact": ((tries, "many"),),
    "write down and sync": ((Journal, "append"),),
    "make what is returned": ((tries.Many, "events"),),
}
SOCKETS = shutil.ignore_patterns("*.sock")  # of a keeper that has not quite ended


def record(folder: Path, size: Size, *, calls: int) -> list[Result]:
    """One try after the other, in a copy of a store."""
    measured = Measured(NAME, str(size))
    with TemporaryDirectory(prefix="whatworks-benchmark-", dir=folder.parent) as name:
        copy = Path(shutil.copytree(folder, Path(name) / "store", ignore=SOCKETS))
        with Memory.open(copy, embedder="none") as memory:
            numbers = [number % size.patterns for number in range(calls)]
            memory.record(pattern_id(0), outcome=1.0)
            # Twice: a handle learns that a pattern exists when it first writes to it.
            for metric in ("record, a pattern not written to before", "record"):
                _add(measured, metric, [partial(_record, memory, number) for number in numbers])
            _add_parts(measured, memory, size, batches=max(1, calls // 20))
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


def _add_parts(measured: Measured, memory: Memory, size: Size, *, batches: int) -> None:
    """What recording many tries at once is made of, while they are folded on the side."""
    spent = defaultdict[str, list[float]](list)
    for batch in range(batches):
        numbers = range(batch * AT_ONCE, (batch + 1) * AT_ONCE)
        tries_ = [
            NewEvent(
                pattern_id(number % size.patterns),
                outcome=float(number % 2),
                context=context_text(number % CONTEXTS),
                session_id=f"session-{number // 20}",
                files=[f"src/part_{number % 100}.py"],
                tools=["edit"],
                duration_ms=50.0 + number,
            )
            for number in numbers
        ]
        for part, ms in split(memory.record_many, tries_, MANY).items():
            spent[part].append(ms)
    for part, times in spent.items():
        measured.add(f"record_many of {AT_ONCE:,}: {part}", quantiles(times), "ms")


def rebuild(folder: Path, corpus: Corpus, size: Size) -> list[Result]:
    """Evidence from the journal, and vectors from the embeddings that are kept."""
    measured = Measured(NAME, str(size))
    with TemporaryDirectory(prefix="whatworks-benchmark-", dir=folder.parent) as name:
        copy = Path(shutil.copytree(folder, Path(name) / "store", ignore=SOCKETS))
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
