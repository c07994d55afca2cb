"""How a team looks in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatworks.cli.show import NONE, cell, count, facts, say, show, size, table, when

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from whatworks.team.records import SharedVectors, TeamMachine, TeamNamespace, TeamStatus

__all__ = ["namespaces", "status"]


def status(found: TeamStatus) -> None:
    """Where the team's log is, what of this machine is not in it, and a line for each machine."""
    rows = [("database", found.url), ("machine", found.name)]
    if found.waiting is not None:
        rows.append(("not shipped", size(found.waiting)))
    if found.entries is not None and found.bytes is not None:
        rows.append(("log", f"{count(found.entries)} entries, {size(found.bytes)}"))
    if found.role == "reader":
        rows.append(("role", "reader: what is recorded here stays here"))
    if found.vectors:
        rows.append(("vectors", _vectors(found.vectors)))
    if found.error:
        rows.append(("problem", found.error))
    show(facts(rows))
    if found.machines:
        columns = ("machine", ">shipped", ">behind", ">for", "last seen")
        show(table(columns, [_row(machine, found.machine) for machine in found.machines]))


def namespaces(found: Sequence[TeamNamespace]) -> None:
    """A line for each, with who began it."""
    if not found:
        say("the database has no team in which its user may read")
        return
    columns = ("namespace", ">machines", ">log", "begun by")
    rows = [
        (
            each.namespace or NONE,
            NONE if each.machines is None else count(each.machines),
            size(each.bytes),
            cell(each.owner),
        )
        for each in found
    ]
    show(table(columns, rows))


def _vectors(found: SharedVectors) -> str:
    """How many are shared, and how far they are behind the log."""
    if found.machine is None:
        return f"none yet in {found.url}"
    late = f"{count(found.behind)} entries, {found.behind_seconds:,.0f} s behind"
    return f"{count(found.vectors)} by {found.machine}, {late if found.behind else 'up to date'}"


def _row(machine: TeamMachine, own: str) -> Sequence[RenderableType]:
    name = cell(machine.name, *([("this one", "green")] if machine.machine == own else []))
    behind = machine.behind > 0
    return (
        name,
        size(machine.shipped),
        size(machine.behind) if behind else NONE,
        f"{machine.behind_seconds:,.0f} s" if behind else NONE,
        when(machine.seen_at),
    )
