"""The figures in the documentation: a table for each suite, between two marks."""

from __future__ import annotations

import re
from collections.abc import Iterable

from faults.machine import machine
from faults.processes import ROOT
from faults.result import Figure
from faults.running import Run, shown, verdict

__all__ = ["PAGE", "points", "table", "write"]

POINT = re.compile(r'failpoints\.reached\(\s*"([a-z.]+)"')
PAGE = ROOT / "docs" / "reliability.md"
PAGES = (PAGE, ROOT / "docs" / "security.md", ROOT / "docs" / "team.md")


def write(runs: Iterable[Run]) -> None:
    """Put the figures of suites that ran in the place of older ones; the rest of the page stays."""
    for run in runs:
        _write(f"figures of {run.name}", f"end of {run.name}", table(run))
    _write("points", "end of points", points())


def _write(begin: str, end: str, content: str) -> None:
    """Put other content between two marks, in the page that has them."""
    for page in PAGES:
        before, found, rest = page.read_text(encoding="utf-8").partition(f"<!-- {begin} -->")
        _, closed, after = rest.partition(f"<!-- {end} -->")
        if found and closed:
            text = f"{before}<!-- {begin} -->\n{content}\n<!-- {end} -->{after}"
            page.write_text(text, encoding="utf-8")
            return
    raise RuntimeError(f"no page has a place between <!-- {begin} --> and <!-- {end} -->")


def points() -> str:
    """All failpoints that the source names, as Markdown."""
    source = ROOT / "src" / "whatworks"
    rows = []
    for path in sorted(source.rglob("*.py")):
        if found := sorted(set(POINT.findall(path.read_text(encoding="utf-8")))):
            names = ", ".join(f"`{name}`" for name in found)
            rows.append(f"| `{path.relative_to(source)}` | {names} |")
    return "\n".join(["| file | points |", "|---|---|", *rows])


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
