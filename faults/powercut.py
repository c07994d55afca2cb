"""The power goes off: what the disk held at one moment is mounted again and opened."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter, sleep

from faults.acknowledged import Acknowledged, Verdict, examined, reopened
from faults.child import command
from faults.mounts import may_mount, mounted
from faults.processes import Child, started
from faults.result import Control, Figure, Result, Size, none_of, not_run, quantile
from whatworks import Memory

__all__ = ["NAME", "WHAT", "run"]

NAME = "powercut"
WHAT = "a disk (ext4) as it was at one moment of a run, mounted and opened"
CUTS = {"smoke": 5, "full": 200}
OF_ONE_RUN = 5
PROCESSES, RATE = 3, 60  # calls a second of each: flat out, the disk would never be quiet
IMAGE_BYTES = 64 << 20
# A copy that the disk was written during shows no moment; it is thrown away and taken again.
MOST_COPIES = 400


@dataclass(frozen=True, slots=True)
class Cut:
    """What was found after one cut."""

    name: str
    acknowledged: int
    verdict: Verdict
    views: tuple[str, ...]
    seconds: float


def run(size: Size, seed: int, folder: Path) -> Result:
    """Runs of one process on new disks, and some cuts of each."""
    if not may_mount():
        return not_run("needs root, and the right to mount")
    if shutil.which("mkfs.ext4") is None:
        return not_run("needs mkfs.ext4: scripts/fault-tools installs it")
    wanted = CUTS[size]
    cuts: list[Cut] = []
    for n in range(wanted // OF_ONE_RUN):
        cuts += _cuts(folder / str(n), f"{seed}-{n}", "durable", OF_ONE_RUN)
    bad = [cut for cut in cuts if not cut.verdict.sound or cut.views]
    total = sum(cut.acknowledged for cut in cuts)
    figures = (
        none_of("acknowledged lost", sum(len(cut.verdict.lost) for cut in cuts), total),
        none_of("cuts with something doubled or miscounted", _count(cuts), len(cuts)),
        none_of(
            "cuts after which a view did not come back", sum(bool(cut.views) for cut in cuts), len(cuts)
        ),
        none_of("cuts that no quiet moment was found for", wanted - len(cuts), wanted),
        Figure(
            "views rebuilt by themselves",
            sum(len(cut.verdict.repairs) for cut in cuts),
            "",
            "",
            held=True,
        ),
        Figure(
            "open and first answers, p99",
            quantile([cut.seconds for cut in cuts], 0.99),
            "s",
            "",
            held=True,
        ),
    )
    options = f"{wanted} cuts of {wanted // OF_ONE_RUN} runs, durability durable, {PROCESSES} processes"
    notes = tuple(f"cut {cut.name}: {cut.verdict.said()} {'; '.join(cut.views)}" for cut in bad)
    return Result(figures, options, _control(seed, folder / "control"), notes)


def _count(cuts: list[Cut]) -> int:
    return sum(bool(cut.verdict.doubled or cut.verdict.miscounted) for cut in cuts)


def _control(seed: int, folder: Path) -> Control:
    """What is not synced must be missed."""
    cuts = list(_cuts(folder, f"{seed}-control", "process", OF_ONE_RUN))
    lost, total = sum(len(cut.verdict.lost) for cut in cuts), sum(cut.acknowledged for cut in cuts)
    return Control("durability 'process'", lost > 0, f"{lost:,} of {total:,} lost in {len(cuts)} cuts")


def _cuts(folder: Path, seed: str, durability: str, number: int) -> Iterator[Cut]:
    """Cut the power of one run at moments that the seed chooses."""
    random = Random(seed)
    folder.mkdir(parents=True)
    image, copy = folder / "disk.img", folder / "cut.img"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
    with mounted(folder / "disk", "-o", "loop", str(image)) as disk, started() as children:
        told = ["--durability", durability, "--rate", RATE]
        for n in range(PROCESSES):
            child = command("mixed", disk / "store", f"{seed}-{n}", *told)
            children.append(Child(child, folder / f"said-{n}"))
        acknowledged = Acknowledged()
        for n in range(number):
            sleep(random.uniform(0.02, 1.5))
            if ended := [child for child in children if not child.running()]:
                raise RuntimeError(f"a child ended: {ended[0].last_words()}")
            before = _copied(image, copy, disk, children, acknowledged, random)
            if before is not None:
                yield _found(f"{seed}.{n}", copy, folder / "cut", before)
    shutil.rmtree(folder)


def _copied(
    image: Path,
    copy: Path,
    disk: Path,
    children: list[Child],
    acknowledged: Acknowledged,
    random: Random,
) -> Acknowledged | None:
    """Copy the disk at one moment, and say what had been acknowledged before it."""
    for _ in range(MOST_COPIES):
        for child in children:
            acknowledged.hear(child.news())
        written = _written(disk)
        if written is not None:
            _copy(image, copy)
            if _written(disk) == written:
                return acknowledged.copy()
        sleep(random.uniform(0, 0.004))
    return None


def _written(disk: Path) -> tuple[str, ...] | None:
    """The counters of what was written to the disk, ``None`` while something is being written."""
    device = disk.stat().st_dev
    numbers = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
    return tuple(numbers[4:7]) if numbers[8] == "0" else None


def _copy(image: Path, copy: Path) -> None:
    """Copy what is not empty, which takes some milliseconds."""
    with image.open("rb") as old, copy.open("wb") as new:
        new.truncate(IMAGE_BYTES)
        start = 0
        while True:
            try:
                start = os.lseek(old.fileno(), start, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            while start < end:
                start += os.copy_file_range(old.fileno(), new.fileno(), end - start, start, start)


def _found(name: str, copy: Path, folder: Path, acknowledged: Acknowledged) -> Cut:
    """Switch on again: mount, open, compare, ask."""
    with mounted(folder, "-o", "loop", str(copy)) as disk:
        start = perf_counter()
        with reopened(disk / "store") as memory:
            verdict, views = examined(memory, acknowledged), tuple(_views(memory))
            seconds = perf_counter() - start
    return Cut(name, len(acknowledged), verdict, views, seconds)


def _views(memory: Memory) -> Iterator[str]:
    """Which view does not answer for all that is there."""
    memory.flush()
    stats = memory.stats()
    for kind, texts in (("patterns", stats.patterns), ("contexts", stats.contexts)):
        if texts and stats.vectors[kind]["vectors"] != texts:
            yield f"{stats.vectors[kind]['vectors']} vectors of {texts} {kind}"
    if stats.patterns and not memory.find_similar("approach p3"):
        yield "find_similar finds nothing"
    if stats.resolved and not memory.predict("case 1").answers:
        yield "predict says nothing"
