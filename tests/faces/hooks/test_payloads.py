"""The same session in the payloads of each harness, through the hook itself, teaches the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from whatworks import Memory
from whatworks.hooks.absorb import absorb_store
from whatworks.testing import HashEmbedder

HOOK = Path(sys.executable).with_name("whatworks-hook")
PAYLOADS = Path(__file__).parent / "payloads"
HARNESSES = ["claude", "codex", "gemini", "cursor", "opencode"]


def told(harness: str, store: Path, folder: Path, *, times: int = 1) -> None:
    """Have the hook told each payload, as the harness would, or one that has the hook twice."""
    rollout = folder / "rollout.jsonl"
    rollout.write_text((PAYLOADS / "codex-rollout.jsonl").read_text())
    lines = (PAYLOADS / f"{harness}.jsonl").read_text().splitlines()
    for line in (line for line in lines for _ in range(times)):
        done = subprocess.run(
            [HOOK, harness],
            input=line.replace("ROLLOUT", str(rollout)), text=True, capture_output=True,
            env={**os.environ, "WHATWORKS_STORE": str(store)}, timeout=20, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        json.loads(done.stdout)


@pytest.mark.parametrize("harness", HARNESSES)
def test_a_failing_check_that_passes_after_a_repair_is_learned(harness: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    Memory.open(store, embedder=HashEmbedder()).close()
    told(harness, store, tmp_path)
    assert absorb_store(store) == 1
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        (event,) = memory.events()
        (pattern,) = memory.patterns()
    assert pattern.description == "run npm install express; edit server.js"
    assert event.context == "npm test fails: Error: Cannot find module 'express'"
    assert (event.outcome, event.state, event.channel) == (1.0, "resolved", "hook")
    assert event.metadata["harness"] == harness


@pytest.mark.parametrize("harness", HARNESSES)
def test_where_the_hook_is_installed_twice_it_is_learned_once(harness: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    Memory.open(store, embedder=HashEmbedder()).close()
    told(harness, store, tmp_path, times=2)
    assert (absorb_store(store), absorb_store(store)) == (1, 0)
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        assert [pattern.description for pattern in memory.patterns()] == [
            "run npm install express; edit server.js"
        ]
