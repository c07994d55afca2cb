"""whatworks against what a user would take for vectors alone: same vectors, same questions, in turn."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from benchmarks.child import Child, ChildFailedError, peers_python
from benchmarks.corpus import Corpus
from benchmarks.measure import disk_bytes, quantiles
from benchmarks.nearest import recall
from benchmarks.results import OURS, Measured, Result
from benchmarks.store_data import edges
from benchmarks.vector_peers import PEERS

__all__ = ["NAME", "ROWS", "run"]

NAME = "against vector stores"
ROWS = "search, row numbers alone"
EFFORTS = (16, 32, 64, 128, 256, 512)
LEAST_RECALL = 0.95
TRIED = 200  # questions to choose the effort by; not measured again
AT_ONCE = 25
SLOW_TO_FILL = {"OmenDB": 10_000}  # the most vectors that it is filled with


@dataclass(slots=True)
class _Subject:
    name: str
    child: Child
    effort: int
    ms: list[float]
    rows_ms: list[float]  # of answers with row numbers alone
    cpu_ms: float
    answers: list[list[int]]


def run(ours: Path, corpus: Corpus, size: int, *, asked: int) -> list[Result]:
    """All peers with ``size`` vectors; ``ours`` is a memory of the same as patterns."""
    measured = Measured(NAME, f"{size:,} vectors")
    truth = _Truth(corpus, size)
    with TemporaryDirectory(prefix="whatworks-benchmark-") as name, ExitStack() as stack:
        data = _Data(corpus.files.vectors, corpus.files.queries, Path(name) / "patterns")
        _write(data.patterns, corpus, size)
        folders = {OURS: ours} | {
            peer: Path(name) / str(number)
            for number, peer in enumerate(PEERS)
            if size <= SLOW_TO_FILL.get(peer, size)
        }
        subjects = []
        for peer, folder in folders.items():
            try:
                if peer != OURS:
                    _fill(measured, peer, folder, data, size)
                subjects.append(_opened(measured, stack, peer, folder, data, truth))
            except ChildFailedError as error:
                print(f"{peer}: {error}", file=sys.stderr)
                measured.add(f"left out: {error}", float("nan"), "", subject=peer)
        _ask(subjects, asked)
        for subject in subjects:
            _report(measured, subject, truth)
    return measured.results


class _Truth:
    """The ten nearest of each question."""

    def __init__(self, corpus: Corpus, size: int) -> None:
        self.vectors: Any = np.load(corpus.files.vectors, mmap_mode="r")[:size]
        self.queries = np.load(corpus.files.queries)
        self.edges = edges(self.vectors, self.queries)

    def recall(self, answers: list[list[int]], first: int) -> float:
        rows = slice(first, first + len(answers))
        return recall(answers, self.vectors, self.queries[rows], self.edges[rows])


class _Data(NamedTuple):
    """Files."""

    vectors: Path
    queries: Path
    patterns: Path


def _write(file: Path, corpus: Corpus, size: int) -> None:
    """What whatworks answers with too, a JSON object a line."""
    with file.open("w") as lines:
        for made in corpus.patterns(size):
            told = {
                "pattern_id": made.pattern_id,
                "description": made.description,
                "pattern_type": made.pattern_type,
                "created_at": str(made.created_at),
            }
            lines.write(json.dumps(told) + "\n")


def _child(name: str, folder: Path, data: _Data) -> Child:
    kind = "WhatWorks" if name == OURS else PEERS[name].__name__
    python = sys.executable if name == OURS else peers_python()
    return Child(f"benchmarks.vector_peers:{kind}", str(folder), *map(str, data), python=python)


def _fill(measured: Measured, name: str, folder: Path, data: _Data, size: int) -> None:
    with _child(name, folder, data) as child:
        child.ask("read")
        start = perf_counter()
        child.ask("fill", size)
        measured.add("fill", size / (perf_counter() - start), "vectors/s", subject=name)
        measured.add("memory after filling, anonymous", child.grown().anonymous, "MB", subject=name)
    measured.add("on disk", disk_bytes(folder) / 1e6, "MB", subject=name)


def _opened(
    measured: Measured, stack: ExitStack, name: str, folder: Path, data: _Data, truth: _Truth
) -> _Subject:
    """With the least effort that finds enough."""
    has_effort = name != OURS and PEERS[name].has_effort
    for effort in EFFORTS if has_effort else EFFORTS[-1:]:
        child = stack.enter_context(_child(name, folder, data))
        start = perf_counter()
        child.ask("open", effort)
        first = child.ask("search", 0)
        opened = 1e3 * (perf_counter() - start)
        tried = min(TRIED, len(truth.queries) // 2)
        answers = [first, *child.timed("search", [[number] for number in range(1, tried)]).answers]
        if truth.recall(answers, 0) >= LEAST_RECALL:
            break
        if effort != EFFORTS[-1]:
            child.close()
    measured.add("import, open and first search", opened, "ms", subject=name)
    return _Subject(name, child, effort if has_effort else 0, [], [], 0.0, [])


def _ask(subjects: list[_Subject], asked: int) -> None:
    """In turn, some questions each, so that load on the machine meets all alike."""
    first = min(TRIED, asked)
    for turn, start in enumerate(range(first, first + asked, AT_ONCE)):
        calls = [[number] for number in range(start, min(start + AT_ONCE, first + asked))]
        for subject in subjects:
            # What was asked just before is answered sooner: by turns one of both ways is first.
            for rows in (turn % 2 > 0, turn % 2 == 0):
                _ask_subject(subject, calls, rows=rows)


def _ask_subject(subject: _Subject, calls: list[list[int]], *, rows: bool) -> None:
    """Either for patterns, if it has any, or for row numbers alone."""
    peer = PEERS.get(subject.name)
    if rows and peer is not None and peer.can_leave_out:
        subject.rows_ms += subject.child.timed("search_rows", calls).ms
    elif not rows:
        timed = subject.child.timed("search", calls)
        subject.ms += timed.ms
        subject.cpu_ms += timed.cpu_ms
        subject.answers += timed.answers


def _report(measured: Measured, subject: _Subject, truth: _Truth) -> None:
    name, first = subject.name, min(TRIED, len(subject.answers))
    figures: Mapping[str, tuple[float, str]] = {
        "recall@10": (truth.recall(subject.answers, first), ""),
        "search, processor time": (subject.cpu_ms / len(subject.ms), "ms"),
        "memory of the searching process, anonymous": (subject.child.grown().anonymous, "MB"),
        "memory of the searching process, USS": (subject.child.grown().uss, "MB"),
    }
    with_patterns = name == OURS or PEERS[name].keeps_patterns
    measured.add("search" if with_patterns else ROWS, quantiles(subject.ms), "ms", subject=name)
    if subject.rows_ms:
        measured.add(ROWS, quantiles(subject.rows_ms), "ms", subject=name)
    for metric, (value, unit) in figures.items():
        measured.add(metric, value, unit, subject=name)
    if subject.effort:
        measured.add("candidates looked at", subject.effort, "", subject=name)
