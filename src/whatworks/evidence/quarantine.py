"""Bounded influence: which tries of sources that nobody vouches for count, and which are held back.

What counts follows from the tries there are and from what the owner said of their sources last,
not from the order in which the fold saw them: folding in batches of any size, and making the
evidence anew, end in the same tables. Of the tries of a pattern these are held back:

- all of a source that is distrusted;
- of an unvouched source more than ``PER_HOUR`` of a session within an hour, and of what is left
  more than ``PER_SOURCE``;
- of what all unvouched sources have left, more than ``SHARE`` of the pattern's vouched evidence,
  or than ``FLOOR`` where there is little of that.

What counts of an unvouched source counts aside (``schema.ASIDE``): for the record of its pattern, as
if all of them had told of one situation a day, but neither for what works in a situation nor as a
change of the pattern. The earliest recorded ones count, so that what counts stays while more comes
in. A source is unvouched by the channel it writes through, which the face sets and no client, until
it is approved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import contains
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from whatworks.channels import UNVOUCHED
from whatworks.evidence.changed import Changed
from whatworks.evidence.counting import count, recount
from whatworks.evidence.latest import next_numbers
from whatworks.evidence.rows import listed
from whatworks.evidence.schema import ASIDE, CHECKED, IDS, WORTH

if TYPE_CHECKING:
    import duckdb


__all__ = [
    "BOUND",
    "FLOOR",
    "GUARDED",
    "IMPORT_TRUST",
    "JUDGED",
    "PER_HOUR",
    "PER_SOURCE",
    "ROUNDING",
    "SHARE",
    "STRANGERS",
    "TOLD_BY",
    "begin",
    "concerned",
    "guards",
    "hold_new",
    "judge",
    "settle",
    "unlearn",
]

# The record that says what the owner thinks of a source.
JUDGED = "source.judged"
# Stands in ``meta`` from the first try on that may be held back, and the first judgement: where it
# does not, nothing here is asked.
GUARDED = "guarded"
# In simulations of 40 patterns a source that counts at most 20 times puts no pattern first, and 20
# such sources neither; a hundred do, unless all of them together are a quarter of a pattern's
# evidence, and two tries of a pattern that nobody else has tried (docs/security.md).
PER_SOURCE = 20
PER_HOUR = 3
SHARE = 1 / 3  # of the vouched evidence: a quarter of the whole
FLOOR = 2

_COLUMNS = (
    "event_id, event_key, pattern_no, {context}, timestamp, state, outcome, resolved_at, changed_at, "
    "recorded_at, session_id, source, channel, files, tools, duration_ms, cost, prediction_id, "
    "metadata, checked, import_id"
)
STRANGERS = ", ".join(f"'{channel}'" for channel in UNVOUCHED)
# What the owner said of where tries were imported from, to be joined by ``import_id``. Only the file
# that was read here is vouched for: which files it names itself is its own word.
IMPORT_TRUST = """(
    SELECT import_id, if(bool_or(trust = 'distrusted'), 'distrusted',
                         max(trust) FILTER (nth = 1)) AS import_trust
    FROM (SELECT import_id, unnest(labels) AS source, generate_subscripts(labels, 1) AS nth
          FROM import_rows) JOIN source_rows USING (source)
    GROUP BY import_id) import_trust"""
# What the owner said of a try's source or import: that one is distrusted counts for more.
SAID = """
    if(trust = 'distrusted' OR import_trust = 'distrusted', 'distrusted', coalesce(trust, import_trust))
"""
# Whether a try comes from one of the sources in a table.
TOLD_BY = """
    (source IN (SELECT source FROM {0}) OR import_id IN (
        SELECT import_id FROM (SELECT import_id, unnest(labels) AS source FROM import_rows)
        WHERE source IN (SELECT source FROM {0})))
"""
# How a try is bound: not at all, by limits, or to count for nothing.
BOUND = f"""
    CASE WHEN {SAID} = 'distrusted' THEN 'distrusted'
         WHEN {SAID} IS NULL AND channel IN ({STRANGERS}) THEN 'limited' END
"""
_TOLD = "source, import_id, session_id, recorded_at, channel, state, timestamp::DATE AS day"
# Sums of fractions of tries come a little below a whole number.
ROUNDING = 1e-9


class _Sizes(NamedTuple):
    """How many tries are to be held back, and how many to count again."""

    hold: int
    release: int


def guards(batch: Mapping[str, Sequence[bytes]]) -> bool:
    """Whether records of a batch, by kind, bring what may have to be held back."""
    marks = [f'"channel":"{channel}"'.encode() for channel in UNVOUCHED]
    told = batch.get("event.recorded", ())
    return bool(batch.get(JUDGED)) or any(any(map(contains, told, repeat(mark))) for mark in marks)


def begin(con: duckdb.DuckDBPyConnection) -> None:
    """Note that from now on tries may be held back."""
    con.execute(
        f"INSERT INTO meta SELECT '{GUARDED}', 1 "
        f"WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name = '{GUARDED}')"
    )


def concerned(con: duckdb.DuckDBPyConnection, bodies: Sequence[bytes]) -> bool:
    """Whether a few events or outcomes are bound or imported, or of a try that is held back."""
    told = [orjson.loads(body) for body in bodies]
    if any("import_id" in body for body in told):
        return True
    known = f"SELECT source, trust FROM source_rows WHERE source IN ({listed(map(_source, told))})"
    trust = dict(con.execute(known).fetchall())
    if any(_is_bound(body, trust) for body in told):
        return True
    ids = listed(body["event_id"] for body in told)
    held = f"SELECT count(*) FROM quarantined_rows WHERE event_id IN ({ids})"
    return bool(con.execute(held).fetchall()[0][0])


def _source(body: Mapping[str, Any]) -> str | None:
    return body.get("source")


def _is_bound(body: Mapping[str, Any], trust: Mapping[str | None, str]) -> bool:
    """As ``BOUND`` has it."""
    said = trust.get(_source(body))
    return said == "distrusted" or (said is None and body.get("channel") in UNVOUCHED)


# -- what comes in --------------------------------------------------------------------------------


def hold_new(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Take those of ``new_events`` that are bound; ``settle`` says which of them count.

    Returns the ids of their patterns.
    """
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE bound_events AS
        SELECT e.*, p.pattern_no, md5_number_lower(event_id) AS event_key,
               coalesce(make_timestamp(e.resolved_at), make_timestamp(e.timestamp)) AS since
        FROM new_events e JOIN pattern_rows p USING (pattern_id) LEFT JOIN source_rows s USING (source)
        LEFT JOIN {IMPORT_TRUST} USING (import_id)
        WHERE {BOUND} IS NOT NULL;
        DELETE FROM new_events WHERE nth IN (SELECT nth FROM bound_events);
        INSERT INTO quarantined_rows
        SELECT event_id, event_key, pattern_no, context_id, context, make_timestamp(timestamp), state,
               outcome, if(state = 'resolved', since, make_timestamp(resolved_at)), since,
               make_timestamp(coalesce(recorded_at, timestamp)), session_id, source, channel,
               coalesce(files, []), coalesce(tools, []), duration_ms, cost, prediction_id,
               coalesce(metadata, '{{}}'), {CHECKED}, import_id, ''
        FROM bound_events ORDER BY nth;
        INSERT INTO quarantined_states
        SELECT event_key, pattern_no, NULL, make_timestamp(timestamp), 'pending', NULL,
               make_timestamp(timestamp), make_timestamp(resolved_at)
        FROM bound_events WHERE resolved_at > timestamp;
        """
    )
    return _ids(con, "SELECT DISTINCT pattern_id FROM bound_events")


def judge(con: duckdb.DuckDBPyConnection, bodies: Sequence[bytes]) -> set[str]:
    """Take down what the owner says of sources; the last word on each stands.

    Returns the ids of the patterns they told of.
    """
    said = {body["source"]: body for body in map(orjson.loads, bodies)}
    rows = orjson.dumps(
        [
            [b["source"], b["trust"], str(b.get("judged_at", b["recorded_at"])), str(b["recorded_at"])]
            for b in said.values()
        ]
    )
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE judged AS
        SELECT r[1] AS source, r[2] AS trust, make_timestamp(r[3]::BIGINT) AS judged_at,
               make_timestamp(r[4]::BIGINT) AS recorded_at
        FROM (SELECT unnest(from_json(?::JSON, '[["VARCHAR"]]')) AS r)
        """,
        [rows.decode()],
    )
    con.execute(
        """
        DELETE FROM source_rows WHERE source IN (SELECT source FROM judged);
        INSERT INTO source_rows SELECT source, trust, judged_at, recorded_at FROM judged
        """
    )
    return _ids(
        con,
        f"""
        SELECT pattern_id FROM pattern_rows WHERE pattern_no IN (
            SELECT pattern_no FROM event_rows WHERE {TOLD_BY.format("judged")}
            UNION ALL
            SELECT pattern_no FROM quarantined_rows WHERE {TOLD_BY.format("judged")})
        """,
    )


def unlearn(con: duckdb.DuckDBPyConnection) -> None:
    """Take away what was learned of the world before the last judgement came: it is learned again."""
    con.execute(
        "DELETE FROM learned_rows WHERE learned_at <= (SELECT max(recorded_at) FROM source_rows)"
    )


# -- what counts ----------------------------------------------------------------------------------


def settle(
    con: duckdb.DuckDBPyConnection,
    touched: set[str],
    changed: Changed,
    *,
    judged: bool,
    forgot: bool,
) -> None:
    """Hold back and let count what must be, of the tries of these patterns.

    ``judged``: whether the owner has just said something of a source; ``forgot``: or what was said
    may be forgotten.
    """
    fresh = "false"
    if judged:  # what a source told that is distrusted from now on still counts in full
        fresh = TOLD_BY.format("judged")
    elif forgot:  # and so does what a stranger told that nobody vouches for any more
        fresh = f"channel IN ({STRANGERS})"
    if not _unsettled(con, touched, fresh):
        return
    sizes = _weigh(con)
    if sizes.hold:
        _hold(con)
        changed.spoilt = True
    if sizes.release:
        _release(con, changed)


def _unsettled(con: duckdb.DuckDBPyConnection, touched: set[str], fresh: str) -> bool:
    """Work out ``settled``: those of the patterns of which a try is bound, or may be no more.

    ``fresh``: which of the tries that count may be bound from now on.
    """
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE settled AS
        SELECT pattern_no FROM pattern_rows WHERE pattern_id IN {IDS} AND pattern_no IN (
            SELECT pattern_no FROM quarantined_rows
            UNION ALL SELECT pattern_no FROM event_rows WHERE context_no = {ASIDE} OR {fresh})
        """,
        [orjson.dumps(sorted(touched)).decode()],
    )
    return bool(con.execute("SELECT count(*) FROM settled").fetchall()[0][0])


def _weigh(con: duckdb.DuckDBPyConnection) -> _Sizes:
    """Work out ``weighed``: each bound try of the patterns, and why it is held back, if it is."""
    worth = WORTH.format(n="tries")
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE weighed AS
        WITH told AS (
            SELECT pattern_no, event_key, {_TOLD}, false AS held, NULL AS was,
                   coalesce(context_no = {ASIDE}, false) AS aside,
                   coalesce(told_no, nullif(context_no, {ASIDE}))::VARCHAR AS context_no
            FROM event_rows WHERE pattern_no IN (SELECT pattern_no FROM settled)
            UNION ALL
            SELECT pattern_no, event_key, {_TOLD}, true, reason, false,
                   coalesce(c.context_no::VARCHAR, q.context_id)
            FROM quarantined_rows q LEFT JOIN context_rows c USING (context_id)
            WHERE pattern_no IN (SELECT pattern_no FROM settled)),
        known AS (
            SELECT told.*, {BOUND} AS bound FROM told LEFT JOIN source_rows USING (source)
            LEFT JOIN {IMPORT_TRUST} USING (import_id)),
        vouched AS (
            SELECT pattern_no, sum({worth}) AS tries
            FROM (SELECT pattern_no, context_no, day, count(*) AS tries FROM known
                  WHERE bound IS NULL AND state = 'resolved' GROUP BY ALL)
            GROUP BY pattern_no),
        by_hour AS (
            SELECT *, bound = 'limited' AND row_number() OVER (
                PARTITION BY pattern_no, bound, source, session_id, date_trunc('hour', recorded_at)
                ORDER BY recorded_at, event_key) <= {PER_HOUR} AS in_hour
            FROM known WHERE held OR aside OR bound IS NOT NULL),
        by_source AS (
            SELECT *, in_hour AND sum(in_hour::INTEGER) OVER (
                PARTITION BY pattern_no, source ORDER BY recorded_at, event_key
                ROWS UNBOUNDED PRECEDING) <= {PER_SOURCE} AS in_source
            FROM by_hour),
        by_share AS (
            SELECT *, sum(in_source::INTEGER) OVER (
                PARTITION BY pattern_no ORDER BY recorded_at, event_key
                ROWS UNBOUNDED PRECEDING) AS place
            FROM by_source)
        SELECT event_key, held, was, bound IS NOT NULL AS bound,
               CASE WHEN bound IS NULL THEN NULL
                    WHEN bound = 'distrusted' THEN 'distrusted'
                    WHEN NOT in_hour THEN 'hour'
                    WHEN NOT in_source THEN 'source'
                    WHEN place > greatest({FLOOR}, {SHARE} * coalesce(v.tries, 0) + {ROUNDING})
                    THEN 'share' END AS reason,
               NOT held AND (reason IS NOT NULL OR aside <> (bound IS NOT NULL)) AS goes,
               reason IS NULL AND (held OR goes) AS comes
        FROM by_share LEFT JOIN vouched v USING (pattern_no);
        UPDATE quarantined_rows q SET reason = w.reason FROM weighed w
        WHERE w.held AND w.reason IS NOT NULL AND w.reason <> w.was AND q.event_key = w.event_key
        """
    )
    query = """
        SELECT count(*) FILTER (goes), count(*) FILTER (comes) FROM weighed
    """
    return _Sizes(*con.execute(query).fetchall()[0])


def _hold(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE left_patterns AS SELECT DISTINCT pattern_no FROM event_rows
        WHERE event_key IN (SELECT event_key FROM weighed WHERE goes);
        INSERT INTO quarantined_rows
        SELECT {_COLUMNS.format(context="context_id, text")}, coalesce(w.reason, '')
        FROM event_rows e JOIN weighed w USING (event_key)
        LEFT JOIN context_rows c ON c.context_no = coalesce(e.told_no, e.context_no)
        WHERE w.goes;
        INSERT INTO quarantined_states
        SELECT event_key, pattern_no, NULL, timestamp, state, outcome, since, until FROM earlier_states
        WHERE event_key IN (SELECT event_key FROM weighed WHERE goes);
        DELETE FROM earlier_states
        WHERE event_key IN (SELECT event_key FROM weighed WHERE goes);
        DELETE FROM event_rows
        WHERE event_key IN (SELECT event_key FROM weighed WHERE goes)
        """
    )
    recount(con)


def _release(con: duckdb.DuckDBPyConnection, changed: Changed) -> None:
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE released AS
        SELECT q.*, w.bound, row_number() OVER (ORDER BY q.recorded_at, q.event_key) AS nth
        FROM quarantined_rows q JOIN weighed w USING (event_key) WHERE w.comes
        """
    )
    change, _, first_no = next_numbers(con)
    con.execute(
        """
        INSERT INTO context_rows
        SELECT ? + row_number() OVER (ORDER BY nth) - 1, context_id, context, timestamp, ? + nth
        FROM (SELECT context_id, first(context) AS context, min(timestamp) AS timestamp,
                     min(nth) AS nth
              FROM released WHERE context_id IS NOT NULL GROUP BY context_id) n
        ANTI JOIN context_rows c USING (context_id)
        """,
        [first_no, change],
    )
    changed.read(con, "contexts", f"WHERE context_no >= {first_no}")
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE placed AS
        SELECT r.*, if(bound, {ASIDE}, c.context_no) AS context_no,
               if(bound, c.context_no, NULL) AS told_no
        FROM released r LEFT JOIN context_rows c USING (context_id);
        INSERT INTO event_rows
        SELECT {_COLUMNS.format(context="context_no")}, told_no FROM placed ORDER BY timestamp, nth;
        INSERT INTO earlier_states
        SELECT s.event_key, s.pattern_no, p.context_no, s.timestamp, s.state, s.outcome, since, until
        FROM quarantined_states s JOIN placed p USING (event_key);
        DELETE FROM quarantined_states WHERE event_key IN (SELECT event_key FROM released);
        DELETE FROM quarantined_rows WHERE event_key IN (SELECT event_key FROM released);
        CREATE OR REPLACE TEMP TABLE moves AS
        SELECT nth, pattern_no, context_no, timestamp,
               (state <> 'not_used')::INTEGER AS used, (state = 'resolved')::INTEGER AS resolved,
               coalesce(outcome, 0) AS outcome, coalesce(outcome * outcome, 0) AS square
        FROM placed
        """
    )
    if changed.wanted:
        query = """
            SELECT state, count(*), epoch_us(min(timestamp)), epoch_us(max(timestamp))
            FROM released GROUP BY state
        """
        for state, number, first, last in con.execute(query).fetchall():
            changed.states[state] += number
            changed.times += [first, last]
    count(con, changed)


def _ids(con: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    return {row[0] for row in con.execute(query).fetchall()}
