"""A process that writes to a store and says what was acknowledged: ``python -m faults.child``.

It says one line per acknowledged write, after the call has returned: ``event ID OUTCOME``,
``resolved ID OUTCOME``, ``pattern ID``. Lines go out by ``writev``, which nothing else here
uses, so that an error injected into ``write`` meets the store alone.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from math import inf
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

from faults.processes import MARK
from whatworks import Memory, WhatWorksError
from whatworks.testing import HashEmbedder

__all__ = [
    "PATTERNS",
    "Options",
    "command",
    "end_with_parent",
    "main",
    "opened",
    "say",
    "ticks",
    "write_one",
]

PATTERNS = [f"p{n}" for n in range(5)]
PR_SET_PDEATHSIG = 1


class Options(argparse.Namespace):
    """What a child is told on its command line."""

    store: Path
    work: str
    seed: str
    guard: str
    durability: Any
    seconds: float
    rate: float
    room: int
    vectors: str | None


def command(work: str, store: Path, seed: str, *more: object) -> list[str]:
    """The command line of a child: ``work`` is ``module.function`` in this package."""
    return [sys.executable, "-m", "faults.child", work, str(store), seed, *map(str, more)]


def say(*words: object) -> None:
    """One line in one system call, which threads cannot mix."""
    os.writev(1, [(" ".join(map(str, words)) + "\n").encode()])


def opened(options: Options) -> Memory:
    """The store, made if there is none, with the patterns that all children write to."""
    memory = Memory.open(
        options.store,
        embedder=HashEmbedder(),
        vectors=options.vectors,
        durability=options.durability,
    )
    memory.add_patterns([{"description": f"approach {name}", "pattern_id": name} for name in PATTERNS])
    return memory


def ticks(rate: float, seconds: float = inf) -> Iterator[int]:
    """1, 2, 3 ... for so long, ``rate`` times a second, or as fast as they are taken if it is 0."""
    start, n = monotonic(), 0
    while (now := monotonic()) < start + seconds:
        if rate and (early := start + n / rate - now) > 0:
            sleep(early)
        n += 1
        yield n


def mixed(options: Options) -> None:
    """Write for ever: events, repeats, open ones and their outcomes, now and then a pattern.

    Every third time it asks for what it wrote last, and says when it asked and how long that took.
    """
    memory, random = opened(options), Random(options.seed)
    say("ready", os.getpid())
    for n in ticks(options.rate):
        written = write_one(memory, random, f"{os.getpid()}-{n}", n)
        if n % 3 == 0 and written is not None:
            start = monotonic()
            seen = written in memory.get_events([written])
            say("asked" if seen else "unseen", start, monotonic() - start, written)


def write_one(memory: Memory, random: Random, mark: str, n: int) -> str | None:
    """One call, and what it acknowledged; ``n`` chooses its kind. The last event, if there is one."""
    outcome = random.choice([0.0, 0.5, 1.0])
    context = f"case {random.randrange(20)}"
    pattern = random.choice(PATTERNS)
    if n % 10 == 0:
        memory.add_pattern(f"approach {mark}", pattern_id=f"p-{mark}")
        say("pattern", f"p-{mark}")
        return None
    if n % 3 == 0:
        tries = [_try(pattern, outcome, context, f"{mark}-{m}") for m in range(3)]
        for event in memory.record_many(tries):
            say("event", event.event_id, event.outcome)
    elif n % 4 == 0:
        event = memory.record(pattern, outcome=None, context=context, event_id=f"e-{mark}")
        say("event", event.event_id, None)
        memory.resolve(event.event_id, outcome=outcome)
        say("resolved", event.event_id, outcome)
    else:
        event = memory.record(pattern, outcome=outcome, context=context, metadata={"try": mark})
        say("event", event.event_id, event.outcome)
    return event.event_id


def _try(pattern: str, outcome: float, context: str, mark: str) -> dict[str, Any]:
    return {
        "pattern_id": pattern,
        "outcome": outcome,
        "context": context,
        "metadata": {"try": mark},
    }


def end_with_parent() -> None:
    """Die when the process that started this one dies, also if it is dead already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.kill(int(os.environ.get(MARK, os.getpid())), 0)


def main() -> None:
    """Do the work named; say ``untyped`` if an error escapes that is not one of ours."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("store", type=Path)
    parser.add_argument("seed")
    parser.add_argument("--guard", default="", help="which guard is taken out: see faults/guards.py")
    parser.add_argument("--durability", default="durable")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--room", type=int, default=0)
    parser.add_argument("--vectors")
    options = parser.parse_args(namespace=Options())
    end_with_parent()
    if options.guard:
        getattr(import_module("faults.guards"), options.guard)()
    module, _, name = options.work.rpartition(".")
    work: Callable[[Options], None] = getattr(import_module(f"faults.{module or 'child'}"), name)
    threading.excepthook = lambda failed: _untyped(failed.exc_value)
    try:
        work(options)
    except WhatWorksError as error:
        say("refused", type(error).__name__, str(error))
        sys.exit(2)
    except Exception as error:
        _untyped(error)
        raise


def _untyped(error: BaseException | None) -> None:
    say("untyped", type(error).__name__, str(error).replace("\n", " "))


if __name__ == "__main__":
    main()
