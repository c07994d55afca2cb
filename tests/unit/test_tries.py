"""A batch is checked as its tries are one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatworks import InvalidInputError, NewEvent, tries
from whatworks.channels import CHECKING, UNVOUCHED
from whatworks.redaction import Secrets
from whatworks.writer import _lean, events_of

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
_origins = st.fixed_dictionaries(
    {
        "source": st.just("local"),
        "channel": st.sampled_from(["library", *UNVOUCHED, *CHECKING]),
        "imported_from": st.sampled_from([[], ["import:a.json@12", "import:b.json@34"]]),
    }
)


def one_by_one(items: list[Any], secrets: Secrets, *, checked: bool = False) -> list[dict[str, Any]]:
    return tries.one_by_one(items, NOW, secrets, ORIGIN, checked=checked)


def at_once(items: list[Any], secrets: Secrets) -> list[dict[str, Any]]:
    many = tries.many(items, NOW, secrets, ORIGIN, checked=False)
    return one_by_one(items, secrets) if many is None else many.bodies()


def outcome(make: Callable[..., Any]) -> tuple[object, ...]:
    """What is made, but for ids that are new; or how it fails."""
    try:
        bodies = make()
    except InvalidInputError as error:
        return (str(error),)
    return tuple(
        repr({name: body[name] for name in sorted(body) if name != "event_id" or body["given_id"]})
        for body in bodies
    )


def agree(items: list[Any]) -> None:
    secrets = Secrets("store")
    expected = outcome(lambda: one_by_one(items, Secrets("store")))
    assert outcome(lambda: at_once(items, secrets)) == expected


@given(st.lists(_plain, min_size=tries.FEW, max_size=20))
def test_a_batch_is_checked_as_its_tries_are_one_by_one(items: list[dict[str, Any]]) -> None:
    agree(items)
    agree([NewEvent(**item) for item in items])


@given(st.lists(_plain, min_size=tries.FEW, max_size=20), st.booleans(), _origins)
def test_a_batch_is_written_and_returned_as_its_bodies_are(
    items: list[dict[str, Any]], checked: bool, origin: dict[str, Any]
) -> None:
    many = tries.many(items, NOW, Secrets("store"), origin, checked=checked)
    assert many is not None
    assert many.are_new
    bodies = many.bodies()
    assert [orjson.loads(line) for line in many.lines()] == [_lean(body) for body in bodies]
    assert many.events() == events_of(bodies)
    assert many.bodies([1, 0]) == [bodies[1], bodies[0]]


def test_words_of_other_libraries_are_written_as_words() -> None:
    word = np.str_("p")
    names = ("pattern_id", "context", "event_id", "session_id", "prediction_id")
    item = {**dict.fromkeys(names, word), "files": [word], "tools": [word], "metadata": {"a": word}}
    origin = {"source": word, "channel": "library", "imported_from": []}
    many = tries.many([item] * tries.FEW, NOW, Secrets("store"), origin, checked=False)
    assert many is not None
    assert [orjson.loads(line) for line in many.lines()] == [_lean(body) for body in many.bodies()]


def test_what_is_returned_shares_nothing_with_what_was_given_or_written() -> None:
    given = {"pattern_id": "p", "metadata": {"a": {"b": 1}}}
    many = tries.many([given] * tries.FEW, NOW, Secrets("store"), ORIGIN, checked=False)
    assert many is not None
    made = many.events()
    made[0].metadata["a"]["b"] = 2
    assert given["metadata"] == {"a": {"b": 1}}
    assert made[1].metadata == many.bodies()[0]["metadata"] == {"a": {"b": 1}}


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
        at_once([NewEvent("p", 1.0)] * tries.FEW + [item], Secrets("store"))


def test_the_first_of_a_batch_that_is_wrong_is_named() -> None:
    items = [NewEvent("p", 1.0) for _ in range(20)]
    items[5] = NewEvent("p", 1.0, files=["\x00"])
    items[9] = NewEvent("", 2.0)
    with pytest.raises(InvalidInputError, match="an item of files"):
        at_once(items, Secrets("store"))


def test_ids_of_a_batch_are_in_its_order() -> None:
    made = at_once([NewEvent("p", 1.0) for _ in range(10_000)], Secrets("store"))
    ids = [body["event_id"] for body in made]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
