"""The command that shares, between namespaces and stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from whatworks import Memory

Run = Callable[..., Result]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "team"
    for name in ("web", "ops"):
        Memory.open(folder / name).close()
    folder.chmod(0o700)
    with Memory.open(folder / "web", embedder="none") as memory:
        memory.add_pattern("pin the timezone in CI, and the locale with it", pattern_id="pin")
        for n in range(4):
            memory.record("pin", outcome=1.0, context=f"acme {n}")
    return folder


def events(folder: Path) -> int:
    with Memory.open(folder, embedder="none") as memory:
        return memory.stats().events


def test_a_dry_run_says_what_would_cross(run: Run, root: Path) -> None:
    words = ("share", "pin", "--to", "ops", "--root", root, "--store", root / "web")
    said = run(*words, "--dry-run")
    assert said.exit_code == 0, said.output
    assert max(map(len, said.stdout.splitlines())) <= 80
    assert "new there" in said.stdout
    assert "would cross as share:web: 1 patterns, 4 tries, 0 texts of contexts" in said.stdout
    assert events(root / "ops") == 0


def test_it_crosses_once(run: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHATWORKS_ROOT", str(root))
    words = ("share", "pin", "--to", "ops", "--store", root / "web", "--json")
    first, again = (json.loads(run(*words).stdout) for _ in range(2))
    assert [one["patterns"][0]["tries"] for one in (first, again)] == [4, 0]
    assert again["patterns"][0]["known"] == 4
    assert (first["source"], first["path"]) == ("share:web", str(root / "ops"))
    assert events(root / "ops") == 4


def test_that_nothing_of_it_counts_there_is_said(run: Run, root: Path) -> None:
    words = ("share", "pin", "--to", "ops", "--root", root, "--store", root / "web")
    assert "distrusts" not in run(*words).stdout
    run("distrust", "share:web", "--store", root / "ops")
    for more in ((), ("--dry-run",)):
        said = run(*words, *more).stdout
        assert "distrusts share:web: its tries are kept there and count for nothing" in said
        assert "whatworks unjudge share:web --store" in said


def test_to_a_store_by_its_path_under_another_name_with_contexts(
    run: Run, root: Path, tmp_path: Path
) -> None:
    Memory.open(tmp_path / "mine").close()
    words = ("share", "pin", "--to", tmp_path / "mine", "--as", "partner", "--store", root / "web")
    assert "4 texts of contexts" in run(*words, "--with-contexts").stdout
    with Memory.open(tmp_path / "mine", embedder="none") as memory:
        assert {event.source for event in memory.events()} == {"share:partner"}
        assert memory.events()[0].context is not None


def test_what_is_refused_is_said_and_ends_with_3(run: Run, root: Path) -> None:
    with Memory.open(root / "ops", embedder="none") as memory:
        memory.add_pattern("something else", pattern_id="pin")
    said = run("share", "pin", "--to", "ops", "--root", root, "--store", root / "web")
    assert said.exit_code == 3
    assert "another pattern of this id" in " ".join(said.stdout.split())
    assert events(root / "ops") == 0


def test_an_aggregate_is_shown_as_one(run: Run, root: Path) -> None:
    words = ("share", "pin", "--to", "ops", "--root", root, "--store", root / "web", "--aggregate")
    assert "1.00 in 4 tries" in run(*words).stdout
    assert events(root / "ops") == 0


@pytest.mark.parametrize("to", ["../web", "nix", "web", "Ops"])
def test_nothing_crosses_to_what_is_no_other_namespace(run: Run, root: Path, to: str) -> None:
    said = run("share", "pin", "--to", to, "--root", root, "--store", root / "web")
    assert said.exit_code in (2, 4)
    assert len(said.stderr.splitlines()) == 1
