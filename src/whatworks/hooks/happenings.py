"""One form for what the harnesses report: each calls the same things by other names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Happening", "happening"]

Kind = Literal["prompt", "command", "edit", "tool", "stop", "broken", "end", "shown"]
Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened in a session.

    ``ok`` is whether it succeeded, ``None`` where the harness does not say.
    ``text`` is the prompt, the last message or the command; ``output`` what a
    command printed or the error of a tool. ``call`` identifies a tool call.
    """

    kind: Kind
    at: float
    text: str = ""
    tool: str = ""
    files: tuple[str, ...] = ()
    ok: bool | None = None
    stopped: bool = False
    output: str = ""
    call: str = ""
    milliseconds: float | None = None
    shown: tuple[str, ...] = ()
    prediction: str = ""


_SHELLS = {
    "bash",
    "powershell",
    "shell",
    "run_shell_command",
    "local_shell",
    "exec_command",
    "terminal",
}
_EDITORS = {
    "edit", "write", "multiedit", "notebookedit", "apply_patch", "write_file", "replace", "patch",
    "edit_file", "create_file",
}  # fmt: skip
_PROMPTS = {"UserPromptSubmit", "BeforeAgent", "beforeSubmitPrompt", "chat.message"}
_TOOLS = {
    "PostToolUse", "PostToolUseFailure", "AfterTool", "postToolUse", "postToolUseFailure",
    "afterMCPExecution", "tool.execute.after",
}  # fmt: skip
_STOPS = {"Stop", "AfterAgent", "stop", "session.idle"}
_BROKEN = {"StopFailure", "session.error"}
_ENDS = {"SessionEnd", "sessionEnd", "session.deleted"}
_PATCHED = re.compile(r"^\*\*\* (?:Update|Add|Delete) File: (.+)$", re.MULTILINE)
_EXIT = re.compile(r"^\W*(?:process )?exit(?:ed with)? code:?\s*(-?\d+)", re.IGNORECASE | re.MULTILINE)
# Gemini's shell tool names each part of its answer, also those that are empty.
_LABELS = re.compile(r"^[A-Z][\w ]*: \(none\)\n?|^(?:Command|Directory): .*\n?|^Output: ", re.MULTILINE)


def happening(payload: Payload, at: float) -> Happening | None:
    """What a payload reports, ``None`` if it is nothing to learn from."""
    event = _text(payload, "hook_event_name")
    if event in _PROMPTS:
        return Happening("prompt", at, text=_text(payload, "prompt") or _parts(payload))
    if event == "afterShellExecution":
        output = _text(payload, "output")
        return _command(at, payload, _text(payload, "command"), output, _exit_of(output))
    if event == "afterFileEdit":
        return Happening("edit", at, tool="edit", files=_files(payload), ok=True)
    if event in _TOOLS:
        return _tool(event, payload, at)
    if event in _STOPS:
        said = _text(payload, "last_assistant_message") or _text(payload, "prompt_response")
        ended = _text(payload, "status")
        if ended in ("aborted", "error"):
            return Happening("broken", at, text=ended)
        return Happening("stop", at, text=said)
    if event in _BROKEN:
        return Happening("broken", at, text=_text(payload, "error"))
    if event in _ENDS:
        return Happening("end", at)
    if event == "whatworks.shown":
        shown = tuple(name for name in payload.get("patterns", ()) if isinstance(name, str))
        prediction = _text(payload, "prediction_id")
        return Happening("shown", at, text=_text(payload, "prompt"), shown=shown, prediction=prediction)
    return None


def _tool(event: str, payload: Payload, at: float) -> Happening:
    given = payload.get("input")
    if isinstance(given, Mapping) and "tool" in given:  # opencode keeps what it was given apart
        name, arguments = _text(given, "tool"), _mapping(given.get("args"))
        call = _text(given, "callID")
        result = payload.get("output")
    else:
        name, call = _text(payload, "tool_name"), _text(payload, "tool_use_id")
        arguments, result = _mapping(payload.get("tool_input")), payload.get("tool_response")
    failed = event in ("PostToolUseFailure", "postToolUseFailure")
    output = _output(result) or _text(payload, "error")
    if event == "AfterTool":
        output = _LABELS.sub("", output)
    ok = False if failed or _has_error(result) else _ok_of(result, event, output)
    stopped = bool(payload.get("is_interrupt")) or bool(_mapping(result).get("interrupted"))
    named = name.lower()
    if named in _SHELLS:
        command = arguments.get("command")
        words = " ".join(map(str, command)) if isinstance(command, list) else str(command or "")
        return _command(at, payload, words, output, ok, stopped=stopped, call=call)
    if named in _EDITORS:
        return Happening("edit", at, tool=name, files=_files(arguments), ok=ok, call=call)
    return Happening("tool", at, tool=name, ok=ok, output=output, call=call, stopped=stopped)


def _command(
    at: float,
    payload: Payload,
    command: str,
    output: str,
    ok: bool | None,
    *,
    stopped: bool = False,
    call: str = "",
) -> Happening:
    took = payload.get("duration_ms", payload.get("duration"))
    return Happening(
        "command",
        at,
        text=command,
        tool="shell",
        ok=ok,
        stopped=stopped,
        output=output,
        call=call,
        milliseconds=float(took) if isinstance(took, (int, float)) else None,
    )


def _text(payload: Payload, name: str) -> str:
    found = payload.get(name)
    return found if isinstance(found, str) else ""


def _mapping(value: object) -> Payload:
    return value if isinstance(value, Mapping) else {}


def _parts(payload: Payload) -> str:
    """The text of opencode's messages, which come in parts."""
    parts = _mapping(payload.get("output")).get("parts", ())
    found = [_text(part, "text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(filter(None, found))


def _files(arguments: Payload) -> tuple[str, ...]:
    named = [_text(arguments, key) for key in ("file_path", "filePath", "path", "notebook_path")]
    patches = ("input", "patch", "patchText", "command")
    patch = next(filter(None, (_text(arguments, name) for name in patches)), "")
    return tuple(dict.fromkeys([*filter(None, named), *_PATCHED.findall(patch)]))


def _output(result: object) -> str:
    if isinstance(result, str):
        return result
    held = _mapping(result)
    names = ("stdout", "stderr", "output", "llmContent", "error")
    return "\n".join(filter(None, (_text(held, name) for name in names)))


def _has_error(result: object) -> bool:
    return bool(_mapping(result).get("error"))


def _ok_of(result: object, event: str, output: str) -> bool | None:
    """Whether a tool succeeded, where only its result can tell."""
    code = _mapping(_mapping(result).get("metadata")).get("exit", _mapping(result).get("exit_code"))
    if isinstance(code, int):
        return code == 0
    if isinstance(result, str):  # Codex gives a text alone
        return _exit_of(result)
    if event == "AfterTool" and (told := _exit_of(output)) is not None:  # Gemini tells it in the text
        return told
    return True if event in ("PostToolUse", "AfterTool", "postToolUse", "tool.execute.after") else None


def _exit_of(output: str) -> bool | None:
    found = _EXIT.search(output)
    return None if found is None else int(found[1]) == 0
