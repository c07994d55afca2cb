"""The results as tables: on the terminal, and as ``docs/benchmarks.md``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from benchmarks.measure import ROOT
from benchmarks.results import OURS, Result, Run, excess, times, verdict

__all__ = ["PAGE", "markdown", "number", "print_results", "write_page"]

PAGE = ROOT / "docs" / "benchmarks.md"
COLUMNS = ("", "", "p50", "p95", "unit", "times ours", "goal (p50)")
NUMBERS = ("p50", "p95", "times ours", "times the goal")
INTRODUCTION = """# Benchmarks

What is measured, against the figures that whatworks was specified by. This page is written by the
last two of these commands; the first takes a minute and only checks that everything runs.

```console
make bench-smoke
make bench
.venv/bin/python -m benchmarks report
```

`whatworks bench` measures on your own machine, and with `--store PATH` on your own store.
[stores-benchmark.md](stores-benchmark.md) has all vector stores side by side.
"""
METHOD = """## How it is measured

- Against the file-based memory: both hold the same made-up memory (JSON files of sessions and learned
  patterns, imported by `whatworks import files`), and answer the same texts in turn within one run. The
  file-based memory reads all files into dicts at the start and compares a text with every pattern and
  every turn; it has no answer to the questions that show no line for it. whatworks uses its default
  embedding model throughout.
- whatworks alone: as many contexts as patterns, ten events for each. Its vectors come from a random
  projection of the texts' words to 384 dimensions, because the model would take most of the time at
  these sizes; the model is measured apart. Such vectors lie much farther apart than those of sentences,
  which is hard on an index: take the recall here as a lower bound. Questions are asked by a new
  process, after one question of each kind.
- A start is the time from starting Python to the first answer, a process's memory what it holds then:
  private (USS) and resident (RSS). Both are less those of a Python that does nothing. The code of
  libraries counts as resident only, because the measuring process has loaded them too.
- Other work on the machine shows in the figures: compare ratios, and look at the load.
"""


def print_results(results: Sequence[Result]) -> None:
    """One table for each benchmark and size."""
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False, width=140)
    for title, rows in _tables(results):
        table = Table(title=f"\n{title}", title_justify="left", box=None)
        for name in COLUMNS:
            table.add_column(name, justify="right" if name in NUMBERS else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def write_page(run: Run) -> None:
    """Write the page of the documentation."""
    parts = [INTRODUCTION, _circumstances(run), _summary(run.results)]
    parts += [_section(title, COLUMNS, rows) for title, rows in _tables(run.results)]
    PAGE.write_text("\n".join([*parts, METHOD]), encoding="utf-8")


def _circumstances(run: Run) -> str:
    return (
        f"Measured on {run.at:%Y-%m-%d} at commit {run.commit} in {run.seconds / 60:.0f} minutes.\n"
        f"{run.machine}. {run.versions}.\n"
        f"Load of the machine {run.load_before:.1f} before and {run.load_after:.1f} after; "
        f"{min(r.load for r in run.results):.1f} to {max(r.load for r in run.results):.1f} meanwhile.\n"
    )


def _summary(results: Sequence[Result]) -> str:
    """The goals that were missed, the worst first."""
    shares = [(share, result) for result in results if (share := excess(result)) is not None]
    missed = sorted((pair for pair in shares if pair[0] > 1), key=lambda pair: -pair[0])
    rows = [
        (r.metric, f"{r.benchmark}, {r.size}", f"{number(r.p50)} {r.unit}", f"{share:.1f}")
        for share, r in missed
    ]
    title = f"goals missed: {len(missed)} of {len(shares)}"
    return _section(title, ("", "", "p50", "times the goal"), rows)


def _tables(results: Sequence[Result]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
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
        verdict(result),
    )


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _section(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heading = title if title.startswith(OURS) else title[0].upper() + title[1:]
    places = ["---:" if name in NUMBERS else "---" for name in columns]
    return f"## {heading}\n\n{markdown(columns, places, rows)}"


def markdown(columns: Sequence[str], places: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; ``places`` is its second line, ``---:`` for a column of numbers."""
    return "".join(f"| {' | '.join(line)} |\n" for line in [columns, places, *rows])
