"""A process that is killed: writes to a store and says on stdout what was acknowledged.

``child.py STORE SEED MODE``. One line per acknowledged write, written at once:
``event ID OUTCOME``, ``resolved ID OUTCOME``, ``pattern ID``. Modes: ``record``,
``early`` (acknowledges before it writes: the null control), ``rebuild`` and
``reembed`` (do that over and over while one thread records).
"""

from __future__ import annotations

import os
import sys
import threading
from random import Random

from whatworks import Memory
from whatworks.journal import Journal
from whatworks.testing import HashEmbedder

THREADS = 4


def say(*words: object) -> None:
    """One line in one system call, which threads cannot mix."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def acknowledge_early() -> None:
    """Make the journal return before its records are written, as a careless one would."""
    real, waiting = Journal.append, list[tuple[Journal, tuple, dict]]()

    def append(self: Journal, *arguments: object, **options: object) -> None:
        waiting.append((self, arguments, options))

    def write_later() -> None:
        while True:
            threading.Event().wait(0.02)
            while waiting:
                journal, arguments, options = waiting.pop(0)
                real(journal, *arguments, **options)

    Journal.append = append
    threading.Thread(target=write_later, daemon=True).start()


def record(memory: Memory, random: Random) -> None:
    """Write for ever: events, repeats, open ones and their outcomes, now and then a pattern."""
    tag = f"{os.getpid()}-{threading.get_ident()}"
    n = 0
    while True:
        n += 1
        outcome = random.choice([0.0, 0.5, 1.0])
        context = f"case {random.randrange(20)}"
        pattern = f"p{random.randrange(5)}"
        if n % 10 == 0:
            name = f"p-{tag}-{n}"
            memory.add_pattern(f"approach {n}", pattern_id=name)
            say("pattern", name)
        elif n % 3 == 0:
            events = [
                {
                    "pattern_id": pattern,
                    "outcome": outcome,
                    "context": context,
                    "event_id": f"{tag}-{n}-{m}",
                }
                for m in range(3)
            ]
            for event in memory.record_many(events):
                say("event", event.event_id, event.outcome)
        elif n % 4 == 0:
            event_id = memory.record(
                pattern, outcome=None, context=context, event_id=f"{tag}-{n}"
            ).event_id
            say("event", event_id, None)
            memory.resolve(event_id, outcome=outcome)
            say("resolved", event_id, outcome)
        else:
            event = memory.record(pattern, outcome=outcome, context=context)
            say("event", event.event_id, event.outcome)


def main(store: str, seed: str, mode: str) -> None:
    model = os.environ.get("MODEL")
    memory = Memory.open(store, embedder=HashEmbedder(int(model or 64)), vectors="exact")
    memory.add_patterns([{"description": f"approach {n}", "pattern_id": f"p{n}"} for n in range(5)])
    if mode == "early":
        acknowledge_early()
    say("ready", memory.stats().events)
    threads = 1 if mode in ("rebuild", "reembed") else THREADS
    for n in range(threads):
        threading.Thread(target=record, args=(memory, Random(f"{seed}-{n}")), daemon=True).start()
    while mode == "rebuild":
        memory.rebuild()
    dim = int(model or 64)
    while mode == "reembed":
        dim = 96 - dim  # 64, 32, 64 ...
        memory.reembed(HashEmbedder(dim))
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
