"""whatworks against SQLite, pandas and Polars: the same tries, the same questions, in turn."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.analytics_peers import PEERS
from benchmarks.child import Child, ChildFailedError, peers_python
from benchmarks.corpus import Size
from benchmarks.measure import disk_bytes, quantiles
from benchmarks.results import OURS, Measured, Result
from whatworks import Memory
from whatworks.bench import pattern_id

__all__ = ["NAME", "QUESTIONS", "run"]

NAME = "against tables"
# Method of the subjects: what it asks, and whether of one pattern.
QUESTIONS = {
    "trend": ("trend of one pattern by day", True),
    "counts": ("counts, as in stats", False),
    "newest": ("newest 100 events of a pattern", True),
    "top": ("10 best patterns of 20 tries or more", False),
    "days": ("events of the last 30 days, by day", False),
}
BY_VIEWS = ("top", "days")  # last: see ``analytics_peers.WhatWorks``
AT_ONCE = 5


def run(store: Path, size: Size, *, asked: int) -> list[Result]:
    """``asked`` times each question; raises if two subjects answer differently."""
    measured = Measured(NAME, str(size))
    with TemporaryDirectory(prefix="whatworks-benchmark-") as name, ExitStack() as stack:
        parquet = Path(name) / "events.parquet"
        with Memory.open(store, embedder="none", create=False) as memory:
            memory.copy_table("events", parquet, form="parquet")
        measured.add("on disk", parquet.stat().st_size / 1e6, "MB", subject="Parquet")
        children = {}
        for subject in (OURS, *PEERS):
            try:
                folder = store if subject == OURS else Path(name) / subject
                children[subject] = _opened(measured, stack, subject, folder, parquet)
            except ChildFailedError as error:
                print(f"{subject}: {error}", file=sys.stderr)
                measured.add(f"left out: {error}", float("nan"), "", subject=subject)
        for method, (metric, of_pattern) in QUESTIONS.items():
            if method == BY_VIEWS[0]:
                children[OURS].ask("open_views")
            names = [pattern_id(n % size.patterns) for n in range(asked)]
            _ask(measured, children, method, metric, [[n] if of_pattern else [] for n in names])
        for subject, child in children.items():
            measured.add("memory, anonymous", child.grown().anonymous, "MB", subject=subject)
            measured.add("memory, USS", child.grown().uss, "MB", subject=subject)
    return measured.results


def _opened(measured: Measured, stack: ExitStack, subject: str, folder: Path, parquet: Path) -> Child:
    folder.mkdir(exist_ok=True)
    kind = "WhatWorks" if subject == OURS else PEERS[subject].__name__
    python = sys.executable if subject == OURS else peers_python()
    target, words = f"benchmarks.analytics_peers:{kind}", [str(folder), str(parquet)]
    if subject != OURS:
        with Child(target, *words, python=python) as filling:
            start = perf_counter()
            filling.ask("fill")
            seconds = perf_counter() - start
        if size := disk_bytes(folder):
            measured.add("fill", seconds, "s", subject=subject)
            measured.add("on disk", size / 1e6, "MB", subject=subject)
    child = stack.enter_context(Child(target, *words, python=python))
    start = perf_counter()
    child.ask("open")
    child.ask("trend", pattern_id(0))
    opened = 1e3 * (perf_counter() - start)
    measured.add("import, load and first trend", opened, "ms", subject=subject)
    return child


def _ask(
    measured: Measured, children: dict[str, Child], method: str, metric: str, calls: Sequence[Any]
) -> None:
    taken: dict[str, list[float]] = {subject: [] for subject in children}
    said: dict[str, list[Any]] = {subject: [] for subject in children}
    for child in children.values():
        child.ask(method, *calls[0])
    for start in range(0, len(calls), AT_ONCE):
        for subject, child in children.items():
            timed = child.timed(method, calls[start : start + AT_ONCE])
            taken[subject] += timed.ms
            said[subject] += timed.answers
    expected = _rounded(said[OURS])
    for subject in children:
        if _rounded(said[subject]) != expected:
            raise RuntimeError(f"{subject} answers something else to: {metric}")
        measured.add(metric, quantiles(taken[subject]), "ms", subject=subject)


def _rounded(answers: Any) -> Any:
    """Means may differ in their last digits."""
    return json.loads(json.dumps(answers), parse_float=lambda text: round(float(text), 6))
