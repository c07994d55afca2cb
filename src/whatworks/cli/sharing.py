"""The command that shares: from one store to another, and nothing else crosses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whatworks import config
from whatworks.cli.common import Json, Store, embed_waiting, next_command, opened, print_json
from whatworks.cli.exits import INCOMPLETE
from whatworks.cli.show import cell, count, say, show, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from whatworks.sharing import Shared, SharedPattern

__all__ = ["share"]


def share(
    patterns: Annotated[list[str], typer.Argument(metavar="PATTERN...", help="Ids of patterns.")],
    to: Annotated[
        str,
        typer.Option(metavar="NAMESPACE|PATH", help="Where to: of the root, or folder of a store."),
    ],
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where --to lies by its name; else $WHATWORKS_ROOT."),
    ] = None,
    with_contexts: Annotated[
        bool, typer.Option("--with-contexts", help="Also contexts, files, tools and metadata.")
    ] = False,
    aggregate: Annotated[
        bool, typer.Option("--aggregate", help="One rate and count, and no single try.")
    ] = False,
    origin: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="What the source is called there; else the folder."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would cross.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Copy patterns and what came of them to another store.

    Example: whatworks share fix-imports --to ops --root team --store team/web
    """
    from whatworks import sharing

    place = _target(to, root)
    with opened(store) as memory, opened(place, embedder="if there") as target:
        done = sharing.share(
            memory, target, patterns,
            origin=origin, contexts=with_contexts, aggregate=aggregate, dry_run=dry_run,
        )  # fmt: skip
        if not dry_run:
            embed_waiting(target)
    print_json(done) if as_json else _shown(done)
    if any(one.refused for one in done.patterns):
        raise typer.Exit(INCOMPLETE)


def _target(to: str, root: Path | None) -> str:
    """The folder that is meant: a name is a namespace where there is a root, all else a path."""
    from whatworks.spaces import names

    if root is not None or (names.is_name(to) and names.is_rooted()):
        place = names.root(root)
        names.require_root(place)
        return str(names.folder(place, to))
    return str(config.locate(to))


def _shown(done: Shared) -> None:
    show(table((">tries", ">known", "*pattern"), [_row(one) for one in done.patterns]))
    crossed = [one for one in done.patterns if one.refused is None]
    tries = sum(one.tries for one in crossed)
    texts = sum(one.contexts for one in crossed)
    what = f"{count(len(crossed))} patterns, {count(tries)} tries, {count(texts)} texts of contexts"
    say("would cross" if done.dry_run else "crossed", f"as {done.source}: {what}")
    if done.distrusted:
        say(f"{done.path} distrusts {done.source}: its tries are kept there and count for nothing")
        say("to take that back:", next_command("unjudge", done.source, store=done.path))
    if not done.dry_run and any(one.tries for one in crossed):
        say("to see who tells what there:", next_command("sources", store=done.path))


def _row(one: SharedPattern) -> Sequence[RenderableType]:
    if one.refused is not None:
        note = (one.refused, "red")
    elif one.aggregate is not None:
        rate, tries = one.aggregate
        note = (f"{rate:.2f} in {count(tries)} tries, as one aggregate", "dim")
    else:
        said = ["new there" if one.new else "there already"]
        said += [f"{count(one.corrected)} outcomes corrected"] if one.corrected else []
        note = (", ".join(said), "dim")
    return count(one.tries), count(one.known), cell(one.description, (one.pattern_id, "dim"), note)
