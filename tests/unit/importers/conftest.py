from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import reading

SAMPLE = Path(__file__).parents[2] / "data" / "file-memory"


def turn(**changes: Any) -> dict[str, Any]:
    """A turn that used tools; ``changes`` replace fields, ``...`` removes one."""
    fields = {
        "timestamp": "2025-01-02T03:04:05.678901234Z",
        "user_query": "unresolved import in parser.rs",
        "query_type": "debugging",
        "files_involved": ["src/parser.rs"],
        "tools_used": ["rg", "edit_file"],
        "outcome_quality": 0.75,
        "lessons_learned": ["read the error first"],
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def learned(pattern_id: str = "pattern_1", /, **changes: Any) -> dict[str, Any]:
    """A LearnedPattern that has nothing to do with ``turn``; ``changes`` as there."""
    fields = {
        "pattern_id": pattern_id,
        "pattern_type": "DebuggingStrategy",
        "description": f"What {pattern_id} does",
        "context": "the build is slow",
        "success_rate": 0.5,
        "usage_count": 4,
        "first_learned": "2025-01-01T00:00:00.000000001Z",
        "last_reinforced": "2025-01-02T00:00:00Z",
        "files_involved": ["Cargo.toml"],
        "tools_involved": ["cargo_build"],
        "conditions": ["query_type=performance"],
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


class FileMemory:
    """A file-based memory that is written file by file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("sessions", "patterns"):
            (folder / name).mkdir(parents=True)

    def session(self, *turns: Any, name: str = "s1", learned: Any = (), **changes: Any) -> Path:
        fields = {
            "session_id": name,
            "project_path": "/home/dev/project",
            "started_at": "2025-01-02T03:00:00Z",
            "last_activity": "2025-01-02T04:00:00Z",
            "conversation_context": list(turns),
            "successful_patterns": list(learned),
            "user_preferences": {},
            "project_insights": {},
        }
        whole = {key: value for key, value in (fields | changes).items() if value is not ...}
        return self.write(f"sessions/{name}.json", json.dumps(whole))

    def patterns(self, *items: Any, name: str = "default") -> Path:
        return self.write(f"patterns/{name}.json", json.dumps(items))

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(
            content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        )
        return path


@pytest.fixture
def read_here() -> Iterator[None]:
    """Reads in this process, so that a test can change a reader's limits."""
    with reading.read_here():
        yield


@pytest.fixture
def files(tmp_path: Path) -> FileMemory:
    return FileMemory(tmp_path / "file-memory")


@pytest.fixture
def make_turn() -> Callable[..., dict[str, Any]]:
    return turn


@pytest.fixture
def make_learned() -> Callable[..., dict[str, Any]]:
    return learned


@pytest.fixture
def sample() -> Path:
    return SAMPLE
