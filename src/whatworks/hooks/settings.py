"""What is written into the settings of coding agents to have them call the hook; and its undoing."""

from __future__ import annotations

import copy
import difflib
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from whatworks.errors import InvalidInputError, StoreError
from whatworks.exporters.files import write_text

__all__ = ["CLIENTS", "OURS", "SERVER", "Change", "Client", "Prompt", "change", "claude_hooks"]

Settings = dict[str, Any]
Prompt = Literal["command", "mcp", "none"]
# How our entries are found again: each names the hook, or the server of the same name.
OURS = "whatworks-hook"
SERVER = "whatworks"
SECONDS = 5


@dataclass(frozen=True, slots=True)
class Client:
    """Where an agent keeps its hooks, for the user and for a project, and what they look like."""

    user: str
    project: str
    hooks: Callable[[str, Prompt], Mapping[str, list[Any]]]
    base: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A file as it is and as it would be; ``before`` is ``None`` where there is none."""

    path: Path
    before: str | None
    after: str | None

    @property
    def diff(self) -> str:
        """What changes, as a unified diff; empty if nothing does."""
        lines = difflib.unified_diff(
            (self.before or "").splitlines(keepends=True),
            (self.after or "").splitlines(keepends=True),
            f"{self.path}",
            f"{self.path}",
        )
        return "".join(lines)

    def write(self) -> None:
        """Write it, or take the file away if nothing is left of it."""
        if self.after is None:
            self.path.unlink(missing_ok=True)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, self.after, mode=0o600)


def _handler(command: str, harness: str, **more: Any) -> Settings:
    return {"type": "command", "command": f"{command} {harness}", **more}


def claude_hooks(command: str, prompt: Prompt, server: str = SERVER) -> Mapping[str, list[Any]]:
    """The hooks of Claude Code; ``server`` is the name that it knows the MCP server by."""
    later: Settings = {"async": True}  # nobody waits for it

    def entry(matcher: str = "", more: Settings | None = None) -> list[Any]:
        held = {"hooks": [_handler(command, "claude", timeout=SECONDS, **(more or {}))]}
        return [{"matcher": matcher, **held} if matcher else held]

    # The prompt is told in any case: it is the situation that later outcomes belong to.
    told = _handler(command, "claude" + (" --suggest" if prompt == "command" else ""), timeout=SECONDS)
    asked = {
        "type": "mcp_tool",
        "server": server,
        "tool": "suggest_pattern",
        "input": {"situation": "${prompt}", "limit": "3", "session_id": "${session_id}"},
        "timeout": 3,
    }
    return {
        "UserPromptSubmit": [{"hooks": [told, asked] if prompt == "mcp" else [told]}],
        "PostToolUse": entry("Bash|PowerShell|Edit|Write|MultiEdit|NotebookEdit", later),
        "PostToolUseFailure": entry("Bash|PowerShell|mcp__.*"),
        "Stop": entry(more=later),
        "StopFailure": entry(more=later),
        "SessionEnd": entry(),
    }


def _codex(command: str, prompt: Prompt) -> Mapping[str, list[Any]]:
    suggest = " --suggest" if prompt == "command" else ""
    return {
        "UserPromptSubmit": [{"hooks": [_handler(command, f"codex{suggest}", timeout=SECONDS)]}],
        "PostToolUse": [{"hooks": [_handler(command, "codex", timeout=SECONDS)]}],
        "Stop": [{"hooks": [_handler(command, "codex", timeout=SECONDS)]}],
    }


def _gemini(command: str, prompt: Prompt) -> Mapping[str, list[Any]]:
    def entry(harness: str = "gemini") -> list[Any]:  # time-outs are in milliseconds there
        return [{"hooks": [_handler(command, harness, name=SERVER, timeout=1_000 * SECONDS)]}]

    return {
        "BeforeAgent": entry("gemini --suggest" if prompt == "command" else "gemini"),
        "AfterTool": [{"matcher": ".*", **entry()[0]}],
        "AfterAgent": entry(),
        "SessionEnd": entry(),
    }


def _cursor(command: str, prompt: Prompt) -> Mapping[str, list[Any]]:
    events = (
        "beforeSubmitPrompt", "afterShellExecution", "afterFileEdit", "postToolUseFailure", "stop",
        "sessionEnd",
    )  # fmt: skip
    return {event: [{"command": f"{command} cursor"}] for event in events}


CLIENTS: dict[str, Client] = {
    "claude": Client("~/.claude/settings.json", ".claude/settings.json", claude_hooks, {}),
    "codex": Client(
        "~/.codex/hooks.json", ".codex/hooks.json", _codex, {}, "Approve the new hooks once in /hooks."
    ),
    "gemini": Client("~/.gemini/settings.json", ".gemini/settings.json", _gemini, {}),
    "cursor": Client("~/.cursor/hooks.json", ".cursor/hooks.json", _cursor, {"version": 1}),
    "opencode": Client(
        "~/.config/opencode/plugins/whatworks.js", ".opencode/plugins/whatworks.js", lambda *_: {}, {}
    ),
}
_PLUGIN = """\
// whatworks-hook: from `whatworks install opencode`; `whatworks uninstall opencode` removes it.
import { spawn } from "node:child_process";

const tell = (payload) => {
  try {
    const child = spawn(%s, %s, { stdio: ["pipe", "ignore", "ignore"], detached: true });
    child.on("error", () => {});
    child.stdin.on("error", () => {});
    child.stdin.end(JSON.stringify(payload));
    child.unref();
  } catch {}
};

export const Whatworks = async ({ directory: cwd }) => ({
  "chat.message": async ({ sessionID: session_id }, { parts }) =>
    tell({ hook_event_name: "chat.message", cwd, session_id, output: { parts } }),
  "tool.execute.after": async (input, output) =>
    tell({ hook_event_name: "tool.execute.after", cwd, session_id: input.sessionID, input, output }),
  event: async ({ event }) => {
    if (["session.idle", "session.error", "session.deleted"].includes(event.type))
      tell({ hook_event_name: event.type, cwd, session_id: event.properties?.sessionID });
  },
});
"""


def change(
    client: str,
    *,
    project: Path | None = None,
    prompt: Prompt = "command",
    undo: bool = False,
    hook: str | None = None,
    store: Path | None = None,
) -> Change:
    """What installing would change, or with ``undo`` taking it out; nothing is written yet.

    Parameters
    ----------
    client
        One of ``CLIENTS``.
    project
        The folder of a project; without it the user's own settings.
    prompt
        How suggestions come with a prompt: from a ``command``, from the ``mcp`` server
        (Claude Code alone), or not at all.
    hook
        The command of the hook. Default: that of this installation.
    store
        The store that is meant. Default: that of the folder in which the agent works.

    Raises
    ------
    InvalidInputError
        There is no such client, or the settings are no JSON object.
    """
    if client not in CLIENTS:
        raise InvalidInputError(f"client is {client!r}; expected one of {', '.join(CLIENTS)}")
    known = CLIENTS[client]
    path = Path(known.user).expanduser() if project is None else project / known.project
    path = path.resolve()  # a link stays one
    command = hook or _hook()
    words = [command] if store is None else [command, "--store", str(store)]
    try:
        before = path.read_text() if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if client == "opencode":
        return Change(path, before, None if undo else _plugin(words))
    settings = _loaded(path, before)
    made = _without(settings)
    if not undo:
        for name, value in known.base.items():
            made.setdefault(name, value)
        hooks = made.setdefault("hooks", {})
        for event, entries in known.hooks(" ".join(map(_quoted, words)), prompt).items():
            hooks[event] = [*hooks.get(event, []), *entries]
    left = {name: value for name, value in made.items() if name not in known.base}
    if undo and before is not None and not left and made != settings:
        return Change(path, before, None)
    if before is None and undo:
        return Change(path, None, None)
    same = made == settings
    return Change(
        path, before, before if same else json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    )


def _plugin(words: list[str]) -> str:
    return _PLUGIN % (json.dumps(words[0]), json.dumps([*words[1:], "opencode"]))


def _hook() -> str:
    """The absolute path: programs that a desktop starts often lack the user's own folders."""
    beside = Path(sys.executable).with_name(OURS)
    return str(beside) if beside.exists() else shutil.which(OURS) or OURS


def _quoted(command: str) -> str:
    if sys.platform == "win32":
        return f'"{command}"' if " " in command else command
    return shlex.quote(command)


def _loaded(path: Path, text: str | None) -> Settings:
    if text is None or not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(
            f"{path} is no plain JSON ({error}); add the hooks by hand, or take its comments out first"
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("hooks", {}), dict):
        raise InvalidInputError(f"{path} holds no settings; expected a JSON object")
    return found


def _without(settings: Settings) -> Settings:
    """The settings without our entries; others stay as they are."""
    made = copy.deepcopy(settings)
    hooks = made.get("hooks")
    if hooks is None:
        return made
    for event, entries in list(hooks.items()):
        if not isinstance(entries, list):
            continue
        kept = [left for entry in entries if (left := _cleaned(entry)) is not None]
        hooks[event] = kept
        if not kept and entries:
            del hooks[event]
    if not hooks:
        del made["hooks"]
    return made


def _cleaned(entry: Any) -> Any:
    if _is_ours(entry):
        return None
    if isinstance(entry, dict) and isinstance(entry.get("hooks"), list):
        kept = [handler for handler in entry["hooks"] if not _is_ours(handler)]
        if len(kept) == len(entry["hooks"]):
            return entry
        return {**entry, "hooks": kept} if kept else None
    return entry


def _is_ours(handler: Any) -> bool:
    if not isinstance(handler, dict):
        return False
    return OURS in str(handler.get("command", "")) or (
        handler.get("type") == "mcp_tool" and handler.get("server") == SERVER
    )
