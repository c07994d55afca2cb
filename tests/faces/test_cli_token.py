"""The commands of tokens, and the server that they are for."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from typer.testing import Result

from whatworks import Memory
from whatworks.mcp import serving
from whatworks.mcp.address import Address
from whatworks.mcp.pool import Pool
from whatworks.spaces.tokens import Keys

Run = Callable[..., Result]


def test_add_prints_the_token_once_and_makes_what_is_missing(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "team"
    said = run("token", "add", "ada", "--namespace", "web", "--namespace", "ops", "--root", root)
    assert said.exit_code == 0, said.output
    made, secret = said.stdout.splitlines()[:-1], said.stdout.splitlines()[-1]
    assert made[:2] == ["made the namespace web", "made the namespace ops"]
    found = Keys(root).find(secret)
    assert found is not None
    assert (found.name, found.namespaces, found.writes) == ("ada", ("web", "ops"), True)
    assert secret not in run("token", "list", "--root", root).stdout
    with Memory.open(root / "web", create=False) as memory:
        assert memory.stats().patterns == 0


def test_list_says_what_each_opens_and_until_when(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "team"
    run("token", "add", "ada", "--namespace", "web", "--root", root)
    run(
        "token",
        "add",
        "bob",
        "--namespace",
        "web",
        "--read-only",
        "--days",
        "0.0000001",
        "--root",
        root,
    )
    run("token", "add", "ci-1", "--namespace", "web", "--source", "ci", "--root", root)
    said = run("token", "list", "--root", root).stdout
    assert max(map(len, said.splitlines())) <= 80
    assert "expired" in said
    found = json.loads(run("token", "list", "--root", root, "--json").stdout)
    assert [(one["name"], one["writes"], one["source"]) for one in found] == [
        ("ada", True, "ada"),
        ("bob", False, "bob"),
        ("ci-1", True, "ci"),
    ]


def test_remove_takes_it_away(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHATWORKS_ROOT", str(tmp_path / "team"))
    secret = json.loads(run("token", "add", "ada", "--namespace", "web", "--json").stdout)["token"]
    keys = Keys(tmp_path / "team")
    assert keys.find(secret)
    assert run("token", "remove", "ada").stdout == "the token ada opens nothing any more\n"
    assert keys.find(secret) is None
    assert run("token", "list").stdout.startswith("there is no token")
    assert run("token", "remove", "ada").exit_code == 4


def test_what_cannot_be_is_said_in_one_line(run: Run, tmp_path: Path) -> None:
    for words in (
        ["token", "add", "ada", "--namespace", "../web", "--root", tmp_path / "r"],
        ["token", "add", "ada", "--namespace", "web"],
        ["mcp", "--root", tmp_path / "r"],
        ["mcp", "--http", "--root", tmp_path / "r", "--store", tmp_path / "s"],
        ["mcp", "--http", "--root", tmp_path / "r", "--source", "x"],
        ["mcp", "--http", "--host", "0.0.0.0"],
    ):
        said = run(*words)
        assert said.exit_code == 2, said.output
        assert len(said.stderr.splitlines()) == 1
    assert run("mcp", "--http", "--root", tmp_path / "r").exit_code == 6
    assert not (tmp_path / "r").exists()


def test_a_root_is_served_by_its_tokens(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, seen = tmp_path / "team", []

    def served(pool: Pool, keys: Keys, *, address: Address) -> None:
        memory = pool.take("web", "ada").memory()
        memory.add_pattern("edit at once", pattern_id="edit")
        event = memory.record("edit", outcome=1.0)
        seen.append((event.source, event.channel, keys.find(secret) is not None, address.url))
        pool.close()

    monkeypatch.setattr(serving, "run_spaces", served)
    words = ("token", "add", "ada", "--namespace", "web", "--root", root, "--json")
    secret = json.loads(run(*words).stdout)["token"]
    assert run("mcp", "--http", "--root", root, "--port", "9").exit_code == 0
    assert seen == [("ada", "mcp-http", True, "http://127.0.0.1:9/mcp")]


def test_the_root_of_the_environment_is_served_unless_a_store_or_a_source_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, seen = tmp_path / "team", list[str]()
    run("token", "add", "ada", "--namespace", "web", "--root", root)
    monkeypatch.setattr(serving, "run_spaces", lambda *_, **__: seen.append("many"))
    monkeypatch.setattr(serving, "run_http", lambda *_, **__: seen.append("one"))
    monkeypatch.setattr(serving, "run_stdio", lambda *_: seen.append("pipes"))
    monkeypatch.setenv("WHATWORKS_ROOT", str(root))
    for words in (("--http",), ("--http", "--store", root / "web"), ("--http", "--source", "x"), ()):
        assert run("mcp", *words).exit_code == 0
    assert seen == ["many", "one", "one", "pipes"]


def test_a_port_that_is_taken_is_told_in_one_line_and_no_address_is(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "team"
    run("token", "add", "ada", "--namespace", "web", "--root", root)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for where in (("--root", root), ("--store", tmp_path / "store")):
            said = run("mcp", "--http", *where, "--port", port)
            assert said.exit_code == 6, said.output
            [line] = said.stderr.splitlines()
            assert f"port {port} cannot be used" in line and "--port" in line and "mcp" not in line


def test_the_process_answers_with_its_token_and_ends_when_told(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "team"
    words = ("token", "add", "ada", "--namespace", "web", "--root", root, "--json")
    secret = json.loads(run(*words).stdout)["token"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "whatworks", "mcp", "--http", "--root", str(root), "--port", port]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as server:
        assert server.stderr is not None
        url = server.stderr.readline().strip()
        body = {
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "record_outcome", "arguments": {"pattern": "edit", "outcome": "ok"}},
        }  # fmt: skip
        headers = {
            "accept": "application/json, text/event-stream", "authorization": f"Bearer {secret}",
        }  # fmt: skip
        found = httpx2.post(url, json=body, headers=headers, timeout=30)
        assert "Recorded" in found.text, found.text
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    with Memory.open(root / "web", embedder="none") as memory:
        (event,) = memory.events()
        assert (event.source, event.channel) == ("ada", "mcp-http")
