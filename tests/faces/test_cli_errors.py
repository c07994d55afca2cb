"""Every kind of error: its exit code, and one line on stderr that says what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from whatworks import Memory, StoreFullError, link
from whatworks.cli.exits import CODES

Run = Callable[..., Result]


def failed(result: Result, code: int) -> str:
    """The single line that a failed command left on stderr."""
    assert result.exit_code == code
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def timeless(message: str) -> str:
    return re.sub(r"\d\d:\d\d:\d\d", "", message)


def both(run: Run, code: int, *words: object) -> str:
    """The message of an error, which is the same for people and for programs."""
    line = failed(run(*words), code)
    error = json.loads(failed(run(*words, "--json"), code))["error"]
    # A message may name the present time, and the second run is a little later.
    assert timeless(line) == timeless(f"whatworks: {error['message']}")
    return str(error["type"])


def test_what_is_not_expected_is_1(run: Run, filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Memory) -> None:
        raise ZeroDivisionError("by accident")

    monkeypatch.setattr(Memory, "stats", broken)
    assert both(run, 1, "stats", "--store", filled.path) == "ZeroDivisionError"
    monkeypatch.setenv("WHATWORKS_TRACEBACK", "1")
    result = run("stats", "--store", filled.path)
    assert isinstance(result.exception, ZeroDivisionError)


def test_what_the_system_refuses_is_1(run: Run, filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Memory) -> None:
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(Memory, "stats", broken)
    assert both(run, 1, "stats", "--store", filled.path) == "PermissionError"


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["record"],
        ["record", "p", "--nonsense"],
        ["similar", "a", "b"],
        ["patterns", "--limit", "many"],
        ["export", "--format", "xml"],
        ["why", "p", "--limit", "0"],
        ["import", "nonsense"],
    ],
)
def test_wrong_usage_is_2(run: Run, words: list[str]) -> None:
    assert both(run, 2, *words) == "UsageError"
    assert "--help" in run(*words).stderr


def test_bad_input_is_2(run: Run, filled: Any) -> None:
    store = ["--store", filled.path]
    assert both(run, 2, "patterns", "--limit", "0", *store) == "InvalidInputError"
    assert both(run, 2, "patterns", "--meta", "language", *store) == "InvalidInputError"
    assert both(run, 2, "add", " \x1b[0m ", *store) == "InvalidInputError"
    assert both(run, 2, "record", "a\x00b", *store) == "InvalidInputError"
    assert both(run, 2, "events", "a\nb", *store) == "InvalidInputError"
    assert both(run, 2, "stats", "--store", "") == "InvalidInputError"
    for day in ("yesterday", "2026-01-01T00:00:00", "2026-13-01", "1969-01-01"):
        assert both(run, 2, "trend", filled.imports, "--as-of", day, *store) == "InvalidInputError"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["record", "nope"], "there is no pattern 'nope' in this store; whatworks add adds one"),
        (["record", "P", "--time", "2199-01-01"], "--time is 2199-01-01T00:00:00+00:00; expected"),
        (["record", "P", "--session", ""], "--session is empty"),
        (["record", "P", "--file", ""], "an item of --file is empty"),
        (["record", "P", "--duration-ms", "-1"], "--duration-ms is -1.0"),
        (["record", "P", "--event-id", "try-0", "--outcome", "1"], "give another --event-id"),
        (["add", "x y", "--type", ""], "--type is empty"),
        (["trend", "P", "--as-of", "2199-01-01"], "--as-of is 2199-01-01T00:00:00+00:00"),
        (["patterns", "--limit", "0"], "--limit is 0"),
        (["distrust", "nobody"], "whatworks sources lists those that have"),
    ],
)
def test_errors_speak_of_options_and_commands(
    run: Run, filled: Any, words: list[str], said: str
) -> None:
    given = [filled.imports if word == "P" else word for word in words]
    assert said in run(*given, "--store", filled.path).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "a", "--candidate", "nope"], "whatworks add adds one"),
        (["diff", "x", "--from", "2026-01-02", "--to", "2026-01-01"], "--from is 2026-01-02"),
    ],
)
def test_errors_of_questions_speak_of_options_and_commands(
    run: Run, tmp_path: Path, words: list[str], said: str
) -> None:
    store = ["--store", tmp_path / "store"]
    assert run("init", *store).exit_code == 0
    assert said in run(*words, *store).stderr


def test_what_is_not_found_is_4(run: Run, filled: Any, tmp_path: Path) -> None:
    assert both(run, 4, "stats", "--store", tmp_path / "none") == "NotFoundError"
    assert both(run, 4, "trend", "nobody", "--store", filled.path) == "NotFoundError"
    assert both(run, 4, "why", "nothing", "--store", filled.path) == "NotFoundError"
    assert both(run, 4, "events", "nobody", "--store", filled.path) == "NotFoundError"


def test_a_store_in_use_is_answered_by_its_keeper(run: Run, filled: Any) -> None:
    code = (
        "import sys\nfrom whatworks import Memory\n"
        "with Memory.open(sys.argv[1], embedder='none') as memory:\n"
        "    memory.stats()\n    print('open', flush=True)\n    sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(filled.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout and keeper.stdout.readline() == b"open\n"
        said = json.loads(run("stats", "--json", "--store", filled.path).stdout)
        assert said["keeper"] == keeper.pid
        keeper.communicate()


def test_a_keeper_that_does_not_answer_is_5_and_is_named(
    run: Run, filled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "PATIENCE_SECONDS", 0.3)
    code = (
        "import sys\nfrom pathlib import Path\nfrom whatworks.lock import KeeperLock\n"
        "lock = KeeperLock(Path(sys.argv[1]))\nprint('open', flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(filled.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"open\n"
        assert both(run, 5, "stats", "--store", filled.path) == "StoreBusyError"
        assert f"process {holder.pid}" in run("stats", "--store", filled.path).stderr
        holder.communicate()
    assert run("stats", "--store", filled.path).exit_code == 0


def test_a_store_that_is_none_is_6(run: Run, filled: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no store")
    assert both(run, 6, "stats", "--store", tmp_path / "file") == "StoreError"
    assert both(run, 6, "add", "x", "--store", tmp_path / "file") == "StoreError"
    (filled.path / "store.json").write_text("{")
    assert both(run, 6, "stats", "--store", filled.path) == "StoreError"


def test_a_full_disk_is_6(run: Run, filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreFullError("no room left")

    monkeypatch.setattr(Memory, "add_pattern", full)
    assert both(run, 6, "add", "x", "--store", filled.path) == "StoreFullError"


def test_another_embedding_model_is_7(run: Run, filled: Any) -> None:
    assert both(run, 7, "predict", "x", "--store", filled.path) == "ModelMismatchError"


def test_a_newer_store_is_8(run: Run, filled: Any) -> None:
    config = json.loads((filled.path / "store.json").read_text())
    (filled.path / "store.json").write_text(json.dumps(config | {"format": 99}))
    assert both(run, 8, "stats", "--store", filled.path) == "SchemaVersionError"


def test_a_message_is_one_line_whatever_is_in_it(run: Run, tmp_path: Path) -> None:
    hostile = "a\nb\x1b[2J\x1b]0;title\x07\u202ec"
    for words in (["stats", "--store", tmp_path / hostile], ["export", hostile + "/x/y"], [hostile]):
        result = run(*words)
        assert result.exit_code > 0
        (line,) = result.stderr.splitlines()
        assert line.isprintable()


def test_an_interrupted_command_is_130(run: Run, filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Memory) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Memory, "stats", interrupted)
    assert run("stats", "--store", filled.path).exit_code == 130


def test_all_codes_are_in_the_help(run: Run) -> None:
    printed = run("--help").stdout
    for code, meaning in CODES.items():
        assert f"{code}  {meaning}" in printed


@pytest.mark.parametrize("as_json", [False, True])
def test_errors_of_the_installed_command_are_one_line(tmp_path: Path, as_json: bool) -> None:
    command = [str(Path(sys.executable).parent / "whatworks"), "stats", "--store", str(tmp_path / "x")]
    done = subprocess.run([*command, *["--json"] * as_json], capture_output=True, check=False)
    assert done.returncode == 4
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


def test_a_reader_that_goes_away_leaves_no_trace(filled: Any) -> None:
    command = [str(Path(sys.executable).parent / "whatworks"), "export", "--store", str(filled.path)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b""
