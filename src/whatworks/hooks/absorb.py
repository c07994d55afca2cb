"""From the spool into the memory: a session is read again as it grows, each try recorded once."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from whatworks import system
from whatworks.errors import InvalidInputError, NotFoundError
from whatworks.hooks import sessions, spool
from whatworks.hooks.happenings import Happening, happening
from whatworks.hooks.rollout import exits
from whatworks.hooks.tries import records
from whatworks.json_lines import objects

if TYPE_CHECKING:
    from whatworks.memory import Memory
    from whatworks.records import Prediction, UsageEvent

__all__ = ["absorb", "absorb_store", "showed", "waiting"]

# A session in which nothing has happened for so long is over.
OVER_SECONDS = 12 * 3_600.0
# A session may be taken up again; after so long its file goes.
KEPT_SECONDS = 14 * 86_400.0
# Who writes what was shown; the session is that of whose hooks write the rest.
MCP = "mcp"
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
    from whatworks.prompting import shown

    said = {
        "hook_event_name": "whatworks.shown",
        "prediction_id": made.prediction_id,
        "patterns": [answer.pattern_id for answer in shown(made)],
        "prompt": made.context,
    }
    spool.append(store, MCP, session, said)


def waiting(store: Path) -> list[Path]:
    """The files of the spool that hold something new, the oldest first."""
    with suppress(OSError):
        found = [path for path in (store / spool.FOLDER).glob("*.jsonl") if _is_new(path)]
        return sorted(found, key=lambda path: path.stat().st_mtime)
    return []


def _is_new(path: Path) -> bool:
    done, now = _Done.of(path), time.time()
    changed = path.stat().st_mtime
    over = not done.over and changed < now - OVER_SECONDS
    return path.stat().st_size > done.size or over or changed < now - KEPT_SECONDS


def absorb(memory: Memory, store: Path) -> int:
    """Take in what waits; return how many tries were recorded or corrected.

    One process at a time; the others find nothing to do. What cannot be
    recorded is logged and left out.
    """
    if not waiting(store):
        return 0
    file = os.open(store / spool.FOLDER / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not system.try_lock(file):
            return 0
        count = 0
        for path in waiting(store):
            try:
                count += _absorb(memory, path)
            except (OSError, InvalidInputError) as error:
                log.warning("what hooks wrote in %s was left out: %s", path.name, error)
        return count
    finally:
        os.close(file)


def _absorb(memory: Memory, path: Path) -> int:
    if path.stat().st_mtime < time.time() - KEPT_SECONDS:
        _done_file(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return 0
    size, done = path.stat().st_size, _Done.of(path)
    found, harness, transcript = _read(path)
    over = path.stat().st_mtime < time.time() - OVER_SECONDS or (
        bool(found) and found[-1].kind == "end"
    )
    if harness == "codex" and transcript:
        found = exits(found, Path(transcript))
    shown = {name for item in found for name in item.shown}
    advice = {
        name: sessions.Advice(name, pattern.description)
        for name, pattern in memory.get_patterns(shown).items()
    }
    session = f"{spool.plain(harness)}-{path.stem}"
    # Of a try that was taken back later, what was said last.
    tries = {item.event_id: item for item in sessions.learn(session, found, advice, over=over)}
    new = {name: item for name, item in tries.items() if done.wrote.get(name) != _said(item)}
    known, count = memory.get_events(list(new)), 0
    for name, item in new.items():
        try:
            if name in known:
                count += _correct(memory, item, known[name], done.wrote)
            else:
                pattern, event = records(item, session, {"harness": harness})
                memory.add_patterns([] if pattern is None else [pattern])
                memory.record_many([event])
                done.wrote[name] = _said(item)
                count += 1
        except (InvalidInputError, NotFoundError) as error:
            log.warning("a try of session %s was not recorded: %s", session, error)
    _Done(size, over, done.wrote).keep(path)
    return count


def _said(item: sessions.Learned) -> list[Any]:
    return [item.state, item.outcome]


def _correct(
    memory: Memory, item: sessions.Learned, known: UsageEvent, wrote: dict[str, list[Any]]
) -> bool:
    """Correct what was recorded; false if it is right, or somebody else has corrected it."""
    held = [known.state, known.outcome]
    if item.outcome is None or held == _said(item) or held != wrote.get(item.event_id):
        return False
    memory.resolve(item.event_id, outcome=item.outcome)
    wrote[item.event_id] = _said(item)
    return True


def _read(path: Path) -> tuple[list[Happening], str, str]:
    """What happened in a session, in which harness, and where that keeps its transcript."""
    found: list[Happening] = []
    harness, transcript, told = MCP, "", set()
    for line in objects(path):
        payload = line.get("payload")
        if not isinstance(payload, dict):
            continue
        at, named = line.get("at"), str(line.get("harness"))
        harness = named if named != MCP else harness
        transcript = str(payload.get("transcript_path") or transcript)
        item = happening(payload, float(at) if isinstance(at, (int, float)) else 0.0)
        if item is None or (item.call and (item.kind, item.call) in told):
            continue  # the second is of a hook that is installed twice
        told.add((item.kind, item.call))
        found.append(item)
    return found, harness, transcript


@dataclass(slots=True)
class _Done:
    """How much of a session was taken in, whether as its end, and what was recorded of it."""

    size: int = 0
    over: bool = False
    wrote: dict[str, list[Any]] = field(default_factory=dict)  # state and outcome, by event

    @classmethod
    def of(cls, path: Path) -> _Done:
        with suppress(OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            held = orjson.loads(_done_file(path).read_bytes())
            return cls(int(held["size"]), bool(held["over"]), dict(held["wrote"]))
        return cls()

    def keep(self, path: Path) -> None:
        draft = _done_file(path).with_suffix(".tmp")
        draft.write_bytes(orjson.dumps({"size": self.size, "over": self.over, "wrote": self.wrote}))
        draft.replace(_done_file(path))


def _done_file(path: Path) -> Path:
    return path.with_suffix(".done")
