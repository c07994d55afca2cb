"""What each hot question costs in counts that do not depend on the load of the machine.

``python -m benchmarks guard`` compares them with ``guard.json`` and fails where a question needs more
statements of DuckDB, more than a tenth more calls of Python functions, or more bytes of the journal.
``--write`` keeps the counts of today.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import get_ident
from typing import Any

import duckdb
import numpy as np

from benchmarks import corpus
from benchmarks.corpus import Corpus, Size
from benchmarks.measure import ROOT, disk_bytes
from whatworks import Memory, NewEvent, keeper, vectors
from whatworks.bench import END, pattern_id, question_text

__all__ = ["FILE", "SIZE", "check", "compare", "counts"]

FILE = ROOT / "benchmarks" / "guard.json"
SIZE = Size(2_000, 500, 20_000)
ASKED = 5  # times each, about different things; the median counts
AT_ONCE = 1_000
# How much more is let through; the lines of the journal hold times and ids of varying length.
TOLERANCE = {"statements": 1.0, "calls": 1.1, "bytes": 1.02}
STATEMENTS = ("execute", "executemany", "sql", "query")

Counts = dict[str, dict[str, float]]


def check(*, write: bool, file: Path = FILE) -> None:
    """Print the counts; raise ``SystemExit`` where one has grown."""
    found, python = counts(), ".".join(platform.python_version_tuple()[:2])
    for question, known in found.items():
        print(f"{question:32}" + "  ".join(f"{count:8,.0f} {what}" for what, count in known.items()))
    if write:
        file.write_text(json.dumps({"python": python, "counts": found}, indent=1) + "\n")
        return
    kept = json.loads(file.read_text())
    # Another Python calls functions where this one does not.
    same = kept["python"] == python
    if not same:
        print(f"calls are not compared: {file.name} has those of Python {kept['python']}")
    if grown := compare(found, kept["counts"], calls=same):
        raise SystemExit("\n".join([*grown, "if that is meant: python -m benchmarks guard --write"]))


def compare(found: Counts, before: Counts, *, calls: bool = True) -> list[str]:
    """A line for each count that is too much larger, or has nothing to be compared with."""
    lines = []
    for question, known in found.items():
        for what, count in known.items():
            least = before.get(question, {}).get(what)
            if least is None:
                lines.append(f"{question}: {what} were not counted before")
            elif count > least * TOLERANCE[what] and (calls or what != "calls"):
                lines.append(f"{question}: {count:,.0f} {what}, before {least:,.0f}")
    return lines


def counts(size: Size = SIZE) -> Counts:
    """Of each question to a store that is open and warm; its vectors lie in a vector store."""
    before = vectors.IN_MEMORY, keeper.LOOK_AGAIN_SECONDS
    # Each question looks for what others wrote, however soon it is asked: else counts go by the load.
    vectors.IN_MEMORY, keeper.LOOK_AGAIN_SECONDS = size.patterns // 2, 0.0
    try:
        with TemporaryDirectory(prefix="whatworks-benchmark-") as name:
            texts = corpus.made_up(Path(name) / "texts", size.patterns)
            return _counts(Path(name) / "store", texts, size)
    finally:
        vectors.IN_MEMORY, keeper.LOOK_AGAIN_SECONDS = before


def _counts(folder: Path, texts: Corpus, size: Size) -> Counts:
    embedder = corpus.embedder(texts)
    with Memory.open(folder, embedder=embedder) as memory:
        memory.add_patterns(list(texts.patterns(size.patterns)))
        memory.record_many(list(texts.events(size)))
        memory.flush()
    with Memory.open(folder, embedder=embedder) as memory:
        found: Counts = {}
        for question, calls in _questions(memory, texts).items():
            calls[0]()
            memory.flush()
            found[question] = _typical([_profiled(call) for call in calls[1:]])
        for question, calls in _writes(memory, size).items():
            calls[0]()
            known = []
            for call in calls[1:]:
                memory.flush()
                start = disk_bytes(folder / "journal")
                known.append(_profiled(call) | {"bytes": disk_bytes(folder / "journal") - start})
            found[question] = _typical(known)
    return found


def _questions(memory: Memory, texts: Corpus) -> Mapping[str, Sequence[Callable[[], object]]]:
    numbers = range(ASKED + 1)
    queries = np.load(texts.files.queries)
    asked = [f"{question_text(n)} (question {n})" for n in range(2 * ASKED + 2)]
    return {
        "find_similar, new text": [partial(memory.find_similar, asked[n]) for n in numbers],
        "find_similar, repeated text": [partial(memory.find_similar, asked[0]) for _ in numbers],
        "find_similar, by vector": [partial(memory.find_similar, vector=queries[n]) for n in numbers],
        "predict, new text": [partial(memory.predict, asked[ASKED + 1 + n]) for n in numbers],
        "trend": [partial(memory.trend, pattern_id(n)) for n in numbers],
        "events of a pattern": [partial(memory.events, pattern_id(n)) for n in numbers],
        "stats": [memory.stats for _ in numbers],
    }


def _writes(memory: Memory, size: Size) -> Mapping[str, Sequence[Callable[[], object]]]:
    numbers = range(ASKED + 1)
    used = min(100, size.patterns)
    tries = [
        NewEvent(pattern_id(n % used), outcome=1.0, timestamp=END, session_id="counted")
        for n in range(AT_ONCE)
    ]
    return {
        "record": [partial(memory.record, pattern_id(n), outcome=1.0) for n in numbers],
        f"record_many of {AT_ONCE:,}": [partial(memory.record_many, tries) for _ in numbers],
    }


def _profiled(call: Callable[[], object]) -> dict[str, float]:
    """In this thread: what a keeper does on the side is not the caller's."""
    known, own = {"statements": 0.0, "calls": 0.0}, get_ident()

    def seen(_frame: object, event: str, _what: object) -> None:
        known["calls"] += event == "call"

    def counted(method: Any) -> Any:
        def executed(*args: Any, **more: Any) -> Any:
            known["statements"] += get_ident() == own
            return method(*args, **more)

        return executed

    kind: Any = duckdb.DuckDBPyConnection
    methods = {name: getattr(kind, name) for name in STATEMENTS}
    for name, method in methods.items():
        setattr(kind, name, counted(method))
    sys.setprofile(seen)
    try:
        call()
    finally:
        sys.setprofile(None)
        for name, method in methods.items():
            setattr(kind, name, method)
    return known


def _typical(known: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {what: median(one[what] for one in known) for what in known[0]}
