"""What the commands say of patterns that are archived."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from whatworks import Memory

Run = Callable[..., Result]


def test_archive_and_unarchive_say_what_was_done_and_how_to_take_it_back(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    with Memory.open(path, embedder="none") as memory:
        memory.add_pattern("fix the imports", pattern_id="imports")
    said = run("archive", "imports", "--reason", "the tool is gone", "--store", path).stdout
    assert "pattern imports is archived; its tries stay" in said and "unarchive imports" in said
    assert "no patterns" in run("patterns", "--store", path).stdout
    listed = run("patterns", "--archived", "--store", path).stdout
    assert "archived" in listed and "the tool is gone" in listed
    (found,) = json.loads(run("patterns", "--archived", "--store", path, "--json").stdout)
    assert found["archive_reason"] == "the tool is gone" and found["archived_at"]
    assert "found and recommended again" in run("unarchive", "imports", "--store", path).stdout
    assert (
        json.loads(run("unarchive", "imports", "--store", path, "--json").stdout)["archived_at"] is None
    )


def test_a_pattern_that_is_not_there_is_an_error_of_one_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "store"
    Memory.open(path, embedder="none").close()
    said = run("archive", "nobody", "--store", path)
    assert said.exit_code != 0 and "there is no pattern 'nobody'" in said.stderr


def test_optimize_shows_what_and_why_and_archives_only_when_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Memory.open(path, embedder="none") as memory:
        memory.add_patterns(
            [
                {"description": "guess", "pattern_id": "bad"},
                {"description": "read", "pattern_id": "good"},
            ]
        )
        memory.record_many(
            {"pattern_id": name, "outcome": float(name == "good"), "context": f"{name} {n}"}
            for name in ("good", "bad")
            for n in range(30)
        )
    said = run("optimize", "--store", path).stdout
    assert "harmful" in said and "worked 0.00 in 30.0 tries" in said and "1 would be archived" in said
    assert max(map(len, said.splitlines()[:-1])) <= 80  # the last names the store
    (found,) = json.loads(run("optimize", "--store", path, "--json").stdout)
    assert (found["pattern_id"], found["kind"], found["like"]) == ("bad", "harmful", None)
    assert "1 archived; back: whatworks unarchive" in run("optimize", "--apply", "--store", path).stdout
    assert run("optimize", "--store", path).stdout.strip() == "nothing to archive"
    assert "harmful: worked 0.00" in run("patterns", "--archived", "--store", path).stdout
    kept = json.loads(run("optimize", "--keep", "1", "--store", path, "--json").stdout)
    assert kept == []


def test_a_budget_of_nothing_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "store"
    Memory.open(path, embedder="none").close()
    said = run("optimize", "--keep", "0", "--store", path)
    assert said.exit_code != 0 and "keep is 0; expected a whole number from 1" in said.stderr
