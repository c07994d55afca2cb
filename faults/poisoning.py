"""Sources that nobody vouches for plant successes of the worst patterns; where are these ranked?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from pathlib import Path
from random import Random

import numpy as np

from faults.planted import (
    ATTACKS,
    CLOCK,
    PATTERNS,
    RATES,
    Clock,
    Plan,
    World,
    counted,
    honest,
    opened,
    plans,
    situation,
    tries,
)
from faults.result import Control, Figure, Result, Size, at_least, at_most
from whatworks import Memory, rank
from whatworks.evidence import cells
from whatworks.gathering import Gathered, Gathering

__all__ = ["NAME", "WHAT", "run"]

NAME = "poisoning"
WHAT = "sources that nobody vouches for plant successes of the worst patterns"
# Honest stores by tries of each pattern; questions asked of each, targets, whole stores attacked for
# each attack, and how many times fewer tries these are told.
SIZES = {
    "smoke": ((24,), 4, 5, 1, 20),
    "full": ((24, 24, 24, 24, 24, 200, 200, 200, 200, 200), 20, 5, 4, 1),
}
TOP = 3
# What fakes of the worst kind of attack, all at once, do where everybody is vouched for.
VOLUME = 3


def run(size: Size, seed: int, folder: Path) -> Result:
    """Attack stores as a whole, and their estimates in a thousand runs of each attack."""
    honest, asked, targets, stores, share = SIZES[size]
    notes: list[str] = []
    worlds = [World(folder / f"world-{n}", seed * 100 + n, each=each) for n, each in enumerate(honest)]
    fast, runs = _estimates(worlds, asked, targets)
    whole, differ = _whole(worlds[:: max(1, len(worlds) // stores)], plans(share), notes, vouched=False)
    control, _ = _whole(worlds[:1], plans(share), [], vouched=True)
    figures = [
        _figure(f"{plan.name}: target in the top three", fast[plan.name], runs) for plan in ATTACKS
    ]
    attacked = sum(len(found) for found in whole.values())
    figures += [
        _figure("the same through whole stores", sum(map(sum, whole.values())), attacked),
        Figure(
            "whole stores whose counts differ from the runs'",
            differ,
            f"of {attacked}",
            "0",
            held=differ == 0,
            safety=True,
        ),
        *_quality(folder, seed, honest, asked),
    ]
    volume = [hit for plan in ATTACKS[:VOLUME] for hit in control[plan.name]]
    found = at_least("", sum(volume) / len(volume), 0.9, "").held
    said = f"target in the top three in {sum(volume)} of {len(volume)} stores"
    options = (
        f"{len(worlds)} honest stores of {PATTERNS} patterns, {runs:,} runs of each attack, "
        f"{attacked} whole stores" + (f", {share} times fewer tries in these" if share > 1 else "")
    )
    return Result(
        tuple(figures), options, Control("everybody is vouched for", found, said), tuple(notes)
    )


def _figure(what: str, hits: int, among: int) -> Figure:
    """At most one in a hundred; what is taken in by poison is no matter of a slow machine."""
    held = among > 0 and hits <= among / 100
    return Figure(what, hits, f"of {among:,}", "<= 1 %", held, safety=True)


# -- estimates --------------------------------------------------------------------------------------


def _estimates(worlds: Sequence[World], asked: int, targets: int) -> tuple[Counter[str], int]:
    """How often each attack brings its target into the top three, and of how many runs each.

    What strangers tell changes nothing but the records of what they tell of, and through these the
    mean of all: the rest is what the honest store says.
    """
    hits, runs = Counter[str](), 0
    for world in worlds:
        with (
            opened(world.folder, "owner", "library", Clock(days=400)) as memory,
            memory._link.kept() as desk,  # or an idle process would let go of it meanwhile
        ):
            gathering, random = Gathering(desk.keeper), Random(world.seed)
            names = [f"p{n}" for n in range(PATTERNS)]
            for _ in range(asked):
                found = gathering.gather(
                    situation(random),
                    limit=10,
                    candidates=names,
                    as_of=None,
                    now=CLOCK + timedelta(days=400),
                )
                for n in range(targets):
                    runs += 1
                    for plan in ATTACKS:
                        hits[plan.name] += _place(found, plan, f"p{n}") <= TOP
    return hits, runs


def _place(found: Gathered, plan: Plan, target: str) -> int:
    """The place of the target once the attack is counted, from 1."""
    records, sums = found.records, found.sums
    place = next(n for n, row in enumerate(found.rows) if row.pattern_id == target)
    if plan.new:
        place, records = len(records.tries), _with_another(records)
    more, won = np.zeros_like(records.tries), np.zeros_like(records.total)
    if plan.honest:
        for n, row in enumerate(found.rows):
            more[n] = counted(honest(plan), float(records.tries[n]))
            won[n] = more[n] * RATES[int(row.pattern_id[1:])]
    more[place] = won[place] = counted(tries(plan), float(records.tries[place]))
    added, summed = records.tries + more, records.total + won
    whole = rank.population(
        sums.patterns + plan.new,
        sums.tries + float(more.sum()),
        sums.total + float(won.sum()),
        sums.tries_squared + float((added**2 - records.tries**2).sum()),
        sums.spread + _spread(added, summed) - _spread(records.tries, records.total),
    )
    changed = rank.Records(added, summed, records.prior_tries, records.prior_total, records.changed)
    expected = rank.expect(changed, found.cells, whole, found.learned)
    named = [*range(len(found.rows)), *([place] if plan.new else [])]
    return 1 + sum(bool(expected[n] > expected[place]) for n in named if n != place)


def _spread(tries: rank.Float64, total: rank.Float64) -> float:
    return float((total[tries > 0] ** 2 / tries[tries > 0]).sum())


def _with_another(records: rank.Records) -> rank.Records:
    parts = (records.tries, records.total, records.prior_tries, records.prior_total, records.changed)
    return rank.Records(*(np.append(part, 0.0) for part in parts))


# -- whole stores -----------------------------------------------------------------------------------


def _whole(
    worlds: Sequence[World], attacks: Sequence[Plan], notes: list[str], *, vouched: bool
) -> tuple[dict[str, list[bool]], int]:
    """Whether attacks on whole stores bring their target into the top three; how many counts differ."""
    hits: dict[str, list[bool]] = {plan.name: [] for plan in attacks}
    differ = 0
    for world, plan in product(worlds, attacks):
        before, after, best = _attacked(world, plan, vouched=vouched)
        hits[plan.name].append(_target(plan) in best)
        if vouched:
            continue
        expected = before + counted(tries(plan), before)
        if abs(after - expected) > 1e-6:
            differ += 1
            notes.append(f"seed {world.seed}, {plan.name}: {after:.3f} tries count, not {expected:.3f}")
        if hits[plan.name][-1]:
            notes.append(f"seed {world.seed}, {plan.name}: {_target(plan)} is in the top three")
    return hits, differ


def _target(plan: Plan) -> str:
    return "planted" if plan.new else "p0"


def _attacked(world: World, plan: Plan, *, vouched: bool) -> tuple[float, float, list[str]]:
    """Effective tries of the target before an attack and after it, and what is ranked first then."""
    question, target = situation(Random(f"{world.seed} asked")), _target(plan)
    with opened(world.folder, "owner", "library", Clock(days=400)) as memory:
        before = 0.0 if plan.new else _record(memory, target)

    def ask(memory: Memory) -> tuple[float, list[str]]:
        made = memory.predict(question, limit=10)
        return _record(memory, target), [answer.pattern_id for answer in made.answers][:TOP]

    after, best = world.attacked(plan, target, question, vouched=vouched, ask=ask)
    return before, after, best


def _record(memory: Memory, target: str) -> float:
    """The effective tries of a pattern."""
    with memory._link.kept() as desk:
        found = cells.records(desk.keeper.evidence(), numbers=[], ids=[target], as_of=None)
    return found[0].tries


# -- honest data ------------------------------------------------------------------------------------


def _quality(folder: Path, seed: int, honest: Sequence[int], asked: int) -> list[Figure]:
    """What the defence costs where nobody attacks: chances of what is placed first."""
    values = {strangers: list[float]() for strangers in (0, 2)}
    for n, each in enumerate(honest):
        for strangers, chances in values.items():
            world = World(
                folder / f"honest-{n}-{strangers}", seed * 100 + n, each=each, strangers=strangers
            )
            random = Random(world.seed)
            with opened(world.folder, "owner", "library", Clock(days=400)) as memory:
                memory.flush()
                for _ in range(asked):
                    first = memory.predict(situation(random), limit=1).answers[0]
                    chances.append(RATES[int(first.pattern_id[1:])])
    without, with_ = (sum(chances) / len(chances) for chances in values.values())
    return [
        Figure("success of what comes first, honest sources", 100 * without, "%", "", held=True),
        at_most("lost where 2 of 8 are not vouched for", 100 * (1 - with_ / without), 1, "%"),
    ]
