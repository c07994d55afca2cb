"""Run suites one after another, and say what came of each."""

from __future__ import annotations

import os
import subprocess
import traceback
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Protocol, cast

from faults.processes import PYTHON, ROOT, left_behind
from faults.result import Figure, Result, Size, none_of

__all__ = ["SUITES", "Run", "Suite", "abreast", "lines", "run", "suite"]

# One module of this package each, in the order in which they run.
SUITES = (
    "append",
    "freshness",
    "storm",
    "syscalls",
    "powercut",
    "diskfull",
    "failpoints",
    "flips",
    "canaries",
    "poisoning",
    "hostile",
    "isolation",
    "tokens",
    "http",
    "importers",
    "mcp",
    "team",
)
# These measure how fast something is, or have more processes than a small machine has processors.
ALONE = ("append", "freshness", "storm", "tokens", "team")
ABREAST = 2
MOST_NOTES = 20


class Suite(Protocol):
    """A module with a name, a sentence about what it does, and ``run``."""

    NAME: str
    WHAT: str

    def run(self, size: Size, seed: int, folder: Path) -> Result:
        """Do it in ``folder``, which is empty and goes away afterwards."""


@dataclass(frozen=True, slots=True)
class Run:
    """A suite that has run, and its circumstances."""

    name: str
    what: str
    size: Size
    seed: int
    at: datetime
    seconds: float
    load: float
    result: Result

    @property
    def sound(self) -> bool:
        return self.result.sound


def suite(name: str) -> Suite:
    """The module of a suite."""
    return cast(Suite, import_module(f"faults.{name}"))


def run(size: Size, seed: int, names: Iterable[str]) -> list[Run]:
    """Run the suites named, and print each when it is done."""
    done = []
    for name in names:
        one = _run(suite(name), size, seed)
        print(*lines(one), "", sep="\n", flush=True)
        done.append(one)
    return done


def abreast(size: Size, seed: int, names: Iterable[str]) -> int:
    """Run suites, two at a time but for those ``ALONE``, in processes of their own.

    Returns 1 if one is not sound.
    """

    begun: list[subprocess.Popen[str]] = []

    def ended(name: str) -> tuple[int, str]:
        command = [*PYTHON, "faults", size, "--seed", str(seed), "--only", name]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        said, _ = process.communicate()
        print(said, end="", flush=True)
        return process.returncode, said

    wanted = list(names)
    with ThreadPoolExecutor(ABREAST) as pool:
        try:
            done = [pool.submit(ended, name).result() for name in wanted if name in ALONE]
            done += pool.map(ended, [name for name in wanted if name not in ALONE])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in begun:
                process.terminate()  # each cleans up after itself
            raise
    unsound = [said for code, said in done if code]
    for said in unsound:  # once more at the end, where whoever looks for the reason looks first
        print(said, flush=True)
    return 1 if unsound else 0


def _run(module: Suite, size: Size, seed: int) -> Run:
    at, start = datetime.now(UTC), perf_counter()
    with TemporaryDirectory(prefix="whatworks-faults-") as folder:
        try:
            result = module.run(size, seed, Path(folder))
        except Exception:  # noqa: BLE001  a suite that breaks is a failure, and the others still run
            result = Result(
                (Figure("the suite broke", 1, "", "0", held=False, safety=True),),
                notes=tuple(traceback.format_exc().splitlines()[-MOST_NOTES:]),
            )
        left = left_behind()
    if not result.not_run:
        figures = (*result.figures, none_of("processes left behind", len(left), 1, "look"))
        notes = (*result.notes, *(f"left behind: {line}" for line in left))
        result = Result(figures, result.options, result.control, notes)
    seconds, load = perf_counter() - start, os.getloadavg()[0]
    return Run(module.NAME, module.WHAT, size, seed, at, seconds, load, result)


def lines(done: Run) -> list[str]:
    """What a reader of the terminal sees of a suite."""
    result = done.result
    head = f"{done.name}: {done.what}"
    if result.not_run:
        return [head, f"  NOT RUN: {result.not_run}"]
    ran = (
        f"  {done.size}, seed {done.seed}, {result.options}; {done.seconds:.0f} s, load {done.load:.1f}"
    )
    rows = [_row(figure) for figure in result.figures]
    return [head, ran, *rows, *_control(result), *_noted(result)]


def _noted(result: Result) -> list[str]:
    more = len(result.notes) - MOST_NOTES
    rest = [f"and {more} more"] if more > 0 else []
    return [f"    {note}" for note in [*result.notes[:MOST_NOTES], *rest]]


def _row(figure: Figure) -> str:
    value = f"{shown(figure.value)} {figure.unit}"
    if not figure.goal:
        return f"  {figure.what:<52} {value}"
    return f"  {figure.what:<52} {value:<24} {figure.goal:<10} {verdict(figure)}"


def verdict(figure: Figure) -> str:
    """Held, missed, or (what is never excused) broken."""
    return "held" if figure.held else "BROKEN" if figure.safety else "missed"


def shown(value: float) -> str:
    """A number as it is written on the page."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def _control(result: Result) -> list[str]:
    if result.control is None:
        return []
    found = "found out" if result.control.found else "NOT FOUND OUT"
    return [f"  null control: {result.control.guard}: {found}: {result.control.said}"]
