"""Commands that need no engine do not wait for one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest

HEAVY = {"duckdb", "numpy", "lance", "pyarrow", "onnxruntime", "tokenizers"}


def modules(*words: str) -> set[str]:
    """The top-level modules that a command has loaded when it is done."""
    code = (
        "import sys, json, contextlib, io\n"
        f"sys.argv = {['whatworks', *words]!r}\n"
        "from whatworks.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main()\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "words", [["--help"], ["version"], ["import", "table", "--help"], ["nonsense"]]
)
def test_help_and_version_load_no_engine(words: list[str]) -> None:
    assert not HEAVY & modules(*words)


def test_version_loads_no_rich() -> None:
    assert "rich" not in modules("version")


def test_recording_loads_no_model(tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "s")]
    assert HEAVY & modules("add", "x", "--id", "p", *store) == {"duckdb", "numpy"}
    loaded = modules("record", "p", "--outcome", "1", "--context", "here", *store)
    assert HEAVY & loaded == {"duckdb", "numpy"}


def test_commands_leave_nothing_in_the_home_but_the_store(tmp_path: Path) -> None:
    """Libraries that tell their makers of a run put an id there, and are silent where ``CI`` is set."""
    command = str(Path(sys.executable).parent / "whatworks")
    for words in (
        ["add", "search with rg", "--id", "p"],
        ["record", "p", "--outcome", "1", "--context", "a large repository"],
        ["similar", "look for a word"],
        ["predict", "a huge repository"],
        ["sql", "SELECT count(*) FROM usage_events"],
        ["doctor"],
    ):
        subprocess.run([command, *words], env={"HOME": str(tmp_path)}, capture_output=True, check=True)
    found = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert found
    store = Path(".local", "share", "whatworks")
    assert {path for path in found if not path.is_relative_to(store)} == set()


def test_help_comes_at_once() -> None:
    command = [str(Path(sys.executable).parent / "whatworks"), "--help"]
    times = []
    for _ in range(3):
        start = perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        times.append(perf_counter() - start)
    assert min(times) < 1.5  # 0.2 s on an idle machine


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str) -> None:
    command = [str(Path(sys.executable).parent / "whatworks")]
    env = {
        "_WHATWORKS_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "whatworks pre",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "whatworks pre",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(command, env=os.environ | env, capture_output=True, check=True)
    assert b"predict" in done.stdout
    assert b"record" not in done.stdout
