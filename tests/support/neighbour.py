"""A second process on a store, which is told what to do, and can be killed at any time.

``python -m support.neighbour`` reads one JSON line per order and answers with one. Orders are
carried out by a child of that process, so that another one is there at once when it was killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from whatworks import Memory, keeper
from whatworks.testing import HashEmbedder

__all__ = ["Neighbour"]


class Neighbour:
    """The other end: started when it is first needed, and again after it was killed."""

    def __init__(self) -> None:
        root = Path(__file__).parents[1]
        paths = [str(root), str(root.parent / "src"), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.neighbour"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )

    def ask(self, order: str, store: Path, *values: Any) -> Any:
        """What it answers to an order: ``add``, ``record``, ``counts``, ``close`` or ``pid``."""
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps([order, str(store), *values]) + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, "the neighbour ended"
        return orjson.loads(answer)

    def kill(self, store: Path) -> None:
        """End it as ``kill -9`` does, whatever it holds."""
        os.kill(self.ask("pid", store), signal.SIGKILL)
        self._answer()  # a process that is not dead yet might take the next order

    def end(self) -> None:
        """Let it close everything and go."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it failed, and whoever asked was told
            self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


# -- the process ------------------------------------------------------------------------------------


def _serve() -> None:
    opened: tuple[str, Memory] | None = None
    # No buffer: what is not read yet is for the next one, if this one is killed.
    while line := _line():
        order, store, *values = orjson.loads(line)
        if opened is not None and (opened[0] != store or order == "close"):
            opened[1].close()
            opened = None
        if opened is None and order not in ("close", "pid"):
            opened = store, Memory.open(store, embedder=HashEmbedder(), durability="process")
        answer = os.getpid() if opened is None else _done(opened[1], order, values)
        os.write(1, orjson.dumps(answer) + b"\n")
    if opened is not None:
        opened[1].close()


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        read = os.read(0, 1)
        if not read:
            return b""
        line += read
    return line


def _done(memory: Memory, order: str, values: list[Any]) -> Any:
    if order == "add":
        return memory.add_pattern(values[1], pattern_id=values[0]).pattern_id
    if order == "record":
        return memory.record(values[0], outcome=values[1], context=values[2]).event_id
    if order == "counts":
        stats = memory.stats()
        return [stats.patterns, stats.events, stats.resolved, stats.pending, list(stats.problems)]
    return os.getpid()


def main() -> None:
    """Keep one child that serves, until it is told to end."""
    keeper.FRESH_SECONDS = float("inf")  # what one process wrote the other sees at once
    while True:
        pid = os.fork()
        if pid == 0:
            _serve()
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status):  # told to end, or failed
            return
        os.write(1, b'"killed"\n')


if __name__ == "__main__":
    main()
