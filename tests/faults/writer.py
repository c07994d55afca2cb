"""A process that writes from four threads and tells each acknowledgement, until it is killed.

``python writer.py STORE SEED [--liar]``; with ``--liar`` the journal acknowledges before it writes.

Lines on standard output, each in one write: ``p ID`` before a pattern is added and ``P ID`` when
that is acknowledged; ``e ID PATTERN OUTCOME`` and ``E ...`` for a try, ``r ID OUTCOME`` and
``R ...`` for an outcome; ``-`` is no outcome yet.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from random import Random
from time import sleep
from typing import Any

from whatworks import Memory
from whatworks.journal import Journal
from whatworks.testing import HashEmbedder

THREADS = 4


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def lie() -> None:
    """Acknowledge at once, write fifty milliseconds later."""
    honest, waiting, lock = Journal.append, list[tuple[Any, ...]](), threading.Lock()

    def append(self: Journal, kind: str, bodies: Any, *, sync: bool = True) -> None:
        with lock:
            waiting.append((self, kind, bodies))

    def write() -> None:
        while True:
            sleep(0.05)
            with lock:
                due = waiting[:]
                waiting.clear()
            for journal, kind, bodies in due:
                honest(journal, kind, bodies)

    Journal.append = append  # type: ignore[method-assign]
    threading.Thread(target=write, daemon=True).start()


def work(memory: Memory, name: str, random: Random) -> None:
    patterns, pending = list[str](), list[str]()
    for n in range(1_000_000):
        event_id, outcome = f"{name}-{n}", round(random.random(), 9)
        if n % 40 == 0:
            patterns.append(f"pattern-{name}-{n}")
            tell("p", patterns[-1])
            memory.add_pattern(f"approach {name} {n}", pattern_id=patterns[-1])
            tell("P", patterns[-1])
        pattern_id = random.choice(patterns)
        context = f"situation {random.randrange(20)}"
        if random.random() < 0.2:
            tell("e", event_id, pattern_id, "-")
            memory.record(pattern_id, outcome=None, event_id=event_id, context=context)
            tell("E", event_id, pattern_id, "-")
            pending.append(event_id)
        else:
            tell("e", event_id, pattern_id, outcome)
            memory.record(pattern_id, outcome=outcome, event_id=event_id, context=context)
            tell("E", event_id, pattern_id, outcome)
        if pending and random.random() < 0.2:
            resolved = random.choice(pending)
            tell("r", resolved, outcome)
            memory.resolve(resolved, outcome=outcome)
            tell("R", resolved, outcome)


def main() -> None:
    if "--liar" in sys.argv:
        lie()
    memory = Memory.open(Path(sys.argv[1]), embedder=HashEmbedder(), vectors="exact")
    for thread in range(THREADS):
        name = f"{sys.argv[2]}-{thread}"
        threading.Thread(target=work, args=(memory, name, Random(name)), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
