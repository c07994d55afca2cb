"""whatworks against the file-based memory: the same data and questions in one run, in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.child import Child
from benchmarks.file_memory import FileMemory
from benchmarks.file_memory_data import write_memory
from benchmarks.measure import BARE, Quantiles, disk_bytes, fresh, interleaved, less_bare
from benchmarks.results import OURS, Measured, Result
from whatworks import Memory
from whatworks.bench import question_text
from whatworks.importers.files import import_files

__all__ = ["FILES", "NAME", "WORDS", "run"]

NAME = "against the file-based memory"
FILES = "file memory"
WORDS = "whatworks, by words"  # a store without a model, which compares words as the files do
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
        files, store, words = (Path(name) / part for part in ("files", "store", "words"))
        write_memory(files, patterns=patterns)
        _import(measured, files, store, embedder=None, subject=OURS)
        _import(measured, files, words, embedder="none", subject=WORDS)
        _questions(measured, files, store, words)
        _starts(measured, files, store, starts)
        measured.add("on disk", disk_bytes(files) / 1e6, "MB", subject=FILES)
        measured.add("on disk", disk_bytes(store) / 1e6, "MB")
        measured.add("on disk", disk_bytes(words) / 1e6, "MB", subject=WORDS)
    return measured.results


def _import(
    measured: Measured, files: Path, store: Path, *, embedder: str | None, subject: str
) -> None:
    start = perf_counter()
    with Memory.open(store, embedder=embedder) as memory:
        report = import_files(memory, files)
        memory.flush()
        if report.skipped:
            raise RuntimeError(f"the import skipped {report.skipped[0]}")
    measured.add("import, with embedding if any", perf_counter() - start, "s", subject=subject)


def _questions(measured: Measured, files: Path, store: Path, words: Path) -> None:
    old = FileMemory(files)
    texts = [question_text(number) for number in range(SEARCHES)]
    with (
        Memory.open(store, create=False) as memory,
        Memory.open(words, create=False, embedder="none") as by_words,
    ):
        ids = [item.pattern_id for item in memory.patterns(limit=SEARCHES)]
        memory.find_similar(QUESTION)
        by_words.find_similar(QUESTION)
        for metric in ("search, text not asked before", "search, text asked before"):
            sides = {
                FILES: _calls(old.search, texts),
                OURS: _calls(memory.find_similar, texts),
                WORDS: _calls(by_words.find_similar, texts),
            }
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
        FILES: _FILE_PROGRAM.format(folder=str(files), texts=texts[:1]),
        "search": _SEARCH_PROGRAM.format(folder=str(store), texts=texts[:1]),
        "trend": _TREND_PROGRAM.format(folder=str(store), pattern_id=pattern_id),
    }
    bare = {"bare": BARE}
    taken = fresh(bare | programs, starts)
    for name in programs:
        _add(measured, name, less_bare(taken[name], taken["bare"]))
    ours = {f"{name}, client": program for name, program in programs.items() if name != FILES}
    with Child("benchmarks.asking:Asker", str(store)) as keeper:
        keeper.ask("open")
        keeper.ask("by_text", QUESTION)
        taken = fresh(bare | ours, starts)
    for name in ours:
        _add(measured, name, less_bare(taken[name], taken["bare"]))


def _add(measured: Measured, name: str, found: Mapping[str, Quantiles]) -> None:
    """The file-based memory stands beside whatworks alone, and beside a client of a live keeper."""
    what, _, client = name.partition(", ")
    for metric, field, unit in (
        ("start to the first", "ms", "ms"),
        ("memory after the first", "anonymous", "MB"),
        ("USS after the first", "uss", "MB"),
    ):
        if what == FILES:
            for way in ("", ", client"):
                measured.add(f"{metric} search{way}", found[field], unit, subject=FILES)
        else:
            measured.add(f"{metric} {what}{', client' if client else ''}", found[field], unit)
