"""docs/stores.md says what the stores can do, and docs/add-a-store.md what its example does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from benchmarks import store_table

from whatworks import Memory, vectors
from whatworks.testing import HashEmbedder

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "add-a-store.md").read_text()
EXAMPLE = ROOT / "examples" / "sqlite_store"


def test_the_table_of_stores_is_up_to_date() -> None:
    assert store_table.part() == store_table.table(), "run make store-table"


def test_the_table_has_a_row_for_every_file_of_tests() -> None:
    rows = re.findall(r"^\| `(\w+)`(?: \((\w+)\))? ", store_table.table(), re.MULTILINE)
    files = [file.stem.removeprefix("test_") for file in store_table.TESTS.glob("test_*.py")]
    assert {"_".join(filter(None, row)) for row in rows} == set(files) >= {"exact", "lance", "omendb"}


def test_every_gap_stands_below_the_table_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_table, "gaps", lambda _: [("S01", "it cannot"), ("S02", "nor that")])
    made = store_table.table()
    assert f"{len(store_table.CHECKS) - 2} of {len(store_table.CHECKS)}" in made
    assert "- `exact`, S02: nor that.\n" in made


def test_adding_a_store_takes_a_page_of_sixty_lines() -> None:
    assert len(PAGE.splitlines()) <= 60


def test_the_code_of_the_page_is_that_of_the_example() -> None:
    code = "".join(
        file.read_text()
        for pattern in ("*.py", "tests/*.py", "*.toml")
        for file in EXAMPLE.glob(pattern)
    )
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        assert block in code


def test_the_example_passes_its_own_tests() -> None:
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-c", "pyproject.toml", "tests"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=EXAMPLE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(EXAMPLE), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(rf"{len(store_table.CHECKS)} passed", done.stdout)


def test_the_example_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    installed = tmp_path / "whatworks_sqlite-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n"
    )
    points = project["entry-points"]["whatworks.stores"].items()
    lines = [f"{name} = {target}\n" for name, target in points]
    (installed / "entry_points.txt").write_text("[whatworks.stores]\n" + "".join(lines))
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(EXAMPLE), *sys.path])
    monkeypatch.setattr(vectors, "IN_MEMORY", 5)
    for _ in range(2):
        with Memory.open(tmp_path / "memory", embedder=HashEmbedder(), vectors="sqlite") as memory:
            words = ["run", "read", "ask", "look", "wait", "fix", "try"]
            memory.add_patterns(f"{word} first" for word in words)
            memory.flush()
            assert memory.find_similar("ask")[0].pattern.description == "ask first"
    assert list((tmp_path / "memory").rglob("vectors.db"))
