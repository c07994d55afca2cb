"""How the list of vector stores looks in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whatworks.cli.show import cell, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from whatworks.stores.overview import StoreKind

__all__ = ["stores"]

ABILITIES = ("filters", "pages", "upkeep", "server")


def stores(found: Sequence[StoreKind]) -> None:
    """A line each: name, packages, abilities with licence, and what to type if it is missing."""
    show(table(("store", "packages", "*what it can do"), [_row(kind) for kind in found]))


def _row(kind: StoreKind) -> Sequence[RenderableType]:
    name = cell(kind.name, *([("in use", "green")] if kind.in_use else []))
    packages = (f"{name} {version or 'missing'}" for name, version in kind.packages.items())
    return name, cell(*packages), cell(*_said(kind), cut=False)


def _said(kind: StoreKind) -> list[str | tuple[str, str]]:
    if kind.problem:
        return [(f"does not load: {kind.problem}", "red")]
    can = [name for name in ABILITIES if getattr(kind, name)]
    lines: list[str | tuple[str, str]] = [", ".join(["search", *can])]
    if not kind.stable_files:
        lines.append("writes to its files when it is only read")
    if kind.license:
        lines.append((f"licence: {kind.license}", "dim"))
    return [*lines, (kind.install, "yellow")] if kind.install else lines
