"""All that a memory answers, in a form that can be compared with another one's."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from whatworks import Memory

QUESTIONS = ("retry the build", "imports cannot be found", "delete the cache")


def rounded(value: Any) -> Any:
    """``value`` with every float rounded to nine places."""
    if isinstance(value, float):
        return round(value, 9) + 0.0
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value


def snapshot(memory: Memory, *, vectors: bool = True) -> dict[str, Any]:
    """Patterns, events, aggregates and the answers to some questions."""
    patterns = sorted(memory.iter_patterns(), key=lambda item: item.pattern_id)
    found: dict[str, Any] = {
        "patterns": [asdict(item) for item in patterns],
        "events": [asdict(item) for item in memory.iter_events()],
        "priors": [asdict(item) for item in memory.iter_priors()],
        "trends": [asdict(memory.trend(item.pattern_id)) for item in patterns],
    }
    if vectors:
        found["similar"] = [
            [
                (m.pattern_id, m.distance and round(m.distance, 6), m.vector_rank, m.keyword_rank)
                for m in memory.find_similar(text)
            ]
            for text in QUESTIONS
        ]
        found["predictions"] = [
            [(a.pattern_id, a.expected, a.low, a.high, a.n_effective, a.verdict) for a in made.answers]
            for made in (memory.predict(text) for text in QUESTIONS)
        ]
    result: dict[str, Any] = rounded(found)
    return result


def fill(memory: Memory, *, patterns: int = 6, events: int = 40) -> None:
    """Patterns with tries of every kind, the same each time."""
    words = ["retry", "build", "imports", "cache", "delete", "wait"]
    names = [
        memory.add_pattern(
            f"{words[n % 6]} the {words[(n + 1) % 6]} number {n}", pattern_id=f"p{n}", metadata={"n": n}
        ).pattern_id
        for n in range(patterns)
    ]
    memory.record_many(
        {
            "pattern_id": names[n % patterns],
            "outcome": None if n % 5 == 4 else (n % 3) / 2,
            "context": f"{words[n % 6]} failed in {words[n % 4]}" if n % 7 else None,
            "event_id": f"e{n}",
        }
        for n in range(events)
    )
    memory.resolve("e4", outcome=1.0)
    memory.resolve("e9", state="not_used")
    memory.add_priors([{"pattern_id": "p0", "success_rate": 0.5, "usage_count": 20, "origin": "files"}])
