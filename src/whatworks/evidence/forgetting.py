"""What is to be forgotten, chosen from the tables; and the fold of the record that says so.

The record names what it forgets by a hash of each id, so that it keeps nothing
of it itself; ``erasure`` overwrites it too, once nothing else is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from whatworks.checks import shown
from whatworks.errors import NotFoundError
from whatworks.evidence.counting import recount
from whatworks.evidence.quarantine import IMPORT_TRUST, TOLD_BY
from whatworks.evidence.schema import IDS
from whatworks.frozen import dataclass

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

    from whatworks.evidence.changed import Changed
    from whatworks.evidence.database import Evidence
    from whatworks.records import Selection

__all__ = ["KINDS", "RECORDS", "TO_ERASE", "Chosen", "choose", "forget", "key", "records"]

# Stands in ``meta`` until what was forgotten is gone from the disk as well.
TO_ERASE = "to erase"
KINDS = ("patterns", "events", "predictions", "priors", "sources", "imports")
# Beside these, single records of the journal, by segment and sequence.
RECORDS = "records"
# 128 bits of SHA-256: no two ids of a store have the same.
KEY_DIGITS = 32
KEYS_PER_RECORD = 10_000

_KEY = f"left(sha256({{}}), {KEY_DIGITS})"
# All tries, those that are held back included.
_EVENTS = """(
    SELECT e.* EXCLUDE (context_no, told_no), pattern_id, context_id, text
    FROM event_rows e JOIN pattern_rows USING (pattern_no)
    LEFT JOIN context_rows c ON c.context_no = coalesce(e.told_no, e.context_no)
    UNION ALL BY NAME
    SELECT q.* EXCLUDE (context, reason), pattern_id, context AS text
    FROM quarantined_rows q JOIN pattern_rows USING (pattern_no)) e"""
_FROM = """
    (e.source = ? OR e.import_id IN (SELECT import_id FROM import_rows WHERE list_contains(labels, ?)))
"""
# What may hold a text that somebody looks for. Metadata is JSON, in which some characters look else.
_PATTERN_TEXT = "concat_ws(chr(10), pattern_id, pattern_type, description, metadata)"
_LABELS = "array_to_string(labels, chr(10))"
_EVENT_TEXT = (
    "concat_ws(chr(10), e.event_id, e.text, e.session_id, e.source, e.channel, e.prediction_id, "
    "array_to_string(e.files, chr(10)), array_to_string(e.tools, chr(10)), e.metadata)"
)


def key(name: str) -> str:
    """What a record names the pattern, event or prediction ``name`` by."""
    from hashlib import sha256  # behind OpenSSL, which takes milliseconds to load

    return sha256(name.encode()).hexdigest()[:KEY_DIGITS]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Ids of what a selection chooses; ``sessions`` are those of its events.

    ``sources`` are those of which the owner said something that is to be forgotten with them,
    ``imports`` those of which no try is left, or whose files' names are to be forgotten.
    ``contexts`` is how many go with it.
    """

    patterns: list[str]
    events: list[str]
    predictions: list[str]
    priors: list[str]
    sources: list[str]
    imports: list[str]
    sessions: list[str]
    contexts: int

    def __bool__(self) -> bool:
        return any(getattr(self, kind) for kind in KINDS)


# -- choosing -------------------------------------------------------------------------------------


def choose(evidence: Evidence, selection: Selection, *, must_be: bool) -> Chosen:
    """What ``selection`` chooses, with all that belongs to it.

    To a pattern belong its tries, its imported aggregates and the predictions
    that name it; to a try its outcome, the prediction it answers, and its
    context with the predictions for it, if no other try has it. To the name of
    a file that is distrusted belong its tries: without it they would count.

    Raises
    ------
    NotFoundError
        A pattern or an event that is named does not exist, and all ``must_be`` there.
    """
    patterns = _patterns(evidence, selection)
    where, values = _of_events(selection)
    query = f"""
        SELECT e.event_id, e.session_id, e.context_id, e.prediction_id FROM {_EVENTS}
        WHERE e.pattern_id IN {IDS} OR e.import_id IN {IDS} OR ({where})
    """
    distrusted = _json(_distrusted(evidence, selection))
    found = evidence.rows(query, [_json(patterns), distrusted, *values])
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
        sources=_sources(evidence, selection),
        imports=_imports(evidence, selection, events),
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


def _sources(evidence: Evidence, selection: Selection) -> list[str]:
    if selection.only_text is None:
        return []
    where, values = _holds("source", selection.only_text)
    return [row[0] for row in evidence.rows(f"SELECT source FROM source_rows WHERE {where}", values)]


def _imports(evidence: Evidence, selection: Selection, events: list[str]) -> list[str]:
    query = f"""
        SELECT import_id FROM {_EVENTS} WHERE import_id IS NOT NULL
        GROUP BY import_id HAVING bool_and(e.event_id IN {IDS})
    """
    found = {row[0] for row in evidence.rows(query, [_json(events)])} if events else set()
    if selection.only_text is not None:
        where, values = _holds(_LABELS, selection.only_text)
        rows = evidence.rows(f"SELECT import_id FROM import_rows WHERE {where}", values)
        found |= {row[0] for row in rows}
    return sorted(found)


def _distrusted(evidence: Evidence, selection: Selection) -> list[str]:
    """Distrusted imports of files whose names are to be forgotten."""
    if selection.only_text is None:
        return []
    where, values = _holds(_LABELS, selection.only_text)
    query = f"""
        SELECT import_id FROM import_rows JOIN {IMPORT_TRUST} USING (import_id)
        WHERE import_trust = 'distrusted' AND {where}
    """
    return [row[0] for row in evidence.rows(query, values)]


def _require(found: Sequence[str], wanted: Sequence[str], kind: str) -> None:
    if missing := set(wanted) - set(found):
        raise NotFoundError(f"there is no {kind} {shown(min(missing))} in this store")


def _of_events(selection: Selection) -> tuple[str, list[Any]]:
    """Which tries are chosen for what they are: a condition on ``_EVENTS``, and its values."""
    conditions, values = _between("e.timestamp", selection)
    for condition, value in (
        (_FROM, selection.source),
        ("e.session_id = ?", selection.session_id),
    ):
        if value is not None:
            conditions.append(condition)
            values += [value] * condition.count("?")
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


def _contexts(evidence: Evidence, events: list[str], names: list[str]) -> list[str]:
    """The texts of those contexts that no other try has."""
    query = f"""
        SELECT any_value(e.text) FROM {_EVENTS} WHERE e.context_id IN {IDS}
        GROUP BY e.context_id HAVING bool_and(e.event_id IN {IDS}) ORDER BY e.context_id
    """
    return [row[0] for row in evidence.rows(query, [_json(names), _json(events)])] if names else []


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
        SELECT rowid AS row, event_key, pattern_no, coalesce(told_no, context_no) AS context_no
        FROM event_rows
        WHERE pattern_no IN (SELECT pattern_no FROM gone_patterns)
           OR {_KEY.format("event_id")} IN (SELECT key FROM forgotten_events);
        DELETE FROM event_rows WHERE rowid IN (SELECT row FROM gone_events);
        CREATE OR REPLACE TEMP TABLE gone_held AS
        SELECT event_key, pattern_no, context_id FROM quarantined_rows
        WHERE pattern_no IN (SELECT pattern_no FROM gone_patterns)
           OR {_KEY.format("event_id")} IN (SELECT key FROM forgotten_events);
        DELETE FROM quarantined_rows WHERE event_key IN (SELECT event_key FROM gone_held);
        DELETE FROM quarantined_states WHERE event_key IN (SELECT event_key FROM gone_held);
        CREATE OR REPLACE TEMP TABLE gone_sources AS SELECT source FROM source_rows
        WHERE {_KEY.format("source")} IN (SELECT key FROM forgotten_sources);
        CREATE OR REPLACE TEMP TABLE gone_imports AS SELECT import_id FROM import_rows
        WHERE {_KEY.format("import_id")} IN (SELECT key FROM forgotten_imports);
        -- of whose tries less is thought than before
        CREATE OR REPLACE TEMP TABLE unjudged_patterns AS SELECT DISTINCT pattern_no
        FROM (SELECT pattern_no, source, import_id FROM event_rows
              UNION ALL SELECT pattern_no, source, import_id FROM quarantined_rows)
        WHERE import_id IN (SELECT import_id FROM gone_imports) OR {TOLD_BY.format("gone_sources")};
        DELETE FROM import_rows WHERE import_id IN (SELECT import_id FROM gone_imports);
        DELETE FROM source_rows WHERE source IN (SELECT source FROM gone_sources);
        CREATE OR REPLACE TEMP TABLE gone_contexts AS SELECT context_no, context_id FROM context_rows
        WHERE (context_no IN (SELECT context_no FROM gone_events)
               OR context_id IN (SELECT context_id FROM gone_held))
          AND context_no NOT IN (SELECT coalesce(told_no, context_no) AS told FROM event_rows
                             WHERE told IS NOT NULL);
        CREATE OR REPLACE TEMP TABLE left_patterns AS SELECT DISTINCT pattern_no
        FROM (SELECT pattern_no FROM gone_events UNION ALL SELECT pattern_no FROM gone_held)
        WHERE pattern_no NOT IN (SELECT pattern_no FROM gone_patterns);
        DELETE FROM earlier_states WHERE event_key IN (SELECT event_key FROM gone_events);
        DELETE FROM pattern_rows WHERE pattern_no IN (SELECT pattern_no FROM gone_patterns);
        DELETE FROM archived_rows WHERE pattern_no IN (SELECT pattern_no FROM gone_patterns);
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
        DELETE FROM learned_rows WHERE EXISTS (FROM gone_events) OR EXISTS (FROM unjudged_patterns);
        DELETE FROM meta WHERE name = '{TO_ERASE}';
        INSERT INTO meta VALUES ('{TO_ERASE}', 1);
        """
    )
    recount(con)
    _correct(con)
    changed.spoilt = True
    for collection, name in (("patterns", "pattern_id"), ("contexts", "context_id")):
        gone = con.execute(f"SELECT {name} FROM gone_{collection}").fetchall()
        changed.gone.setdefault(collection, []).extend(row[0] for row in gone)
    left = """
        SELECT pattern_id FROM pattern_rows WHERE pattern_no IN (
            SELECT pattern_no FROM left_patterns UNION ALL SELECT pattern_no FROM gone_priors
            UNION ALL SELECT pattern_no FROM unjudged_patterns)
    """
    return {*changed.gone["patterns"], *(row[0] for row in con.execute(left).fetchall())}


def _correct(con: Connection) -> None:
    """The sums of the aggregates of patterns, and when contexts were first seen."""
    con.execute(
        """
        UPDATE pattern_rows p SET prior_count = coalesce(o.tries, 0), prior_sum = coalesce(o.total, 0)
        FROM (SELECT pattern_no, sum(usage_count) AS tries, sum(usage_count * success_rate) AS total
              FROM (SELECT DISTINCT pattern_no FROM gone_priors) LEFT JOIN prior_rows USING (pattern_no)
              GROUP BY ALL) o
        WHERE p.pattern_no = o.pattern_no;
        UPDATE context_rows c SET first_seen_at = e.first_seen_at
        FROM (SELECT coalesce(told_no, context_no) AS context_no, min(timestamp) AS first_seen_at
              FROM event_rows GROUP BY ALL) e
        WHERE c.context_no = e.context_no AND c.context_no IN (SELECT context_no FROM gone_events)
        """
    )
