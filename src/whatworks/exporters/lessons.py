"""What a store has learned for certain: the patterns that work, and those that do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whatworks.beta import rate_interval
from whatworks.memory import Memory
from whatworks.records import Pattern

__all__ = ["Lesson", "lessons"]

# A pattern is a lesson if its interval excludes what all do on average.
LEVEL = 0.95
LEAST_TRIES = 5


@dataclass(frozen=True, slots=True)
class Lesson:
    """A pattern with its success rate and the 95 % interval of it; ``works`` or not."""

    pattern: Pattern
    rate: float
    low: float
    high: float
    works: bool

    @property
    def evidence(self) -> str:
        """The record in words."""
        return (
            f"worked {self.rate:.0%} of {self.pattern.resolved_count:,} tries "
            f"(95 % interval {self.low:.0%} to {self.high:.0%})"
        )


def lessons(memory: Memory, *, limit: int) -> list[Lesson]:
    """At most ``limit`` patterns that are better than all are on average, and as many that are worse.

    The surest come first. Of all patterns of at least five tries those whose 95 % interval
    (Beta, Jeffreys' prior) does not hold the mean outcome of all tries.
    """
    tried = [p for p in memory.iter_patterns() if p.resolved_count and p.success_rate is not None]
    if not tried:
        return []
    count = np.array([p.resolved_count for p in tried], float)
    rate = np.array([p.success_rate for p in tried], float)
    low, high = rate_interval(rate * count, count, LEVEL)
    mean = float((rate * count).sum() / count.sum())
    # Archived ones count for the mean, as in every estimate, and are taught to nobody.
    enough = (count >= LEAST_TRIES) & np.array([p.archived_at is None for p in tried])
    better = [n for n in np.argsort(-low, kind="stable") if enough[n] and low[n] > mean]
    worse = [n for n in np.argsort(high, kind="stable") if enough[n] and high[n] < mean]
    return [
        Lesson(tried[n], float(rate[n]), float(low[n]), float(high[n]), works)
        for works, chosen in ((True, better), (False, worse))
        for n in chosen[:limit]
    ]
