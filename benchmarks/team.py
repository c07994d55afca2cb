"""How much a team's database takes, and what an event costs there: ``python -m benchmarks.team``.

Machines are processes that append to journals of their own and ship, as fast as they can, in
transactions of so many events; the server is one of our own, on the same processors. Prints the
tables of docs/team.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from contextlib import suppress
from multiprocessing.pool import Pool
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep

import psutil

from whatworks import Memory
from whatworks.ids import uuid7
from whatworks.journal import Journal
from whatworks.team import membership, settings, syncing
from whatworks.team.database import Database
from whatworks.team.exchange import exchanging
from whatworks.team.shipping import Shipping
from whatworks.testing import HashEmbedder

MACHINES = (1, 2, 4, 8)
AT_ONCE = (10, 1_000)  # events a transaction: an agent at work; one that was away
SECONDS = 5.0
EVENTS, PREDICTIONS = 20_000, 200
SEEN = 40


def body(n: int) -> dict[str, object]:
    """An event as an agent records it: a context of 80 characters, a tool, two files."""
    return {
        "event_id": uuid7(),
        "pattern_id": f"p{n % 50}",
        "timestamp": 1_760_000_000_000_000 + n,
        "state": "resolved",
        "outcome": float(n % 2),
        "context": f"error[E0432]: unresolved import in crates/engine/src/lib.rs, case {n % 900:>9}",
        "context_id": f"c{n % 900}",
        "session_id": f"session-{n // 40}",
        "source": "agent",
        "channel": "library",
        "tools": ["cargo"],
        "files": ["crates/engine/src/lib.rs", "crates/engine/src/main.rs"],
    }


def ship(folder: Path, at_once: int, seconds: float) -> tuple[int, int, list[float]]:
    """Ship for so long; events, bytes, and how long each transaction took."""
    who = settings.load(folder)
    journal = Journal(folder / "journal", "benchmark", "process", who.machine)
    database, shipping = Database(who.url), Shipping(folder / "journal", who)
    events = size = 0
    times = list[float]()
    try:
        shipping.begin(database)
        until = monotonic() + seconds
        while monotonic() < until:
            journal.append("event.recorded", [body(events + n) for n in range(at_once)])
            start = perf_counter()
            size += shipping.ship(database).bytes
            times.append(perf_counter() - start)
            events += at_once
    finally:
        database.close()
        journal.close()
    return events, size, times


def machines(url: str, folder: Path, count: int) -> list[Path]:
    """A team of so many machines, without exchanges."""
    folders = [folder / f"m{n}" for n in range(count)]
    Memory.open(folders[0], embedder=HashEmbedder(), vectors="exact").close()
    membership.init(folders[0], url, name="m0")
    for each in folders[1:]:
        membership.join(each, url, name=each.name, model=HashEmbedder().model_id)
    return folders


def processor_seconds(pid: int) -> float:
    """Processor time of the server and its children so far, with that of those that have ended."""
    total = 0.0
    for process in (psutil.Process(pid), *psutil.Process(pid).children()):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def throughput(server: object, folder: Path, seconds: float) -> None:
    """The table of what the database takes from more and more machines."""
    print(
        "| machines | events a transaction | events a second | MB a second | transaction, p50 | p95 "
        "| processor time of the database |"
    )
    print("|---|---|---|---|---|---|---|")
    for at_once in AT_ONCE:
        for count in MACHINES:
            name = f"t{at_once}_{count}"
            url = server.create(name)  # type: ignore[attr-defined]
            (folder / name).mkdir()
            folders = machines(url, folder / name, count)
            with multiprocessing.get_context("spawn").Pool(count) as pool:
                row = _measured(pool, server.pid, folders, at_once, seconds)  # type: ignore[attr-defined]
            print(f"| {count} | {at_once:,} | {row} |", flush=True)


def _measured(pool: Pool, pid: int, folders: list[Path], at_once: int, seconds: float) -> str:
    pool.map(abs, range(len(folders)))  # they are up
    told = [(folder, at_once, seconds) for folder in folders]
    waiting = pool.starmap_async(ship, told)
    busy = 0.0
    before, start = processor_seconds(pid), monotonic()
    while not waiting.ready():
        waiting.wait(0.5)
        busy = max(busy, processor_seconds(pid) - before)
    spent = monotonic() - start
    found = waiting.get()
    times = sorted(time for _, _, each in found for time in each)
    events, size = sum(each[0] for each in found), sum(each[1] for each in found)
    p50, p95 = times[len(times) // 2], times[int(0.95 * len(times))]
    return (
        f"{events / seconds:,.0f} | {size / seconds / 1e6:.1f} | {1e3 * p50:.1f} ms | "
        f"{1e3 * p95:.1f} ms | {100 * busy / spent:.0f} %"
    )


def costs(server: object, folder: Path) -> None:
    """Bytes of an event and of a prediction, and how fast another machine has them."""
    url = server.create("costs")  # type: ignore[attr-defined]
    folder.mkdir()
    ada, bob = machines(url, folder, 2)
    # Within ``exchanging``, so that the keeper does not do meanwhile what is to be measured.
    with exchanging(ada), Memory.open(ada, embedder=HashEmbedder()) as memory:
        memory.add_patterns(
            [{"description": f"approach {n}", "pattern_id": f"p{n}"} for n in range(50)]
        )
        before = memory.stats().journal_bytes
        for start in range(0, EVENTS, 1_000):
            memory.record_many(
                {
                    name: body(n)[name]
                    for name in ("pattern_id", "outcome", "context", "session_id", "tools", "files")
                }
                for n in range(start, start + 1_000)
            )
        events = memory.stats().journal_bytes - before
        for n in range(PREDICTIONS):
            memory.predict(f"error[E0432]: unresolved import in module {n}")
        predictions = memory.stats().journal_bytes - before - events
    begin = perf_counter()
    shipped = syncing.sync(ada)
    middle = perf_counter()
    fetched = syncing.sync(bob)
    end = perf_counter()
    database = Database(url)
    try:
        database.do("VACUUM ANALYZE whatworks.log")
        table = database.row("SELECT pg_total_relation_size('whatworks.log') AS bytes")["bytes"]
    finally:
        database.close()
    print(
        f"\nan event is {events / EVENTS:,.0f} bytes of the journal, "
        f"a prediction {predictions / PREDICTIONS:,.0f}"
    )
    print(
        f"the log takes {table / 1e6:.1f} MB in the database "
        f"for {shipped.shipped / 1e6:.1f} MB of journal"
    )
    print(
        f"shipped in {middle - begin:.2f} s; fetched and folded in {end - middle:.2f} s "
        f"({fetched.fetched / 1e6:.1f} MB)"
    )


def freshness(server: object, folder: Path) -> None:
    """How long after a try was recorded on one machine another one that asks all the time knows it."""
    url = server.create("freshness")  # type: ignore[attr-defined]
    folder.mkdir()
    ada, bob = machines(url, folder, 2)
    times = list[float]()
    with (
        Memory.open(ada, embedder=HashEmbedder()) as one,
        Memory.open(bob, embedder=HashEmbedder()) as other,
    ):
        one.add_pattern("approach", pattern_id="p")
        while not other.get_patterns(["p"]):
            sleep(0.01)
        for n in range(SEEN):
            sleep(0.37 * (n % 5))
            start, event = perf_counter(), one.record("p", outcome=1.0)
            while not other.get_events([event.event_id]):
                sleep(0.01)
            times.append(perf_counter() - start)
    times.sort()
    print(
        f"known on another machine after {times[len(times) // 2]:.1f} s (p50), "
        f"{times[int(0.95 * len(times))]:.1f} s (p95), {times[-1]:.1f} s at most, of {SEEN}"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.team")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from support.postgres import Postgres

    server = Postgres()
    try:
        server.start()
        with TemporaryDirectory(prefix="whatworks-team-") as folder:
            freshness(server, Path(folder) / "freshness")
            costs(server, Path(folder) / "costs")
            print()
            throughput(server, Path(folder), given.seconds)
    finally:
        server.close()
    print(f"\n{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
