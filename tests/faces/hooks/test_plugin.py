"""The plugin folder and the bundle: valid by the schemas of those who read them, and they work."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

import whatworks
from whatworks import InvalidInputError, WhatWorksError
from whatworks.hooks.plugin import bundle, bundle_files, plugin_files, write_plugin
from whatworks.mcp.server import build
from whatworks.mcp.source import Source

SCHEMAS = Path(__file__).parent / "schemas"
BIN = Path(sys.executable).parent


def wrongs(value: Any, schema: str) -> list[str]:
    held = json.loads((SCHEMAS / f"{schema}.json").read_text())
    return [error.message[:300] for error in Draft7Validator(held).iter_errors(value)]


def test_the_manifest_of_the_plugin_is_valid() -> None:
    made = json.loads(plugin_files()[".claude-plugin/plugin.json"])
    assert wrongs(made, "claude-code-plugin-manifest") == []
    assert made["version"] == whatworks.__version__
    assert wrongs({**made, "name": ""}, "claude-code-plugin-manifest")  # the schema does refuse


def test_its_hooks_are_valid_where_the_manifest_would_hold_them() -> None:
    hooks = json.loads(plugin_files()["hooks/hooks.json"])["hooks"]
    held = {"name": "whatworks", "hooks": hooks}
    assert wrongs(held, "claude-code-plugin-manifest") == []
    assert wrongs({**held, "hooks": {"AfterLunch": []}}, "claude-code-plugin-manifest")


def test_a_folder_of_the_plugin_is_a_marketplace_with_one_plugin() -> None:
    market = json.loads(plugin_files()[".claude-plugin/marketplace.json"])
    assert wrongs(market, "claude-code-marketplace") == []
    assert [entry["source"] for entry in market["plugins"]] == ["./"]


def test_the_manifest_of_the_bundle_is_valid() -> None:
    made = json.loads(bundle_files()["manifest.json"])
    assert wrongs(made, "mcpb-manifest-v0.4") == []
    assert made["server"]["entry_point"] in bundle_files()
    assert wrongs({**made, "server": {"type": "wasm"}}, "mcpb-manifest-v0.4")


def test_the_hook_that_suggests_names_the_server_of_the_plugin() -> None:
    files = plugin_files()
    hooks = json.loads(files["hooks/hooks.json"])["hooks"]
    asked = [
        handler
        for entry in hooks["UserPromptSubmit"]
        for handler in entry["hooks"]
        if handler["type"] == "mcp_tool"
    ]
    name = json.loads(files[".claude-plugin/plugin.json"])["name"]
    servers = json.loads(files[".mcp.json"])["mcpServers"]
    assert [handler["server"] for handler in asked] == [f"plugin:{name}:{one}" for one in servers]


@pytest.mark.parametrize("skill", ["whatworks", "retrospective"])
def test_a_skill_keeps_the_limits_of_the_format_and_names_tools_that_the_server_has(
    skill: str, tmp_path: Path
) -> None:
    server = build(Source(lambda: pytest.fail("opened"), tmp_path))
    tools = {tool.name for tool in asyncio.run(server.list_tools())}
    text = plugin_files()[f"skills/{skill}/SKILL.md"]
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["name"] == skill and 0 < len(head["description"]) <= 1_024
    for tool in head["allowed-tools"].split():
        prefix, _, name = tool.rpartition("__")
        assert prefix == "mcp__plugin_whatworks_whatworks" and name in tools
    assert "\u2028" not in text and len(text.splitlines()) < 500


def test_each_command_of_the_hooks_runs_and_ends_well(tmp_path: Path) -> None:
    hooks = json.loads(plugin_files()["hooks/hooks.json"])["hooks"]
    commands = {
        handler["command"]
        for entries in hooks.values()
        for entry in entries
        for handler in entry["hooks"]
        if handler["type"] == "command"
    }
    assert commands
    payload = {"session_id": "s", "cwd": str(tmp_path), "hook_event_name": "Stop"}
    for command in commands:
        name, *words = shlex.split(command)
        done = subprocess.run(
            [BIN / name, *words, "--store", tmp_path / "store"],
            input=json.dumps(payload), text=True, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


def test_the_same_version_makes_the_same_bundle_and_it_holds_what_it_says(tmp_path: Path) -> None:
    first, second = tmp_path / "a.mcpb", tmp_path / "b.mcpb"
    bundle(first), bundle(second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as file:
        assert file.testzip() is None
        assert {name: file.read(name).decode() for name in file.namelist()} == bundle_files()
    project = tomllib.loads(bundle_files()["pyproject.toml"])
    assert project["project"]["dependencies"] == [f"whatworks[mcp]=={whatworks.__version__}"]


def test_the_server_of_the_bundle_answers_a_client(tmp_path: Path) -> None:
    source = tmp_path / "server.py"
    source.write_text(bundle_files()["src/server.py"])
    asked = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, source],
        input=json.dumps(asked) + "\n", text=True, capture_output=True, timeout=60, check=False,
        env={"WHATWORKS_STORE": str(tmp_path / "store"), "PATH": str(BIN), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "whatworks", (
        done.stderr
    )


def test_a_store_that_was_named_is_named_to_hooks_and_servers(tmp_path: Path) -> None:
    store = tmp_path / "a store"
    files = plugin_files(store)
    assert json.loads(files[".mcp.json"])["mcpServers"]["whatworks"]["args"][1:] == [
        "--store",
        str(store),
    ]
    told = json.loads(files["hooks/hooks.json"])["hooks"]["Stop"][0]["hooks"][0]["command"]
    assert shlex.split(told)[1:] == ["--store", str(store), "claude"]
    assert repr(["--store", str(store)]) in bundle_files(store)["src/server.py"]


def test_writing_the_plugin_again_leaves_what_else_lies_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("theirs")
    for _ in range(2):
        assert sorted(
            path.relative_to(tmp_path).as_posix() for path in write_plugin(tmp_path)
        ) == sorted(plugin_files())
    assert (tmp_path / "LICENSE").read_text() == "theirs"


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WhatWorksError, match="file"):
        write_plugin(tmp_path / "file")
    with pytest.raises(InvalidInputError, match="no folder"):
        bundle(tmp_path / "missing" / "whatworks.mcpb")
