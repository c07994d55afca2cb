"""Cleaning and word splitting of text that comes from anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

try:  # hashlib holds the same function, behind OpenSSL: two milliseconds and megabytes
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

__all__ = ["clean_text", "hidden", "strip_ansi", "subject_renamed", "word_key", "words"]

# CSI and OSC sequences and two-character escapes (ECMA-48, section 5).
_ANSI = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])"
# Control characters other than tab and line ends, and the bidirectional
# overrides and isolates that make text look other than it is (CVE-2021-42574).
_HIDDEN = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
# Runs of letters and digits; a run may go on over . _ - / : when more follows,
# so that "parser.rs", "E0432" and "std::io" are found as they are written.
_WORD = r"[^\W_]+(?:[._:/-]+[^\W_]+)*"
_PART = r"[^\W_]+"
MAX_WORD = 64
# What a message of an error is about stands first, as ``checks`` writes them.
_SUBJECT = r"(an item of )?(\w+)\b"

_compiled = cache(re.compile)  # when it is first needed: most processes look at few texts


def hidden() -> re.Pattern[str]:
    """What finds a character that is not shown."""
    return _compiled(_HIDDEN)


def strip_ansi(text: str) -> str:
    """``text`` without terminal escape sequences (colours, cursor moves)."""
    return _compiled(_ANSI).sub("", text) if "\x1b" in text else text


def clean_text(text: str, *, max_bytes: int | None = None) -> str:
    """``text`` as it may be stored: normalised (NFC), no hidden characters, stripped.

    Terminal escapes, control characters, lone surrogates and bidirectional
    overrides are removed. ``max_bytes`` cuts the end at a character border.
    Use it on text from files and terminals before ``record`` or
    ``add_pattern``, which refuse such characters rather than change a text.
    """
    import unicodedata

    cleaned = unicodedata.normalize("NFC", hidden().sub("", strip_ansi(text))).strip()
    if max_bytes is not None and len(cleaned.encode()) > max_bytes:
        cleaned = cleaned.encode()[:max_bytes].decode(errors="ignore").rstrip()
    return cleaned


def subject_renamed(message: str, names: Mapping[str, str]) -> str:
    """An error's message, with the field that it is about called as its reader knows it.

    Examples
    --------
    >>> subject_renamed("timestamp is 'noon'; expected a time", {"timestamp": "--time"})
    "--time is 'noon'; expected a time"
    """
    found = re.match(_SUBJECT, message)
    if found is None or found[2] not in names:
        return message
    return f"{found[1] or ''}{names[found[2]]}{message[found.end() :]}"


def words(text: str) -> dict[str, int]:
    """The words of ``text`` in lower case with their counts, in order of appearance.

    A compound such as ``src/parser.rs`` counts as a whole and as its parts.
    Words of more than 64 characters are cut.

    Examples
    --------
    >>> words("error[E0432] in parser.rs")
    {'error': 1, 'e0432': 1, 'in': 1, 'parser.rs': 1, 'parser': 1, 'rs': 1}
    """
    counts: dict[str, int] = {}
    whole_words, part_words = _compiled(_WORD), _compiled(_PART)
    for whole in whole_words.findall(text.lower()):
        parts = part_words.findall(whole)
        for found in [whole, *parts] if len(parts) > 1 else parts:
            word = found[:MAX_WORD]
            counts[word] = counts.get(word, 0) + 1
    return counts


def word_key(word: str) -> int:
    """A 64-bit hash of ``word`` that is the same everywhere and always."""
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
