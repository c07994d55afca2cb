"""Fixtures for all tests: stores in a temporary folder, a clock that stands still, hypothesis sizes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from whatworks import Memory
from whatworks.testing import HashEmbedder

# Tests that load the engine of the built-in model by itself tell its makers nothing either.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# What several test modules share lies in tests/support.
sys.path.append(str(Path(__file__).parent))
pytest.register_assert_rewrite("support")

FULL = bool(os.environ.get("WHATWORKS_FULL"))

# Small and the same in every run; WHATWORKS_FULL=1 looks further and at random.
settings.register_profile(
    "quick",
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "full", settings.get_profile("quick"), max_examples=2_000, derandomize=False, print_blob=True
)
settings.load_profile("full" if FULL else "quick")


class FrozenClock:
    """A clock that moves when it is told to."""

    def __init__(self, now: datetime = datetime(2025, 3, 14, 12, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> datetime:
        """Move on by a ``timedelta`` and return the new time."""
        self.now += timedelta(**span)
        return self.now


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of a store that is not there yet."""
    return tmp_path / "store"


@pytest.fixture
def open_memory(store: Path) -> Iterator[Callable[..., Memory]]:
    """``Memory.open`` on ``store`` with the hash embedder; all are closed after the test."""
    opened: list[Memory] = []

    def open_(path: Path = store, **options: Any) -> Memory:
        memory = Memory.open(path, **({"embedder": HashEmbedder(), "vectors": "exact"} | options))
        opened.append(memory)
        return memory

    yield open_
    for memory in opened:
        memory.close()


@pytest.fixture
def memory(open_memory: Callable[..., Memory]) -> Memory:
    return open_memory()
