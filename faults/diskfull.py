"""The disk fills up: no false acknowledgement, reading goes on, writing resumes when there is room."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from random import Random
from time import monotonic, sleep

from faults.acknowledged import Acknowledged, Verdict, examined, reopened
from faults.child import Options, command, opened, say
from faults.mounts import may_mount, mounted
from faults.processes import HANGS, Child, started
from faults.result import Control, Result, Size, at_most, none_of
from whatworks import Memory, StoreFullError, WhatWorksError

__all__ = ["NAME", "WHAT", "run"]

NAME = "diskfull"
WHAT = "the disk fills up while events are recorded, and later there is room again"
LEVELS = {"smoke": 10, "full": 100}
MEGABYTE = 1 << 20
MOST_LEFT = 1.5 * MEGABYTE


def run(size: Size, seed: int, folder: Path) -> Result:
    """Every other level on a file system of 8 MB, the others under a limit of the size of a file."""
    random, levels = Random(seed), LEVELS[size]
    verdicts, resumed, notes = [], [], []
    unread = untyped = 0
    for n in range(levels):
        room = int(MOST_LEFT * n / levels) + random.randrange(4_096)
        verdict, child = _fill(folder / str(n), f"{seed}-{n}", room, small_disk=n % 2 == 0)
        verdicts.append(verdict)
        words = [line.split() for line in child.lines()]
        resumed += [float(said[1]) for said in words if said[0] == "resumed"]
        silent, escaped = (
            ["reads"] not in words,
            any(said[0] in ("untyped", "refused") for said in words),
        )
        unread, untyped = unread + silent, untyped + escaped
        if silent or escaped or not verdict.sound:
            notes.append(f"level {n}, {room} bytes left: {verdict.said()} {_odd(child)}")
    figures = (
        none_of("levels with something acknowledged lost", _count(verdicts, "lost"), levels),
        none_of(
            "levels with something doubled or miscounted",
            _count(verdicts, "doubled", "miscounted"),
            levels,
        ),
        none_of("levels at which reading failed", unread, levels),
        none_of("levels at which another error came than StoreFullError", untyped, levels),
        none_of("levels at which writing did not resume", levels - len(resumed), levels),
        at_most("writing again after there is room, at most", max(resumed, default=99), 5, "s"),
    )
    kinds = (
        "tmpfs of 8 MB and RLIMIT_FSIZE in turn" if may_mount() else "RLIMIT_FSIZE (no root: no tmpfs)"
    )
    return Result(figures, f"{levels} levels, {kinds}", _control(seed, folder), tuple(notes))


def _odd(child: Child) -> str:
    """What it said beside its acknowledgements."""
    return "; ".join(line for line in child.lines() if not line.startswith("event"))


def _count(verdicts: list[Verdict], *names: str) -> int:
    return sum(any(getattr(verdict, name) for name in names) for verdict in verdicts)


def _control(seed: int, folder: Path) -> Control:
    """A journal that swallows the error: acknowledged events must be missed."""
    verdict, _ = _fill(folder / "control", f"{seed}", MEGABYTE // 4, small_disk=True, guard="swallow")
    said = f"{len(verdict.lost)} acknowledged events missed"
    return Control("a journal that swallows the error", bool(verdict.lost), said)


def _fill(
    folder: Path, seed: str, room: int, *, small_disk: bool, guard: str = ""
) -> tuple[Verdict, Child]:
    """Fill one disk, make room, write again; examine the store before and after a rebuild."""
    tmpfs = small_disk and may_mount()
    disk = folder / "disk"
    disk.mkdir(parents=True)
    with (
        mounted(disk, "-t", "tmpfs", "-o", "size=8m", "tmpfs") if tmpfs else nullcontext(),
        started() as children,
    ):
        work = "diskfull.fill_disk" if tmpfs else "diskfull.fill_file"
        store = disk / "store"
        options = ["--room", room, "--guard", guard]
        child = Child(command(work, store, seed, *options), folder / "said")
        children.append(child)
        child.wait(HANGS)
        ballast(disk).unlink(missing_ok=True)
        acknowledged = Acknowledged()
        acknowledged.hear(child.lines())
        with reopened(store) as memory:
            verdict = examined(memory, acknowledged)
        shutil.copytree(store, folder / "copy")  # to be rebuilt where there is room
    with reopened(folder / "copy") as memory:
        memory.rebuild()
        again = examined(memory, acknowledged)
    return (again if verdict.sound else verdict), child


def ballast(disk: Path) -> Path:
    """The file that takes away the room."""
    return disk / "ballast"


# -- in the child -----------------------------------------------------------------------------------


def fill_disk(options: Options) -> None:
    """Leave ``room`` bytes of the file system that the store is on, later all."""
    disk = options.store.parent

    def leave(room: int) -> None:
        free = os.statvfs(disk)
        ballast(disk).write_bytes(b"\0" * max(free.f_bavail * free.f_bsize - room, 0))

    _fill_up(options, leave, ballast(disk).unlink)


def fill_file(options: Options) -> None:
    """Let no file grow more than ``room`` bytes beyond the longest segment, later any."""

    def limit(most: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def leave(room: int) -> None:
        limit(max(path.stat().st_size for path in options.store.rglob("*.log")) + room)

    _fill_up(options, leave, lambda: limit(resource.RLIM_INFINITY))


def _fill_up(options: Options, leave: Callable[[int], None], free: Callable[[], None]) -> None:
    random = Random(options.seed)
    with opened(options) as memory:
        record(memory, random)
        memory.predict("case 1")
        leave(options.room)
        if not options.guard:
            record_until_full(memory, random)
            read(memory)
        else:
            for _ in range(1_000):
                record(memory, random)
        free()
        say("resumed", f"{seconds_until_written(memory, random):.3f}")
        record(memory, random)
        memory.flush()


def record(memory: Memory, random: Random) -> None:
    """One event, long enough that a thousand fill any level."""
    context = f"case {random.randrange(1_000)} " + "x" * random.randrange(5_000)
    event = memory.record("p1", outcome=1.0, context=context)
    say("event", event.event_id, event.outcome)


def record_until_full(memory: Memory, random: Random) -> None:
    """Go on until it was refused five times, for a shorter record may still find room."""
    refused = 0
    while refused < 5:
        try:
            record(memory, random)
        except StoreFullError:
            refused += 1


def read(memory: Memory) -> None:
    """Ask everything once; an error here is one that a reader would have met."""
    try:
        memory.get_pattern("p1")
        memory.find_similar("approach p1")
        memory.trend("p1")
        memory.predict("case 1")
    except WhatWorksError as error:
        say("unread", type(error).__name__, error)
    else:
        say("reads")


def seconds_until_written(memory: Memory, random: Random) -> float:
    """How long after there is room a write is accepted again."""
    start = monotonic()
    while True:
        try:
            record(memory, random)
            return monotonic() - start
        except StoreFullError:
            sleep(0.01)
