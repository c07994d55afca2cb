"""The command that asks whether predictions were right."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from whatworks.checks import choice
from whatworks.cli.common import Json, Store, moment, opened, print_json

__all__ = ["calibrate"]

GROUPS: tuple[Literal["type", "age", "source"], ...] = ("type", "age", "source")
METHODS: tuple[Literal["isotonic", "beta"], ...] = ("isotonic", "beta")


def calibrate(
    by: Annotated[
        str | None, typer.Option(metavar="type|age|source", help="Also show the score of each group.")
    ] = None,
    recalibrate: Annotated[
        str | None,
        typer.Option(metavar="isotonic|beta", help="Also show what a correction would have done."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only predictions made at or after this time.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what was known at that day or time.")
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Say whether predictions were right, from the outcomes that name them.

    Example: whatworks calibrate --by type --recalibrate isotonic
    """
    from whatworks.cli import calibration_view

    group, method = choice(by, "--by", GROUPS), choice(recalibrate, "--recalibrate", METHODS)
    start, end = moment(since, "--since"), moment(as_of, "--as-of")
    with opened(store) as memory:
        found = memory.calibration(since=start, as_of=end, recalibrate=method)
    print_json(found) if as_json else calibration_view.calibration(found, by=group)
