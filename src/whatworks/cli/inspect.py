"""The commands that show a store in a browser: as a server, and as one file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from whatworks.cli.common import Json, Store, opened, print_json
from whatworks.cli.show import count, say, size
from whatworks.errors import InvalidInputError, MissingExtraError

__all__ = ["report", "ui"]


def ui(
    port: Annotated[int, typer.Option(metavar="N", help="Of 127.0.0.1; 0 takes a free one.")] = 0,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Only print the address; do not open your browser.")
    ] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show the store in a browser on this machine until Ctrl-C.

    Example: whatworks ui
    """
    try:
        from whatworks.ui.serving import serve
    except ModuleNotFoundError as error:
        raise _missing("the inspector") from error

    def ready(address: str) -> None:
        if as_json:
            print_json({"url": address})
        else:
            say(f"open {address}")
            say("the address opens once; end it with Ctrl-C")
        sys.stdout.flush()  # somebody may wait for it at the other end of a pipe
        if not no_open and not as_json and _has_screen():
            typer.launch(address)

    with opened(store, embedder="if there") as memory:
        serve(memory, port=port, ready=ready)


def report(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A file that ends in .html or .md.")
    ] = Path("report.html"),
    days: Annotated[int, typer.Option(metavar="N", help="Days that are new.")] = 7,
    patterns: Annotated[
        int, typer.Option(metavar="N", help="How many patterns are shown over time.")
    ] = 12,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Write what works, rises and falls into one file that needs no other.

    Example: whatworks report -o report.html
    """
    form = output.suffix.lower()
    if form not in (".html", ".md"):
        raise InvalidInputError(f"{output} ends in neither .html nor .md; choose one of them")
    try:
        from whatworks.ui.report import as_html, as_markdown
        from whatworks.ui.report import report as made_of
    except ModuleNotFoundError as error:
        raise _missing("the report") from error
    from whatworks.exporters.files import write_text

    with opened(store) as memory:
        made = made_of(memory, days=days, most=patterns)
    text = as_html(made) if form == ".html" else as_markdown(made)
    write_text(output.absolute(), text, mode=0o600)  # what a store holds is not for everybody
    shown, length = len(made.patterns), len(text.encode())
    if as_json:
        print_json({"path": str(output), "patterns": shown, "bytes": length})
    else:
        say(f"{count(shown)} patterns over time, {size(length)}, written to {output}")


def _has_screen() -> bool:
    """Whether a browser would open a window; one in the terminal would be waited for."""
    return sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _missing(what: str) -> MissingExtraError:
    return MissingExtraError(f"{what} needs its extra: pip install 'whatworks[ui]'")
