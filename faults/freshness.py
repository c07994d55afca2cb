"""How soon another process sees an event that was acknowledged."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic

from faults.append import writers
from faults.child import Options, command, opened, say, ticks
from faults.processes import Child, keeper_of, started
from faults.result import Figure, Result, Size, at_most, quantile
from whatworks import Memory

__all__ = ["NAME", "WHAT", "read", "run", "write"]

NAME = "freshness"
WHAT = "one process records, tells another, which asks until it sees the event"
EVENTS = {"smoke": 200, "full": 2_000}
RATE = 20
OTHERS, THEIR_RATE = 5, 200


def run(size: Size, seed: int, folder: Path) -> Result:
    """With nothing else going on, then while others record a thousand events a second."""
    idle, busy = (
        _lags(folder / "idle", seed, size, 1, 0.5),
        _lags(folder / "busy", seed, size, OTHERS, THEIR_RATE),
    )
    figures = (
        *_figures("idle", idle, 10),
        *_figures(f"{OTHERS * THEIR_RATE:,} events a second by others", busy, 50),
    )
    options = f"{EVENTS[size]} events each, {RATE} a second, asked in turn by event and by count"
    return Result(figures, options)


def _figures(how: str, lags: list[float], goal: float) -> tuple[Figure, ...]:
    return (
        Figure(f"{how}: seen after, p50", quantile(lags, 0.5), "ms", "", held=True),
        at_most(f"{how}: seen after, p99", quantile(lags, 0.99), goal, "ms"),
    )


def _lags(folder: Path, seed: int, size: Size, others: int, rate: float) -> list[float]:
    """Milliseconds from the return of ``record`` to the answer that shows it, for each event.

    The others open the store first, so that one of them is the keeper.
    """
    folder.mkdir()
    os.mkfifo(folder / "told")
    store, seconds = folder / "store", EVENTS[size] / RATE
    with started() as children:
        children.extend(writers(store, folder, seed, others, seconds=seconds + 60, rate=rate))
        (folder / "go").touch()
        reader = Child(command("freshness.read", store, str(seed)), folder / "reader")
        writer = Child(
            command("freshness.write", store, str(seed), "--seconds", seconds, "--rate", RATE),
            folder / "writer",
        )
        children += [reader, writer]
        for child in (writer, reader):
            if child.wait(seconds + 60) != 0:
                raise RuntimeError(f"{child.said.name} failed: {child.errors.read_text()[-2_000:]}")
        if keeper_of(store) not in [child.pid for child in children[:others]]:
            raise RuntimeError("the writer or the reader was the keeper, which shows nothing")
    return [1e3 * float(line.split()[1]) for line in reader.lines() if line.startswith("lag")]


# -- in the children --------------------------------------------------------------------------------


def write(options: Options) -> None:
    """Record at the given rate, and tell of each event when its call has returned."""
    memory = opened(options)
    pattern = memory.add_pattern("seen soon", pattern_id="seen-soon").pattern_id
    with (options.store.parent / "told").open("wb", buffering=0) as told:
        for n in ticks(options.rate, options.seconds):
            event = memory.record(pattern, outcome=1.0, context=f"case {n % 20}")
            told.write(f"{n} {monotonic()} {event.event_id}\n".encode())
    memory.close()


def read(options: Options) -> None:
    """Ask for each event that it is told of until it is there; say how long that took."""
    memory = opened(options)
    memory.stats()
    with (options.store.parent / "told").open("rb") as told:
        for line in told:
            n, acknowledged, event_id = line.decode().split()
            while not _seen(memory, int(n), event_id):
                pass
            say("lag", monotonic() - float(acknowledged))
    memory.close()


def _seen(memory: Memory, n: int, event_id: str) -> bool:
    if n % 2:
        return event_id in memory.get_events([event_id])
    return memory.get_pattern("seen-soon").usage_count >= n
