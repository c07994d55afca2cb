"""The exit codes of a Codex session, which its hooks do not tell: they stand in its transcript."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from whatworks.hooks.happenings import Happening
from whatworks.json_lines import objects

__all__ = ["exits"]

MAX_BYTES = 64 << 20


def exits(happenings: Sequence[Happening], transcript: Path) -> list[Happening]:
    """The same, with whether each command succeeded, as far as the transcript says so."""
    codes = _codes(transcript)
    return [
        replace(item, ok=codes[item.call] == 0) if item.ok is None and item.call in codes else item
        for item in happenings
    ]


def _codes(transcript: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    with suppress(OSError):
        if not transcript.is_file() or transcript.stat().st_size > MAX_BYTES:
            return {}
        for line in objects(transcript, holding=b"exec_command_end"):
            with suppress(KeyError, TypeError, ValueError, AttributeError):
                payload = line["payload"]
                if payload.get("type") == "exec_command_end":
                    found[str(payload["call_id"])] = int(payload["exit_code"])
    return found
