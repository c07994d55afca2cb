"""Texts, ids, conditions and vectors made to break out: each is refused in words, or kept as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from faults.result import Control, Result, Size, none_of
from whatworks import InvalidInputError, Memory, NotFoundError
from whatworks.evidence import questions
from whatworks.testing import HashEmbedder

__all__ = ["NAME", "WHAT", "run"]

NAME = "hostile"
WHAT = "hostile texts, ids, conditions and vectors are refused in words, or come back exactly"
# Texts, ids and conditions, vectors.
SIZES = {"smoke": (400, 200, 400), "full": (50_000, 5_000, 10_000)}
DIM, OWN = 16, 40
# What breaks out of SQL, JSON, paths, formats, shells, logs and prompts.
SEEDS = (
    "' OR '1'='1", "'; DROP TABLE pattern_rows; --", '" OR ""="', "\\' OR 1=1 --",
    "') OR ('a'='a", "x' UNION SELECT * FROM event_rows --", "%", "_%", "*", "?", "$1", ":a",
    "{0}", "{__class__}", "%s%n", "%(a)s", "[1]", "null", "NULL", "NaN", "true", '{"a":1}',
    '["VARCHAR"]', "\\u0000", "\\x00", "../../etc/passwd", "..\\..\\", "/dev/null",
    "file:///etc/passwd", "C:\\", "~", "-rf", "$(id)", "`id`", "| id", "&& id",
    "<script>alert(1)</script>", "]]>", "<!--", "&amp;", "\r\nX: y", "\n", "\t", " ", "", "\x00",
    "\x1b[31m", "\x7f", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\ud800", "\udfff",
    "\U0010ffff", "e\u0301", "\u00e9", "ﬀ", "İ", "ß", "ｓｅｌｅｃｔ", "\U0001f600", "A" * 300,
    "é" * 300, "1e400", "-0", "0x10", "1_000", "١٢٣", "'" * 50, '"' * 50, "\\" * 50, "(" * 200,
    "[" * 200, "{" * 200,
)  # fmt: skip


def run(size: Size, seed: int, folder: Path) -> Result:
    """Give each to a store, and look what comes of it; a description loses the space around it."""
    texts, ids, vectors = SIZES[size]
    rng, notes = Random(seed), list[str]()
    with _opened(folder / "store") as memory:
        _fill(memory)
        changed = _texts(memory, _some(rng, texts), notes)
        foreign = _ids(memory, _some(rng, ids), notes)
        strange = _vectors(memory, _directions(rng, vectors), notes)
        lost = OWN - len(memory.get_patterns([f"own-{n}" for n in range(OWN)]))
    with _opened(folder / "store") as memory:  # what was folded is sound
        memory.rebuild()
        lost += OWN - len(memory.get_patterns([f"own-{n}" for n in range(OWN)]))
    figures = (
        none_of("texts neither refused in words nor kept exactly", changed, texts),
        none_of("ids and conditions that gave another's rows", foreign, ids),
        none_of("vectors neither refused in words nor answered", strange, vectors),
        none_of("other patterns lost", lost, 2 * OWN),
    )
    options = f"{texts:,} texts, {ids:,} ids and conditions, {vectors:,} vectors"
    return Result(figures, options, _control(folder / "control", seed), tuple(notes))


def _opened(store: Path) -> Memory:
    return Memory.open(store, embedder=HashEmbedder(DIM), durability="process")


def _fill(memory: Memory) -> None:
    memory.add_patterns(
        {
            "pattern_id": f"own-{n}",
            "description": f"one's own {n}",
            "metadata": {"owner": f"somebody {n}"},
        }
        for n in range(OWN)
    )


def _some(rng: Random, count: int) -> Iterator[str]:
    """The seeds, then pieces of them put together, turned over and mixed with any characters."""
    yield from SEEDS[:count]
    for _ in range(max(0, count - len(SEEDS))):
        pieces = [rng.choice(SEEDS) for _ in range(rng.randint(1, 4))]
        if rng.random() < 0.4:
            wide = rng.random() < 0.5
            pieces.append("".join(chr(rng.randrange(0x110000 if wide else 0x250)) for _ in range(12)))
        rng.shuffle(pieces)
        yield "".join(pieces)[: rng.choice((20, 80, 2_000))]


def _refused(notes: list[str], what: str, given: Any, call: Callable[[Any], Any]) -> Any:
    """What a call gives; ``None`` if it is refused in one line; anything else is an error to note."""
    try:
        return call(given)
    except (InvalidInputError, NotFoundError) as error:
        if "\n" in str(error) or len(str(error)) > 1_000:
            notes.append(f"{what} {given!r:.60}: refused in {len(str(error))} characters")
        return None
    except Exception as error:  # noqa: BLE001  whatever it is, it is not what was promised
        notes.append(f"{what} {given!r:.60}: {type(error).__name__}: {error!s:.100}")
        return None


def _texts(memory: Memory, given: Iterator[str], notes: list[str]) -> int:
    before = len(notes)
    for n, text in enumerate(given):
        add = partial(memory.add_pattern, pattern_id=f"text-{n}", metadata={"said": text})
        made = _refused(notes, "text", text, add)
        if made is None:
            continue
        found = memory.get_pattern(f"text-{n}")
        kept = memory.secrets.redacted(text)  # some look like a secret
        if found.description != kept.strip() or found.metadata != {"said": kept}:
            notes.append(f"text {text!r:.60} came back as {found.description!r:.60}")
    return len(notes) - before


def _ids(memory: Memory, given: Iterator[str], notes: list[str]) -> int:
    """Each as an id, a type, and the value of a condition: nobody else's patterns may come."""
    before = len(notes)
    for hostile in given:
        mine = _refused(
            notes, "id", hostile,
            lambda hostile: memory.add_pattern(
                "hostile", pattern_id=hostile, pattern_type=hostile, metadata={"owner": hostile}
            ),
        )  # fmt: skip
        conditions = (
            {"pattern_type": [hostile]},
            {"metadata": {"owner": hostile}},
            {"metadata": {hostile: "x"}},
        )
        for where in conditions:
            found = _refused(notes, "condition", where, lambda where: memory.patterns(where=where))
            for pattern in found or ():
                if mine is None or pattern.pattern_id != mine.pattern_id:
                    notes.append(f"{where!r:.80} gave {pattern.pattern_id!r:.60}")
        if mine is not None:
            same = _refused(notes, "id", hostile, memory.get_pattern)
            if same is None or same.pattern_id != hostile:
                notes.append(f"id {hostile!r:.60} gave {same!r:.60}")
            _refused(notes, "id", hostile, memory.trend)
            # Taken away again by giving it to nobody: the next one may be a piece of this.
            _refused(
                notes, "id", hostile,
                lambda hostile: memory.add_pattern(
                    "hostile", pattern_id=hostile, pattern_type="of nobody", metadata={}
                ),
            )  # fmt: skip
    return len(notes) - before


def _directions(rng: Random, count: int) -> Iterator[Any]:
    odd = (math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1e-45, 1e38, 1e308, -1e308, 1.0)
    ones = [1.0] * DIM
    shapes: tuple[Any, ...] = (
        [], ones[1:], [*ones, 1.0], [ones], "1" * DIM, b"1", 7, {}, [None] * DIM, ["1"] * DIM,
        [1j] * DIM, [True] * DIM, [10**400] * DIM,
    )  # fmt: skip
    for n in range(count):
        if n < len(shapes):
            yield shapes[n]
        elif rng.random() < 0.5:
            yield [rng.choice(odd) for _ in range(DIM)]
        else:
            scale = 10.0 ** rng.randint(-40, 40)
            scaled = np.array([scale * rng.gauss(0, 1) for _ in range(DIM)])
            yield scaled if rng.random() < 0.5 else scaled.astype(np.float32)


def _vectors(memory: Memory, given: Iterator[Any], notes: list[str]) -> int:
    before = len(notes)
    with np.errstate(all="ignore"):
        for vector in given:
            found = _refused(
                notes,
                "vector",
                vector,
                lambda vector: memory.find_similar(vector=vector, limit=5),
            )
            if found is not None and not all(math.isfinite(match.distance or 0.0) for match in found):
                notes.append(f"vector {vector!r:.60} gave a distance that is no number")
    return len(notes) - before


def _control(folder: Path, seed: int) -> Control:
    """Conditions whose values stand in the text of the statement must be found out."""

    def pasted(where: Any) -> tuple[str, list[object]]:
        if where is None or where.pattern_type is None:
            return "true" if where is None else "false", []
        return f"pattern_type = '{where.pattern_type[0]}'", []

    real, questions.conditions = questions.conditions, pasted
    notes: list[str] = []
    try:
        with _opened(folder) as memory:
            _fill(memory)
            found = _ids(memory, _some(Random(seed), len(SEEDS)), notes)
    finally:
        questions.conditions = real
    return Control("values are pasted into statements", found > 0, f"{found} ids and conditions")
