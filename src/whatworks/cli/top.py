"""The command that opens the terminal's inspector."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from whatworks.cli.common import Json, Store, opened, print_json
from whatworks.errors import InvalidInputError, MissingExtraError

__all__ = ["top"]


def top(
    store: Store = None,
    as_json: Json = False,
    to: Annotated[str, typer.Option("--export-to", metavar="DIR", help="Where e writes.")] = ".",
) -> None:
    """Look through patterns in the terminal: search, details, export, forget.

    Example: whatworks top
    """
    if as_json:  # what the list would begin with
        with opened(store) as memory:
            print_json(memory.patterns(limit=50))
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):  # it would wait for keys that never come
        raise InvalidInputError("top needs a terminal; for programs there is top --json")
    try:
        from whatworks.tui.app import Top
    except ModuleNotFoundError as error:
        raise MissingExtraError("top needs its extra: pip install 'whatworks[tui]'") from error
    with opened(store, embedder="if there") as memory:
        Top(memory, folder=Path(to)).run()
