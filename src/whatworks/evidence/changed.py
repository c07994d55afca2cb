"""Rows of the tables in the form in which ``lookup`` keeps them, and which of them a fold changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

__all__ = ["NO_CONTEXT", "SELECTS", "Changed", "day_of", "days_since", "micros_since"]

Row = tuple[Any, ...]

# Tries without a context are in the context of this number.
NO_CONTEXT = -1
EPOCH_DAY, EPOCH = date(1970, 1, 1), datetime(1970, 1, 1)
_FIRST_DAY = EPOCH_DAY.toordinal()
# Numbers, texts and None alone: times in microseconds and days since 1970.
SELECTS: Mapping[str, str] = {
    "patterns": """
        SELECT pattern_no, pattern_type, description, metadata, epoch_us(created_at),
               epoch_us(updated_at)
        FROM pattern_rows""",
    "records": """
        SELECT pattern_no, pattern_id, used, resolved, outcome_sum, epoch_us(last_used_at),
               effective, effective_sum, prior_count, prior_sum
        FROM pattern_rows""",
    "contexts": "SELECT context_no, context_id, text FROM context_rows",
    "cells": f"""
        SELECT coalesce(context_no, {NO_CONTEXT}), pattern_no, day - DATE '1970-01-01', tries,
               outcome_sum, epoch_us(last_at)
        FROM cells""",
    "days": "SELECT pattern_no, day - DATE '1970-01-01', used, resolved, outcome_sum FROM days",
}


def days_since(day: date) -> int:
    """Days since 1970."""
    return (day - EPOCH_DAY).days


def day_of(days: int) -> date:
    """The day that is so many days after the first of 1970."""
    return date.fromordinal(_FIRST_DAY + days)


def micros_since(moment: datetime | None) -> int | None:
    """Microseconds since 1970 of a UTC time as the tables hold it."""
    if moment is None:
        return None
    passed = moment - EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


@dataclass(slots=True)
class Changed:
    """The rows that a batch changed, as they are after it, by the names of ``SELECTS``.

    ``corrected`` are the patterns of which all cells are among them; of the others ``before``
    says how many tries the cells had (context, pattern, day). ``states``: by how much
    the number of events in a state grew; ``times``: of some of the new ones, the first and the
    last among them.
    ``gone`` are the ids that were forgotten, by collection; ``spoilt`` says that what the lookup
    holds is not brought up to date by this.
    And ``postings``: word, pattern, how often, among how many; 0 times if it has it no more.
    Nothing is kept unless it is ``wanted``. ``guarded``: whether tries may have to be held back.
    """

    wanted: bool
    guarded: bool = False
    rows: dict[str, list[Row]] = field(default_factory=dict)
    corrected: set[int] = field(default_factory=set)
    before: dict[Row, int] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    times: list[int] = field(default_factory=list)
    gone: dict[str, list[str]] = field(default_factory=dict)
    spoilt: bool = False

    @property
    def size(self) -> int:
        """How many rows these are."""
        return sum(map(len, self.rows.values()))

    def clear(self) -> None:
        """Begin again."""
        for held in (self.rows, self.corrected, self.before, self.states, self.times, self.gone):
            held.clear()
        self.spoilt = False

    def add(self, name: str, rows: Sequence[Row] | Iterator[Row]) -> None:
        """Rows whose values are known."""
        if self.wanted:
            self.rows.setdefault(name, []).extend(rows)

    def read(self, con: duckdb.DuckDBPyConnection, name: str, which: str) -> None:
        """The rows that a clause chooses, from the tables."""
        if self.wanted:
            self.add(name, con.execute(f"{SELECTS[name]} {which}").fetchall())

    def add_cells(self, rows: Iterable[Row]) -> None:
        """Rows of ``cells``, each with the tries before as one value more."""
        if self.wanted:
            known = self.rows.setdefault("cells", [])
            for *row, before in rows:
                known.append(tuple(row))
                self.before.setdefault(tuple(row[:3]), before)

    def end_postings(self, con: duckdb.DuckDBPyConnection, which: str) -> None:
        """The postings that a clause chooses are no more: those that none has any times."""
        if self.wanted:
            query = f"SELECT word, pattern_no, 0, 0 FROM postings {which}"
            self.add("postings", con.execute(query).fetchall())
