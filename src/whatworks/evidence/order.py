"""Whether records that came late would say something else if they had come in their order.

The stores of a team fold what other machines wrote when it comes, which may be after they have
folded what was written later. Most records do not mind: tries of known patterns add up in any
order. Where two machines spoke of the same thing, the later word stands, and which one that is
only the order of stamps says. Then the evidence is made anew from the journal, in that order, so
that all machines come to the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from whatworks.evidence.archive import ARCHIVED
from whatworks.evidence.quarantine import JUDGED
from whatworks.replay import FORGOTTEN

if TYPE_CHECKING:
    import duckdb

__all__ = ["LEARNED", "matters", "repeated"]

LEARNED = "world.learned"

_PATTERN = (
    '"pattern_id":"VARCHAR","pattern_type":"VARCHAR","description":"VARCHAR","metadata":"VARCHAR",'
    '"created_at":"BIGINT","recorded_at":"BIGINT"'
)
# Two times that are no further apart say nothing of the order of stamps: clocks of machines may
# differ by two minutes (``team.database``), and a time is taken a moment before the stamp.
UNSURE_SECONDS = 180
_CREATED = "make_timestamp(coalesce(l.created_at, l.recorded_at))"
_SAME = f"""
    (l.pattern_type, l.description, l.metadata) IS NOT DISTINCT FROM
    (p.pattern_type, p.description, p.metadata)
    AND ({_CREATED} = p.created_at OR {_CREATED} > p.created_at + $unsure)
    AND abs(epoch(make_timestamp(l.recorded_at)) - epoch(p.updated_at)) > epoch($unsure)
"""
# By kind: the fields that are read, and what finds a record beside which the order counts.
# A pattern told of otherwise: its text is that of the later word. An aggregate or a try with a
# known id: the first word stands. An outcome of what has one, and what is said of a source or of a
# pattern being archived: the
# last word stands.
_CONFLICTS: Mapping[str, tuple[str, str]] = {
    "pattern.added": (
        _PATTERN,
        f"SELECT 1 FROM late l JOIN pattern_rows p USING (pattern_id) WHERE NOT ({_SAME}) LIMIT 1",
    ),
    "prior.added": (
        '"prior_id":"VARCHAR","success_rate":"DOUBLE","usage_count":"BIGINT","timestamp":"BIGINT"',
        """
        SELECT 1 FROM late l JOIN prior_rows p USING (prior_id)
        WHERE (l.success_rate, l.usage_count) IS DISTINCT FROM (p.success_rate, p.usage_count)
           OR (make_timestamp(l.timestamp) <> p.timestamp
               AND make_timestamp(l.timestamp) <= p.timestamp + $unsure) LIMIT 1
        """,
    ),
    "event.recorded": (
        '"event_id":"VARCHAR","given_id":"BOOLEAN"',
        """
        SELECT 1 FROM (SELECT md5_number_lower(event_id) AS event_key FROM late WHERE given_id) l
        SEMI JOIN (SELECT event_key FROM event_rows UNION ALL SELECT event_key FROM quarantined_rows)
        USING (event_key) LIMIT 1
        """,
    ),
    "event.resolved": (
        '"event_id":"VARCHAR","state":"VARCHAR","outcome":"DOUBLE","timestamp":"BIGINT",'
        '"checked":"BOOLEAN"',
        """
        SELECT 1 FROM (SELECT *, md5_number_lower(event_id) AS event_key FROM late) l
        JOIN (SELECT event_key, state, outcome, changed_at, checked FROM event_rows
              UNION ALL SELECT event_key, state, outcome, changed_at, checked FROM quarantined_rows) e
        USING (event_key)
        WHERE e.state <> 'pending'
          AND (l.state, l.outcome, make_timestamp(l.timestamp), coalesce(l.checked, e.checked))
            IS DISTINCT FROM (e.state, e.outcome, e.changed_at, e.checked) LIMIT 1
        """,
    ),
    ARCHIVED: (
        '"pattern_id":"VARCHAR"',
        """
        SELECT 1 FROM late JOIN pattern_rows USING (pattern_id) JOIN archived_rows USING (pattern_no)
        LIMIT 1
        """,
    ),
    JUDGED: (
        '"source":"VARCHAR","trust":"VARCHAR"',
        """
        SELECT 1 FROM late l JOIN source_rows s USING (source)
        WHERE l.trust IS DISTINCT FROM s.trust LIMIT 1
        """,
    ),
}


def matters(con: duckdb.DuckDBPyConnection, late: Mapping[str, Sequence[bytes]]) -> bool:
    """Whether the tables, with the late bodies (by kind) folded now, may be others than in order.

    Asked before they are folded. What is forgotten late counts always: what was said after it stays.
    So does what was learned: from tries that may have been forgotten since.
    """
    if FORGOTTEN in late or LEARNED in late:
        return True
    return any(
        kind in late and bool(_rows(con, late[kind], fields, query))
        for kind, (fields, query) in _CONFLICTS.items()
    )


def repeated(con: duckdb.DuckDBPyConnection, late: Mapping[str, Sequence[bytes]]) -> set[int]:
    """Late bodies, by ``id``, that say of a pattern what was said of it since: they change nothing.

    Programs add their patterns each time that they start, on all machines.
    """
    bodies = late.get("pattern.added", ())
    if not bodies:
        return set()
    query = f"""
        SELECT nth FROM late l JOIN pattern_rows p USING (pattern_id)
        WHERE {_SAME} AND make_timestamp(l.recorded_at) < p.updated_at
    """
    return {id(bodies[nth - 1]) for (nth,) in _rows(con, bodies, _PATTERN, query)}


def _rows(
    con: duckdb.DuckDBPyConnection, bodies: Sequence[bytes], fields: str, query: str
) -> list[tuple[int]]:
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE late AS
        SELECT unnest(from_json(line, '{{{fields}}}')), nth
        FROM (SELECT unnest(lines) AS line, generate_subscripts(lines, 1) AS nth
              FROM (SELECT string_split(?, chr(10)) AS lines))
        """,
        [b"\n".join(bodies).decode()],
    )
    unsure = f"INTERVAL {UNSURE_SECONDS} SECONDS"
    return con.execute(query.replace("$unsure", unsure)).fetchall()
