"""Commands that bring memories in and take them out: import, export."""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from whatworks import config
from whatworks.checks import shown
from whatworks.cli.common import Json, Store, embed_waiting, moment, opened, print_json
from whatworks.cli.exits import INCOMPLETE
from whatworks.cli.show import count, progress, say
from whatworks.errors import InvalidInputError

if TYPE_CHECKING:
    from whatworks.importers import Report
    from whatworks.memory import Memory

__all__ = [
    "export",
    "import_files",
    "import_git",
    "import_jsonl",
    "import_notes",
    "import_scores",
    "import_table",
    "import_tests",
    "import_transcripts",
]

STDOUT = "-"
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and report, write nothing.")]
NoEmbed = Annotated[
    bool, typer.Option("--no-embed", help="Leave embedding to the first question that needs it.")
]


class Format(StrEnum):
    """Forms of an export."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Kind(StrEnum):
    """Tables of an export."""

    PATTERNS = "patterns"
    EVENTS = "events"


# -- import ---------------------------------------------------------------------------------------


def import_files(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds sessions/ and patterns/.")],
    dry_run: DryRun = False,
    no_embed: NoEmbed = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Import a file-based memory: DIR/sessions/*.json and DIR/patterns/*.json.

    Example: whatworks import files ~/.agent/memory --dry-run
    """
    from whatworks.importers.files import import_files as run

    _import(run, folder, dry_run=dry_run, no_embed=no_embed, store=store, as_json=as_json)


def import_table(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, JSON lines or Parquet.")],
    columns: Annotated[
        list[str], typer.Option("--map", metavar="FIELD=COLUMN,...", help="Which column is what.")
    ],
    dry_run: DryRun = False,
    no_embed: NoEmbed = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Import tries from a table: a row is one try of a pattern.

    Example: whatworks import table log.csv --map pattern=tool,context=request,outcome=ok,timestamp=at
    """
    from whatworks.importers.table import import_table as run

    mapping = _mapping(columns)
    _import(
        run, file, dry_run=dry_run, no_embed=no_embed, store=store, as_json=as_json, columns=mapping
    )


def import_jsonl(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What whatworks export has written.")],
    trust_judgements: Annotated[
        bool,
        typer.Option(
            "--trust-judgements", help="Believe whom it distrusts and approves: of your own only."
        ),
    ] = False,
    dry_run: DryRun = False,
    no_embed: NoEmbed = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Import an export of another store.

    Example: whatworks import jsonl memory.jsonl
    """
    from whatworks.importers.jsonl import import_jsonl as run

    _import(
        run, file, dry_run=dry_run, no_embed=no_embed, store=store, as_json=as_json,
        trust_judgements=trust_judgements,
    )  # fmt: skip


def import_transcripts(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A session's file, or a folder of them.")
    ],
    dry_run: DryRun = False,
    no_embed: NoEmbed = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Import what coding agents' sessions teach: Claude Code, Codex and ATIF.

    Example: whatworks import transcripts ~/.claude/projects --dry-run
    """
    from whatworks.importers.transcripts import import_transcripts as run

    _import(run, path, dry_run=dry_run, no_embed=no_embed, store=store, as_json=as_json)


def import_git(
    repository: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of a repository.")
    ] = Path(),
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help='As git takes it, such as "1 year ago".')
    ] = None,
    dry_run: DryRun = False,
    no_embed: NoEmbed = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Import a git history: which changes stood, and which were taken back.

    Example: whatworks import git . --since "1 year ago"
    """
    from whatworks.importers.history import import_history as run

    _import(
        run, repository, dry_run=dry_run, no_embed=no_embed, store=store, as_json=as_json, since=since
    )


def import_tests(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JUnit XML, or a pytest-reportlog.")],
    dry_run: DryRun = False,
    no_embed: NoEmbed = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Import a report of a test run: which tests fail, how often, and why.

    Example: whatworks import tests report.xml
    """
    from whatworks.importers.junit import import_tests as run

    _import(run, file, dry_run=dry_run, no_embed=no_embed, store=store, as_json=as_json)


def import_scores(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Of Langfuse, LangSmith, MLflow, or OTLP as JSON; or folders of them.",
        ),
    ],
    score: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Which score is the outcome; of several the first there is."),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]WORST:BEST",
            help="Of scores that are numbers, or of one; 1:0 if less is better. 0:1 if not given.",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what ran at or after this time.")
    ] = None,
    dry_run: DryRun = False,
    no_embed: NoEmbed = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Import runs and their scores, as tracing tools export them.

    Example: whatworks import scores traces.jsonl --score helpfulness --scale 1:5
    """
    from whatworks.importers.scores import import_scores as run

    scales = _scales(scale or [])
    _import(
        run, files, dry_run=dry_run, no_embed=no_embed, store=store, as_json=as_json,
        score=score, scale=scales.pop("", (0.0, 1.0)), scales=scales, since=moment(since, "--since"),
    )  # fmt: skip


def import_notes(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Rules, skills, another memory, or a folder of them.")
    ],
    dry_run: DryRun = False,
    no_embed: NoEmbed = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Import rules, skills and other memories as patterns without tries.

    Example: whatworks import notes AGENTS.md
    """
    from whatworks.importers.notes import import_notes as run

    _import(run, path, dry_run=dry_run, no_embed=no_embed, store=store, as_json=as_json)


def _scales(given: list[str]) -> dict[str, tuple[float, float]]:
    """Scales by the names of their scores; that of all others has none."""
    found: dict[str, tuple[float, float]] = {}
    for item in given:
        name, _, ends = item.rpartition("=")
        if name in found:
            raise InvalidInputError(f"--scale has {shown(item)}; expected one scale of each score")
        found[name] = _scale(item, ends)
    return found


def _scale(given: str, ends: str) -> tuple[float, float]:
    expected = f"--scale is {shown(given)}; expected WORST:BEST or NAME=WORST:BEST, as in 1:5"
    try:
        worst, best = map(float, ends.split(":"))
    except ValueError as error:
        raise InvalidInputError(expected) from error
    if not math.isfinite(best - worst) or worst == best:
        raise InvalidInputError(f"{expected}, with two different numbers")
    return worst, best


def _mapping(given: list[str]) -> dict[str, str]:
    """``field=column`` items, of which one option may hold several."""
    found: dict[str, str] = {}
    for item in ",".join(given).split(","):
        field, equals, column = item.partition("=")
        if not field or not equals or not column or field in found:
            raise InvalidInputError(
                f"--map has {shown(item)}; expected each field once, as in pattern=tool,outcome=ok"
            )
        found[field] = column
    return found


def _import(
    run: Callable[..., Report],
    given: Path | list[Path],
    *,
    dry_run: bool,
    no_embed: bool,
    store: str | None,
    as_json: bool,
    **options: object,
) -> None:
    """Import, embed, report; exit with 3 if something was skipped. ``options`` are for ``run``."""
    from whatworks.cli import views

    with _target(store, dry_run=dry_run) as target:
        with opened(target, embedder="none", create=True) as memory, progress("importing") as step:
            report = run(memory, given, dry_run=dry_run, progress=step, **options)
        if not dry_run and not no_embed:
            with opened(target, embedder="if there") as memory:
                embed_waiting(memory, at_least=1)
    print_json(report.to_dict()) if as_json else views.report(report, dry_run=dry_run)
    if report.skipped:
        raise typer.Exit(INCOMPLETE)


@contextmanager
def _target(store: str | None, *, dry_run: bool) -> Iterator[str]:
    """The store to write to; a dry run on none makes none, but takes one that passes."""
    folder = config.locate(store)
    if not dry_run or (folder / config.FILE).exists():
        yield str(folder)
        return
    with tempfile.TemporaryDirectory(prefix="whatworks-") as empty:
        yield str(Path(empty) / "store")


# -- export ---------------------------------------------------------------------------------------


def export(
    file: Annotated[str, typer.Argument(metavar="FILE", help="- is standard output.")] = STDOUT,
    form: Annotated[
        Format, typer.Option("--format", help="jsonl can be imported again.")
    ] = Format.JSONL,
    kind: Annotated[Kind | None, typer.Option(help="The table, for csv and parquet.")] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Write it all as JSON lines, or one table as CSV or Parquet.

    Example: whatworks export events.parquet --format parquet --kind events
    """
    _check_export(file, form, kind, as_json)
    with opened(store) as memory:
        if form is Format.JSONL or kind is None:
            written = _export_all(memory, file)
        else:
            written = _export_table(memory, file, kind, "csv" if form is Format.CSV else "parquet")
    if as_json:
        print_json({"path": file, "format": form, "written": written})
    elif file != STDOUT:
        counts = ", ".join(f"{count(number)} {name}" for name, number in written.items())
        say(f"{counts} written to {file}")


def _check_export(file: str, form: Format, kind: Kind | None, as_json: bool) -> None:
    if form is Format.JSONL and kind is not None:
        raise InvalidInputError("--kind is for csv and parquet; jsonl holds everything")
    if form is not Format.JSONL and kind is None:
        raise InvalidInputError(f"--format {form} needs --kind patterns or --kind events")
    if file == STDOUT and as_json:
        raise InvalidInputError("--json reports on standard output; give a file to export to")
    if file == STDOUT and form is Format.PARQUET and sys.stdout.isatty():
        raise InvalidInputError("parquet is not for terminals; give a file, or redirect the output")


def _export_all(memory: Memory, file: str) -> dict[str, int]:
    from whatworks.exporters.jsonl import export_jsonl

    if file == STDOUT:
        return export_jsonl(memory, sys.stdout.buffer)
    with progress("exporting") as step:
        return export_jsonl(memory, file, progress=step)


def _export_table(
    memory: Memory, file: str, kind: Kind, form: Literal["csv", "parquet"]
) -> dict[str, int]:
    from whatworks.exporters.table import export_table

    if file != STDOUT:
        return export_table(memory, file, kind=kind.value, format=form)
    with tempfile.TemporaryDirectory(prefix="whatworks-") as folder:
        draft = Path(folder) / "table"
        written = export_table(memory, draft, kind=kind.value, format=form)
        with open(draft, "rb") as content:
            shutil.copyfileobj(content, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return written
