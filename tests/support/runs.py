"""What the tests of agent frameworks share: a memory that knows something, and what runs left in it."""

from __future__ import annotations

from whatworks import Memory

ASKED = "the date test is flaky"
PIN = "pin the timezone of the tests"
RETRY = "retry until everything passes"
# What a run leaves that was told of both and says that it did the first.
FOLLOWED = [(PIN, 1.0, "resolved"), (RETRY, None, "not_used")]


def known(memory: Memory) -> None:
    """Let ``memory`` know that one thing works and the other does not."""
    memory.add_pattern(PIN, pattern_id="pin")
    memory.add_pattern(RETRY, pattern_id="retry")
    for n in range(8):
        memory.record("pin", outcome=1.0, context=ASKED, event_id=f"pin-{n}")
        memory.record("retry", outcome=0.0, context=ASKED, event_id=f"retry-{n}")


def tries(memory: Memory, framework: str) -> list[tuple[str, float | None, str]]:
    """What runs in ``framework`` left: pattern, outcome, state; in alphabetical order."""
    events = [event for event in memory.events() if event.metadata.get("framework") == framework]
    patterns = memory.get_patterns({event.pattern_id for event in events})
    found = [(patterns[e.pattern_id].description, e.outcome, e.state) for e in events]
    return sorted(found, key=lambda item: (item[0], item[2], item[1] or 0.0))
