"""A trend as a chart of characters: days from left to right, outcomes from 0 to 1 upwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from rich.text import Text

from whatworks.records import TrendDay

__all__ = ["chart"]

# One row for each tenth of an outcome.
ROWS = 11
# "0.8 " and the axis.
MARGIN = 5
# A day wider than this makes few days look like many.
WIDEST_DAY = 6


@dataclass(frozen=True, slots=True)
class _Marks:
    """The characters of a chart."""

    point: str
    line: str
    band: str
    axis: str
    tick: str
    corner: str
    floor: str


_FINE = _Marks("●", "━", "░", "│", "┤", "└", "─")
_PLAIN = _Marks("o", "=", ".", "|", "|", "+", "-")
_STYLES = {"point": "bold", "line": "cyan", "band": "dim"}


def chart(days: Sequence[TrendDay], *, width: int, window_days: int, ascii_only: bool = False) -> Text:
    """The days of a trend, at most ``width`` columns wide.

    Each day shows its mean outcome as a point, the moving average as a line
    and its interval as a band; a day without use stays empty. What does not
    fit into the width is left out at the old end.

    Parameters
    ----------
    days
        Newest first, at least one, as in ``Trend``.
    """
    marks = _PLAIN if ascii_only else _FINE
    first, day_width = _scale(days, max(1, width - MARGIN))
    shown = [day for day in days if day.day >= first]
    columns = ((days[0].day - first).days + 1) * day_width
    grid = [[" "] * columns for _ in range(ROWS)]
    for day in shown:
        _draw(grid, day, (day.day - first).days * day_width, day_width, marks)
    lines = [_row(n, row, marks) for n, row in enumerate(grid)]
    lines.append(Text(f"    {marks.corner}{marks.floor * columns}"))
    lines.append(Text(f"     {_dates(first, days[0].day, columns)}"))
    lines.append(_legend(marks, window_days))
    return Text("\n").join(lines)


def _scale(days: Sequence[TrendDay], columns: int) -> tuple[date, int]:
    """The first day that is shown, and how many columns a day takes."""
    newest, oldest = days[0].day, days[-1].day
    span = (newest - oldest).days + 1
    if span > columns:
        return newest - timedelta(days=columns - 1), 1
    return oldest, min(WIDEST_DAY, columns // span)


def _draw(grid: list[list[str]], day: TrendDay, start: int, width: int, marks: _Marks) -> None:
    if day.moving_avg is not None and day.moving_low is not None and day.moving_high is not None:
        for column in range(start, start + width):
            for row in range(_height(day.moving_high), _height(day.moving_low) + 1):
                grid[row][column] = marks.band
            grid[_height(day.moving_avg)][column] = marks.line
    if day.avg_success is not None:
        grid[_height(day.avg_success)][start + width // 2] = marks.point


def _height(value: float) -> int:
    """The row of an outcome, counted from the top."""
    return round((1 - value) * (ROWS - 1))


def _row(n: int, row: Sequence[str], marks: _Marks) -> Text:
    label = f"{1 - n / (ROWS - 1):.1f} {marks.tick}" if n % 2 == 0 else f"    {marks.axis}"
    style = {getattr(marks, name): style for name, style in _STYLES.items()}
    return Text(label, style="dim") + Text.assemble(*((char, style.get(char, "")) for char in row))


def _dates(first: date, last: date, columns: int) -> str:
    """The first and the last day under their columns."""
    left, right = first.isoformat(), last.isoformat()
    if columns >= len(left) + len(right) + 1:
        return left + right.rjust(columns - len(left))
    return f"{left} to {right}" if first < last else left


def _legend(marks: _Marks, window_days: int) -> Text:
    window = "the last day" if window_days == 1 else f"the last {window_days} days"
    return Text.assemble(
        "     ",
        (marks.point, _STYLES["point"]),
        " mean of the day  ",
        (marks.line * 2, _STYLES["line"]),
        f" mean of {window}  ",
        (marks.band * 2, _STYLES["band"]),
        " its 95 % interval",
    )
