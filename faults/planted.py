"""A store told by honest sources, and sources that plant successes of its worst patterns.

The honest world is that of a simulation in which raw counts put the worst pattern first: 40 patterns
that work in 30 to 90 of 100 cases, wherever they are tried, told by eight sources. Attackers write
through the channel that nobody vouches for.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from random import Random
from typing import TypeVar

from whatworks import Memory
from whatworks.channels import UNVOUCHED
from whatworks.evidence.quarantine import FLOOR, PER_SOURCE, SHARE
from whatworks.testing import HashEmbedder

__all__ = [
    "ATTACKS",
    "CLOCK",
    "PATTERNS",
    "RATES",
    "Clock",
    "Plan",
    "World",
    "counted",
    "honest",
    "opened",
    "plans",
    "situation",
    "tries",
]

T = TypeVar("T")

PATTERNS, SOURCES = 40, 8
RATES = [0.3 + 0.6 * n / (PATTERNS - 1) for n in range(PATTERNS)]
CLOCK = datetime(2026, 3, 2, 9, tzinfo=UTC)
KINDS = 20
CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Plan:
    """An attack: ``sources`` that tell of ``each`` successes.

    All at once; or a ``drip``, one a day, each source in its turn. ``near``: of situations that
    are nearly the one asked about; ``new``: of a pattern that is told like the best one. ``honest``:
    after as many tries of each other pattern by each source, told as they went.
    """

    name: str
    sources: int
    each: int
    drip: bool = False
    near: bool = False
    new: bool = False
    honest: int = 0


ATTACKS = (
    Plan("1 source x 10,000", 1, 10_000),
    Plan("20 sources x 1,000", 20, 1_000),
    Plan("100 sources x 1,000", 100, 1_000),
    Plan("slow drip, 10 sources, 200 days", 10, 20, drip=True),
    Plan("near-duplicates of the question, 20 x 1,000", 20, 1_000, near=True),
    Plan("copy of the best pattern's text, 20 x 1,000", 20, 1_000, new=True),
    Plan("betrayal, 20 x 1,000 after 20 x 975 honest ones", 20, 1_000, honest=25),
)
# Whose tries an attack told of, in order: source, hour since its start, and day.
Tries = Sequence[tuple[int, int, int]]


def plans(share: int) -> list[Plan]:
    """The attacks, with so many times fewer tries where they come all at once."""
    return [
        plan if plan.drip else replace(plan, each=plan.each // share, honest=-(-plan.honest // share))
        for plan in ATTACKS
    ]


def tries(plan: Plan) -> list[tuple[int, int, int]]:
    """The tries of a plan, in the order in which they are told."""
    if plan.drip:
        return [(n % plan.sources, 24 * n, n) for n in range(plan.sources * plan.each)]
    return [(source, 0, 0) for source in range(plan.sources) for _ in range(plan.each)]


def honest(plan: Plan) -> list[tuple[int, int, int]]:
    """The tries of each other pattern that come before."""
    return [(source, 0, 0) for source in range(plan.sources) for _ in range(plan.honest)]


def counted(told: Tries, vouched: float) -> float:
    """How many effective tries an attack adds to a pattern with ``vouched`` ones, worked out apart.

    What ``evidence/quarantine.py`` does in SQL, for thousands of runs; those through whole stores are
    held against it. Each try says that it is of another session, so that sessions limit nothing.
    """
    by_source, left = dict[int, int](), list[int]()
    for source, _, day in told:
        by_source[source] = by_source.get(source, 0) + 1
        if by_source[source] <= PER_SOURCE:
            left.append(day)
    left = left[: int(max(FLOOR, SHARE * vouched + 1e-9))]
    sizes = [len(list(days)) for _, days in groupby(sorted(left))]
    return sum(2 * n / (n + 1) for n in sizes)


class World:
    """An honest store, and copies of it that are attacked.

    Parameters
    ----------
    each
        Tries of each pattern, told by the sources in turn.
    strangers
        How many of the sources nobody vouches for, with the defence.
    """

    def __init__(self, folder: Path, seed: int, *, each: int, strangers: int = 0) -> None:
        self.folder, self.seed = folder, seed
        random = Random(seed)
        names = [f"s{n}" for n in range(SOURCES)]
        memories = {
            name: opened(folder, name, UNVOUCHED[0] if n < strangers else "library", Clock())
            for n, name in enumerate(names)
        }
        first = memories[names[-1]]
        first.add_patterns(
            {"description": f"approach {n}: {_words(random)}", "pattern_id": f"p{n}"}
            for n in range(PATTERNS)
        )
        for turn, name in enumerate(names):
            memories[name].record_many(
                {
                    "pattern_id": f"p{n}",
                    "outcome": float(random.random() < RATES[n]),
                    "context": situation(random),
                    "session_id": f"{name} {k}",
                    "timestamp": CLOCK - timedelta(hours=random.randrange(24 * 90)),
                }
                for n in range(PATTERNS)
                for k in range(turn, each, SOURCES)
            )
        first.flush()
        for memory in memories.values():
            memory.close()

    def attacked(
        self, plan: Plan, target: str, question: str, *, vouched: bool, ask: Callable[[Memory], T]
    ) -> T:
        """What ``ask`` says of a copy that was attacked; ``vouched`` is the defence taken out."""
        copy = self.folder.with_name(f"{self.folder.name}-attacked")
        shutil.copytree(self.folder, copy, copy_function=shutil.copy2)
        try:
            self._attack(copy, plan, target, question, "library" if vouched else UNVOUCHED[0])
            with opened(copy, "owner", "library", Clock(days=400)) as memory:
                memory.flush()
                return ask(memory)
        finally:
            shutil.rmtree(copy)

    def _attack(self, copy: Path, plan: Plan, target: str, question: str, channel: str) -> None:
        random, clock = Random(f"{self.seed} {plan.name}"), Clock()
        memories = [opened(copy, f"attacker {n}", channel, clock) for n in range(plan.sources)]
        if plan.new:
            best = memories[0].get_pattern(f"p{PATTERNS - 1}").description
            memories[0].add_pattern(f"{best}.", pattern_id=target)
        for memory in memories if plan.honest else ():
            others = [n for n in range(PATTERNS) if f"p{n}" != target]
            true = (
                {
                    "pattern_id": f"p{n}",
                    "outcome": float(random.random() < RATES[n]),
                    "context": situation(random),
                    "session_id": f"{n} {random.random()}",
                }
                for n in others
                for _ in range(plan.honest)
            )
            for part in _chunks(list(true)):
                memory.record_many(part)
        for (source, hour), group in groupby(tries(plan), lambda told: told[:2]):
            clock.now = CLOCK + timedelta(hours=hour)
            events = (
                {
                    "pattern_id": target,
                    "outcome": 1.0,
                    "context": f"{question} {n} {random.randrange(10**6)}"
                    if plan.near
                    else situation(random),
                    "session_id": f"{n} {random.random()}",
                }
                for n, _ in enumerate(group)
            )
            for part in _chunks(list(events)):
                memories[source].record_many(part)
        for memory in memories:
            memory.close()


class Clock:
    """Stands still until it is moved."""

    def __init__(self, days: int = 0) -> None:
        self.now = CLOCK + timedelta(days=days)

    def __call__(self) -> datetime:
        return self.now


def opened(folder: Path, source: str, channel: str, clock: Clock) -> Memory:
    """A memory as that source has it."""
    return Memory.open(
        folder,
        embedder=HashEmbedder(64),
        vectors="exact",
        durability="process",
        source=source,
        channel=channel,
        clock=clock,
    )


def situation(random: Random) -> str:
    """A text that nobody has told of, of one of some kinds."""
    kind = Random(random.randrange(KINDS))
    return f"{_words(kind)} {_words(kind)} in case {random.randrange(10**9)}"


def _words(random: Random) -> str:
    return " ".join(f"word{random.randrange(200)}" for _ in range(4))


def _chunks(items: list[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
