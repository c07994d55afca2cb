"""Who writes by which way: the face says so, and no client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from whatworks import Memory
from whatworks.mcp import server, serving
from whatworks.mcp.source import Source


def test_what_comes_over_http_comes_by_its_own_channel(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    with Memory.open(store, embedder="none") as memory:
        memory.add_pattern("edit at once", pattern_id="edit")

    def built(source: Source, *, forgets: bool) -> Source:
        may_forget.append(forgets)
        return source

    def served(source: Source, **_: object) -> None:
        event = source.memory().record("edit", outcome=1.0)
        seen.append((event.source, event.channel))
        source.close()

    seen: list[tuple[str, str]] = []
    may_forget: list[bool] = []
    monkeypatch.setattr(server, "build", built)
    monkeypatch.setattr(serving, "run_http", served)
    monkeypatch.setattr(serving, "run_stdio", served)
    for options in (["--http"], [], ["--http", "--source", "ci"]):
        assert run("mcp", *options, "--store", store).exit_code == 0
    assert seen == [("mcp-http", "mcp-http"), ("mcp", "mcp"), ("ci", "mcp-http")]
    assert may_forget == [False, True, False]


def test_who_comes_over_http_cannot_forget_what_others_told(tmp_path: Path) -> None:
    async def names(*, forgets: bool) -> set[str]:
        source = Source(lambda: Memory.open(tmp_path / "store", embedder="none"))
        return {tool.name for tool in await server.build(source, forgets=forgets).list_tools()}

    mine, theirs = (asyncio.run(names(forgets=forgets)) for forgets in (True, False))
    assert mine - theirs == {"forget_pattern"}
    assert "record_outcome" in theirs
