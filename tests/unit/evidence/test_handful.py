"""A few records make the same tables as in a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isclose
from random import Random
from typing import Any

import orjson
import pytest

from support.log import ORIGIN, Log, apply, event, pattern, random_log, resolved
from whatworks import checks
from whatworks.evidence import Evidence, fold, handful, questions
from whatworks.evidence.changed import Changed

TABLES = (
    "pattern_rows", "postings", "context_rows", "event_rows", "earlier_states", "cells", "days",
    "prior_rows",
)  # fmt: skip
METADATA: list[dict[str, Any]] = [
    {"size": 1e16, "rate": 0.1, "small": 1e-7, "none": None},
    {"quoted": "it's", 'dou"ble': "\\ é 😀 \u0001", "nested": [1, {"b": [True]}]},
]


def varied(random: Random, log: Log) -> Log:
    """The same records with what ``random_log`` leaves out: details, odd texts, late outcomes."""
    return [(kind, body | _details(random, kind, body)) for kind, body in log]


def _details(random: Random, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if kind in ("event.recorded", "event.resolved") and body["outcome"] is not None:
        details["outcome"] = random.choice([body["outcome"], random.random()])
    if kind in ("event.recorded", "event.resolved"):
        details |= random.choice([{}, {"checked": True}, {"checked": False}])
    if kind == "event.resolved":
        details["timestamp"] = body["timestamp"] - random.choice([0, random.randrange(10**10)])
        details["event_id"] = random.choice([*[body["event_id"]] * 9, "nobody"])
    if kind == "event.recorded":
        details |= _of_event(random, body)
    return details


def _of_event(random: Random, body: dict[str, Any]) -> dict[str, Any]:
    context = random.choice([body["context"], "it's '; DROP TABLE days; -- \\ \n{}"])
    return {
        "pattern_id": random.choice([*[body["pattern_id"]] * 9, "nobody"]),
        "resolved_at": random.choice([None, None, body["timestamp"] + random.randrange(-5, 10**9)]),
        "context": context,
        "context_id": context and checks.content_id(context),
        "session_id": random.choice([None, "o'clock"]),
        "files": random.choice([[], ["a'b", "c,d", "[x]", "NULL", ""]]),
        "tools": random.choice([[], ["cargo"]]),
        "channel": random.choice([body.get("channel"), "hook"]),
        "duration_ms": random.choice([None, random.random() * 1e9]),
        "cost": random.choice([None, 1e-7]),
        "prediction_id": random.choice([None, "p"]),
        "metadata": random.choice([{}, *METADATA]),
    }


def alike(one: Any, other: Any) -> bool:
    """Equal, but for the last digits of sums: cells are not always added in one order."""
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-12, abs_tol=1e-12)
    return bool(one == other)


def in_order(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: [repr(value) for value in row])


@pytest.mark.parametrize("seed", range(8))
def test_a_few_records_make_the_same_tables_as_in_a_batch(
    open_evidence: Callable[[str], Evidence], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random = Random(seed)
    few, many = open_evidence("few"), open_evidence("many")
    rest = varied(random, random_log(random, 100))
    while rest:
        size = random.choice([1, 1, 3, 30])
        part, rest = rest[:size], rest[size:]
        monkeypatch.setattr(handful, "RECORDS", 0)
        touched = apply(many, part)
        monkeypatch.setattr(handful, "RECORDS", 1_000)
        assert apply(few, part) == touched
    for table in TABLES:
        ours, theirs = (in_order(ev.rows(f"SELECT * FROM {table}")) for ev in (few, many))
        assert len(ours) == len(theirs), table
        for row, other in zip(ours, theirs, strict=True):
            assert all(map(alike, row, other)), (table, row, other)


def test_one_event_is_folded_without_a_statement_over_the_batch(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(evidence, [pattern("p")])
    monkeypatch.setattr(fold, "_STEPS", dict.fromkeys(handful.STEPS))
    apply(evidence, [event("e", "p", None, context="here")])
    apply(evidence, [resolved("e", 1.0)])
    assert questions.patterns(evidence, ["p"])["p"].success_rate == 1.0


def test_what_no_literal_can_hold_goes_into_a_batch() -> None:
    body = orjson.dumps(event("e", "p", 1.0)[1])
    assert handful.fits([body])
    assert not handful.fits([body.replace(b'"e"', rb'"a\u0000b"')])
    assert not handful.fits([body] * (handful.RECORDS + 1))
    assert not handful.fits([b" " * (handful.CHARACTERS + 1)])


def test_what_was_taken_back_is_not_counted(evidence: Evidence) -> None:
    apply(evidence, [pattern("p")])
    kind, body = event("e", "p", 1.0, context="here")
    step, bodies = handful.STEPS[kind], [orjson.dumps(body | ORIGIN)]
    with pytest.raises(ZeroDivisionError):
        evidence.write(lambda con: (step(con, bodies, Changed(wanted=False)), 1 / 0))
    apply(evidence, [event("other", "p", 0.0, context="there")])
    assert evidence.rows("SELECT context_no, text FROM context_rows") == [(0, "there")]
    assert questions.patterns(evidence, ["p"])["p"].usage_count == 1
