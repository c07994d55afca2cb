"""Filled stores: made and measured, and kept for the parts of the suite that ask them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from time import perf_counter

from rich.progress import track

from benchmarks.corpus import Corpus, Size, embedder
from benchmarks.measure import ROOT, disk_bytes
from benchmarks.results import Measured, Result
from whatworks import Memory
from whatworks.bench import batches

__all__ = ["NAME", "fill", "store"]

NAME = "filling a store"
BATCH = 5_000


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


def _events(measured: Measured, folder: Path, corpus: Corpus, size: Size) -> None:
    """In a memory without an embedder, so that nothing but the events is measured; then the contexts."""
    written = 0.0
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
    with Memory.open(folder, embedder=embedder(corpus)) as memory:
        start = perf_counter()
        memory.flush()
        measured.add("flush of new contexts", size.contexts / (perf_counter() - start), "texts/s")
    # All but the vectors and embeddings of the contexts, which are counted as bytes a context.
    files = {part.name: _bytes(part) for part in sorted(folder.iterdir())}
    for name, count in files.items():
        if count >= 100_000:
            measured.add(f"on disk, {name}", count / 1e6, "MB")
    before = _figure(measured, "on disk, per pattern") * size.patterns
    measured.add(
        "on disk, per event with its context", (sum(files.values()) - before) / size.events, "bytes"
    )


def _figure(measured: Measured, metric: str) -> float:
    return next(result.p50 for result in measured.results if result.metric == metric)


def _batches(items, count, what):  # type: ignore[no-untyped-def]
    return track(batches(items, BATCH), description=what, total=-(-count // BATCH))


def _bytes(path: Path) -> int:
    return disk_bytes(path) if path.is_dir() else path.stat().st_size
