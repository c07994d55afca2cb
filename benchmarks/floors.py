"""What the time of a question is made of: its parts, timed while it is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

from benchmarks.corpus import Corpus, Size
from benchmarks.measure import quantiles
from benchmarks.results import Measured, Result
from whatworks import Memory, answers, rank
from whatworks.evidence import cells
from whatworks.keeper import Keeper
from whatworks.model import Model
from whatworks.vectors import Vectors

__all__ = ["NAME", "Parts", "run", "split"]

NAME = "parts of a question"
# What each part is done by; nothing in one list calls another of it.
Parts = Mapping[str, tuple[tuple[Any, str], ...]]
PARTS: Mapping[str, Parts] = {
    "find_similar, new short text": {
        "embed the text": ((Model, "embed_query"),),
        "search among vectors": ((Vectors, "search"),),
        "search among words": ((answers, "word_hits"),),
        "read what was found": ((answers.Answers, "_matches"),),
    },
    "predict, new text": {
        "embed the text": ((Model, "embed_query"),),
        "search among vectors": ((Vectors, "search"),),
        "read tries and patterns": ((cells, "neighbours"), (cells, "records"), (Vectors, "get")),
        "solve for the estimates": ((rank, "expect"), (rank, "estimate")),
        "write the receipt down": ((Keeper, "note_down"),),
    },
}


def run(folder: Path, corpus: Corpus, size: Size, *, asked: int) -> list[Result]:
    """Medians of the parts of each question, and of the rest."""
    measured, texts = Measured(NAME, str(size)), corpus.short_questions()[: 2 * asked]
    with Memory.open(folder, create=False) as memory:
        questions = (memory.find_similar, memory.predict)
        for (question, parts), ask in zip(PARTS.items(), questions, strict=True):
            for text in texts[:20]:
                ask(f"warm {text}")
            spent: dict[str, list[float]] = {name: [] for name in [*parts, "the rest", "all"]}
            for text in texts[:asked] if ask == memory.predict else texts[asked:]:
                for name, ms in split(ask, text, parts).items():
                    spent[name].append(ms)
            for name, times in spent.items():
                measured.add(f"{question}: {name}", quantiles(times), "ms")
    return measured.results


def split(ask: Callable[[Any], object], what: object, parts: Parts) -> dict[str, float]:
    """Milliseconds of the parts of one call, of the rest, and of all."""
    spent: dict[str, float] = defaultdict(float)
    with _timed(parts, spent):
        start = perf_counter()
        ask(what)
        whole = 1e3 * (perf_counter() - start)
    known = {name: spent[name] for name in parts}
    return known | {"the rest": whole - sum(known.values()), "all": whole}


@contextmanager
def _timed(parts: Parts, spent: dict[str, float]) -> Iterator[None]:
    with ExitStack() as stack:
        for part, places in parts.items():
            for owner, name in places:
                made = _timing(getattr(owner, name), part, spent)
                stack.enter_context(patch.object(owner, name, made))
        yield


def _timing(function: Callable[..., Any], part: str, spent: dict[str, float]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[part] += 1e3 * (perf_counter() - start)

    return timed
