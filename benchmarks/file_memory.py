"""The file-based memory that whatworks replaces, plainly written: JSON files, dicts, a linear scan."""

from __future__ import annotations

import json
from collections.abc import Iterator
from heapq import nlargest
from pathlib import Path
from typing import Any

__all__ = ["FileMemory"]


class FileMemory:
    """Holds every session and every pattern in dicts; a search looks at each of them."""

    def __init__(self, folder: Path) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.patterns: dict[str, dict[str, Any]] = {}
        for session in _loaded(folder / "sessions"):
            self.sessions[session["session_id"]] = session
            self._learn(session["successful_patterns"])
        for patterns in _loaded(folder / "patterns"):
            self._learn(patterns)

    def _learn(self, patterns: list[dict[str, Any]]) -> None:
        self.patterns.update((pattern["pattern_id"], pattern) for pattern in patterns)

    def search(self, text: str, *, limit: int = 10) -> list[dict[str, Any]]:
        """Patterns and turns with most of the words of ``text``; of equals, the more successful."""
        words = set(text.lower().split())
        hits = [
            (sum(word in held for word in words), quality, item)
            for held, quality, item in self._texts()
        ]
        best = nlargest(limit, hits, key=lambda hit: hit[:2])
        return [item for found, _, item in best if found]

    def _texts(self) -> Iterator[tuple[str, float, dict[str, Any]]]:
        for pattern in self.patterns.values():
            text = f"{pattern['description']} {pattern['context']}".lower()
            yield text, pattern["success_rate"], pattern
        for session in self.sessions.values():
            for turn in session["conversation_context"]:
                yield turn["user_query"].lower(), turn["outcome_quality"], turn


def _loaded(folder: Path) -> Iterator[Any]:
    for file in sorted(folder.glob("*.json")):
        yield json.loads(file.read_text(encoding="utf-8"))
