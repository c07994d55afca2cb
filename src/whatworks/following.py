"""Whether advice was followed, from what was done and said after it was shown."""

from __future__ import annotations

from collections.abc import Sequence

from whatworks.text import words

__all__ = ["followed"]

# The share of the words of some advice that must turn up in what was done and said.
ALIKE = 0.6
LEAST_WORD = 4


def followed(description: str, done: Sequence[str], said: str) -> bool:
    """Whether all the actions of ``description`` were taken, or most of its words done or said.

    Examples
    --------
    >>> followed("pin the timezone", ["edit tox.ini"], "I have pinned nothing but the timezone")
    False
    >>> followed("pin the timezone of the tests", ["edit tox.ini"], "The timezone of the tests is UTC")
    True
    """
    actions = [part.strip() for part in description.split(";")]
    if all(action in done for action in actions):
        return True
    wanted = {word for word in words(description) if len(word) >= LEAST_WORD}
    there = set(words(" ".join([*done, said])))
    return len(wanted) >= 2 and len(wanted & there) >= ALIKE * len(wanted)
