"""AsyncMemory is Memory, awaited: the same methods and parameters, and no logic of its own."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from whatworks import AsyncMemory, InvalidInputError, Memory
from whatworks.async_memory import _Pages, _Threaded


def methods(kind: type) -> set[str]:
    return {name for name, value in inspect.getmembers_static(kind) if not name.startswith("_")}


def test_it_has_the_methods_of_memory() -> None:
    assert methods(AsyncMemory) | {"clock", "secrets"} == methods(Memory)


def test_each_method_runs_that_of_the_same_name() -> None:
    for name, value in inspect.getmembers_static(AsyncMemory):
        if isinstance(value, _Threaded | _Pages):
            assert value.method is inspect.getattr_static(Memory, name)
            assert value.__doc__ == getattr(Memory, name).__doc__


def test_it_records_and_answers_without_holding_up_the_loop(tmp_path: Path) -> None:
    async def run() -> Any:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        async with await AsyncMemory.open(tmp_path / "store", embedder="none") as memory:
            pattern = await memory.add_pattern("retry with backoff")
            async with memory.track(pattern.pattern_id, context="timeouts"):
                await asyncio.sleep(0.01)
            await asyncio.gather(*(memory.record(pattern.pattern_id, outcome=0.0) for _ in range(20)))
            listed = [event.outcome async for event in memory.iter_events()]
            trend = await memory.trend(pattern.pattern_id)
        ticking.cancel()
        return ticks, sorted(listed, key=float), trend.days[0].usage_count

    ticks, outcomes, used = asyncio.run(run())
    assert ticks > 5
    assert (outcomes, used) == ([0.0] * 20 + [1.0], 21)


def test_errors_are_those_of_memory(tmp_path: Path) -> None:
    async def run() -> None:
        async with await AsyncMemory.open(tmp_path / "store", embedder="none") as memory:
            with pytest.raises(InvalidInputError, match="outcome is 2"):
                await memory.record("p", outcome=2)

    asyncio.run(run())
