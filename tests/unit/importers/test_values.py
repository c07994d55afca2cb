from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatworks import InvalidInputError
from whatworks.readers import values

NOON = datetime(2025, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-07-01T12:00:00Z", NOON),
        ("2025-07-01t12:00:00z", NOON),
        ("2025-07-01T14:00:00+02:00", NOON),
        ("2025-07-01T12:00:00.9Z", NOON.replace(microsecond=900_000)),
        ("2025-07-01T12:00:00.123456789Z", NOON.replace(microsecond=123_456)),
        ("2025-07-01T12:00:00.999999999Z", NOON.replace(microsecond=999_999)),
    ],
)
def test_rfc3339_is_read_and_cut_to_microseconds(text: str, moment: datetime) -> None:
    assert values.rfc3339(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-07-01",
        "2025-07-01T12:00:00",
        "2025-07-01T12:00:00.1234567891Z",
        "2025-07-01T24:30:00Z",
        "2025-02-30T12:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "\uff12025-07-01T12:00:00Z",
        "1751328000",
    ],
)
def test_what_is_not_rfc3339_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="RFC 3339"):
        values.rfc3339(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", None),
        ("2025-07-01T12:00:00", NOON),
        ("2025-07-01 12:00:00", NOON),
        ("2025-07-01 14:00:00+02", NOON),
        ("2025-07-01 12:00:00.123456789", NOON.replace(microsecond=123_456)),
        ("2025-07-01", NOON.replace(hour=0)),
        ("20250701", NOON.replace(hour=0)),
        ("1751371200", NOON),
        ("1751371200.25", NOON.replace(microsecond=250_000)),
        ("1.7513712e9", NOON),
    ],
)
def test_timestamp_reads_iso_and_seconds_as_utc(text: str, moment: datetime | None) -> None:
    assert values.timestamp(text) == moment


@pytest.mark.parametrize("text", ["yesterday", "1e300", "1_751_371_200", "nan", "2025-13-01", "٣"])
def test_timestamp_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(InvalidInputError, match="ISO 8601"):
        values.timestamp(text)


@pytest.mark.parametrize(
    ("text", "outcome", "state"),
    [
        ("1", 1.0, "resolved"),
        ("0.25", 0.25, "resolved"),
        (".5", 0.5, "resolved"),
        ("1e-3", 0.001, "resolved"),
        ("TRUE", 1.0, "resolved"),
        ("yes", 1.0, "resolved"),
        ("Success", 1.0, "resolved"),
        ("passed", 1.0, "resolved"),
        ("false", 0.0, "resolved"),
        ("No", 0.0, "resolved"),
        ("FAILED", 0.0, "resolved"),
        ("error", 0.0, "resolved"),
        ("", None, "pending"),
        ("null", None, "pending"),
        ("pending", None, "pending"),
        ("unknown", None, "unknown"),
        ("not_used", None, "not_used"),
    ],
)
def test_outcome_reads_numbers_and_words(text: str, outcome: float | None, state: str) -> None:
    assert values.outcome(text) == (outcome, state)


@pytest.mark.parametrize("text", ["maybe", "nan", "inf", "0,5", "50%", "0x1", "1_0", "½"])
def test_outcome_refuses_other_words(text: str) -> None:
    with pytest.raises(InvalidInputError, match="expected a number from 0 to 1"):
        values.outcome(text)


def test_amount_reads_numbers_only() -> None:
    assert values.amount("", "cost") is None
    assert values.amount("12.5", "cost") == 12.5
    with pytest.raises(InvalidInputError, match="cost is 'much'"):
        values.amount("much", "cost")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("rg", ["rg"]),
        ("rg, cargo ,", ["rg", "cargo"]),
        ("a,b.rs; c.rs", ["a,b.rs", "c.rs"]),
        ('["a;b", "c,d"]', ["a;b", "c,d"]),
        ("[]", []),
    ],
)
def test_names_reads_lists_and_separated_names(text: str, names: list[str]) -> None:
    assert values.names(text, "tools") == names


@pytest.mark.parametrize("text", ["[", "[1]", '["a", null]', "[rg]"])
def test_names_refuses_lists_of_something_else(text: str) -> None:
    with pytest.raises(InvalidInputError, match="tools"):
        values.names(text, "tools")


@given(text=st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (values.rfc3339, values.timestamp, values.outcome):
        try:
            read(text)
        except InvalidInputError:
            continue
