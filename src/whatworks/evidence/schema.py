"""The tables and the public views of the evidence, as SQL."""

from __future__ import annotations

from whatworks.channels import CHECKING
from whatworks.evidence.changed import NO_CONTEXT

__all__ = [
    "ASIDE",
    "CHECKED",
    "CHECKS",
    "IDS",
    "LAST_ROWS",
    "MOST_FILES",
    "NUMBERS",
    "SCHEMA",
    "VERSION",
    "WORTH",
]

# Raise when a table or a view changes: an evidence file of another version is rebuilt
# from the journal when the store is opened.
VERSION = 10

# The context of tries by unvouched sources: they count for the record of their pattern, together as
# in one situation a day, and in no situation (see quarantine.py).
ASIDE = -2

# What changes more files at once is a renaming or an import: it says of no two that they belong
# together. Histories are mined with bounds of 30 to 100: Zimmermann et al. (2005), IEEE
# Transactions on Software Engineering 31:429.
MOST_FILES = 50

# Rows of tries that the view ``usage_events`` begins with.
LAST_ROWS = 2_000

# Tables have no keys and no indexes: the fold keeps them unique, and indexes
# of this engine have been damaged by crashes (duckdb issues 25928, 23645).
# Times are UTC. `change` numbers the texts in the order in which they are to be
# embedded; an embedding carries the `change` of its text.
SCHEMA = f"""
CREATE TABLE meta (name VARCHAR, value BIGINT);
-- how far each segment of the journal is folded: see replay.Mark
CREATE TABLE watermarks (
    segment VARCHAR, position BIGINT, sequence BIGINT, stamp BIGINT, damaged BIGINT, writer VARCHAR
);

CREATE TABLE pattern_rows (
    pattern_no INTEGER, pattern_id VARCHAR, pattern_type VARCHAR, description VARCHAR,
    metadata VARCHAR, created_at TIMESTAMP, updated_at TIMESTAMP, change BIGINT,
    used BIGINT, resolved BIGINT, outcome_sum DOUBLE, last_used_at TIMESTAMP,
    -- repeats in one context count less: see rank.effective_tries
    effective DOUBLE, effective_sum DOUBLE,
    prior_count BIGINT, prior_sum DOUBLE
);
-- when patterns were archived and why; until: when they were taken back, NULL while they are not
CREATE TABLE archived_rows (pattern_no INTEGER, reason VARCHAR, since TIMESTAMP, until TIMESTAMP);
-- word: 64-bit hash (text.word_key); times: how often; words: length of the description
CREATE TABLE postings (word UBIGINT, pattern_no INTEGER, times INTEGER, words INTEGER);
CREATE TABLE context_rows (
    context_no INTEGER, context_id VARCHAR, text VARCHAR, first_seen_at TIMESTAMP, change BIGINT
);
CREATE TABLE event_rows (
    event_id VARCHAR, event_key UBIGINT, pattern_no INTEGER, context_no INTEGER,
    timestamp TIMESTAMP, state VARCHAR, outcome DOUBLE, resolved_at TIMESTAMP,
    changed_at TIMESTAMP, -- since when the state is this
    recorded_at TIMESTAMP, session_id VARCHAR, source VARCHAR, channel VARCHAR,
    files VARCHAR[], tools VARCHAR[], duration_ms DOUBLE, cost DOUBLE,
    prediction_id VARCHAR, metadata VARCHAR,
    checked BOOLEAN, -- whether a check found the outcome; false without one
    import_id VARCHAR,
    told_no INTEGER -- the context of a try that counts aside: its context_no is ASIDE
);
-- what was said of an event before it was resolved or corrected: true from since, until until
CREATE TABLE earlier_states (
    event_key UBIGINT, pattern_no INTEGER, context_no INTEGER, timestamp TIMESTAMP,
    state VARCHAR, outcome DOUBLE, since TIMESTAMP, until TIMESTAMP
);
-- tries that count for nothing yet, and why: see quarantine.py; with the text of their context, since
-- nothing is looked for among these
CREATE TABLE quarantined_rows (
    event_id VARCHAR, event_key UBIGINT, pattern_no INTEGER, context_id VARCHAR, context VARCHAR,
    timestamp TIMESTAMP, state VARCHAR, outcome DOUBLE, resolved_at TIMESTAMP, changed_at TIMESTAMP,
    recorded_at TIMESTAMP, session_id VARCHAR, source VARCHAR, channel VARCHAR,
    files VARCHAR[], tools VARCHAR[], duration_ms DOUBLE, cost DOUBLE,
    prediction_id VARCHAR, metadata VARCHAR, checked BOOLEAN, import_id VARCHAR,
    reason VARCHAR
);
-- earlier_states of these; they have no number of a context
CREATE TABLE quarantined_states (
    event_key UBIGINT, pattern_no INTEGER, context_no INTEGER, timestamp TIMESTAMP,
    state VARCHAR, outcome DOUBLE, since TIMESTAMP, until TIMESTAMP
);
-- what the owner last said of a source: distrusted or approved, NULL where that was taken back (the row
-- stays, for what another machine said before may come later); recorded_at: when this store heard it
CREATE TABLE source_rows (
    source VARCHAR, trust VARCHAR, judged_at TIMESTAMP, recorded_at TIMESTAMP
);
-- which files tries were imported from: the last one first, see importers.origin
CREATE TABLE import_rows (import_id VARCHAR, labels VARCHAR[], begun_at TIMESTAMP);
-- resolved tries of a pattern in a context (NULL: in none; ASIDE: aside) on a day; last_at: the last
CREATE TABLE cells (
    context_no INTEGER, pattern_no INTEGER, day DATE, tries INTEGER, outcome_sum DOUBLE,
    last_at TIMESTAMP
);
CREATE TABLE days (
    day DATE, pattern_no INTEGER, used INTEGER, resolved INTEGER,
    outcome_sum DOUBLE, outcome_squares DOUBLE
);
CREATE TABLE prior_rows (
    prior_id VARCHAR, pattern_no INTEGER, success_rate DOUBLE, usage_count BIGINT,
    origin VARCHAR, timestamp TIMESTAMP
);
CREATE TABLE prediction_rows (
    prediction_id VARCHAR, made_at TIMESTAMP, context VARCHAR, policy VARCHAR, receipt VARCHAR
);
-- what receipts promise, apart from all that explains it: receipts are large, and slow to read
CREATE TABLE answer_rows (
    prediction_id VARCHAR, pattern_id VARCHAR,
    expected DOUBLE, low DOUBLE, high DOUBLE, n_effective DOUBLE
);
CREATE TABLE learned_rows (learned_at TIMESTAMP, cells BIGINT, model VARCHAR, learned VARCHAR);
-- vector: see packing.py
CREATE TABLE embeddings (collection VARCHAR, id VARCHAR, change BIGINT, model VARCHAR, vector BLOB);

CREATE VIEW patterns AS
SELECT pattern_id, pattern_type, description,
       outcome_sum / nullif(resolved, 0) AS success_rate, used AS usage_count,
       created_at, metadata::JSON AS metadata, updated_at, resolved AS resolved_count, last_used_at,
       prior_sum / nullif(prior_count, 0) AS prior_rate, prior_count,
       since AS archived_at, reason AS archive_reason
FROM pattern_rows LEFT JOIN (FROM archived_rows WHERE until IS NULL) USING (pattern_no);

-- The last rows come first: where the newest tries are asked for, a sorted limit then passes over all
-- blocks of older ones, which it does not where it meets these first. And each try has a context, be
-- it one without a text: an inner join with small numbers takes half the time of an outer one.
CREATE VIEW usage_events AS
SELECT e.event_id, p.pattern_id, e.timestamp, e.outcome, c.text AS context, e.state,
       c.context_id, e.session_id, e.source, e.channel, e.files, e.tools, e.duration_ms, e.cost,
       e.prediction_id, e.metadata::JSON AS metadata, e.resolved_at, e.recorded_at, e.checked,
       i.labels AS imported_from
FROM (FROM event_rows WHERE rowid >= (SELECT count(*) - {LAST_ROWS} FROM event_rows)
      UNION ALL
      FROM event_rows WHERE rowid < (SELECT count(*) - {LAST_ROWS} FROM event_rows)) e
JOIN pattern_rows p USING (pattern_no)
JOIN (SELECT context_no, context_id, text FROM context_rows
      UNION ALL SELECT {NO_CONTEXT}, NULL, NULL
      UNION ALL SELECT {ASIDE}, NULL, NULL) c
    ON c.context_no = coalesce(e.told_no, e.context_no, {NO_CONTEXT})
LEFT JOIN import_rows i USING (import_id);

-- of tries that count: those that were held back since leave their row behind
CREATE VIEW contexts AS SELECT context_id, text, first_seen_at FROM context_rows
SEMI JOIN (SELECT coalesce(told_no, context_no) AS context_no FROM event_rows) USING (context_no);

CREATE VIEW predictions AS
SELECT prediction_id, made_at, context, policy, receipt::JSON AS receipt FROM prediction_rows;

CREATE VIEW trend_daily AS
SELECT p.pattern_id, d.day, d.used AS usage_count, d.resolved AS resolved_count,
       d.outcome_sum / nullif(d.resolved, 0) AS avg_success
FROM days d JOIN pattern_rows p USING (pattern_no);

-- plain means, as Memory.rates has them; a try with two tools counts for both
CREATE VIEW tool_rates AS
SELECT tool, count(*) AS usage_count, count(outcome) AS resolved_count, avg(outcome) AS avg_success
FROM (SELECT unnest(list_distinct(tools)) AS tool, outcome FROM event_rows
      WHERE len(tools) > 0 AND state <> 'not_used')
GROUP BY tool;

CREATE VIEW file_rates AS
SELECT file, count(*) AS usage_count, count(outcome) AS resolved_count, avg(outcome) AS avg_success
FROM (SELECT unnest(list_distinct(files)) AS file, outcome FROM event_rows
      WHERE len(files) > 0 AND state <> 'not_used')
GROUP BY file;

CREATE VIEW weekly_rates AS
SELECT date_trunc('week', d.day)::DATE AS week, p.pattern_type, sum(d.used)::BIGINT AS usage_count,
       sum(d.resolved)::BIGINT AS resolved_count,
       sum(d.outcome_sum) / nullif(sum(d.resolved), 0) AS avg_success
FROM days d JOIN pattern_rows p USING (pattern_no) GROUP BY ALL;

-- files that one try changed together, as Memory.related_files counts them
CREATE VIEW file_pairs AS
SELECT file, other, count(*) AS together, count(outcome) AS resolved_count,
       avg(outcome) AS avg_success
FROM (SELECT file, unnest(files) AS other, outcome
      FROM (SELECT unnest(list_distinct(files)) AS file, list_distinct(files) AS files, outcome
            FROM event_rows WHERE len(files) BETWEEN 2 AND {MOST_FILES}))
WHERE file <> other GROUP BY ALL;
"""

# rank.effective_tries as SQL: n tries in one context on one day are worth n / (1 + (n - 1) / 2).
# A try without a context counts in full: nothing says that it repeats another.
WORTH = "if(context_no IS NULL, {n}, 2.0 * {n} / ({n} + 1))"

# The outcomes of these channels are those of checks, also where an older version did not say so.
CHECKS = ", ".join(f"'{channel}'" for channel in CHECKING)
# Whether a check found the outcome that an event came with.
CHECKED = f"state = 'resolved' AND coalesce(checked, channel IN ({CHECKS}), false)"

# A list of ids or of numbers, as one JSON parameter.
IDS = "(SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))"
NUMBERS = "(SELECT unnest(from_json(?::JSON, '[\"INTEGER\"]')))"
