"""What stores are filled with: texts, their vectors, and tries of patterns, of any size.

At full size texts are sentences of Debian's package descriptions, and vectors those of the built-in
model, or mixtures of them where there are more vectors than texts. At smoke size all is made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import store_data, texts
from whatworks import NewEvent, NewPattern
from whatworks.bench import (
    DAYS,
    END,
    TOOLS,
    TYPES,
    pattern_id,
    pattern_text,
    question_text,
    success_rate,
)

__all__ = ["REAL_TEXTS", "Corpus", "Prepared", "Size", "embedder", "made_up", "real"]

REAL_TEXTS = 100_000
SHORT_WORDS = 10  # of a question: with the tokens that words are cut into, mostly 16 or fewer
BLOCK = 10_000
_NUMBER = re.compile(r"\((?:case|ticket|question) (\d+)\)$")

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of what."""

    patterns: int
    contexts: int
    events: int

    def __str__(self) -> str:
        return f"{self.patterns:,} patterns, {self.events:,} events"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts with the files of their vectors; ``questions`` are as many texts as there are queries."""

    texts: Sequence[str]
    questions: Sequence[str]
    files: store_data.Data

    def pattern_text(self, number: int) -> str:
        return f"{self.texts[number % len(self.texts)]} (case {number})"

    def context_text(self, number: int) -> str:
        # Not the text of the pattern of the same number.
        return f"{self.texts[-1 - number % len(self.texts)]} (ticket {number})"

    def patterns(self, count: int) -> Iterator[NewPattern]:
        for number in range(count):
            yield NewPattern(
                self.pattern_text(number),
                pattern_type=TYPES[number % len(TYPES)],
                pattern_id=pattern_id(number),
                created_at=END - timedelta(days=DAYS) * (1 - number / count),
            )

    def events(self, size: Size, *, seed: int = 1) -> Iterator[NewEvent]:
        """Tries in the order of time, over 90 days: a few patterns are used much, most of them seldom.

        94 % are resolved, each pattern at a success rate of its own.
        """
        weights = np.cumsum(1 / (np.arange(size.patterns) + 10))
        rates = np.array([success_rate(number) for number in range(size.patterns)])
        start, step = END - timedelta(days=DAYS), timedelta(days=DAYS) / size.events
        for first in range(0, size.events, BLOCK):
            chance = np.random.default_rng((seed, first))
            count = min(BLOCK, size.events - first)
            numbers = np.searchsorted(weights, chance.random(count) * weights[-1])
            worked = (chance.random(count) < rates[numbers]).tolist()
            fates, tools = chance.random(count).tolist(), chance.integers(len(TOOLS), size=count)
            contexts = chance.integers(size.contexts, size=count).tolist()
            for nth, number in enumerate(numbers.tolist()):
                yield NewEvent(
                    pattern_id(number),
                    outcome=float(worked[nth]) if fates[nth] < 0.94 else None,
                    state=None if fates[nth] < 0.98 else "not_used",
                    context=self.context_text(contexts[nth]),
                    timestamp=start + (first + nth) * step,
                    session_id=f"session-{(first + nth) // 20}",
                    files=[f"src/part_{contexts[nth] % 100}.py"],
                    tools=[TOOLS[tools[nth]]],
                    duration_ms=50.0 + contexts[nth],
                )

    def short_questions(self) -> list[str]:
        return [" ".join(text.split()[:SHORT_WORDS]) for text in self.questions]


class Prepared:
    """An embedder that looks the vectors of a corpus' texts up: those of the built-in model."""

    dim = 384

    def __init__(self, vectors: Path, model_id: str) -> None:
        self._vectors = np.load(vectors, mmap_mode="r")
        self.model_id = model_id

    def __call__(self, given: list[str], /) -> Float32:
        return np.asarray(self._vectors[[self._row(text) for text in given]], np.float32)

    def _row(self, text: str) -> int:
        found = _NUMBER.search(text)
        if found is None:
            raise ValueError(f"a text of another corpus: {text!r}")
        number = int(found[1])
        # As ``context_text`` takes the texts: from the end.
        return number if found[0].startswith("(case") else len(self._vectors) - 1 - number


def embedder(corpus: Corpus) -> Prepared:
    """The prepared vectors in the name of the built-in model, which can ask the store afterwards."""
    from whatworks.embedders.minilm import MiniLM

    return Prepared(corpus.files.vectors, MiniLM.model_id)


def real(cache: Path, vectors: int) -> Corpus:
    """Real texts, fetched and embedded unless they lie in ``cache``; ``vectors`` in all."""
    files = store_data.real(cache, vectors, most=REAL_TEXTS)
    found = texts.read_texts(cache)[: store_data.QUERIES + files.real]
    return Corpus(found[store_data.QUERIES :], found[: store_data.QUERIES], files)


def made_up(folder: Path, vectors: int) -> Corpus:
    """Texts and vectors that have nothing to do with each other."""
    folder.mkdir(parents=True, exist_ok=True)
    files = store_data.made_up(folder, vectors, dim=Prepared.dim)
    questions = len(np.load(files.queries, mmap_mode="r"))
    return Corpus(
        [pattern_text(n) for n in range(vectors)], [question_text(n) for n in range(questions)], files
    )
