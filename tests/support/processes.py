"""Processes that do one step after another and say what came of it."""

from __future__ import annotations

import ast
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

__all__ = ["Failed", "Process"]

# Generous: other tests may take all processors meanwhile.
TIMEOUT = 60.0

STEPS = """
import json, sys
space = {"folder": sys.argv[1]}
for line in sys.stdin:
    code, result = json.loads(line), None
    try:
        try:
            step = compile(code, "step", "eval")
        except SyntaxError:
            exec(code, space)
        else:
            result = eval(step, space)
        answer = ["", repr(result)]
    except BaseException as error:
        answer = [type(error).__name__, str(error)]
    print(json.dumps(answer), flush=True)
"""


class Failed(Exception):  # noqa: N818 - it is the outcome of a step
    """A step raised; ``kind`` is the name of the exception."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Process:
    """A Python process on a store; ``do`` runs a step in it and returns what it gives.

    The step is an expression or statements; names stay from step to step,
    ``folder`` is the store's. What it gives must be a literal, else it comes as
    its ``repr``.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", STEPS, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        )
        self._said: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line)
        self._said.put("")

    def begin(self, code: str) -> None:
        """Start a step; ``end`` has its result."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        """What the step that was begun gives."""
        line = self._said.get(timeout=TIMEOUT)
        if not line:
            raise Failed("Ended", f"the process ended with {self._process.wait(TIMEOUT)}")
        kind, text = json.loads(line)
        if kind:
            raise Failed(kind, text)
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text

    def do(self, code: str) -> Any:
        """Run a step."""
        self.begin(code)
        return self.end()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As ``kill -9``; returns when it is gone."""
        self._process.kill()
        self._process.wait(TIMEOUT)

    def finish(self) -> int:
        """Let the process end by itself; return its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(TIMEOUT)

    def clean(self) -> None:
        """Make sure that it is gone."""
        self._process.kill()
        self._process.wait(TIMEOUT)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
