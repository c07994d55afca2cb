"""Sessions of coding agents as they keep them: Claude Code and Codex (JSON lines), and ATIF (JSON).

Read as if the hooks had told of them (``hooks.sessions``), and with the same
ids: a session that was hooked as well is not counted twice. Lines of other
kinds, and lines that cannot be read, are passed over: these formats are
their programs' own, and change.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from whatworks.errors import InvalidInputError
from whatworks.hooks.happenings import Happening, happening
from whatworks.hooks.sessions import learn
from whatworks.hooks.spool import plain, trimmed
from whatworks.hooks.tries import records
from whatworks.json_lines import objects
from whatworks.readers.items import Fault, Item, Link, Read, printable
from whatworks.readers.walk import files_at, opened
from whatworks.records import NewEvent, NewPattern
from whatworks.redaction import Secrets

__all__ = ["Items", "Try", "read"]

MAX_BYTES = 256 << 20
MAX_FILES = 100_000
SUFFIXES = (".jsonl", ".json")
GOING_ON_SECONDS = 86_400.0
LAST_SECOND = 253_402_214_400.0  # 9999-12-31: what is beyond is no time
Line = Mapping[str, Any]


class Try(Item, frozen=True):
    """What a session taught, once, and the pattern that it is a try of unless that is known."""

    path: str
    pattern: NewPattern | None
    event: NewEvent


Items = Try | Fault | Link | Read


def read(path: str, key: str | None) -> Iterator[Try | Fault | Link | Read]:
    """The tries of a session's file, or of all files below a folder; links are not followed.

    Parameters
    ----------
    key
        Of the store, for the marks that secrets leave.

    Raises
    ------
    InvalidInputError
        There is no such file or folder.
    """
    secrets = Secrets(key)
    expected = "a session's file, or their folder"
    for file in files_at(
        Path(path), lambda name: name.endswith(SUFFIXES), most=MAX_FILES, expected=expected
    ):
        if isinstance(file, Fault | Link):
            yield file
            continue
        name = printable(file)
        try:
            yield from _tries(file, name, secrets)
        except (InvalidInputError, OSError) as error:
            yield Fault(name, "file", str(error))
        yield Read("files")


def _tries(file: Path, name: str, secrets: Secrets) -> Iterator[Try | Fault | Read]:
    opened(file).close()  # which refuses what is no file, or an archive
    if file.stat().st_size > MAX_BYTES:
        yield Fault(name, "file", f"it has more than {MAX_BYTES >> 20} MiB")
        return
    session, found = _session(file, secrets)
    if not found:
        return
    yield Read("sessions")
    over = file.stat().st_mtime < time.time() - GOING_ON_SECONDS  # else its end may be yet to come
    tries = {item.event_id: item for item in learn(session, found, {}, over=over)}
    for item in tries.values():
        yield Read("events")
        yield Try(name, *records(item, session, {}))


def _session(file: Path, secrets: Secrets) -> tuple[str, list[Happening]]:
    """The name of a session, as the hooks have it, and what happened in it."""
    payloads: list[tuple[float, Line]] = []
    harness, name = "", ""
    if file.suffix == ".json":
        harness, name, payloads = _atif(file)
    else:
        reader = _Reader()
        for line in objects(file):
            payloads += reader.payloads(line)
        harness, name = reader.harness, reader.session or file.stem
        if harness == "claude" and payloads:
            payloads.append((payloads[-1][0], {"hook_event_name": "Stop"}))
    found = [happening(trimmed(dict(payload), secrets), at) for at, payload in payloads]
    return f"{plain(harness)}-{plain(name)}", [item for item in found if item is not None]


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if 0 <= value <= LAST_SECOND else 0.0
    with suppress(TypeError, ValueError, OverflowError):
        return datetime.fromisoformat(str(value)).astimezone(UTC).timestamp()
    return 0.0


def _mapping(value: object) -> Line:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> list[Line]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    """Text, or the texts of content blocks."""
    if isinstance(value, str):
        return value
    return "\n".join(str(item.get("text", "")) for item in _items(value) if item.get("text"))


class _Reader:
    """Lines of Claude Code or Codex as the payloads of hooks."""

    def __init__(self) -> None:
        self.harness = ""
        self.session = ""
        self._at = 0.0
        self._calls: dict[str, tuple[str, Line]] = {}

    def payloads(self, line: Line) -> Iterator[tuple[float, Line]]:
        self._at = _seconds(line.get("timestamp")) or self._at
        if "message" in line and line.get("type") in ("user", "assistant"):
            self.harness = "claude"
            self.session = self.session or str(line.get("sessionId") or "")
            made = self._claude(line)
        elif "payload" in line:
            self.harness = self.harness or "codex"
            made = self._codex(str(line.get("type")), _mapping(line["payload"]))
        else:
            return
        for payload in made:
            yield self._at, payload

    # -- Claude Code ------------------------------------------------------------------------------

    def _claude(self, line: Line) -> Iterator[Line]:
        content = _mapping(line["message"]).get("content")
        if line["type"] == "assistant":
            for block in _items(content):
                if block.get("type") == "tool_use":
                    call = str(block.get("id")), (str(block.get("name")), _mapping(block.get("input")))
                    self._calls[call[0]] = call[1]
            return
        results = [block for block in _items(content) if block.get("type") == "tool_result"]
        for block in results:
            yield self._result(block, line.get("toolUseResult"))
        prompt = _text(content)
        if prompt and not results and not line.get("isMeta") and not line.get("isSidechain"):
            yield {"hook_event_name": "UserPromptSubmit", "prompt": prompt}

    def _result(self, block: Line, whole: object) -> Line:
        name, given = self._calls.get(str(block.get("tool_use_id")), ("", {}))
        base = {"tool_name": name, "tool_input": given, "tool_use_id": block.get("tool_use_id")}
        said = _text(block.get("content"))
        if block.get("is_error"):
            stopped = "interrupted by user" in said or "doesn't want to proceed" in said
            failed = {"hook_event_name": "PostToolUseFailure", "error": said, "is_interrupt": stopped}
            return base | failed
        response = whole if isinstance(whole, Mapping) else {"stdout": said}
        return base | {"hook_event_name": "PostToolUse", "tool_response": response}

    # -- Codex ------------------------------------------------------------------------------------

    def _codex(self, kind: str, payload: Line) -> Iterator[Line]:
        what = payload.get("type")
        if kind == "session_meta":
            self.session = str(payload.get("id") or payload.get("session_id") or "")
        elif what in ("function_call", "custom_tool_call"):
            self._calls[str(payload.get("call_id"))] = str(payload.get("name")), _arguments(payload)
        elif what == "exec_command_end":
            command = payload.get("command")
            given = self._calls.get(str(payload.get("call_id")), ("", {}))[1]
            yield {
                "hook_event_name": "PostToolUse",
                "tool_name": "shell",
                "tool_input": {"command": _shell(command or given.get("command") or given.get("cmd"))},
                "tool_use_id": payload.get("call_id"),
                "tool_response": {
                    "output": payload.get("aggregated_output") or "",
                    "exit_code": payload.get("exit_code"),
                },
            }
        elif what == "patch_apply_end" and payload.get("success", True):
            for name in _mapping(payload.get("changes")):
                edit = {"tool_name": "edit", "tool_input": {"file_path": name}, "tool_response": {}}
                yield {"hook_event_name": "PostToolUse", **edit}
        elif what == "user_message":
            yield {"hook_event_name": "UserPromptSubmit", "prompt": str(payload.get("message") or "")}
        elif what == "task_complete":
            said = str(payload.get("last_agent_message") or "")
            yield {"hook_event_name": "Stop", "last_assistant_message": said}


def _arguments(payload: Line) -> Line:
    given = payload.get("arguments") or payload.get("input")
    with suppress(orjson.JSONDecodeError, TypeError):
        return _mapping(orjson.loads(given)) if isinstance(given, str) else _mapping(given)
    return {}


def _shell(command: object) -> str:
    """A command as it was typed: what ``bash -lc`` was given."""
    words = [str(word) for word in command] if isinstance(command, list) else [str(command or "")]
    return words[-1] if len(words) == 3 and words[1] in ("-lc", "-c") else " ".join(words)


def _atif(file: Path) -> tuple[str, str, list[tuple[float, Line]]]:
    """A trajectory: steps of a user and an agent, with calls and what they gave."""
    with suppress(orjson.JSONDecodeError, OSError):
        held = _mapping(orjson.loads(file.read_bytes()))
        if not isinstance(held.get("steps"), list):
            return "", "", []
        made: list[tuple[float, Line]] = []
        for number, step in enumerate(_items(held["steps"])):
            at = _seconds(step.get("timestamp")) or float(number)
            made += [(at, payload) for payload in _atif_step(step)]
        return "atif", str(held.get("session_id") or file.stem), made
    return "", "", []


def _atif_step(step: Line) -> Iterator[Line]:
    if step.get("source") == "user":
        yield {"hook_event_name": "UserPromptSubmit", "prompt": _text(step.get("message"))}
        return
    given = {
        str(result.get("source_call_id")): _text(result.get("content"))
        for result in _items(_mapping(step.get("observation")).get("results"))
    }
    for call in _items(step.get("tool_calls")):
        name = str(call.get("tool_call_id"))
        yield {
            "hook_event_name": "PostToolUse",
            "tool_name": call.get("function_name"),
            "tool_input": call.get("arguments"),
            "tool_use_id": name,
            "tool_response": given.get(name, ""),
        }
