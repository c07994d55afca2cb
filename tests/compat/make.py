"""Write a store, and what it answers, with the whatworks that is on the path: a fixture for good.

``python tests/compat/make.py NAME`` makes ``NAME.tar.xz`` and ``NAME.json`` beside this file.
It is run once for a format, with the code that writes it, and asks only what every version can
answer. The vectors are left out: they are made again from the embeddings.
"""

from __future__ import annotations

import io
import json
import lzma
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from whatworks import Memory
from whatworks.testing import HashEmbedder

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
CONTEXTS = ("the build fails in parser", "imports cannot be found", "tests time out", None)
QUESTIONS = ("imports cannot be found", "the cache is stale")
DIM = 16


class Clock:
    """Each look is a minute later."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


def write(folder: Path) -> dict[str, Any]:
    """Patterns, tries of every kind, repeats, corrections, aggregates, predictions."""
    clock = Clock()
    with Memory.open(folder, embedder=HashEmbedder(DIM), vectors="exact", clock=clock) as memory:
        memory.add_patterns(
            {
                "description": f"approach {n}: retry the build",
                "pattern_id": f"p{n}",
                "pattern_type": ("debugging", "searching")[n % 2],
                "metadata": {"n": n},
            }
            for n in range(6)
        )
        memory.record_many(
            {
                "pattern_id": f"p{n % 6}",
                "outcome": None if n % 5 == 4 else (n % 3) / 2,
                "context": CONTEXTS[n % 4],
                "event_id": f"e{n}",
                "timestamp": START - timedelta(hours=7 * n),
                "files": ["a.py"] if n % 2 else [],
                "tools": ["cargo"],
                "metadata": {"try": n},
            }
            for n in range(60)
        )
        memory.record(
            "p0", outcome=0.0, context=CONTEXTS[0], event_id="e0", timestamp=START
        )  # a repeat
        memory.resolve("e4", outcome=1.0)
        memory.resolve("e9", state="not_used")
        memory.resolve("e1", outcome=0.25)  # a correction
        memory.add_priors(
            [{"pattern_id": "p5", "success_rate": 0.5, "usage_count": 20, "origin": "files"}]
        )
        made = [memory.predict(text) for text in QUESTIONS]
        memory.record(
            made[0].answers[0].pattern_id,
            outcome=1.0,
            context=QUESTIONS[0],
            prediction_id=made[0].prediction_id,
            event_id="followed",
        )
        memory.find_similar("x")
        memory.add_pattern("approach 2, in other words", pattern_id="p2")
        if hasattr(memory, "archive"):  # from version 7 of the tables on
            memory.add_pattern("approach 6: retry the build", pattern_id="p6")
            memory.archive("p6", reason="as approach 5")
        answers = said(memory)
        answers["predictions"] = {
            item.prediction_id: [
                [a.pattern_id, a.expected, a.low, a.high, a.verdict] for a in item.answers
            ]
            for item in made
        }
    with Memory.open(folder, embedder="none", clock=clock) as memory:
        memory.record("p1", outcome=1.0, context="this text waits for its embedding", event_id="late")
        answers |= said(memory, vectors=False)
    return answers


def said(memory: Memory, *, vectors: bool = True) -> dict[str, Any]:
    """What a store of any version answers, as JSON."""
    patterns = sorted(memory.iter_patterns(), key=lambda item: item.pattern_id)
    answers: dict[str, Any] = {
        "patterns": [
            [p.pattern_id, p.pattern_type, p.description, p.metadata, p.usage_count,
             p.resolved_count, p.success_rate, p.created_at, p.last_used_at]
            for p in patterns
        ],
        "events": [
            [e.event_id, e.pattern_id, e.outcome, e.state, e.context, e.timestamp, e.files,
             e.tools, e.metadata, e.prediction_id]
            for e in memory.iter_events()
        ],
        "priors": [
            [p.pattern_id, p.success_rate, p.usage_count, p.origin] for p in memory.iter_priors()
        ],
        "days": {
            p.pattern_id: [[d.day, d.usage_count, d.avg_success] for d in days]
            for p, days in ((p, memory.trend(p.pattern_id).days) for p in patterns)
        },
    }  # fmt: skip
    if vectors:
        answers["similar"] = {
            text: [m.pattern_id for m in memory.find_similar(text)] for text in QUESTIONS
        }
    read: dict[str, Any] = json.loads(json.dumps(answers, default=str))
    return read


def pack(folder: Path, target: Path) -> None:
    """All files of a store but vectors and lock, the same bytes for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and name.parts[0] not in ("vectors", "keeper.lock"):
                info = tarfile.TarInfo(str(name))
                info.size, info.mode = path.stat().st_size, 0o600
                tar.addfile(info, io.BytesIO(path.read_bytes()))
    target.write_bytes(lzma.compress(packed.getvalue(), preset=9))


def main(name: str) -> None:
    here = Path(__file__).parent
    with TemporaryDirectory() as folder:
        answers = write(Path(folder) / "store")
        pack(Path(folder) / "store", here / f"{name}.tar.xz")
    (here / f"{name}.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
