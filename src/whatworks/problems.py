"""What went wrong with a store, for ``stats`` to tell."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["FULL", "Problems"]

FULL = "the disk is full: questions are answered from what was folded before it was"


class Problems:
    """Texts that say what went wrong, each once, in the order in which they came."""

    def __init__(self) -> None:
        self._noted: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._noted))

    def note(self, problem: str) -> None:
        """Have ``stats`` tell of a problem, once."""
        if problem not in self._noted:
            self._noted.append(problem)

    def clear(self, begin: str) -> None:
        """Have it tell no more of those that begin with these words."""
        self._noted[:] = [problem for problem in self._noted if not problem.startswith(begin)]
