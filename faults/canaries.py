"""What is forgotten is looked for in every byte of the store, also where erasing it was cut short."""

from __future__ import annotations

from pathlib import Path
from random import Random
from time import perf_counter, sleep
from typing import Any

from faults.child import Options, command, say
from faults.processes import Child, started
from faults.result import Control, Result, Size, at_least, at_most, none_of
from whatworks import Memory, erasure
from whatworks.testing import HashEmbedder

__all__ = ["NAME", "WHAT", "forgetting", "run"]

NAME = "canaries"
WHAT = "texts that stand nowhere else are forgotten, and looked for in every byte of the store"
CANARIES = 200
FIRST = "canary-pattern-000-"
# Patterns and events beside them, and how often a process is killed while it erases.
SIZES = {"smoke": (300, 3_000, 4), "full": (100_000, 1_000_000, 40)}
SMALL = (300, 3_000)  # for the kills
SECONDS = 60
# A process that forgets 200 canaries in a small store is done in less.
MOST_SECONDS = 0.6


def run(size: Size, seed: int, folder: Path) -> Result:
    """Fill a store, forget, look; then the same with processes that are killed on the way."""
    patterns, events, kills = SIZES[size]
    store = folder / "store"
    kinds = _fill(store, seed, patterns, events)
    there = _seen(store)
    with _opened(store) as memory:
        start = perf_counter()
        for chosen in kinds:
            memory.forget(**chosen)
        answered = perf_counter() - start
        memory.forget(containing="canary", now=True)
        erased = perf_counter() - start
        left = memory.stats()
    found = _seen(store)
    wrong = [_killed(folder / f"kill-{n}", f"{seed}-{n}", n) for n in range(kills)]
    bad = [text for text in wrong if text]
    figures = (
        at_least("canaries in the store before", len(there), CANARIES, ""),
        none_of("canaries with a byte left in any file", len(found), CANARIES),
        none_of(
            "of the other patterns and events lost", patterns + events - left.patterns - left.events, 1
        ),
        at_most("gone from answers, all of them", answered, 60, "s"),
        at_most("gone from the disk", erased, SECONDS, "s"),
        none_of("kills after which a byte was left, or anything lost", len(bad), kills),
    )
    options = f"{patterns:,} patterns, {events:,} events, {CANARIES} canaries, {kills} kills"
    return Result(figures, options, _control(folder / "control", seed), tuple(bad))


def _opened(store: Path) -> Memory:
    return Memory.open(store, embedder=HashEmbedder(64), source="own")


def _fill(store: Path, seed: int, patterns: int, events: int) -> list[dict[str, Any]]:
    """A store with canaries in every kind of text; what chooses them."""
    rng = Random(seed)
    with _opened(store) as memory:
        memory.add_patterns(
            {"description": f"way {n} of {n % 97}", "pattern_id": f"w{n}"} for n in range(patterns)
        )
        for start in range(0, events, 50_000):
            memory.record_many(
                {
                    "pattern_id": f"w{rng.randrange(patterns)}",
                    "outcome": float(rng.random() < 0.6),
                    "context": f"case {n % max(patterns, 1_000)} in {n % 13}",
                }
                for n in range(start, min(start + 50_000, events))
            )
        quarter = CANARIES // 4
        for n in range(quarter):
            name = f"canary-pattern-{n:03}-"
            memory.add_pattern(f"{name} told", pattern_id=name, metadata={"k": name})
            memory.record(name, outcome=1.0, context=f"for {name}", event_id=f"{name}e")
            memory.record("w0", outcome=0.0, context=f"canary-event-{n:03}- asked", event_id=f"c{n}")
            memory.record("w1", outcome=None, context=f"case {n} canary-text-{n:03}-", event_id=f"t{n}")
            memory.resolve(f"t{n}", outcome=1.0)
            memory.predict(f"what of canary-text-{n:03}-", limit=2)
        memory.flush()
    with Memory.open(store, embedder=HashEmbedder(64), source="canary-source") as other:
        for n in range(quarter):
            other.record("w2", outcome=1.0, context=f"canary-origin-{n:03}-")
    with _opened(store) as memory:
        memory.flush()
    return [
        {"patterns": [f"canary-pattern-{n:03}-" for n in range(quarter)]},
        {"events": [f"c{n}" for n in range(quarter)]},
        {"source": "canary-source"},
        {"containing": "Canary-Text-"},
    ]


def _seen(store: Path) -> set[bytes]:
    """The canaries that stand in any file of a store."""
    wanted = [
        f"canary-{kind}-{n:03}-".encode()
        for kind in ("pattern", "event", "origin", "text")
        for n in range(CANARIES // 4)
    ]
    found: set[bytes] = set()
    for path in store.rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            if b"canary-" in held:
                found |= {name for name in wanted if name in held}
    return found


def _killed(folder: Path, seed: str, n: int) -> str:
    """Kill a process while it forgets, later each time; what is wrong once the next has opened it."""
    folder.mkdir(parents=True)
    store = folder / "store"
    _fill(store, n, *SMALL)
    with started() as children:
        child = Child(command("canaries.forgetting", store, seed), folder / "said")
        children.append(child)
        child.wait_for("ready")
        sleep(Random(seed).uniform(0, MOST_SECONDS))
        child.kill()
    with _opened(store) as memory:
        if memory.get_patterns([FIRST]):  # that it was to be forgotten was never acknowledged
            memory.forget(containing="canary", now=True)
        elif memory._keeper.evidence().to_erase:
            memory._keeper.erase()
        left = memory.stats()
    found = _seen(store)
    if found:
        return f"kill {seed}: {len(found)} canaries are left, such as {min(found).decode()}"
    if (left.patterns, left.events) != SMALL:
        return f"kill {seed}: {left.patterns} patterns and {left.events} events are left"
    return ""


def forgetting(options: Options) -> None:
    """Forget all canaries, in a process of its own."""
    with _opened(options.store) as memory:
        memory.stats()
        say("ready")
        memory.forget(containing="canary", now=True)
        say("done")


def _control(folder: Path, seed: int) -> Control:
    """Journal records that are not written over must be found."""
    real, erasure._overwrite = erasure._overwrite, lambda journal, places: None
    try:
        _fill(folder / "store", seed, *SMALL)
        with _opened(folder / "store") as memory:
            memory.forget(containing="canary", now=True)
    finally:
        erasure._overwrite = real
    found = len(_seen(folder / "store"))
    return Control("records of the journal stay as they are", found > 0, f"{found} canaries found")
