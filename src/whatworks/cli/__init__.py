"""The command line: parse, call one method of ``Memory``, show."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import typer

from whatworks.cli import agents, ask, calibrate, exchange, forget, judge, upkeep, write
from whatworks.cli import stores as vector_stores
from whatworks.cli.exits import CODES, Group

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
        ask.sources,
        ask.stats,
    ),
    "Judge": (calibrate.calibrate, judge.evaluate, judge.lift),
    "Exchange": (exchange.export,),
    "Agents": (
        agents.install,
        agents.uninstall,
        agents.plugin,
        agents.mcp,
        agents.suggest,
        agents.sync,
        agents.teach,
    ),
    "Look after": (
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
        imports.command(name)(form)
    made.add_typer(imports, name="import", rich_help_panel="Exchange")
    for panel, commands in _PANELS.items():
        for command in commands:
            made.command(command.__name__, rich_help_panel=panel)(command)
    return made


app = _assembled()


def main() -> None:
    """Run the command that the shell gave, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode still shows the rest
    app(prog_name="whatworks")
