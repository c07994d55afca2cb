"""The other end of ``worker``: starts a subject in its process, asks it, and reads its memory."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, perf_counter
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks.measure import ENVIRONMENT, ROOT, Footprint, footprint

__all__ = ["Child", "ChildFailedError", "Timed", "peers_python"]

LIMIT = 4 * 3_600.0  # seconds


class ChildFailedError(Exception):
    """The subject raised, died, or took too long; the text is one line."""


class Timed(NamedTuple):
    """Milliseconds and answers of some calls, and the processor's milliseconds for all."""

    ms: list[float]
    cpu_ms: float
    answers: list[Any]


def peers_python() -> str:
    """The Python with the peers: of ``.venv-bench``, or ``$WHATWORKS_PEERS``, else this one."""
    python = Path(os.environ.get("WHATWORKS_PEERS", ROOT / ".venv-bench" / "bin" / "python"))
    return str(python) if python.exists() else sys.executable


class Child:
    """A process for one subject; ``target`` is ``MODULE:CLASS``, ``words`` what it is made with."""

    def __init__(self, target: str, *words: str, python: str = sys.executable) -> None:
        self._errors = TemporaryFile("w+")  # noqa: SIM115
        self._start = perf_counter()
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", target, *words],
            cwd=ROOT, env=ENVIRONMENT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        try:
            self._answer("its start", LIMIT)
            self.before = self.memory()
        except BaseException:
            self.close()
            raise

    def ask(self, what: str, *args: Any, limit: float = LIMIT) -> Any:
        """The answer of the subject's method ``what``; ``limit`` in seconds."""
        return json.loads(self._said({"do": what, "args": args}, what, limit))

    def timed(self, what: str, calls: Sequence[Sequence[Any]], *, limit: float = LIMIT) -> Timed:
        """Call a method once for each of ``calls``."""
        return Timed(**json.loads(self._said({"times": what, "calls": calls}, what, limit)))

    def _said(self, command: object, what: str, limit: float) -> str:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        return self._answer(what, limit)

    def _answer(self, what: str, limit: float) -> str:
        assert self._process.stdout is not None
        end = monotonic() + limit
        if not select.select([self._process.stdout], [], [], max(0.0, end - monotonic()))[0]:
            raise ChildFailedError(f"stopped: {what} took more than {limit:,.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailedError(self._last_words())
        return line

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return (lines[-1] if lines else f"the process ended with {code}")[:200]

    def memory(self) -> Footprint:
        """What the process holds."""
        return footprint(self._process.pid)

    def grown(self) -> Footprint:
        """What it holds beyond what it held when the subject had been made."""
        pairs = zip(self.memory(), self.before, strict=True)
        return Footprint(*(now - before for now, before in pairs))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            if file is not None:
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
