"""How soon another process sees an event that was acknowledged."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from faults.append import start_writers
from faults.child import Options, command, opened, say, ticks
from faults.processes import HANGS, Child, keeper_of, started
from faults.result import Figure, Result, Size, at_most, quantile
from whatworks import Memory

__all__ = ["NAME", "WHAT", "read", "run", "write"]

NAME = "freshness"
WHAT = "one process records, tells another, which asks until it sees the event"
EVENTS = {"smoke": 200, "full": 2_000}
RATE = 20
OTHERS, THEIR_RATE = 5, 200


class Lag(NamedTuple):
    """Milliseconds from the return of ``record`` to the answer that shows it, and to the pipe."""

    seen: float
    told: float


def run(size: Size, seed: int, folder: Path) -> Result:
    """With nothing else going on, then while others record a thousand events a second."""
    idle = _lags(folder / "idle", seed, size, 1, 0.5)
    busy = _lags(folder / "busy", seed, size, OTHERS, THEIR_RATE)
    during = f"{OTHERS * THEIR_RATE:,} events a second by others"
    options = f"up to {EVENTS[size]} events each, asked for in turn by event and by count"
    return Result((*_figures("idle", idle, 10), *_figures(during, busy, 50)), options)


def _figures(how: str, lags: list[Lag], goal: float) -> tuple[Figure, ...]:
    seen, told = [lag.seen for lag in lags], [lag.told for lag in lags]
    return (
        Figure(f"{how}: seen after, p50", quantile(seen, 0.5), "ms", "", held=True),
        at_most(f"{how}: seen after, p99", quantile(seen, 0.99), goal, "ms"),
        Figure(f"{how}: of that for the pipe, p99", quantile(told, 0.99), "ms", "", held=True),
    )


def _lags(folder: Path, seed: int, size: Size, others: int, rate: float) -> list[Lag]:
    """What each event took. The others open the store first, so that one of them is the keeper."""
    folder.mkdir()
    for pipe in ("told", "seen"):
        os.mkfifo(folder / pipe)
    store, seconds = folder / "store", EVENTS[size] / RATE
    with started() as children:
        start_writers(children, store, seed, others, seconds=seconds + 60, rate=rate)
        (folder / "go").touch()
        reader = Child(command("freshness.read", store, str(seed)), folder / "reader")
        writer = Child(
            command("freshness.write", store, str(seed), "--seconds", seconds, "--rate", RATE),
            folder / "writer",
        )
        children += [reader, writer]
        for child in (writer, reader):
            if child.wait(seconds + HANGS) != 0:
                raise RuntimeError(f"{child.said.name} failed: {child.last_words()}")
        if keeper_of(store) not in [child.pid for child in children[:others]]:
            raise RuntimeError("the writer or the reader was the keeper, which shows nothing")
    said = [line.split() for line in reader.lines() if line.startswith("lag")]
    return [Lag(1e3 * float(seen), 1e3 * float(told)) for _, seen, told in said]


# -- in the children --------------------------------------------------------------------------------


def write(options: Options) -> None:
    """Record, tell of the event when the call has returned, wait until it was seen; and again."""
    memory = opened(options)
    pattern = memory.add_pattern("seen soon", pattern_id="seen-soon").pattern_id
    here = options.store.parent
    with (here / "told").open("wb", 0) as told, (here / "seen").open("rb", 0) as seen:
        for n in ticks(options.rate, options.seconds):
            event = memory.record(pattern, outcome=1.0, context=f"case {n % 20}")
            told.write(f"{n} {monotonic()} {event.event_id}\n".encode())
            seen.read(1)
    memory.close()


def read(options: Options) -> None:
    """Ask for each event that it is told of until it is there; say how long that took."""
    memory = opened(options)
    memory.stats()
    here = options.store.parent
    with (here / "told").open("rb") as told, (here / "seen").open("wb", 0) as seen:
        for line in told:
            heard = monotonic()
            n, acknowledged, event_id = line.decode().split()
            while not _seen(memory, int(n), event_id):
                pass
            say("lag", monotonic() - float(acknowledged), heard - float(acknowledged))
            seen.write(b"!")
    memory.close()


def _seen(memory: Memory, n: int, event_id: str) -> bool:
    if n % 2:
        return event_id in memory.get_events([event_id])
    return memory.get_pattern("seen-soon").usage_count >= n
