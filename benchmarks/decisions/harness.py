"""The given scoring harness, run in processes: a system and sizes in, rows of scores out.

A *row* is what the harness says of one log (task, tries, policy, seed), plus
what intervals and pictures need: for each context asked about the errors of the
constant mean and the outcomes of a random pattern and of the best one, and the
predictions counted in ten bins.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["POLICIES", "SUITES", "Row", "Scores", "Sizes", "in_processes", "reliability", "score"]

Row = dict[str, Any]
Scores = dict[str, list[Row]]  # suite: rows
Float64 = NDArray[np.float64]
J = TypeVar("J")
R = TypeVar("R")

POLICIES = ("uniform", "biased")
SUITES = ("offline", "robust", "online")
# Sizes at which the harness also asks for intervals, where it knows the chances.
INTERVALS_AT = (300, 1_000)
# What is kept for each context; the harness gives more.
KEPT = ("brier", "top1")
BINS = 10


class Sizes(NamedTuple):
    """How much of the harness is run; the defaults are all of it."""

    tasks: tuple[str, ...] = ("bfcl12", "rbench11", "alpacaD12", "alpacaG12", "clinc12")
    ns: tuple[int, ...] = (10, 30, 100, 300, 1_000, 3_000)
    seeds: int = 3
    steps: int = 1_500


class _Job(NamedTuple):
    shared: Path
    system: str
    suite: str
    task: str
    seed: int
    sizes: Sizes


def score(
    shared: Path, system: str, suites: Iterable[str], sizes: Sizes, *, processes: int = 2
) -> Scores:
    """The rows of each suite for ``module:factory``, in the order of tasks and seeds."""
    if not (shared / "benchmark" / "predict_eval.py").exists():
        raise SystemExit(f"there is no benchmark/predict_eval.py in {shared}; set SHARED to its folder")
    chosen = list(suites)
    jobs = [
        _Job(shared, system, suite, task, seed, sizes)
        for task in sizes.tasks
        for suite in chosen
        for seed in range(sizes.seeds)
    ]
    found: Scores = {suite: [] for suite in chosen}
    for job, rows in zip(jobs, in_processes(_run, jobs, processes), strict=True):
        found[job.suite] += rows
    return found


def in_processes(run: Callable[[J], R], jobs: list[J], processes: int) -> Iterator[R]:
    """``run`` of each job, in order, in processes of one thread each."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(run, jobs)


def _run(job: _Job) -> list[Row]:
    harness = _load(job.shared / "benchmark")
    make = harness.load_system(job.system)
    task = _task(job.shared, job.task)
    match job.suite:
        case "offline":
            return list(_offline(harness, make, task, job))
        case "robust":
            return [harness.robust(make, task, job.seed)]
        case "online":
            return [harness.online(make, task, job.seed, job.sizes.steps)]
    raise ValueError(f"{job.suite!r} is no suite; there are {', '.join(SUITES)}")


@cache
def _load(folder: Path) -> Any:
    sys.path.insert(0, str(folder))
    return importlib.import_module("predict_eval")


@cache
def _task(shared: Path, name: str) -> Any:
    return _load(shared / "benchmark").Task(name, str(shared / "data" / "decisions"), "dev")


class _Recorded:
    """A system that remembers what it said; in all else the one it wraps."""

    def __init__(self, system: Any) -> None:
        self._system = system
        self.said: list[list[float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def predict(self, vector: Any, text: str, arms: list[str]) -> list[float | None]:
        said: list[float | None] = self._system.predict(vector, text, arms)
        self.said.append([np.nan if value is None else value for value in said])
        return said


def _offline(harness: Any, make: Callable[[], Any], task: Any, job: _Job) -> Iterator[Row]:
    for n in job.sizes.ns:
        for policy in POLICIES:
            system = _Recorded(make())
            row = harness.offline(
                lambda system=system: system, task, n, policy, job.seed, n in INTERVALS_AT
            )
            contexts, asked = task.split(job.seed)
            log = harness.logged(task, contexts, n, policy, job.seed)
            came = task.Y[asked]
            row["per_context"] = {name: row["per_context"][name] for name in KEPT}
            row["per_context"] |= _references(came, float(np.mean([event[2] for event in log])))
            row["reliability"] = reliability(np.array(system.said), came)
            yield row


def _references(came: Float64, mean: float) -> dict[str, list[float]]:
    """For each context what a constant mean, a random and the best pattern get.

    Weighted such that the plain mean of ``const`` is the harness's
    ``brier_const``, which averages over pairs of context and pattern.
    """
    known = np.isfinite(came).sum(1)
    const = np.nansum((came - mean) ** 2, 1) / known.mean()
    references = {"const": const, "random": np.nanmean(came, 1), "oracle": np.nanmax(came, 1)}
    return {name: np.round(values, 5).tolist() for name, values in references.items()}


def reliability(said: Float64, came: Float64) -> list[list[float]]:
    """Ten bins of the predictions in [0, 1]: how many, their sum, and that of the outcomes."""
    known = np.isfinite(said) & np.isfinite(came)
    p, y = said[known], came[known]
    where = np.minimum((p * BINS).astype(int), BINS - 1)
    sums = (np.bincount(where, weights, BINS) for weights in (np.ones_like(p), p, y))
    bins: list[list[float]] = np.round(np.array(list(sums)).T, 4).tolist()
    return bins
