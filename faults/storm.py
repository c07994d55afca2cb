"""A storm of ``kill -9`` on many processes that share a store, every other one on its keeper."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic, sleep

from faults.acknowledged import Acknowledged, Verdict, examined, reopened
from faults.child import command
from faults.processes import Child, keeper_of, started
from faults.result import Control, Figure, Result, Size, at_most, none_of, quantile

__all__ = ["NAME", "WHAT", "run"]

NAME = "storm"
WHAT = "kill -9 on 8 processes that share a store, every other one on the keeper"
KILLS = {"smoke": 60, "full": 1_000}
PROCESSES = 8
OF_ONE_ROUND = 50  # then all are killed at once, and the store is examined
RATE = 40  # calls a second and process
PAUSE = (0.1, 0.6)
STARTING = 0.2  # the share of kills that may meet a process which has not said anything yet
PATIENCE = 5.0
CONTROL_KILLS, OF_ONE_CONTROL = 60, 10


@dataclass(slots=True)
class Storm:
    """What has happened so far."""

    acknowledged: Acknowledged = field(default_factory=Acknowledged)
    kills: int = 0
    keepers: list[float] = field(default_factory=list)  # when keepers were killed
    waits: list[float] = field(default_factory=list)
    asked: int = 0
    unseen: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    hung: int = 0
    verdicts: list[Verdict] = field(default_factory=list)

    def hear(self, child: Child) -> None:
        """Take down all that a process said in its life."""
        lines = child.lines()
        self.acknowledged.hear(lines)
        answers = [line.split() for line in lines if line.startswith(("asked", "unseen"))]
        self.asked += len(answers)
        self.unseen += [words[3] for words in answers if words[0] == "unseen"]
        self.errors += [line for line in lines if line.startswith(("refused", "untyped"))]
        self.waits += _waits(self.keepers, [(float(words[1]), float(words[2])) for words in answers])


def run(size: Size, seed: int, folder: Path) -> Result:
    """Rounds of kills on one store, which is examined after each, and at the end after a rebuild."""
    storm, random = Storm(), Random(seed)
    store = folder / "store"
    while storm.kills < KILLS[size]:
        _round(storm, random, store, folder, min(OF_ONE_ROUND, KILLS[size] - storm.kills))
        with reopened(store) as memory:
            storm.verdicts.append(examined(memory, storm.acknowledged))
    with reopened(store) as memory:
        memory.rebuild()
        storm.verdicts.append(examined(memory, storm.acknowledged))
    options = (
        f"{storm.kills:,} kills, {len(storm.keepers)} of them on the keeper, {PROCESSES} processes, "
        f"{RATE} calls a second each, {len(storm.waits):,} answers waited for"
    )
    return Result(_figures(storm), options, _control(seed, folder / "control"), _notes(storm))


def _figures(storm: Storm) -> tuple[Figure, ...]:
    last = storm.verdicts[-1]
    looks = len(storm.verdicts)
    miscounted = sum(bool(verdict.miscounted) for verdict in storm.verdicts)
    waits = storm.waits or [99.0]
    return (
        none_of("acknowledged lost", len(last.lost), len(storm.acknowledged)),
        none_of("events doubled", len(last.doubled), len(storm.acknowledged.events)),
        none_of("times that counts were not those of the events", miscounted, looks),
        none_of("own writes that their writer did not see", len(storm.unseen), storm.asked),
        none_of("processes that met an error", len(storm.errors), storm.kills + PROCESSES),
        none_of("processes that hung", storm.hung, storm.kills + PROCESSES),
        at_most("answered again after the keeper died, p99", quantile(waits, 0.99), 1.5, "s"),
        at_most("answered again after the keeper died, at most", max(waits), 1.5, "s"),
    )


def _notes(storm: Storm) -> tuple[str, ...]:
    wrong = [f"look {n}: {v.said()}" for n, v in enumerate(storm.verdicts) if not v.sound]
    return (*wrong, *sorted(set(storm.errors)), *(f"not seen: {name}" for name in storm.unseen))


def _round(
    storm: Storm, random: Random, store: Path, folder: Path, kills: int, *, guard: str = ""
) -> None:
    """Start processes, kill one after another and start others for them, at last kill all."""

    def start() -> Child:
        name = f"{storm.kills}-{len(children)}"
        told = command("mixed", store, str(random.random()), "--rate", RATE, "--guard", guard)
        return Child(told, folder / f"said-{name}")

    with started() as children:
        for _ in range(PROCESSES):
            children.append(start())
        children[0].wait_for("ready")
        for _ in range(kills):
            sleep(random.uniform(*PAUSE))
            living = [child for child in children if child.running()]
            _kill_one(storm, random, store, living)
            while len(living) <= PROCESSES:  # one was killed; others may have met an error
                living.append(start())
                children.append(living[-1])
        if not guard:
            storm.hung += _hung(child for child in children if child.running())
    for child in children:
        storm.hear(child)


def _kill_one(storm: Storm, random: Random, store: Path, living: list[Child]) -> None:
    storm.kills += 1
    keeper = keeper_of(store) if storm.kills % 2 else None
    victim = next((child for child in living if child.pid == keeper), None)
    if victim is not None:
        storm.keepers.append(monotonic())
    at_work = [child for child in living if child.said.stat().st_size]
    others = living if random.random() < STARTING or not at_work else at_work
    (victim or random.choice(others)).kill()


def _hung(children: Iterable[Child]) -> int:
    """How many processes say nothing for some seconds."""
    waiting = list(children)
    for child in waiting:
        child.news()
    limit = monotonic() + PATIENCE
    while waiting and monotonic() < limit:
        sleep(0.05)
        waiting = [child for child in waiting if not child.news()]
    return len(waiting)


def _waits(deaths: list[float], answers: list[tuple[float, float]]) -> list[float]:
    """How long after each death of a keeper a process had its next answer, if it waited for one.

    If several keepers died meanwhile the last death counts.
    """
    waits: dict[float, float] = {}
    for start, seconds in answers:
        end = start + seconds
        before = bisect_right(deaths, end)
        if before and deaths[before - 1] not in waits:
            waits[deaths[before - 1]] = end - max(start, deaths[before - 1])
    return list(waits.values())


def _control(seed: int, folder: Path) -> Control:
    """A journal that acknowledges before it writes must be found out, in some rounds at most."""
    storm, random, lost = Storm(), Random(seed), 0
    folder.mkdir()
    while not lost and storm.kills < CONTROL_KILLS:
        _round(storm, random, folder / "store", folder, OF_ONE_CONTROL, guard="early")
        with reopened(folder / "store") as memory:
            lost = len(examined(memory, storm.acknowledged).lost)
    said = f"{lost} of {len(storm.acknowledged):,} lost in {storm.kills} kills"
    return Control("a journal that acknowledges before it writes", lost > 0, said)
