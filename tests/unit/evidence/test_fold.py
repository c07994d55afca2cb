"""The fold against the same log applied to plain dictionaries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta
from random import Random
from typing import Any

import orjson
import pytest

from support.log import NOW, Log, apply, event, pattern, random_log, resolved
from support.reference import Sums, recompute
from whatworks import Prior, UsageEvent, checks
from whatworks.evidence import Evidence, fold, handful, questions
from whatworks.evidence.changed import Changed
from whatworks.redaction import UNKEYED
from whatworks.text import word_key
from whatworks.writer import event_of


def expected_events(log: Log) -> dict[str, UsageEvent]:
    """What the tries are after the log: the first record of each, its last outcome."""
    found: dict[str, UsageEvent] = {}
    for kind, body in log:
        if kind == "event.recorded":
            found.setdefault(body["event_id"], event_of(body))
        elif kind == "event.resolved":
            found[body["event_id"]] = replace(
                found[body["event_id"]],
                state=body["state"],
                outcome=body["outcome"],
                resolved_at=checks.moment_of(body["timestamp"])
                if body["state"] == "resolved"
                else None,
            )
    return found


def stored_sums(evidence: Evidence) -> dict[str, Sums]:
    """The counts as the tables hold them."""
    found = {}
    for name, number, used, count, total, last, effective, effective_sum in evidence.rows(
        "SELECT pattern_id, pattern_no, used, resolved, outcome_sum, last_used_at,"
        " effective, effective_sum FROM pattern_rows"
    ):
        days = evidence.rows(
            "SELECT day, used, resolved, outcome_sum FROM days WHERE pattern_no = ? AND used > 0",
            [number],
        )
        cells = evidence.rows(
            "SELECT context_id, day, tries, outcome_sum, last_at"
            " FROM cells LEFT JOIN context_rows USING (context_no)"
            " WHERE pattern_no = ? AND tries > 0",
            [number],
        )
        found[name] = Sums(
            used,
            count,
            pytest.approx(total, abs=1e-9),
            last and last.replace(tzinfo=UTC),
            pytest.approx(effective, abs=1e-9),
            pytest.approx(effective_sum, abs=1e-9),
            {day: (used, count, pytest.approx(total, abs=1e-9)) for day, used, count, total in days},
            {
                (name, day): (tries, pytest.approx(total, abs=1e-9), last.replace(tzinfo=UTC))
                for name, day, tries, total, last in cells
            },
        )
    return found


def assert_tables_agree(evidence: Evidence, log: Log) -> None:
    events = expected_events(log)
    stored = {item.event_id: item for item in questions.events_after(evidence, None)}
    assert stored == events
    expected = recompute(events.values())
    for name, sums in stored_sums(evidence).items():
        assert sums == expected.get(name, Sums()), name


@pytest.mark.parametrize("seed", range(12))
def test_every_count_is_that_of_a_plain_recomputation(
    open_evidence: Callable[[str], Evidence], seed: int
) -> None:
    random = Random(seed)
    log = random_log(random, 120)
    in_parts, at_once = open_evidence("parts"), open_evidence("whole")
    rest = list(log)
    while rest:
        size = random.choice([1, 3, 20, 60])
        apply(in_parts, rest[:size])
        rest = rest[size:]
    apply(at_once, log)
    assert_tables_agree(in_parts, log)
    assert_tables_agree(at_once, log)
    for query in (
        "SELECT pattern_id, pattern_type, description, metadata, created_at, prior_count,"
        " round(prior_sum, 9) FROM pattern_rows ORDER BY ALL",
        "SELECT context_id, text FROM context_rows ORDER BY ALL",
        "SELECT word, pattern_id, times, words"
        " FROM postings JOIN pattern_rows USING (pattern_no) ORDER BY ALL",
        "SELECT prior_id, success_rate, usage_count FROM prior_rows ORDER BY ALL",
    ):
        assert in_parts.rows(query) == at_once.rows(query)


@pytest.mark.parametrize("seed", range(4))
def test_a_large_batch_is_cut_without_changing_what_it_says(
    open_evidence: Callable[[str], Evidence], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(handful, "RECORDS", 0)
    for limit in ("PART_BYTES", "PATTERNS_BYTES"):
        monkeypatch.setattr(fold, limit, 700)  # of these records, one to three
    log = random_log(Random(seed), 120)
    evidence = open_evidence("cut")
    apply(evidence, log)
    assert_tables_agree(evidence, log)


@pytest.mark.parametrize(
    "of",
    [
        lambda n, text: event(f"e{n}", "p", 1.0, context=f"{n} {text}"),
        lambda n, text: pattern(f"p{n}", description=f"{n} {text}"),
    ],
    ids=["events", "patterns"],
)
def test_one_append_may_exceed_what_the_engine_reads_at_once(
    evidence: Evidence, of: Callable[[int, str], Any]
) -> None:
    apply(evidence, [pattern("p")])
    apply(evidence, [of(n, "x" * 60_000) for n in range(1_000)])
    counted = questions.counts(evidence)
    assert counted["events"] + counted["patterns"] == 1_001


def test_folding_reports_the_patterns_that_it_touched(evidence: Evidence) -> None:
    assert apply(evidence, [pattern("a"), pattern("b"), pattern("c")]) == {"a", "b", "c"}
    assert apply(evidence, [event("e", "a", None), pattern("b", "new")]) == {"a", "b"}
    assert apply(evidence, [resolved("e", 1.0)]) == {"a"}
    assert apply(evidence, [("prior.added", checks.prior(Prior("c", 0.5, 10, "o"), NOW, UNKEYED))]) == {
        "c"
    }
    assert (
        apply(evidence, [("prediction.made", {"prediction_id": "x", "recorded_at": 0, "context": "c"})])
        == set()
    )


def test_the_first_record_of_an_event_stands(evidence: Evidence) -> None:
    apply(evidence, [pattern("p"), event("e", "p", 1.0, context="first")])
    apply(evidence, [event("e", "p", 0.0, context="second"), event("e", "p", 0.0)])
    (stored,) = questions.events_after(evidence, None)
    assert (stored.outcome, stored.context) == (1.0, "first")
    assert evidence.one("SELECT count(*) FROM context_rows")[0] == 1


def test_the_last_outcome_of_an_event_stands(evidence: Evidence) -> None:
    apply(evidence, [pattern("p"), event("e", "p", None, context="here")])
    apply(evidence, [resolved("e", 0.0), resolved("e", 1.0)])
    apply(evidence, [resolved("e", 0.25)])
    assert questions.patterns(evidence, ["p"])["p"].success_rate == 0.25


def test_an_event_that_turns_out_not_used_was_no_use(evidence: Evidence) -> None:
    early = NOW - timedelta(days=9)
    apply(evidence, [pattern("p"), event("e1", "p", 1.0, timestamp=early), event("e2", "p", None)])
    apply(evidence, [resolved("e2", None, "not_used")])
    found = questions.patterns(evidence, ["p"])["p"]
    assert (found.usage_count, found.last_used_at) == (1, early)
    assert [item.resolved_at for item in questions.events_after(evidence, None)] == [early, None]
    apply(evidence, [resolved("e2", 0.0)])
    assert questions.patterns(evidence, ["p"])["p"].last_used_at == NOW


def test_the_outcome_of_an_unknown_event_is_passed_over(evidence: Evidence) -> None:
    assert apply(evidence, [pattern("p"), resolved("nobody", 1.0)]) == {"p"}
    assert questions.counts(evidence)["events"] == 0


def test_records_of_an_unknown_kind_are_left_to_a_newer_version(evidence: Evidence) -> None:
    assert apply(evidence, [("pattern.painted", {"colour": "red"}), pattern("p")]) == {"p"}


def test_a_replaced_pattern_keeps_its_tries_and_its_birth(evidence: Evidence) -> None:
    birth = NOW - timedelta(days=30)
    apply(evidence, [pattern("p", "old words", created_at=birth), event("e", "p", 1.0)])
    apply(evidence, [pattern("p", "new words", pattern_type="other", metadata={"a": 1})])
    found = questions.patterns(evidence, ["p"])["p"]
    assert (found.description, found.pattern_type, found.metadata) == ("new words", "other", {"a": 1})
    assert (found.created_at, found.usage_count, found.success_rate) == (birth, 1, 1.0)


def test_the_words_of_a_pattern_are_those_of_its_last_description(evidence: Evidence) -> None:
    apply(evidence, [pattern("p", "red red green"), pattern("q", "blue")])
    apply(evidence, [pattern("p", "green sky"), pattern("q", "blue")])
    rows = evidence.rows(
        "SELECT word, pattern_id, times, words FROM postings JOIN pattern_rows USING (pattern_no)"
    )
    assert sorted(rows) == sorted(
        [(word_key("green"), "p", 1, 2), (word_key("sky"), "p", 1, 2), (word_key("blue"), "q", 1, 1)]
    )


def test_only_a_new_description_waits_to_be_embedded(evidence: Evidence) -> None:
    def change() -> int:
        return int(evidence.one("SELECT change FROM pattern_rows WHERE pattern_id = 'p'")[0])

    apply(evidence, [pattern("p", "red"), pattern("q", "blue")])
    first = change()
    apply(evidence, [pattern("p", "red", metadata={"a": 1})])
    assert change() == first
    apply(evidence, [pattern("p", "green")])
    assert change() > evidence.one("SELECT max(change) FROM pattern_rows WHERE pattern_id = 'q'")[0]


def test_the_same_aggregate_twice_counts_once(evidence: Evidence) -> None:
    prior = ("prior.added", checks.prior(Prior("p", 0.5, 10, "o"), NOW, UNKEYED))
    apply(evidence, [pattern("p"), prior, prior])
    apply(evidence, [prior])
    found = questions.patterns(evidence, ["p"])["p"]
    assert (found.prior_count, found.prior_rate, found.usage_count) == (10, 0.5, 0)


def receipt(name: str, answers: int, *, padding: int = 0) -> tuple[str, dict[str, Any]]:
    promised = {"expected": 0.5, "low": 0.25, "high": 0.75, "n_effective": 3.0, "verdict": "x"}
    return "prediction.made", {
        "prediction_id": name,
        "recorded_at": checks.micros(NOW),
        "context": "here",
        "policy": "p/1",
        "answers": [{"pattern_id": f"p{n}"} | promised for n in range(answers)],
        "cells": [["x" * 100, "p", 0.5, 3, 0.5]] * (padding // 120),
    }


def test_what_a_receipt_promises_is_kept_apart_from_it(evidence: Evidence) -> None:
    apply(evidence, [receipt("a", 2), receipt("b", 0), receipt("c", 1)])
    rows = evidence.rows("SELECT * FROM answer_rows ORDER BY ALL")
    assert rows == [
        (name, pattern_id, 0.5, 0.25, 0.75, 3.0)
        for name, pattern_id in [("a", "p0"), ("a", "p1"), ("c", "p0")]
    ]
    assert questions.counts(evidence)["predictions"] == 3


def test_thousands_of_large_receipts_fit_into_one_batch(evidence: Evidence) -> None:
    """As many as come in one batch of a rebuild: read all at once, they need more than is allowed."""
    apply(evidence, [receipt(f"r{n}", 10, padding=8_000) for n in range(1_800)])
    assert questions.counts(evidence)["predictions"] == 1_800
    assert evidence.one("SELECT count(*) FROM answer_rows") == (18_000,)


def test_a_batch_that_fails_leaves_nothing_behind(evidence: Evidence) -> None:
    def step(con: Any) -> None:
        fold.apply(con, {"pattern.added": [orjson.dumps(pattern("p")[1])]}, Changed(wanted=False))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        evidence.write(step)
    assert questions.counts(evidence)["patterns"] == 0
