"""One subject of a benchmark in a process of its own: does what each line of its input says.

``python -m benchmarks.worker MODULE:CLASS ARGUMENT...`` makes the subject and reads JSON objects:
``do`` names one of its methods, ``args`` are its arguments; ``times`` names a method and has a list of
``calls``, which are timed one by one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from time import perf_counter, process_time
from typing import Any

__all__ = ["main"]


def main(words: Sequence[str]) -> None:
    # Libraries may print; the answers have a way of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, _, name = words[0].partition(":")
    subject = getattr(import_module(module), name)(*words[1:])
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if "do" in command:
            answer = getattr(subject, command["do"])(*command["args"])
        else:
            answer = _timed(getattr(subject, command["times"]), command["calls"])
        print(json.dumps(answer, default=str), file=answers, flush=True)


def _timed(method: Any, calls: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Milliseconds and answers of the calls, and the processor's milliseconds for all of them."""
    taken, found = [], []
    cpu = process_time()
    for args in calls:
        start = perf_counter()
        answer = method(*args)
        taken.append(1e3 * (perf_counter() - start))
        found.append(answer)
    return {"ms": taken, "cpu_ms": 1e3 * (process_time() - cpu), "answers": found}


if __name__ == "__main__":
    main(sys.argv[1:])
