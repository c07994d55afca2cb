"""The MCP server, asked by the client of its SDK."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from whatworks import Memory
from whatworks.mcp.server import INSTRUCTIONS, build
from whatworks.mcp.source import Source

TOOLS = {
    "suggest_pattern",
    "record_outcome",
    "search_patterns",
    "explain_pattern",
    "compare_patterns",
    "forget_pattern",
}


def filled(folder: Path) -> Path:
    with Memory.open(folder) as memory:
        memory.add_pattern("pin the timezone in CI", pattern_id="pin")
        memory.add_pattern("retry the test until it passes", pattern_id="retry")
        for n in range(12):
            memory.record("pin", outcome=1.0, context=f"flaky date test {n}")
            memory.record("retry", outcome=float(n % 4 == 0), context=f"flaky date test {n}")
    return folder


@asynccontextmanager
async def connected(folder: Path, channel: str = "mcp") -> AsyncIterator[Client]:
    source = Source(lambda: Memory.open(folder, source="agent", channel=channel))
    async with Client(build(source)) as client:
        yield client


def run(folder: Path, work: Callable[[Client], Awaitable[None]], channel: str = "mcp") -> None:
    async def main() -> None:
        async with connected(folder, channel) as client:
            await work(client)

    asyncio.run(main())


def text(result: Any) -> str:
    (content,) = result.content
    return str(content.text)


def test_the_tools_say_what_they_do_in_few_words(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} >= TOOLS
        for tool in tools:
            hints = tool.annotations
            assert hints is not None
            given = (
                hints.read_only_hint,
                hints.destructive_hint,
                hints.idempotent_hint,
                hints.open_world_hint,
            )
            assert None not in given
            assert len(tool.description or "") <= 400
            assert tool.output_schema is not None
        assert len(INSTRUCTIONS) <= 700

    run(tmp_path / "store", work)


def test_a_suggestion_that_is_followed_closes_the_loop(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        made = await client.call_tool("suggest_pattern", {"situation": "a date test is flaky"})
        best = made.structured_content["suggestions"][0]
        assert (best["pattern_id"], best["verdict"], best["tries"]) == ("pin", "worth trying", 12)
        assert text(made).startswith("- pin the timezone in CI [pin]: worth trying; worked 100% of 12")
        assert all(len(row) < 240 for row in text(made).splitlines())
        prediction_id = made.structured_content["prediction_id"]
        given = {
            "pattern": "pin",
            "outcome": "Passed!",
            "prediction_id": prediction_id,
            "outcome_id": "o1",
        }
        told = [await client.call_tool("record_outcome", given) for _ in range(2)]
        assert {result.structured_content["event_id"] for result in told} == {"o1"}

    folder = filled(tmp_path / "store")
    run(folder, work)
    with Memory.open(folder) as memory:
        event = memory.get_event("o1")
        assert (event.outcome, event.source, event.channel) == (1.0, "agent", "mcp")
        assert memory.get_pattern("pin").usage_count == 13
        assert memory.calibration().resolved == 1


def test_what_is_kept_and_not_counted_is_told_without_saying_which_limit_it_is(tmp_path: Path) -> None:
    told: list[tuple[bool, str]] = []

    async def work(client: Client) -> None:
        for _ in range(5):
            made = await client.call_tool("record_outcome", {"pattern": "pin", "outcome": "failed"})
            told.append((made.structured_content["counts"], text(made)))

    folder = filled(tmp_path / "store")
    run(folder, work, channel="mcp-http")
    assert [counts for counts, _ in told] == [True, True, True, False, False]
    assert all(said.startswith("Recorded: [pin]") for counts, said in told if counts)
    with Memory.open(folder, embedder="none") as memory:
        assert {held.reason for held in memory.quarantine()} == {"hour"}
        memory.distrust("agent")
    run(folder, work, channel="mcp-http")
    limited, distrusted = told[4][1], told[5][1]
    assert limited.startswith("Kept, but not counted: [pin]") and "hour" not in limited
    assert re.sub("event .*", "", distrusted) == re.sub("event .*", "", limited)
    run(folder, work)
    assert not told[10][0] and "its source is distrusted" in told[10][1]


def test_an_outcome_of_something_new_adds_it(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        told = await client.call_tool(
            "record_outcome",
            {
                "pattern": "clear the build cache",
                "outcome": "4/5",
                "situation": "linker error",
                "files": ["a.rs"],
            },
        )
        assert told.structured_content["outcome"] == 0.8
        found = await client.call_tool("search_patterns", {"query": "stale build cache"})
        (pattern,) = found.structured_content["patterns"]
        assert (pattern["description"], pattern["tries"]) == ("clear the build cache", 1)
        told = await client.call_tool("explain_pattern", {"pattern_id": pattern["pattern_id"]})
        assert "linker error" in text(told)

    run(tmp_path / "store", work)


def test_what_cannot_be_is_told_in_one_line(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        for name, given, said in (
            ("record_outcome", {"pattern": "p", "outcome": "meh"}, "expected a number from 0 to 1"),
            ("record_outcome", {"pattern": "p", "outcome": 7}, "outcome is"),
            ("explain_pattern", {"pattern_id": "nobody"}, "there is no pattern 'nobody'"),
            ("compare_patterns", {"pattern_ids": ["a", "b"], "situation": "x"}, "there is no pattern"),
            ("suggest_pattern", {"situation": "   "}, "empty"),
        ):
            result = await client.call_tool(name, given)
            assert result.is_error, name
            assert said in text(result)
            assert "\n" not in text(result)

    run(tmp_path / "store", work)


def test_two_patterns_are_compared_in_a_situation(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        given = {"pattern_ids": ["retry", "pin"], "situation": "flaky date test"}
        made = await client.call_tool("compare_patterns", given)
        assert [one["pattern_id"] for one in made.structured_content["suggestions"]] == ["pin", "retry"]
        assert made.structured_content["clear"] is True
        assert "clearly better" in text(made)

    run(filled(tmp_path / "store"), work)


def test_a_pattern_is_forgotten_once_that_is_confirmed(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        asked = await client.call_tool("forget_pattern", {"pattern_id": "retry"})
        assert text(asked) == "Would forget [retry] with 12 tries; call it again with confirm=true"
        found = await client.call_tool("explain_pattern", {"pattern_id": "retry"})
        assert not found.is_error
        done = await client.call_tool("forget_pattern", {"pattern_id": "retry", "confirm": True})
        assert text(done) == "Forgotten: [retry] with 12 tries"
        assert done.structured_content == {"pattern_id": "retry", "tries": 12, "forgotten": True}
        found = await client.call_tool("search_patterns", {"query": "retry the test"})
        assert "[retry]" not in text(found)
        again = await client.call_tool("forget_pattern", {"pattern_id": "retry"})
        assert again.is_error
        assert "there is no pattern 'retry'" in text(again)

    run(filled(tmp_path), work)


def test_resources_and_the_prompt_can_be_read(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        (summary,) = (await client.read_resource("whatworks://summary")).contents
        assert summary.text.startswith("2 patterns, 24 tries, of which 100% have an outcome")
        (pattern,) = (await client.read_resource("whatworks://pattern/pin")).contents
        assert pattern.text.startswith("pin the timezone in CI [pin]: worked 100% of 12 tries")
        prompt = await client.get_prompt("retrospective", {"task": "the release"})
        assert "Look back at the release" in prompt.messages[0].content.text

    run(filled(tmp_path / "store"), work)


@pytest.mark.parametrize("store", ["there", "new"])
def test_as_a_process_it_lists_its_tools_before_anything_heavy_is_loaded(
    tmp_path: Path, store: str
) -> None:
    folder = filled(tmp_path / "store") if store == "there" else tmp_path / "store"
    command = StdioServerParameters(
        command=str(Path(sys.executable).with_name("whatworks")),
        args=["mcp", "--store", str(folder)],
        env=dict(os.environ),
    )

    async def main() -> None:
        async with Client(command) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} >= TOOLS
            made = await client.call_tool("suggest_pattern", {"situation": "a date test is flaky"})
            assert len(made.structured_content["suggestions"]) == (2 if store == "there" else 0)

    asyncio.run(main())
