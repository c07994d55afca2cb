"""What the commands of teams print, without a database: the rest is in tests/team."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from whatworks.team import syncing
from whatworks.team.records import TeamSync

Run = Callable[..., Result]


def test_following_says_once_what_keeps_vectors_from_being_shared(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, full = "the storage does not answer", "the storage is full"

    def follow(*_: Any, done: Callable[[TeamSync], object], **__: Any) -> None:
        for problem in (away, away, None, full, None, None, full):
            done(TeamSync(0, 0, 0, 0.1, problem))

    monkeypatch.setattr(syncing, "follow", follow)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    run("init", store)
    said = run("team", "sync", "--follow", "--store", store)
    assert said.exit_code == 0, said.output
    lines = [line for line in said.stdout.splitlines() if line.startswith("the storage")]
    assert lines == [away, full, full]
