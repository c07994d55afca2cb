"""Predictions together with what was tried afterwards, as SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from whatworks.evidence.database import Evidence

__all__ = ["Episode", "Try", "count", "episodes"]


class Try(NamedTuple):
    """A pattern that was tried; ``outcome`` is ``None`` where it is not known."""

    pattern_id: str
    outcome: float | None


class Episode(NamedTuple):
    """A receipt, and the tries that name it in the order of their time."""

    receipt: Mapping[str, Any]
    tries: list[Try]


def episodes(evidence: Evidence, *, masking: bool = False) -> Iterator[Episode]:
    """Every prediction that a try names, the oldest first, a few at a time.

    What was offered and not used is no try. With ``masking`` only those
    predictions that could have withheld an answer.
    """
    condition = "(receipt->>'mask_propensity')::DOUBLE > 0" if masking else "true"
    # Tries of the same moment stand in the order in which they were recorded.
    query = f"""
        SELECT receipt, names, outcomes
        FROM (SELECT prediction_id, list(pattern_id ORDER BY timestamp, row) AS names,
                     list(outcome ORDER BY timestamp, row) AS outcomes
              FROM (SELECT *, rowid AS row FROM event_rows
                    WHERE prediction_id IS NOT NULL AND state <> 'not_used')
              JOIN pattern_rows USING (pattern_no) GROUP BY prediction_id)
        JOIN (SELECT * FROM prediction_rows WHERE {condition}) USING (prediction_id)
        ORDER BY made_at, prediction_id
    """
    for receipt, names, outcomes in evidence.stream(query):
        yield Episode(orjson.loads(receipt), list(map(Try, names, outcomes)))


def count(evidence: Evidence) -> int:
    """How many predictions there are."""
    return int(evidence.one("SELECT count(*) FROM prediction_rows")[0])
