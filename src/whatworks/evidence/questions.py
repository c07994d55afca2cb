"""What can be asked of the evidence, as SQL. Ids travel as one JSON parameter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson

from whatworks.channels import UNVOUCHED
from whatworks.checks import moment_of
from whatworks.evidence.archive import SHOWN, Shelved
from whatworks.evidence.changed import day_of
from whatworks.evidence.database import Evidence
from whatworks.evidence.lookup import FIRST, LAST
from whatworks.evidence.quarantine import STRANGERS
from whatworks.evidence.rows import listed
from whatworks.evidence.schema import ASIDE, IDS, NUMBERS
from whatworks.frozen import maker
from whatworks.records import Pattern, Prior, UsageEvent, Where
from whatworks.trends import DaySum

if TYPE_CHECKING:
    from whatworks.records import Predicted, Source

__all__ = [
    "STATES",
    "Number",
    "allowed",
    "conditions",
    "context_texts",
    "copy_table",
    "counts",
    "days",
    "events",
    "events_after",
    "held_after",
    "known_patterns",
    "matching",
    "naive",
    "number_of",
    "numbers",
    "patterns",
    "patterns_after",
    "predictions",
    "priors_after",
    "receipt",
    "sources",
    "states_at",
    "vouched_days",
]

# All there is comes in pages of so many items, and of not much more text.
PAGE = 4_000
PAGE_CHARACTERS = 8 << 20
# Rows up to which it pays to look first how new they are.
FEW = 1_000
# The newest receipts whose outcomes are counted.
RECEIPTS = 1_000

Item = TypeVar("Item")
Place = tuple[datetime, str]

_PATTERN = """
    pattern_id, pattern_type, description, metadata, created_at, updated_at,
    outcome_sum / nullif(resolved, 0), used, resolved, last_used_at,
    prior_sum / nullif(prior_count, 0), prior_count
"""
# Without joins: the engine would read every context to name those of a few events.
_EVENTS = f"""
    SELECT pattern_no, if(context_no = {ASIDE}, told_no, context_no) AS context_no, event_id, timestamp,
           state, outcome, session_id, source, channel, files, tools, duration_ms, cost, prediction_id,
           metadata, resolved_at, recorded_at, checked, import_id
    FROM event_rows
"""


def states_at(name: str, moment: str) -> str:
    """Tables ``name``, the events as they were at a time, and ``moment``, which is that parameter."""
    return f"""
    {moment} AS (SELECT ?::TIMESTAMP AS instant),
    {name} AS (
        SELECT event_key, pattern_no, context_no, timestamp, state, outcome, changed_at AS since
        FROM event_rows, {moment} WHERE timestamp <= instant AND changed_at <= instant
        UNION ALL
        SELECT event_key, pattern_no, context_no, timestamp, state, outcome, since
        FROM earlier_states, {moment}
        WHERE timestamp <= instant AND since <= instant AND instant < until)
"""


STATES = states_at("states", "moment")


def _json(values: Sequence[object]) -> str:
    return orjson.dumps(values).decode()


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def naive(moment: datetime) -> datetime:
    """A UTC time as the tables hold it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _pattern(evidence: Evidence, row: tuple[Any, ...]) -> Pattern:
    created, updated = row[4].replace(tzinfo=UTC), row[5].replace(tzinfo=UTC)
    metadata, last_used = orjson.loads(row[3]), _utc(row[9])
    return Pattern(row[0], row[1], row[2], metadata, created, updated, row[6], row[7], row[8],
                   last_used, row[10], row[11], *_shelved(evidence.shelf.patterns, row[0]))  # fmt: skip


def _shelved(shelved: Mapping[str, Shelved], name: str) -> tuple[datetime | None, str | None]:
    """Since when a pattern is archived, and why."""
    found = shelved.get(name)
    return (None, None) if found is None else found[1:]


def _event(
    row: tuple[Any, ...],
    pattern_id: str,
    context: tuple[Any, ...],
    imports: Mapping[str, tuple[str, ...]],
) -> UsageEvent:
    return UsageEvent(
        row[2], pattern_id, row[3].replace(tzinfo=UTC), row[4], row[5], context[1], context[0], row[6],
        row[7], row[8], tuple(row[9]), tuple(row[10]), row[11], row[12], row[13], orjson.loads(row[14]),
        _utc(row[15]), _utc(row[16]) if row[8] in UNVOUCHED else None, row[17],
        imports.get(row[18], ()),
    )  # fmt: skip


# -- patterns -------------------------------------------------------------------------------------


def patterns(evidence: Evidence, ids: Sequence[str]) -> dict[str, Pattern]:
    """The patterns of these ids, as far as they exist."""
    looked_up = evidence.lookup.patterns(ids)
    if looked_up is not None:
        made, shelved = maker(Pattern), evidence.shelf.patterns
        return {row[0][1]: made(*_looked_up(shelved, *row)) for row in looked_up}
    query = f"SELECT {_PATTERN} FROM pattern_rows WHERE pattern_id IN {IDS}"
    found = {row[0]: _pattern(evidence, row) for row in evidence.rows(query, [_json(ids)])}
    evidence.lookup.expect(patterns=found)
    return found


def _looked_up(
    shelved: Mapping[str, Shelved], record: tuple[Any, ...], text: tuple[Any, ...]
) -> tuple[object, ...]:
    """The fields of a pattern, in order."""
    _, name, used, resolved, total, last, _, _, prior_count, prior_total = record
    _, kind, description, metadata, created, updated = text
    return (
        name,
        kind,
        description,
        orjson.loads(metadata) if metadata != "{}" else {},
        at := moment_of(created),
        at if updated == created else moment_of(updated),
        total / resolved if resolved else None,
        used,
        resolved,
        None if last is None else moment_of(last),
        prior_total / prior_count if prior_count else None,
        prior_count,
        *_shelved(shelved, name),
    )


class Number(NamedTuple):
    """A pattern's number in the tables, and its effective tries."""

    number: int
    tries: float


def number_of(evidence: Evidence, pattern_id: str) -> Number | None:
    """The number of a pattern, ``None`` if there is no such pattern."""
    looked_up = evidence.lookup.records(ids=[pattern_id])
    if looked_up is not None:
        return Number(looked_up[0][0], looked_up[0][6])
    query = "SELECT pattern_no, effective FROM pattern_rows WHERE pattern_id = ?"
    rows = evidence.rows(query, [pattern_id])
    evidence.lookup.expect(patterns=[pattern_id] if rows else [])
    return Number(*rows[0]) if rows else None


def known_patterns(evidence: Evidence, ids: Sequence[str]) -> set[str]:
    """Which of these ids are patterns."""
    if evidence.lookup.records(ids=ids) is not None:
        return set(ids)
    query = f"SELECT pattern_id FROM pattern_rows WHERE pattern_id IN {IDS}"
    return {row[0] for row in evidence.rows(query, [_json(ids)])}


def numbers(evidence: Evidence, ids: Collection[str]) -> list[int]:
    """The numbers of these patterns, as far as they exist."""
    looked_up = evidence.lookup.numbers(ids)
    if looked_up is not None:
        return looked_up
    query = f"SELECT pattern_no FROM pattern_rows WHERE pattern_id IN {IDS}"
    return [row[0] for row in evidence.rows(query, [_json(list(ids))])]


def conditions(where: Where | None) -> tuple[str, list[object]]:
    """A SQL condition on ``pattern_rows`` with its parameters; values are never part of the text."""
    parts, values = [SHOWN], list[object]()
    if where is None:
        return SHOWN, values
    if where.archived:
        parts = [f"NOT ({SHOWN})"]
    if where.pattern_type is not None:
        parts.append(f"pattern_type IN {IDS}")
        values.append(_json(list(where.pattern_type)))
    for key, value in where.metadata.items():
        pointer = "/" + key.replace("~", "~0").replace("/", "~1")  # RFC 6901: any key, no wildcards
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            parts.append(
                "json_type(metadata, ?) IN ('UBIGINT', 'BIGINT', 'DOUBLE') "
                "AND (metadata ->> ?)::DOUBLE = ?::DOUBLE"
            )
            values += [pointer, pointer, value]
        else:  # a missing key is not null
            parts.append("json_extract(metadata, ?) = json_extract(?, ?)")
            values += [pointer, orjson.dumps({key: value}).decode(), pointer]
    for column, after, before in (
        ("created_at", where.created_after, where.created_before),
        ("last_used_at", where.used_after, where.used_before),
    ):
        if after is not None:
            parts.append(f"{column} >= ?")
            values.append(naive(after))
        if before is not None:
            parts.append(f"{column} < ?")
            values.append(naive(before))
    if where.min_usage:
        parts.append("used >= ?")
        values.append(where.min_usage)
    return " AND ".join(parts), values


def matching(evidence: Evidence, where: Where | None, limit: int) -> list[Pattern]:
    """Patterns that fulfil ``where``, the newest first."""
    condition, values = conditions(where)
    part, order = f"FROM pattern_rows WHERE {condition}", "ORDER BY created_at DESC, pattern_id"
    if limit <= FEW:
        # If so many are among those that came last, no older ones need be looked at: patterns lie
        # in the order of time, and sorting alone would carry nearly every row along.
        last = f"{part} AND rowid >= (SELECT count(*) - {4 * limit} FROM pattern_rows)"
        since = f"SELECT if(count(*) >= {limit}, list_min(max(created_at, {limit})), NULL) {last}"
        part += f" AND created_at >= coalesce(({since}), TIMESTAMP '-infinity')"
        values *= 2
    rows = evidence.rows(f"SELECT {_PATTERN} {part} {order} LIMIT {limit}", values)
    return [_pattern(evidence, row) for row in rows]


def patterns_after(evidence: Evidence, after: Place | None) -> list[Pattern]:
    """The next patterns behind a place, the oldest first."""
    condition, values = _behind(after, "created_at", "pattern_id")
    query = f"""
        SELECT {_PATTERN} FROM pattern_rows WHERE {condition}
        ORDER BY created_at, pattern_id LIMIT {PAGE}
    """
    found = (_pattern(evidence, row) for row in evidence.rows(query, values))
    return _page(found, lambda p: len(p.description))


def allowed(evidence: Evidence, where: Where, among: Sequence[str] | None = None) -> list[str]:
    """Ids of the patterns that fulfil ``where``: of all, or of some."""
    condition, values = conditions(where)
    if among is not None:
        condition = f"pattern_id IN ({listed(among) or 'NULL'}) AND {condition}"
    query = f"SELECT pattern_id FROM pattern_rows WHERE {condition}"
    return [row[0] for row in evidence.rows(query, values)]


# -- events ---------------------------------------------------------------------------------------


def events(evidence: Evidence, *, pattern_id: str | None = None, limit: int) -> list[UsageEvent]:
    """Events of a pattern, or of all; the newest first."""
    order = f"ORDER BY timestamp DESC, event_id DESC LIMIT {limit}"
    # At least so many are as new as the oldest of those that came last: of blocks of older
    # events no more is read than the time.
    last = f"rowid >= (SELECT count(*) - {limit} FROM event_rows)"
    part = f"timestamp >= (SELECT min(timestamp) FROM event_rows WHERE {last})"
    if pattern_id is not None:
        known = number_of(evidence, pattern_id)
        if known is None:
            return []
        part = f"pattern_no = {known.number}"  # with a question in its place all events are read
        since = _day_of_newest(evidence, known.number, limit)
        if since is not None:
            recent = f"{_EVENTS} WHERE {part} AND timestamp >= DATE '{since}' {order}"
            found = _named(evidence, evidence.rows(recent))
            if len(found) == limit:  # else some were forgotten meanwhile
                return found
    return _named(evidence, evidence.rows(f"{_EVENTS} WHERE {part} {order}"))


def _day_of_newest(evidence: Evidence, number: int, limit: int) -> date | None:
    """A day since which a pattern was used so often, if that can be told without reading much."""
    count = 0
    for row in reversed(evidence.lookup.days(number) or ()):
        count += row[2]
        if count >= limit:
            return day_of(row[1])
    return None


def events_of(evidence: Evidence, ids: Sequence[str]) -> list[UsageEvent]:
    """The events with these ids, in no order; those that are not there are left out."""
    if len(ids) == 1:  # half the time of a list of one
        found = evidence.rows(f"{_EVENTS} WHERE event_key = md5_number_lower(?)", ids)
    else:
        listed = f"WHERE event_key IN (SELECT md5_number_lower(id) FROM {IDS} AS given(id))"
        found = evidence.rows(f"{_EVENTS} {listed}", [_json(ids)])
    return _named(evidence, found) + (_held_of(evidence, ids) if evidence.guarded else [])


def _held_of(evidence: Evidence, ids: Sequence[str]) -> list[UsageEvent]:
    """Those that are held back (``quarantine``): they are there, and count for nothing."""
    condition = f"event_key IN (SELECT md5_number_lower(id) FROM {IDS} AS given(id))"
    return _held(evidence, condition, [_json(ids)])


def _held(evidence: Evidence, condition: str, values: Sequence[object]) -> list[UsageEvent]:
    query = f"""
        SELECT pattern_no, NULL, event_id, timestamp, state, outcome, session_id, source,
               channel, files, tools, duration_ms, cost, prediction_id, q.metadata, resolved_at,
               recorded_at, checked, import_id, pattern_id, context_id, context
        FROM quarantined_rows q JOIN pattern_rows USING (pattern_no) WHERE {condition}
    """
    rows = evidence.rows(query, values)
    labels = _imports(evidence, rows)
    return [_event(row, row[-3], row[-2:], labels) for row in rows]


def events_after(evidence: Evidence, after: Place | None) -> list[UsageEvent]:
    """The next events behind a place, the oldest first."""
    condition, values = _behind(after, "timestamp", "event_id")
    # Of thousands of events the names are read faster by joins.
    query = f"""
        SELECT e.*, p.pattern_id, c.context_id, c.text
        FROM ({_EVENTS} WHERE {condition} ORDER BY timestamp, event_id LIMIT {PAGE}) e
        JOIN pattern_rows p USING (pattern_no)
        LEFT JOIN context_rows c USING (context_no)
        ORDER BY e.timestamp, e.event_id
    """
    rows = evidence.rows(query, values)
    labels = _imports(evidence, rows)
    found = (_event(row, row[-3], row[-2:], labels) for row in rows)
    return _page(found, lambda e: len(e.context or ""))


def held_after(evidence: Evidence, after: Place | None) -> list[UsageEvent]:
    """The next events behind a place that are held back, the oldest first."""
    condition, values = _behind(after, "timestamp", "event_id")
    found = _held(evidence, f"{condition} ORDER BY timestamp, event_id LIMIT {PAGE}", values)
    return _page(found, lambda e: len(e.context or ""))


def _named(evidence: Evidence, rows: Sequence[tuple[Any, ...]]) -> list[UsageEvent]:
    """Events with the names of their patterns and contexts; of a pattern forgotten meanwhile, none."""
    patterns = _pattern_ids(evidence, {row[0] for row in rows})
    contexts = _contexts(evidence, {row[1] for row in rows} - {None})
    labels = _imports(evidence, rows)
    return [
        _event(row, patterns[row[0]], contexts.get(row[1], (None, None)), labels)
        for row in rows
        if row[0] in patterns
    ]


def _imports(evidence: Evidence, rows: Sequence[tuple[Any, ...]]) -> dict[str, tuple[str, ...]]:
    """Where events were imported from, by the ids of imports."""
    names = {row[18] for row in rows} - {None}
    if not names:
        return {}
    query = f"SELECT import_id, labels FROM import_rows WHERE import_id IN {IDS}"
    return {name: tuple(labels) for name, labels in evidence.rows(query, [_json(sorted(names))])}


def _pattern_ids(evidence: Evidence, numbers: Collection[int]) -> dict[int, str]:
    looked_up = evidence.lookup.records(numbers=numbers)
    if looked_up is not None:
        return {row[0]: row[1] for row in looked_up}
    query = f"SELECT pattern_no, pattern_id FROM pattern_rows WHERE pattern_no IN {NUMBERS}"
    return dict(evidence.rows(query, [_json(list(numbers))]))


def _contexts(evidence: Evidence, numbers: Collection[int]) -> dict[int, tuple[str, str]]:
    """The ids and texts of contexts."""
    found = evidence.lookup.contexts(numbers=numbers)
    if found is None:
        query = f"SELECT context_no, context_id, text FROM context_rows WHERE context_no IN {NUMBERS}"
        found = evidence.rows(query, [_json(list(numbers))])
    return {row[0]: row[1:] for row in found}


def priors_after(evidence: Evidence, after: Place | None) -> list[Prior]:
    """The next imported aggregates behind a place, the oldest first."""
    condition, values = _behind(after, "timestamp", "prior_id")
    query = f"""
        SELECT pattern_id, success_rate, usage_count, origin, timestamp, prior_id
        FROM prior_rows JOIN pattern_rows USING (pattern_no)
        WHERE {condition} ORDER BY timestamp, prior_id LIMIT {PAGE}
    """
    rows = evidence.rows(query, values)
    return [Prior(r[0], r[1], r[2], r[3], r[4].replace(tzinfo=UTC), r[5]) for r in rows]


# -- pages ----------------------------------------------------------------------------------------


def _behind(after: Place | None, time: str, name: str) -> tuple[str, list[object]]:
    """A condition on what comes behind a place in the order of time and id."""
    if after is None:
        return "true", []
    moment = naive(after[0])
    condition = f"{time} >= ? AND ({time} > ? OR {name} > ?)"
    return condition, [moment, moment, after[1]]


def _page(items: Iterable[Item], size: Callable[[Item], int]) -> list[Item]:
    """As many items as make a page that is not too long, at least one."""
    page, length = list[Item](), 0
    for item in items:
        page.append(item)
        length += size(item)
        if length > PAGE_CHARACTERS:
            break
    return page


_COPIES = {
    ("patterns", "parquet"): "SELECT * FROM patterns ORDER BY created_at, pattern_id",
    ("events", "parquet"): "SELECT * FROM usage_events ORDER BY timestamp, event_id",
    ("patterns", "csv"): "SELECT * FROM patterns ORDER BY created_at, pattern_id",
    # The engine's own text of a list cannot be told apart when an item has a comma.
    ("events", "csv"): """
        SELECT * REPLACE (to_json(files) AS files, to_json(tools) AS tools)
        FROM usage_events ORDER BY timestamp, event_id
    """,
}


def copy_table(evidence: Evidence, kind: str, path: str, form: str) -> int:
    """Write the public view of patterns or events to a file as ``csv`` or ``parquet``."""
    options = "FORMAT csv, HEADER" if form == "csv" else "FORMAT parquet, COMPRESSION zstd"
    query = f"COPY ({_COPIES[kind, form]}) TO ? ({options}, USE_TMP_FILE false)"
    return int(evidence.one(query, [path])[0])


def vouched_days(evidence: Evidence) -> str:
    """The table ``days`` without what counts aside: strangers are in no trend."""
    if not evidence.guarded:
        return "days"
    return f"""(
        SELECT pattern_no, day, used, resolved, outcome_sum FROM days
        UNION ALL SELECT pattern_no, day, -tries, -tries, -outcome_sum FROM cells
        WHERE context_no = {ASIDE})"""


def days(evidence: Evidence, number: int, as_of: datetime | None) -> list[DaySum]:
    """The days on which the pattern with a number was used, the oldest first."""
    if as_of is None:
        looked_up = None if evidence.guarded else evidence.lookup.days(number)
        if looked_up is not None:
            return [
                DaySum(day_of(day), used, resolved, total)
                for _, day, used, resolved, total in looked_up
                if used or resolved
            ]
        query = f"""
            SELECT day, sum(used)::BIGINT, sum(resolved)::BIGINT, greatest(sum(outcome_sum), 0)
            FROM {vouched_days(evidence)} WHERE pattern_no = {number}
            GROUP BY day HAVING sum(used) > 0 OR sum(resolved) > 0 ORDER BY day
        """
        return [DaySum(*row) for row in evidence.rows(query)]
    query = f"""
        WITH {STATES}
        SELECT timestamp::DATE AS day, count(*) FILTER (state <> 'not_used') AS used,
               count(outcome) AS resolved, coalesce(sum(outcome), 0)
        FROM states WHERE pattern_no = {number} AND context_no IS DISTINCT FROM {ASIDE}
        GROUP BY day HAVING used > 0 ORDER BY day
    """
    return [DaySum(*row) for row in evidence.rows(query, [naive(as_of)])]


# -- predictions ----------------------------------------------------------------------------------


def context_texts(evidence: Evidence, ids: Sequence[str]) -> dict[str, str]:
    """The texts of contexts by id."""
    looked_up = evidence.lookup.contexts(ids=ids)
    if looked_up is not None:
        return {name: text for _, name, text in looked_up}
    query = f"SELECT context_id, text FROM context_rows WHERE context_id IN {IDS}"
    found = dict(evidence.rows(query, [_json(ids)]))
    evidence.lookup.expect(contexts=found)
    return found


def receipt(evidence: Evidence, prediction_id: str) -> Mapping[str, Any] | None:
    """A prediction as it was stored."""
    query = "SELECT receipt FROM prediction_rows WHERE prediction_id = ? LIMIT 1"
    rows = evidence.rows(query, [prediction_id])
    return orjson.loads(rows[0][0]) if rows else None


def predictions(evidence: Evidence, limit: int) -> list[Predicted]:
    """The predictions that were made, the newest first."""
    from whatworks.records import Predicted  # few questions need it

    query = """
        SELECT prediction_id, made_at, context, policy FROM prediction_rows
        ORDER BY made_at DESC, prediction_id DESC LIMIT ?
    """
    rows = evidence.rows(query, [limit])
    return [Predicted(row[0], row[1].replace(tzinfo=UTC), row[2], row[3]) for row in rows]


def counts(evidence: Evidence) -> dict[str, Any]:
    """How much of everything there is."""
    (row,) = evidence.kept(
        """
        SELECT (SELECT count(*) FROM pattern_rows), (SELECT count(*) FROM context_rows),
               (SELECT count(*) FROM prior_rows), (SELECT count(*) FROM prediction_rows)
        """
    )
    states, first, last = _states(evidence)
    names = ("patterns", "contexts", "priors", "predictions")
    found: dict[str, Any] = dict(zip(names, row, strict=True))
    found["events"] = sum(states.values())
    found |= {name: states.get(name, 0) for name in ("resolved", "pending", "not_used", "unknown")}
    shown, told = _coverage(evidence) if found["predictions"] else (0, 0)
    ends = {"first_event_at": first, "last_event_at": last}
    return found | ends | {"shown": shown, "shown_resolved": told}


def sources(evidence: Evidence) -> list[Source]:
    """Who has told of tries; those of the most tries first."""
    from whatworks.records import Source  # few questions need it

    query = f"""
        WITH mine AS (
            SELECT source, channel, pattern_no, count(*) AS events, count(outcome) AS resolved,
                   sum(outcome) AS total, count(*) FILTER (checked) AS checked
            FROM event_rows GROUP BY ALL),
        compared AS (
            SELECT source, channel, m.events, m.resolved, m.total, m.checked,
                   p.resolved - m.resolved AS others,
                   m.resolved > 0 AND others > 0 AS both_tried,
                   (p.outcome_sum - m.total) / nullif(others, 0) AS they_say
            FROM mine m JOIN pattern_rows p USING (pattern_no)),
        about AS (
            SELECT source, channel, count(DISTINCT session_id) AS sessions,
                   min(timestamp) AS first_at, max(timestamp) AS last_at,
                   count(*) FILTER (held) AS held
            FROM (SELECT source, channel, session_id, timestamp, false AS held FROM event_rows
                  UNION ALL SELECT source, channel, session_id, timestamp, true FROM quarantined_rows)
            GROUP BY source, channel)
        SELECT source, channel, coalesce(sum(events), 0)::BIGINT AS events,
               coalesce(sum(resolved), 0)::BIGINT, count(events),
               first(sessions), sum(total) / nullif(sum(resolved), 0),
               coalesce(sum(resolved) FILTER (both_tried), 0)::BIGINT AS shared,
               sum(total) FILTER (both_tried) / nullif(shared, 0),
               sum(resolved * they_say) FILTER (both_tried) / nullif(shared, 0),
               first(first_at), first(last_at), first(held),
               coalesce(first(trust), if(channel IN ({STRANGERS}), 'unvouched', 'vouched')),
               coalesce(sum(checked), 0)::BIGINT
        FROM about LEFT JOIN compared USING (source, channel) LEFT JOIN source_rows USING (source)
        GROUP BY source, channel ORDER BY events DESC, source, channel
    """
    return [Source(*row[:10], *map(_utc, row[10:12]), *row[12:]) for row in evidence.rows(query)]


def _coverage(evidence: Evidence) -> tuple[int, int]:
    """How many of the newest receipts there are, and of how many it is known what came of an answer.

    Known is an outcome, and that it was not used. Only the newest: it is asked often,
    and what matters is whether the loop is closed now.
    """
    ((shown, since),) = evidence.kept(
        """
        SELECT count(*), min(made_at)
        FROM (SELECT made_at FROM prediction_rows ORDER BY made_at DESC LIMIT ?)
        """,
        [RECEIPTS],
    )
    # The time as a value, so that blocks of older events are not read.
    query = """
        WITH told AS MATERIALIZED (
            SELECT e.prediction_id, p.pattern_id
            FROM (SELECT prediction_id, pattern_no FROM event_rows
                  WHERE recorded_at >= ? AND prediction_id IS NOT NULL
                    AND state IN ('resolved', 'not_used')) e
            JOIN pattern_rows p USING (pattern_no)
        )
        SELECT count(DISTINCT prediction_id)
        FROM answer_rows JOIN told USING (prediction_id, pattern_id)
        WHERE prediction_id IN (SELECT prediction_id FROM prediction_rows WHERE made_at >= ?)
    """
    closed = int(evidence.kept(query, [since, since])[0][0])
    return int(shown), min(closed, int(shown))  # of several made at once, all are looked at


def _states(evidence: Evidence) -> tuple[dict[str, int], datetime | None, datetime | None]:
    """How many events are in each state, and when the first and the last were made."""
    looked_up = evidence.lookup.events()
    if looked_up is not None:
        first, last = (looked_up.pop(name, None) for name in (FIRST, LAST))
        ends = [None if at is None else moment_of(at) for at in (first, last)]
        return looked_up, ends[0], ends[1]
    rows = evidence.rows(
        "SELECT state, count(*), min(timestamp), max(timestamp) FROM event_rows GROUP BY state"
    )
    times = [at for row in rows for at in row[2:]]
    return (
        {row[0]: row[1] for row in rows},
        _utc(min(times, default=None)),
        _utc(max(times, default=None)),
    )
