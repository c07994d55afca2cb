"""Many tries at once, checked field by field: what repeats is looked at once.

What comes out is what ``checks.event`` makes of each. It is asked itself about few, and where one of
many is not acceptable, so that the first of them is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain, repeat
from math import inf
from typing import Any, TypeVar

from whatworks import checks
from whatworks.errors import InvalidInputError
from whatworks.ids import content_id, uuid7s
from whatworks.records import NewEvent
from whatworks.redaction import Secrets

__all__ = ["events"]

# Below this many, making columns takes longer than it saves.
FEW = 8

_PLAIN = {str, type(None)}
_LISTS = {tuple, list}

Body = dict[str, Any]
T = TypeVar("T")


def events(
    given: Iterable[NewEvent | Mapping[str, Any]],
    now: datetime,
    secrets: Secrets,
    origin: Body,
) -> list[Body]:
    """The bodies of ``event.recorded`` records in order, with ``origin`` in each of them."""
    items = list(given)
    if len(items) >= FEW:
        try:
            columns = _columns([checks.made(NewEvent, item) for item in items], now, secrets)
        except InvalidInputError:
            pass
        else:
            columns |= {name: repeat(value) for name, value in origin.items()}
            return [
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=False)
            ]
    return [checks.event(item, now, secrets) | origin for item in items]


def _columns(given: Sequence[NewEvent], now: datetime, secrets: Secrets) -> dict[str, Iterable[object]]:
    pattern_ids = [item.pattern_id for item in given]
    sessions, predictions = [item.session_id for item in given], [item.prediction_id for item in given]
    outcomes = [_outcome(item.outcome) for item in given]
    contexts = _each([item.context for item in given], partial(checks.context, secrets=secrets))
    recorded_at = checks.micros(now)
    return {
        "event_id": _event_ids([item.event_id for item in given]),
        "given_id": [item.event_id is not None for item in given],
        "pattern_id": _each(pattern_ids, partial(checks.identifier, name="pattern_id")),
        "timestamp": [_time(item.timestamp, now, recorded_at) for item in given],
        "state": [
            checks.state(item.state, outcome) for item, outcome in zip(given, outcomes, strict=True)
        ],
        "outcome": outcomes,
        "context": contexts,
        "context_id": [None if text is None else content_id(text) for text in contexts],
        "session_id": _each(sessions, partial(checks.optional_identifier, name="session_id")),
        "files": _names([item.files for item in given], "files", secrets),
        "tools": _names([item.tools for item in given], "tools", secrets),
        "duration_ms": [_amount(item.duration_ms, "duration_ms") for item in given],
        "cost": [_amount(item.cost, "cost") for item in given],
        "prediction_id": _each(predictions, partial(checks.optional_identifier, name="prediction_id")),
        "metadata": [_metadata(item.metadata, secrets) for item in given],
        "recorded_at": repeat(recorded_at),
    }


def _each(values: Sequence[object], check: Callable[[object], T]) -> list[T]:
    """The checked values; texts that are equal are looked at once."""
    if not set(map(type, values)) <= _PLAIN:  # what is equal may differ, or have no hash
        return [check(value) for value in values]
    known = {value: check(value) for value in set(values)}
    return [known[value] for value in values]


def _event_ids(values: Sequence[object]) -> list[str]:
    new = iter(uuid7s(sum(value is None for value in values)))
    return [next(new) if value is None else checks.identifier(value, "event_id") for value in values]


def _time(value: object, now: datetime, recorded_at: int) -> int:
    return recorded_at if value is None else checks.micros(checks.moment(value, "timestamp", now))


def _outcome(value: object) -> float | None:
    if isinstance(value, float) and 0.0 <= value <= 1.0:
        return float(value) + 0.0  # -0.0 becomes 0.0
    return None if value is None else checks.outcome(value)


def _amount(value: object, name: str) -> float | None:
    if isinstance(value, float) and 0.0 <= value < inf:
        return float(value) + 0.0
    return None if value is None else checks.amount(value, name)


def _metadata(value: object, secrets: Secrets) -> dict[str, Any]:
    return {} if value.__class__ is dict and not value else checks.metadata(value, secrets)


def _names(values: Sequence[Any], name: str, secrets: Secrets) -> list[list[str]]:
    plain = all(value.__class__ in _LISTS and len(value) <= checks.MAX_ITEMS for value in values)
    items: list[object] = list(chain.from_iterable(values)) if plain else []
    if not plain or set(map(type, items)) != {str}:
        return [checks.names(value, name, secrets) for value in values]
    known = {item: checks.names([item], name, secrets)[0] for item in set(items)}
    return [[known[item] for item in value] for value in values]
