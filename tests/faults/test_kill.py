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
ROUNDS, KILLS = (20, 25) if os.environ.get("WHATWORKS_FULL") else (5, 10)


@dataclass
class Acknowledged:
    """What a child said was safe."""

    events: dict[str, str] = field(default_factory=dict)
    patterns: set[str] = field(default_factory=set)

    def hear(self, line: str) -> None:
        kind, name, *outcome = line.split()
        if kind in ("event", "resolved"):
            self.events[name] = outcome[0]
        elif kind == "pattern":
            self.patterns.add(name)


def run_and_kill(store: Path, mode: str, seed: str, acknowledged: Acknowledged, dim: int = 64) -> None:
    """Start a child, kill it at a moment that the seed chooses, and take down what it said."""
    delay = Random(seed).uniform(0, 0.35)
    environment = os.environ | {"MODEL": str(dim)}
    command = [sys.executable, str(CHILD), str(store), seed, mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("ready"), f"the child did not start, seed {seed}"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        said = child.stdout.read()
    for line in said.splitlines(keepends=True):
        if line.endswith("\n"):
            acknowledged.hear(line)


def missing(memory: Memory, acknowledged: Acknowledged) -> list[str]:
    """Acknowledged events that are not there, or not with their outcome."""
    stored = {event.event_id: str(event.outcome) for event in memory.iter_events()}
    # An outcome that was on its way when the process died may be there or not.
    return [
        name
        for name, outcome in acknowledged.events.items()
        if stored.get(name) != outcome and not (outcome == "None" and name in stored)
    ]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_what_was_acknowledged_survives_being_killed(store: Path, number: int) -> None:
    acknowledged, lost = Acknowledged(), list[str]()
    for kill in range(KILLS):
        seed = f"{number}-{kill}"
        print("seed", seed)
        run_and_kill(store, "record", seed, acknowledged)
        with Memory.open(store, embedder=HashEmbedder(), vectors="exact") as memory:
            lost += [f"{seed}: {name}" for name in missing(memory, acknowledged)]
            lost += [
                f"{seed}: {name}"
                for name in acknowledged.patterns - {p.pattern_id for p in memory.iter_patterns()}
            ]
            assert lost == []
            assert_counts_agree(memory)
            assert memory.stats().problems == ()
    assert len(acknowledged.events) > 10 * KILLS, "the children were killed before they did anything"


def test_a_journal_that_acknowledges_too_early_is_found_out(store: Path) -> None:
    """The null control: the same check must find what such a journal loses."""
    for kill in range(20):
        acknowledged = Acknowledged()
        run_and_kill(store, "early", f"early-{kill}", acknowledged)
        with Memory.open(store, embedder=HashEmbedder(), vectors="exact") as memory:
            if missing(memory, acknowledged):
                return
    raise AssertionError("20 kills of a journal that acknowledges too early lost nothing")


@pytest.mark.parametrize("mode", ["rebuild", "reembed"])
def test_killed_upkeep_loses_nothing(store: Path, mode: str) -> None:
    acknowledged = Acknowledged()
    for kill in range(5 * KILLS if os.environ.get("WHATWORKS_FULL") else 6):
        seed = f"{mode}-{kill}"
        print("seed", seed)
        dim = model_of(store)
        run_and_kill(store, mode, seed, acknowledged, dim)
        with Memory.open(store, embedder=HashEmbedder(model_of(store)), vectors="exact") as memory:
            assert missing(memory, acknowledged) == []
            assert_counts_agree(memory)
            found = memory.find_similar("approach 3", limit=3)
            assert "p3" in [match.pattern_id for match in found]
            described = memory.stats().vectors["patterns"]
            assert described["vectors"] == memory.stats().patterns
            assert memory.predict("case 1").answers
    assert acknowledged.events


def model_of(store: Path) -> int:
    """The dimension of the embedder that the store is made with now."""
    if not (store / "store.json").exists():
        return 64
    said: dict[str, str] = orjson.loads((store / "store.json").read_bytes())
    return int(said["embedder"].removeprefix("hash-"))
