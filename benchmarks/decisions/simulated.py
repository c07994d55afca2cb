"""Do intervals hold the chances they should? On simulated stores, where chances are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.decisions.harness import Row
from benchmarks.decisions.system import make
from benchmarks.decisions.worlds import KINDS, POLICIES, World

__all__ = ["NS", "Store", "coverage", "stores"]

LEVELS = (50, 80, 95)
NS = (300, 1_000)
ASKED = 40  # contexts that the log does not have


class Store(NamedTuple):
    """A simulated store: which of ``KINDS``, how its log was made, how long it is."""

    kind: int
    policy: str
    n: int
    seed: int


def stores(seeds: int, ns: Sequence[int] = NS, kinds: Sequence[int] | None = None) -> list[Store]:
    """All kinds, logs and sizes, ``seeds`` stores of each."""
    return [
        Store(kind, policy, n, seed)
        for kind in (range(len(KINDS)) if kinds is None else kinds)
        for policy in POLICIES
        for n in ns
        for seed in range(seeds)
    ]


def coverage(store: Store) -> Row:
    """Learn a store's log with the product's estimator, and ask about new contexts.

    Returns
    -------
    Names as in the harness: ``cover80`` is how often the 80 % interval has the
    chance in it, ``width80`` its mean width. ``bias`` is the mean of estimate
    less chance, ``error`` the root of the mean square of that; ``task`` the kind.
    """
    world, system = World(KINDS[store.kind], store.seed), make()
    for event in world.log(store.n, store.policy):
        system.fit_event(event.vector, event.text, event.arm, event.outcome, event.ts)
    chances, said, bounds = [], [], []
    for number in range(ASKED):
        _, vector, chance = world.context()
        question = (vector, f"question {number}", world.arms)
        chances.append(chance)
        said.append(system.predict(*question))
        bounds.append([system.predict_interval(*question, level / 100) for level in LEVELS])
    truth = np.array(chances)
    off = np.array(said) - truth
    row: Row = {"task": KINDS[store.kind].title, **store._asdict()}
    row |= {"bias": float(off.mean()), "error": float(np.sqrt((off**2).mean()))}
    ranges = np.moveaxis(np.array(bounds), 1, 0)  # (levels, asked, patterns, 2)
    for level, (low, high) in zip(LEVELS, np.moveaxis(ranges, -1, 1), strict=True):
        row[f"cover{level}"] = float(((low <= truth) & (truth <= high)).mean())
        row[f"width{level}"] = float((high - low).mean())
    return row
