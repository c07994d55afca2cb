from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatworks import clean_text
from whatworks.checks import text as checked
from whatworks.redaction import UNKEYED
from whatworks.text import MAX_WORD, hidden, strip_ansi, word_key, words

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\x1b[31merror\x1b[0m: no", "error: no"),
        ("\x1b[2K\x1b[1;32mok", "ok"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1bMup", "up"),
        ("plain [31m text", "plain [31m text"),
    ],
)
def test_terminal_escapes_are_taken_out(given: str, shown: str) -> None:
    assert strip_ansi(given) == shown


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\x00b", "ab"),
        ("a\ud800b", "ab"),
        ("a\u202eb\u2066c\u2069", "abc"),
        ("a\x07\x7f\x9bb", "ab"),
        ("  a\tb\nc  ", "a\tb\nc"),
        ("e\u0301", "\u00e9"),
        ("zero\u200bwidth \U0001f469\u200d\U0001f4bb", "zero\u200bwidth \U0001f469\u200d\U0001f4bb"),
    ],
)
def test_clean_text_removes_what_is_hidden_and_keeps_the_rest(given: str, kept: str) -> None:
    assert clean_text(given) == kept


@given(ANY_TEXT)
def test_cleaned_text_is_accepted_unless_nothing_is_left(given: str) -> None:
    cleaned = clean_text(given)
    if cleaned.strip():
        assert checked(cleaned, "description", UNKEYED) == cleaned
    assert not hidden().search(cleaned)
    assert unicodedata.is_normalized("NFC", cleaned)


@given(ANY_TEXT)
def test_cleaning_twice_is_cleaning_once(given: str) -> None:
    assert clean_text(clean_text(given)) == clean_text(given)


@given(ANY_TEXT, st.integers(0, 40))
def test_text_is_cut_at_a_character(given: str, most: int) -> None:
    cut = clean_text(given, max_bytes=most)
    assert len(cut.encode()) <= most
    assert clean_text(given).startswith(cut)


def test_a_compound_counts_whole_and_in_parts() -> None:
    assert words("std::io std") == {"std::io": 1, "std": 2, "io": 1}


def test_words_are_lower_case_letters_and_digits_of_any_script() -> None:
    assert words("Größe, ΔΕΛΤΑ-7 … 数据!") == {
        "größe": 1, "δελτα-7": 1, "δελτα": 1, "7": 1, "数据": 1
    }  # fmt: skip


@pytest.mark.parametrize("given", ["", " \n", "?!…", "___"])
def test_a_text_without_words_has_none(given: str) -> None:
    assert words(given) == {}


def test_a_long_word_is_cut() -> None:
    assert words("x" * 1_000) == {"x" * MAX_WORD: 1}


def test_the_key_of_a_word_is_the_same_on_every_machine() -> None:
    # Kept in the postings of every store.
    assert word_key("cargo") == 11_679_326_604_234_935_236
