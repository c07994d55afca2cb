"""``whatworks-hook [--store PATH] HARNESS [--suggest]``: what a coding agent calls.

Standard library only, and whatever goes wrong, it prints ``{}`` and exits 0: a hook that fails or
dawdles would stop the agent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from whatworks.hooks import spool

__all__ = ["main"]

HARNESSES = ("claude", "codex", "gemini", "cursor", "opencode")
MAX_INPUT = 4 << 20
GIVE_UP_SECONDS = 2.0
SUGGEST_SECONDS = 3.0
# Where each harness names the session, and how it calls the moment before a prompt is answered.
SESSIONS = ("session_id", "conversation_id", "sessionID")
PROMPTS = ("UserPromptSubmit", "BeforeAgent")


def main() -> None:
    """Read one payload from standard input, write it down, and say nothing or a suggestion."""
    _give_up_after(GIVE_UP_SECONDS)
    said = "{}"
    try:
        words = sys.argv[1:]
        named = words[words.index("--store") + 1] if "--store" in words else None
        harness = next((word for word in words if word in HARNESSES), "claude")
        payload = json.loads(sys.stdin.buffer.read(MAX_INPUT))
        if isinstance(payload, dict):
            cwd = payload.get("cwd")
            store = Path(named) if named else spool.locate(cwd if isinstance(cwd, str) else None)
            spool.append(store, harness, _session(payload), payload)
            if "--suggest" in words and payload.get("hook_event_name") in PROMPTS:
                said = _suggestion(store, payload)
    except BaseException:  # noqa: BLE001 - see above
        said = "{}"
    try:
        sys.stdout.write(said + "\n")
        sys.stdout.flush()
    finally:
        os._exit(0)


def _give_up_after(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _session(payload: dict[str, Any]) -> str:
    held = [part for part in (payload, payload.get("input")) if isinstance(part, dict)]
    named = [part.get(name) for name in SESSIONS for part in held]
    return next((found for found in named if isinstance(found, str) and found), "none")


def _suggestion(store: Path, payload: dict[str, Any]) -> str:
    """What the command line suggests for the prompt, in the form that harnesses take."""
    _give_up_after(SUGGEST_SECONDS + 1)
    # -P: the folder that the agent works in is not to be imported from.
    command = [sys.executable, "-P", "-m", "whatworks", "suggest", "-", "--store", str(store)]
    command += ["--session", _session(payload), "--text-only"]
    prompt = str(payload.get("prompt", ""))
    done = subprocess.run(
        command, input=prompt, capture_output=True, text=True, timeout=SUGGEST_SECONDS, check=True
    )
    if not done.stdout.strip():
        return "{}"
    event = payload["hook_event_name"]
    held = {"hookEventName": event, "additionalContext": done.stdout.strip()}
    return json.dumps({"hookSpecificOutput": held})
