"""From the spool into the memory: a session is read again as it grows, each try recorded once."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from whatworks import system
from whatworks.errors import InvalidInputError
from whatworks.hooks import sessions, spool
from whatworks.hooks.happenings import Happening, happening
from whatworks.hooks.rollout import exits
from whatworks.text import clean_text

if TYPE_CHECKING:
    from whatworks.memory import Memory
    from whatworks.records import Prediction

__all__ = ["absorb", "absorb_store", "showed", "waiting"]

# A session in which nothing has happened for so long is over.
OVER_SECONDS = 12 * 3_600.0
MAX_CONTEXT = 4_000
log = logging.getLogger("whatworks")


def absorb_store(store: Path) -> int:
    """Take in what waits for the store in a folder, which is opened if there is anything."""
    if not waiting(store):
        return 0
    from whatworks.memory import Memory

    with Memory.open(store, embedder="none", source="hook", channel="hook") as memory:
        return absorb(memory, store)


def showed(store: Path, made: Prediction, session: str) -> None:
    """Take down that a session was shown the answers of a prediction, with the next of its hooks."""
    shown = [answer.pattern_id for answer in made.answers if answer.verdict != "no evidence"]
    said = {
        "hook_event_name": "whatworks.shown",
        "prediction_id": made.prediction_id,
        "patterns": shown,
        "prompt": made.context,
    }
    spool.append(store, _harness_of(store, session), session, said)


def _harness_of(store: Path, session: str) -> str:
    """Whose hooks wrote of the session so far."""
    named = sorted((store / spool.FOLDER).glob(f"*-{spool.plain(session)}.jsonl"))
    return named[0].name.split("-", 1)[0] if named else "mcp"


def waiting(store: Path) -> list[Path]:
    """The files of the spool that hold something new, the oldest first."""
    with suppress(OSError):
        found = [path for path in (store / spool.FOLDER).glob("*.jsonl") if _is_new(path)]
        return sorted(found, key=lambda path: path.stat().st_mtime)
    return []


def _is_new(path: Path) -> bool:
    size, done = path.stat().st_size, _done(path)
    return size > done or time.time() - path.stat().st_mtime > OVER_SECONDS


def absorb(memory: Memory, store: Path) -> int:
    """Take in what waits; return how many tries were recorded or corrected.

    One process at a time; the others find nothing to do. What cannot be
    recorded is logged and left out.
    """
    names = waiting(store)
    if not names:
        return 0
    file = os.open(store / spool.FOLDER / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not system.try_lock(file):
            return 0
        return sum(_absorb(memory, path) for path in names)
    finally:
        os.close(file)


def _absorb(memory: Memory, path: Path) -> int:
    harness = path.stem.split("-", 1)[0]
    size = path.stat().st_size
    found, transcript = _read(path)
    over = bool(found) and (
        found[-1].kind == "end" or time.time() - path.stat().st_mtime > OVER_SECONDS
    )
    if harness == "codex" and transcript:
        found = exits(found, Path(transcript))
    shown = {name for item in found for name in item.shown}
    advice = {
        name: sessions.Advice(name, pattern.description)
        for name, pattern in memory.get_patterns(shown).items()
    }
    # Of a try that was taken back later, what was said last.
    tries = {item.event_id: item for item in sessions.learn(path.stem, found, advice, over=over)}
    count = 0
    for learned in tries.values():
        try:
            count += _record(memory, learned, session=path.stem, harness=harness)
        except InvalidInputError as error:
            log.warning("a try of session %s was not recorded: %s", path.stem, error)
    if over:
        path.unlink(missing_ok=True)
        _mark(path).unlink(missing_ok=True)
    else:
        _mark(path).write_text(f"{size}")
    return count


def _record(memory: Memory, learned: sessions.Learned, *, session: str, harness: str) -> bool:
    """Record a try, or correct it if it is there with another outcome; false if nothing is new."""
    known = memory.get_events([learned.event_id]).get(learned.event_id)
    if known is not None:
        if (known.state, known.outcome) == (learned.state, learned.outcome):
            return False
        if learned.outcome is not None:
            memory.resolve(learned.event_id, outcome=learned.outcome)
        return learned.outcome is not None
    pattern_id = learned.pattern
    if not learned.known:
        pattern_id = memory.add_pattern(clean_text(learned.pattern), pattern_type="repair").pattern_id
    memory.record(
        pattern_id,
        outcome=learned.outcome,
        state=learned.state,
        context=clean_text(learned.context, max_bytes=MAX_CONTEXT) or None,
        timestamp=datetime.fromtimestamp(learned.at, UTC),
        event_id=learned.event_id,
        session_id=session,
        files=[name[:1_000] for name in learned.files][:100],
        duration_ms=learned.milliseconds,
        prediction_id=learned.prediction,
        metadata={"harness": harness},
    )
    return True


def _read(path: Path) -> tuple[list[Happening], str]:
    """What happened in a session, and where the harness keeps its transcript."""
    found, transcript = [], ""
    for line in _lines(path):
        payload = line.get("payload")
        if not isinstance(payload, dict):
            continue
        at = line.get("at")
        transcript = str(payload.get("transcript_path") or transcript)
        item = happening(payload, float(at) if isinstance(at, (int, float)) else 0.0)
        if item is not None:
            found.append(item)
    return found, transcript


def _lines(path: Path) -> Iterator[dict[str, object]]:
    with path.open("rb") as file:
        for line in file:
            with suppress(orjson.JSONDecodeError):
                held = orjson.loads(line)
                if isinstance(held, dict):
                    yield held


def _mark(path: Path) -> Path:
    return path.with_suffix(".done")


def _done(path: Path) -> int:
    try:
        return int(_mark(path).read_text())
    except (OSError, ValueError):
        return 0
