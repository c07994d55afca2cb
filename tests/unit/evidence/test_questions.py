from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.log import NOW, apply, event, pattern, resolved
from whatworks import Prior, Where, checks
from whatworks.evidence import Evidence, cells, questions
from whatworks.ids import content_id
from whatworks.redaction import UNKEYED

HOSTILE = [
    "x' OR '1'='1",
    "'; DROP TABLE pattern_rows; --",
    'say "x"',
    "back\\slash",
    "$.a[*]",
    "%_",
    "{}[]",
    "a.b",
    "a b",
    "*",
    "模式",
    "🙂",
    "",
    "tab\t",
    "line\nend",
    "\x07",
    "?",
    "$1",
    "a/b",
    "~1",
    "0",
]


def matching(evidence: Evidence, **conditions: Any) -> set[str]:
    where = checks.where(conditions, NOW, UNKEYED)
    found = {item.pattern_id for item in questions.matching(evidence, where, 1_000)}
    if where is not None:
        assert set(questions.allowed(evidence, where)) == found
    return found


# -- patterns and conditions ------------------------------------------------------------------------


def test_patterns_are_found_by_their_ids(evidence: Evidence) -> None:
    ids = ["a", "it's", 'say "x"', "x' OR '1'='1", "../b", "模式", "a\\b", "%", "{}"]
    apply(evidence, [pattern(name, f"words of {n}") for n, name in enumerate(ids)])
    for n, name in enumerate(ids):
        found = questions.patterns(evidence, [name])
        assert list(found) == [name]
        assert found[name].description == f"words of {n}"
    assert set(questions.patterns(evidence, [*ids, "nobody"])) == set(ids)
    assert questions.known_patterns(evidence, ["a", "nobody", "x' OR '1'='2"]) == {"a"}
    assert questions.patterns(evidence, []) == {}


def test_conditions_all_hold_together(evidence: Evidence) -> None:
    early, late = NOW - timedelta(days=10), NOW - timedelta(days=1)
    apply(
        evidence,
        [
            pattern("old", pattern_type="a", created_at=early, metadata={"lang": "rust", "n": 1}),
            pattern("new", pattern_type="b", created_at=late, metadata={"lang": "rust", "n": 2}),
            pattern("bare", pattern_type="b", created_at=late),
            event("e1", "old", 1.0, timestamp=early),
            event("e2", "old", 1.0, timestamp=late),
            event("e3", "new", None, timestamp=early),
        ],
    )
    assert matching(evidence) == {"old", "new", "bare"}
    assert matching(evidence, pattern_type="a") == {"old"}
    assert matching(evidence, pattern_type=["a", "b"]) == {"old", "new", "bare"}
    assert matching(evidence, pattern_type=[]) == set()
    assert matching(evidence, metadata={"lang": "rust"}) == {"old", "new"}
    assert matching(evidence, metadata={"lang": "rust", "n": 2}) == {"new"}
    assert matching(evidence, created_after=late) == {"new", "bare"}
    assert matching(evidence, created_before=late) == {"old"}
    assert matching(evidence, used_after=late) == {"old"}
    assert matching(evidence, used_before=late) == {"new"}
    assert matching(evidence, min_usage=1) == {"old", "new"}
    assert matching(evidence, min_usage=2) == {"old"}
    assert matching(evidence, pattern_type="b", metadata={"lang": "rust"}, min_usage=1) == {"new"}


def test_a_missing_key_is_not_null(evidence: Evidence) -> None:
    apply(evidence, [pattern("null", metadata={"a": None}), pattern("bare")])
    assert matching(evidence, metadata={"a": None}) == {"null"}


@pytest.mark.parametrize(
    "value", [True, False, 0, 1, -1, 1.5, 1e300, 2**53 + 1, "1", "true", "null", None]
)
def test_a_value_in_metadata_is_compared_with_its_type(evidence: Evidence, value: Any) -> None:
    others = [
        v
        for v in (True, False, 0, 1, "1", "true", None, 1.5)
        if not (v == value and type(v) is type(value))
    ]
    apply(evidence, [pattern("same", metadata={"k": value})])
    apply(evidence, [pattern(f"other{n}", metadata={"k": v}) for n, v in enumerate(others)])
    assert matching(evidence, metadata={"k": value}) == {"same"}


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_no_text_in_a_condition_is_ever_more_than_a_text(evidence: Evidence, text: str) -> None:
    apply(
        evidence,
        [
            pattern("value", metadata={"key": text}),
            pattern("key", metadata={text: "value"}),
            pattern("other", metadata={"key": "other", "else": "value"}),
        ],
    )
    assert matching(evidence, metadata={"key": text}) == {"value"}
    assert matching(evidence, metadata={text: "value"}) == {"key"}
    if text.strip() and text.isprintable():
        assert matching(evidence, pattern_type=text) == set()


def test_patterns_come_newest_first_and_then_by_id(evidence: Evidence) -> None:
    apply(
        evidence,
        [
            pattern(name, created_at=NOW - timedelta(days=age))
            for name, age in [("b", 1), ("a", 1), ("c", 0)]
        ],
    )
    assert [item.pattern_id for item in questions.matching(evidence, None, 10)] == ["c", "a", "b"]
    assert [item.pattern_id for item in questions.matching(evidence, None, 2)] == ["c", "a"]
    assert [item.pattern_id for item in questions.patterns_after(evidence, None)] == ["a", "b", "c"]


@pytest.mark.parametrize("limit", [1, 7, 30, 200])
def test_the_newest_are_found_in_whatever_order_they_came(evidence: Evidence, limit: int) -> None:
    ages = random.Random(limit).choices(range(100), k=150)
    kinds = ["rare" if n % 20 == 0 else "usual" for n in range(len(ages))]
    bodies = [
        pattern(f"p{n:03}", pattern_type=kind, created_at=NOW - timedelta(days=age))
        for n, (age, kind) in enumerate(zip(ages, kinds, strict=True))
    ]
    for start in range(0, len(bodies), 40):
        apply(evidence, bodies[start : start + 40])
    tries = [
        event(f"e{n:03}", "p000", 1.0, timestamp=NOW - timedelta(days=a)) for n, a in enumerate(ages)
    ]
    for start in range(0, len(tries), 40):
        apply(evidence, tries[start : start + 40])
    order = sorted(range(len(ages)), key=lambda n: (ages[n], n))
    for kind in ("rare", "usual"):
        where = checks.where({"pattern_type": kind}, NOW, UNKEYED)
        found = [item.pattern_id for item in questions.matching(evidence, where, limit)]
        assert found == [f"p{n:03}" for n in order if kinds[n] == kind][:limit]
    newest = sorted(range(len(ages)), key=lambda n: (ages[n], -n))[:limit]
    assert [e.event_id for e in questions.events(evidence, limit=limit)] == [f"e{n:03}" for n in newest]


METADATA = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=8),
    max_size=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    evidence = Evidence(tmp_path_factory.mktemp("shared") / "evidence.duckdb")
    yield evidence
    evidence.close()


@given(st.text(min_size=1, max_size=20), METADATA)
def test_text_and_metadata_come_back_as_they_were_given(
    shared: Evidence, description: str, metadata: dict[str, Any]
) -> None:
    try:
        added = pattern("same", description, metadata=metadata)
    except ValueError:
        return
    apply(shared, [added])
    found = questions.patterns(shared, ["same"])["same"]
    assert found.description == description.strip()
    assert found.metadata == metadata
    assert all(type(found.metadata[key]) is type(value) for key, value in metadata.items())
    for key, value in metadata.items():
        assert matching(shared, metadata={key: value}) == {"same"}, (key, value)


# -- events -----------------------------------------------------------------------------------------


def test_events_come_newest_first(evidence: Evidence) -> None:
    times = [NOW - timedelta(hours=h) for h in (5, 1, 3, 1)]
    apply(evidence, [pattern("p"), pattern("q")])
    apply(evidence, [event(f"e{n}", "pq"[n % 2], 1.0, timestamp=at) for n, at in enumerate(times)])
    assert [item.event_id for item in questions.events(evidence, limit=10)] == ["e3", "e1", "e2", "e0"]
    assert [item.event_id for item in questions.events(evidence, limit=2)] == ["e3", "e1"]
    assert [item.event_id for item in questions.events(evidence, pattern_id="p", limit=9)] == [
        "e2",
        "e0",
    ]
    assert [item.event_id for item in questions.events_after(evidence, None)] == [
        "e0",
        "e2",
        "e1",
        "e3",
    ]


def test_an_event_comes_back_whole(evidence: Evidence) -> None:
    given_ = event(
        "e",
        "p",
        0.25,
        context="error[E0432] \"quoted\" 'x' 模式",
        session_id="s",
        files=["a b.rs", "it's.rs", "ключ"],
        tools=["cargo, make"],
        duration_ms=0.1,
        cost=1e-9,
        prediction_id="x",
        metadata={"a": [1, {"b": None}]},
    )
    apply(evidence, [pattern("p"), given_])
    (found,) = questions.events_of(evidence, ["e"])
    assert (found.files, found.tools) == (("a b.rs", "it's.rs", "ключ"), ("cargo, make",))
    assert (found.duration_ms, found.cost, found.session_id, found.prediction_id) == (
        0.1,
        1e-9,
        "s",
        "x",
    )
    assert (found.context, found.metadata) == (
        "error[E0432] \"quoted\" 'x' 模式",
        {"a": [1, {"b": None}]},
    )
    assert (found.outcome, found.state, found.resolved_at) == (0.25, "resolved", NOW)


@pytest.mark.parametrize("name", ["it's", "x' OR '1'='1", "模式", 'a"b', "%"])
def test_events_are_found_by_their_exact_id(evidence: Evidence, name: str) -> None:
    apply(evidence, [pattern("p"), event("other", "p", 1.0), event(name, "p", 0.0)])
    assert [item.event_id for item in questions.events_of(evidence, [name, "nobody"])] == [name]


def leaders(evidence: Evidence, as_of: Any, limit: int = 9) -> list[int]:
    return cells.leaders(evidence, limit, prior=(0.2, 5.0), whole=(0.5, 15.0), as_of=as_of)


def days(evidence: Evidence, name: str, as_of: Any) -> list[questions.DayRow]:
    known = questions.number_of(evidence, name)
    return questions.days(evidence, known.number, as_of) if known else []


# -- as of ------------------------------------------------------------------------------------------


def test_what_happened_later_is_left_out(evidence: Evidence) -> None:
    day = timedelta(days=1)
    apply(
        evidence,
        [
            pattern("old", created_at=NOW - 9 * day),
            pattern("young", created_at=NOW - day),
            event("e1", "old", 1.0, timestamp=NOW - 8 * day, context="here"),
            event("e2", "old", None, timestamp=NOW - 7 * day, context="here"),
            event("e3", "old", 0.0, timestamp=NOW - 2 * day, context="here"),
            ("prior.added", checks.prior(Prior("old", 0.5, 10, "o", NOW - 3 * day), NOW, UNKEYED)),
        ],
    )
    apply(evidence, [resolved("e2", 0.0, at=NOW - 2 * day)])
    then = NOW - 5 * day

    whole = cells.population(evidence, then)
    assert (whole.patterns, whole.tries, whole.total, whole.cells) == (1, 1.0, 1.0, 1)
    assert whole.coverage == 0.5
    (cell,) = cells.neighbours(evidence, [content_id("here")], then)
    assert (cell.tries, cell.mean_outcome) == (1, 1.0)
    assert [tuple(row)[1:] for row in days(evidence, "old", then)] == [
        (1, 1, 1.0),
        (1, 0, 0.0),
    ]
    (record,) = cells.records(evidence, numbers=[], ids=["old"], as_of=then)
    assert (record.pattern_id, record.tries, record.total, record.prior_count) == ("old", 1.0, 1.0, 0)
    assert cells.records(evidence, numbers=[], ids=["young"], as_of=then) == []
    assert [len(leaders(evidence, moment)) for moment in (then, NOW)] == [1, 2]


@pytest.mark.parametrize("as_of", [None, NOW])
def test_leaders_are_best_by_their_own_record_shrunk_and_ties_go_by_id(
    evidence: Evidence, as_of: Any
) -> None:
    apply(evidence, [pattern(name) for name in ("c", "b", "a", "good", "lucky", "bad", "told")])
    tries = [event(f"g{n}", "good", 1.0, context=f"{n}") for n in range(9)]
    tries += [event(f"b{n}", "bad", 0.0, context=f"{n}") for n in range(9)]
    told = ("prior.added", checks.prior(Prior("told", 1.0, 10, "o", NOW), NOW, UNKEYED))
    apply(evidence, [*tries, event("l", "lucky", 1.0), told])
    names = {
        row.pattern_no: row.pattern_id
        for row in cells.records(evidence, numbers=range(9), ids=[], as_of=as_of)
    }
    found = [[names[n] for n in leaders(evidence, as_of, limit)] for limit in (1, 3, 5, 99)]
    assert found[0] == ["good"]
    assert found[1] == ["good", "told", "lucky"]
    assert found[2] == ["good", "told", "lucky", "a", "b"]
    assert found[3] == ["good", "told", "lucky", "a", "b", "c", "bad"]


def test_as_of_now_is_now(evidence: Evidence) -> None:
    contexts = ["here", "there", None]
    apply(evidence, [pattern(f"p{n}") for n in range(4)])
    apply(
        evidence,
        [
            event(f"e{n}", f"p{n % 4}", (n % 5) / 4 if n % 7 else None, context=contexts[n % 3])
            for n in range(60)
        ],
    )
    assert cells.population(evidence, NOW) == pytest.approx(cells.population(evidence, None))
    near = [content_id("here"), content_id("there")]
    assert cells.neighbours(evidence, near, NOW) == cells.neighbours(evidence, near, None)
    assert days(evidence, "p1", NOW) == days(evidence, "p1", None)


def test_a_store_without_events_has_empty_answers(evidence: Evidence) -> None:
    for as_of in (None, NOW):
        assert cells.population(evidence, as_of) == (0, 0, 0, 0, 0, 0, None)
        assert cells.neighbours(evidence, [], as_of) == []
        assert days(evidence, "p", as_of) == []
    assert questions.receipt(evidence, "nobody") is None
    assert questions.context_texts(evidence, ["nobody"]) == {}
    counts = questions.counts(evidence)
    assert {value for value in counts.values() if value is not None} == {0}


def test_a_where_without_conditions_allows_everything(evidence: Evidence) -> None:
    apply(evidence, [pattern("a"), pattern("b")])
    assert sorted(questions.allowed(evidence, Where())) == ["a", "b"]
