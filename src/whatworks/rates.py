"""From sums of outcomes to rates with intervals, and files in the order of their belonging together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby

import numpy as np

from whatworks.beta import JEFFREYS, rate_interval
from whatworks.evidence.groups import FileRow, GroupRow, WeekRow
from whatworks.findings import Rate, RelatedFile, Step

__all__ = ["LEVEL", "rates", "related", "steps"]

# As in trends: intervals of rates are at 95 %, under Jeffreys' prior.
LEVEL = 0.95
# So many changes of all files on average stand behind each share: what was changed once and
# together is not sure to be changed together. 1 to 5 order files alike.
PRIOR_CHANGES = 1.0
# Of a week, so many sources are named.
TOLD_MOST = 3


def rates(rows: Sequence[GroupRow]) -> list[Rate]:
    """Groups with their mean outcomes, in the order given."""
    low, high = _ends([row.resolved for row in rows], [row.total for row in rows])
    return [
        Rate(
            row.value,
            row.tries,
            row.resolved,
            row.total / row.resolved if row.resolved else None,
            low[n] if row.resolved else None,
            high[n] if row.resolved else None,
        )
        for n, row in enumerate(rows)
    ]


def steps(rows: Sequence[WeekRow]) -> list[Step]:
    """A pattern's weeks, given in the order of time, with how each moved its rate; the newest first."""
    weeks = [(week, list(told)) for week, told in groupby(rows, key=lambda row: row.week)]
    counts = [sum(row.resolved for row in told) for _, told in weeks]
    totals = [sum(row.total for row in told) for _, told in weeks]
    count, total = list(accumulate(counts)), list(accumulate(totals))
    low, high = _ends(count, total)
    after = [(s + JEFFREYS) / (n + 2 * JEFFREYS) for s, n in zip(total, count, strict=True)]
    found = [
        Step(
            week=week,
            tries=sum(row.tries for row in told),
            resolved=counts[n],
            mean_outcome=totals[n] / counts[n] if counts[n] else None,
            before=after[n - 1] if n else 0.5,
            after=after[n],
            low=low[n],
            high=high[n],
            sources=tuple(rates([GroupRow(*row[1:]) for row in told[:TOLD_MOST]])),
        )
        for n, (week, told) in enumerate(weeks)
    ]
    return found[::-1]


def related(
    whole: float, own: float, path: str, rows: Sequence[FileRow], limit: int
) -> list[RelatedFile]:
    """The files that change with ``path``, the most likely first.

    The order is that of the share of the changes of ``path`` that also changed the
    file, recent ones weighed more, with one change of all files on average behind it.
    """
    changes = next((row.changes for row in rows if row.file == path), 0)

    def score(row: FileRow) -> float:
        usual = row.recent / whole
        return (row.recent_together + PRIOR_CHANGES * usual) / (own + PRIOR_CHANGES)

    others = sorted((row for row in rows if row.file != path), key=lambda row: (-score(row), row.file))
    del others[limit:]
    low, high = _ends([changes] * len(others), [row.together for row in others])
    outcome_low, outcome_high = _ends([row.resolved for row in others], [row.total for row in others])
    return [
        RelatedFile(
            file=row.file,
            together=row.together,
            changes=changes,
            confidence=row.together / changes,
            low=low[n],
            high=high[n],
            lift=(row.recent_together / own) / (row.recent / whole),
            score=score(row),
            resolved=row.resolved,
            mean_outcome=row.total / row.resolved if row.resolved else None,
            outcome_low=outcome_low[n] if row.resolved else None,
            outcome_high=outcome_high[n] if row.resolved else None,
        )
        for n, row in enumerate(others)
    ]


def _ends(counts: Sequence[float], totals: Sequence[float]) -> tuple[list[float], list[float]]:
    if not counts:
        return [], []
    # Outcomes are given with some rounding: their sum may be a little more than their number.
    total = np.minimum(np.array(totals, float), counts)
    low, high = rate_interval(total, np.array(counts, float), LEVEL)
    return low.tolist(), high.tolist()
