"""A thousand agents at once, and on paper a billion vectors: ``python -m benchmarks.scale``.

``agents`` runs 250 light machines of 4 agents each against a PostgreSQL of its own: each appends to a
journal and exchanges with the team by the code that users run, but answers nothing. ``paper``
multiplies what the last full benchmarks measured (latest.json). Both print tables of docs/scale.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from benchmarks import results
from benchmarks.goals import find
from benchmarks.team import body, machines, processor_seconds
from whatworks.journal import Journal
from whatworks.team import settings
from whatworks.team.exchange import Exchange, exchanging

MACHINES, AGENTS, DRIVERS = 250, 4, 2
SECONDS, PAUSES = 60.0, (10.0, 5.0, 2.0)  # between two exchanges of a machine
TRIES_A_SECOND = 0.02  # of an agent: one in 50 seconds, which is 1,728 a day

# What the paper assumes: list prices of large providers in 2026, rounded, in USD.
STORAGE, OBJECTS = 0.10, 0.023  # a GB a month, on a disk of a server and in an object store
SERVER, SERVER_GB = 90.0, 16  # a month of 2 processors with so much memory
SHARD = 10_000_000  # vectors
HOT = 0.1  # share of the shards that somebody asks at a time
HOURS = 730


@dataclass(frozen=True, slots=True)
class Driven:
    """What some machines did: times of exchanges, ages of what was fetched, events, late turns."""

    times: list[float]
    events: int
    due: int
    bytes: int


def drive(folders: list[Path], pause: float, seconds: float, seed: int) -> Driven:
    """Be some machines for so long, one turn of each every ``pause`` seconds."""
    chance = random.Random(seed)
    times, events, turns = list[float](), 0, 0
    with ExitStack() as stack:
        live = []
        for folder in folders:
            stack.enter_context(exchanging(folder))
            exchange = Exchange(folder, lambda: None)
            stack.callback(exchange.close)
            exchange.once()
            journal = Journal(folder / "journal", "agent", "process", settings.load(folder).machine)
            stack.callback(journal.close)
            live.append((exchange, journal))
        start = monotonic()
        while (now := monotonic() - start) < seconds:
            due = start + pause * turns / len(live)
            if due > start + now:
                sleep(due - start - now)
                continue
            exchange, journal = live[turns % len(live)]
            turns += 1
            told = sum(chance.random() < TRIES_A_SECOND * pause for _ in range(AGENTS))
            if told:
                journal.append("event.recorded", [body(events + n) for n in range(told)])
                events += told
            began = monotonic()
            exchange.once()
            times.append(monotonic() - began)
        due = int(len(live) * seconds / pause)
        for exchange, _ in live:  # what is left
            exchange.once()
        size = sum(file.stat().st_size for file in (folders[0] / "journal").glob("*.log"))
    return Driven(times, events, due, size)


def agents(server: object, folder: Path, count: int, seconds: float) -> None:
    """The table of a team of so many machines that exchange ever more often."""
    print(f"{count} machines of {AGENTS} agents, {TRIES_A_SECOND * 60:.1f} tries a minute each:\n")
    print("| each exchanges every | exchanges due | made | p50 | p95 | events told | on every machine "
          "| database, of one processor |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for number, pause in enumerate(PAUSES):
        (folder / f"p{number}").mkdir()
        url = server.create(f"scale{number}")  # type: ignore[attr-defined]
        folders = machines(url, folder / f"p{number}", count)
        shares = [folders[n::DRIVERS] for n in range(DRIVERS)]
        busy, start = processor_seconds(server.pid), monotonic()  # type: ignore[attr-defined]
        with multiprocessing.get_context("spawn").Pool(DRIVERS) as pool:
            told = [(share, pause, seconds, n) for n, share in enumerate(shares)]
            found = pool.starmap(drive, told)
        spent = monotonic() - start
        busy = processor_seconds(server.pid) - busy  # type: ignore[attr-defined]
        times = sorted(time for each in found for time in each.times)
        for each in folders:  # whoever ended first has not seen what the others said last
            with exchanging(each):
                last = Exchange(each, lambda: None)
                last.once()
                last.close()
        events = sum(each.events for each in found)
        held = {_held(each) for each in folders}
        print(
            f"| {pause:g} s | {sum(each.due for each in found):,} | {len(times):,} "
            f"| {1e3 * times[len(times) // 2]:.0f} ms | {1e3 * times[int(0.95 * len(times))]:.0f} ms "
            f"| {events:,} | {'all' if held == {events} else sorted(held)} "
            f"| {100 * busy / spent:.0f} % |",
            flush=True,
        )
    print(
        f"\n{os.cpu_count()} processors for machines and database, {seconds:g} s each, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def _held(folder: Path) -> int:
    """How many events the journal of a machine has."""
    return sum(
        file.read_bytes().count(b" event.recorded {") for file in (folder / "journal").glob("*.log")
    )


def paper() -> list[str]:
    """The tables of what larger memories would take, made of what was measured."""
    runs = results.kept()

    def figure(part: str, metric: str) -> float:
        found = find(runs, part, metric)
        if found is None:
            raise SystemExit(f"{part} was not measured: python -m benchmarks full --only {part}")
        return found.p50

    patterns = 1_000_000
    pattern = figure("fill-1m-patterns", "on disk, per pattern")
    vector = figure("fill-1m-patterns", "on disk, vectors") * 1e6 / 1_100_000  # and 100,000 contexts
    event = figure("fill-100k", "on disk, per event in a known context")
    folded = 1_000_000 / figure("rebuild", "rebuild of the evidence")
    indexed = 200_000 / figure("rebuild", "vectors from their embeddings")
    embedded = figure("embedding", "short texts in bulk")
    small = figure("ask-100k", "find_similar by vector")
    large = figure("ask-1m-patterns", "find_similar by vector")
    growth = large / small  # for ten times as many
    lines = [
        "| measured on one machine | |",
        "|---|---|",
        f"| a pattern on the disk, all layers | {pattern:,.0f} bytes |",
        f"| of which its vector and its place in the index | {vector:,.0f} bytes |",
        f"| an event on the disk, all layers | {event:,.0f} bytes |",
        f"| events folded | {folded:,.0f} a second |",
        f"| vectors indexed | {indexed:,.0f} a second |",
        f"| texts embedded | {embedded:,.0f} a second |",
        f"| a search among 100,000, and among {patterns:,} | {small:.2f} ms, {large:.2f} ms |",
        "",
        "| | 1 million patterns, 10 million events | 100 million, 1 billion | 1 billion, 10 billion |",
        "|---|---|---|---|",
    ]
    rows: dict[str, list[str]] = {}
    for number, events in ((1e6, 1e7), (1e8, 1e9), (1e9, 1e10)):
        shards = max(1, round(number / SHARD))
        disk = (number * pattern + events * event) / 1e9
        memory = number * vector / 1e9
        hot = memory * (1 if shards == 1 else max(HOT, 1 / shards))
        servers = max(1, -(-hot // SERVER_GB))
        for name, text in {
            f"shards of {SHARD / 1e6:.0f} million": f"{shards:,}",
            "on disk, once": _bytes(disk),
            "vectors and index": _bytes(memory),
            f"servers of {SERVER_GB} GB that hold {HOT:.0%} of it in memory": f"{servers:,.0f}",
            "search in one shard, by the growth above": (
                f"{_search(small, growth, number / shards):.1f} ms"
            ),
            "search in all of them, one after the other": _seconds(
                shards * _search(small, growth, number / shards) / 1e3
            ),
            "folding all again, a machine a shard": _seconds(events / shards / folded),
            "indexing again, likewise": _seconds(number / shards / indexed),
            "embedding again, likewise": _seconds(number / shards / embedded),
            "a month, disks of servers": f"{disk * STORAGE + servers * SERVER:,.0f} USD",
            "a month, object store for what is not hot": (
                f"{disk * OBJECTS + hot * STORAGE + servers * SERVER:,.0f} USD"
            ),
        }.items():
            rows.setdefault(name, []).append(text)
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]


def _search(small: float, growth: float, number: float) -> float:
    """Milliseconds among ``number`` vectors, if each tenfold takes as much longer as the last did."""
    from math import log10

    return small * growth ** max(0.0, log10(number / 1e5))


def _bytes(gigabytes: float) -> str:
    return f"{gigabytes:,.0f} GB" if gigabytes < 1_000 else f"{gigabytes / 1_000:,.1f} TB"


def _seconds(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "s")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{1e3 * seconds:,.0f} ms"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("what", choices=("agents", "paper"))
    parser.add_argument("--machines", type=int, default=MACHINES)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    if given.what == "paper":
        print("\n".join(paper()))
        return
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from support.postgres import Postgres

    server = Postgres(max_connections=str(given.machines + 50))
    try:
        server.start()
        # 250 machines have 250 disks: here the syncs of one would be all that is measured.
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        with TemporaryDirectory(prefix="whatworks-scale-", dir=memory) as folder:
            agents(server, Path(folder), given.machines, given.seconds)
    finally:
        server.close()


if __name__ == "__main__":
    main()
