"""The tables and the public views of the evidence, as SQL."""

from __future__ import annotations

__all__ = ["IDS", "NUMBERS", "SCHEMA", "VERSION", "WORTH"]

# Raise when a table changes: an evidence file of another version is rebuilt
# from the journal when the store is opened.
VERSION = 5

# Tables have no keys and no indexes: the fold keeps them unique, and indexes
# of this engine have been damaged by crashes (duckdb issues 25928, 23645).
# Times are UTC. `change` numbers the texts in the order in which they are to be
# embedded; an embedding carries the `change` of its text.
SCHEMA = """
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
    prediction_id VARCHAR, metadata VARCHAR
);
-- what was said of an event before it was resolved or corrected: true from since, until until
CREATE TABLE earlier_states (
    event_key UBIGINT, pattern_no INTEGER, context_no INTEGER, timestamp TIMESTAMP,
    state VARCHAR, outcome DOUBLE, since TIMESTAMP, until TIMESTAMP
);
-- resolved tries of a pattern in a context (NULL: in none) on a day; last_at: the last of them
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
CREATE TABLE embeddings (collection VARCHAR, id VARCHAR, change BIGINT, model VARCHAR, vector BLOB);

CREATE VIEW patterns AS
SELECT pattern_id, pattern_type, description,
       outcome_sum / nullif(resolved, 0) AS success_rate, used AS usage_count,
       created_at, metadata::JSON AS metadata, updated_at, resolved AS resolved_count, last_used_at,
       prior_sum / nullif(prior_count, 0) AS prior_rate, prior_count
FROM pattern_rows;

CREATE VIEW usage_events AS
SELECT e.event_id, p.pattern_id, e.timestamp, e.outcome, c.text AS context, e.state,
       c.context_id, e.session_id, e.source, e.channel, e.files, e.tools, e.duration_ms, e.cost,
       e.prediction_id, e.metadata::JSON AS metadata, e.resolved_at, e.recorded_at
FROM event_rows e
JOIN pattern_rows p USING (pattern_no)
LEFT JOIN context_rows c USING (context_no);

CREATE VIEW contexts AS SELECT context_id, text, first_seen_at FROM context_rows;

CREATE VIEW predictions AS
SELECT prediction_id, made_at, context, policy, receipt::JSON AS receipt FROM prediction_rows;

CREATE VIEW trend_daily AS
SELECT p.pattern_id, d.day, d.used AS usage_count, d.resolved AS resolved_count,
       d.outcome_sum / nullif(d.resolved, 0) AS avg_success
FROM days d JOIN pattern_rows p USING (pattern_no);
"""

# rank.effective_tries as SQL: n tries in one context on one day are worth n / (1 + (n - 1) / 2).
# A try without a context counts in full: nothing says that it repeats another.
WORTH = "if(context_no IS NULL, {n}, 2.0 * {n} / ({n} + 1))"

# A list of ids or of numbers, as one JSON parameter.
IDS = "(SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))"
NUMBERS = "(SELECT unnest(from_json(?::JSON, '[\"INTEGER\"]')))"
