"""The commands that take patterns out of sight, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from whatworks.cli.common import Json, Store, next_command, opened, print_json
from whatworks.cli.show import cell, count, say, show, table

__all__ = ["archive", "optimize", "unarchive"]

Pattern = Annotated[str, typer.Argument(metavar="PATTERN", help="Id of the pattern.")]


def optimize(
    apply: Annotated[bool, typer.Option("--apply", help="Archive them.")] = False,
    keep: Annotated[
        int | None, typer.Option(metavar="N", help="Let at most so many patterns stay.")
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Propose patterns to archive: junk, harmful, duplicate, stale ones.

    Example: whatworks optimize --keep 1000
    """
    with opened(store) as memory:
        found = memory.optimize(apply=apply, keep=keep)
    if as_json:
        print_json(found)
        return
    if not found:
        say("nothing to archive")
        return
    rows = [(item.kind, cell(item.description, (item.pattern_id, "cyan"), item.why)) for item in found]
    show(table(("kind", "*pattern"), rows))
    say("")
    if apply:
        say(f"{count(len(found))} archived; back: whatworks unarchive PATTERN")
    else:
        say(f"{count(len(found))} would be archived:", next_command("optimize", "--apply", store=store))


def archive(
    pattern: Pattern,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, in words.")] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Take a pattern out of what is found, listed and recommended.

    Example: whatworks archive 8c8d1ab2e4b70f1e --reason "the tool is gone"
    """
    with opened(store) as memory:
        found = memory.archive(pattern, reason=reason)
    if as_json:
        print_json(found)
        return
    say(f"pattern {found.pattern_id} is archived; its tries stay")
    say("back:", next_command("unarchive", found.pattern_id, store=store))


def unarchive(pattern: Pattern, store: Store = None, as_json: Json = False) -> None:
    """Bring a pattern back that was archived.

    Example: whatworks unarchive 8c8d1ab2e4b70f1e
    """
    with opened(store) as memory:
        found = memory.unarchive(pattern)
    if as_json:
        print_json(found)
        return
    say(f"pattern {found.pattern_id} is found and recommended again")
