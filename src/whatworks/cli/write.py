"""Commands that write: init, add, record, resolve."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from whatworks import config, places
from whatworks.cli.common import Json, Store, moment, next_command, opened, pairs, print_json, text
from whatworks.cli.show import say
from whatworks.errors import InvalidInputError
from whatworks.text import clean_text

if TYPE_CHECKING:
    from whatworks.records import State, UsageEvent

__all__ = ["add", "init", "record", "resolve"]

_OUTCOME_HELP = "0 to 1, or a word: success, failed, not_used, unknown."
Time = Annotated[str | None, typer.Option("--time", metavar="TIME", help="When, RFC 3339; else now.")]
Checked = Annotated[
    bool, typer.Option("--checked", help="A check or a person found it; what is told leaves it so.")
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--meta", metavar="KEY=VALUE", help="Metadata, the value as JSON or text; repeat."),
]


def init(
    vectors: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE",
            help="Engine for vectors: usearch (default), exact, or one that an extra brings.",
        ),
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Make a store: .whatworks in this folder, or where --store says.

    Example: whatworks init
    """
    from whatworks.memory import Memory

    folder = config.locate(store or os.environ.get("WHATWORKS_STORE") or Path.cwd() / config.FOLDER)
    created = not (folder / config.FILE).exists()
    embedder: Literal["none"] | None = None if created else "none"
    Memory.open(
        config.address(store) or folder, embedder=embedder, vectors=vectors, channel="cli"
    ).close()
    places.make_own(folder)
    made = config.load(folder)
    if as_json:
        print_json({"path": str(folder), "created": created, "store": made})
    else:
        say(f"{'made a store in' if created else 'there is a store already in'} {folder}")
        say("next:", next_command("add", "what to do, in words", store=store))


def add(
    description: Annotated[str, typer.Argument(help="What to do, in words; - reads standard input.")],
    pattern_type: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="A word to filter by.")
    ] = "general",
    meta: Metadata = None,
    pattern_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Id; the same id again replaces.")
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Remember a pattern: an approach that can be tried again.

    Example: whatworks add "Run cargo check, fix the imports it names" --type debugging
    """
    given = text(description)
    metadata = pairs(meta, "--meta")
    with opened(store, create=True) as memory:
        pattern = memory.add_pattern(
            given, pattern_type=pattern_type, metadata=metadata, pattern_id=pattern_id
        )
    if as_json:
        print_json(pattern)
        return
    say(f"pattern {pattern.pattern_id} is kept")
    say("next:", next_command("record", pattern.pattern_id, "--outcome", "success", store=store))


def record(
    pattern: Annotated[str, typer.Argument(help="Id of the pattern that was tried.")],
    outcome: Annotated[
        str | None, typer.Option(metavar="OUTCOME", help=f"{_OUTCOME_HELP} Left out: pending.")
    ] = None,
    context: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The situation; - reads standard input.")
    ] = None,
    event_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Makes a retry safe: one id, one event.")
    ] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Session it belongs to.")] = None,
    file: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="A file involved; repeat for more.")
    ] = None,
    tool: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A tool used; repeat for more.")
    ] = None,
    duration_ms: Annotated[float | None, typer.Option(metavar="MS", help="How long it took.")] = None,
    cost: Annotated[float | None, typer.Option(metavar="N", help="What it cost.")] = None,
    prediction: Annotated[
        str | None, typer.Option(metavar="ID", help="The prediction that led to it.")
    ] = None,
    checked: Checked = False,
    time: Time = None,
    meta: Metadata = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Record a try of a pattern and how it ended.

    Example: whatworks record 8c8d1ab2e4b70f1e --outcome 0.8 --context "unresolved import in parser.rs"
    """
    rate, state = _result(outcome)
    situation = None if context is None else text(context)
    at, metadata = moment(time, "--time"), pairs(meta, "--meta")
    with opened(store, create=True, checking=checked) as memory:
        event = memory.record(
            pattern,
            outcome=rate,
            context=situation,
            state=state,
            timestamp=at,
            event_id=event_id,
            session_id=session,
            files=file or (),
            tools=tool or (),
            duration_ms=duration_ms,
            cost=cost,
            prediction_id=prediction,
            metadata=metadata,
        )
    _show_event(event, store, as_json)


def resolve(
    event: Annotated[str, typer.Argument(help="Id of the event.")],
    outcome: Annotated[str, typer.Option(metavar="OUTCOME", help=_OUTCOME_HELP)],
    checked: Checked = False,
    time: Time = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Say how a recorded try ended, or correct what was said.

    Example: whatworks resolve e2 --outcome failed
    """
    rate, state = _result(outcome)
    if state == "pending":
        raise InvalidInputError("an event cannot become pending again; expected an outcome")
    at = moment(time, "--time")
    with opened(store, checking=checked) as memory:
        resolved = memory.resolve(event, outcome=rate, state=state, timestamp=at)
    _show_event(resolved, store, as_json)
    if resolved.checked and resolved.outcome != rate and not as_json:
        say("that is what a check found, and stands; --checked corrects it")


def _result(given: str | None) -> tuple[float | None, State]:
    """Outcome and state that a word or a number stands for, the words being those of imports."""
    from whatworks.readers.values import outcome

    return (None, "pending") if given is None else outcome(clean_text(given))


def _show_event(event: UsageEvent, store: str | None, as_json: bool) -> None:
    if as_json:
        print_json(event)
        return
    outcome = "" if event.outcome is None else f" with outcome {event.outcome:.2f}"
    say(f"event {event.event_id} is {event.state.replace('_', ' ')}{outcome}")
    if event.state == "pending":
        say("next:", next_command("resolve", event.event_id, "--outcome", "success", store=store))
