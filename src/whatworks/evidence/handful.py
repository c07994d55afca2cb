"""A few events or outcomes, added up here instead of in statements over the batch.

After a single write a question waits for the fold of one record. The tables
become what the statements of ``fold`` make of the same records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from whatworks.channels import CHECKING
from whatworks.evidence.changed import NO_CONTEXT, Changed, days_since, micros_since
from whatworks.evidence.latest import correct_tries, correct_uses, next_numbers
from whatworks.evidence.rows import Row, Table, insert, listed, read, select, update

try:  # as in ``ids``
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:
    from hashlib import md5

if TYPE_CHECKING:
    import duckdb

__all__ = ["STEPS", "fits"]

# Beyond about this many the statements over the batch are faster.
RECORDS = 32
CHARACTERS = 64 << 10

Body = dict[str, Any]
Moves = Sequence[tuple["_Place", "_Amounts"]]

_EPOCH = datetime(1970, 1, 1)  # times in the tables are UTC, and do not say so
_CONTEXT_NUMBERS = Table("context_rows", ("context_id",), ("context_no",))
_EVENT_IDS = Table("event_rows", ("event_key",), ("event_id",))
_EVENTS = Table(
    "event_rows",
    ("event_key", "event_id"),
    (
        "rowid",
        "pattern_no",
        "context_no",
        "timestamp",
        "channel",
        "checked",
        "state",
        "outcome",
        "changed_at",
    ),
)
_OUTCOMES = Table(
    "event_rows", ("rowid",), ("state", "outcome", "resolved_at", "changed_at", "checked")
)
_EARLIER = Table("earlier_states", ("event_key",), ("rowid", "until"))
_EARLIER_ENDS = Table("earlier_states", ("rowid",), ("until",))
_DAYS = Table("days", ("day", "pattern_no"), ("used", "resolved", "outcome_sum", "outcome_squares"))
_CELLS = Table("cells", ("context_no", "pattern_no", "day"), ("tries", "outcome_sum", "last_at"))
_COUNTS = ("used", "resolved", "outcome_sum", "last_used_at", "effective", "effective_sum")
_PATTERNS = Table("pattern_rows", ("pattern_no",), _COUNTS)
_KNOWN = ("pattern_no", "pattern_id", *_COUNTS, "prior_count", "prior_sum")
_PATTERNS_BY_ID = Table("pattern_rows", ("pattern_id",), _KNOWN)
_PATTERNS_BY_NO = Table("pattern_rows", ("pattern_no",), _KNOWN)


class _Place(NamedTuple):
    """The pattern, context and time of a try."""

    pattern_no: int
    context_no: int | None
    timestamp: datetime


class _State(NamedTuple):
    """What is known of a try, and since when."""

    state: str
    outcome: float | None
    since: datetime


class _Said(NamedTuple):
    """What is said of a try, and whether by a check."""

    state: _State
    checks: bool | None

    @property
    def is_outcome(self) -> bool:
        return self.state.state == "resolved"


class _Known(NamedTuple):
    """What a pattern's row says before the change."""

    number: int
    name: str
    used: int
    resolved: int
    total: float
    last_used_at: datetime | None
    effective: float
    effective_total: float
    prior_count: int
    prior_total: float


class _Amounts(NamedTuple):
    """By how much counts and sums change."""

    used: int
    resolved: int
    outcome: float
    square: float

    def plus(self, other: _Amounts, sign: int = 1) -> _Amounts:
        return _Amounts(
            self.used + sign * other.used,
            self.resolved + sign * other.resolved,
            self.outcome + sign * other.outcome,
            self.square + sign * other.square,
        )


def fits(bodies: Sequence[bytes]) -> bool:
    """Whether records are few and small, and hold no NUL, which no literal can hold."""
    return (
        len(bodies) <= RECORDS
        and sum(map(len, bodies)) <= CHARACTERS
        and not any(rb"\u0000" in body for body in bodies)
    )


# -- events ----------------------------------------------------------------------------------------


def _events(con: duckdb.DuckDBPyConnection, bodies: Sequence[bytes], changed: Changed) -> set[str]:
    """Add tries; the same event id again is the same try, and the first record of it stands."""
    numbered = _unknown(con, [(nth, orjson.loads(body)) for nth, body in enumerate(bodies, 1)])
    named = read(con, _PATTERNS_BY_ID, {(event["pattern_id"],) for _, event in numbered})
    patterns = {name: row[0] for (name,), row in named.items()}
    # The pattern of one that was recorded while that was forgotten is not there.
    numbered = [(nth, event) for nth, event in numbered if event["pattern_id"] in patterns]
    contexts = _contexts(con, numbered, changed)
    events = [event for _, event in numbered]
    events.sort(key=lambda event: int(event["timestamp"]))
    places = [
        _Place(
            patterns[event["pattern_id"]],
            contexts.get(event.get("context_id")),
            _time(event["timestamp"]),
        )
        for event in events
    ]
    placed = list(zip(events, places, strict=True))
    insert(con, "event_rows", [_event_row(event, place) for event, place in placed])
    insert(con, "earlier_states", [row for event, place in placed for row in _pending(event, place)])
    changed.states.update(event["state"] for event in events)
    changed.times += [event["timestamp"] for event in events]
    moves = [(place, _amounts(event["state"], event.get("outcome"))) for event, place in placed]
    _count(con, moves, {row[0]: _Known(*row) for row in named.values()}, changed)
    return {event["pattern_id"] for event in events}


def _unknown(
    con: duckdb.DuckDBPyConnection, numbered: list[tuple[int, Body]]
) -> list[tuple[int, Body]]:
    """Leave out events whose id was given and is known; ids made here never come twice."""
    given = {event["event_id"] for _, event in numbered if event.get("given_id")}
    if not given:
        return numbered
    known = read(con, _EVENT_IDS, [(_key(event_id),) for event_id in given])
    first = {event["event_id"]: nth for nth, event in reversed(numbered)}
    return [
        (nth, event)
        for nth, event in numbered
        if not event.get("given_id")
        or ((_key(event["event_id"]),) not in known and first[event["event_id"]] == nth)
    ]


def _contexts(
    con: duckdb.DuckDBPyConnection, numbered: list[tuple[int, Body]], changed: Changed
) -> dict[Any, int]:
    """The numbers of the contexts by id, after adding the new ones."""
    found: dict[str, list[tuple[int, Body]]] = {}
    for nth, event in numbered:
        if event.get("context_id") is not None:
            found.setdefault(event["context_id"], []).append((nth, event))
    known = read(con, _CONTEXT_NUMBERS, [(name,) for name in found])
    numbers = {name: number for (name,), (number,) in known.items()}
    new = {name: events for name, events in found.items() if name not in numbers}
    if new:
        change, _, first = next_numbers(con)
        added = dict(zip(new, range(first, first + len(new)), strict=True))
        rows = [
            (
                added[name],
                name,
                events[0][1]["context"],
                _time(min(event["timestamp"] for _, event in events)),
                change + events[0][0],
            )
            for name, events in new.items()
        ]
        insert(con, "context_rows", rows)
        changed.add("contexts", [row[:3] for row in rows])
        numbers |= added
    return numbers


def _event_row(event: Body, place: _Place) -> Row:
    state, at, late = event["state"], place.timestamp, _resolved_at(event)
    return (
        event["event_id"],
        _key(event["event_id"]),
        place.pattern_no,
        place.context_no,
        at,
        state,
        event.get("outcome"),
        late or (at if state == "resolved" else None),
        late or at,
        _time(event["recorded_at"] if "recorded_at" in event else event["timestamp"]),
        event.get("session_id"),
        event.get("source"),
        event.get("channel"),
        event.get("files", []),
        event.get("tools", []),
        event.get("duration_ms"),
        event.get("cost"),
        event.get("prediction_id"),
        event.get("metadata", {}),
        state == "resolved" and _is_checked(event, event.get("channel")),
        event.get("import_id"),
        None,
    )


def _pending(event: Body, place: _Place) -> Iterable[Row]:
    """An event that came with a late outcome was pending before."""
    late = _resolved_at(event)
    if late is not None and late > place.timestamp:
        yield _key(event["event_id"]), *place, "pending", None, place.timestamp, late


def _resolved_at(event: Body) -> datetime | None:
    at = event.get("resolved_at")
    return None if at is None else _time(at)


def _is_checked(body: Body, channel: str | None) -> bool:
    """As ``schema.CHECKED`` has it."""
    return bool(body.get("checked", channel in CHECKING))


def _key(event_id: str) -> int:
    """What the engine calls ``md5_number_lower``."""
    return int.from_bytes(md5(event_id.encode(), usedforsecurity=False).digest()[8:], "little")


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _amounts(state: str, outcome: float | None) -> _Amounts:
    total = outcome or 0.0
    return _Amounts(int(state != "not_used"), int(state == "resolved"), total, total * total)


# -- outcomes --------------------------------------------------------------------------------------


def _resolutions(con: duckdb.DuckDBPyConnection, bodies: Sequence[bytes], changed: Changed) -> set[str]:
    """Give tries their outcome; a later resolution of the same try corrects the earlier one."""
    given: dict[Row, list[_Said]] = {}
    for body in map(orjson.loads, bodies):
        state = _State(body["state"], body["outcome"], _time(body["timestamp"]))
        given.setdefault((_key(body["event_id"]), body["event_id"]), []).append(
            _Said(state, body.get("checked"))
        )
    known = {key: row for key, row in read(con, _EVENTS, given).items() if key in given}
    said = {key: _standing(given[key], *row[4:6]) for key, row in known.items()}
    found = {key: row for key, row in known.items() if said[key]}
    if not found:
        return set()
    histories = {
        key: [_State(*row[6:]), *(item.state for item in said[key])] for key, row in found.items()
    }
    places = {key: _Place(*row[1:4]) for key, row in found.items()}
    _keep_earlier(con, places, histories)
    update(con, _OUTCOMES, {row[:1]: _outcome_row(said[key][-1]) for key, row in found.items()})
    moves = [
        (place, _difference(histories[key][0], histories[key][-1])) for key, place in places.items()
    ]
    changed.states.update(history[-1].state for history in histories.values())
    changed.states.subtract(history[0].state for history in histories.values())
    numbered = read(con, _PATTERNS_BY_NO, {place[:1] for place in places.values()})
    patterns = {number: _Known(*row) for (number,), row in numbered.items()}
    _count(con, moves, patterns, changed)
    _correct(con, moves, changed)
    return {pattern.name for pattern in patterns.values()}


def _standing(said: Iterable[_Said], channel: str | None, checked: bool) -> list[_Said]:
    """What is told against what a check found is left out (``fold._resolve``)."""
    standing = []
    for item in said:
        checks = channel in CHECKING if item.checks is None else item.checks
        if checks:
            checked = item.is_outcome
        if checks or not checked:
            standing.append(item._replace(checks=checks))
    return standing


def _outcome_row(said: _Said) -> Row:
    last, resolved = said.state, said.is_outcome
    since = last.since if resolved else None
    return last.state, last.outcome, since, last.since, resolved and bool(said.checks)


def _difference(before: _State, after: _State) -> _Amounts:
    return _amounts(*after[:2]).plus(_amounts(*before[:2]), -1)


def _keep_earlier(
    con: duckdb.DuckDBPyConnection,
    places: Mapping[Row, _Place],
    histories: Mapping[Row, list[_State]],
) -> None:
    """Keep what events were until now, for questions as of earlier times.

    What is said later holds from its own time on, also if that lies before
    the time of what was said earlier.
    """
    ends = {key[0]: min(state.since for state in said) for key, (_, *said) in histories.items()}
    shortened = {
        (row,): (ends[key],)
        for key, row, until in select(con, _EARLIER, [(key,) for key in ends])
        if until > ends[key]
    }
    update(con, _EARLIER_ENDS, shortened)
    ended = [
        (key[0], *places[key], *state, min(later.since for later in history[nth:]))
        for key, history in histories.items()
        for nth, state in enumerate(history[:-1], 1)
    ]
    insert(con, "earlier_states", [row for row in ended if row[-2] < row[-1]])


def _correct(con: duckdb.DuckDBPyConnection, moves: Moves, changed: Changed) -> None:
    if unused := {place.pattern_no for place, by in moves if by.used < 0}:
        correct_uses(con, listed(unused), changed)
    if untried := {place.pattern_no for place, by in moves if by.resolved < 0}:
        correct_tries(con, listed(untried), changed)


# -- counts ----------------------------------------------------------------------------------------


def _count(
    con: duckdb.DuckDBPyConnection, moves: Moves, patterns: Mapping[int, _Known], changed: Changed
) -> None:
    """Carry changes into days, cells and the counts of the ``patterns``, by number.

    Sums of outcomes stay between 0 and their count: taking back what was added
    leaves a rest of rounding, and a rate of -5e-17 is none.
    """
    if moves:
        _count_days(con, moves, changed)
        effective = _count_cells(con, moves, changed)
        _count_patterns(con, moves, patterns, effective, changed)


def _count_days(con: duckdb.DuckDBPyConnection, moves: Moves, changed: Changed) -> None:
    days = _summed(((place.timestamp.date(), place.pattern_no), by) for place, by in moves)
    known = read(con, _DAYS, days)
    counted = {}
    for key in days.keys() & known.keys():
        now = _Amounts(*known[key]).plus(days[key])
        counted[key] = (
            now.used,
            now.resolved,
            _between(now.outcome, now.resolved),
            max(0.0, now.square),
        )
    new = [key + by for key, by in sorted(days.items()) if key not in known]
    update(con, _DAYS, counted)
    insert(con, "days", new)
    now_there = (*new, *(key + row for key, row in counted.items()))
    changed.add("days", [(row[1], days_since(row[0]), *row[2:5]) for row in now_there])


def _count_cells(
    con: duckdb.DuckDBPyConnection, moves: Moves, changed: Changed
) -> dict[int, tuple[float, float]]:
    """Change the cells; return by how much each pattern's effective tries and their sum change."""
    moved = _summed((_cell(place), by) for place, by in moves)
    cells = {key: by for key, by in moved.items() if by.resolved or by.outcome}
    if not cells:
        return {}
    last = _last((_cell(place), place.timestamp) for place, by in moves if by.resolved > 0)
    known = read(con, _CELLS, cells)
    counted, new, effective = {}, [], dict[int, tuple[float, float]]()
    for key, by in cells.items():
        old_tries, old_total, old_last = known.get(key, (0, 0.0, None))
        tries, total = old_tries + by.resolved, old_total + by.outcome
        at = _later(old_last if old_tries > 0 else None, last.get(key))
        if key in known:
            counted[key] = tries, _between(total, tries), at
        else:
            new.append((*key, tries, total, at))
        changed.add_cells([_plain_cell(key, tries, _between(total, tries), at, old_tries)])
        worth, share = _worth(key, tries, total)
        old_worth, old_share = _worth(key, old_tries, old_total)
        more, more_share = effective.get(key[1], (0.0, 0.0))
        effective[key[1]] = more + (worth - old_worth), more_share + (share - old_share)
    update(con, _CELLS, counted)
    insert(con, "cells", new)
    return effective


def _plain_cell(key: Row, tries: int, total: float, at: datetime | None, before: int) -> Row:
    context, pattern, day = key
    numbered = NO_CONTEXT if context is None else context
    return numbered, pattern, days_since(day), tries, total, micros_since(at), before


def _count_patterns(
    con: duckdb.DuckDBPyConnection,
    moves: Moves,
    patterns: Mapping[int, _Known],
    gained: Mapping[int, tuple[float, float]],
    changed: Changed,
) -> None:
    sums = _summed(((place.pattern_no,), by) for place, by in moves)
    last = _last(((place.pattern_no,), place.timestamp) for place, by in moves if by.used > 0)
    counted, plain = {}, list[Row]()
    for key, by in sums.items():
        known = patterns[key[0]]
        more, more_total = gained.get(key[0], (0.0, 0.0))
        now = known._replace(
            used=known.used + by.used,
            resolved=known.resolved + by.resolved,
            total=_between(known.total + by.outcome, known.resolved + by.resolved),
            last_used_at=_later(known.last_used_at, last.get(key)),
            effective=max(0.0, known.effective + more),
            effective_total=_between(known.effective_total + more_total, known.effective + more),
        )
        counted[key] = now[2:8]
        plain.append((*now[:5], micros_since(now.last_used_at), *now[6:]))
    update(con, _PATTERNS, counted)
    changed.add("records", plain)


def _cell(place: _Place) -> Row:
    return place.context_no, place.pattern_no, place.timestamp.date()


def _worth(cell: Row, tries: int, total: float) -> tuple[float, float]:
    """How many effective tries a cell holds, as ``schema.WORTH`` says, and their sum of outcomes."""
    worth = tries if cell[0] is None else 2.0 * tries / (tries + 1)
    return worth, worth * total / tries if tries else 0.0


def _summed(changes: Iterable[tuple[Row, _Amounts]]) -> dict[Row, _Amounts]:
    sums: dict[Row, _Amounts] = {}
    for key, by in changes:
        sums[key] = sums[key].plus(by) if key in sums else by
    return sums


def _last(times: Iterable[tuple[Row, datetime]]) -> dict[Row, datetime]:
    last: dict[Row, datetime] = {}
    for key, at in times:
        last[key] = max(last.get(key, at), at)
    return last


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other


def _between(total: float, count: float) -> float:
    return max(0.0, min(total, count))


STEPS: Mapping[str, Callable[[duckdb.DuckDBPyConnection, Sequence[bytes], Changed], set[str]]] = {
    "event.recorded": _events,
    "event.resolved": _resolutions,
}
