"""How things are measured: interleaved calls, fresh processes, bytes on disk, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import psutil

__all__ = [
    "BARE", "ENVIRONMENT", "ROOT", "Footprint", "Fresh", "Quantiles", "disk_bytes", "footprint",
    "fresh", "interleaved", "less_bare", "machine", "quantiles", "running",
]  # fmt: skip

ROOT = Path(__file__).parents[1]
PACKAGES = ("whatworks", "duckdb", "usearch", "pylance", "numpy", "onnxruntime")
# A measured process says when it has its answer, and lives until its memory has been read.
WAIT = "\nprint('ready', flush=True)\nimport sys; sys.stdin.read()"
BARE = ""
# An installed package has its bytecode; without this a checkout may be compiled at every start.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT["ORT_DISABLE_TELEMETRY"] = "1"  # peers load onnxruntime too


class Quantiles(NamedTuple):
    """Median and 95th percentile of ``n`` values."""

    p50: float
    p95: float
    n: int


class Footprint(NamedTuple):
    """Memory of a process in MB: anonymous (no file holds it), private (USS), resident.

    Anonymous is what the goals call private: pages of files that are mapped can be dropped at any time.
    """

    anonymous: float
    uss: float
    rss: float


class Fresh(NamedTuple):
    """A new process, from its start to its answer: its time, and its memory then."""

    ms: float
    memory: Footprint


def quantiles(values: Sequence[float]) -> Quantiles:
    p50, p95 = np.percentile(values, [50, 95]).tolist()
    return Quantiles(p50, p95, len(values))


def interleaved(sides: Mapping[str, Sequence[Callable[[], object]]]) -> dict[str, Quantiles]:
    """Milliseconds of each side's calls, made in turn, so that load on the machine meets all alike."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for calls in zip(*sides.values(), strict=True):
        for name, call in zip(sides, calls, strict=True):
            start = perf_counter()
            call()
            taken[name].append(1e3 * (perf_counter() - start))
    return {name: quantiles(values) for name, values in taken.items()}


def fresh(programs: Mapping[str, str], repetitions: int) -> dict[str, list[Fresh]]:
    """Run each program in a new Python, in turn; a first round warms the disk and does not count."""
    taken: dict[str, list[Fresh]] = {name: [] for name in programs}
    for _ in range(repetitions + 1):
        for name, program in programs.items():
            taken[name].append(_fresh(program))
    return {name: values[1:] for name, values in taken.items()}


def _fresh(program: str) -> Fresh:
    start = perf_counter()
    with running(program) as pid:
        ms = 1e3 * (perf_counter() - start)
        return Fresh(ms, footprint(pid))


@contextmanager
def running(program: str) -> Iterator[int]:
    """A new Python that has run ``program`` and does nothing more: its process id."""
    with subprocess.Popen(
        [sys.executable, "-c", program + WAIT],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            raise RuntimeError(f"a measured program failed: {program}")
        yield child.pid


def footprint(pid: int) -> Footprint:
    """What the process ``pid`` holds now."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    anonymous = int(fields["RssAnon"].split()[0]) * 1_024 / 1e6
    memory = psutil.Process(pid).memory_full_info()
    return Footprint(anonymous, memory.uss / 1e6, memory.rss / 1e6)


def less_bare(taken: Sequence[Fresh], bare: Sequence[Fresh]) -> dict[str, Quantiles]:
    """``ms`` and the fields of ``Footprint``, each less that of the bare Python of the same round."""
    pairs = list(zip(taken, bare, strict=True))
    found = {"ms": quantiles([ours.ms - python.ms for ours, python in pairs])}
    for place, name in enumerate(Footprint._fields):
        found[name] = quantiles([ours.memory[place] - python.memory[place] for ours, python in pairs])
    return found


def disk_bytes(*folders: Path) -> int:
    return sum(
        item.stat().st_size for folder in folders for item in folder.rglob("*") if item.is_file()
    )


def machine() -> dict[str, str]:
    """What figures depend on: commit, processor, memory, versions."""
    return {
        "commit": _git("rev-parse", "--short", "HEAD")
        + (" with changes" if _git("status", "--porcelain") else ""),
        "machine": f"{_processor()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 1e9:.0f} GB, {platform.system()}{_priority()}",
        "versions": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _priority() -> str:
    """Whether other work on the machine had to stand back, which its load does not show."""
    nice = os.nice(0)
    return f", niceness {nice}" if nice else ""


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
