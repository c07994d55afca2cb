"""The parts of the suite by name: each can be run alone, and replaces its last results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import (
    against_agents,
    against_analytics,
    against_files,
    against_vectors,
    asking,
    corpus,
    embedding,
    filled,
    floors,
    keeping,
    starting,
    writing,
)  # fmt: skip
from benchmarks.corpus import Corpus, Size
from benchmarks.results import Result

__all__ = ["GROWN", "SMALL", "USUAL", "full", "smoke"]

Part = Callable[[], list[Result]]
Parts = Mapping[str, Part]

SMALL = Size(10_000, 10_000, 100_000)
USUAL = Size(100_000, 100_000, 1_000_000)
MANY_EVENTS = Size(100_000, 100_000, 10_000_000)
MANY_PATTERNS = Size(1_000_000, 100_000, 1_000_000)
GROWN = {"10k": SMALL, "100k": USUAL, "10m-events": MANY_EVENTS, "1m-patterns": MANY_PATTERNS}


def full(cache: Path) -> Parts:
    """Hours: the largest stores take most of them."""

    def texts(size: Size = USUAL) -> Corpus:
        return corpus.real(cache, max(size.patterns, size.contexts))

    def store(size: Size = USUAL) -> Path:
        return filled.store(texts(size), size, cache)

    parts: dict[str, Part] = {
        "embedding": lambda: embedding.run(texts(), texts=4_000, singles=300),
        "files-1k": lambda: against_files.run(1_000),
        "files-10k": lambda: against_files.run(10_000),
        "agents": lambda: against_agents.run(texts(), added=1_000, asked=200),
    }
    for name, size in GROWN.items():
        parts |= {
            f"fill-{name}": lambda s=size: filled.fill(texts(s), s, cache),  # type: ignore[misc]
            f"ask-{name}": lambda s=size: asking.run(store(s), texts(s), s, asked=200),  # type: ignore[misc]
            f"keep-{name}": lambda s=size: keeping.run(store(s), texts(s), s, asked=1_000),  # type: ignore[misc]
        }
    parts |= {
        "start": lambda: starting.run(store(), texts(), USUAL, starts=15),
        "floors": lambda: floors.run(store(), texts(), USUAL, asked=200),
        "record": lambda: writing.record(store(), USUAL, calls=1_000),
        "rebuild": lambda: writing.rebuild(store(), texts(), USUAL),
        "vectors-10k": lambda: against_vectors.run(store(SMALL), texts(SMALL), 10_000, asked=800),
        "vectors-100k": lambda: against_vectors.run(store(), texts(), 100_000, asked=800),
        "tables-1m": lambda: against_analytics.run(store(), USUAL, asked=50),
        "tables-10m": lambda: against_analytics.run(store(MANY_EVENTS), MANY_EVENTS, asked=20),
    }
    return parts


def smoke(cache: Path) -> Parts:
    """Seconds each: that everything runs, and that nothing grows absurdly."""
    small, large = Size(200, 200, 2_000), Size(1_000, 1_000, 10_000)
    texts = corpus.made_up(cache / "made-up", large.patterns)

    def store(size: Size = large) -> Path:
        return filled.store(texts, size, cache)

    return {
        "embedding": lambda: embedding.run(texts, texts=50, singles=5),
        "files": lambda: against_files.run(100, starts=1),
        "fill-small": lambda: filled.fill(texts, small, cache),
        "ask-small": lambda: asking.run(store(small), texts, small, asked=20),
        "fill-large": lambda: filled.fill(texts, large, cache),
        "ask-large": lambda: asking.run(store(), texts, large, asked=20),
        "keep": lambda: keeping.run(store(), texts, large, asked=16),
        "start": lambda: starting.run(store(), texts, large, starts=1),
        "floors": lambda: floors.run(store(), texts, large, asked=5),
        "record": lambda: writing.record(store(), large, calls=20),
        "rebuild": lambda: writing.rebuild(store(), texts, large),
        "vectors": lambda: against_vectors.run(store(), texts, large.patterns, asked=20),
        "tables": lambda: against_analytics.run(store(), large, asked=5),
        "agents": lambda: against_agents.run(texts, added=10, asked=5),
    }
