"""``python -m benchmarks smoke|full|report``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from time import perf_counter

from benchmarks import against_files, report, results, scale, stores
from benchmarks.results import Result
from whatworks.bench import Size


def smoke() -> Iterator[list[Result]]:
    """Seconds: that everything runs, and that nothing grows absurdly."""
    yield against_files.run(200, starts=2)
    yield scale.model(100)
    small = scale.run(Size(100, 100, 1_000), starts=1)
    yield small
    large = scale.run(Size(500, 500, 5_000), starts=1)
    yield large
    scale.check_growth(small, large)
    yield stores.smoke()


def full() -> Iterator[list[Result]]:
    """About a quarter of an hour on two cores."""
    for patterns in (1_000, 10_000):
        yield against_files.run(patterns)
    yield scale.model(500)
    for patterns in (1_000, 10_000, 100_000):
        yield scale.run(Size(patterns, patterns, 10 * patterns))


def run(kind: str, benchmarks: Callable[[], Iterator[list[Result]]]) -> None:
    start, at, before = perf_counter(), datetime.now(UTC), os.getloadavg()[0]
    measured = []
    for found in benchmarks():
        report.print_results(found)
        measured += found
    seconds = perf_counter() - start
    done = results.finished(kind, measured, at=at, seconds=seconds, load_before=before)
    results.save(done)
    print(f"\n{done.machine}; {done.versions}; commit {done.commit}")
    print(f"{seconds:.0f} s; load {done.load_before:.1f} before, {done.load_after:.1f} after")


def write_report() -> None:
    last = results.latest("full")
    if last is None:
        raise SystemExit(f"there are no results of a full run in {results.FILE}: make bench")
    report.write_page(last)
    print(f"wrote {report.PAGE}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["smoke"]:
            run("smoke", smoke)
        case ["full"]:
            run("full", full)
        case ["report"]:
            write_report()
        case _:
            raise SystemExit("usage: python -m benchmarks smoke|full|report")
