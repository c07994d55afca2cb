"""What was promised beside what came of it, as one question."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from numpy.typing import NDArray

from whatworks.evidence.database import Evidence
from whatworks.evidence.questions import naive

__all__ = ["Entries", "entries", "shown"]


class Entries(NamedTuple):
    """Predictions whose outcome is known, an array for each column, in the order of ``made_at``.

    One entry is one pattern in one prediction that was tried because of it.
    ``context`` is a hash of the text, ``outcome`` the mean of the tries that
    name the prediction, ``known_at`` and ``source`` those of the newest of
    them. Times are microseconds since 1970.
    """

    prediction: NDArray[Any]
    context: NDArray[Any]
    pattern: NDArray[Any]
    pattern_type: NDArray[Any]
    source: NDArray[Any]
    made_at: NDArray[Any]
    known_at: NDArray[Any]
    expected: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    n_effective: NDArray[Any]
    outcome: NDArray[Any]


def entries(evidence: Evidence, *, since: datetime | None, as_of: datetime | None) -> Entries:
    """What was predicted from ``since`` on and came out until ``as_of``, both inclusive.

    A try counts if it is resolved, names the prediction, and is of a pattern
    that the prediction answered with.
    """
    period, moments = _period(since, as_of)
    known, until = ("AND resolved_at <= ?", [naive(as_of)]) if as_of else ("", [])
    query = f"""
        WITH outcomes AS (
            SELECT prediction_id, pattern_no, avg(outcome) AS outcome, max(resolved_at) AS known_at,
                   arg_max(source, (resolved_at, event_id)) AS source
            FROM event_rows WHERE state = 'resolved' AND prediction_id IS NOT NULL {known}
            GROUP BY ALL)
        SELECT md5_number_lower(prediction_id) AS prediction, md5_number_lower(context) AS context,
               pattern_no AS pattern, pattern_type, source, epoch_us(made_at) AS made_at,
               epoch_us(known_at) AS known_at, expected, low, high, n_effective, outcome
        FROM outcomes JOIN pattern_rows USING (pattern_no)
        JOIN answer_rows USING (prediction_id, pattern_id)
        JOIN (SELECT prediction_id, made_at, context FROM prediction_rows WHERE {period})
            USING (prediction_id)
        WHERE expected + low + high + n_effective IS NOT NULL
        ORDER BY made_at, prediction_id, pattern_no
    """
    return Entries(**evidence.columns(query, [*until, *moments]))


def shown(evidence: Evidence, *, since: datetime | None, as_of: datetime | None) -> int:
    """How many predictions were made in that time."""
    period, moments = _period(since, as_of)
    return int(evidence.one(f"SELECT count(*) FROM prediction_rows WHERE {period}", moments)[0])


def _period(since: datetime | None, as_of: datetime | None) -> tuple[str, list[object]]:
    given = [("made_at >= ?", since), ("made_at <= ?", as_of)]
    kept = [(part, naive(at)) for part, at in given if at is not None]
    return " AND ".join(["true", *(part for part, _ in kept)]), [at for _, at in kept]
