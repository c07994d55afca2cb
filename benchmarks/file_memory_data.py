"""A made-up file-based memory of any size, in the layout that ``whatworks import files`` reads."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from whatworks.bench import DAYS, END, TOOLS, context_text, path, pattern_text

__all__ = ["write_memory"]

START = END - timedelta(days=DAYS)
TURNS = 10
TYPES = (
    "SuccessfulFileCombo", "EffectiveToolSequence", "UserPreference", "ArchitecturalPattern",
    "DebuggingStrategy", "TestingPattern", "ConfigurationStrategy",
)  # fmt: skip
KINDS = ("debugging", "feature", "explanation", "performance", "testing")


def write_memory(folder: Path, *, patterns: int, seed: int = 1) -> None:
    """Write ``patterns`` learned patterns and as many turns, in sessions of ten turns.

    Half of the patterns lie in the session that they were learned in, the
    others in one file for each type.
    """
    chance = Random(seed)
    for name in ("sessions", "patterns"):
        (folder / name).mkdir(parents=True)
    by_type: dict[str, list[dict[str, Any]]] = {kind: [] for kind in TYPES}
    for first in range(0, patterns, TURNS):
        turns = [_turn(number, chance) for number in range(first, min(first + TURNS, patterns))]
        learned = [_learned(first + n, turn, chance) for n, turn in enumerate(turns)]
        half = len(learned) // 2
        session = _session(first, turns, learned[:half])
        _write(folder / "sessions" / f"{session['session_id']}.json", session)
        for pattern in learned[half:]:
            by_type[pattern["pattern_type"]].append(pattern)
    for kind, found in by_type.items():
        _write(folder / "patterns" / f"{kind.lower()}.json", found)


def _turn(number: int, chance: Random) -> dict[str, Any]:
    tools = chance.sample(TOOLS, chance.randint(1, 3)) if chance.random() < 0.75 else []
    return {
        "timestamp": _time(number),
        "user_query": context_text(number),
        "query_type": chance.choice(KINDS),
        "files_involved": [path(chance) for _ in range(chance.randint(0, 2))],
        "tools_used": tools,
        "outcome_quality": round(chance.random(), 3),
        "lessons_learned": [] if chance.random() < 0.7 else ["read the whole message"],
    }


def _learned(number: int, turn: dict[str, Any], chance: Random) -> dict[str, Any]:
    return {
        "pattern_id": f"pattern_{number}",
        "pattern_type": chance.choice(TYPES),
        "description": pattern_text(number),
        "context": turn["user_query"],
        "success_rate": turn["outcome_quality"],
        "usage_count": chance.choice((1, 1, 2, 5, 23)),
        "first_learned": turn["timestamp"],
        "last_reinforced": turn["timestamp"],
        "files_involved": turn["files_involved"],
        "tools_involved": turn["tools_used"],
        "conditions": [f"query_type={turn['query_type']}"],
    }


def _session(number: int, turns: list[dict[str, Any]], learned: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "session_id": f"session_{number}",
        "project_path": "/projects/example",
        "started_at": turns[0]["timestamp"],
        "last_activity": turns[-1]["timestamp"],
        "conversation_context": turns,
        "successful_patterns": learned,
        "user_preferences": {"preferred_tools": ["rg"], "communication_style": "concise"},
        "project_insights": {"build_system": "cargo", "key_directories": ["src"]},
    }


def _time(number: int) -> str:
    """RFC 3339 with nanoseconds, as the layout has it; a minute apart."""
    moment: datetime = START + timedelta(minutes=number)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{number % 10**9:09d}Z"


def _write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2), encoding="utf-8")
