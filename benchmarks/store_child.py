"""The other end of ``store_process``: starts it, asks it, and watches its memory."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic
from types import TracebackType
from typing import Any, Self

import numpy as np
import psutil

from benchmarks.measure import ENVIRONMENT, ROOT
from benchmarks.store_data import Data

__all__ = ["Child", "StoreFailedError"]

LOOK_EVERY = 0.05  # seconds


class StoreFailedError(Exception):
    """A store raised, died, or took too long; the text is one line."""


class Child:
    """A process for one store; memory is given less what the process had before it opened the store."""

    def __init__(self, engine: str, folder: Path, data: Data) -> None:
        self._errors = TemporaryFile("w+")  # noqa: SIM115
        words = [engine, str(folder), str(data.vectors), str(data.queries)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.store_process", *words],
            cwd=ROOT, env=ENVIRONMENT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self._memory = psutil.Process(self._process.pid)
        self._before = (0.0, 0.0)
        self.peak_mb = 0.0
        self.ask("ready")
        self._before = self.memory_mb()
        self.peak_mb = 0.0

    def ask(self, what: str, *, limit: float | None = None, **arguments: Any) -> Any:
        """The answer of ``Worker``'s method ``what``; ``limit`` in seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        end = monotonic() + (limit or float("inf"))
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self._process.stdin.flush()
        while not select.select([self._process.stdout], [], [], LOOK_EVERY)[0]:
            self.memory_mb()
            if monotonic() > end:
                raise StoreFailedError(f"stopped: {what} took more than {limit:,.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise StoreFailedError(self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return (lines[-1] if lines else f"the process ended with {code}")[:200]

    def memory_mb(self) -> tuple[float, float]:
        """Private memory (anonymous pages) and resident memory, with files, of it and its children."""
        everyone = [self._memory, *self._memory.children(recursive=True)]
        found = np.sum([_memory_mb(process.pid) for process in everyone], axis=0)
        private, resident = (found - self._before).tolist()
        self.peak_mb = max(self.peak_mb, private)
        return private, resident

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            if file is not None:
                file.close()


def _memory_mb(pid: int) -> list[float]:
    """``RssAnon`` and ``VmRSS``, zeros for a process that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return [0.0, 0.0]
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return [int(fields.get(name, "0 kB").split()[0]) * 1.024e-3 for name in ("RssAnon", "VmRSS")]
