"""Exit codes, and how an error becomes one line on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from whatworks.errors import (
    InvalidInputError,
    MissingExtraError,
    ModelMismatchError,
    NotFoundError,
    SchemaVersionError,
    StoreBusyError,
    StoreError,
    WhatWorksError,
)
from whatworks.text import clean_text

__all__ = ["CODES", "INCOMPLETE", "Group"]

UNEXPECTED, USAGE, INCOMPLETE, INTERRUPTED = 1, 2, 3, 130
CODES = {
    0: "done",
    UNEXPECTED: "unexpected error",
    USAGE: "bad input or usage",
    INCOMPLETE: "done, but something was skipped (import, share) or found (doctor)",
    4: "not found",
    5: "store in use",
    6: "store error, or disk full",
    7: "store made with another embedding model",
    8: "store written by a newer whatworks",
}
# The first type that fits counts.
_CODE_OF: tuple[tuple[type[WhatWorksError], int], ...] = (
    (InvalidInputError, USAGE),
    (NotFoundError, 4),
    (StoreBusyError, 5),
    (ModelMismatchError, 7),
    (StoreError, 6),
    (MissingExtraError, 6),
    (SchemaVersionError, 8),
)
TRACEBACK = "WHATWORKS_TRACEBACK"


class Group(TyperGroup):
    """Commands whose errors are one line on stderr, as JSON with ``--json``, and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that ``args`` name, and exit."""
        given = list(sys.argv[1:] if args is None else args) or ["--help"]
        try:
            code = super().main(
                given,
                prog_name=prog_name,
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except typer.Abort:
            code = INTERRUPTED
        except Exception as error:  # noqa: BLE001 - the last resort: nothing but a line may reach the shell
            code = _report(error, as_json="--json" in given)
        sys.exit(code or 0)


def _report(error: Exception, *, as_json: bool) -> int:
    code, kind, message = _described(error)
    message = " ".join(clean_text(message).split())
    if as_json:
        import orjson

        line = orjson.dumps({"error": {"type": kind, "message": message}}).decode()
    else:
        line = f"whatworks: {message}"
    print(line, file=sys.stderr)  # noqa: T201
    return code


def _described(error: Exception) -> tuple[int, str, str]:
    """Exit code, name and message of an error."""
    for kind, code in _CODE_OF:
        if isinstance(error, kind):
            return code, type(error).__name__, str(error)
    # Errors of the argument parser have no public base class in every version of typer.
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return USAGE, "UsageError", _usage(error)
    if isinstance(error, OSError):
        return UNEXPECTED, type(error).__name__, f"the system refused: {error}"
    if os.environ.get(TRACEBACK):
        raise error
    kind_name = type(error).__name__
    hint = f"this is a bug; set {TRACEBACK}=1 to see where"
    return UNEXPECTED, kind_name, f"unexpected {kind_name}: {error}; {hint}"


def _usage(error: Any) -> str:
    message = str(error.format_message()).strip().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see {context.command_path} --help" if context else message
