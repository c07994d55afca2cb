"""How many outcomes are known, and what the missing ones would add to a record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from whatworks.evidence.database import Evidence
from whatworks.evidence.questions import STATES, naive
from whatworks.evidence.schema import IDS, NUMBERS, WORTH

__all__ = ["Added", "Hole", "added", "known"]

_ALL, _RESOLVED = WORTH.format(n="tries"), WORTH.format(n="resolved")


class Hole(NamedTuple):
    """Missing tries of a pattern in one context, and those there whose outcome is known.

    All in effective tries; ``total`` is the sum of the known outcomes.
    """

    context_id: str
    known: float
    total: float
    missing: float


class Added(NamedTuple):
    """What the missing tries would add to a pattern's record, repeats counting less.

    ``tries`` effective tries, and what its total would change by if all of
    them had failed, and if all had worked. ``failed`` is 0 or below: a cell
    whose rate falls counts little more. ``holes`` are those in the contexts
    asked about.
    """

    tries: float
    failed: float
    worked: float
    holes: tuple[Hole, ...]


def _states(as_of: datetime | None) -> tuple[str, list[object]]:
    if as_of is None:
        return (
            "WITH states AS (SELECT pattern_no, context_no, timestamp, state, outcome FROM event_rows)",
            [],
        )
    return f"WITH {STATES}", [naive(as_of)]


def known(evidence: Evidence, ids: Sequence[str], as_of: datetime) -> dict[str, tuple[int, int]]:
    """Tries with a known outcome and those without one, as of a time; ``not_used`` is no try."""
    query = f"""
        WITH {STATES}
        SELECT pattern_id, count(outcome), count(*) - count(outcome)
        FROM states JOIN pattern_rows USING (pattern_no)
        WHERE state <> 'not_used' AND pattern_id IN {IDS}
        GROUP BY pattern_id
    """
    rows = evidence.rows(query, [naive(as_of), orjson.dumps(list(ids)).decode()])
    return {row[0]: (row[1], row[2]) for row in rows}


def added(
    evidence: Evidence, numbers: Sequence[int], contexts: Sequence[str], as_of: datetime | None
) -> dict[int, Added]:
    """What the missing tries of these patterns would add; patterns without tries are absent."""
    with_, values = _states(as_of)
    query = f"""{with_},
    near AS (
        SELECT context_no, context_id FROM context_rows
        WHERE context_id IN {IDS}),
    tried AS (
        SELECT *, {_ALL} AS now, {_RESOLVED} AS before,
               coalesce(before * total / nullif(resolved, 0), 0) AS before_total
        FROM (SELECT pattern_no, context_no, timestamp::DATE AS day, count(*) AS tries,
                     count(outcome) AS resolved, coalesce(sum(outcome), 0) AS total
              FROM states WHERE state <> 'not_used' AND pattern_no IN {NUMBERS}
              GROUP BY ALL)),
    holes AS (
        SELECT pattern_no, list(row(context_id, known, total, missing) ORDER BY context_id) AS holes
        FROM (SELECT pattern_no, context_id, sum(before) AS known, sum(before_total) AS total,
                     sum(now - before) AS missing
              FROM tried JOIN near USING (context_no) GROUP BY ALL HAVING missing > 1e-9)
        GROUP BY pattern_no)
    SELECT pattern_no, sum(now - before), sum(now * total / tries - before_total),
           sum(now * (total + tries - resolved) / tries - before_total), any_value(holes)
    FROM tried LEFT JOIN holes USING (pattern_no) GROUP BY pattern_no
    """
    given = [orjson.dumps(list(contexts)).decode(), orjson.dumps(list(numbers)).decode()]
    return {
        number: Added(tries, failed, worked, tuple(Hole(*hole) for hole in holes or ()))
        for number, tries, failed, worked, holes in evidence.rows(query, [*values, *given])
    }
