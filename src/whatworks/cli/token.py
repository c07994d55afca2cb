"""Commands for tokens: which namespaces of a root each opens to agents on other machines."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whatworks import config
from whatworks.cli.common import Json, opened, print_json
from whatworks.cli.show import NONE, cell, say, show, table, when
from whatworks.errors import WhatWorksError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from whatworks.spaces.tokens import Token

__all__ = ["add", "list_", "remove"]

Name = Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")]
Root = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the namespaces, each a store; else $WHATWORKS_ROOT."),
]


def add(
    name: Name,
    namespace: Annotated[
        list[str], typer.Option(metavar="NAME", help="What it opens; repeat for more. Made if missing.")
    ],
    read_only: Annotated[
        bool, typer.Option("--read-only", help="It may ask, and record no outcomes; answers are kept.")
    ] = False,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Kept with every try; else the token's name.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(metavar="N", help="For how long it is valid; else for ever.")
    ] = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Make a token for namespaces, and print it: nothing shows it again.

    Example: whatworks token add ada --namespace web --root team
    """
    from whatworks.spaces import names, tokens

    place = names.root(root)
    made, secret = tokens.add(place, name, namespace, writes=not read_only, source=source, days=days)
    try:
        missing = [item for item in made.namespaces if _founded(names.folder(place, item))]
    except WhatWorksError:
        tokens.remove(place, name)  # its secret would never be shown
        raise
    if as_json:
        print_json({"token": secret, "made": missing, **asdict(made)})
        return
    for item in missing:
        say(f"made the namespace {item}")
    say(f"{made.name} {_rights(made)} {', '.join(made.namespaces)}; its token:")
    say(secret)


def list_(root: Root = None, as_json: Json = False) -> None:
    """List the tokens of a root: what each opens, and until when.

    Example: whatworks token list --root team
    """
    from whatworks.spaces import names, tokens

    place = names.root(root)
    names.require_root(place)
    found = tokens.listed(place)
    if as_json:
        print_json(found)
    elif found:
        columns = ("token", "may", "*namespaces", "source", "made", "until")
        show(table(columns, [_row(token, datetime.now(UTC)) for token in found]))
    else:
        say("there is no token: whatworks token add makes one")


def remove(name: Name, root: Root = None, as_json: Json = False) -> None:
    """Take a token away, also from servers that are running.

    Example: whatworks token remove ada --root team
    """
    from whatworks.spaces import names, tokens

    gone = tokens.remove(names.root(root), name)
    print_json(gone) if as_json else say(f"the token {gone.name} opens nothing any more")


def _founded(folder: Path) -> bool:
    """Make the store of a namespace, and say whether there was none."""
    if (folder / config.FILE).exists():
        return False
    opened(str(folder), create=True).close()
    return True


def _rights(token: Token) -> str:
    return "reads and writes" if token.writes else "reads"


def _row(token: Token, now: datetime) -> Sequence[RenderableType]:
    until = NONE if token.expires_at is None else when(token.expires_at)
    return (
        token.name,
        "write" if token.writes else "read",
        cell(", ".join(token.namespaces), cut=False),
        token.source,
        when(token.made_at),
        until if token.is_valid(now) else cell(until, ("expired", "red")),
    )
