"""The agent loops of the examples get better, and would not by luck or without the memory."""

from __future__ import annotations

import importlib
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

AGENTS = Path(__file__).parents[2] / "examples" / "agents"
TASKS, LAST, SEED = 100, 40, 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(AGENTS))
    found = importlib.import_module("world")
    every = found.tasks
    monkeypatch.setattr(found, "tasks", lambda seed: islice(every(seed), TASKS))
    return found


@pytest.mark.parametrize(
    "loop", ["plain", "langchain_agent", "pydantic_ai_agent", "openai_agents_agent", "otel_agent"]
)
def test_a_loop_gets_better(
    loop: str, world: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, loop, raising=False)  # with the tasks of this test
    mended = importlib.import_module(loop).run(tmp_path / "store", SEED)
    model = world.FakeModel(SEED)
    alone = [model.choose("") in task.mended_by for task in world.tasks(SEED)]
    assert len(mended) == len(alone) == TASKS
    assert sum(alone[-LAST:]) < 0.5 * LAST, "the tasks are too easy to tell"
    assert sum(mended[-LAST:]) > 0.7 * LAST
    assert sum(mended[-LAST:]) > sum(mended[:LAST])


@pytest.mark.parametrize(("store", "code"), [(None, 0), ("nowhere", 1)])
def test_the_notebook_runs_all_its_cells(
    store: str | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that fails is seen: a store that cannot be made."""
    if store is None:
        monkeypatch.delenv("WHATWORKS_STORE", raising=False)
    else:
        (tmp_path / store).write_text("a file")
        monkeypatch.setenv("WHATWORKS_STORE", str(tmp_path / store))
    words = [sys.executable, str(AGENTS.parent / "notebook.py")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == code, done.stderr
