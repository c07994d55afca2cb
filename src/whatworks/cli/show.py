"""The terminal: what is printed there, and the forms of numbers, times and texts.

Texts from a store are never markup and never carry control characters, so
that nothing recorded can colour, move or fake what a terminal shows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from whatworks.text import clean_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

__all__ = [
    "NONE",
    "cell",
    "console",
    "count",
    "facts",
    "interval",
    "number",
    "one_line",
    "progress",
    "say",
    "show",
    "size",
    "spark",
    "table",
    "when",
]

NONE = "-"
SPARKS = "▁▂▃▄▅▆▇█"
SPARKS_ASCII = "_.-=*#"


def console(*, stderr: bool = False) -> Console:
    """A console that takes every text as it is: no markup, no emoji names, no guessed colours."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def show(item: RenderableType) -> None:
    """Print a table, a chart or a styled text, as wide as the terminal."""
    console().print(item)


def say(*parts: str | None) -> None:
    """Print one line, however long; ``None`` parts are left out."""
    sys.stdout.write(one_line(" ".join(part for part in parts if part)) + "\n")


# -- texts and numbers ----------------------------------------------------------------------------


def one_line(text: str) -> str:
    """``text`` in one line without control characters."""
    return " ".join(clean_text(text).split())


def number(value: float | None, digits: int = 2) -> str:
    """A rate or distance, ``-`` if there is none."""
    return NONE if value is None else f"{value:.{digits}f}"


def count(value: float) -> str:
    """A count with thousands set apart."""
    return f"{value:,.0f}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """``0.72 (0.41-0.93)``, ``-`` if there is none."""
    if value is None or low is None or high is None:
        return NONE
    return f"{value:.2f} ({low:.2f}-{high:.2f})"


def when(moment: datetime | None) -> str:
    """A time in UTC to the minute, ``-`` if there is none."""
    return NONE if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def size(value: float) -> str:
    """Bytes in units of 1,000: ``12.3 MB``."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def spark(values: Sequence[float | None]) -> str:
    """Rates as a line of bars, one for each, a space where there is none."""
    marks = SPARKS_ASCII if console().options.ascii_only else SPARKS
    top = len(marks) - 1
    return "".join(" " if value is None else marks[round(value * top)] for value in values)


# -- tables ---------------------------------------------------------------------------------------


def cell(*lines: str | tuple[str, str], cut: bool = True) -> RenderableType:
    """Lines of one cell, each cut at the cell's width or wrapped; a pair is a text and its style."""
    from rich.text import Text

    text = Text(no_wrap=cut, overflow="ellipsis" if cut else "fold")
    for line in lines:
        plain, style = line if isinstance(line, tuple) else (line, "")
        if text.plain:
            text.append("\n")
        text.append(one_line(plain), style)
    return text


def table(columns: Iterable[str], rows: Iterable[Sequence[RenderableType]]) -> Table:
    """A table as wide as it need be.

    Parameters
    ----------
    columns
        Names; ``>`` in front aligns to the right, ``*`` gives way first where
        there is no room.
    rows
        Cells; plain texts are made safe.
    """
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0, 0, 1))
    made.header_style = "bold"
    for name in columns:
        form, plain = (name[0], name[1:]) if name[0] in ">*" else ("", name)
        made.add_column(
            plain,
            justify="right" if form == ">" else "left",
            no_wrap=form != "*",
            overflow="ellipsis",
        )
    for row in rows:
        made.add_row(*(cell(item) if isinstance(item, str) else item for item in row))
    return made


def facts(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and what they stand for, one below the other; long values go on in the next line."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, one_line(value))
    return made


# -- progress -------------------------------------------------------------------------------------


@contextmanager
def progress(label: str, *, total: float | None = None) -> Iterator[Callable[[int], object]]:
    """A progress bar on stderr while that is a terminal; gives a function that moves it on."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    shown = Progress(
        *columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    )
    with shown:
        task = shown.add_task(label, total=total)
        yield lambda steps: shown.advance(task, steps)
