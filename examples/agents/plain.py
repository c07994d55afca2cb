"""An agent loop without a framework: ask what works, try it, and the outcome is recorded by itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from world import TOOLS, FailedError, FakeModel, tasks

from whatworks import Memory


def run(store: Path, seed: int) -> list[bool]:
    """Do all tasks; whether each was mended at the first try."""
    model, mended = FakeModel(seed), []
    with Memory.open(store) as memory:
        memory.add_patterns(
            {"pattern_id": name, "description": text, "pattern_type": "tool"}
            for name, text in TOOLS.items()
        )
        for task in tasks(seed):
            suggestion = memory.suggest(task.text, limit=len(TOOLS))
            tool = model.choose(suggestion.text)
            with (
                suppress(FailedError),
                memory.track(tool, context=task.text, prediction_id=suggestion.prediction_id),
            ):
                task.attempt(tool)
            mended.append(tool in task.mended_by)
    return mended
