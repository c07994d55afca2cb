"""What children said was safe, and whether a store still has it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.reference import assert_counts_agree

from whatworks import Memory
from whatworks.testing import HashEmbedder

__all__ = ["Acknowledged", "Verdict", "examined", "reopened", "stored_tries"]

# In the report of a view that was put aside and made anew, which is as it should be.
REPAIRED = "rebuilt from the journal"


@dataclass(slots=True)
class Acknowledged:
    """Events with their outcomes, and patterns, of which a call has returned."""

    events: dict[str, str] = field(default_factory=dict)
    patterns: set[str] = field(default_factory=set)

    def hear(self, lines: Iterable[str]) -> None:
        """Take down lines as ``faults.child`` says them; others are passed over."""
        for line in lines:
            kind, *words = line.split()
            if kind in ("event", "resolved"):
                self.events[words[0]] = words[1]
            elif kind == "pattern":
                self.patterns.add(words[0])

    def copy(self) -> Acknowledged:
        return Acknowledged(dict(self.events), set(self.patterns))

    def __len__(self) -> int:
        return len(self.events) + len(self.patterns)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a store no longer has, has twice, or has counted wrong."""

    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    miscounted: tuple[str, ...]
    repairs: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return not (self.lost or self.doubled or self.miscounted)

    def said(self) -> str:
        """In a few words, with an example of each kind."""
        return "; ".join(self.wrongs()) or "sound"

    def wrongs(self) -> list[str]:
        """One line for each kind of thing that is wrong."""
        kinds = {
            "lost": self.lost,
            "other: doubled": self.doubled,
            "other: miscounted": self.miscounted,
        }
        return [f"{kind}: {len(of)} ({of[0]})" for kind, of in kinds.items() if of]


def reopened(store: Path) -> Memory:
    """The store, as the children open it: made if there is none, so that its loss shows."""
    return Memory.open(store, embedder=HashEmbedder())


def examined(memory: Memory, acknowledged: Acknowledged) -> Verdict:
    """Compare a store with what was acknowledged."""
    outcomes: dict[str, str] = {}
    tries: set[str] = set()  # each call names its try, so that one written twice shows
    doubled = []
    for event in memory.iter_events():
        mark = str(event.metadata.get("try", event.event_id))
        if event.event_id in outcomes or mark in tries:
            doubled.append(event.event_id)
        outcomes[event.event_id] = str(event.outcome)
        tries.add(mark)
    patterns = {pattern.pattern_id for pattern in memory.iter_patterns()}
    # The outcome of an open event may have been on its way when its writer died.
    lost = [
        name
        for name, outcome in acknowledged.events.items()
        if outcomes.get(name) != outcome and not (outcome == "None" and name in outcomes)
    ]
    lost += sorted(acknowledged.patterns - patterns)
    problems = memory.stats().problems
    repairs = tuple(problem for problem in problems if REPAIRED in problem)
    wrong = [f"a problem is reported: {problem}" for problem in problems if REPAIRED not in problem]
    return Verdict(tuple(lost), tuple(doubled), (*_miscounted(memory), *wrong), repairs)


def stored_tries(memory: Memory) -> set[str]:
    """The calls, by the name of the try that each gave, of which a store has the event."""
    return {str(event.metadata["try"]) for event in memory.iter_events() if "try" in event.metadata}


def _miscounted(memory: Memory) -> list[str]:
    try:
        assert_counts_agree(memory)
    except AssertionError as error:
        return [f"counts differ from the events: {error}"]
    return []
