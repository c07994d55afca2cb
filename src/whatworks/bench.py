"""What ``whatworks bench`` measures: how fast this machine answers, in under half a minute."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate, cycle, islice
from pathlib import Path
from random import Random
from time import perf_counter
from typing import NamedTuple, TypeVar
from zlib import crc32

import numpy as np
import orjson

from whatworks.embedders import Embedder
from whatworks.errors import InvalidInputError
from whatworks.memory import Memory
from whatworks.records import NewEvent, NewPattern, Where

__all__ = [
    "Latency",
    "Report",
    "Size",
    "batches",
    "context_text",
    "events",
    "latency",
    "main",
    "measure_generated",
    "measure_store",
    "memory_mb",
    "pattern_id",
    "pattern_text",
    "patterns",
    "question_text",
]

BATCH = 1_000
ASKED = 40

T = TypeVar("T")


class Size(NamedTuple):
    """How much made-up data; each event is a try in one of ``contexts`` situations."""

    patterns: int
    contexts: int
    events: int


# 900 texts: what the default embedder does in five to ten seconds.
SHORT = Size(600, 300, 20_000)


class Latency(NamedTuple):
    """How long calls took: median and 95th percentile of ``n`` calls, in milliseconds."""

    metric: str
    p50_ms: float
    p95_ms: float
    n: int


@dataclass(frozen=True, slots=True)
class Report:
    """Latencies of one store, and the state of the machine; ``load`` is that of the last minute."""

    store: str
    patterns: int
    events: int
    latencies: tuple[Latency, ...]
    cpus: int
    load_before: float
    load_after: float
    rss_mb: float
    private_mb: float


def main(store: Path | None, json: bool) -> None:
    """Measure and print: the user's own ``store`` by questions alone, else a generated one.

    Nothing is written to ``store`` but the receipts of predictions. The
    generated one is made in a temporary folder, with the default embedder.
    """
    report = measure_generated() if store is None else measure_store(store)
    if json:
        sys.stdout.write(orjson.dumps(_document(report), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _show(report)


def measure_store(folder: Path, *, embedder: Embedder | None = None, asked: int = ASKED) -> Report:
    """Ask a store the questions that it was made for, each ``asked`` times, predictions a quarter.

    Raises
    ------
    NotFoundError
        There is no store in ``folder``.
    InvalidInputError
        The store has no patterns, so that there is nothing to ask.
    """
    before = os.getloadavg()[0]
    with Memory.open(folder, embedder=embedder, create=False) as memory:
        ids = [item.pattern_id for item in memory.patterns(limit=asked)]
        if not ids:
            raise InvalidInputError(
                f"the store in {folder} has no patterns to ask for; leave --store out to measure on "
                "made-up data"
            )
        return _report(str(folder), memory, _answers(memory, ids, asked), before)


def measure_generated(
    *, embedder: Embedder | None = None, size: Size = SHORT, asked: int = ASKED
) -> Report:
    """Make a store of made-up data in a temporary folder, and measure writing and asking."""
    before = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="whatworks-bench-") as folder,
        Memory.open(folder, embedder=embedder) as memory,
    ):
        written = _filled(memory, size, asked)
        ids = [pattern_id(number) for number in range(min(asked, size.patterns))]
        latencies = [*written, *_answers(memory, ids, asked)]
        return _report("a temporary folder", memory, latencies, before)


def latency(metric: str, calls: Iterable[Callable[[], object]]) -> Latency:
    """Time ``calls``, at least one, one after the other."""
    taken = []
    for call in calls:
        start = perf_counter()
        call()
        taken.append(1e3 * (perf_counter() - start))
    median, high = np.percentile(taken, [50, 95]).tolist()
    return Latency(metric, median, high, len(taken))


def memory_mb() -> tuple[float, float]:
    """Resident and private memory of this process, in MB; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0.0, 0.0
    megabytes = {
        name: int(value.split()[0]) * 1_024 / 1e6 for name, value in (line.split(":") for line in lines)
    }
    return megabytes["Rss"], megabytes["Private_Clean"] + megabytes["Private_Dirty"]


# -- what is measured -----------------------------------------------------------------------------


def _filled(memory: Memory, size: Size, asked: int) -> list[Latency]:
    """Fill ``memory`` with made-up data, and say how long writing took."""
    memory.add_patterns(patterns(size.patterns))
    many = latency(
        f"record_many, {BATCH:,} events", _each(memory.record_many, batches(events(size), BATCH))
    )
    memory.flush()
    single = latency(
        "record, safe on the disk",
        [partial(memory.record, pattern_id(n % size.patterns), outcome=1.0) for n in range(asked)],
    )
    memory.flush()
    return [many, single]


def _answers(memory: Memory, ids: Sequence[str], asked: int) -> list[Latency]:
    """Ask everything once to load what is needed, then time each question."""
    texts = [question_text(number) for number in range(2 * asked + 1)]
    memory.find_similar(texts[-1])
    memory.predict(texts[-1])
    # Fewer predictions than other questions: each leaves a receipt in the store.
    first, second = texts[:asked], texts[asked : asked + max(1, asked // 4)]
    used = partial(memory.find_similar, where=Where(min_usage=1))
    return [
        latency("find_similar, new text", _each(memory.find_similar, first)),
        latency("find_similar, repeated text", _each(memory.find_similar, first)),
        latency("find_similar, with a condition", _each(used, first)),
        latency("predict, new text", _each(memory.predict, second)),
        latency("trend", _each(memory.trend, _cycle(ids, asked))),
        latency("events of a pattern", _each(memory.events, _cycle(ids, asked))),
        latency("events, the newest", [memory.events] * asked),
        latency("patterns, the newest", [memory.patterns] * asked),
        latency("stats", [memory.stats] * asked),
    ]


def _each(call: Callable[[T], object], values: Iterable[T]) -> Iterator[Callable[[], object]]:
    return (partial(call, value) for value in values)


def _cycle(ids: Sequence[str], count: int) -> Iterator[str]:
    return islice(cycle(ids), count)


def _report(store: str, memory: Memory, latencies: Sequence[Latency], load_before: float) -> Report:
    counted, (rss, private) = memory.stats(), memory_mb()
    return Report(
        store=store,
        patterns=counted.patterns,
        events=counted.events,
        latencies=tuple(latencies),
        cpus=os.cpu_count() or 1,
        load_before=load_before,
        load_after=os.getloadavg()[0],
        rss_mb=rss,
        private_mb=private,
    )


def _document(report: Report) -> dict[str, object]:
    return asdict(report) | {"latencies": [row._asdict() for row in report.latencies]}


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    console.print(f"{report.patterns:,} patterns, {report.events:,} events in {report.store}\n")
    table = Table(box=None)
    table.add_column("")
    for name in ("p50 ms", "p95 ms", "calls"):
        table.add_column(name, justify="right")
    for row in report.latencies:
        table.add_row(row.metric, f"{row.p50_ms:.2f}", f"{row.p95_ms:.2f}", str(row.n))
    console.print(table)
    console.print(
        f"\n{report.cpus} processors, load {report.load_before:.1f} before and "
        f"{report.load_after:.1f} after; memory of this process {report.rss_mb:.0f} MB, "
        f"of which {report.private_mb:.0f} MB private"
    )


# -- made-up data ---------------------------------------------------------------------------------

END = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90
TYPES = ("debugging_strategy", "testing_pattern", "configuration", "refactoring", "tool_sequence")
TOOLS = (
    "cargo", "rg", "git", "pytest", "read_file", "edit_file", "run_command", "docker", "npm",
    "psql",
)  # fmt: skip
PROBLEMS = (
    "unresolved import", "borrow checker error", "flaky test", "slow build", "missing index",
    "dead lock", "type mismatch", "wrong time zone", "memory leak", "stack overflow",
    "failing migration", "stale cache", "race condition", "broken pipe", "permission denied",
    "certificate expired", "off by one", "null pointer", "lint warning", "timeout",
    "encoding error", "lost update", "bad merge", "rate limit",
)  # fmt: skip
STEPS = (
    "read the first error only", "bisect the history", "write a failing test",
    "print the query plan", "pin the version", "clear the cache", "add a retry with jitter",
    "split the function", "log both sides", "replay the request", "shrink the input",
    "compare with the last release", "ask for the schema", "run it under strace", "mock the clock",
    "raise the limit", "revert the last commit", "add an index", "check the environment",
    "look at the lock order",
)  # fmt: skip
FOLDERS = ("parser", "storage", "config", "agent", "api", "auth", "billing", "search", "worker", "ui")
FILES = ("mod", "error", "tests", "lib", "client", "server", "schema", "cache", "queue", "session")
ENDINGS = ("rs", "py", "ts", "go", "sql")


def path(chance: Random) -> str:
    """A source file."""
    return f"src/{chance.choice(FOLDERS)}/{chance.choice(FILES)}.{chance.choice(ENDINGS)}"


def pattern_id(number: int) -> str:
    """Id of the pattern ``number``."""
    return f"pattern-{number}"


def pattern_text(number: int) -> str:
    """Description of the pattern ``number``; no two are equal."""
    chance = Random(f"pattern {number}")
    first, then = chance.sample(STEPS, 2)
    return f"For a {chance.choice(PROBLEMS)} in {path(chance)} {first}, then {then} (case {number})"


def context_text(number: int) -> str:
    """Text of the context ``number``; no two are equal."""
    chance = Random(f"context {number}")
    return (
        f"{chance.choice(PROBLEMS)} in {path(chance)} while we {chance.choice(STEPS)}, ticket {number}"
    )


def question_text(number: int) -> str:
    """A text of the same kind that no pattern and no context has."""
    chance = Random(f"question {number}")
    return f"{chance.choice(PROBLEMS)} in {path(chance)}, how do we go on with request {number}?"


def patterns(count: int) -> Iterator[NewPattern]:
    """Patterns numbered from 0."""
    for number in range(count):
        yield NewPattern(
            pattern_text(number),
            pattern_type=TYPES[number % len(TYPES)],
            metadata={"language": ENDINGS[number % len(ENDINGS)]},
            pattern_id=pattern_id(number),
            created_at=END - timedelta(days=DAYS),
        )


def events(size: Size, *, seed: int = 1) -> Iterator[NewEvent]:
    """Tries in the order of time, over 90 days: a few patterns are used much, most of them seldom.

    94 % are resolved, each pattern at a success rate of its own.
    """
    chance = Random(seed)
    weights = list(accumulate(1 / (place + 10) for place in range(size.patterns)))
    texts = [context_text(number) for number in range(size.contexts)]
    start, step = END - timedelta(days=DAYS), timedelta(days=DAYS) / size.events
    for nth in range(size.events):
        number = chance.choices(range(size.patterns), cum_weights=weights)[0]
        fate = chance.random()
        yield NewEvent(
            pattern_id(number),
            outcome=float(chance.random() < success_rate(number)) if fate < 0.94 else None,
            state=None if fate < 0.98 else "not_used",
            context=chance.choice(texts),
            timestamp=start + nth * step,
            session_id=f"session-{nth // 20}",
            files=[f"src/{chance.choice(FOLDERS)}/{chance.choice(FILES)}.rs"],
            tools=[chance.choice(TOOLS)],
            duration_ms=float(chance.randrange(50, 60_000)),
        )


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of ``size``, the last one shorter."""
    remaining = iter(items)
    return iter(lambda: list(islice(remaining, size)), [])


def success_rate(number: int) -> float:
    """What share of the tries of a pattern works, 0.2 to 0.9."""
    return 0.2 + 0.7 * (crc32(pattern_id(number).encode()) % 1_000) / 1_000
