"""whatworks against other memories for agents: texts added one by one, then searched, in turn."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.agent_peers import PEERS
from benchmarks.child import Child, ChildFailedError, peers_python
from benchmarks.corpus import Corpus
from benchmarks.measure import quantiles
from benchmarks.results import OURS, Measured, Result

__all__ = ["NAME", "run"]

NAME = "against agent memories"
AT_ONCE = 5


def run(corpus: Corpus, *, added: int, asked: int) -> list[Result]:
    """``added`` texts each, with the same embedding model."""
    measured = Measured(NAME, f"{added:,} texts")
    with TemporaryDirectory(prefix="whatworks-benchmark-") as name, ExitStack() as stack:
        children = {}
        for subject in (OURS, *PEERS):
            folder = Path(name) / subject
            folder.mkdir()
            kind = "WhatWorks" if subject == OURS else PEERS[subject].__name__
            python = sys.executable if subject == OURS else peers_python()
            try:
                child = stack.enter_context(
                    Child(f"benchmarks.agent_peers:{kind}", str(folder), python=python)
                )
                start = perf_counter()
                child.ask("open")
                opened = 1e3 * (perf_counter() - start)
                child.ask("add", "the first of all")
                measured.add("import and open", opened, "ms", subject=subject)
                children[subject] = child
            except ChildFailedError as error:
                print(f"{subject}: {error}", file=sys.stderr)
                measured.add(f"left out: {error}", float("nan"), "", subject=subject)
        texts = [[corpus.pattern_text(number)] for number in range(added)]
        _turns(measured, children, "add", "add one text", texts)
        short = [[text] for text in corpus.short_questions()[:asked]]
        _turns(measured, children, "search", "search, new short text", short)
        for subject, child in children.items():
            for field, value in child.grown()._asdict().items():
                measured.add(f"memory, {field}", value, "MB", subject=subject)
    return measured.results


def _turns(
    measured: Measured, children: dict[str, Child], method: str, metric: str, calls: list[list[str]]
) -> None:
    taken: dict[str, list[float]] = {subject: [] for subject in children}
    for child in children.values() if method == "search" else ():
        child.ask("search", "a text to begin with")
    for start in range(0, len(calls), AT_ONCE):
        for subject, child in children.items():
            taken[subject] += child.timed(method, calls[start : start + AT_ONCE]).ms
    for subject, ms in taken.items():
        measured.add(metric, quantiles(ms), "ms", subject=subject)
