"""``python -m benchmarks smoke|full|list|report|guard``."""

from __future__ import annotations

import argparse
import os
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from platformdirs import user_cache_path

from benchmarks import report, results
from benchmarks.growth import check_growth
from benchmarks.measure import machine
from benchmarks.results import Result, Run

CACHE = user_cache_path("whatworks-benchmarks")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("smoke", help="everything, small; about a minute")
    full = commands.add_parser("full", help="everything; hours; what was interrupted goes on")
    full.add_argument("--only", metavar="NAME", nargs="+", help="these parts, also if they are done")
    full.add_argument("--again", action="store_true", help="all parts, also if this commit has results")
    commands.add_parser("list", help="the parts, and when each was measured last")
    commands.add_parser("report", help="write docs/performance.md from the last results of each part")
    guard = commands.add_parser("guard", help="compare what each hot question costs with guard.json")
    guard.add_argument("--write", action="store_true", help="keep the counts of today")
    given = parser.parse_args(words)
    match given.command:
        case "smoke":
            _smoke()
        case "full":
            _full(given.only or [], again=given.again)
        case "list":
            _list()
        case "report":
            from benchmarks import page

            page.write()
        case "guard":
            from benchmarks import guard as counted

            counted.check(write=given.write)


def _smoke() -> None:
    from benchmarks import parts, stores

    with TemporaryDirectory(prefix="whatworks-benchmark-") as name:
        found = {part: _run("smoke", part, work) for part, work in parts.smoke(Path(name)).items()}
    check_growth(found["ask-small"].results, found["ask-large"].results)
    _run("smoke", "stores", stores.smoke)


def _full(only: Sequence[str], *, again: bool) -> None:
    from benchmarks import parts

    works = parts.full(CACHE)
    if unknown := set(only) - set(works):
        raise SystemExit(f"there is no part {', '.join(unknown)}; there are {', '.join(works)}")
    done = {} if again else results.latest_parts("full")
    commit, failed = machine()["commit"], []
    for place, name in enumerate(names := only or list(works), 1):
        if not only and name in done and done[name].commit == commit:
            print(f"{name} is done for {commit}")
            continue
        print(f"\n== {name}, {place} of {len(names)}, at {datetime.now():%H:%M}", flush=True)
        try:
            _run("full", name, works[name])
        except Exception:  # noqa: BLE001 - hours of other parts are not to be lost
            traceback.print_exc()
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _run(size: str, name: str, work: Callable[[], list[Result]]) -> Run:
    start, at, before = perf_counter(), datetime.now(UTC), os.getloadavg()[0]
    found: list[Result] = work()
    seconds = perf_counter() - start
    kind = results.part_kind(size, name)
    done = results.finished(kind, found, at=at, seconds=seconds, load_before=before)
    results.save(done)
    if size == "full":
        results.keep(results.latest_parts(size))
    report.print_results(found)
    print(f"{name}: {seconds:.0f} s; load {before:.1f} before, {done.load_after:.1f} after", flush=True)
    return done


def _list() -> None:
    from benchmarks import parts

    done = results.latest_parts("full")
    for name in parts.full(CACHE):
        last = f"{done[name].at:%Y-%m-%d %H:%M} at {done[name].commit}" if name in done else "not yet"
        print(f"{name:18}{last}")


if __name__ == "__main__":
    main()
