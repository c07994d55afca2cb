"""Which patterns are better archived, and why: decisions from what is known of each, and no I/O.

A pattern is proposed once, for the first of these that holds:

``junk``
    Its description has no word; or it was tried once at most, no prediction ever named it although
    ``SHOWN_TO`` were made since, and it is older than ``OLD``.
``harmful``
    The upper end of the interval of its rate lies ``MARGIN`` below the mean of all patterns, on
    ``LEAST`` effective tries or more.
``duplicate``
    Another one of its type says the same in the same order, but for words that say nothing
    (``GLUE``), and their rates do not differ credibly. The one with more tries stays.
    Embeddings have no say: they put opposites nearer together than rewordings (docs/optimizer.md).
``stale``
    Last tried before ``STALE``, while others were tried ``OTHERS`` times since; and the lower end
    of its interval does not reach the mean.
``budget``
    More patterns are left than are to be kept. Those whose rate has the lowest lower end go, so that
    what nobody has proved goes first, and patterns younger than ``NEW`` last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np

from whatworks import trends
from whatworks.beta import rate_interval
from whatworks.evidence.usefulness import Useful
from whatworks.findings import Proposal
from whatworks.text import words

__all__ = ["Known", "proposals"]

# Simulated with 5 to 80 tries at means of 0.3, 0.5 and 0.7: of 20,000 patterns as good as the mean at
# most 79 are called harmful; of those a fifth as good 29, 87 and 99 % at 20 tries, 99 % with 80.
LEVEL, MARGIN, LEAST = 0.99, 0.05, 5.0
OLD, STALE, NEW = timedelta(days=90), timedelta(days=180), timedelta(days=30)
# So many chances to be shown or tried: a store in which nothing happens makes nothing stale.
SHOWN_TO, OTHERS = 100, 100
# Words whose absence changes nothing. No negations and no prepositions: with and without are opposites.
GLUE = frozenset(["a", "also", "an", "and", "it", "just", "please", "s", "so", "that", "the", "then"])
# What other programs keep here and look up by themselves: nobody is expected to try it.
KEPT_TYPES = frozenset({"langgraph"})


class Known(NamedTuple):
    """What decisions are made from, besides the patterns.

    ``mean`` outcome of all patterns; ``others`` tries since ``now - STALE``; ``asked_at``: since when
    ``SHOWN_TO`` predictions were made, ``None`` if there were not so many.
    """

    now: datetime
    mean: float
    others: int
    asked_at: datetime | None


def proposals(patterns: Sequence[Useful], known: Known, *, keep: int | None = None) -> list[Proposal]:
    """The patterns to archive, with the reason of each, in the order of the reasons above.

    Parameters
    ----------
    keep
        At most so many stay.
    """
    looked_at = [item for item in patterns if item.pattern_type not in KEPT_TYPES]
    low, high = _ends(looked_at)
    found: dict[str, Proposal] = {}
    for item in looked_at:
        if why := _junk(item, known):
            found[item.pattern_id] = _proposal(item, "junk", why)
    for n, item in enumerate(looked_at):
        if item.pattern_id not in found and item.tries >= LEAST and high[n] < known.mean - MARGIN:
            why = f"worked {_rate(item)}, at most {high[n]:.2f}; all patterns {known.mean:.2f}"
            found[item.pattern_id] = _proposal(item, "harmful", why)
    for item, other in _duplicates([item for item in looked_at if item.pattern_id not in found]):
        # Without its id: a why becomes a reason, which would still name it once it was forgotten.
        why = f"says the same as another with {other.used:,} tries to its {item.used:,}"
        found[item.pattern_id] = _proposal(item, "duplicate", why, like=other.pattern_id)
    for n, item in enumerate(looked_at):
        if item.pattern_id not in found and _is_stale(item, float(low[n]), known):
            assert item.last_used_at is not None
            last = f"{item.last_used_at:%Y-%m-%d} ({_rate(item)})"
            why = f"last tried {last}, others {known.others:,} times since"
            found[item.pattern_id] = _proposal(item, "stale", why)
    if keep is not None:
        surplus = len(patterns) - len(found) - keep
        for n in _least_useful(looked_at, low.tolist(), found, known)[: max(0, surplus)]:
            why = f"over the {keep:,} to keep: at least {low[n]:.2f}, on {looked_at[n].tries:.1f} tries"
            found[looked_at[n].pattern_id] = _proposal(looked_at[n], "budget", why)
    return list(found.values())


def _ends(patterns: Sequence[Useful]) -> tuple[np.ndarray, np.ndarray]:
    tries = np.array([item.tries for item in patterns], float)
    total = np.array([item.total for item in patterns], float)
    if not len(patterns):
        return tries, total
    return rate_interval(total, tries, LEVEL)


def _proposal(
    item: Useful,
    kind: Literal["junk", "harmful", "duplicate", "stale", "budget"],
    why: str,
    like: str | None = None,
) -> Proposal:
    return Proposal(item.pattern_id, item.description, kind, why, like)


def _rate(item: Useful) -> str:
    return f"{item.total / item.tries:.2f} in {item.tries:.1f} tries" if item.tries else "never"


def _junk(item: Useful, known: Known) -> str | None:
    if not words(item.description):
        return "its description has no word"
    if item.used > 1 or item.imported or item.shown or item.created_at > known.now - OLD:
        return None
    if known.asked_at is None or item.created_at > known.asked_at:
        return None
    tried = "tried once" if item.used else "never tried"
    return f"{tried}, in none of {SHOWN_TO} predictions or more since {item.created_at:%Y-%m-%d}"


def _duplicates(patterns: Sequence[Useful]) -> Iterator[tuple[Useful, Useful]]:
    """Patterns with the one that says the same and stays, which is in no pair itself."""
    groups: dict[tuple[object, ...], list[Useful]] = {}
    for item in patterns:
        said = tuple(pair for pair in words(item.description).items() if pair[0] not in GLUE)
        if said:
            groups.setdefault((item.pattern_type, item.metadata, said), []).append(item)
    for group in groups.values():
        best, *rest = sorted(group, key=lambda i: (-i.tries, -i.used, i.created_at, i.pattern_id))
        for item in rest:
            change = trends.difference(item.tries, item.total, best.tries, best.total)
            if change.low is None or change.high is None or change.low <= 0 <= change.high:
                yield item, best


def _is_stale(item: Useful, low: float, known: Known) -> bool:
    last = item.last_used_at
    return last is not None and last < known.now - STALE and known.others >= OTHERS and low < known.mean


def _least_useful(
    patterns: Sequence[Useful], low: Sequence[float], found: dict[str, Proposal], known: Known
) -> list[int]:
    left = [n for n, item in enumerate(patterns) if item.pattern_id not in found]

    def order(n: int) -> tuple[object, ...]:
        item = patterns[n]
        is_new = item.created_at > known.now - NEW
        return is_new, low[n], item.last_used_at or item.created_at, item.pattern_id

    return sorted(left, key=order)
