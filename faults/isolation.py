"""Many stores in one process and several: nothing of one is ever in another, and an export is whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

from faults.result import Control, Result, Size, none_of
from whatworks import Memory, NewEvent, NewPattern
from whatworks.exporters.jsonl import export_jsonl
from whatworks.importers.jsonl import import_jsonl
from whatworks.testing import HashEmbedder

__all__ = ["NAME", "WHAT", "run"]

NAME = "isolation"
WHAT = "many stores are used at once: nothing of one is in another, and exports come back whole"
# Stores, operations on each.
SIZES = {"smoke": (6, 60), "full": (100, 1_000)}
AT_ONCE = 10
MARK = re.compile(rb"of-store-(\d+)-only")


def run(size: Size, seed: int, folder: Path) -> Result:
    """Use them, a few open at a time, and look for each other's marks in answers and files."""
    stores, operations = SIZES[size]
    rng, notes = Random(seed), list[str]()
    asked = 0
    for start in range(0, stores, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, stores))
        asked += _used(folder, {n: n for n in numbers}, operations, rng, notes)
    answers = len(notes)
    for n in range(stores):
        notes += _strangers(folder / f"store-{n}", n)
    files, changed = len(notes) - answers, sum(not _whole(folder, n) for n in range(stores))
    figures = (
        none_of("answers with something of another store", answers, asked),
        none_of("files with something of another store", files, stores),
        none_of("stores that were not the same after export and import", changed, stores),
    )
    options = f"{stores} stores, {operations:,} operations on each, {AT_ONCE} open at once"
    return Result(figures, options, _control(folder / "control", seed), tuple(notes))


def _used(folder: Path, places: dict[int, int], operations: int, rng: Random, notes: list[str]) -> int:
    """Operations on stores in any order; ``places`` says in which folder each lies."""
    asked = 0
    with ExitStack() as stack:
        opened = {
            n: stack.enter_context(
                Memory.open(
                    folder / f"store-{place}", embedder=HashEmbedder(16), durability="process",
                    source=f"of-store-{n}-only",
                )
            )
            for n, place in places.items()
        }  # fmt: skip
        left = dict.fromkeys(opened, operations)
        while left:
            n = rng.choice(list(left))
            written, told = _round(opened[n], n, left[n], rng)
            left[n] -= written + len(told)
            if not left[n]:
                del left[n]
            for text in _texts(told):
                asked += 1
                if any(int(found) != n for found in MARK.findall(text.encode())):
                    notes.append(f"store {n} answered {text[:100]!r}")
    return asked


def _round(memory: Memory, n: int, most: int, rng: Random) -> tuple[int, list[object]]:
    """Some writes and then some questions: how many writes, and what was answered.

    Adding a pattern asks for it, and a question folds what was written before it: one by one
    a hundred thousand would take hours.
    """
    writes = min(rng.randint(2, 120), most)
    tries = rng.randrange(writes)
    mark, ways = f"of-store-{n}-only", [rng.randrange(30) for _ in range(writes - tries)]
    memory.add_patterns(
        NewPattern(f"way {way} {mark}", metadata={"of": mark}, pattern_id=f"p{way}")
        for way in dict.fromkeys(ways)
    )
    memory.record_many(
        NewEvent(f"p{rng.choice(ways)}", float(rng.random() < 0.5), f"case {rng.randrange(20)} {mark}")
        for _ in range(tries)
    )
    questions = min(rng.randint(1, 6), most - len(set(ways)) - tries)
    return len(set(ways)) + tries, [_answer(memory, rng) for _ in range(questions)]


def _answer(memory: Memory, rng: Random) -> object:
    match rng.randrange(5):
        case 0:
            return memory.find_similar(f"way {rng.randrange(60)}", limit=5)
        case 1:
            return memory.predict(f"case {rng.randrange(20)}", limit=3)
        case 2:
            return memory.patterns(limit=5)
        case 3:
            return memory.get_patterns(f"p{way}" for way in range(30))
        case _:
            return memory.events(limit=5), memory.sources()


def _texts(answers: Iterable[object]) -> Iterator[str]:
    """Every text in some answers."""
    yield from map(repr, answers)


def _strangers(folder: Path, n: int) -> Iterable[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            others = {int(found) for found in MARK.findall(path.read_bytes())} - {n}
            if others:
                yield f"{path.name} of store {n} has something of store {min(others)}"


def _whole(folder: Path, n: int) -> bool:
    """Whether an export, imported and exported again, is the same bytes."""
    first, again = folder / f"{n}.jsonl", folder / f"{n}-again.jsonl"
    options: dict[str, Any] = {"embedder": HashEmbedder(16), "durability": "process"}
    with Memory.open(folder / f"store-{n}", **options) as memory:
        export_jsonl(memory, first)
    with Memory.open(folder / f"copy-{n}", **options) as copy:
        import_jsonl(copy, first)
        export_jsonl(copy, again)
    return first.read_bytes() == again.read_bytes()


def _control(folder: Path, seed: int) -> Control:
    """Two stores in one folder must be found out."""
    notes: list[str] = []
    _used(folder, {0: 0, 1: 0}, 60, Random(seed), notes)
    notes += _strangers(folder / "store-0", 0)
    return Control("two stores lie in one folder", bool(notes), f"{len(notes)} times")
