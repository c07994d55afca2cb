"""Machines of a team, which exchange when they are told to."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from support.snapshot import snapshot
from whatworks import Memory, config
from whatworks.desk import Desk
from whatworks.team.exchange import Exchange, exchanging
from whatworks.team.records import TeamSync
from whatworks.team.shared import Put
from whatworks.testing import HashEmbedder

__all__ = ["Machine", "agreed", "alone", "put_vectors"]


class Machine:
    """A store of a team, open here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Machine:
        self._stack.enter_context(exchanging(self.folder))  # else its keeper would do it by itself
        self.memory = self._stack.enter_context(Memory.open(self.folder, embedder=HashEmbedder()))
        self.exchange = Exchange(self.folder, self.settle, self.put)
        self._stack.callback(self._close)
        return self

    def _close(self) -> None:
        self.exchange.close()  # which may be another one by now

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def settle(self) -> None:
        """Have the keeper take in what came."""
        self.memory._ask(Desk.put_in_order)

    def put(self, url: str, place: str) -> Put:
        """Have the keeper put vectors where the team shares them."""
        return Put(*self.memory._ask(Desk.put_vectors, url, place))

    def sync(self) -> TeamSync:
        """Exchange once."""
        return self.exchange.once()

    @property
    def journal(self) -> dict[str, bytes]:
        """The bytes of each segment."""
        return {path.name: path.read_bytes() for path in (self.folder / "journal").glob("*.log")}


def put_vectors(*machines: Machine) -> None:
    """Embed and exchange until nothing is left to do."""
    for _ in range(2):
        for machine in machines:
            machine.settle()
            machine.memory.find_similar("anything", limit=1)
            machine.sync()
            while machine.exchange.has_more:
                machine.sync()


def agreed(machines: Sequence[Machine]) -> list[dict[str, Any]]:
    """What each machine answers, once all have everything and have learned what they will."""
    for again in (True, False):
        for _ in range(2):
            for machine in machines:
                machine.sync()
        for machine in machines:
            machine.settle()
            if again:
                snapshot(machine.memory)
    return [snapshot(machine.memory) for machine in machines]


def alone(machine: Machine, folder: Path) -> dict[str, Any]:
    """What a single store answers that has folded this machine's journal in its order."""
    folder.mkdir(mode=0o700)
    config.create(folder, embedder=HashEmbedder().model_id, dim=HashEmbedder().dim, vectors="exact")
    shutil.copytree(machine.folder / "journal", folder / "journal", dirs_exist_ok=True)
    with Memory.open(folder, embedder=HashEmbedder()) as memory:
        return snapshot(memory)
