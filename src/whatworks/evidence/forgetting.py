"""What is to be forgotten, chosen from the tables; and the fold of the record that says so.

The record names what it forgets by a hash of each id, so that it keeps nothing
of it itself; ``erasure`` overwrites it too, once nothing else is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from whatworks.checks import shown
from whatworks.errors import NotFoundError
from whatworks.evidence.schema import IDS, NUMBERS, WORTH

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

    from whatworks.evidence.changed import Changed
    from whatworks.evidence.database import Evidence
    from whatworks.records import Selection

__all__ = ["KINDS", "RECORDS", "TO_ERASE", "Chosen", "choose", "forget", "key", "records"]

# Stands in ``meta`` until what was forgotten is gone from the disk as well.
TO_ERASE = "to erase"
KINDS = ("patterns", "events", "predictions", "priors")
# Beside these, single records of the journal, by segment and sequence.
RECORDS = "records"
# 128 bits of SHA-256: no two ids of a store have the same.
KEY_DIGITS = 32
KEYS_PER_RECORD = 10_000

_KEY = f"left(sha256({{}}), {KEY_DIGITS})"
_EVENTS = (
    "event_rows e JOIN pattern_rows p USING (pattern_no) LEFT JOIN context_rows c USING (context_no)"
)
# What may hold a text that somebody looks for. Metadata is JSON, in which some characters look else.
_PATTERN_TEXT = "concat_ws(chr(10), pattern_id, pattern_type, description, metadata)"
_EVENT_TEXT = (
    "concat_ws(chr(10), e.event_id, c.text, e.session_id, e.source, e.channel, e.prediction_id, "
    "array_to_string(e.files, chr(10)), array_to_string(e.tools, chr(10)), e.metadata)"
)


def key(name: str) -> str:
    """What a record names the pattern, event or prediction ``name`` by."""
    return sha256(name.encode()).hexdigest()[:KEY_DIGITS]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Ids of what a selection chooses; ``sessions`` are those of its events.

    ``contexts`` is how many go with it.
    """

    patterns: list[str]
    events: list[str]
    predictions: list[str]
    priors: list[str]
    sessions: list[str]
    contexts: int

    def __bool__(self) -> bool:
        return any(getattr(self, kind) for kind in KINDS)


# -- choosing -------------------------------------------------------------------------------------


def choose(evidence: Evidence, selection: Selection, *, must_be: bool) -> Chosen:
    """What ``selection`` chooses, with all that belongs to it.

    To a pattern belong its tries, its imported aggregates and the predictions
    that name it; to a try its outcome, the prediction it answers, and its
    context with the predictions for it, if no other try has it.

    Raises
    ------
    NotFoundError
        A pattern or an event that is named does not exist, and all ``must_be`` there.
    """
    patterns = _patterns(evidence, selection)
    where, values = _of_events(selection)
    query = f"""
        SELECT e.event_id, e.session_id, e.context_no, e.prediction_id FROM {_EVENTS}
        WHERE p.pattern_id IN {IDS} OR ({where})
    """
    found = evidence.rows(query, [_json(patterns), *values])
    events = [row[0] for row in found]
    if must_be:
        _require(patterns, selection.patterns, "pattern")
        _require(events, selection.events, "event")
    texts = _contexts(evidence, events, sorted({row[2] for row in found if row[2] is not None}))
    named = {row[3] for row in found if row[3] is not None}
    return Chosen(
        patterns=patterns,
        events=events,
        predictions=_predictions(evidence, selection, patterns, texts, sorted(named)),
        priors=_priors(evidence, selection, patterns),
        sessions=sorted({row[1] for row in found if row[1] is not None}),
        contexts=len(texts),
    )


def _patterns(evidence: Evidence, selection: Selection) -> list[str]:
    if selection.only_text is not None:
        where, values = _holds(_PATTERN_TEXT, selection.only_text)
    else:
        where, values = f"pattern_id IN {IDS}", [_json(selection.patterns)]
    rows = evidence.rows(f"SELECT pattern_id FROM pattern_rows WHERE {where} ORDER BY 1", values)
    return [row[0] for row in rows]


def _priors(evidence: Evidence, selection: Selection, patterns: list[str]) -> list[str]:
    where, values = f"pattern_id IN {IDS}", [_json(patterns)]
    if selection.only_text is not None:
        condition, more = _holds("concat_ws(chr(10), prior_id, origin)", selection.only_text)
        where, values = f"{where} OR {condition}", values + more
    query = f"SELECT prior_id FROM prior_rows JOIN pattern_rows USING (pattern_no) WHERE {where}"
    return [row[0] for row in evidence.rows(query, values)]


def _require(found: Sequence[str], wanted: Sequence[str], kind: str) -> None:
    if missing := set(wanted) - set(found):
        raise NotFoundError(f"there is no {kind} {shown(min(missing))} in this store")


def _of_events(selection: Selection) -> tuple[str, list[Any]]:
    """Which tries are chosen for what they are: a condition on ``_EVENTS``, and its values."""
    conditions, values = _between("e.timestamp", selection)
    for condition, value in (
        ("e.source = ?", selection.source),
        ("e.session_id = ?", selection.session_id),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if selection.containing is not None:
        condition, more = _holds(_EVENT_TEXT, selection.containing)
        conditions.append(condition)
        values += more
    if conditions:
        return " AND ".join(conditions), values
    return f"e.event_id IN {IDS}", [_json(selection.events)]


def _between(column: str, selection: Selection) -> tuple[list[str], list[Any]]:
    bounds = ((f"{column} >= ?", selection.since), (f"{column} < ?", selection.until))
    given = [(condition, moment) for condition, moment in bounds if moment is not None]
    return [condition for condition, _ in given], [moment.replace(tzinfo=None) for _, moment in given]


def _holds(column: str, text: str) -> tuple[str, list[Any]]:
    """Whether a column holds a text in any case, as it is or as JSON has it."""
    told = orjson.dumps(text)[1:-1].decode()
    condition = f"(contains(lower({column}), lower(?)) OR contains(lower({column}), lower(?)))"
    return condition, [text, told]


def _contexts(evidence: Evidence, events: list[str], numbers: list[int]) -> list[str]:
    """The texts of those contexts that no other try has."""
    query = f"""
        SELECT text FROM context_rows WHERE context_no IN {NUMBERS} AND context_no NOT IN (
            SELECT context_no FROM event_rows WHERE context_no IS NOT NULL AND event_id NOT IN {IDS})
    """
    values = [orjson.dumps(numbers).decode(), _json(events)]
    return [row[0] for row in evidence.rows(query, values)] if numbers else []


def _predictions(
    evidence: Evidence,
    selection: Selection,
    patterns: list[str],
    texts: list[str],
    named: list[str],
) -> list[str]:
    """Ids of the predictions that go: made for what is forgotten, named by it, or that name it."""
    conditions = [f"prediction_id IN {IDS}", f"context IN {IDS}"]
    values: list[Any] = [_json(named), _json(texts)]
    for path in ("$.answers[*].pattern_id", "$.cells[*][1]") if patterns else ():
        found = f"json_extract_string(receipt, '{path}')"
        conditions.append(f"list_has_any({found}, from_json(?::JSON, '[\"VARCHAR\"]'))")
        values.append(_json(patterns))
    if selection.only_time:
        between, bounds = _between("made_at", selection)
        conditions.append(f"({' AND '.join(between)})")
        values += bounds
    if selection.only_text is not None:
        condition, more = _holds("receipt", selection.only_text)
        conditions.append(condition)
        values += more
    query = f"SELECT prediction_id FROM prediction_rows WHERE {' OR '.join(conditions)}"
    return [row[0] for row in evidence.rows(query, values)]


def _json(names: Sequence[str]) -> str:
    return orjson.dumps(list(names)).decode()


# -- forgetting -----------------------------------------------------------------------------------


def records(chosen: Chosen, single: Sequence[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    """The bodies of the records that say so, of one append; ``single``: segments and sequences."""
    keys = {name: list(map(key, getattr(chosen, name))) for name in KINDS}
    for name, items in {RECORDS: single, **keys}.items():
        for start in range(0, len(items), KEYS_PER_RECORD):
            yield {name: items[start : start + KEYS_PER_RECORD]}


def forget(con: Connection, bodies: Sequence[bytes], changed: Changed) -> set[str]:
    """Take what records name out of the tables, which become those that never had it.

    The numbers of what is left stay as they are. What was learned of the
    world is taken away as well, as far as tries are: it is learned again.
    """
    given = [body for body in map(orjson.loads, bodies) if body]
    if not given:  # erased, and stays as the border that it was
        return set()
    for name in KINDS:
        keys = [item for body in given for item in body.get(name, ())]
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE forgotten_{name} AS "
            f"SELECT DISTINCT key FROM {IDS} given(key)",
            [_json(keys)],
        )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE gone_patterns AS SELECT pattern_no, pattern_id FROM pattern_rows
        WHERE {_KEY.format("pattern_id")} IN (SELECT key FROM forgotten_patterns);
        CREATE OR REPLACE TEMP TABLE gone_events AS
        SELECT rowid AS row, event_key, pattern_no, context_no FROM event_rows
        WHERE pattern_no IN (SELECT pattern_no FROM gone_patterns)
           OR {_KEY.format("event_id")} IN (SELECT key FROM forgotten_events);
        DELETE FROM event_rows WHERE rowid IN (SELECT row FROM gone_events);
        CREATE OR REPLACE TEMP TABLE gone_contexts AS SELECT context_no, context_id FROM context_rows
        WHERE context_no IN (SELECT context_no FROM gone_events)
          AND context_no NOT IN (SELECT context_no FROM event_rows WHERE context_no IS NOT NULL);
        CREATE OR REPLACE TEMP TABLE left_patterns AS SELECT DISTINCT pattern_no FROM gone_events
        WHERE pattern_no NOT IN (SELECT pattern_no FROM gone_patterns);
        DELETE FROM earlier_states WHERE event_key IN (SELECT event_key FROM gone_events);
        DELETE FROM pattern_rows WHERE pattern_no IN (SELECT pattern_no FROM gone_patterns);
        DELETE FROM postings WHERE pattern_no IN (SELECT pattern_no FROM gone_patterns);
        CREATE OR REPLACE TEMP TABLE gone_priors AS SELECT prior_id, pattern_no FROM prior_rows
        WHERE pattern_no IN (SELECT pattern_no FROM gone_patterns)
           OR {_KEY.format("prior_id")} IN (SELECT key FROM forgotten_priors);
        DELETE FROM prior_rows WHERE prior_id IN (SELECT prior_id FROM gone_priors);
        DELETE FROM days WHERE pattern_no IN (SELECT pattern_no FROM gone_events);
        DELETE FROM cells WHERE pattern_no IN (SELECT pattern_no FROM gone_events);
        DELETE FROM context_rows WHERE context_no IN (SELECT context_no FROM gone_contexts);
        DELETE FROM embeddings
        WHERE collection = 'patterns' AND id IN (SELECT pattern_id FROM gone_patterns)
           OR collection = 'contexts' AND id IN (SELECT context_id FROM gone_contexts);
        CREATE OR REPLACE TEMP TABLE gone_predictions AS SELECT prediction_id FROM prediction_rows
        WHERE {_KEY.format("prediction_id")} IN (SELECT key FROM forgotten_predictions);
        DELETE FROM prediction_rows WHERE prediction_id IN (SELECT prediction_id FROM gone_predictions);
        DELETE FROM answer_rows WHERE prediction_id IN (SELECT prediction_id FROM gone_predictions);
        DELETE FROM learned_rows WHERE EXISTS (SELECT 1 FROM gone_events);
        DELETE FROM meta WHERE name = '{TO_ERASE}';
        INSERT INTO meta VALUES ('{TO_ERASE}', 1);
        """
    )
    _count_again(con)
    changed.spoilt = True
    for collection, name in (("patterns", "pattern_id"), ("contexts", "context_id")):
        gone = con.execute(f"SELECT {name} FROM gone_{collection}").fetchall()
        changed.gone.setdefault(collection, []).extend(row[0] for row in gone)
    left = """
        SELECT pattern_id FROM pattern_rows WHERE pattern_no IN (
            SELECT pattern_no FROM left_patterns UNION ALL SELECT pattern_no FROM gone_priors)
    """
    return {*changed.gone["patterns"], *(row[0] for row in con.execute(left).fetchall())}


def _count_again(con: Connection) -> None:
    """The sums of the patterns that have lost tries, from the tries that are left."""
    mine = "pattern_no IN (SELECT pattern_no FROM left_patterns)"
    worth = WORTH.format(n="tries")
    con.execute(
        f"""
        INSERT INTO days
        SELECT timestamp::DATE AS day, pattern_no, count(*) FILTER (state <> 'not_used'),
               count(*) FILTER (state = 'resolved'), coalesce(sum(outcome), 0),
               coalesce(sum(outcome * outcome), 0)
        FROM event_rows WHERE {mine} GROUP BY ALL ORDER BY day;
        INSERT INTO cells
        SELECT context_no, pattern_no, timestamp::DATE, count(*), sum(outcome), max(timestamp)
        FROM event_rows WHERE state = 'resolved' AND {mine} GROUP BY ALL ORDER BY context_no;
        UPDATE pattern_rows p SET used = coalesce(s.used, 0), resolved = coalesce(s.resolved, 0),
            outcome_sum = coalesce(s.total, 0), last_used_at = s.last_used_at,
            effective = coalesce(s.effective, 0), effective_sum = coalesce(s.effective_sum, 0)
        FROM (
            SELECT pattern_no, e.used, e.resolved, e.total, e.last_used_at, c.effective, c.effective_sum
            FROM left_patterns
            LEFT JOIN (
                SELECT pattern_no, count(*) FILTER (state <> 'not_used') AS used,
                       count(*) FILTER (state = 'resolved') AS resolved, sum(outcome) AS total,
                       max(timestamp) FILTER (state <> 'not_used') AS last_used_at
                FROM event_rows WHERE {mine} GROUP BY ALL) e USING (pattern_no)
            LEFT JOIN (
                SELECT pattern_no, sum({worth}) AS effective,
                       sum({worth} * outcome_sum / tries) AS effective_sum
                FROM cells WHERE {mine} GROUP BY ALL) c USING (pattern_no)) s
        WHERE p.pattern_no = s.pattern_no;
        UPDATE pattern_rows p SET prior_count = coalesce(o.tries, 0), prior_sum = coalesce(o.total, 0)
        FROM (SELECT pattern_no, sum(usage_count) AS tries, sum(usage_count * success_rate) AS total
              FROM (SELECT DISTINCT pattern_no FROM gone_priors) LEFT JOIN prior_rows USING (pattern_no)
              GROUP BY ALL) o
        WHERE p.pattern_no = o.pattern_no;
        UPDATE context_rows c SET first_seen_at = e.first_seen_at
        FROM (SELECT context_no, min(timestamp) AS first_seen_at FROM event_rows
              WHERE context_no IN (SELECT context_no FROM gone_events) GROUP BY ALL) e
        WHERE c.context_no = e.context_no
        """
    )
