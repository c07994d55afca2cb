"""What a keeper holds in memory after a thousand mixed questions, with and without the model."""

from __future__ import annotations

from pathlib import Path

from benchmarks.child import Child
from benchmarks.corpus import Corpus, Size
from benchmarks.measure import BARE, Footprint, fresh
from benchmarks.results import Measured, Result
from whatworks.bench import pattern_id

__all__ = ["NAME", "run"]

NAME = "memory of a keeper"


def run(folder: Path, corpus: Corpus, size: Size, *, asked: int) -> list[Result]:
    """``asked`` questions each, mixed; memory is less that of a Python that does nothing."""
    measured = Measured(NAME, str(size))
    bare = fresh({"bare": BARE}, 1)["bare"][0].memory
    for who, opened in (
        ("without the embedder", "open_without_embedder"),
        ("with the embedder", "open"),
    ):
        with Child("benchmarks.asking:Asker", str(folder)) as child:
            child.ask(opened)
            _ask(child, corpus, size, asked, with_texts=opened == "open")
            for field, now, nothing in zip(Footprint._fields, child.memory(), bare, strict=True):
                measured.add(f"{who}, {field}", now - nothing, "MB")
    return measured.results


def _ask(child: Child, corpus: Corpus, size: Size, asked: int, *, with_texts: bool) -> None:
    questions = corpus.questions
    for number in range(asked // 8):
        name = pattern_id(number % size.patterns)
        for method, *args in (
            ("trend", name), ("events", name), ("stats",), ("newest_events",), ("newest_patterns",),
        ):  # fmt: skip
            child.ask(method, *args)
        text = questions[number % len(questions)]
        for method in ("by_text", "by_text", "predict") if with_texts else ():
            child.ask(method, text)
        for method in () if with_texts else ("trend", "events", "trend"):
            child.ask(method, pattern_id((7 * number) % size.patterns))
