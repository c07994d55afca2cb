"""A process dies at each of the points that the source names, in every part of a store's life."""

from __future__ import annotations

import errno
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from faults.acknowledged import Acknowledged, examined
from faults.child import PATTERNS, Options, command, say, write_one
from faults.processes import HANGS, ROOT, Child, started
from faults.result import Control, Result, Size, at_least, none_of
from whatworks import (
    Memory,
    WhatWorksError,
    backup,
    config,
    failpoints,
    journal,
    repair,
    system,
    vectors,
)
from whatworks.errors import NotFoundError
from whatworks.stores import lance, usearch
from whatworks.testing import HashEmbedder

__all__ = ["NAME", "WHAT", "counted", "life", "points", "run"]

NAME = "failpoints"
WHAT = "a process dies at a point that the source names, and the next one opens the store"
SEEDS = {"smoke": 1, "full": 3}
# One death in so many is died: where a life comes to a point at all is seen without.
ONE_IN = {"smoke": 2, "full": 1}
ENGINES = ("usearch", "lance")  # keep the vectors of one life each
POINT = re.compile(r"failpoints\.reached\(\s*\"([a-z]+\.[a-z]+)\"")
AT_ONCE = 2
DIED = 9  # the exit code of a process that came to its point
CONTROL_DEATHS = 20
SECRET = "forget-me-at-once"


class Death(NamedTuple):
    """Where a process died: when it came to ``point`` for the ``time``-th time."""

    point: str
    time: int
    seed: str

    def __str__(self) -> str:
        return f"{self.point}:{self.time} (life {self.seed})"


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it; ``reached`` if the process came to the point at all."""

    death: Death
    reached: bool
    wrong: tuple[str, ...] = ()


def points() -> list[str]:
    """Every point that the source names, but those of teams: a life here is that of a store alone."""
    sources = (path for path in (ROOT / "src").rglob("*.py") if path.parent.name != "team")
    return sorted({point for path in sources for point in POINT.findall(path.read_text())})


def run(size: Size, seed: int, folder: Path) -> Result:
    """Live once with each engine to count how often that life comes to each point, then die there."""
    named = points()
    seeds = [f"{seed}.{n}.{engine}" for n in range(SEEDS[size]) for engine in ENGINES]
    times = {life: _times(folder / life, life) for life in seeds}
    deaths = [death for life in seeds for death in _deaths(times[life], named, life)]
    deaths = deaths[seed % ONE_IN[size] :: ONE_IN[size]]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda death: _died(folder, death), deaths))
    missed = {point for point in named if not any(life[point] for life in times.values())}
    missed |= {one.death.point for one in found if not one.reached}
    wrong = [one for one in found if one.wrong]
    figures = (
        at_least("named points", len(named), 40, ""),
        none_of("points that no life came to", len(missed), len(named)),
        none_of("deaths after which something was wrong", len(wrong), len(found)),
    )
    notes = (
        *(f"never reached: {point}" for point in sorted(missed)),
        *(f"{one.death}: {'; '.join(one.wrong)}" for one in wrong),
    )
    options = f"{len(named)} points, {len(seeds)} lives each, {len(found)} deaths"
    return Result(figures, options, _control(seed, folder / "control"), notes)


def _deaths(times: Counter[str], named: list[str], seed: str) -> list[Death]:
    """One death at each point, at a time that the seed chooses among those that a life comes to it.

    With the other engines, only at the points that have to do with vectors.
    """
    first, engine = ENGINES[0], _engine(seed)
    others = tuple(f"{other}." for other in ENGINES if other != engine)
    return [
        Death(point, Random(f"{seed} {point}").randint(1, max(times[point], 1)), seed)
        for point in named
        if not point.startswith(others) and (engine == first or point.startswith((engine, "vectors.")))
    ]


def _times(folder: Path, seed: str) -> Counter[str]:
    """How often a life that nothing ends early comes to each point."""
    folder.mkdir(parents=True)
    with started() as children:
        child = Child(command("failpoints.counted", folder / "store", seed), folder / "said")
        children.append(child)
        code = child.wait(2 * HANGS)
    if code != 0:
        raise RuntimeError(f"a life ended with {code}: {child.errors.read_text()[-2_000:]}")
    said = [line.split() for line in child.lines() if line.startswith("reached")]
    return Counter({point: int(times) for _, point, times in said})


def _died(folder: Path, death: Death, guard: str = "") -> Found:
    """Die, as late as was wanted or earlier: threads do not always do the same."""
    time = death.time
    while True:
        found = _die(
            folder / f"{death.seed}{guard}-{death.point}-{time}", death._replace(time=time), guard
        )
        if found.reached or time == 1:
            return found
        time //= 2


def _die(folder: Path, death: Death, guard: str) -> Found:
    folder.mkdir(parents=True)
    store = folder / "store"
    told = command("failpoints.life", store, death.seed, "--guard", guard)
    with started() as children:
        child = Child(told, folder / "said", WHATWORKS_FAIL=f"{death.point}:{death.time}")
        children.append(child)
        code = child.wait(HANGS)
    wrong: tuple[str, ...] = ()
    if code == DIED:
        wrong = tuple(_wrongs(store, child))
    elif code != 0:
        wrong = (f"exit code {code}: {child.errors.read_text()[-300:]}",)
    shutil.rmtree(folder)
    return Found(death, code == DIED, wrong)


def _wrongs(store: Path, child: Child) -> Iterator[str]:
    """What is wrong with the store that a process left behind when it died."""
    acknowledged = Acknowledged()
    acknowledged.hear(child.lines())
    try:
        with Memory.open(store, embedder=embedder_of(store)) as memory:
            yield from examined(memory, acknowledged).wrongs()
            yield from _unfound(memory)
            memory.flush()
            yield from (f"{wrong} after a flush" for wrong in _unfound(memory))
            yield from _remains(memory, store)
        yield from _wrongs_of_backups(store)
    except WhatWorksError as error:
        yield f"the store does not open: {type(error).__name__}: {error}"


def _wrongs_of_backups(store: Path) -> Iterator[str]:
    """A backup that bears its name is whole, and so is a store that was made of one."""
    for path in _backups(store).glob("whatworks-*"):
        backup.verify(path)
    if _restored(store).exists():
        with Memory.open(_restored(store), embedder=embedder_of(_restored(store))) as memory:
            if not memory.stats().events:
                yield "the restored store is empty"
            yield from examined(memory, Acknowledged()).wrongs()


def _remains(memory: Memory, store: Path) -> Iterator[str]:
    """Files that hold what was forgotten, once the next process has erased it."""
    if SECRET in memory.get_patterns([SECRET]):
        return  # that it was to be forgotten was never acknowledged
    if memory._keeper.evidence().to_erase:
        memory._keeper.erase()
    for path in store.rglob("*"):
        if path.is_file() and SECRET.encode() in path.read_bytes():
            yield f"forgotten, and still in {path.relative_to(store)}"


def _unfound(memory: Memory) -> Iterator[str]:
    """Patterns that are not found by their own words, and texts that have no vector."""
    for pattern in memory.patterns(limit=10):
        nearest = memory.find_similar(pattern.description, limit=1)
        if not nearest or nearest[0].distance is None or abs(nearest[0].distance) > 1e-4:
            yield f"not found: {pattern.pattern_id}"
    stats = memory.stats()
    for name, count in (("patterns", stats.patterns), ("contexts", stats.contexts)):
        there = stats.vectors[name]
        if (there["vectors"], there["waiting"]) != (count, 0):
            yield f"{count} {name}, but {there}"


def _control(seed: int, folder: Path) -> Control:
    """Rows and watermarks that are not written in one transaction must be found out."""
    for time in range(1, CONTROL_DEATHS + 1):
        death = Death("fold.applied", time, f"{seed}.0.{ENGINES[0]}")
        found = _die(folder / str(time), death, "apart")
        if found.wrong:
            return Control("rows apart from their watermark", True, found.wrong[0])
    return Control("rows apart from their watermark", False, f"{CONTROL_DEATHS} deaths, nothing wrong")


def embedder_of(store: Path) -> HashEmbedder:
    """The embedder that a store has now, or that a new one gets."""
    try:
        return HashEmbedder(int(config.load(store).embedder.removeprefix("hash-")))
    except NotFoundError:
        return HashEmbedder()


# -- in the child -----------------------------------------------------------------------------------


def counted(options: Options) -> None:
    """Live, and say how often each point was reached."""
    times: Counter[str] = Counter()

    def reached(point: str) -> None:
        times[point] += 1

    failpoints.reached = reached
    life(options)
    for point, count in times.items():
        say("reached", point, count)


def life(options: Options) -> None:
    """All that can happen to a store, one thing after another; upkeep is due early."""
    vectors.IN_MEMORY, vectors.TAIL = 20, 5
    lance.INDEX_FROM, lance.ROWS_PER_PARTITION, lance.UNINDEXED = 60, 40, 10
    lance.MAX_FRAGMENTS, lance.MAX_VERSIONS = 2, 4
    usearch.INDEX_FROM, usearch.UNINDEXED, usearch.DEAD = 60, 10, 5
    random = Random(options.seed)
    Memory.open(
        options.store, embedder=embedder_of(options.store), vectors=_engine(options.seed)
    ).close()
    for step in _STEPS:
        step(options.store, random)


def _engine(seed: str) -> str:
    return seed.rpartition(".")[2]


def _opened(store: Path) -> Memory:
    return Memory.open(store, embedder=embedder_of(store))


def _write(memory: Memory, random: Random, step: str, calls: int = 6) -> None:
    for n in range(1, calls + 1):
        write_one(memory, random, f"{step}-{n}", n)


def _begun(store: Path, random: Random) -> None:
    with _opened(store) as memory:
        for name in PATTERNS:
            memory.add_pattern(f"approach {name}", pattern_id=name)
            say("pattern", name)
        _write(memory, random, "begun", 20)
        memory.predict("case 1")


def _grown(store: Path, random: Random) -> None:
    """More patterns than are kept in memory, then more than are searched without an index."""
    with _opened(store) as memory:
        for step, count in enumerate((60, 15, 5)):
            described = [
                {"description": f"way {step} {n}", "pattern_id": f"w{step}-{n}"} for n in range(count)
            ]
            for pattern in memory.add_patterns(described):
                say("pattern", pattern.pattern_id)
            memory.find_similar("way 1")
            memory.flush()


def _reworded(store: Path, random: Random) -> None:
    """So many patterns get another text that the files of their vectors are written anew."""
    with _opened(store) as memory:
        for pattern in memory.patterns(limit=50):
            if pattern.pattern_id not in PATTERNS:
                memory.add_pattern(f"{pattern.description} better", pattern_id=pattern.pattern_id)
        memory.find_similar("way 1")
        memory.flush()


def _forgotten(store: Path, random: Random) -> None:
    """A pattern with tries and predictions is forgotten, and erased."""
    with _opened(store) as memory:
        memory.add_pattern(f"way {SECRET}", pattern_id=SECRET)
        for n in range(8):
            memory.record(SECRET, outcome=1.0, context=f"case {n} {SECRET}", event_id=f"{SECRET}-{n}")
        memory.predict(f"case 1 {SECRET}")
        memory.flush()
        memory.forget(SECRET, now=True)
        _write(memory, random, "forgotten", 3)


def _resumed(store: Path, random: Random, step: str = "resumed") -> None:
    with _opened(store) as memory:
        _write(memory, random, step)
        memory.find_similar("way 1")


def _refused(store: Path, random: Random) -> None:
    """The disk refuses to sync once."""
    real: Callable[[int], None] = system.sync_data

    def refuse(file: int) -> None:
        system.sync_data = real
        raise OSError(errno.EIO, "refused by a test")

    with _opened(store) as memory:
        _write(memory, random, "before", 2)
        system.sync_data = refuse
        _write(memory, random, "refused")
        memory.stats()


def _rebuilt(store: Path, random: Random) -> None:
    with _opened(store) as memory:
        memory.rebuild()
        _write(memory, random, "rebuilt")


def _reembedded(store: Path, random: Random) -> None:
    for dim in (32, 64):
        with _opened(store) as memory:
            memory.reembed(HashEmbedder(dim))
            _write(memory, random, f"reembedded{dim}", 3)


def _backed_up(store: Path, random: Random) -> None:
    """Two backups, of which one is kept, and a store that is made of it."""
    with _opened(store) as memory:
        for step in ("first", "second"):
            _write(memory, random, step, 2)
            made = memory.backup(_backups(store), keep=1)
    backup.restore(Path(made.path), _restored(store))


def _backups(store: Path) -> Path:
    return store.parent / "backups"


def _restored(store: Path) -> Path:
    return store.parent / "restored"


def _outdated(store: Path, random: Random) -> None:
    """An evidence file of an earlier version."""
    import duckdb

    with duckdb.connect(str(store / "evidence.duckdb")) as con:
        con.execute("UPDATE meta SET value = value - 1 WHERE name = 'version'")
    _resumed(store, random, "outdated")


def _unfinished(store: Path, random: Random) -> None:
    """An evidence file whose tables were never made."""
    import duckdb

    evidence = store / "evidence.duckdb"
    evidence.unlink()
    duckdb.connect(str(evidence)).close()
    _resumed(store, random, "unfinished")


def _damaged(store: Path, random: Random) -> None:
    """An evidence file that does not open, and a log beside it."""
    _ruin(store)
    _resumed(store, random, "damaged")


def _ruin(store: Path) -> None:
    (store / "evidence.duckdb").write_bytes(b"damaged" * 1_000)
    (store / "evidence.duckdb.wal").write_bytes(b"damaged")


def _repaired(store: Path, random: Random) -> None:
    """The same, and a journal with half a record at its end, mended by hand."""
    _ruin(store)
    with journal.segments(store / "journal")[-1].path.open("ab") as file:
        file.write(b"half a record")
    repair.repair(store)
    _resumed(store, random, "repaired")


_STEPS = (
    _begun,
    _grown,
    _reworded,
    _forgotten,
    _resumed,
    _refused,
    _rebuilt,
    _reembedded,
    _backed_up,
    _outdated,
    _unfinished,
    _damaged,
    _repaired,
)
