"""Commands of a team: make it, join it, see how far each machine is, exchange."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from whatworks import config
from whatworks.cli.common import Json, Store, opened, print_json
from whatworks.cli.show import one_line, say

if TYPE_CHECKING:
    from pathlib import Path

    from whatworks.errors import WhatWorksError
    from whatworks.team.records import TeamSync
    from whatworks.team.settings import Settings

__all__ = [
    "doctor",
    "grant",
    "init",
    "join",
    "namespaces",
    "retire",
    "snapshot",
    "status",
    "sync",
    "vectors",
]

Url = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        help="postgresql://USER@HOST/DATABASE[?namespace=NAME], no password.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="What to call this machine; else its host name.")
]


def init(url: Url, name: Name = None, store: Store = None, as_json: Json = False) -> None:
    """Make a team of the store, in a Postgres database or a namespace of it.

    Example: whatworks team init postgresql://ada@db.example.org/memory
    """
    from whatworks.team import membership

    folder = config.locate(store)
    if not (folder / config.FILE).exists():
        membership.require_free(url)  # else a store would be left that can join no team
        opened(store, create=True).close()
    made = membership.init(folder, url, name=name)
    _entered(folder, made, as_json=as_json, did="made a team, of which this machine is the first")


def join(
    url: Url,
    name: Name = None,
    model: Annotated[
        str | None, typer.Option(metavar="ID", help="The embedder used here; else the built-in one.")
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Make a new store that is a machine of the team in a database.

    Example: whatworks team join postgresql://ada@db.example.org/memory
    """
    from whatworks.team import membership

    folder = config.locate(store)
    made = membership.join(folder, url, name=name, model=model)
    _entered(folder, made, as_json=as_json, did="joined the team")


def _entered(folder: Path, made: Settings, *, as_json: bool, did: str) -> None:
    if as_json:
        print_json({"path": str(folder), "url": made.url, "name": made.name, "machine": made.machine})
        return
    say(f"{did}: {made.name}")
    say(str(folder))


def status(store: Store = None, as_json: Json = False) -> None:
    """Show how far each machine of the team is.

    Example: whatworks team status
    """
    from whatworks.cli import team_view
    from whatworks.team import membership

    found = membership.status(config.locate(store))
    print_json(found) if as_json else team_view.status(found)


def sync(
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(metavar="SECONDS", help="How often, with --follow.")] = 1.0,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Ship what this machine recorded, and fetch what the others did.

    Example: whatworks team sync --follow
    """
    import signal
    import threading

    from whatworks.team import syncing

    folder = config.locate(store)
    if not follow:
        done = syncing.sync(folder)
        print_json(asdict(done)) if as_json else _moved(done)
        return
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if as_json:
        print_json({"path": str(folder), "every": every})
    else:
        say(f"exchanging every {every:g} s for {folder}; end it with Ctrl-C")
    sys.stdout.flush()  # somebody may wait for it at the other end of a pipe
    said: str | None = None

    def tell(told: TeamSync) -> None:
        nonlocal said
        if not as_json and (told.shipped or told.fetched or told.problem not in (None, said)):
            _moved(told)
        said = told.problem

    syncing.follow(folder, stop, every=every, done=tell, failed=_failed)


def doctor(store: Store = None, as_json: Json = False) -> None:
    """Examine the team's database and this machine's place in it.

    Example: whatworks team doctor
    """
    from whatworks.cli import views
    from whatworks.cli.exits import INCOMPLETE
    from whatworks.team.doctor import examine

    found = examine(config.locate(store))
    print_json(found) if as_json else views.findings(found)
    if any(item.status != "ok" for item in found):
        raise typer.Exit(INCOMPLETE)


def grant(
    user: Annotated[str, typer.Argument(metavar="USER", help="A user of the database.")],
    role: Annotated[str, typer.Option(metavar="ROLE", help="writer, reader or none.")] = "writer",
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Let a user of the database write to the team, read from it, or neither.

    Example: whatworks team grant eve --role reader
    """
    from whatworks.team import membership

    said = membership.grant(config.locate(store), user, role)
    if as_json:
        print_json({"user": user, "role": role, "statements": said})
    else:
        say(f"{user} has the role: {role}")


def namespaces(
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="Of the database; else that of the store's team."),
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """List the namespaces of the team's database in which one may read.

    Example: whatworks team namespaces postgresql://ada@db.example.org/memory
    """
    from whatworks.cli import team_view
    from whatworks.team import listing, settings

    found = listing.namespaces(url or settings.load(config.locate(store)).url)
    print_json(found) if as_json else team_view.namespaces(found)


def retire(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As whatworks team status shows it.")],
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Have the team wait no more for a machine that will not come back.

    Example: whatworks team retire bob
    """
    from whatworks.team import membership
    from whatworks.team.exchange import RESCUE

    membership.retire(config.locate(store), name)
    if as_json:
        print_json({"retired": name})
        return
    say(f"the team no longer waits for {name}")
    say(f"what {name} has not shipped is there alone; if it comes back: {RESCUE}")


def snapshot(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL", help="s3://BUCKET/PREFIX; else where this machine put the last one."
        ),
    ] = None,
    cut: Annotated[bool, typer.Option("--cut", help="Shorten the log by what it holds.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Put the team's journal on S3, so that new machines start from there.

    Example: whatworks team snapshot s3://backups/memory --cut
    """
    from whatworks.cli.show import count, size
    from whatworks.team import snapshots

    made = snapshots.make(config.locate(store), url, shorten=cut)
    if as_json:
        print_json(made)
        return
    say(f"{count(made.entry)} entries, {size(made.bytes)}, take {size(made.stored)} in {made.url}")
    if made.removed:
        say(f"removed {made.removed} older")
    if made.cut is not None:
        say(f"cut {count(made.cut)} entries from the log")


def _moved(told: TeamSync) -> None:
    from whatworks.cli.show import size

    erased = f", erased {told.erased} records there" if told.erased else ""
    say(f"shipped {size(told.shipped)}, fetched {size(told.fetched)}{erased}")
    if told.problem:
        say(told.problem)
    sys.stdout.flush()


def _failed(error: WhatWorksError) -> None:
    typer.echo(one_line(str(error)), err=True)


def vectors(
    url: Annotated[
        str,
        typer.Argument(metavar="URL", help="s3://BUCKET/PREFIX, qdrant+https://HOST:6333, or none."),
    ],
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Share the team's vectors, so that each text is embedded once.

    Example: whatworks team vectors s3://memory/vectors
    """
    from whatworks.team import shared

    folder = config.locate(store)
    if url == "none":
        stopped = shared.stop(folder)
        said = "the team shares its vectors no more" if stopped else "the team shares no vectors"
        print_json({"url": None}) if as_json else say(said)
        return
    shared.give(folder, url, change=True)
    print_json({"url": url}) if as_json else say(f"the team shares its vectors in {url}")
