"""A runner of commands, and stores to run them on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from whatworks import Memory, NewEvent
from whatworks.cli import app
from whatworks.testing import HashEmbedder

Run = Callable[..., Result]

IMPORTS = "Run cargo check, fix the imports it names, run it again"
SEARCH = (
    "Search for the symbol with rg and read its module before editing anything, then add the use line"
)
START = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs ``whatworks`` with the arguments given, away from every store of this machine."""
    monkeypatch.delenv("WHATWORKS_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def run_(*arguments: object, input: str | bytes | None = None, columns: int = 80) -> Result:  # noqa: A002
        words: Sequence[str] = [str(argument) for argument in arguments]
        return CliRunner().invoke(app, words, input=input, env={"COLUMNS": str(columns)})

    return run_


@dataclass(frozen=True)
class Filled:
    """A store of two patterns: 40 days of tries of the first, two tries of the second."""

    path: Path
    imports: str
    search: str
    prediction: str


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    path = tmp_path_factory.mktemp("filled") / "store"
    with Memory.open(path, embedder=HashEmbedder(), vectors="exact") as memory:
        imports = memory.add_pattern(IMPORTS, pattern_type="debugging", metadata={"language": "rust"})
        search = memory.add_pattern(SEARCH, pattern_type="searching")
        memory.record_many(
            NewEvent(
                imports.pattern_id,
                outcome=float(n % 5 > 0),
                context=f"error[E0432]: unresolved import in module {n % 4}",
                timestamp=START + timedelta(days=n),
                event_id=f"try-{n}",
            )
            for n in range(40)
            if n % 7 < 5
        )
        memory.record(search.pattern_id, outcome=0.5, context="where is it defined", timestamp=START)
        memory.record(search.pattern_id, outcome=None, event_id="open", timestamp=START)
        prediction = memory.predict("unresolved import in module 2")
        memory.flush()
    return Filled(path, imports.pattern_id, search.pattern_id, prediction.prediction_id)


@pytest.fixture
def filled(original: Filled, tmp_path: Path) -> Filled:
    """A copy of the filled store, to do with as the test likes."""
    shutil.copytree(original.path, tmp_path / "filled")
    return replace(original, path=tmp_path / "filled")
