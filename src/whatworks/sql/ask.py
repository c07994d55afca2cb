"""Asking: a process of its own runs the statement on a copy, and what it writes is read back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from whatworks.checks import shown
from whatworks.errors import InvalidInputError
from whatworks.findings import Rows
from whatworks.sql.limits import Limits

__all__ = ["ask", "require_text", "starting"]

Process = subprocess.Popen[bytes]

LONGEST = 65_536

# What starting takes, on a machine that is busy, beside the seconds that a statement may take.
STARTING = 20.0
# How the system ends a process that has used up its processor time: first asked to, then made to.
_TOO_LONG = (signal.SIGXCPU, signal.SIGKILL) if sys.platform != "win32" else ()
_TIMES: dict[str, Callable[[str], Any]] = {
    "DATE": date.fromisoformat,
    "TIMESTAMP": lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
}


def require_text(query: object) -> None:
    """Raise unless this may be a statement at all."""
    if not isinstance(query, str) or not query.strip():
        raise InvalidInputError(f"query is {shown(query)}; expected a SELECT as text")
    try:
        size = len(query.encode())
    except UnicodeEncodeError:
        raise InvalidInputError("query holds half a character; expected a SELECT as text") from None
    if size > LONGEST or "\0" in query:
        raise InvalidInputError(f"query has {size:,} bytes; expected at most {LONGEST:,}, and no zero")


@contextmanager
def starting() -> Iterator[Process]:
    """A process for one statement; it loads the engine while the copy for it is made."""
    # Without -P a folder that somebody is in could bring modules of its own.
    words = [sys.executable, "-P", "-m", "whatworks.sql.child"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()  # which does nothing once it has ended


def ask(process: Process, snapshot: Path, query: str, limits: Limits) -> Rows:
    """The rows of one SELECT from the documented views in ``snapshot``.

    Parameters
    ----------
    process
        As by ``starting``; it ends.
    snapshot
        A copy of the evidence, which nobody writes to.

    Raises
    ------
    InvalidInputError
        The statement is none that may run, is wrong, or takes more than ``limits``.
    """
    request = {
        "snapshot": str(snapshot),
        "query": query,
        "rows": limits.rows,
        "bytes": limits.bytes,
        "memory": limits.memory,
        "seconds": limits.seconds,
    }
    try:
        written, _ = process.communicate(json.dumps(request).encode(), limits.seconds + STARTING)
    except subprocess.TimeoutExpired:
        raise _too_long(limits) from None
    return _read(written, process.returncode, limits)


def _read(written: bytes, code: int, limits: Limits) -> Rows:
    lines = [json.loads(line) for line in written.splitlines()]
    said = lines[-1] if lines else None
    if isinstance(said, dict) and "error" in said:
        raise InvalidInputError(f"the statement did not run: {said['error']}")
    if not isinstance(said, dict) or "cut" not in said:  # it was ended from outside, or by a limit
        if -code in _TOO_LONG:
            raise _too_long(limits)
        raise InvalidInputError("the statement did not run to its end: it needs too much memory")
    names = tuple(name for name, _ in lines[0]["columns"])
    kinds = tuple(kind for _, kind in lines[0]["columns"])
    return Rows(names, kinds, tuple(_typed(row, kinds) for row in lines[1:-1]), cut=said["cut"])


def _typed(row: Sequence[Any], kinds: Sequence[str]) -> tuple[Any, ...]:
    return tuple(
        _time(kind, value) if kind in _TIMES and value is not None else value
        for value, kind in zip(row, kinds, strict=True)
    )


def _time(kind: str, value: str) -> Any:
    """A day or a time; as text where Python has none that late or early."""
    try:
        return _TIMES[kind](value)
    except ValueError:
        return value


def _too_long(limits: Limits) -> InvalidInputError:
    return InvalidInputError(
        f"the statement takes more than {limits.seconds:g} seconds; ask for less at a time"
    )
