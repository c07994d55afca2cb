"""The command line: parse, call one method of ``Memory``, show."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import typer

from whatworks.cli import (
    agents,
    archive,
    ask,
    calibrate,
    exchange,
    forget,
    inspect,
    judge,
    sharing,
    team,
    token,
    top,
    trust,
    upkeep,
    write,
)
from whatworks.cli import stores as vector_stores
from whatworks.cli.exits import CODES, Group
from whatworks.cli.terms import Command

__all__ = ["app", "main"]

_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Write": (write.init, write.add, write.record, write.resolve),
    "Ask": (
        ask.similar,
        ask.trend,
        ask.predict,
        ask.why,
        ask.diff,
        ask.patterns,
        ask.events,
        ask.rates,
        ask.clusters,
        ask.related,
        ask.sources,
        trust.quarantine,
        ask.sql,
        ask.stats,
    ),
    "Judge": (calibrate.calibrate, judge.evaluate, judge.lift),
    "Exchange": (exchange.export, sharing.share),
    "Agents": (
        agents.install,
        agents.uninstall,
        agents.plugin,
        agents.mcp,
        agents.suggest,
        agents.sync,
        agents.teach,
    ),
    "Look": (top.top, inspect.ui, inspect.report),
    "Look after": (
        trust.distrust,
        trust.approve,
        trust.unjudge,
        archive.optimize,
        archive.archive,
        archive.unarchive,
        forget.forget,
        upkeep.serve,
        upkeep.backup,
        upkeep.restore,
        upkeep.rebuild,
        upkeep.reembed,
        upkeep.migrate,
        upkeep.doctor,
        vector_stores.stores,
    ),
    "Try out": (upkeep.demo, upkeep.bench, upkeep.version),
}

_IMPORTS: dict[str, Callable[..., None]] = {
    "files": exchange.import_files,
    "table": exchange.import_table,
    "jsonl": exchange.import_jsonl,
    "transcripts": exchange.import_transcripts,
    "git": exchange.import_git,
    "tests": exchange.import_tests,
    "scores": exchange.import_scores,
    "notes": exchange.import_notes,
}

_TEAM = (
    team.init,
    team.join,
    team.status,
    team.sync,
    team.doctor,
    team.grant,
    team.namespaces,
    team.retire,
    team.snapshot,
    team.vectors,
)

_TOKEN: dict[str, Callable[..., None]] = {"add": token.add, "list": token.list_, "remove": token.remove}


def _assembled() -> typer.Typer:
    codes = [f"  {code}  {meaning}" for code, meaning in CODES.items()]
    made = typer.Typer(
        name="whatworks",
        cls=Group,
        help="The memory of what works, for AI agents.",
        epilog="\n".join(["Exit codes:", *codes]),
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    imports = typer.Typer(
        help="Import what is remembered elsewhere: files, tables, exports, transcripts, git."
    )
    for name, form in _IMPORTS.items():
        imports.command(name, cls=Command)(form)
    made.add_typer(imports, name="import", rich_help_panel="Exchange")
    machines = typer.Typer(help="Share one memory among machines: make a team, join it, exchange.")
    for command in _TEAM:
        machines.command(command.__name__, cls=Command)(command)
    made.add_typer(machines, name="team", rich_help_panel="Look after")
    keys = typer.Typer(help="Say which namespaces agents on other machines may use: tokens.")
    for name, form in _TOKEN.items():
        keys.command(name, cls=Command)(form)
    made.add_typer(keys, name="token", rich_help_panel="Look after")
    for panel, commands in _PANELS.items():
        for command in commands:
            made.command(command.__name__, cls=Command, rich_help_panel=panel)(command)
    return made


app = _assembled()


def main() -> None:
    """Run the command that the shell gave, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode still shows the rest
    app(prog_name="whatworks")
