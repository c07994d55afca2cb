"""Commands that judge earlier choices: evaluate, lift."""

from __future__ import annotations

from typing import Annotated

import typer

from whatworks.cli.common import Json, Store, opened, print_json

__all__ = ["evaluate", "lift"]


def evaluate(
    policy: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="greedy, best-record, cautious, uniform or fixed:PATTERN_ID."
        ),
    ],
    as_placed: Annotated[
        bool, typer.Option("--as-placed", help="Judge the first place, whatever was tried then.")
    ] = False,
    exploring: Annotated[
        bool, typer.Option("--exploring", help="Only predictions that left the first place to chance.")
    ] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Say what another way to choose would have earned, with intervals.

    Example: whatworks evaluate --policy cautious
    """
    from whatworks.cli import verdicts

    with opened(store) as memory:
        found = memory.evaluate(policy, as_placed=as_placed, exploring=exploring)
    print_json(found) if as_json else verdicts.evaluation(found)


def lift(
    pattern: Annotated[str | None, typer.Argument(help="Id of the pattern; else of all.")] = None,
    by_context: Annotated[
        bool, typer.Option("--by-context", help="Apart for each context asked about.")
    ] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Say what showing a pattern changes, from answers that were withheld.

    Example: whatworks lift 8c8d1ab2e4b70f1e
    """
    from whatworks.cli import verdicts

    with opened(store) as memory:
        found = memory.lift(pattern, by_context=by_context)
        described = memory.get_patterns({item.pattern_id for item in found})
    print_json(found) if as_json else verdicts.lifts(found, described)
