"""The outcomes of all patterns in the last days, and the contexts of one of them, as SQL."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from whatworks.evidence.archive import SHOWN
from whatworks.evidence.database import Evidence
from whatworks.evidence.questions import vouched_days
from whatworks.evidence.schema import NUMBERS

__all__ = ["ContextRow", "Windows", "context_count", "contexts_of", "names", "untested", "windows"]


class Windows(NamedTuple):
    """Outcomes by pattern: those of the last window and those of the span before, each ``(n,)``.

    ``until`` is the last day of the window, ``None`` in a store without outcomes.
    """

    until: date | None
    numbers: NDArray[np.int64]
    recent: NDArray[np.float64]
    recent_sum: NDArray[np.float64]
    before: NDArray[np.float64]
    before_sum: NDArray[np.float64]


def windows(evidence: Evidence, window_days: int, baseline_days: int) -> Windows:
    """The last ``window_days`` that end with the newest day of an outcome, and the days before.

    Archived patterns are left out.
    """
    until = evidence.one("SELECT max(day) FROM days WHERE resolved > 0")[0]
    rows: list[tuple[float, ...]] = []
    if until is not None:
        border = until - timedelta(days=window_days)
        first = border - timedelta(days=baseline_days)
        # Times as values, so that blocks of older days are not read.
        query = f"""
            SELECT pattern_no, coalesce(sum(resolved) FILTER (day > DATE '{border}'), 0)::DOUBLE,
                   coalesce(sum(outcome_sum) FILTER (day > DATE '{border}'), 0),
                   coalesce(sum(resolved) FILTER (day <= DATE '{border}'), 0)::DOUBLE,
                   coalesce(sum(outcome_sum) FILTER (day <= DATE '{border}'), 0)
            FROM {vouched_days(evidence)} WHERE day > DATE '{first}' AND {SHOWN} GROUP BY pattern_no
            HAVING sum(resolved) > 0
        """
        rows = evidence.rows(query)
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Windows(until, table[:, 0].astype(np.int64), *table[:, 1:].T)


def names(evidence: Evidence, numbers: Collection[int]) -> dict[int, str]:
    """The ids of patterns by their numbers."""
    query = f"SELECT pattern_no, pattern_id FROM pattern_rows WHERE pattern_no IN {NUMBERS}"
    return dict(evidence.rows(query, [orjson.dumps(list(numbers)).decode()]))


def untested(evidence: Evidence, limit: int) -> tuple[int, list[str]]:
    """How many patterns have no known outcome, and the ids of the newest of them."""
    never = f"FROM pattern_rows WHERE resolved = 0 AND {SHOWN}"
    count = int(evidence.one(f"SELECT count(*) {never}")[0])
    query = f"""
        SELECT pattern_id {never}
        ORDER BY created_at DESC, pattern_id LIMIT ?
    """
    return count, [row[0] for row in evidence.rows(query, [limit])]


class ContextRow(NamedTuple):
    """A context of a pattern, with the tries there whose outcome is known."""

    context_id: str
    context: str
    tries: int
    outcome_sum: float


def context_count(evidence: Evidence, number: int) -> int:
    """In how many contexts the pattern with a number has known outcomes."""
    query = f"""
        SELECT count(DISTINCT context_no) FROM cells
        WHERE pattern_no = {number} AND context_no >= 0 AND tries > 0
    """
    return int(evidence.one(query)[0])


def contexts_of(evidence: Evidence, number: int, limit: int) -> list[ContextRow]:
    """The contexts of a pattern's known outcomes, those of the newest tries first."""
    query = f"""
        SELECT context_no, sum(tries)::BIGINT, sum(outcome_sum)
        FROM cells WHERE pattern_no = {number} AND context_no >= 0 AND tries > 0
        GROUP BY context_no ORDER BY max(last_at) DESC, context_no LIMIT ?
    """
    found = {row[0]: row[1:] for row in evidence.rows(query, [limit])}
    texts = f"SELECT context_no, context_id, text FROM context_rows WHERE context_no IN {NUMBERS}"
    known = {row[0]: row[1:] for row in evidence.rows(texts, [orjson.dumps(list(found)).decode()])}
    return [ContextRow(*known[name], *found[name]) for name in found if name in known]
