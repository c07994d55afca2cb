"""Commands for agents: mcp."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from whatworks import config
from whatworks.cli.common import Json, Limit, Store, opened, print_json, text
from whatworks.cli.show import say
from whatworks.errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    from whatworks.hooks.settings import Prompt
    from whatworks.mcp.address import Address
    from whatworks.memory import Memory

__all__ = ["install", "mcp", "plugin", "suggest", "sync", "teach", "uninstall"]

Client = Annotated[
    str, typer.Argument(metavar="CLIENT", help="claude, codex, gemini, cursor or opencode.")
]
Project = Annotated[
    str | None, typer.Option(metavar="DIR", help="Into a project's settings, not the user's own.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def mcp(
    http: Annotated[
        bool, typer.Option("--http", help="Serve over HTTP with a token, not on standard input.")
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --http: all namespaces in it; else $WHATWORKS_ROOT."),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="With --http.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="With --http.")] = 8_765,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="Another Host that clients may name.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Another Origin that browsers may come from."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A certificate and its chain (PEM).")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key (PEM).")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy in front does TLS.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Who writes; kept with every try. Default: mcp, or mcp-http."
        ),
    ] = None,
    store: Store = None,
) -> None:
    """Serve the memory to agents by the Model Context Protocol (MCP).

    Example: whatworks mcp
    """
    try:
        from whatworks.mcp import serving
        from whatworks.mcp.address import Address
        from whatworks.mcp.server import build
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "the MCP server needs its extra: pip install 'whatworks[mcp]'"
        ) from error
    from whatworks.mcp.source import Source
    from whatworks.spaces import names

    address = Address(port, host, allow_host or (), allow_origin or (), tls_cert, tls_key, behind_proxy)
    if root is None and http and store is None and source is None and names.is_rooted():
        root = names.root(None)
    if root is not None:
        if not http:
            raise InvalidInputError("--root serves namespaces over HTTP: add --http")
        if source is not None or store is not None:
            raise InvalidInputError(
                "--root serves namespaces with --http, and a token names its source: leave out --store "
                "and --source"
            )
        _serve_spaces(root, address)
        return
    # Whoever has the token may write over HTTP; what that counts is bounded (evidence/quarantine.py).
    channel = "mcp-http" if http else "mcp"
    told_by = channel if source is None else source

    def open_memory() -> Memory:
        from whatworks.memory import Memory

        return Memory.open(store, source=told_by, channel=channel)

    behind = Source(open_memory, config.locate(store), apart=f"{told_by}/" if http else "")
    server = build(behind, forgets=not http)
    if http:
        serving.run_http(server, address=address)
    else:
        serving.run_stdio(server)


def _serve_spaces(root: Path, address: Address) -> None:
    from whatworks.embedders.minilm import MiniLM
    from whatworks.mcp import serving
    from whatworks.mcp.pool import Pool
    from whatworks.spaces import names
    from whatworks.spaces.tokens import Keys, listed

    place = names.root(root)
    names.require_root(place)
    if not listed(place):  # says also what is wrong with the file before anything is served
        typer.echo("no token opens anything yet: whatworks token add makes one", err=True)
    model = MiniLM()  # one for all: it holds more than an open store

    def open_memory(folder: Path, source: str) -> Memory:
        from whatworks.memory import Memory

        return Memory.open(folder, embedder=model, create=False, source=source, channel="mcp-http")

    serving.run_spaces(Pool(place, open_memory), Keys(place), address=address)


def suggest(
    situation: Annotated[str, typer.Argument(metavar="TEXT", help="A text; - reads standard input.")],
    limit: Limit = 3,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="Whose hooks will tell what came of it.")
    ] = None,
    text_only: Annotated[
        bool, typer.Option("--text-only", help="The text for a prompt, or nothing.")
    ] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Suggest what works in a situation, as text for a prompt.

    Example: whatworks suggest "a date test is flaky in CI"
    """
    from whatworks.hooks.absorb import absorb_store, showed

    given, folder = text(situation), config.locate(store)
    absorb_store(folder)
    with opened(store, embedder="needed") as memory:
        made = memory.suggest(given, limit=limit)
    if session:
        showed(folder, made.prediction, session)
    if as_json:
        print_json(made)
    elif made.text or text_only:
        sys.stdout.write(f"{made.text}\n" if made.text else "")
    else:
        say("nothing is known of such a situation yet: record what you try with whatworks record")


def sync(store: Store = None, as_json: Json = False) -> None:
    """Take in what the hooks of coding agents have written down.

    Example: whatworks sync
    """
    from whatworks.hooks.absorb import absorb_store

    count = absorb_store(config.locate(store))
    print_json({"tries": count}) if as_json else say(f"{count} tries taken in")


def install(
    client: Client,
    project: Project = None,
    prompt: Annotated[
        str, typer.Option(metavar="HOW", help="Suggestions by a command, mcp (Claude Code), or none.")
    ] = "command",
    yes: Yes = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Have a coding agent tell what it does, by hooks in its settings.

    Example: whatworks install claude
    """
    if prompt not in ("command", "mcp", "none"):
        raise InvalidInputError(f"prompt is {prompt!r}; expected 'command', 'mcp' or 'none'")
    how = cast("Prompt", prompt)
    _change(client, project, yes=yes, undo=False, prompt=how, store=store, as_json=as_json)


def uninstall(
    client: Client,
    project: Project = None,
    yes: Yes = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Take out of a coding agent's settings what install wrote.

    Example: whatworks uninstall claude
    """
    _change(client, project, yes=yes, undo=True, prompt="none", store=store, as_json=as_json)


def _change(
    client: str,
    project: str | None,
    *,
    yes: bool,
    undo: bool,
    prompt: Prompt,
    store: str | None,
    as_json: bool,
) -> None:
    from whatworks.hooks import settings

    folder = None if project is None else Path(project).absolute()
    named = None if store is None else config.locate(store)
    change = settings.change(client, project=folder, prompt=prompt, undo=undo, store=named)
    diff = change.diff
    if as_json:  # asking would not be JSON: without --yes it only shows
        if diff and yes:
            change.write()
        print_json({"path": str(change.path), "diff": diff, "written": bool(diff and yes)})
        return
    if not diff:
        say(f"nothing to change in {change.path}")
        return
    sys.stdout.write(diff)
    if not yes and not typer.confirm(f"Write {change.path}?"):
        say("nothing was written")
        return
    change.write()
    say(f"written: {change.path}")
    if not undo and settings.CLIENTS[client].note:
        say(settings.CLIENTS[client].note)


def plugin(
    target: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A folder for Claude Code, or a file that ends in .mcpb."),
    ],
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Write hooks, server and skills as one plugin folder, or as a bundle.

    Example: whatworks plugin whatworks-plugin
    """
    from whatworks.hooks.plugin import bundle, write_plugin

    is_bundle = target.suffix.lower() == ".mcpb"
    named = None if store is None else config.locate(store)
    written = [str(path) for path in (bundle if is_bundle else write_plugin)(target, named)]
    if as_json:
        print_json({"path": str(target), "files": written})
        return
    for path in written:
        say(f"written: {path}")
    if not is_bundle:
        say(f"next: claude plugin marketplace add {target.absolute()}")
        say("then: claude plugin install whatworks@whatworks")


def teach(
    target: Annotated[
        Path, typer.Argument(metavar="PATH", help="A .md file, a memory.jsonl, or a folder of skills.")
    ],
    limit: Limit = 10,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Write what is certain to where agents read it.

    Example: whatworks teach AGENTS.md
    """
    from whatworks.exporters import teach as writers
    from whatworks.exporters.lessons import lessons

    with opened(store) as memory:
        found = lessons(memory, limit=limit)
    write = {".md": writers.write_block, ".jsonl": writers.write_graph}.get(target.suffix.lower())
    if write is None and target.suffix and not target.is_dir():
        raise InvalidInputError(f"{target} ends in {target.suffix}; expected .md, .jsonl or a folder")
    written = (write or writers.write_skills)(target, found)
    if as_json:
        print_json({"path": str(target), "patterns": written})
    else:
        say(f"{written} patterns written to {target}")
