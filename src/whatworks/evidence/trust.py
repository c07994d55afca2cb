"""What is thought of sources, what is held back of them, and how much of what counts is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from whatworks.evidence.database import Evidence
from whatworks.evidence.quarantine import BOUND, IMPORT_TRUST, STRANGERS
from whatworks.evidence.questions import STATES, naive
from whatworks.evidence.schema import IDS, WORTH
from whatworks.records import Held, Import, Judgement, Told, Trust

__all__ = ["held", "held_of", "imports", "judgement", "judgements", "told", "unvouched"]


def held(evidence: Evidence, limit: int) -> list[Held]:
    """What is held back, by pattern, source, channel and reason; most tries first."""
    query = """
        SELECT pattern_id, source, channel, reason, count(*) AS tries, avg(outcome),
               min(timestamp), max(timestamp)
        FROM quarantined_rows JOIN pattern_rows USING (pattern_no)
        GROUP BY pattern_id, source, channel, reason
        ORDER BY tries DESC, pattern_id, source, channel, reason LIMIT ?
    """
    rows = evidence.rows(query, [limit])
    return [Held(*row[:6], *(at.replace(tzinfo=UTC) for at in row[6:])) for row in rows]


def held_of(evidence: Evidence, ids: Sequence[str]) -> dict[str, str]:
    """Which of these tries are held back, and why."""
    if not evidence.guarded:
        return {}
    query = f"SELECT event_id, reason FROM quarantined_rows WHERE event_id IN {IDS}"
    return dict(evidence.rows(query, [orjson.dumps(list(ids)).decode()]))


def judgements(evidence: Evidence) -> list[Judgement]:
    """What the owner said of sources, in the order of their names."""
    rows = evidence.rows("SELECT source FROM source_rows WHERE trust IS NOT NULL ORDER BY source")
    return [judgement(evidence, row[0]) for row in rows]


def judgement(evidence: Evidence, source: str) -> Judgement:
    """What is thought of a source, and how many of its tries count and are held back."""
    query = f"""
        WITH brought AS (SELECT import_id FROM import_rows WHERE list_contains(labels, ?)),
        told AS (
            SELECT channel, false AS held FROM event_rows
            WHERE source = ? OR import_id IN (SELECT import_id FROM brought)
            UNION ALL
            SELECT channel, true FROM quarantined_rows
            WHERE source = ? OR import_id IN (SELECT import_id FROM brought))
        SELECT (SELECT trust FROM source_rows WHERE source = ?),
               (SELECT judged_at FROM source_rows WHERE source = ? AND trust IS NOT NULL),
               bool_or(channel IN ({STRANGERS})), count(*) FILTER (NOT held), count(*) FILTER (held)
        FROM told
    """
    said, at, strange, counted, held = evidence.one(query, [source] * 5)
    trust: Trust = said or ("unvouched" if strange else "vouched")
    return Judgement(source, trust, counted, held, None if at is None else at.replace(tzinfo=UTC))


def imports(evidence: Evidence) -> list[Import]:
    """Which files tries were imported from, the last one first."""
    query = """
        WITH brought AS (SELECT import_id, unnest(labels) AS source, begun_at FROM import_rows),
        told AS (
            SELECT import_id, state, outcome, checked, false AS held FROM event_rows
            WHERE import_id IS NOT NULL
            UNION ALL SELECT import_id, state, outcome, checked, true FROM quarantined_rows
            WHERE import_id IS NOT NULL)
        SELECT source, min(begun_at) AS first_at, count(*) FILTER (NOT held),
               count(*) FILTER (NOT held AND state = 'resolved'), avg(outcome) FILTER (NOT held),
               count(*) FILTER (NOT held AND checked), count(*) FILTER (held),
               coalesce(first(trust), 'vouched')
        FROM brought JOIN told USING (import_id) LEFT JOIN source_rows USING (source)
        GROUP BY source ORDER BY first_at DESC, source
    """
    return [Import(row[0], row[1].replace(tzinfo=UTC), *row[2:]) for row in evidence.rows(query)]


def told(evidence: Evidence, ids: Sequence[str], at: datetime) -> dict[str, Told]:
    """By whom the outcomes of patterns are told that were known at a time, where any were.

    One that was corrected since counts as told: who found it before is not kept.
    """
    query = f"""
        WITH {STATES}
        SELECT pattern_id, coalesce(labels[1], ''), count(*),
               count(*) FILTER (checked AND since = changed_at)
        FROM states s JOIN pattern_rows USING (pattern_no)
        JOIN (SELECT event_key, changed_at, checked, import_id FROM event_rows) USING (event_key)
        LEFT JOIN import_rows USING (import_id)
        WHERE pattern_id IN {IDS} AND s.state = 'resolved'
        GROUP BY ALL ORDER BY 3 DESC, 2
    """
    found: dict[str, Told] = {}
    for name, label, number, checked in evidence.rows(query, [naive(at), orjson.dumps(ids).decode()]):
        before = found.get(name, Told(0, 0))
        imported = {**before.imported, **({label: number} if label else {})}
        found[name] = Told(before.outcomes + number, before.checked + checked, imported)
    return found


def unvouched(evidence: Evidence, numbers: Sequence[int], as_of: datetime | None) -> dict[int, float]:
    """Which share of the evidence of patterns is told by unvouched sources, where any is.

    In (0, 1], of effective tries. More than a quarter only where little is vouched: see ``FLOOR``.
    """
    if not evidence.guarded or not numbers:
        return {}
    with_, values = "", list[object]()
    states = "(SELECT * FROM event_rows WHERE state = 'resolved')"
    if as_of is not None:
        with_, values = f"{STATES},", [naive(as_of)]
        states = """
            (SELECT s.*, source, channel, import_id FROM states s JOIN event_rows USING (event_key)
             WHERE s.state = 'resolved')"""
    worth = WORTH.format(n="tries")
    query = f"""
        WITH {with_}
        told AS (
            SELECT pattern_no, context_no, timestamp::DATE AS day, {BOUND} IS NOT NULL AS bound,
                   count(*) AS tries
            FROM {states} LEFT JOIN source_rows USING (source)
            LEFT JOIN {IMPORT_TRUST} USING (import_id)
            WHERE pattern_no IN (SELECT unnest(from_json(?::JSON, '["INTEGER"]')))
            GROUP BY ALL)
        SELECT pattern_no, sum({worth}) FILTER (bound) / sum({worth})
        FROM told GROUP BY pattern_no HAVING count(*) FILTER (bound) > 0
    """
    asked = orjson.dumps([int(number) for number in numbers]).decode()
    return dict(evidence.rows(query, [*values, asked]))
