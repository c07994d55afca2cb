"""What all commands share: their options, opening the store, reading arguments, writing JSON."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer

from whatworks import config
from whatworks.checks import shown
from whatworks.errors import InvalidInputError, ModelMismatchError
from whatworks.text import clean_text

if TYPE_CHECKING:
    from whatworks.embedders import EmbeddingPool
    from whatworks.memory import Memory
    from whatworks.records import Where

__all__ = [
    "CreatedAfter",
    "CreatedBefore",
    "Json",
    "Limit",
    "Meta",
    "MinUsage",
    "Store",
    "Type",
    "UsedAfter",
    "UsedBefore",
    "conditions",
    "embed_waiting",
    "moment",
    "next_command",
    "opened",
    "pairs",
    "print_json",
    "share",
    "text",
]

Embedding = Literal["needed", "if there", "none"]

Store = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Folder of the store, or address of its team; else $WHATWORKS_STORE, the nearest "
        ".whatworks, your data folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Limit = Annotated[int, typer.Option(metavar="N", help="How many at most.")]
Type = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="TYPE", help="Only patterns of this type; repeat for more."),
]
Meta = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Only patterns with this metadata; repeat for more."),
]
MinUsage = Annotated[int, typer.Option(metavar="N", help="Only patterns tried at least this often.")]
CreatedAfter = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only patterns added at or after this day or time.")
]
CreatedBefore = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only patterns added before this day or time.")
]
UsedAfter = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only patterns last tried at or after this time.")
]
UsedBefore = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only patterns last tried before this time.")
]

# More than any text that a store takes, less than what hurts to read.
MAX_STDIN_BYTES = 1 << 20
# Fewer texts than this are embedded before anyone would read a progress bar.
WORTH_A_BAR = 256


# -- the store ------------------------------------------------------------------------------------


def opened(
    store: str | None, *, embedder: Embedding = "none", create: bool = False, checking: bool = False
) -> Memory:
    """The store that is meant, opened.

    Parameters
    ----------
    embedder
        ``needed``: the command needs vectors. ``if there``: it makes them if
        the store is of the built-in model, and else leaves texts waiting.
        ``none``: it does without, and never loads a model.
    create
        Make the store if there is none; one that is named by its address joins its team then, or
        begins it.
    checking
        As ``Memory.open`` takes it.

    Raises
    ------
    NotFoundError
        There is no store, and ``create`` is false.
    ModelMismatchError
        Vectors are needed, and those of the store are of another embedder.
    """
    from whatworks.memory import Memory

    folder = config.locate(store)
    address = config.address(store)
    if (create or address) and not (folder / config.FILE).exists():
        Memory.open(address or folder, create=create).close()
    chosen = _embedder(folder, embedder)
    return Memory.open(
        address or folder, embedder=chosen, create=False, channel="cli", checking=checking
    )


def _embedder(folder: Path, wanted: Embedding) -> Literal["none"] | None:
    from whatworks.embedders.minilm import MiniLM

    made_with = config.load(folder).embedder
    if made_with in (MiniLM.model_id, "none"):
        return "none" if wanted == "none" else None
    if wanted == "needed":
        raise ModelMismatchError(
            f"the store in {folder} has embeddings of {made_with!r}, which only your own program can "
            "make: ask from there, or change to the built-in model with "
            + next_command("reembed", store=str(folder))
        )
    return "none"


def embed_waiting(
    memory: Memory, *, at_least: int = WORTH_A_BAR, pool: EmbeddingPool | None = None
) -> None:
    """Embed the texts that wait, with a progress bar, if they are ``at_least`` so many."""
    from whatworks.cli.show import progress

    described = memory.stats().vectors
    waiting = sum(described[name]["waiting"] for name in ("patterns", "contexts"))
    if waiting >= at_least:
        with progress("embedding texts", total=waiting) as advance:
            memory.flush(progress=advance, pool=pool)


def next_command(*words: str, store: str | None) -> str:
    """A command to type next, for the same store."""
    return shlex.join(["whatworks", *words, *(["--store", store] if store else [])])


# -- arguments ------------------------------------------------------------------------------------


def text(value: str) -> str:
    """A text from the shell, cleaned; ``-`` stands for standard input."""
    if value == "-":
        value = sys.stdin.buffer.read(MAX_STDIN_BYTES).decode("utf-8", "replace")
    return clean_text(value)


def pairs(given: list[str] | None, option: str) -> dict[str, Any]:
    """``KEY=VALUE`` items as a mapping; a value that reads as JSON is that, else text."""
    found: dict[str, Any] = {}
    for item in given or []:
        key, equals, value = item.partition("=")
        if not key or not equals:
            raise InvalidInputError(f"{option} is {shown(item)}; expected KEY=VALUE")
        try:
            found[key] = orjson.loads(value)
        except ValueError:
            found[key] = clean_text(value)
    return found


def share(value: str, option: str) -> float | Literal["optimistic"]:
    """A share, or the one word that may stand for it."""
    if value == "optimistic":
        return "optimistic"
    try:
        return float(value)
    except ValueError as error:
        raise InvalidInputError(
            f"{option} is {shown(value)}; expected a number from 0 to 0.5, or optimistic"
        ) from error


def moment(value: str | None, option: str) -> datetime | None:
    """A time with its zone, as in RFC 3339; a day alone is its midnight in UTC."""
    if value is None:
        return None
    expected = f"{option} is {shown(value)}; expected a time such as 2026-05-04T10:00:00Z, or a day"
    try:
        read = datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidInputError(expected) from error
    if read.tzinfo is not None:
        return read
    if len(value) != len("2026-05-04"):
        raise InvalidInputError(expected)
    return read.replace(tzinfo=UTC)


def conditions(
    *,
    pattern_type: list[str] | None,
    meta: list[str] | None,
    min_usage: int,
    created_after: str | None,
    created_before: str | None,
    used_after: str | None,
    used_before: str | None,
    archived: bool = False,
) -> Where | None:
    """The options that narrow down patterns as one condition, ``None`` if none is given."""
    from whatworks.records import Where

    given = Where(
        pattern_type=pattern_type or None,
        metadata=pairs(meta, "--meta"),
        min_usage=min_usage,
        created_after=moment(created_after, "--created-after"),
        created_before=moment(created_before, "--created-before"),
        used_after=moment(used_after, "--used-after"),
        used_before=moment(used_before, "--used-before"),
        archived=archived,
    )
    return None if given == Where() else given


# -- output ---------------------------------------------------------------------------------------


def print_json(value: object) -> None:
    """Print ``value`` as one JSON document; dataclasses are objects, times are RFC 3339."""
    sys.stdout.flush()
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
