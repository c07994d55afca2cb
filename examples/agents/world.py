"""A world of 200 tasks for agents that learn: which tool helps depends on the situation.

The same for every framework, so that their curves can be compared. The model
is a fake one that needs no network: it reads its instructions, takes the first
tool that they recommend, and otherwise one at random. Nothing else tells it
which tool helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whatworks import Memory

TASKS = 200
TOOLS = {
    "pin_versions": "Pin the versions of the dependencies",
    "clear_cache": "Clear the build cache and run again",
    "raise_timeout": "Raise the time limit of the test",
    "mock_clock": "Put a fake clock in place of the real one",
    "retry_backoff": "Retry with backoff",
    "read_changelog": "Read the changelog of the dependency first",
}
# What goes wrong, and how often each tool mends it; all others do one time in ten.
SITUATIONS = {
    "an import of a package fails after it was upgraded": {"read_changelog": 0.85, "pin_versions": 0.5},
    "a test of dates fails at the end of the month": {"mock_clock": 0.9},
    "a download from the registry was reset by peer": {"retry_backoff": 0.9, "raise_timeout": 0.4},
    "the linker does not find a symbol that exists": {"clear_cache": 0.85},
}
DETAILS = ("in the shop", "in CI", "on main", "since this morning", "for the parser", "in nightly runs")


def tell(memory: Memory) -> None:
    """Tell a memory which tools there are; what they are worth it finds out."""
    memory.add_patterns(
        {"description": f"Use the tool {name}", "pattern_type": "tool"} for name in TOOLS
    )


class FailedError(Exception):
    """The tool did not help."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that went wrong, and by its own luck which tools would mend it."""

    text: str
    mended_by: frozenset[str]

    def attempt(self, tool: str) -> str:
        """Try a tool; raises ``FailedError`` where it does not help."""
        if tool not in self.mended_by:
            raise FailedError(f"{tool} did not help")
        return "mended"


def tasks(seed: int) -> Iterator[Task]:
    """The tasks of a seed, always the same ones."""
    random = Random(seed)
    for _ in range(TASKS):
        situation = random.choice(list(SITUATIONS))
        odds = SITUATIONS[situation]
        mended = frozenset(tool for tool in TOOLS if random.random() < odds.get(tool, 0.1))
        yield Task(f"{situation} {random.choice(DETAILS)}", mended)


class FakeModel:
    """Chooses a tool as a model would that believes its instructions, and has no idea of its own."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def choose(self, instructions: str) -> str:
        """The tool that the instructions name first, unless they expect little of all they name."""
        told = [
            (name, line)
            for line in instructions.splitlines()
            for name, description in TOOLS.items()
            if "; expect " in line and (name in line or description in line)
        ]
        for name, line in told:
            if ": not recommended;" not in line:
                return name
        named = {name for name, _ in told}
        return self._random.choice([name for name in TOOLS if name not in named] or list(TOOLS))
