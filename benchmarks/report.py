"""Results as tables, on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from benchmarks.results import OURS, Result, times

__all__ = ["COLUMNS", "markdown", "number", "print_results", "section", "tables"]

COLUMNS = ("", "", "p50", "p95", "unit", "times ours")
NUMBERS = ("p50", "p95", "times ours")


def print_results(results: Sequence[Result]) -> None:
    """One table for each benchmark and size."""
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False, width=140)
    for title, rows in tables(results):
        table = Table(title=f"\n{title}", title_justify="left", box=None)
        for name in COLUMNS:
            table.add_column(name, justify="right" if name in NUMBERS else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def tables(results: Sequence[Result]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    for (benchmark, size), found in groupby(results, key=lambda r: (r.benchmark, r.size)):
        rows = [_row(result, results) for result in found]
        yield f"{benchmark}: {size}", rows


def _row(result: Result, results: Sequence[Result]) -> tuple[str, ...]:
    ratio = times(result, results)
    return (
        result.metric,
        "" if result.subject == OURS else result.subject,
        number(result.p50),
        "" if result.p95 is None else number(result.p95),
        result.unit,
        "" if ratio is None else f"{ratio:.2g}",
    )


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def section(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heading = title if title.startswith(OURS) else title[0].upper() + title[1:]
    places = ["---:" if name in NUMBERS else "---" for name in columns]
    return f"## {heading}\n\n{markdown(columns, places, rows)}"


def markdown(columns: Sequence[str], places: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; ``places`` is its second line, ``---:`` for a column of numbers."""
    return "".join(f"| {' | '.join(line)} |\n" for line in [columns, places, *rows])
