"""Where hooks write: one file a session, a line for each thing that happened. Standard library only.

A hook has no time to open a store. Lines wait in ``spool/`` inside the
store's folder until a process that has it open takes them in (``absorb``).
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

from whatworks import places
from whatworks.redaction import Secrets

__all__ = ["FOLDER", "append", "locate", "plain", "trimmed"]

FOLDER = "spool"
# A line is one write: longer ones could be cut in two by another process.
MAX_LINE = 60_000
# Of a long text the beginning and the end say most: the command, and how it ended.
MAX_TEXT = 4_000
MAX_DEPTH = 6
MAX_ITEMS = 50
# What a file holds is not needed: its name is.
_CONTENTS = {
    "content",
    "contents",
    "old_string",
    "new_string",
    "old_str",
    "new_str",
    "insert_text",
    "originalFile",
}


def locate(cwd: str | None = None) -> Path:
    """The store that is meant in a folder; one that came with a repository is passed over."""
    if named := os.environ.get("WHATWORKS_STORE"):
        if places.is_address(named):
            return places.of_team(named)
        return Path(named).expanduser().absolute()
    found = places.nearest(cwd)
    return found if found is not None and places.is_own(found) else places.default()


def append(store: Path, harness: str, session: str, happened: dict[str, Any]) -> None:
    """Write down one thing that happened, as it came but for its length and its secrets."""
    folder = store / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secrets = Secrets(_store_id(store))
    line = {"harness": harness, "at": time.time(), "payload": trimmed(happened, secrets)}
    data = json.dumps(line, separators=(",", ":"), ensure_ascii=True)
    if len(data) > MAX_LINE:
        known = {name: value for name, value in line["payload"].items() if not isinstance(value, dict)}
        data = json.dumps(line | {"payload": known | {"cut": True}}, separators=(",", ":"))
    name = f"{plain(secrets.redacted(session))}.jsonl"
    file = os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, data[:MAX_LINE].encode() + b"\n")
    finally:
        os.close(file)


def _store_id(store: Path) -> str | None:
    """What the digits of secrets depend on; none where hooks write before there is a store."""
    try:
        found = json.loads((store / places.FILE).read_bytes())["store_id"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, str) else None


def plain(name: str) -> str:
    """A name of a harness or session as it may stand in that of a file."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:100] or "none"


def trimmed(value: Any, secrets: Secrets, depth: int = 0) -> Any:
    """``value`` without the middle of long texts, what lies too deep, and secrets."""
    if isinstance(value, str):
        # First: of a secret that is cut in two the rest would not look like one.
        return _cut(secrets.redacted(value))
    if isinstance(value, dict):
        if depth >= MAX_DEPTH:
            return {}
        items = [item for item in value.items() if item[0] not in _CONTENTS][:MAX_ITEMS]
        return {
            secrets.redacted(str(key))[:100]: _item(str(key), item, secrets, depth)
            for key, item in items
        }
    if isinstance(value, list):
        return (
            []
            if depth >= MAX_DEPTH
            else [trimmed(item, secrets, depth + 1) for item in value[:MAX_ITEMS]]
        )
    return value


def _item(name: str, value: Any, secrets: Secrets, depth: int) -> Any:
    if isinstance(value, str):
        return _cut(secrets.redacted_value(name, value))
    return trimmed(value, secrets, depth + 1)


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[: MAX_TEXT // 2]}\n...\n{text[-MAX_TEXT // 2 :]}"
