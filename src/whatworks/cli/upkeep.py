"""Commands that look after a store and the program: serve, backups, rebuild, doctor and others."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whatworks import __version__, config
from whatworks.checks import shown
from whatworks.cli.common import Json, Store, embed_waiting, opened, print_json
from whatworks.cli.exits import INCOMPLETE
from whatworks.cli.show import one_line, say
from whatworks.errors import InvalidInputError

if TYPE_CHECKING:
    from whatworks.bulk import RayPool
    from whatworks.embedders import EmbedFunction

__all__ = [
    "backup",
    "bench",
    "demo",
    "doctor",
    "migrate",
    "rebuild",
    "reembed",
    "restore",
    "serve",
    "version",
]


Ray = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Embed by Ray: local, auto, or a cluster's HOST:PORT."),
]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Processes of --ray local, if not all.")]


def serve(
    backup: Annotated[
        str | None, typer.Option(metavar="DIR", help="Make backups into this folder.")
    ] = None,
    every: Annotated[float, typer.Option(metavar="HOURS", help="How often.")] = 24.0,
    keep: Annotated[int, typer.Option(metavar="N", help="How many of them remain.")] = 7,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Keep the store for all other processes until Ctrl-C.

    Example: whatworks serve --backup ~/backups
    """
    import signal
    import threading

    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    with opened(store, embedder="if there") as memory:
        path = str(config.locate(store))
        if as_json:
            print_json({"path": path, "keeper": os.getpid()})
        else:
            say(f"keeping {path} in process {os.getpid()}; end it with Ctrl-C")
        sys.stdout.flush()  # somebody may wait for it at the other end of a pipe
        memory.serve(
            stop,
            backup_to=backup,
            every=timedelta(hours=every),
            keep=keep,
            failed=lambda error: typer.echo(one_line(f"no backup was made: {error}"), err=True),
        )


def rebuild(
    ray: Ray = None, workers: Workers = None, store: Store = None, as_json: Json = False
) -> None:
    """Make evidence and vectors anew from the journal.

    Example: whatworks rebuild
    """
    from whatworks.cli import views

    with _pool(ray, workers) as pool:
        with opened(store) as memory:
            memory.rebuild()
        with opened(store, embedder="if there") as memory:
            embed_waiting(memory, at_least=1, pool=pool)
            made = memory.stats()
    print_json(made) if as_json else views.made(made)


def backup(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Where backups lie.")],
    keep: Annotated[
        int | None, typer.Option(metavar="N", help="Remove the oldest beyond so many.")
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Make a verified backup of the store in a folder of backups.

    Example: whatworks backup ~/backups --keep 7
    """
    from whatworks.cli import views

    with opened(store) as memory:
        made = memory.backup(folder, keep=keep)
    print_json(made) if as_json else views.backed_up(made)


def restore(
    backup: Annotated[
        str, typer.Argument(metavar="BACKUP", help="Folder of one backup.", show_default=False)
    ],
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Make a store from a backup, in a folder that is new or empty.

    Example: whatworks restore ~/backups/whatworks-20261125T010203Z
    """
    from whatworks.backup import restore as bring_back
    from whatworks.cli import views

    made = bring_back(config.locate(backup), config.locate(store))
    print_json(made) if as_json else views.restored(made)


def reembed(
    embedder: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="A function from texts to vectors."),
    ] = None,
    ray: Ray = None,
    workers: Workers = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Change the embedder: new vectors are made, then switched to.

    Example: whatworks reembed --embedder my_package.models:embed
    """
    from whatworks.cli import views
    from whatworks.cli.show import progress

    chosen = None if embedder is None else _loaded(embedder)
    with _pool(ray, workers) as pool, opened(store) as memory:
        before = memory.stats()
        with progress("embedding texts", total=before.patterns + before.contexts) as advance:
            memory.reembed(chosen, progress=advance, pool=pool)
        made = memory.stats()
    print_json(made) if as_json else views.made(made)


def migrate(
    to: Annotated[
        str | None,
        typer.Option(metavar="VECTORS", help="An engine, or an engine and its server: ENGINE+URL."),
    ] = None,
    back: Annotated[bool, typer.Option(help="To the store before the last migration.")] = False,
    drop_old: Annotated[bool, typer.Option(help="Remove the old store, once all is moved.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Move the vectors to another store, without embedding anything anew.

    Example: whatworks migrate --to lance
    """
    from whatworks.cli import views
    from whatworks.cli.show import progress

    if back == (to is not None):
        raise InvalidInputError("expected either --to with a vector store, or --back")
    with opened(store, embedder="if there") as memory:
        held = memory.stats().vectors
        total = sum(held[name]["vectors"] for name in ("patterns", "contexts"))
        with progress("moving vectors", total=2 * total) as advance:
            made = memory.migrate(to, keep=not drop_old, progress=advance)
    print_json(made) if as_json else views.migrated(made)


def _pool(ray: str | None, workers: int | None) -> AbstractContextManager[RayPool | None]:
    """Who embeds, if it is not this process."""
    if ray is None and workers is not None:
        raise InvalidInputError("--workers is for --ray local; say both")
    if ray is None:
        return nullcontext()
    from whatworks.bulk import RayPool

    return RayPool(ray, workers=workers)


def _loaded(name: str) -> EmbedFunction:
    """The object ``module:name``, from here or from what is installed; a class is called."""
    from importlib import import_module

    module, colon, attribute = name.partition(":")
    if not module or not colon or not attribute:
        raise InvalidInputError(f"--embedder is {shown(name)}; expected package.module:name")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        made: EmbedFunction = found() if isinstance(found, type) else found
    except (ImportError, AttributeError, TypeError) as error:
        raise InvalidInputError(f"--embedder {shown(name)} cannot be loaded: {error}") from error
    return made


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Examine every layer, and say how to mend what is found.

    Example: whatworks doctor
    """
    from whatworks.cli import views
    from whatworks.doctor import examine

    folder = config.locate(store)
    found = examine(folder)
    if repair:
        from whatworks.repair import repair as mend

        before, done = found, mend(folder)
        found = examine(folder)
        if as_json:
            print_json({"before": before, "repairs": done, "after": found})
        else:
            views.repaired(before, done, found)
    else:
        print_json(found) if as_json else views.findings(found)
    if any(item.status != "ok" for item in found):
        raise typer.Exit(INCOMPLETE)


def bench(store: Store = None, as_json: Json = False) -> None:
    """Measure how fast whatworks answers on this machine.

    Example: whatworks bench
    """
    from whatworks.bench import main

    main(None if store is None else config.locate(store), as_json)


def demo(store: Store = None, as_json: Json = False) -> None:
    """Learn from a log of real requests, and measure how it chooses.

    Example: whatworks demo
    """
    from whatworks.demo import main

    folder = None if store is None else config.locate(store)
    if folder is not None and (folder / config.FILE).exists():
        raise InvalidInputError(
            f"there is a store in {folder}, and the demo would write into it; give a new folder"
        )
    main(json=as_json, store=folder)


def version(store: Store = None, as_json: Json = False) -> None:
    """Print the version; with --store, that of the store as well.

    Example: whatworks version
    """
    made = None if store is None else config.load(config.locate(store))
    if as_json:
        print_json({"whatworks": __version__, "python": platform.python_version(), "store": made})
        return
    say(f"whatworks {__version__}, Python {platform.python_version()}")
    if made is not None:
        say(f"store of format {made.format}, vectors by {made.embedder} in {made.vectors}")
