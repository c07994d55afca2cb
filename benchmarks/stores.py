"""All vector stores side by side in one run: ``python -m benchmarks.stores full|report``.

``full`` measures every installed engine, each store in a process of its own, on embeddings of real
texts, keeps the figures in a DuckDB file and writes the page; ``report`` writes the page again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from benchmarks import report, results, store_data, stores_page
from benchmarks.measure import BARE, ROOT, fresh, quantiles
from benchmarks.results import Measured, Result, Run
from benchmarks.store_child import Child, StoreFailedError
from benchmarks.store_data import Answers, Data
from whatworks.errors import MissingExtraError
from whatworks.stores.registry import engine_class, engines, versions

__all__ = ["installed", "main", "measure", "smoke"]

SIZES = (10_000, 100_000, 1_000_000)
ASKED_AT_ONCE = 50
ADDITIONS = 10
ASKED_FOR, ADDED_FOR = 30.0, 20.0  # seconds, after which a slow store is left in peace
LEAST_RECALL = 0.9
_COLD = """
from pathlib import Path
import numpy as np
from whatworks.stores.registry import open_store
queries = np.load({queries!r}, mmap_mode="r")
store = open_store({engine!r}, Path({folder!r}), dim=queries.shape[1])
assert len(store.search(queries[0], 10).ids) == 10
"""


def installed() -> list[str]:
    """The engines whose packages are there."""
    return [name for name in engines() if _is_installed(name)]


def _is_installed(engine: str) -> bool:
    try:
        engine_class(engine)
    except (MissingExtraError, ModuleNotFoundError):
        return False
    return True


def measure(
    names: Sequence[str], data: Data, size: int, *, starts: int = 7, limits: Mapping[str, float] = {}
) -> list[Result]:
    """Every figure of every engine at one size; ``limits`` are seconds that building may take."""
    measured = Measured("vector stores", f"{size:,} vectors")
    with TemporaryDirectory(prefix="whatworks-benchmark-") as name, ExitStack() as stack:
        bench = _Bench(measured, Path(name), data, size)
        built = [engine for engine in names if bench.build(engine, limits.get(engine))]
        bench.cold(built, starts)
        children = bench.opened(built, stack)
        bench.search(children)
        bench.search_among(children)
        bench.add(children)
    return measured.results


@dataclass(slots=True)
class _Said:
    """What a store answered to all questions, and the time it took."""

    ms: list[float] = field(default_factory=list)
    processor_ms: float = 0.0
    answers: list[Answers] = field(default_factory=list)


class _Bench:
    """The stores of one size, and what was found out about them."""

    def __init__(self, measured: Measured, folder: Path, data: Data, size: int) -> None:
        self._measured = measured
        self._folder = folder
        self._data = data
        self._size = size
        self._vectors = np.load(data.vectors, mmap_mode="r")[:size]
        self._queries = np.load(data.queries)

    def _child(self, engine: str) -> Child:
        return Child(engine, self._folder / engine, self._data)

    def _failed(self, engine: str, error: StoreFailedError) -> None:
        print(f"{engine}: {error}", file=sys.stderr)
        self._measured.add(f"failed: {error}", float("nan"), "", subject=engine)

    def build(self, engine: str, limit: float | None) -> bool:
        """Whether the store was built."""
        add = self._measured.add
        try:
            with self._child(engine) as child:
                found = child.ask("build", limit=limit, size=self._size)
                peak = child.peak_mb
        except StoreFailedError as error:
            self._failed(engine, error)
            return False
        rate = self._size / found["filled"]
        add("build, until upkeep is done", found["ready"], "s", subject=engine)
        add("build, processor", found["cpu"], "s", subject=engine)
        add("added in batches, flushed at the end", rate, "vectors/s", subject=engine)
        add("private memory while building, highest", peak, "MB", subject=engine)
        add("on disk", _allocated_mb(self._folder / engine), "MB", subject=engine)
        return True

    def cold(self, names: Sequence[str], starts: int) -> None:
        """From the start of a process to its first answer."""
        programs = {"bare": BARE} | {
            engine: _COLD.format(
                engine=engine, folder=str(self._folder / engine), queries=str(self._data.queries)
            )
            for engine in names
        }
        taken = fresh(programs, starts)
        bare = taken.pop("bare")
        for engine, found in taken.items():
            ms = [ours.ms - python.ms for ours, python in zip(found, bare, strict=True)]
            self._measured.add("start to the first answer", quantiles(ms), "ms", subject=engine)

    def opened(self, names: Sequence[str], stack: ExitStack) -> dict[str, Child]:
        """A process for each store, with the store open and warm."""
        children = {engine: stack.enter_context(self._child(engine)) for engine in names}
        return self._rounds(children, self._open)

    def _open(self, engine: str, child: Child) -> None:
        if (count := child.ask("open")) != self._size:
            raise StoreFailedError(f"holds {count:,} vectors, not {self._size:,}")
        child.ask("search", start=0, count=ASKED_AT_ONCE)

    def _rounds(
        self, children: Mapping[str, Child], step: Callable[[str, Child], None]
    ) -> dict[str, Child]:
        """One step of each in turn; those that did not fail."""
        alive = dict(children)
        for engine, child in children.items():
            try:
                step(engine, child)
            except StoreFailedError as error:
                self._failed(engine, error)
                del alive[engine]
        return alive

    def search(self, children: dict[str, Child]) -> None:
        """Recall and time of all queries, then the memory that they took."""
        edge = store_data.edges(self._vectors, self._queries)
        for engine, said in self._asked(children, "search").items():
            self._add_search(engine, "search", said, edge)
            memory, resident = children[engine].memory_mb()
            self._measured.add("private memory", memory, "MB", subject=engine)
            self._measured.add("resident memory", resident, "MB", subject=engine)

    def search_among(self, children: dict[str, Child]) -> None:
        """The same among 1 % of the vectors."""
        rows = store_data.filters(self._size)
        edge = np.empty(len(self._queries), np.float32)
        for number in range(len(rows)):
            asked = slice(number, None, len(rows))
            edge[asked] = store_data.edges(self._vectors[rows[number]], self._queries[asked])
        allowed = [{store_data.row_id(row) for row in some} for some in rows]
        for engine, said in self._asked(children, "search_among", size=self._size).items():
            self._add_search(engine, "search among 1 %", said, edge)
            wrong = sum(
                not wanted.issuperset(answer.ids)
                for wanted, answer in zip(cycle(allowed), said.answers, strict=False)
            )
            self._measured.add("answers that pass over the filter", wrong, "", subject=engine)

    def _asked(self, children: dict[str, Child], what: str, **more: Any) -> dict[str, _Said]:
        """Some queries to each process in turn, so that load on the machine meets all alike."""
        said = {engine: _Said() for engine in children}
        for start in range(0, len(self._queries), ASKED_AT_ONCE):
            count = min(ASKED_AT_ONCE, len(self._queries) - start)
            ask = partial(_ask, said, what, start=start, count=count, **more)
            children = self._rounds(children, ask)
        return {engine: said[engine] for engine in children}

    def _add_search(self, engine: str, what: str, said: _Said, edge: Any) -> None:
        asked = len(said.answers)
        share, error = store_data.recall(
            said.answers, self._vectors, self._queries[:asked], edge[:asked]
        )
        add = self._measured.add
        add(f"{what}, recall@10", share, "", subject=engine)
        add(what, quantiles(said.ms), "ms", subject=engine)
        add(f"{what}, p99", float(np.percentile(said.ms, 99)), "ms", subject=engine)
        add(f"{what}, processor", said.processor_ms / len(said.ms), "ms", subject=engine)
        add(f"{what}, largest error of a distance", error, "", subject=engine)

    def add(self, children: dict[str, Child]) -> None:
        """New vectors, one by one and a thousand at once, on the disk after each call."""
        for size, calls, metric in ((1, 10, "one vector added"), (1_000, 1, "1,000 vectors added")):
            taken: dict[str, list[float]] = {engine: [] for engine in children}
            for _ in range(ADDITIONS):
                children = self._rounds(children, partial(_add, taken, calls=calls, size=size))
            for engine in children:
                ms = quantiles(taken[engine])
                self._measured.add(f"{metric}, and flush", ms, "ms", subject=engine)


def _allocated_mb(folder: Path) -> float:
    """What the files of a folder take on the disk, which is less than their size if they have holes."""
    return sum(item.stat().st_blocks for item in folder.rglob("*") if item.is_file()) * 512 / 1e6


def _ask(said: Mapping[str, _Said], what: str, engine: str, child: Child, **more: Any) -> None:
    if sum(said[engine].ms) > 1e3 * ASKED_FOR:
        return
    found = child.ask(what, **more)
    said[engine].ms.extend(found["ms"])
    said[engine].processor_ms += found["cpu"]
    said[engine].answers.extend(Answers(*answer) for answer in found["answers"])


def _add(taken: Mapping[str, list[float]], engine: str, child: Child, **what: int) -> None:
    if sum(taken[engine]) < 1e3 * ADDED_FOR:
        taken[engine].extend(child.ask("add", **what)["ms"])


def smoke() -> list[Result]:
    """A small size in seconds, without texts: that everything runs, and that answers are right."""
    with TemporaryDirectory(prefix="whatworks-benchmark-") as name:
        found = measure(installed(), store_data.made_up(Path(name), 6_000), 6_000, starts=1)
    for result in found:
        if result.metric.startswith("failed"):
            raise SystemExit(f"{result.subject} {result.metric}")
        if result.metric.endswith("recall@10") and result.p50 < LEAST_RECALL:
            raise SystemExit(f"{result.subject}: {result.metric} is {result.p50}, not {LEAST_RECALL}")
    return found


def full(given: argparse.Namespace) -> None:
    """Measure at every size, and save each size as soon as it is done."""
    names = given.engines.split(",") if given.engines else installed()
    for size in given.sizes:
        at, load, start = datetime.now(UTC), os.getloadavg()[0], perf_counter()
        data = store_data.real(given.cache, size, most=given.most_real)
        chosen, left = _affordable(names, size, given)
        limits = dict.fromkeys(chosen, 2 * 60 * given.minutes)
        found = [*measure(chosen, data, size, limits=limits), *left, _real(data, size)]
        report.print_results(found)
        run = results.finished(
            stores_page.kind(size), found, at=at, seconds=perf_counter() - start, load_before=load
        )
        results.save(_with_engines(run, names), given.results)


def _affordable(
    names: Sequence[str], size: int, given: argparse.Namespace
) -> tuple[list[str], list[Result]]:
    """Engines that should be built within the time given, and estimates for those that should not."""
    chosen, left = [], Measured("vector stores", f"{size:,} vectors")
    for engine in names:
        minutes = _estimate(engine, size, given.results)
        if minutes is None or minutes <= given.minutes:
            chosen.append(engine)
        else:
            left.add("not run, estimated to build in", minutes, "min", subject=engine)
    return chosen, left.results


def _estimate(engine: str, size: int, path: Path) -> float | None:
    """Minutes to build, in proportion to the largest smaller size that was measured; at best."""
    for smaller in sorted((one for one in SIZES if one < size), reverse=True):
        run = results.latest(stores_page.kind(smaller), path)
        for result in run.results if run else ():
            if result.subject == engine and result.metric.startswith("build, until"):
                return result.p50 * size / smaller / 60
    return None


def _real(data: Data, size: int) -> Result:
    measured = Measured("vector stores", f"{size:,} vectors")
    measured.add("vectors of real texts", min(data.real, size), "", subject="all")
    return measured.results[0]


def _with_engines(run: Run, names: Sequence[str]) -> Run:
    """The run with the versions of the engines' packages."""
    found: dict[str, str | None] = {}
    for name in names:
        found |= versions(engine_class(name))
    more = [f"{package} {number}" for package, number in found.items() if package not in run.versions]
    return replace(run, versions=", ".join([run.versions, *more]))


def main(words: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(words)
    if given.command == "full":
        full(given)
    stores_page.write(given.page, given.results, SIZES)
    print(f"wrote {given.page}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.stores", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring, again = commands.add_parser("full"), commands.add_parser("report")
    for command in (measuring, again):
        command.add_argument("--results", type=Path, default=results.FILE, help="a DuckDB file")
        command.add_argument("--page", type=Path, default=ROOT / "docs" / "stores-benchmark.md")
    measuring.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=SIZES)
    measuring.add_argument("--engines", help="separated by commas; all that are installed")
    measuring.add_argument(
        "--minutes", type=float, default=10, help="that building one store should take at most"
    )
    measuring.add_argument(
        "--most-real", type=int, help="real texts to embed at most; what is missing is mixed from them"
    )
    measuring.add_argument(
        "--cache", type=Path, default=user_cache_path("whatworks-benchmarks"),
        help="folder of texts and embeddings",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    main()
