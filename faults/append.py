"""Many processes record at once, each event durable before the next."""

from __future__ import annotations

from array import array
from pathlib import Path
from random import Random
from time import perf_counter, sleep

from faults.acknowledged import reopened
from faults.child import PATTERNS, Options, command, opened, say, ticks
from faults.processes import HANGS, Child, started
from faults.result import Figure, Result, Size, at_least, at_most, quantile

__all__ = ["NAME", "WHAT", "run", "start_writers", "write"]

NAME = "append"
WHAT = "8 processes record durable events into one store, one call an event"
SECONDS = {"smoke": 8, "full": 60}
PROCESSES = 8
RATE = 200


def run(size: Size, seed: int, folder: Path) -> Result:
    """At a steady pace, then as fast as they can."""
    seconds = SECONDS[size]
    paced = _measured(folder / "paced", seed, seconds, RATE)
    flat_out = _measured(folder / "flat", seed, seconds, 0)
    options = f"{PROCESSES} processes, {seconds} s paced at {RATE} a second each, {seconds} s flat out"
    return Result(
        (*_figures("paced", paced, seconds), *_figures("flat out", flat_out, seconds)), options
    )


def _figures(how: str, taken: list[array[float]], seconds: float) -> tuple[Figure, ...]:
    counts = [len(one) for one in taken]
    every = [1e3 * value for one in taken for value in one]
    return (
        at_least(f"{how}: events", sum(counts) / seconds, 1_000, "a second"),
        at_most(f"{how}: one event, p50", quantile(every, 0.5), 2, "ms"),
        at_most(f"{how}: one event, p99", quantile(every, 0.99), 30, "ms"),
        at_least(f"{how}: slowest process", 100 * min(counts) / max(counts), 80, "% of the fastest"),
    )


def _measured(folder: Path, seed: int, seconds: float, rate: float) -> list[array[float]]:
    """The seconds that each event of each process took."""
    folder.mkdir()
    store = folder / "store"
    with started() as children:
        start_writers(children, store, seed, PROCESSES, seconds=seconds, rate=rate)
        (folder / "go").touch()
        for child in children:
            if child.wait(seconds + HANGS) != 0:
                raise RuntimeError(f"a writer failed: {child.last_words()}")
    taken = [times(child) for child in children]
    with reopened(store) as memory:
        missing = sum(map(len, taken)) - memory.stats().events
    if missing:
        raise RuntimeError(f"{missing} events that were acknowledged are not there")
    return taken


def start_writers(
    children: list[Child], store: Path, seed: int, number: int, *, seconds: float, rate: float
) -> None:
    """Start processes that open the store, and then wait for a file ``go`` beside it."""
    told = ["--seconds", seconds, "--rate", rate]
    for n in range(number):
        writer = command("append.write", store, f"{seed}-{n}", *told)
        children.append(Child(writer, store.with_name(f"writer-{n}")))
    for child in children:
        child.wait_for("ready")


def times(child: Child) -> array[float]:
    """What a writer measured."""
    found = array("d")
    found.frombytes(child.said.with_suffix(".times").read_bytes())
    return found


# -- in the child -----------------------------------------------------------------------------------


def write(options: Options) -> None:
    """Record at the given rate for the given time, and write down how long each call took."""
    memory, taken = opened(options), array("d")
    own = Random(options.seed).choice(PATTERNS)
    memory.get_pattern(own)
    say("ready")
    while not (options.store.parent / "go").exists():
        sleep(0.002)
    for n in ticks(options.rate, options.seconds):
        start = perf_counter()
        memory.record(own, outcome=n % 2, context=f"case {n % 500}")
        taken.append(perf_counter() - start)
    Path("/proc/self/fd/1").resolve().with_suffix(".times").write_bytes(taken.tobytes())
    memory.close()
