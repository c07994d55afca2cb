"""The command that forgets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from whatworks.cli.common import MAX_STDIN_BYTES, Json, Store, moment, opened, print_json
from whatworks.cli.show import say

if TYPE_CHECKING:
    from whatworks.records import Forgotten

__all__ = ["forget"]


def forget(
    patterns: Annotated[
        list[str] | None, typer.Argument(metavar="[PATTERN]...", help="Ids of patterns.")
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option(metavar="EVENT", help="A try by its id; repeat for more.")
    ] = None,
    containing: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Whatever holds this text; - reads standard input."),
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Tries from this source.")
    ] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Tries of this session.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Tries at or after this day or time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Tries before this day or time.")
    ] = None,
    backups: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Then make a backup here, and remove all older ones."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Forget patterns or tries for good, also on the disk.

    Example: whatworks forget --containing "acme corp" --dry-run
    """
    from whatworks.cli import views

    # Not cleaned: what is stored is looked for as it was.
    wanted = sys.stdin.read(MAX_STDIN_BYTES).rstrip("\n") if containing == "-" else containing
    with opened(store, embedder="if there") as memory:

        def told(*, count: bool) -> Forgotten:
            return memory.forget(
                patterns,
                events=event,
                source=source,
                session_id=session,
                since=moment(since, "--since"),
                until=moment(until, "--until"),
                containing=wanted,
                dry_run=count,
                now=True,
            )

        found = told(count=True)
        if as_json and (dry_run or not yes):  # asking would not be JSON: without --yes it only counts
            print_json(found)
            return
        ends = dry_run or not any(
            (found.patterns, found.events, found.predictions, found.priors, found.records)
        )
        if not as_json and (ends or not yes):
            views.forgotten(found)
        if ends:
            return
        if not yes and not typer.confirm("Forget this for good?"):
            say("nothing was forgotten")
            return
        found = told(count=False)
        made = None if backups is None else memory.backup(backups, keep=1)
    if as_json:
        print_json(found)
        return
    views.forgotten(found)
    if made is None:
        say("backups made before still hold it; --backups DIR replaces them by a new one")
    else:
        views.backed_up(made)
