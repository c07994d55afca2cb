from __future__ import annotations

import math
from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatworks import InvalidInputError, NewEvent, NewPattern, Prior, Where, checks
from whatworks.ids import content_id
from whatworks.redaction import Secrets

SECRETS = Secrets("a store")
NOW = datetime(2025, 3, 14, 12, 0, tzinfo=UTC)
DEEP: list[Any] = []
for _ in range(200_000):
    DEEP = [DEEP]

HIDDEN_TEXTS = [
    pytest.param("nul \x00", id="NUL"),
    pytest.param("half \ud800", id="lone surrogate"),
    pytest.param("bell \x07", id="control"),
    pytest.param("delete \x7f", id="delete"),
    pytest.param("C1 \x9b31m", id="C1 control"),
    pytest.param("bidi \u202e", id="bidi override"),
    pytest.param("isolate \u2066", id="bidi isolate"),
]
NO_TEXTS = [
    pytest.param("", id="empty"),
    pytest.param(" \n\t", id="blank"),
    pytest.param("x" * 10_000_000, id="10 MB"),
    pytest.param("é" * 40_000, id="80 KB in UTF-8"),
    pytest.param(None, id="None"),
    pytest.param(5, id="number"),
    pytest.param(b"bytes", id="bytes"),
    *HIDDEN_TEXTS,
]
NO_IDS = [
    pytest.param("two\nlines", id="newline"),
    pytest.param("a\tb", id="tab"),
    pytest.param("a\u2028b", id="line separator"),
    pytest.param("x" * 513, id="513 bytes"),
    *NO_TEXTS,
]
GOOD_IDS = [
    "a",
    "it's",
    'say "x"',
    "../../etc/passwd",
    "a/b\\c",
    "x' OR '1'='1",
    "%s{}$1;--",
    "模式 1",
    "🙂",
]
NO_OUTCOMES = [
    -0.1, 1.1, -1e-12, 1 + 1e-12, math.nan, math.inf, -math.inf, "1", "0.5", b"1", [1], {}, object(),
    1j, Decimal("0.5"), 10**400, Fraction(10**400), np.float32("nan"), np.array([0.5]),
]  # fmt: skip


# -- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", NO_TEXTS)
def test_a_text_that_cannot_be_shown_or_kept_is_refused(value: object) -> None:
    with pytest.raises(
        InvalidInputError, match=r"^description .*expected|^description has [0-9,]+ bytes"
    ):
        checks.pattern({"description": value}, NOW, SECRETS)


@pytest.mark.parametrize(
    "value", ["tab\there", "two\nlines\r\n", "émigré", "🙂", "a\u200bb", "\ufffd\uffff"]
)
def test_printable_text_of_any_script_is_kept(value: str) -> None:
    assert checks.text(value, "description", SECRETS) == value


def test_a_text_of_exactly_64_kib_is_kept() -> None:
    assert checks.text("x" * 65_536, "description", SECRETS)
    with pytest.raises(InvalidInputError, match="65,537 bytes"):
        checks.text("x" * 65_537, "description", SECRETS)


def test_the_error_says_where_the_hidden_character_is() -> None:
    with pytest.raises(InvalidInputError, match=r"U\+202E at position 4.*clean_text"):
        checks.text("abc \u202edef", "context", SECRETS)


@pytest.mark.parametrize("value", NO_IDS)
def test_an_id_must_be_one_line_of_printable_text(value: object) -> None:
    with pytest.raises(InvalidInputError, match=r"^pattern_id "):
        checks.identifier(value, "pattern_id")


@pytest.mark.parametrize("value", GOOD_IDS)
def test_ids_are_opaque_and_stay_as_they_are(value: str) -> None:
    assert checks.identifier(value, "pattern_id") == value


def test_terminal_colours_are_taken_out_of_a_context() -> None:
    assert checks.context("\x1b[31merror\x1b[0m ", SECRETS) == "error"
    assert checks.context(None, SECRETS) is None
    with pytest.raises(InvalidInputError, match="empty"):
        checks.context("\x1b[31m\x1b[0m", SECRETS)


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_every_text_is_kept_as_it_is_or_refused(value: str) -> None:
    try:
        assert checks.text(value, "description", SECRETS) == value
    except InvalidInputError:
        return
    value.encode()


@given(st.one_of(st.binary(), st.integers(), st.floats(), st.lists(st.text()), st.text()))
def test_a_value_in_an_error_is_one_short_line(value: object) -> None:
    shown = checks.shown(value)
    assert len(shown) <= 60
    assert shown.isprintable()


# -- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", NO_OUTCOMES, ids=lambda value: repr(value)[:20])
def test_an_outcome_must_be_a_number_from_0_to_1(value: object) -> None:
    with pytest.raises(InvalidInputError, match=r"^outcome is .*expected a number"):
        checks.outcome(value)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (0, 0.0), (1, 1.0), (0.25, 0.25), (True, 1.0), (False, 0.0), (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5), (np.int64(1), 1.0), (5e-324, 5e-324),
    ],
)  # fmt: skip
def test_an_outcome_is_any_real_number_in_range(value: Any, kept: float) -> None:
    assert checks.outcome(value) == kept
    assert type(checks.outcome(value)) is float


def test_minus_zero_becomes_zero() -> None:
    assert math.copysign(1, checks.outcome(-0.0)) == 1


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "5", True, 10**400, [], 1j])
def test_an_amount_must_be_finite_and_not_negative(value: Any) -> None:
    for name in ("duration_ms", "cost"):
        with pytest.raises(InvalidInputError, match=f"^{name} is"):
            checks.event(NewEvent("p", outcome=1, **{name: value}), NOW, SECRETS)


@pytest.mark.parametrize("value", [0, -1, 1_000_001, 1.0, "10", None, True, 10**400])
def test_a_limit_must_be_a_whole_number_from_1(value: object) -> None:
    with pytest.raises(InvalidInputError, match=r"^limit is .* from 1 to 1,000,000"):
        checks.limit(value)


def test_limits_are_inclusive() -> None:
    assert (checks.limit(1), checks.limit(1_000_000)) == (1, 1_000_000)


# -- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(datetime(2025, 1, 1), id="naive"),
        pytest.param(NOW + timedelta(days=1, microseconds=1), id="more than a day ahead"),
        pytest.param(
            datetime(9999, 12, 31, 23, 59, tzinfo=timezone(-timedelta(hours=12))), id="overflow"
        ),
        pytest.param(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), id="before 1970"),
        pytest.param(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), id="underflow"),
        pytest.param("2025-01-01T00:00:00Z", id="text"),
        pytest.param(1_700_000_000, id="number"),
        pytest.param(NOW.date(), id="date"),
    ],
)
def test_a_time_must_be_aware_and_not_in_the_future(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^timestamp is"):
        checks.event(NewEvent("p", outcome=1, timestamp=value), NOW, SECRETS)


def test_times_are_kept_in_utc_to_the_microsecond() -> None:
    local = datetime(2025, 3, 14, 1, 2, 3, 456_789, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    kept = checks.event(NewEvent("p", outcome=1, timestamp=local), NOW, SECRETS)["timestamp"]
    assert checks.moment_of(kept) == local
    assert checks.moment_of(kept).utcoffset() == timedelta(0)


@given(st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)))
def test_microseconds_since_1970_are_exact(value: datetime) -> None:
    aware = value.replace(tzinfo=UTC)
    assert checks.moment_of(checks.micros(aware)) == aware


# -- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([], id="list"),
        pytest.param("{}", id="text"),
        pytest.param(0, id="zero"),
        pytest.param({"x": math.nan}, id="NaN"),
        pytest.param({"x": [math.inf]}, id="infinity inside"),
        pytest.param({"x": {1, 2}}, id="set"),
        pytest.param({"x": b"bytes"}, id="bytes"),
        pytest.param({"x": NOW}, id="datetime"),
        pytest.param({"x": Path("/")}, id="path"),
        pytest.param({"x": Decimal(1)}, id="Decimal"),
        pytest.param({"x": np.zeros(2)}, id="array"),
        pytest.param({"x": np.int64(1)}, id="NumPy integer"),
        pytest.param({"x": object()}, id="object"),
        pytest.param({"x": 2**63}, id="large integer"),
        pytest.param({"x": 10**5_000}, id="5,001 digits"),
        pytest.param({1: "x"}, id="key is no text"),
        pytest.param({"x": {None: 1}}, id="key inside is no text"),
        pytest.param({"x": "\ud800"}, id="lone surrogate"),
        pytest.param({"\ud800": 1}, id="lone surrogate in a key"),
        pytest.param({"x": "a\x00b"}, id="NUL"),
        pytest.param({"x": DEEP}, id="200,000 levels"),
        pytest.param({"x": "y" * 65_536}, id="too long"),
        pytest.param({str(n): n for n in range(20_000)}, id="too many keys"),
    ],
)
def test_metadata_must_be_a_json_object(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="metadata"):
        checks.pattern(NewPattern("d", metadata=value), NOW, SECRETS)


def test_a_loop_in_metadata_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(InvalidInputError, match="nested more than 32 deep"):
        checks.metadata(loop, SECRETS)


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value",
    [
        {"a": MappingProxyType({"b": 1})},
        UserDict({"a": {"b": 1}}),
        OrderedDict(a={"b": 1}),
        {"a": UserDict(b=1)},
    ],
)
def test_any_mapping_is_a_json_object(value: Any) -> None:
    assert checks.metadata(value, SECRETS) == {"a": {"b": 1}}


@pytest.mark.parametrize("value", [{"a": (1, 2)}, {"a": Point(1, 2)}, {"a": [1.0, np.float64(2)]}])
def test_sequences_and_floats_of_other_kinds_are_json_too(value: Any) -> None:
    assert orjson.dumps(checks.metadata(value, SECRETS)["a"]) in (b"[1,2]", b"[1.0,2.0]")


def test_metadata_is_a_copy_to_its_depth() -> None:
    given = {"tags": ["a"]}
    kept = checks.metadata(given, SECRETS)
    given["tags"].append("b")
    assert kept == {"tags": ["a"]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_every_json_object_is_kept_as_it_is_or_refused(value: dict[str, Any]) -> None:
    try:
        kept = checks.metadata(value, SECRETS)
    except InvalidInputError:
        return
    assert kept == value
    assert orjson.loads(orjson.dumps(kept)) == value


@pytest.mark.parametrize(
    "value", ["one", 5, None, {"a"}, [5], [""], ["x" * 5_000], ["a\x00"], ["a"] * 1_001]
)
def test_files_and_tools_must_be_lists_of_texts(value: Any) -> None:
    for name in ("files", "tools"):
        with pytest.raises(InvalidInputError, match=name):
            checks.event(NewEvent("p", outcome=1, **{name: value}), NOW, SECRETS)


# -- records --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "state", "kept"),
    [
        (1.0, None, "resolved"),
        (None, None, "pending"),
        (0.0, "resolved", "resolved"),
        (None, "not_used", "not_used"),
        (None, "unknown", "unknown"),
        (None, "pending", "pending"),
    ],
)
def test_the_state_goes_with_the_outcome(result: float | None, state: Any, kept: str) -> None:
    assert checks.event(NewEvent("p", outcome=result, state=state), NOW, SECRETS)["state"] == kept


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (None, "resolved"),
        (1.0, "pending"),
        (0.0, "unknown"),
        (0.0, "not_used"),
        (1.0, "done"),
        (1.0, 5),
        (None, []),
    ],
)
def test_a_state_that_contradicts_the_outcome_is_refused(result: float | None, state: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^state is"):
        checks.event(NewEvent("p", outcome=result, state=state), NOW, SECRETS)


@pytest.mark.parametrize("state", [None, "pending", "resolved", "done"])
def test_a_resolution_needs_an_outcome_or_a_reason(state: Any) -> None:
    with pytest.raises(InvalidInputError, match="resolve needs an outcome"):
        checks.resolution("e", None, state, None, NOW)


def test_a_mapping_stands_for_a_record() -> None:
    body = checks.event({"pattern_id": "p", "outcome": 1, "event_id": "e"}, NOW, SECRETS)
    assert (body["pattern_id"], body["outcome"], body["given_id"]) == ("p", 1.0, True)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (checks.event, {"pattern_id": "p", "outcom": 1}),
        (checks.event, {"outcome": 1}),
        (checks.event, "p"),
        (checks.event, None),
        (checks.event, NewPattern("d")),
        (checks.pattern, {"descriptoin": "d"}),
        (checks.pattern, 5),
        (checks.pattern, {}),
        (checks.prior, {"pattern_id": "p"}),
        (checks.where, {"types": "x"}),
        (checks.where, ["x"]),
    ],
)
def test_a_misspelt_or_missing_field_is_refused(check: Callable[..., Any], value: object) -> None:
    with pytest.raises(InvalidInputError, match=r"has no field|is incomplete|expected"):
        check(value, NOW, SECRETS)


def test_the_id_of_a_pattern_follows_from_what_it_says() -> None:
    given = NewPattern(" try again ", pattern_type="retry")
    assert checks.pattern(given, NOW, SECRETS)["pattern_id"] == content_id("retry", "try again")
    assert checks.pattern("try again", NOW, SECRETS)["pattern_id"] == content_id("general", "try again")


def test_an_event_without_an_id_gets_a_new_one_each_time() -> None:
    one, other = (checks.event(NewEvent("p", outcome=1), NOW, SECRETS) for _ in range(2))
    assert one["event_id"] != other["event_id"]
    assert not one["given_id"]


@pytest.mark.parametrize(
    "value",
    [
        Prior("p", 1.5, 10, "o"), Prior("p", math.nan, 10, "o"), Prior("p", 0.5, -1, "o"),
        Prior("p", 0.5, 1.5, "o"), Prior("p", 0.5, 10**13, "o"), Prior("p", 0.5, 10, ""),  # type: ignore[arg-type]
        Prior("", 0.5, 10, "o"), Prior("p", "0.5", 10, "o"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_an_aggregate_is_a_rate_and_a_count_of_a_pattern(value: Prior) -> None:
    with pytest.raises(InvalidInputError):
        checks.prior(value, NOW, SECRETS)


def test_an_aggregate_of_the_same_origin_is_the_same_aggregate() -> None:
    one, other = (checks.prior(Prior("p", rate, 10, "file"), NOW, SECRETS) for rate in (0.5, 0.6))
    assert (
        one["prior_id"]
        == other["prior_id"]
        != checks.prior(Prior("p", 0.5, 10, "x"), NOW, SECRETS)["prior_id"]
    )


# -- conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {"pattern_type": 5}, {"pattern_type": [""]}, {"pattern_type": {"a"}}, {"min_usage": -1},
        {"min_usage": 1.5}, {"metadata": {"a": [1]}}, {"metadata": {"a": {"b": 1}}},
        {"metadata": {"a": math.nan}}, {"metadata": [1]}, {"metadata": {5: 1}},
        {"created_after": datetime(2025, 1, 1)}, {"used_before": "yesterday"},
    ],
    ids=str,
)  # fmt: skip
def test_a_condition_must_be_typed(value: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        checks.where(value, NOW, SECRETS)


def test_a_bound_may_lie_in_the_future() -> None:
    bound = NOW + timedelta(days=400)
    made = checks.where(Where(used_before=bound), NOW, SECRETS)
    assert made is not None
    assert made.used_before == bound


def test_one_type_is_a_list_of_one_type_and_no_types_are_none() -> None:
    made = [checks.where(Where(pattern_type=value), NOW, SECRETS) for value in ("a", ["a"], [], None)]
    assert [where.pattern_type for where in made if where] == [("a",), ("a",), (), None]


@pytest.mark.parametrize("value", ["abc", 5, [5], [""], object()])
def test_a_list_of_ids_must_be_one(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="candidates"):
        checks.unique(value, "candidates")


def test_ids_given_twice_are_asked_once_in_order() -> None:
    assert checks.unique(iter(["b", "a", "b"]), "candidates") == ["b", "a"]
    assert checks.unique(None, "candidates") is None
