"""Secrets taken out of texts, before anything is written; ``secret_rules`` says what they look like.

Standard library only, and nothing is loaded or compiled before a text needs it, because hooks and
clients have no time. A rule runs only where one of its literals stands in the text, so that a text
without secrets costs about as much as looking for some dozens of short words in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whatworks.secret_rules import Looked, Rule

__all__ = ["UNKEYED", "Secrets", "kind_of", "prose"]

# What stands in the place of a secret: its kind, and digits by which the same one is known again.
_MARK = r"(\[secret:[a-z0-9-]+(?::[0-9a-f]{6})?\])"
_MARKED = "[secret:"
# A pass can only lay bare what had no border before; a text made to need more passes is no concern.
_PASSES = 8
# No shorter word holds a token that is known by its looks.
LONG = 15
# Names of files and tools, which come again and again, are mostly shorter.
NAME = 48
# Texts that are remembered.
MANY = 8_192

# In UTF-8: what is no whitespace as one letter. A word of a text is a run of it, or part of one.
_BLACK = bytes(byte if byte in b"\t\n\v\f\r " else ord("x") for byte in range(256))
_LONG_RUN = "x" * LONG

_plain_words: set[str] = set()  # long ones that hold no literal: paths and names come again and again


@cache
def _rules() -> tuple[Rule, ...]:
    from whatworks.secret_rules import RULES

    return RULES


@cache
def _literals() -> tuple[tuple[Looked, ...], tuple[Looked, ...]]:
    from whatworks.secret_rules import EXACT, FOLDED

    return EXACT, FOLDED


@cache
def _compiled(place: int) -> re.Pattern[str]:
    return re.compile(_rules()[place].pattern)


@cache
def _secret_name() -> re.Pattern[str]:
    from whatworks.secret_rules import KEYWORD

    return re.compile(rf"{KEYWORD}$")


def _lower(text: str) -> str:
    """``text`` in lower case, with every character where it was."""
    folded = text.lower()
    if len(folded) == len(text):
        return folded
    return "".join(char.lower() if char.isascii() else char for char in text)


def _suspects(text: str) -> tuple[int, ...]:
    """The places of the rules that may find something in ``text``, in order."""
    global _plain_words
    # Prose has neither a long word nor what stands between a name and its value, before an
    # argument or around a key, and of these every rule needs one.
    words = [word for word in text.split() if len(word) >= LONG]
    if not words and not _has_signs(text):
        return ()
    exact_literals, folded_literals = _literals()
    folded = text.lower()
    found = [
        place
        for literal, place, beside in folded_literals
        if literal in folded and (not beside or any(word in folded for word in beside))
    ]
    if new := [word for word in words if word not in _plain_words]:
        long = " ".join(new)
        longest = max(map(len, new))
        exact = [
            place
            for literal, place, _ in exact_literals
            if literal in long and longest >= _rules()[place].shortest
        ]
        found += exact
        if not exact:
            _plain_words = _remembered(_plain_words, new)
    return tuple(sorted(set(found))) if found else ()


def _has_signs(text: str) -> bool:
    if ":" in text or "=" in text or ">" in text or "--" in text:
        return True
    if " -" not in text:
        return False
    from whatworks.secret_rules import COMMANDS

    return any(command in text.lower() for command in COMMANDS)


def prose(texts: Collection[str]) -> list[str]:
    """Those of some texts in which no rule looks for anything: most, if each is of one line.

    Looked at together, they take a fraction of the time, since no word is looked at alone.
    """
    plain = [text for text in texts if not _has_signs(text)]
    runs = "\n".join(plain).encode(errors="replace").translate(_BLACK).decode().split("\n")
    if len(runs) != len(plain):  # some have more lines
        return []
    return [text for text, run in zip(plain, runs, strict=True) if _LONG_RUN not in run]


def _remembered(known: set[str], texts: Iterable[str]) -> set[str]:
    """The set ``known`` with those of ``texts`` that are short, begun anew once there are many."""
    if len(known) >= MANY:
        known = set()  # other threads may be looking into the former one
    known.update(text for text in texts if len(text) <= NAME)
    return known


def _secrets(text: str, place: int) -> Iterator[tuple[int, int]]:
    """Where in ``text`` the secrets of one rule begin and end."""
    rule = _rules()[place]
    for found in _compiled(place).finditer(_lower(text) if rule.fold else text):
        start, end = found.span(found.lastindex or 0)
        if rule.told(text[start:end]):
            yield start, end


@lru_cache(maxsize=MANY)  # ids come again and again
def kind_of(text: str) -> str | None:
    """The kind of the first secret in ``text``, by its looks alone; ``None`` without one."""
    # What was taken out of a text that an id was made of is out.
    for part in re.split(_MARK, text)[::2] if _MARKED in text else (text,):
        for place in _suspects(part):
            for _ in _secrets(part, place):
                return _rules()[place].name
    return None


# -- the environment ------------------------------------------------------------------------------

_SECRET_WORDS = (
    "KEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "CREDENTIALS",
)
_SECRET_PARTS = frozenset(("PASS", "PWD", "AUTH", "PAT", "DSN"))
SHORTEST = 8


def _is_secret_variable(name: str) -> bool:
    return any(
        part.endswith(_SECRET_WORDS) or part in _SECRET_PARTS for part in name.upper().split("_")
    )


def secret_values(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The values of variables with secret-looking names that do not look harmless, the longest first.

    Shorter ones than 8 characters, words, numbers, paths and addresses stand in too many texts.
    """
    named = {
        value
        for name, value in variables.items()
        # Each shell has a PWD; that a path is harmless is known without the rules.
        if len(value) >= SHORTEST and value[0] != "/" and _is_secret_variable(name)
    }
    if not named:
        return ()
    from whatworks.secret_rules import chosen

    found = {
        value
        for value in named
        if chosen(value)
        # What stands in a mark itself would be found in it again.
        and not any(value in f"{_MARKED}{rule.name}:" for rule in _rules())
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


@cache
def _environment() -> tuple[str, ...]:
    """Those of this process, as they were when it was first of use."""
    return secret_values(os.environ)


# -- taking out -----------------------------------------------------------------------------------


class Secrets:
    """Takes the secrets out of the texts of one store.

    Parameters
    ----------
    key
        What their digits depend on, such as the store's id, which is random and in the store
        alone: the same secret has the same digits in every process, and other ones in another
        store. Without one there are none.
    """

    def __init__(self, key: str | None) -> None:
        self.key = key
        self.plain: set[str] = set()  # short texts that were looked at lately and have none

    def redacted(self, text: str) -> str:
        """``text`` with a mark such as ``[secret:aws-access-key:3f9a1c]`` for each secret.

        Doing it again changes nothing.
        """
        if len(text) <= NAME and text in self.plain:
            return text
        for _ in range(_PASSES):
            rules, values = _suspects(text), _environment()
            if not rules and not (values and any(value in text for value in values)):
                return self._noted(text)
            before = text
            # A key of several lines first: a value within it would tear it in two.
            changes = [partial(self._by_rule, place=place) for place in rules if not place]
            changes += [partial(self._by_value, value=value) for value in values if value in text]
            changes += [partial(self._by_rule, place=place) for place in rules if place]
            for change in changes:
                text = _outside_marks(text, change)
            if text == before:
                return text
        return text

    def free(self, texts: Collection[str]) -> set[str]:
        """Those of some texts that have no secrets: ``redacted`` gives them back as they are."""
        found, values = prose(texts), _environment()
        whole = "\n".join(found) if values else ""
        known = set[str]() if any(value in whole for value in values) else set(found)
        known.update(text for text in texts if text not in known and self.redacted(text) == text)
        return known

    def _noted(self, text: str) -> str:
        if len(text) <= NAME:
            self.plain = _remembered(self.plain, [text])
        return text

    def redacted_value(self, name: str, value: str) -> str:
        """``value`` that stands under ``name``, as in JSON; a name may say that all of it is secret."""
        folded = name[-100:].lower()
        named = len(value) >= SHORTEST and any(word in folded for word in _rules()[-1].literals)
        if named and _MARKED not in value and _secret_name().search(folded):
            # Beside such a name even a word is one; of tokens and keys there are names and kinds.
            from whatworks.secret_rules import chosen, password

            told = password if "pass" in folded or "pwd" in folded else chosen
            if told(value) and not any(map(str.isspace, value)):
                return self._mark(_kind(value), value)
        if folded.endswith(("authorization", "cookie")):
            before, whole = f"{folded}: ", self.redacted(f"{folded}: {value}")
            return whole.removeprefix(before) if whole.startswith(before) else self.redacted(value)
        return self.redacted(value)

    def _by_rule(self, text: str, place: int) -> str:
        made, at = [], 0
        for start, end in _secrets(text, place):
            made += [text[at:start], self._mark(_rules()[place].name, text[start:end])]
            at = end
        return "".join((*made, text[at:])) if made else text

    def _by_value(self, text: str, value: str) -> str:
        return text.replace(value, self._mark(_kind(value), value)) if value in text else text

    def _mark(self, kind: str, secret: str) -> str:
        if self.key is None:
            return f"{_MARKED}{kind}]"
        import hmac  # behind OpenSSL, which takes milliseconds to load

        digits = hmac.new(self.key.encode(), secret.encode(errors="replace"), "sha256").hexdigest()[:6]
        return f"{_MARKED}{kind}:{digits}]"


def _kind(value: str) -> str:
    """The kind that a value looks like by itself, so that it has one mark wherever it stands."""
    for place in _suspects(value):
        if (0, len(value)) in _secrets(value, place):
            return _rules()[place].name
    return "named-value"


def _outside_marks(text: str, change: Callable[[str], str]) -> str:
    """``text`` with everything changed but the marks that stand in it."""
    if _MARKED not in text:
        return change(text)
    return "".join(part if n % 2 else change(part) for n, part in enumerate(re.split(_MARK, text)))


UNKEYED = Secrets(None)
