"""The commands that say which sources count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from whatworks.cli.common import Json, Limit, Store, opened, print_json

if TYPE_CHECKING:
    from whatworks.records import Judgement

__all__ = ["approve", "distrust", "quarantine", "unjudge"]

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="As whatworks sources names it.")]


def distrust(source: Source, store: Store = None, as_json: Json = False) -> None:
    """Let nothing count any more that a source tells.

    Example: whatworks distrust ci-agent
    """
    with opened(store) as memory:
        found = memory.distrust(source)
    _show(found, as_json=as_json)


def approve(source: Source, store: Store = None, as_json: Json = False) -> None:
    """Let everything count that a source tells.

    Example: whatworks approve ci-agent
    """
    with opened(store) as memory:
        found = memory.approve(source)
    _show(found, as_json=as_json)


def unjudge(source: Source, store: Store = None, as_json: Json = False) -> None:
    """Take back what distrust or approve said of a source.

    Example: whatworks unjudge ci-agent
    """
    with opened(store) as memory:
        found = memory.unjudge(source)
    _show(found, as_json=as_json)


def _show(found: Judgement, *, as_json: bool) -> None:
    from whatworks.cli import trust_view

    print_json(found) if as_json else trust_view.judgement(found)


def quarantine(limit: Limit = 20, store: Store = None, as_json: Json = False) -> None:
    """List tries that are kept and count for nothing, and why.

    Example: whatworks quarantine
    """
    from whatworks.cli import trust_view

    with opened(store) as memory:
        found = memory.quarantine(limit=limit)
        described = memory.get_patterns({item.pattern_id for item in found})
    print_json(found) if as_json else trust_view.quarantine(found, described)
