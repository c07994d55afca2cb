"""The processes that suites start: each says what it did into a file, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import psutil

__all__ = ["HANGS", "PYTHON", "ROOT", "Child", "keeper_of", "left_behind", "started"]

ROOT = Path(__file__).parents[1]
PYTHON = [sys.executable, "-m"]
# Of a child that a suite starts; ``left_behind`` looks for it.
MARK = "WHATWORKS_FAULTS"
HANGS = 240  # seconds; one that waits for its turn on a busy machine is done before


class Child:
    """A running ``python -m faults.child ...``; what it says goes to ``said``, errors beside it.

    A line written to a file is safe from the death of its writer as one in a pipe is, and no reader
    can be too slow for it.
    """

    def __init__(self, command: Sequence[str], said: Path, **environment: str) -> None:
        self.said = said
        self.errors = said.with_suffix(".err")
        self._heard = 0
        with said.open("ab") as out, self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {MARK: str(os.getpid())} | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def wait(self, seconds: float) -> int:
        """Its exit code; killed, and a ``TimeoutExpired``, if it takes longer than ``seconds``."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def lines(self) -> list[str]:
        """All whole lines that it has said so far."""
        return self.said.read_text().rpartition("\n")[0].splitlines()

    def news(self) -> list[str]:
        """The whole lines that it has said since this was last asked."""
        with self.said.open("rb") as file:
            file.seek(self._heard)
            whole, end, _ = file.read().rpartition(b"\n")
        self._heard += len(whole + end)
        return whole.decode().splitlines()

    def wait_for(self, word: str, seconds: float = 60) -> str:
        """The first line that begins with ``word``."""
        limit = monotonic() + seconds
        while monotonic() < limit:
            running = self.running()
            for line in self.lines():
                if line.startswith(word):
                    return line
            if not running:
                break
            sleep(0.005)
        raise RuntimeError(f"a child did not say {word!r}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it said, and of what it wrote on stderr."""
        return f"{self.said.read_text()[-500:]}{self.errors.read_text()[-1_500:]}"


@contextmanager
def started() -> Iterator[list[Child]]:
    """A list for children; all that are in it are dead afterwards."""
    children: list[Child] = []
    try:
        yield children
    finally:
        for child in children:
            if child.running():
                child.kill()


def keeper_of(store: Path) -> int | None:
    """The process that keeps a store, as its lock says."""
    try:
        return int((store / "keeper.lock").read_text())
    except (OSError, ValueError):
        return None


def left_behind() -> list[str]:
    """Processes of our suites that still live, as a command line each."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(os.getpid()):
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found
