"""A batch is checked as its tries are one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatworks import InvalidInputError, NewEvent, checks, tries
from whatworks.redaction import Secrets

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ORIGIN = {"source": "local", "channel": "library", "imported_from": []}
KEY = "AKIA" + "QWERTYUIOPASDFGH"


class Text(str):
    """What is a text, and another class."""


_texts = st.sampled_from(
    ["a", "b", " b ", "zwei Wörter", f"uses {KEY} here", "password: hunter2hunter2", "", "  ", "a\x00",
     "\x1b[31mred\x1b[0m", "two\nlines", "x" * 600, Text("a"), "- item --token abc1defg2h"]
)  # fmt: skip
_odd = st.sampled_from([5, 1.5, b"a", ["a"], {"a": 1}, True, float("nan"), float("inf"), -0.0, -1, 0])
_numbers = st.none() | st.floats(-0.5, 1.5) | st.sampled_from([0, 1, True, -0.0, 0.0])
_times = st.sampled_from(
    [NOW, NOW - timedelta(days=3), NOW.astimezone(timezone(timedelta(hours=2))),
     NOW.replace(tzinfo=None), NOW + timedelta(days=3), datetime(1960, 1, 1, tzinfo=UTC)]
)  # fmt: skip
_lists = st.lists(_texts, max_size=3) | st.lists(_texts, max_size=2).map(tuple) | _texts
_fields: Mapping[str, st.SearchStrategy[Any]] = {
    "pattern_id": st.none() | _texts,
    "outcome": _numbers,
    "context": st.none() | _texts,
    "state": st.sampled_from([None, "pending", "resolved", "not_used", "unknown", "done"]),
    "timestamp": st.none() | _times,
    "event_id": st.none() | _texts,
    "session_id": st.none() | _texts,
    "files": _lists,
    "tools": _lists,
    "duration_ms": _numbers,
    "cost": _numbers,
    "prediction_id": st.none() | _texts,
    "metadata": st.just({}) | st.dictionaries(_texts, _texts | _odd, max_size=2),
}
_changes = st.fixed_dictionaries(
    {}, optional={name: st.one_of(field, field, field, _odd) for name, field in _fields.items()}
)
_plain = st.fixed_dictionaries(
    {"pattern_id": st.sampled_from("pq"), "outcome": st.sampled_from([0.0, 1.0, 0.5])},
    optional={
        "context": st.sampled_from(["here", f"with {KEY}", "two\nlines"]),
        "files": st.lists(st.sampled_from(["a.py", "b.py", f"{KEY}.py"]), max_size=3),
        "timestamp": st.sampled_from([NOW, NOW - timedelta(microseconds=1)]),
        "duration_ms": st.sampled_from([0, 0.0, -0.0, 3, 2.5]),
        "metadata": st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), max_size=2),
    },
)


def one_by_one(items: list[Any], secrets: Secrets) -> list[dict[str, Any]]:
    return [checks.event(item, NOW, secrets) | ORIGIN for item in items]


def outcome(make: Callable[..., Any]) -> tuple[object, ...]:
    """What is made, but for ids that are new; or how it fails."""
    try:
        bodies = make()
    except InvalidInputError as error:
        return (str(error),)
    return tuple(
        repr({name: value for name, value in body.items() if name != "event_id" or body["given_id"]})
        for body in bodies
    )


def agree(items: list[Any]) -> None:
    secrets = Secrets("store")
    expected = outcome(lambda: one_by_one(items, Secrets("store")))
    assert outcome(lambda: tries.events(iter(items), NOW, secrets, ORIGIN)) == expected


@given(st.lists(_plain, min_size=tries.FEW, max_size=20))
def test_a_batch_is_checked_as_its_tries_are_one_by_one(items: list[dict[str, Any]]) -> None:
    agree(items)
    agree([NewEvent(**item) for item in items])


@given(st.lists(_plain, min_size=tries.FEW, max_size=12), _changes, st.data())
@settings(max_examples=300)
def test_one_odd_try_among_many_is_taken_or_refused_as_if_it_were_alone(
    items: list[dict[str, Any]], change: dict[str, Any], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(items) - 1))
    items[place] = items[place] | change
    agree([NewEvent(**item) for item in items])


@pytest.mark.parametrize("item", [None, "p", {"pattern_id": "p", "outcom": 1}, {"outcome": 1}])
def test_one_that_is_no_try_is_refused_among_many(item: Any) -> None:
    with pytest.raises(InvalidInputError):
        tries.events([NewEvent("p", 1.0)] * tries.FEW + [item], NOW, Secrets("store"), ORIGIN)


def test_the_first_of_a_batch_that_is_wrong_is_named() -> None:
    items = [NewEvent("p", 1.0) for _ in range(20)]
    items[5] = NewEvent("p", 1.0, files=["\x00"])
    items[9] = NewEvent("", 2.0)
    with pytest.raises(InvalidInputError, match="an item of files"):
        tries.events(items, NOW, Secrets("store"), ORIGIN)


def test_ids_of_a_batch_are_in_its_order() -> None:
    made = tries.events([NewEvent("p", 1.0) for _ in range(10_000)], NOW, Secrets("store"), ORIGIN)
    ids = [body["event_id"] for body in made]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
