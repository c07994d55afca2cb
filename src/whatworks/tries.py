"""Many tries at once, checked field by field: what repeats is looked at once.

What comes out is what ``checks.event`` makes of each. It is asked itself about few, and where one of
many is not acceptable, so that the first of them is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache, partial
from itertools import chain
from operator import attrgetter
from sys import float_info
from typing import Any

from whatworks import checks
from whatworks.channels import CHECKING, UNVOUCHED
from whatworks.errors import InvalidInputError
from whatworks.frozen import maker
from whatworks.ids import content_id, uuid7s
from whatworks.records import NewEvent, UsageEvent
from whatworks.redaction import Secrets, prose

__all__ = ["Many", "many", "one_by_one"]

# Below this many, making columns takes longer than it saves.
FEW = 8
LARGEST = float_info.max

_PLAIN = {str, type(None)}
_LISTS = {tuple, list}
# What is left out of a record, where that is not ``None``.
_NOTHING: Mapping[str, object] = {"given_id": False, "files": (), "tools": ()}
_FIELDS = tuple(field.name for field in fields(NewEvent))
_RETURNED = tuple(field.name for field in fields(UsageEvent))

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Many:
    """Checked tries as columns: the fields of the bodies of ``event.recorded`` records, in their order.

    ``times`` are those of ``timestamp``; ``labels`` say which file all come from.
    """

    columns: dict[str, Sequence[Any]]
    times: Sequence[datetime]
    labels: list[str]

    @property
    def are_new(self) -> bool:
        """Whether all ids are made here: those never come twice."""
        return not any(self.columns["given_id"])

    def bodies(self, places: Iterable[int] | None = None) -> list[Body]:
        """The bodies of the tries, or of those at some places, with all fields."""
        names, columns = tuple(self.columns), self.columns.values()
        rows: Iterable[Sequence[Any]] = (
            zip(*columns, strict=True)
            if places is None
            else ([column[place] for column in columns] for place in places)
        )
        made = [dict(zip(names, row, strict=True)) for row in rows]
        for body in made:
            body["files"], body["tools"] = list(body["files"]), list(body["tools"])
            body["imported_from"] = self.labels
        return made

    def lines(self) -> list[bytes]:
        """The bodies as JSON, without what they do not say."""
        columns = dict(self.columns)
        at = zip(columns["recorded_at"], columns["timestamp"], strict=True)
        columns["metadata"] = [value or None for value in columns["metadata"]]
        columns["recorded_at"] = [came if came != time else None for came, time in at]
        if columns["channel"][0] in CHECKING:  # what is not found by a check there says so
            columns["checked"] = [
                checked if state == "resolved" else None
                for checked, state in zip(columns["checked"], columns["state"], strict=True)
            ]
        else:
            columns["checked"] = [checked or None for checked in columns["checked"]]
        if self.labels:
            columns["import_id"] = [content_id(*self.labels)] * len(self.times)
        row, encode = _coder(tuple(columns))
        return encode(list(map(row, *columns.values()))).split(b"\n")[:-1]

    def events(self) -> list[UsageEvent]:
        """The tries as they are returned."""
        columns, count = self.columns, len(self.times)
        came = checks.moment_of(columns["recorded_at"][0])
        known = columns | {
            "timestamp": self.times,
            # The caller may change it, a retry compares; most have none.
            "metadata": [deepcopy(value) if value else {} for value in columns["metadata"]],
            "resolved_at": [
                at if state == "resolved" else None
                for at, state in zip(self.times, columns["state"], strict=True)
            ],
            "recorded_at": [came if columns["channel"][0] in UNVOUCHED else None] * count,
            "imported_from": [tuple(self.labels)] * count,
        }
        return list(map(maker(UsageEvent), *map(known.__getitem__, _RETURNED)))


@cache
def _coder(names: tuple[str, ...]) -> tuple[Callable[..., object], Callable[[Iterable[object]], bytes]]:
    """What makes a row of columns of these names, and JSON lines of rows."""
    import msgspec

    row = msgspec.defstruct(
        "Row", [(name, Any, _NOTHING.get(name)) for name in names], omit_defaults=True, gc=False
    )
    # What is like a string, as of NumPy, is one.
    return row, msgspec.json.Encoder(enc_hook=str.__str__).encode_lines


def one_by_one(
    given: Iterable[NewEvent | Mapping[str, Any]],
    now: datetime,
    secrets: Secrets,
    origin: Body,
    *,
    checked: bool,
) -> list[Body]:
    """The bodies of ``event.recorded`` records in order, with ``origin`` in each of them.

    ``checked`` says whether checks found the outcomes.
    """
    bodies = [checks.event(item, now, secrets) | origin for item in given]
    for body in bodies:
        body["checked"] = checked and body["state"] == "resolved"
    return bodies


def many(
    given: Sequence[NewEvent | Mapping[str, Any]],
    now: datetime,
    secrets: Secrets,
    origin: Body,
    *,
    checked: bool,
) -> Many | None:
    """The same as columns; ``None`` where they are few, or one of them is not acceptable."""
    if len(given) < FEW:
        return None
    try:
        return _many([checks.made(NewEvent, item) for item in given], now, secrets, origin, checked)
    except InvalidInputError:
        return None


def _many(
    given: Sequence[NewEvent], now: datetime, secrets: Secrets, origin: Body, checked: bool
) -> Many:
    told = {name: list(map(attrgetter(name), given)) for name in _FIELDS}
    count, labels = len(given), origin["imported_from"]
    contexts, times = _contexts(told["context"], secrets), _times(told["timestamp"], now)
    outcomes = _numbers(told["outcome"], checks.outcome, most=1.0)
    states = [
        checks.state(state, outcome) for state, outcome in zip(told["state"], outcomes, strict=True)
    ]

    def identifiers(name: str) -> Sequence[str | None]:
        return _ids(told[name], partial(checks.optional_identifier, name=name))

    def amounts(name: str) -> Sequence[float | None]:
        return _numbers(told[name], partial(checks.amount, name=name), most=LARGEST)

    columns: dict[str, Sequence[Any]] = {
        "event_id": _event_ids(told["event_id"]),
        "given_id": [name is not None for name in told["event_id"]],
        "pattern_id": _ids(told["pattern_id"], partial(checks.identifier, name="pattern_id")),
        "timestamp": list(map(checks.micros, times)),
        "state": states,
        "outcome": outcomes,
        "context": contexts,
        "context_id": [None if text is None else content_id(text) for text in contexts],
        "session_id": identifiers("session_id"),
        "files": _names(told["files"], "files", secrets),
        "tools": _names(told["tools"], "tools", secrets),
        "duration_ms": amounts("duration_ms"),
        "cost": amounts("cost"),
        "prediction_id": identifiers("prediction_id"),
        "metadata": [_metadata(value, secrets) for value in told["metadata"]],
        "recorded_at": [checks.micros(now)] * count,
    }
    columns |= {name: [value] * count for name, value in origin.items() if name != "imported_from"}
    columns["checked"] = [checked and state == "resolved" for state in states]
    return Many(columns, times, labels)


def _ids(values: Sequence[Any], check: Callable[[object], str | None]) -> Sequence[str | None]:
    """As they are given, for so ids are kept; those that are equal are looked at once."""
    if not set(map(type, values)) <= _PLAIN:  # what is equal may differ, or have no hash
        return [check(value) for value in values]
    each = set(values)
    plain = [value for value in each if value and checks.is_plain(value, checks.MAX_ID_BYTES)]
    for value in each.difference(prose(plain)):
        check(value)
    return values


def _event_ids(values: Sequence[object]) -> list[str]:
    made = uuid7s(sum(value is None for value in values))
    if len(made) == len(values):
        return made
    new = iter(made)
    return [next(new) if value is None else checks.identifier(value, "event_id") for value in values]


def _contexts(values: Sequence[Any], secrets: Secrets) -> Sequence[str | None]:
    if not set(map(type, values)) <= _PLAIN:
        return [checks.context(value, secrets) for value in values]
    each = set(values)
    plain = [value for value in each if value and checks.is_plain(value, checks.MAX_TEXT_BYTES)]
    known: dict[Any, str | None] = {text: text.strip() for text in secrets.free(plain)}
    known |= {value: checks.context(value, secrets) for value in each.difference(known)}
    return list(map(known.__getitem__, values))


def _times(values: Sequence[Any], now: datetime) -> Sequence[datetime]:
    if all(value.__class__ is datetime and value.tzinfo is UTC and not value.fold for value in values):
        for value in (min(values), max(values)):
            checks.moment(value, "timestamp", now)
        return values
    moments = [now if value is None else checks.moment(value, "timestamp", now) for value in values]
    return [checks.moment_of(checks.micros(moment)) for moment in moments]


def _numbers(
    values: Sequence[Any], check: Callable[[object], float | None], most: float
) -> list[float | None]:
    """Numbers from 0 to ``most``, as ``check`` has them."""
    return [
        (value + 0.0 if value.__class__ is float and 0.0 <= value <= most else check(value))
        if value is not None
        else None
        for value in values
    ]


def _metadata(value: object, secrets: Secrets) -> dict[str, Any]:
    return {} if value.__class__ is dict and not value else checks.metadata(value, secrets)


def _names(values: Sequence[Any], name: str, secrets: Secrets) -> list[tuple[str, ...]]:
    plain = all(value.__class__ in _LISTS and len(value) <= checks.MAX_ITEMS for value in values)
    if not plain or not set(map(type, chain.from_iterable(values))) <= {str}:
        return [tuple(checks.names(value, name, secrets)) for value in values]
    given = list(map(tuple, values))
    known = {each: tuple(checks.names(each, name, secrets)) for each in set(given)}
    return list(map(known.__getitem__, given))
