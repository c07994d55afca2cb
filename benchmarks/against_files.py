"""whatworks against the file-based memory: the same data and questions in one run, in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.file_memory import FileMemory
from benchmarks.file_memory_data import write_memory
from benchmarks.measure import BARE, Fresh, Quantiles, disk_bytes, fresh, interleaved, quantiles
from benchmarks.results import Measured, Result
from whatworks import Memory
from whatworks.bench import question_text
from whatworks.importers.files import import_files

__all__ = ["NAME", "run"]

NAME = "against the file-based memory"
FILES = "file memory"
SEARCHES = 50
QUESTION = question_text(10**6)
_FILE_PROGRAM = """
from pathlib import Path
from benchmarks.file_memory import FileMemory
memory = FileMemory(Path({folder!r}))
for text in {texts!r}: assert memory.search(text)
"""
_SEARCH_PROGRAM = """
from whatworks import Memory
memory = Memory.open({folder!r}, create=False)
for text in {texts!r}: assert memory.find_similar(text)
"""
_TREND_PROGRAM = """
from whatworks import Memory
memory = Memory.open({folder!r}, create=False)
assert memory.trend({pattern_id!r}).pattern_id
"""


def run(patterns: int, *, starts: int = 7) -> list[Result]:
    """Everything at one number of patterns, with as many turns."""
    measured = Measured(NAME, f"{patterns:,} patterns")
    with TemporaryDirectory(prefix="whatworks-benchmark-") as name:
        files, store = Path(name) / "files", Path(name) / "store"
        write_memory(files, patterns=patterns)
        _import(measured, files, store)
        _questions(measured, files, store)
        _starts(measured, files, store, starts)
        measured.add("on disk", disk_bytes(files) / 1e6, "MB", subject=FILES)
        measured.add("on disk", disk_bytes(store) / 1e6, "MB")
    return measured.results


def _import(measured: Measured, files: Path, store: Path) -> None:
    start = perf_counter()
    with Memory.open(store) as memory:
        report = import_files(memory, files)
        memory.flush()
        if report.skipped:
            raise RuntimeError(f"the import skipped {report.skipped[0]}")
    measured.add("import, with embedding", perf_counter() - start, "s")


def _questions(measured: Measured, files: Path, store: Path) -> None:
    old = FileMemory(files)
    texts = [question_text(number) for number in range(SEARCHES)]
    with Memory.open(store, create=False) as memory:
        ids = [item.pattern_id for item in memory.patterns(limit=SEARCHES)]
        memory.find_similar(QUESTION)
        for metric in ("search, text not asked before", "search, text asked before"):
            sides = {FILES: _calls(old.search, texts), "whatworks": _calls(memory.find_similar, texts)}
            for subject, taken in interleaved(sides).items():
                measured.add(metric, taken, "ms", subject=subject)
        memory.predict(QUESTION)
        analytics: dict[str, list[Callable[[], object]]] = {
            "trend": _calls(memory.trend, ids),
            "stats": [memory.stats] * SEARCHES,
            "events of a pattern": _calls(memory.events, ids),
            "predict": _calls(memory.predict, texts),
        }
        for metric, calls in analytics.items():
            measured.add(metric, interleaved({metric: calls})[metric], "ms")


def _calls(call: Callable[[str], object], values: Iterable[str]) -> list[Callable[[], object]]:
    return [partial(call, value) for value in values]


def _starts(measured: Measured, files: Path, store: Path, starts: int) -> None:
    with Memory.open(store, embedder="none") as memory:
        pattern_id = memory.events(limit=1)[0].pattern_id
    texts = [question_text(number) for number in range(20)]
    programs = {
        "bare": BARE,
        FILES: _FILE_PROGRAM.format(folder=str(files), texts=texts[:1]),
        "search": _SEARCH_PROGRAM.format(folder=str(store), texts=texts[:1]),
        "trend": _TREND_PROGRAM.format(folder=str(store), pattern_id=pattern_id),
    }
    taken = fresh(programs, starts)
    bare = taken.pop("bare")
    for name, metric in ((FILES, "first search"), ("search", "first search"), ("trend", "first trend")):
        subject = FILES if name == FILES else "whatworks"
        measured.add(f"start to the {metric}", _less(taken[name], bare, "ms"), "ms", subject=subject)
        for kind, unit in (("uss_mb", "private memory"), ("rss_mb", "resident memory")):
            value = _less(taken[name], bare, kind)
            measured.add(f"{unit} after the {metric}", value, "MB", subject=subject)


def _less(taken: list[Fresh], bare: list[Fresh], field: str) -> Quantiles:
    """A field of the processes, less that of the bare Python of the same round."""
    pairs = zip(taken, bare, strict=True)
    return quantiles([getattr(ours, field) - getattr(python, field) for ours, python in pairs])
