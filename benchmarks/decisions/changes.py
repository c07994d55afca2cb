"""How soon a change of a pattern is recognised, and how often one is seen that never was.

In simulation, through the product's replay: ``system.changes()`` gives the
recognised changes of each arm. A delay is counted in tries of the changed
pattern, from the first one after the change until one more change is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from benchmarks.decisions.harness import Row
from benchmarks.decisions.system import make
from benchmarks.decisions.worlds import KINDS, MINUTE, Try, World

__all__ = ["BREAKS", "PATIENCE", "STEADY", "Break", "Steady", "alarms", "delay"]

BEFORE, PATIENCE = 60, 100  # tries of the pattern before it changes, and those waited for
NOTHING, PLACES, GRADED = 0, 2, 3  # of KINDS
TRIES = 2_000  # of a log without any change
LOOP = 50  # equal failures of one pattern in one context


class Break(NamedTuple):
    """How a pattern's chance changes, and in which kind of world."""

    title: str
    kind: int
    change: Callable[[float], float]


class Steady(NamedTuple):
    """A log without any change of a pattern."""

    title: str
    kind: int
    order: Callable[[list[Try]], list[Try]]


def _broken(chance: float) -> float:
    return chance / 4


def _mended(chance: float) -> float:
    return 1 - (1 - chance) / 4


def _half(chance: float) -> float:
    return chance / 2


def _same(log: list[Try]) -> list[Try]:
    return log


def _blocks(log: list[Try]) -> list[Try]:
    """Kinds of work one after the other, at the same times."""
    ordered = sorted(log, key=lambda event: event.cluster)
    return [event._replace(ts=at.ts) for event, at in zip(ordered, log, strict=True)]


def _loop(log: list[Try]) -> list[Try]:
    """An agent stuck half-way: the same failure again and again."""
    middle = len(log) // 2
    stuck = log[middle]
    again = [stuck._replace(outcome=0.0, ts=stuck.ts + n * MINUTE / LOOP) for n in range(LOOP)]
    return [*log[:middle], *again, *log[middle + 1 :]]


BREAKS = (
    Break("falls to a quarter, nothing local", NOTHING, _broken),
    Break("falls to a quarter, own places", PLACES, _broken),
    Break("falls to half, nothing local", NOTHING, _half),
    Break("three quarters of its failures mended, nothing local", NOTHING, _mended),
)
STEADY = (
    Steady("nothing local", NOTHING, _same),
    Steady("own places", PLACES, _same),
    Steady("graded outcomes", GRADED, _same),
    Steady("own places, kinds of work in blocks", PLACES, _blocks),
    Steady(f"nothing local, {LOOP} equal failures in one context", NOTHING, _loop),
)


def delay(job: tuple[int, int]) -> Row:
    """Let the best pattern break, or the worst be mended: ``tries`` until it was recognised.

    ``job`` is a number of ``BREAKS`` and a seed. ``tries`` is None if ``PATIENCE`` were not enough.
    """
    number, seed = job
    broken = BREAKS[number]
    world, system = World(KINDS[broken.kind], seed), make()
    usual = np.mean([world.context()[2] for _ in range(200)], axis=0)
    changed = int(usual.argmin() if broken.change is _mended else usual.argmax())
    row: Row = {"task": broken.title, "seed": seed, "tries": None}
    known = tries = 0
    for at in count():
        cluster, vector, chances = world.context()
        arm = int(world.random.integers(len(world.arms)))
        after = arm == changed and tries >= BEFORE
        chance = broken.change(chances[arm]) if after else chances[arm]
        event = world.tried(cluster, vector, arm, chance, at)
        _learn(system, event)
        if arm != changed:
            continue
        tries += 1
        found = len(changes(system).get(event.arm, ()))
        if after and found > known:
            return row | {"tries": tries - BEFORE}
        if tries == BEFORE + PATIENCE:
            return row
        known = found
    raise AssertionError("the loop ends by itself")


def alarms(job: tuple[int, int]) -> Row:
    """Learn the log of (number of ``STEADY``, seed): ``alarms`` seen in its ``tries``."""
    number, seed = job
    steady, system = STEADY[number], make()
    log = steady.order(list(World(KINDS[steady.kind], seed).log(TRIES)))
    for event in log:
        _learn(system, event)
    found = sum(map(len, changes(system).values()))
    return {"task": steady.title, "seed": seed, "alarms": found, "tries": len(log)}


def changes(system: Any) -> dict[str, Sequence[float]]:
    """The recognised changes of each arm, oldest first; none of a system that looks for none."""
    found: dict[str, Sequence[float]] = getattr(system, "changes", dict)()
    return found


def _learn(system: Any, event: Try) -> None:
    system.fit_event(event.vector, event.text, event.arm, event.outcome, event.ts)
