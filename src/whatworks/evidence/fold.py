"""The fold: a batch of journal records becomes rows, sums and counts, in one transaction.

Every statement takes its batch as one parameter, one JSON text a line:
binding values one by one costs 0.1 ms each in this engine, and one large JSON
array is seven times slower than lines. A few events or outcomes are left to
``handful``. A batch is applied kind by kind, in the order patterns, priors,
events, resolutions, predictions, judgements, what is archived; within a kind in
journal order. That equals the journal's own order, because a record only ever refers
to patterns and events acknowledged before it. What a source says that nobody vouches
for comes in last, as far as it counts (``quarantine``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING

import orjson

from whatworks.evidence import archive, forgetting, handful, quarantine
from whatworks.evidence.changed import Changed
from whatworks.evidence.counting import count
from whatworks.evidence.latest import correct_tries, correct_uses, next_numbers
from whatworks.evidence.schema import CHECKED, CHECKS
from whatworks.replay import FORGOTTEN
from whatworks.text import word_key, words

if TYPE_CHECKING:
    import duckdb

__all__ = ["apply"]

# An append comes whole, however large it is; the engine takes ten times the size to read JSON.
PART_BYTES = 16 << 20
PATTERNS_BYTES = 4 << 20  # their words are counted here, and take many times the memory
RECEIPTS_BYTES = 2 << 20  # two hundred receipts of ten answers

Batch = Mapping[str, Sequence[bytes]]


def apply(con: duckdb.DuckDBPyConnection, batch: Batch, changed: Changed) -> set[str]:
    """Apply records to the tables and return the ids of the patterns touched.

    Parameters
    ----------
    con
        A connection inside a transaction.
    batch
        Bodies of records by kind, in journal order. Unknown kinds are left
        to a newer version: nothing of them is kept in the tables.
    changed
        Is given the rows that change.
    """
    limits = {_patterns: PATTERNS_BYTES, _predictions: RECEIPTS_BYTES}
    touched: set[str] = set()
    if quarantine.guards(batch):
        changed.guarded = True
        quarantine.begin(con)
    for kind, step in _STEPS.items():
        bodies = batch.get(kind)
        if bodies and _few(con, kind, bodies, changed):
            touched |= handful.STEPS[kind](con, bodies, changed)
        elif bodies:
            for part in _parts(bodies, limits.get(step, PART_BYTES)):
                touched |= step(con, part, changed)
    if changed.guarded:
        judged = quarantine.JUDGED in batch
        if judged or "world.learned" in batch:
            quarantine.unlearn(con)
        quarantine.settle(con, touched, changed, judged=judged, forgot=FORGOTTEN in batch)
    return touched


def _few(con: duckdb.DuckDBPyConnection, kind: str, bodies: Sequence[bytes], changed: Changed) -> bool:
    """Whether records are left to ``handful``."""
    if kind not in handful.STEPS or not handful.fits(bodies):
        return False
    return not (changed.guarded and quarantine.concerned(con, bodies))


def _parts(bodies: Sequence[bytes], limit: int) -> Iterator[bytes]:
    """The bodies as lines, in parts of one size that exceed the limit only where one body does."""
    ends, start = list(accumulate(map(len, bodies))), 0
    share = min(limit, ends[-1] // ceil(ends[-1] / limit) + max(map(len, bodies)))
    while start < len(bodies):
        before = ends[start - 1] if start else 0
        end = max(start + 1, bisect_right(ends, before + share))
        yield b"\n".join(bodies[start:end])
        start = end


def _stage(con: duckdb.DuckDBPyConnection, table: str, fields: str, bodies: bytes) -> None:
    """Lay the batch out as a temporary table, with ``nth`` counting from 1."""
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {table} AS
        SELECT unnest(from_json(line, '{{{fields}}}')), nth
        FROM (SELECT unnest(lines) AS line, generate_subscripts(lines, 1) AS nth
              FROM (SELECT string_split(decode(?), chr(10)) AS lines))
        """,
        [bodies],
    )


def _ids(con: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    return {row[0] for row in con.execute(query).fetchall()}


def _forget(con: duckdb.DuckDBPyConnection, bodies: bytes, changed: Changed) -> set[str]:
    return forgetting.forget(con, bodies.split(b"\n"), changed)


def _patterns(con: duckdb.DuckDBPyConnection, bodies: bytes, changed: Changed) -> set[str]:
    """Add patterns; the same id again replaces type, description and metadata, no count."""
    _stage(
        con,
        "new_patterns",
        '"pattern_id":"VARCHAR","pattern_type":"VARCHAR","description":"VARCHAR",'
        '"metadata":"VARCHAR","created_at":"BIGINT","recorded_at":"BIGINT"',
        bodies,
    )
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE changed_patterns AS
        SELECT n.*, p.pattern_no, p.description IS DISTINCT FROM n.description AS new_text
        FROM (SELECT * REPLACE (first_value(coalesce(created_at, recorded_at))
                                OVER (PARTITION BY pattern_id ORDER BY nth) AS created_at)
              FROM new_patterns
              QUALIFY row_number() OVER (PARTITION BY pattern_id ORDER BY nth DESC) = 1) n
        LEFT JOIN pattern_rows p USING (pattern_id)
        """
    )
    change, first_no, _ = next_numbers(con)
    con.execute(
        """
        UPDATE pattern_rows p SET
            pattern_type = c.pattern_type, description = c.description, metadata = c.metadata,
            updated_at = make_timestamp(c.recorded_at), change = if(c.new_text, ? + c.nth, p.change)
        FROM changed_patterns c WHERE p.pattern_no = c.pattern_no
        """,
        [change],
    )
    con.execute(
        """
        INSERT INTO pattern_rows
        SELECT ? + row_number() OVER (ORDER BY nth) - 1, pattern_id, pattern_type, description,
               metadata, make_timestamp(created_at),
               make_timestamp(recorded_at), ? + nth,
               0, 0, 0, NULL, 0, 0, 0, 0
        FROM changed_patterns WHERE pattern_no IS NULL
        """,
        [first_no, change],
    )
    _index_words(con, changed)
    which = "WHERE pattern_id IN (SELECT pattern_id FROM changed_patterns)"
    changed.read(con, "patterns", which)
    changed.read(con, "records", which)
    return _ids(con, "SELECT pattern_id FROM changed_patterns")


def _index_words(con: duckdb.DuckDBPyConnection, changed: Changed) -> None:
    texts = con.execute(
        """
        SELECT p.pattern_no, p.description
        FROM changed_patterns c JOIN pattern_rows p USING (pattern_id) WHERE c.new_text
        """
    ).fetchall()
    known = "(SELECT pattern_no FROM changed_patterns WHERE new_text AND pattern_no IS NOT NULL)"
    changed.end_postings(con, f"WHERE pattern_no IN {known}")
    con.execute(f"DELETE FROM postings WHERE pattern_no IN {known}")
    found = []
    for number, description in texts:
        counts = words(description)
        length = sum(counts.values())
        found += [(word_key(word), number, n, length) for word, n in counts.items()]
    changed.add("postings", found)
    postings = [(str(word), *rest) for word, *rest in found]  # the engine reads no unsigned numbers
    con.execute(
        """
        INSERT INTO postings
        SELECT p[1]::UBIGINT, p[2]::INTEGER, p[3]::INTEGER, p[4]::INTEGER
        FROM (SELECT unnest(from_json(?::JSON, '[["VARCHAR"]]')) AS p)
        """,
        [orjson.dumps(postings).decode()],
    )


def _priors(con: duckdb.DuckDBPyConnection, bodies: bytes, changed: Changed) -> set[str]:
    """Add aggregates without tries; the same id again is the same aggregate."""
    _stage(
        con,
        "new_priors",
        '"prior_id":"VARCHAR","pattern_id":"VARCHAR","success_rate":"DOUBLE",'
        '"usage_count":"BIGINT","origin":"VARCHAR","timestamp":"BIGINT"',
        bodies,
    )
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE added_priors AS
        SELECT n.*, p.pattern_no FROM new_priors n JOIN pattern_rows p USING (pattern_id)
        ANTI JOIN prior_rows o USING (prior_id)
        QUALIFY row_number() OVER (PARTITION BY prior_id ORDER BY nth) = 1
        """
    )
    con.execute(
        """
        INSERT INTO prior_rows
        SELECT prior_id, pattern_no, success_rate, usage_count, origin, make_timestamp(timestamp)
        FROM added_priors
        """
    )
    con.execute(
        """
        UPDATE pattern_rows p SET prior_count = prior_count + a.tries, prior_sum = prior_sum + a.total
        FROM (SELECT pattern_no, sum(usage_count) AS tries, sum(usage_count * success_rate) AS total
              FROM added_priors GROUP BY ALL) a
        WHERE p.pattern_no = a.pattern_no
        """
    )
    changed.read(con, "records", "WHERE pattern_no IN (SELECT pattern_no FROM added_priors)")
    return _ids(con, "SELECT pattern_id FROM added_priors")


def _events(con: duckdb.DuckDBPyConnection, bodies: bytes, changed: Changed) -> set[str]:
    """Add tries; the same event id again is the same try, and the first record of it stands."""
    _stage(
        con,
        "new_events",
        '"event_id":"VARCHAR","given_id":"BOOLEAN","pattern_id":"VARCHAR","timestamp":"BIGINT",'
        '"state":"VARCHAR","outcome":"DOUBLE","context":"VARCHAR","context_id":"VARCHAR",'
        '"session_id":"VARCHAR","source":"VARCHAR","channel":"VARCHAR","files":"VARCHAR[]",'
        '"tools":"VARCHAR[]","duration_ms":"DOUBLE","cost":"DOUBLE","prediction_id":"VARCHAR",'
        '"metadata":"VARCHAR","recorded_at":"BIGINT","resolved_at":"BIGINT","checked":"BOOLEAN",'
        '"import_id":"VARCHAR"',
        bodies,
    )
    if b'"given_id":true' in bodies:  # ids made here never come twice; the scan is for others
        con.execute(
            """
            DELETE FROM new_events WHERE given_id AND (
                md5_number_lower(event_id) IN (
                    SELECT event_key FROM event_rows
                    WHERE event_key IN (
                        SELECT md5_number_lower(event_id) FROM new_events WHERE given_id)
                    UNION ALL SELECT event_key FROM quarantined_rows)
                OR nth NOT IN (SELECT min(nth) FROM new_events GROUP BY event_id))
            """
        )
    bound = quarantine.hold_new(con) if changed.guarded else set[str]()
    change, _, first_no = next_numbers(con)
    con.execute(
        """
        INSERT INTO context_rows
        SELECT ? + row_number() OVER (ORDER BY nth) - 1, context_id, context,
               make_timestamp(timestamp), ? + nth
        FROM (SELECT context_id, first(context) AS context, min(timestamp) AS timestamp,
                     min(nth) AS nth
              FROM new_events SEMI JOIN pattern_rows USING (pattern_id)
              WHERE context_id IS NOT NULL GROUP BY context_id) n
        ANTI JOIN context_rows c USING (context_id)
        """,
        [first_no, change],
    )
    changed.read(con, "contexts", f"WHERE context_no >= {first_no}")
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE moves AS
        SELECT e.nth, p.pattern_no, c.context_no, make_timestamp(e.timestamp) AS timestamp,
               (e.state <> 'not_used')::INTEGER AS used, (e.state = 'resolved')::INTEGER AS resolved,
               coalesce(e.outcome, 0) AS outcome, coalesce(e.outcome * e.outcome, 0) AS square
        FROM new_events e JOIN pattern_rows p USING (pattern_id)
        LEFT JOIN context_rows c USING (context_id)
        """
    )
    con.execute(
        f"""
        INSERT INTO event_rows
        SELECT e.event_id, md5_number_lower(e.event_id), m.pattern_no, m.context_no,
               m.timestamp, e.state, e.outcome,
               make_timestamp(coalesce(e.resolved_at, if(e.state = 'resolved', e.timestamp, NULL))),
               make_timestamp(coalesce(e.resolved_at, e.timestamp)),
               make_timestamp(coalesce(e.recorded_at, e.timestamp)),
               e.session_id, e.source, e.channel, coalesce(e.files, []), coalesce(e.tools, []),
               e.duration_ms, e.cost, e.prediction_id, coalesce(e.metadata, '{{}}'),
               {CHECKED}, e.import_id, NULL
        FROM new_events e JOIN moves m USING (nth)
        ORDER BY e.timestamp, e.nth
        """
    )
    if changed.wanted:
        query = """
            SELECT state, count(*), epoch_us(min(m.timestamp)), epoch_us(max(m.timestamp))
            FROM new_events JOIN moves m USING (nth) GROUP BY state
        """
        for state, number, first, last in con.execute(query).fetchall():
            changed.states[state] += number
            changed.times += [first, last]
    if b'"resolved_at"' in bodies:  # an event that came with a late outcome was pending before
        con.execute(
            """
            INSERT INTO earlier_states
            SELECT md5_number_lower(e.event_id), m.pattern_no, m.context_no,
                   m.timestamp, 'pending', NULL,
                   m.timestamp, make_timestamp(e.resolved_at)
            FROM new_events e JOIN moves m USING (nth)
            WHERE e.resolved_at > e.timestamp
            """
        )
    return count(con, changed) | bound


def _resolutions(con: duckdb.DuckDBPyConnection, bodies: bytes, changed: Changed) -> set[str]:
    """Give tries their outcome; a later resolution of the same try corrects the earlier one."""
    _stage(
        con,
        "new_outcomes",
        '"event_id":"VARCHAR","state":"VARCHAR","outcome":"DOUBLE","timestamp":"BIGINT",'
        '"checked":"BOOLEAN"',
        bodies,
    )
    if changed.guarded:
        _resolve(con, "quarantined_rows", "quarantined_states", "NULL::INTEGER")
    _resolve(con, "event_rows", "earlier_states", "e.context_no")
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE moves AS
        SELECT pattern_no, context_no, timestamp,
               (state <> 'not_used')::INTEGER - (old_state <> 'not_used')::INTEGER AS used,
               (state = 'resolved')::INTEGER - (old_state = 'resolved')::INTEGER AS resolved,
               coalesce(outcome, 0) - coalesce(old_outcome, 0) AS outcome,
               coalesce(outcome * outcome, 0) - coalesce(old_outcome * old_outcome, 0) AS square
        FROM resolved
        """
    )
    query = "SELECT state, old_state, count(*) FROM resolved GROUP BY ALL"
    for state, before, number in con.execute(query).fetchall() if changed.wanted else ():
        changed.states[state] += number
        changed.states[before] -= number
    touched = count(con, changed)
    correct_uses(con, "SELECT pattern_no FROM moves WHERE used < 0", changed)
    correct_tries(con, "SELECT pattern_no FROM moves WHERE resolved < 0", changed)
    return touched


def _resolve(con: duckdb.DuckDBPyConnection, rows: str, states: str, context: str) -> None:
    """Carry ``new_outcomes`` into a table of events and that of their earlier states.

    Leaves ``resolved``: these events, with what was known of them and what is. What a check found
    stands until another check says otherwise; what is told against it is left out.
    """
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE said AS
        SELECT n.* EXCLUDE (checked), e.rowid AS row,
               coalesce(n.checked, e.channel IN ({CHECKS})) AS checks
        FROM new_outcomes n
        JOIN {rows} e ON e.event_key = md5_number_lower(n.event_id) AND e.event_id = n.event_id
        QUALIFY checks OR NOT coalesce(
            last_value(if(checks, n.state = 'resolved', NULL) IGNORE NULLS) OVER (
                PARTITION BY e.rowid ORDER BY nth
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            e.checked);
        CREATE OR REPLACE TEMP TABLE resolved AS
        SELECT e.rowid AS row, e.event_id, e.event_key, e.pattern_no, {context} AS context_no,
               e.timestamp, e.state AS old_state, e.outcome AS old_outcome, e.changed_at AS old_since,
               n.state, n.outcome, n.timestamp AS resolved_at,
               n.checks AND n.state = 'resolved' AS checked
        FROM (SELECT * FROM said
              QUALIFY row_number() OVER (PARTITION BY row ORDER BY nth DESC) = 1) n
        JOIN {rows} e ON e.rowid = n.row
        """
    )
    _keep_earlier(con, states)
    con.execute(
        f"""
        UPDATE {rows} e SET state = r.state, outcome = r.outcome,
            resolved_at = if(r.state = 'resolved', make_timestamp(r.resolved_at), NULL),
            changed_at = make_timestamp(r.resolved_at), checked = r.checked
        FROM resolved r WHERE e.rowid = r.row
        """
    )


def _keep_earlier(con: duckdb.DuckDBPyConnection, states: str) -> None:
    """Keep what the events in ``resolved`` were until now, for questions as of earlier times.

    What is said later holds from its own time on, also if that lies before
    the time of what was said earlier.
    """
    con.execute(
        f"""
        UPDATE {states} s SET until = n.since
        FROM (SELECT r.event_key, make_timestamp(min(n.timestamp)) AS since
              FROM said n JOIN resolved r USING (row) GROUP BY ALL) n
        WHERE s.event_key = n.event_key AND s.until > n.since
        """
    )
    con.execute(
        f"""
        INSERT INTO {states}
        SELECT event_key, pattern_no, context_no, timestamp, state, outcome, since,
               min(since) OVER (PARTITION BY row ORDER BY nth
                                ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS until
        FROM (SELECT row, event_key, pattern_no, context_no, timestamp, 0 AS nth,
                     old_state AS state, old_outcome AS outcome, old_since AS since
              FROM resolved
              UNION ALL
              SELECT r.row, r.event_key, r.pattern_no, r.context_no, r.timestamp, n.nth,
                     n.state, n.outcome, make_timestamp(n.timestamp)
              FROM said n JOIN resolved r USING (row))
        QUALIFY since < until
        """
    )


_ANSWERS = (
    '{"prediction_id":"VARCHAR","answers":[{"pattern_id":"VARCHAR","expected":"DOUBLE",'
    '"low":"DOUBLE","high":"DOUBLE","n_effective":"DOUBLE"}]}'
)


def _predictions(con: duckdb.DuckDBPyConnection, bodies: bytes, changed: Changed) -> set[str]:
    """Keep receipts of predictions, and what they promise apart from them."""
    con.execute(
        """
        INSERT INTO prediction_rows
        SELECT r->>'prediction_id', make_timestamp((r->>'recorded_at')::BIGINT),
               r->>'context', r->>'policy', r
        FROM (SELECT unnest(string_split(decode(?), chr(10)))::JSON AS r)
        """,
        [bodies],
    )
    con.execute(
        """
        INSERT INTO answer_rows
        SELECT prediction_id, a.pattern_id, a.expected, a.low, a.high, a.n_effective
        FROM (SELECT r.prediction_id AS prediction_id, unnest(r.answers) AS a
              FROM (SELECT from_json(unnest(string_split(decode(?), chr(10)))::JSON, ?) AS r))
        """,
        [bodies, _ANSWERS],
    )
    return set()


def _learned(con: duckdb.DuckDBPyConnection, bodies: bytes, changed: Changed) -> set[str]:
    """Keep what was learned of how local the world is."""
    con.execute(
        """
        INSERT INTO learned_rows
        SELECT make_timestamp((r->>'recorded_at')::BIGINT), (r->>'cells')::BIGINT, r->>'model', r
        FROM (SELECT unnest(string_split(decode(?), chr(10)))::JSON AS r)
        """,
        [bodies],
    )
    return set()


def _imports(con: duckdb.DuckDBPyConnection, bodies: bytes, changed: Changed) -> set[str]:
    """Keep where what follows was imported from; the same is said with each part of an import."""
    _stage(
        con, "new_imports", '"import_id":"VARCHAR","labels":"VARCHAR[]","recorded_at":"BIGINT"', bodies
    )
    con.execute(
        """
        INSERT INTO import_rows
        SELECT import_id, labels, make_timestamp(recorded_at)
        FROM new_imports ANTI JOIN import_rows USING (import_id) WHERE import_id IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY import_id ORDER BY nth) = 1
        """
    )
    return set()


def _judge(con: duckdb.DuckDBPyConnection, bodies: bytes, changed: Changed) -> set[str]:
    return quarantine.judge(con, bodies.split(b"\n"))


def _archive(con: duckdb.DuckDBPyConnection, bodies: bytes, changed: Changed) -> set[str]:
    return archive.archive(con, bodies.split(b"\n"))


_STEPS = {
    FORGOTTEN: _forget,  # alone in its batch
    "pattern.added": _patterns,
    "prior.added": _priors,
    "import.begun": _imports,
    "event.recorded": _events,
    "event.resolved": _resolutions,
    "prediction.made": _predictions,
    "world.learned": _learned,
    quarantine.JUDGED: _judge,
    archive.ARCHIVED: _archive,
}
