"""A plugin folder for Claude Code, and a bundle for desktop clients, of hooks, server and skills.

Both are made of what this version installs elsewhere, so that they cannot fall
behind. Neither holds the package itself: the plugin calls the commands of an
installed one, the bundle names it as a dependency that the host installs.
"""

from __future__ import annotations

import json
import shlex
import zipfile
from pathlib import Path
from typing import Any

from whatworks import __version__
from whatworks.errors import disk_error
from whatworks.exporters.files import replacing, write_text
from whatworks.hooks import settings

__all__ = ["bundle", "bundle_files", "plugin_files", "write_plugin"]

ABOUT = "Remembers which approaches worked, how often and since when, and suggests them next time."
AUTHOR = {"name": "whatworks"}
LICENSE = "Apache-2.0"
# How Claude Code names the server of a plugin: plugin, its name, the server's.
SERVER = f"plugin:{settings.SERVER}:{settings.SERVER}"
# One moment for all files of a bundle: the same version makes the same bytes.
MOMENT = (2026, 1, 1, 0, 0, 0)

_SKILL = """\
---
name: whatworks
description: >-
  Ask what worked before in a situation like this one, before trying an approach that may fail, and
  tell how it ended. Use it when a test, build or command fails, when there are several ways to do
  something, or when something was tried before.
allowed-tools: {tools}
---

# What works here

1. Before an approach: `suggest_pattern` with the situation in one sentence, such as the complaint of
   the check that fails. Each answer has an id, a rate with its interval, and how many tries it rests
   on. A wide interval says that little is known.
2. Do what fits. Suggestions are reports of what happened, not orders.
3. After it: `record_outcome` with the id or a short text of what was tried, `success`, `partial`,
   `failed` or a number from 0 to 1, and the situation. Checks that fail and pass again are noticed
   by the hooks; tell what they cannot see.
4. `compare_patterns` says whether a difference is more than chance, `explain_pattern` whether one
   gets better or worse.
"""
_RETROSPECTIVE = """\
---
name: retrospective
description: >-
  Go through what was tried in this session and record how each try ended. Use it at the end of a
  longer task, or when asked for a retrospective.
allowed-tools: {tools}
---

# Retrospective

1. List what was tried to reach the goal: one approach a line, in the words in which somebody would
   look for it again, without names of this session.
2. Leave out what the checks have already judged, and what nobody can judge yet.
3. `search_patterns` for each: use the id of a pattern that means the same rather than a new text.
4. `record_outcome` for each, with the situation it was tried in. Do not round up: what half worked
   is `partial`, what was never checked is left out.
"""
_SERVER = """\
import sys

from whatworks.cli import main

sys.argv = ["whatworks", "mcp", *%r]
main()
"""


def plugin_files(store: Path | None = None) -> dict[str, str]:
    """The files of the plugin folder by their paths in it; ``store`` as for ``settings.change``."""
    about = {
        "name": settings.SERVER,
        "version": __version__,
        "description": ABOUT,
        "author": AUTHOR,
        "license": LICENSE,
        "keywords": ["memory", "outcomes", "mcp"],
    }
    market = {
        "name": settings.SERVER,
        "owner": AUTHOR,
        "plugins": [{"name": settings.SERVER, "source": "./", "description": ABOUT}],
    }
    named = _store(store)
    server = {"command": "whatworks", "args": ["mcp", *named]}
    hooks = settings.claude_hooks(shlex.join([settings.OURS, *named]), "mcp", SERVER)
    tools = f"mcp__plugin_{settings.SERVER}_{settings.SERVER}__"
    skills = {
        "whatworks": (
            _SKILL,
            ("suggest_pattern", "record_outcome", "compare_patterns", "explain_pattern"),
        ),
        "retrospective": (_RETROSPECTIVE, ("search_patterns", "record_outcome")),
    }
    return {
        ".claude-plugin/plugin.json": _json(about),
        ".claude-plugin/marketplace.json": _json(market),
        ".mcp.json": _json({"mcpServers": {settings.SERVER: server}}),
        "hooks/hooks.json": _json({"hooks": hooks}),
        **{
            f"skills/{name}/SKILL.md": skill.format(tools=" ".join(tools + tool for tool in used))
            for name, (skill, used) in skills.items()
        },
    }


def bundle_files(store: Path | None = None) -> dict[str, str]:
    """The files of the bundle by their paths in it: manifest, dependencies, a server of them."""
    manifest = {
        "manifest_version": "0.4",
        "name": settings.SERVER,
        "version": __version__,
        "description": ABOUT,
        "author": AUTHOR,
        "license": LICENSE,
        "server": {
            "type": "uv",
            "entry_point": "src/server.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", "src/server.py"],
            },
        },
        "tools_generated": True,
        "prompts_generated": True,
        "compatibility": {"platforms": ["linux"], "runtimes": {"python": ">=3.11"}},
    }
    project = (
        f'[project]\nname = "whatworks-bundle"\nversion = "{__version__}"\nrequires-python = ">=3.11"\n'
        f'dependencies = ["whatworks[mcp]=={__version__}"]\n'
    )
    return {
        "manifest.json": _json(manifest),
        "pyproject.toml": project,
        "src/server.py": _SERVER % _store(store),
    }


def write_plugin(folder: Path, store: Path | None = None) -> list[Path]:
    """Write the plugin folder; what else lies in it stays.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    written = []
    for name, text in plugin_files(store).items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, f"make the folder {path.parent}") from error
        write_text(path, text)
        written.append(path)
    return written


def bundle(path: Path, store: Path | None = None) -> list[Path]:
    """Write the bundle, a zip whose name ends in ``.mcpb``."""
    with replacing(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in bundle_files(store).items():
            file.writestr(zipfile.ZipInfo(name, MOMENT), text)
    return [path]


def _store(store: Path | None) -> list[str]:
    return [] if store is None else ["--store", str(store)]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
