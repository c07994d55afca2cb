"""Which outcomes are known, which are missing, and what the missing ones would add to a record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from whatworks.evidence.database import Evidence
from whatworks.evidence.questions import STATES, naive
from whatworks.evidence.schema import EFFECTIVE

__all__ = ["Added", "Known", "added", "known"]

_NUMBERS = "(SELECT unnest(from_json(?::JSON, '[\"INTEGER\"]')))"
_ALL, _RESOLVED = EFFECTIVE.format(n="tries"), EFFECTIVE.format(n="resolved")


class Known(NamedTuple):
    """Tries of a pattern whose outcome is known, and those whose outcome is not."""

    resolved: int
    missing: int


class Added(NamedTuple):
    """What the missing tries would add to a pattern's record, repeats counting less.

    ``tries`` effective tries, and what its total would change by if all of
    them had failed, and if all had worked. ``failed`` is 0 or below: a cell
    whose rate falls counts little more.
    """

    tries: float
    failed: float
    worked: float


def _states(as_of: datetime | None) -> tuple[str, list[object]]:
    if as_of is None:
        return "WITH states AS (SELECT pattern_no, context_no, state, outcome FROM event_rows)", []
    return f"WITH {STATES}", [naive(as_of)]


def known(evidence: Evidence, numbers: Sequence[int], as_of: datetime | None) -> dict[int, Known]:
    """The counts of these patterns, as far as they were tried; ``not_used`` is no try."""
    with_, values = _states(as_of)
    query = f"""{with_}
        SELECT pattern_no, count(outcome), count(*) - count(outcome) FROM states
        WHERE state <> 'not_used' AND pattern_no IN {_NUMBERS} GROUP BY pattern_no
    """
    if as_of is None:
        query = f"""
            SELECT pattern_no, resolved, used - resolved FROM pattern_rows
            WHERE pattern_no IN {_NUMBERS}
        """
    rows = evidence.rows(query, [*values, orjson.dumps(list(numbers)).decode()])
    return {row[0]: Known(row[1], row[2]) for row in rows}


def added(evidence: Evidence, numbers: Sequence[int], as_of: datetime | None) -> dict[int, Added]:
    """What the missing tries of these patterns would add; patterns without tries are absent."""
    with_, values = _states(as_of)
    query = f"""{with_},
    tried AS (
        SELECT pattern_no, context_no, count(*) AS tries, count(outcome) AS resolved,
               coalesce(sum(outcome), 0) AS total
        FROM states WHERE state <> 'not_used' AND pattern_no IN {_NUMBERS} GROUP BY ALL),
    worth AS (
        SELECT pattern_no, tries, resolved, total,
               if(context_no IS NULL, tries, {_ALL}) AS now,
               if(context_no IS NULL, resolved, {_RESOLVED}) AS before,
               coalesce(before * total / nullif(resolved, 0), 0) AS before_total
        FROM tried)
    SELECT pattern_no, sum(now - before), sum(now * total / tries - before_total),
           sum(now * (total + tries - resolved) / tries - before_total)
    FROM worth GROUP BY pattern_no
    """
    rows = evidence.rows(query, [*values, orjson.dumps(list(numbers)).decode()])
    return {row[0]: Added(*row[1:]) for row in rows}
