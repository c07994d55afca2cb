"""``whatworks top``: the list, the search, the details, and what it can do to a pattern."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from html import unescape
from pathlib import Path
from typing import Any

import orjson
import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable

from whatworks import Memory, NotFoundError
from whatworks.testing import HashEmbedder
from whatworks.tui.app import Top

SIZE = (110, 24)
# The width of a character in a screenshot.
CHARACTER = 12.2


def filled(store: Path, clock: Any) -> Memory:
    memory = Memory.open(store, embedder=HashEmbedder(), clock=clock)
    for name, text in (("one", "read the traceback from the bottom"), ("two", "bisect the history")):
        memory.add_pattern(text, pattern_id=name, pattern_type="debugging")
        clock.advance(minutes=1)
    for outcome in (1.0, 1.0, 0.0):
        memory.record("two", outcome=outcome, context="a test that fails [only] on one machine")
        clock.advance(days=1)
    return memory


def shown(memory: Memory, folder: Path, script: Callable[[Top, Pilot[None]], Awaitable[None]]) -> None:
    async def inside() -> None:
        app = Top(memory, folder=folder)
        async with app.run_test(size=SIZE) as pilot:
            await settled(app, pilot)
            await script(app, pilot)

    asyncio.run(inside())


async def settled(app: Top, pilot: Pilot[None]) -> None:
    """Until nothing is asked any more and the screen stays as it is."""
    before, seen = None, ""
    while before != seen:
        for _ in range(3):
            await pilot.pause(0.05)
            await app.workers.wait_for_complete()
        before, seen = seen, screen(app)


def screen(app: Top) -> str:
    """What stands on the screen, each text at its place, without colours."""
    image = app.export_screenshot(simplify=True)
    lines: dict[float, str] = {}
    for x, y, text in re.findall(
        r'<text[^>]* x="([\d.]+)" y="([\d.]+)" textLength[^>]*>(.*?)</text>', image
    ):
        place = round(float(x) / CHARACTER)
        lines[float(y)] = lines.get(float(y), "").ljust(place) + unescape(text).replace("\xa0", " ")
    return "\n".join(lines[y].rstrip() for y in sorted(lines))


def test_the_newest_stand_first_with_the_details_of_the_first(tmp_path: Path, clock: Any) -> None:
    with filled(tmp_path / "store", clock) as memory:

        async def script(app: Top, pilot: Pilot[None]) -> None:
            table = app.query_one(DataTable)
            assert [str(table.get_row_at(n)[0]) for n in range(2)] == [
                "bisect the history",
                "read the traceback from the bottom",
            ]
            assert [str(cell) for cell in table.get_row_at(0)[1:]] == ["3", "0.67", "2025-03-16"]
            seen = screen(app)
            assert "[only] on one machine" in seen
            assert "3, 3 with an outcome" in seen

        shown(memory, tmp_path, script)


def test_what_is_seen_is_what_was_looked_at(tmp_path: Path, clock: Any) -> None:
    """The whole screen as text; ``top.txt`` was looked at when it was written."""
    with filled(tmp_path / "store", clock) as memory:

        async def script(app: Top, pilot: Pilot[None]) -> None:
            expected = (Path(__file__).parent / "top.txt").read_text().rstrip("\n")
            for _ in range(100):  # a busy machine lays it out later
                if screen(app) == expected:
                    break
                await pilot.pause(0.1)
            assert screen(app) == expected

        shown(memory, tmp_path, script)


def test_another_line_shows_other_details(tmp_path: Path, clock: Any) -> None:
    with filled(tmp_path / "store", clock) as memory:

        async def script(app: Top, pilot: Pilot[None]) -> None:
            await pilot.press("down")
            await settled(app, pilot)
            assert "0, 0 with an outcome" in screen(app)

        shown(memory, tmp_path, script)


def test_in_the_search_keys_are_letters_and_enter_leads_to_the_list(tmp_path: Path, clock: Any) -> None:
    with filled(tmp_path / "store", clock) as memory:

        async def script(app: Top, pilot: Pilot[None]) -> None:
            await pilot.press("slash", *"traceback d")
            await pilot.pause(0.4)
            await settled(app, pilot)
            assert str(app.query_one(DataTable).get_row_at(0)[0]).startswith("read the traceback")
            await pilot.press("enter")
            assert app.focused is app.query_one(DataTable)

        shown(memory, tmp_path, script)
        assert memory.stats().patterns == 2


def test_forgetting_asks_first_and_only_a_yes_forgets(tmp_path: Path, clock: Any) -> None:
    with filled(tmp_path / "store", clock) as memory:

        async def refuse(app: Top, pilot: Pilot[None]) -> None:
            await pilot.press("d")
            await pilot.pause(0.3)
            assert "Forget it with its 3 tries" in screen(app)
            await pilot.press("escape")
            await settled(app, pilot)

        async def agree(app: Top, pilot: Pilot[None]) -> None:
            await pilot.press("d")
            await pilot.pause(0.3)
            await pilot.click("#yes")
            await settled(app, pilot)
            assert app.query_one(DataTable).row_count == 1

        shown(memory, tmp_path, refuse)
        assert memory.get_pattern("two").usage_count == 3
        shown(memory, tmp_path, agree)
        with pytest.raises(NotFoundError):
            memory.get_pattern("two")


def test_what_is_listed_can_be_exported(tmp_path: Path, clock: Any) -> None:
    with filled(tmp_path / "store", clock) as memory:

        async def script(app: Top, pilot: Pilot[None]) -> None:
            await pilot.press("e")
            await pilot.pause()

        shown(memory, tmp_path, script)
    lines = (tmp_path / "whatworks-patterns.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["pattern_id"] for line in lines] == ["two", "one"]


def test_in_an_empty_memory_no_key_does_anything(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "store", embedder="none") as memory:

        async def script(app: Top, pilot: Pilot[None]) -> None:
            assert "nothing was found" in screen(app)
            await pilot.press("d", "e", "slash", "x")
            await pilot.pause(0.4)
            await settled(app, pilot)
            assert "nothing was found" in screen(app)

        shown(memory, tmp_path, script)


def test_without_a_terminal_it_says_so_and_ends(tmp_path: Path, run: Callable[..., Any]) -> None:
    Memory.open(tmp_path / "store", embedder="none").close()
    done = run("top", "--store", str(tmp_path / "store"))
    assert done.exit_code == 2 and "top needs a terminal" in done.stderr
