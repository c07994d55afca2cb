"""Files with flipped bits and lost ends: the same answers as before, or from views made anew."""

from __future__ import annotations

import os
import select
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import NamedTuple
from zlib import crc32

import orjson
from tests.support.reference import assert_counts_agree

from faults.child import PATTERNS, Options, command, end_with_parent, opened, say, write_one
from faults.damaged import damage, in_files
from faults.processes import HANGS, Child, started
from faults.result import Control, Figure, Result, Size, none_of
from whatworks import Memory, Pattern, UsageEvent, WhatWorksError, segments, vectors
from whatworks.embeddings import COLLECTIONS
from whatworks.segments import Record, Segment
from whatworks.stores import lance

__all__ = ["NAME", "WHAT", "grow", "judge", "run"]

NAME = "flips"
WHAT = "flipped bits, lost ends, zeros: in the journal, in the evidence, in the vectors"
JOURNALS = {"smoke": 300, "full": 10_000}
# Of each kind of file: so many damaged stores are opened, each by a process of its own.
STORES = {
    "journal": {"smoke": 10, "full": 300},
    "evidence": {"smoke": 30, "full": 1_000},
    "vectors": {"smoke": 20, "full": 500},
}
CONTROLS = {"evidence": ("unwatched", 30), "vectors": ("uncompared", 40)}
IDS = {
    "patterns": "SELECT pattern_id FROM patterns",
    "contexts": "SELECT context_id FROM contexts",
}
DIGITS = 64  # of a digest, by which it is told from other words
AT_ONCE = 2
CALLS = 90
# What becomes of a damaged store that is as it should be: as before, or as before after a repair.
GOOD = ("same", "repaired")


def run(size: Size, seed: int, folder: Path) -> Result:
    """Read damaged journals here, and let damaged stores be opened by processes that may die."""
    bases = folder / "bases"
    _grow(bases, seed)
    read = _read_damaged(bases / "clean", folder, seed, JOURNALS[size])
    figures = [*_of_journals(read)]
    notes = [*read.notes]
    options = [f"{read.cases:,} journals read"]
    for kind, sizes in STORES.items():
        verdicts = _judged(bases, folder / kind, kind, sizes[size], seed)
        figures += _of_stores(kind, verdicts, sizes[size])
        notes += [f"{kind} {verdict}" for verdict in verdicts if verdict.outcome not in GOOD]
        options.append(f"{sizes[size]:,} stores with damage to the {kind}: {_counted(verdicts)}")
    return Result(tuple(figures), "; ".join(options), _control(bases, folder, seed), tuple(notes))


def _grow(bases: Path, seed: int) -> None:
    """The stores that are damaged: closed cleanly, killed with a log, and another one."""
    bases.mkdir()
    with started() as children:
        for name in ("clean", "killed", "other"):
            told = command("flips.grow", bases / name, f"{seed}-{name}")
            child = Child(told, bases / f"said-{name}")
            children.append(child)
            code = child.wait(2 * HANGS)
            if code != (9 if name == "killed" else 0):
                raise RuntimeError(f"{name}: {code}: {child.errors.read_text()[-2_000:]}")
            (bases / name / "keeper.sock").unlink(missing_ok=True)


# -- journals, read here ----------------------------------------------------------------------------


@dataclass(slots=True)
class Read:
    """What came of reading damaged journals."""

    cases: int = 0
    invented: int = 0
    lost: int = 0
    noticed: int = 0
    notes: tuple[str, ...] = ()


def _read_damaged(store: Path, folder: Path, seed: int, cases: int) -> Read:
    (whole, *_) = segments.segments(store / "journal")
    content, records = whole.path.read_bytes(), list(segments.read(whole))
    path, done, written = folder / "damaged.log", Read(), set(records)
    for n in range(cases):
        path.write_bytes(content)
        random = Random(f"{seed} journal {n}")
        what = damage(path, random) if n % 3 else _cut_near_end(path, random)
        left = path.read_bytes()
        read = segments.read(Segment(path.name, path, len(left)))
        found = {record for record in read if record.kind != "damaged"}
        invented = found - written
        lost = [record for record in _undamaged(content, left, records) if record not in found]
        done.cases += 1
        done.invented, done.lost = done.invented + bool(invented), done.lost + bool(lost)
        done.noticed += len(found) < len(records)
        if invented or lost:
            done.notes += (f"journal {n}, {what}: {len(invented)} invented, {len(lost)} lost",)
    return done


def _cut_near_end(path: Path, random: Random) -> str:
    """The end is where power cuts and kills leave a file torn."""
    size = path.stat().st_size
    os.truncate(path, size - random.randrange(min(size, 64 << 10)))
    return "cut near the end"


def _undamaged(content: bytes, left: bytes, records: list[Record]) -> list[Record]:
    """The records whose lines still stand, but for an append at the very end that is not whole."""
    kept, start = [], 0
    for record in records:
        begun = start == 0 or left[start - 1 : start] == b"\n"
        if begun and left[start : record.end] == content[start : record.end]:
            kept.append(record)
        start = record.end
    end = left.rfind(b"\n") + 1
    torn = len(list(takewhile(lambda record: record.more, reversed(kept))))
    if torn and kept[-1].end == end:
        kept = kept[:-torn]
    return kept


def _of_journals(read: Read) -> tuple[Figure, ...]:
    return (
        none_of("damaged journals with a record that was never written", read.invented, read.cases),
        none_of("damaged journals that cost a record beside the damage", read.lost, read.cases),
    )


# -- stores, opened by others -----------------------------------------------------------------------


class Verdict(NamedTuple):
    """What became of one damaged store."""

    case: int
    outcome: str
    what: str

    def __str__(self) -> str:
        return f"{self.case}: {self.outcome} after {self.what}"


def _of_stores(kind: str, verdicts: list[Verdict], wanted: int) -> tuple[Figure, ...]:
    crashed = sum(v.outcome.startswith(("died", "hung", "untyped")) for v in verdicts)
    wrong = sum(v.outcome not in GOOD for v in verdicts) - crashed
    return (
        none_of(f"stores with a damaged {kind} that took their process with them", crashed, wanted),
        none_of(f"stores with a damaged {kind} that answered otherwise", wrong, wanted),
        none_of(
            f"stores with a damaged {kind} that were not looked at", wanted - len(verdicts), wanted
        ),
    )


def _counted(verdicts: list[Verdict]) -> str:
    outcomes = Counter(verdict.outcome.split(":")[0] for verdict in verdicts)
    return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))


def _judged(
    bases: Path, folder: Path, kind: str, cases: int, seed: int, guard: str = ""
) -> list[Verdict]:
    """The verdicts of two processes that share the cases."""
    folder.mkdir()
    share = -(-cases // AT_ONCE)
    parts = [(first, min(share, cases - first)) for first in range(0, cases, share)]

    def part(one: tuple[int, int]) -> list[Verdict]:
        first, count = one
        told = command("flips.judge", bases, f"{kind}.{seed}.{first}.{count}", "--guard", guard)
        with started() as children:
            child = Child(told, folder / f"said{guard}-{first}")
            children.append(child)
            child.wait(HANGS * (count + 2))
        if guard == "" and child.process.returncode != 0:
            raise RuntimeError(f"a judge broke: {child.errors.read_text()[-2_000:]}")
        said = [line.split(" ", 2) for line in child.lines() if line.startswith("case")]
        return [Verdict(int(n), *rest.split(" | ", 1)) for _, n, rest in said]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [verdict for verdicts in pool.map(part, parts) for verdict in verdicts]


# -- null controls ----------------------------------------------------------------------------------


def _control(bases: Path, folder: Path, seed: int) -> Control:
    """Readers that do not look at checksums, and a keeper that does not look at errors."""
    with _unsummed():
        read = _read_damaged(bases / "clean", folder, seed, JOURNALS["smoke"])
    missed = {"checksums of the journal": read.invented}
    for kind, (guard, cases) in CONTROLS.items():
        verdicts = _judged(bases, folder / guard, kind, cases, seed, guard)
        missed[f"guard {guard}"] = sum(verdict.outcome not in GOOD for verdict in verdicts)
    said = "; ".join(f"without {name}: {count} wrong" for name, count in missed.items())
    return Control("no checksums, no comparison, no repair", all(missed.values()), said)


@contextmanager
def _unsummed() -> Iterator[None]:
    """The journal is read without its checksums: each line gets the one that it should have."""
    real = segments._parse

    def parse(line: bytes, end: int) -> Record:
        return real(b"%08x%b" % (crc32(line[9:]), line[8:]), end)

    segments._parse = parse
    try:
        yield
    finally:
        segments._parse = real


# -- in the child -----------------------------------------------------------------------------------


def _small() -> None:
    """Few vectors are many: they are in a store, and the store has an index."""
    vectors.IN_MEMORY = 20
    lance.INDEX_FROM, lance.ROWS_PER_PARTITION, lance.UNINDEXED = 60, 40, 10


def grow(options: Options) -> None:
    """A store with some of everything; one that is to be killed dies with a log beside its evidence."""
    _small()
    random = Random(options.seed)
    with opened(options) as memory:
        memory.add_patterns([f"way {n} out of {n % 7}, by {n % 11}" for n in range(90)])
        for n in range(1, CALLS):
            write_one(memory, random, f"a{n}", n)
        memory.flush()
    with opened(options) as memory:
        for n in range(1, CALLS // 3):
            write_one(memory, random, f"b{n}", n)
            memory.predict(f"case {n % 20}")
        memory.find_similar("way 1")
        if options.seed.endswith("killed"):
            os._exit(9)


def judge(options: Options) -> None:
    """Damage copies of stores, open each in a process of its own, and say what became of it."""
    kind, seed, first, count = options.seed.split(".")
    if kind == "vectors":
        _small()
    folder = options.store.parent / f"judge-{kind}{options.guard}-{first}"
    whole = {}
    for name in ("clean", "killed"):
        whole[name] = _apart(partial(_digest, _copy(options.store / name, folder)))
        if len(whole[name]) != DIGITS:
            raise RuntimeError(f"{name} is not sound before it is damaged: {whole[name]}")
    for n in range(int(first), int(first) + int(count)):
        random = Random(f"{seed} {kind} {n}")
        name = random.choice(["clean", "killed"])
        store = _copy(options.store / name, folder)
        what = _damage(kind, store, options.store, random)
        if kind == "journal":
            outcome = _apart(partial(_kept, store, options.store / name))
        else:
            outcome = _apart(partial(_digest, store))
        if outcome == whole[name]:
            outcome = "repaired" if any(store.glob("*.aside-*")) else "same"
        elif len(outcome) == DIGITS:
            outcome = "differs"
        say("case", n, outcome.replace("\n", " "), "|", what, "in", name)
    shutil.rmtree(folder)


def _copy(base: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    return folder


def _damage(kind: str, store: Path, bases: Path, random: Random) -> str:
    """Damage the files of one layer; what was done, in a few words."""
    log = store / "evidence.duckdb.wal"
    if kind == "vectors":
        return in_files(store / "vectors", random)
    if kind == "journal":
        if random.random() < 0.5:  # as if it had never been folded
            for path in (log, store / "evidence.duckdb"):
                path.unlink(missing_ok=True)
        return damage(random.choice(segments.segments(store / "journal")).path, random)
    if random.random() < 0.05:
        shutil.copy(bases / "killed" / log.name, log)
        (store / "evidence.duckdb").write_bytes((bases / "other" / "evidence.duckdb").read_bytes())
        return "log of another store"
    return damage(random.choice([store / "evidence.duckdb", *filter(Path.exists, [log])]), random)


def _digest(store: Path) -> str:
    """A hash of all that a store answers."""
    with _reopened(store) as memory:
        patterns = sorted(memory.iter_patterns(), key=lambda item: item.pattern_id)
        seen = [
            [(p.pattern_id, p.description, p.usage_count, p.resolved_count) for p in patterns],
            [_told(event) for event in memory.iter_events()],
            [
                [(d.day, d.resolved_count) for d in memory.trend(p.pattern_id).days]
                for p in patterns[:9]
            ],
            [_found(memory, pattern) for pattern in patterns[::3]],
            _vectors(memory),
            _predicted(memory),
        ]
        memory.flush()
    return sha256(repr(seen).encode()).hexdigest()


def _found(memory: Memory, pattern: Pattern) -> bool:
    """Whether a pattern's own words find it; what else is near may depend on an index."""
    found = memory.find_similar(pattern.description, limit=3)
    return any(m.pattern_id == pattern.pattern_id and abs(m.distance or 0) < 1e-3 for m in found)


def _predicted(memory: Memory) -> list[tuple[str, float]]:
    made = memory.predict("case 1", candidates=PATTERNS)
    return [(answer.pattern_id, round(answer.expected, 5)) for answer in made.answers]


def _vectors(memory: Memory) -> list[tuple[str, str]]:
    """Every vector, as the store has it."""
    held = []
    with memory._link.kept() as desk:
        for collection in COLLECTIONS:
            ids = [name for (name,) in desk.keeper.evidence().rows(IDS[collection])]
            for name, vector in desk.keeper.embeddings.vectors(collection).get(ids).items():
                held.append((name, str(vector.round(4) + 0.0)))
    return sorted(held)


def _told(event: UsageEvent) -> tuple[object, ...]:
    return event.event_id, event.pattern_id, event.outcome, event.state, event.context, event.timestamp


def _kept(store: Path, base: Path) -> str:
    """Whether a store with a damaged journal has what stands in it, and nothing else."""
    bodies = [
        record for found in segments.segments(store / "journal") for record in segments.read(found)
    ]
    patterns = {orjson.loads(r.body)["pattern_id"] for r in bodies if r.kind == "pattern.added"}
    recorded = [orjson.loads(r.body) for r in bodies if r.kind == "event.recorded"]
    sound = {body["event_id"]: body for body in recorded if body["pattern_id"] in patterns}
    with _reopened(store) as memory:
        events = {event.event_id: event for event in memory.iter_events()}
        assert_counts_agree(memory)
        new = memory.record(memory.add_pattern("goes on").pattern_id, outcome=1.0).event_id
    with _reopened(store) as memory:
        if memory.get_events([new]).keys() != {new}:
            return "differs: what was written later is lost"
    if lost := sound.keys() - events.keys():
        return f"differs: {len(lost)} events are lost"
    written = {(body["pattern_id"], body["context"]) for body in _recorded(base)}
    if any((event.pattern_id, event.context) not in written for event in events.values()):
        return "differs: an event was never written"
    return "same"


def _recorded(store: Path) -> Iterator[dict[str, object]]:
    for found in segments.segments(store / "journal"):
        yield from (orjson.loads(r.body) for r in segments.read(found) if r.kind == "event.recorded")


def _reopened(store: Path) -> Memory:
    from whatworks.testing import HashEmbedder

    return Memory.open(store, embedder=HashEmbedder(), create=False)


def _apart(work: Callable[[], str]) -> str:
    """What ``work`` says in a process of its own, or how that process ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _work(work, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        if not select.select([pipe], [], [], HANGS)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return f"hung: no answer in {HANGS} s"
        said = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    return said or f"died: {os.waitstatus_to_exitcode(status)}"


def _work(work: Callable[[], str], writer: int) -> None:
    end_with_parent()
    try:
        said = work()
    except WhatWorksError as error:
        said = f"refused: {type(error).__name__}: {error}"
    except BaseException as error:  # noqa: BLE001  a panic of an engine is no Exception
        said = f"untyped: {type(error).__name__}: {error}"
    os.write(writer, said.encode()[:2_000])
    os._exit(0)
