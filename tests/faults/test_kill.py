"""SIGKILL at any moment loses nothing that was acknowledged and doubles nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import orjson
import pytest

from support.reference import assert_counts_agree
from whatworks import Memory
from whatworks.testing import HashEmbedder

CHILD = Path(__file__).with_name("child.py")
# Each round is one killed process after another on one store.
ROUNDS, KILLS, UPKEEP_KILLS = (20, 25, 50) if os.environ.get("WHATWORKS_FULL") else (5, 10, 6)


@dataclass
class Acknowledged:
    """What the children said was safe."""

    events: dict[str, str] = field(default_factory=dict)
    patterns: set[str] = field(default_factory=set)
    kills: int = 0

    def hear(self, line: str) -> None:
        kind, name, *outcome = line.split()
        if kind in ("event", "resolved"):
            self.events[name] = outcome[0]
        elif kind == "pattern":
            self.patterns.add(name)


def run_and_kill(store: Path, mode: str, seed: str, acknowledged: Acknowledged, dim: int = 64) -> None:
    """Start a child, kill it at a moment that the seed chooses, and take down what it said."""
    print("seed", seed)
    random = Random(seed)
    command = [sys.executable, str(CHILD), str(store), seed, mode]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if mode == "early" else None,
        text=True,
        env=os.environ | {"MODEL": str(dim)},
    ) as child:
        assert child.stdout is not None
        if random.random() < 0.8:
            assert child.stdout.readline().startswith("ready"), "the child did not start"
            time.sleep(random.uniform(0, 0.35))
        else:
            time.sleep(random.uniform(0.2, 0.6))  # while it starts, opens and folds
        child.send_signal(signal.SIGKILL)
        said = child.stdout.read()
    acknowledged.kills += 1
    for line in said.splitlines(keepends=True):
        if line.endswith("\n"):
            acknowledged.hear(line)


def missing(memory: Memory, acknowledged: Acknowledged) -> list[str]:
    """Acknowledged events that are not there, or not with their outcome."""
    stored = {event.event_id: str(event.outcome) for event in memory.iter_events()}
    # The outcome of an open event may have been on its way when the process died.
    lost = [
        name
        for name, outcome in acknowledged.events.items()
        if stored.get(name) != outcome and not (outcome == "None" and name in stored)
    ]
    # What was not acknowledged may be there: of each thread one call, of three events at most.
    assert len(stored.keys() - acknowledged.events.keys()) <= 12 * acknowledged.kills
    return lost


def assert_nothing_lost(memory: Memory, acknowledged: Acknowledged) -> None:
    assert missing(memory, acknowledged) == []
    assert acknowledged.patterns <= {pattern.pattern_id for pattern in memory.iter_patterns()}
    assert_counts_agree(memory)
    assert memory.stats().problems == ()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_what_was_acknowledged_survives_being_killed(store: Path, number: int) -> None:
    acknowledged = Acknowledged()
    for kill in range(KILLS):
        run_and_kill(store, "record", f"{number}-{kill}", acknowledged)
        with Memory.open(store, embedder=HashEmbedder(), vectors="exact") as memory:
            assert_nothing_lost(memory, acknowledged)
    assert len(acknowledged.events) > 10 * KILLS, "the children were killed before they did anything"


def test_a_journal_that_acknowledges_too_early_is_found_out(store: Path) -> None:
    """The null control: the same check must find what such a journal loses."""
    acknowledged = Acknowledged()
    for kill in range(20):
        run_and_kill(store, "early", f"early-{kill}", acknowledged)
        with Memory.open(store, embedder=HashEmbedder(), vectors="exact") as memory:
            if missing(memory, acknowledged):
                return
    raise AssertionError("20 kills of a journal that acknowledges too early lost nothing")


@pytest.mark.parametrize("mode", ["rebuild", "reembed"])
def test_killed_upkeep_loses_nothing(store: Path, mode: str) -> None:
    acknowledged = Acknowledged()
    for kill in range(UPKEEP_KILLS):
        run_and_kill(store, mode, f"{mode}-{kill}", acknowledged, model_of(store))
        with Memory.open(store, embedder=HashEmbedder(model_of(store)), vectors="exact") as memory:
            assert_nothing_lost(memory, acknowledged)
            if not acknowledged.events:
                continue
            assert "p3" in [match.pattern_id for match in memory.find_similar("approach 3", limit=3)]
            assert memory.predict("case 1").answers
            stats = memory.stats()
            assert stats.vectors["patterns"]["vectors"] == stats.patterns
            assert stats.vectors["contexts"]["vectors"] == stats.contexts
    assert acknowledged.events


def model_of(store: Path) -> int:
    """The dimension of the embedder that the store is made with now."""
    if not (store / "store.json").exists():
        return 64
    said: dict[str, str] = orjson.loads((store / "store.json").read_bytes())
    return int(said["embedder"].removeprefix("hash-"))
