"""Filled stores: made and measured, and kept for the parts of the suite that ask them."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from time import perf_counter

from rich.progress import track

from benchmarks.corpus import Corpus, Size, embedder
from benchmarks.measure import ROOT, disk_bytes
from benchmarks.results import Measured, Result
from whatworks import Memory, NewEvent
from whatworks.bench import DAYS, END, batches, pattern_id

__all__ = ["NAME", "fill", "store"]

NAME = "filling a store"
BATCH = 5_000
START = END - timedelta(days=DAYS + 1)  # before all tries


def store(corpus: Corpus, size: Size, cache: Path) -> Path:
    """The folder of a filled store; it is made unless this version of the code has made it before."""
    folder = _folder(size, cache)
    if not (folder / "whole").exists() or (folder / "whole").read_text() != _code():
        fill(corpus, size, cache)
    return folder / "store"


def fill(corpus: Corpus, size: Size, cache: Path) -> list[Result]:
    """Make it anew, and say how long that took and how much disk it takes."""
    folder = _folder(size, cache)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    measured = Measured(NAME, str(size))
    _patterns(measured, folder / "store", corpus, size)
    _contexts(measured, folder / "store", corpus, size)
    _events(measured, folder / "store", corpus, size)
    (folder / "whole").write_text(_code())
    return measured.results


def _folder(size: Size, cache: Path) -> Path:
    return (
        cache
        / "stores"
        / "-".join(str(number) for number in (size.patterns, size.contexts, size.events))
    )


def _code() -> str:
    """What the store was made by: another version of the product makes another store."""
    words = ["git", "rev-parse", "HEAD:src"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def _patterns(measured: Measured, folder: Path, corpus: Corpus, size: Size) -> None:
    with Memory.open(folder, embedder=embedder(corpus)) as memory:
        start = perf_counter()
        for batch in _batches(corpus.patterns(size.patterns), size.patterns, "patterns"):
            memory.add_patterns(batch)
        memory.flush()
        measured.add("add patterns and flush", size.patterns / (perf_counter() - start), "patterns/s")
    measured.add("on disk, per pattern", disk_bytes(folder) / size.patterns, "bytes")


def _contexts(measured: Measured, folder: Path, corpus: Corpus, size: Size) -> None:
    """Texts that tries will be made in, once each, so that the tries are measured without them."""
    before = disk_bytes(folder)
    with Memory.open(folder, embedder=embedder(corpus)) as memory:
        tries = (
            NewEvent(pattern_id(0), state="not_used", context=corpus.context_text(n), timestamp=START)
            for n in range(size.contexts)
        )
        start = perf_counter()
        for batch in _batches(tries, size.contexts, "contexts"):
            memory.record_many(batch)
        memory.flush()
        measured.add(
            "record and flush new contexts", size.contexts / (perf_counter() - start), "texts/s"
        )
        memory.stats()
    measured.add("on disk, per context", (disk_bytes(folder) - before) / size.contexts, "bytes")


def _events(measured: Measured, folder: Path, corpus: Corpus, size: Size) -> None:
    """Tries of patterns in contexts that are known."""
    before, written = disk_bytes(folder), 0.0
    with Memory.open(folder, embedder="none") as memory:
        for batch in _batches(corpus.events(size), size.events, "events"):
            start = perf_counter()
            memory.record_many(batch)
            written += perf_counter() - start
        measured.add("record_many, into the journal", size.events / written, "events/s")
        start = perf_counter()
        memory.stats()  # answers when everything is folded
        folding = perf_counter() - start
        measured.add("record_many, until folded", size.events / (written + folding), "events/s")
        memory.flush()
    files = {part.name: _bytes(part) for part in sorted(folder.iterdir())}
    for name, count in files.items():
        if count >= 100_000:
            measured.add(f"on disk, {name}", count / 1e6, "MB")
    grown = disk_bytes(folder) - before
    measured.add("on disk, per event in a known context", grown / size.events, "bytes")


def _batches(items, count, what):  # type: ignore[no-untyped-def]
    return track(batches(items, BATCH), description=what, total=-(-count // BATCH))


def _bytes(path: Path) -> int:
    return disk_bytes(path) if path.is_dir() else path.stat().st_size
