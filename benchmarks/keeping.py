"""What a keeper holds in memory after a thousand mixed questions, at once and when it rests."""

from __future__ import annotations

from pathlib import Path
from time import sleep

from benchmarks.child import Child
from benchmarks.corpus import Corpus, Size
from benchmarks.measure import BARE, Footprint, footprint, fresh, running
from benchmarks.results import Measured, Result
from whatworks.bench import pattern_id

__all__ = ["NAME", "run"]

NAME = "memory of a keeper"
# A keeper gives memory back once nobody has asked for a second.
RESTED_SECONDS = 2.5
KEEPER = """
from whatworks import Memory
memory = Memory.open({folder!r}, create=False, embedder={embedder!r})
assert memory.stats()
"""


def run(folder: Path, corpus: Corpus, size: Size, *, asked: int) -> list[Result]:
    """``asked`` questions, mixed, by another process; memory is less that of a Python alone."""
    measured = Measured(NAME, str(size))
    bare = fresh({"bare": BARE}, 1)["bare"][0].memory
    for who, embedder in (("without the embedder", "none"), ("with the embedder", None)):
        program = KEEPER.format(folder=str(folder), embedder=embedder)
        with running(program) as keeper, Child("benchmarks.asking:Asker", str(folder)) as client:
            client.ask("open" if embedder is None else "open_without_embedder")
            _ask(client, corpus, size, asked, with_texts=embedder is None)
            at_once = footprint(keeper)
            sleep(RESTED_SECONDS)
            for when, held in (("at once", at_once), ("at rest", footprint(keeper))):
                for field, now, nothing in zip(Footprint._fields, held, bare, strict=True):
                    measured.add(f"{who}, {when}, {field}", now - nothing, "MB")
    return measured.results


def _ask(client: Child, corpus: Corpus, size: Size, asked: int, *, with_texts: bool) -> None:
    questions = corpus.questions
    for number in range(asked // 8):
        name = pattern_id(number % size.patterns)
        for method, *args in (
            ("trend", name), ("events", name), ("stats",), ("newest_events",), ("newest_patterns",),
        ):  # fmt: skip
            client.ask(method, *args)
        text = questions[number % len(questions)]
        for method in ("by_text", "by_text", "predict") if with_texts else ():
            client.ask(method, text)
        for method in () if with_texts else ("trend", "events", "trend"):
            client.ask(method, pattern_id((7 * number) % size.patterns))
