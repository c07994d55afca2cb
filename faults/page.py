"""The figures in ``docs/reliability.md``: a table for each suite, between two marks."""

from __future__ import annotations

from collections.abc import Iterable

from faults.machine import machine
from faults.processes import ROOT
from faults.result import Figure
from faults.running import Run, shown, verdict

__all__ = ["PAGE", "table", "write"]

PAGE = ROOT / "docs" / "reliability.md"


def write(runs: Iterable[Run]) -> None:
    """Put the figures of suites that ran in the place of older ones; the rest of the page stays."""
    text = PAGE.read_text(encoding="utf-8")
    for run in runs:
        text = _replaced(text, run.name, table(run))
    PAGE.write_text(text, encoding="utf-8")


def _replaced(text: str, name: str, figures: str) -> str:
    begin, end = f"<!-- figures of {name} -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise RuntimeError(f"{PAGE} has no place for the figures of {name}: {begin} and {end}")
    return f"{before}{begin}\n{figures}\n{end}{after}"


def table(run: Run) -> str:
    """What came of a suite, as Markdown."""
    if run.result.not_run:
        return f"Not run on {run.at:%Y-%m-%d}: {run.result.not_run}."
    rows = ["| what | measured | goal | |", "|---|---|---|---|", *map(_row, run.result.figures)]
    return "\n".join([*rows, "", _control(run), _circumstances(run)])


def _row(figure: Figure) -> str:
    value = f"{shown(figure.value)} {figure.unit}".strip()
    said = verdict(figure) if figure.goal else ""
    return f"| {figure.what} | {value} | {figure.goal} | {said} |"


def _control(run: Run) -> str:
    control = run.result.control
    if control is None:
        return "Null control: none, for there is no guard to take out."
    found = "found out" if control.found else "**not found out**"
    return f"Null control ({control.guard}): {found}, {control.said}."


def _circumstances(run: Run) -> str:
    return (
        f"{run.size.capitalize()}, seed {run.seed}, {run.result.options}; {run.at:%Y-%m-%d}, "
        f"{run.seconds:.0f} s, load {run.load:.1f} at the end. {machine()}."
    )
