"""How numbers, times and texts are written on a page."""

from __future__ import annotations

from datetime import datetime

__all__ = ["bytes_", "count", "many", "percent", "points", "short", "signed", "when"]

NONE = "\N{EN DASH}"
THIN = "\N{NO-BREAK SPACE}"


def percent(value: float | None) -> str:
    """A share in percent, a dash where it is not known."""
    return NONE if value is None else f"{100 * value:.0f}{THIN}%"


def points(value: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return NONE if value is None else f"{100 * value:+.1f}"


def signed(value: float | None) -> str:
    """A difference of shares in whole percentage points, with its sign."""
    return NONE if value is None else f"{100 * value:+.0f}"


def count(value: float | None) -> str:
    """A whole number with thousands apart."""
    return NONE if value is None else f"{value:,.0f}"


def many(value: int, one: str, more: str | None = None) -> str:
    """A count with its noun."""
    return f"{value:,} {one if value == 1 else more or one + 's'}"


def when(moment: datetime | None) -> str:
    """A time in UTC, to the minute."""
    return NONE if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def short(text: str, length: int = 160) -> str:
    """The first line of a text, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def bytes_(size: float) -> str:
    """A size in B, kB, MB or GB of a thousand."""
    for unit in ("B", "kB", "MB"):
        if size < 1_000:
            return f"{size:,.0f}{THIN}{unit}" if unit == "B" else f"{size:,.1f}{THIN}{unit}"
        size /= 1_000
    return f"{size:,.1f}{THIN}GB"
