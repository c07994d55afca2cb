"""What a receipt says of missing outcomes, from the layers of a keeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whatworks import missing, rank
from whatworks.answers import Answers
from whatworks.evidence import outcomes
from whatworks.evidence.cells import RecordRow
from whatworks.evidence.outcomes import Added, Hole
from whatworks.keeper import Keeper

if TYPE_CHECKING:
    from whatworks.gathering import Gathered

__all__ = ["Coverage"]

Vector = NDArray[np.float32]

# The nearest cells that are estimated anew for the bounds of a pattern, and of its own missing
# outcomes: each pattern needs three estimates of its own, 1 ms at this size.
NEAREST, HOLES = 32, 16
NOTHING = Added(0.0, 0.0, 0.0, ())


class Coverage:
    """How many outcomes of each pattern are known, and what the others could change."""

    def __init__(self, keeper: Keeper, answers: Answers) -> None:
        self._keeper = keeper
        self._answers = answers

    def of(self, order: Sequence[int], asked: Gathered, made: rank.Estimates) -> list[dict[str, Any]]:
        """For each answer its ``resolved``, ``missing``, ``coverage`` and ``bounds``."""
        rows = [asked.rows[n] for n in order]
        counts = self._counts(rows, asked.as_of)
        told = [_told(*counts.get(row.pattern_id, (0, 0))) for row in rows]
        low = [place for place, item in enumerate(told) if _bounded(item)]
        if low:
            ends = self._bounds(low, order, asked, made)
            for place, pair in zip(low, ends, strict=True):
                told[place]["bounds"] = pair
        return told

    def _counts(self, rows: Sequence[RecordRow], as_of: datetime | None) -> dict[str, tuple[int, int]]:
        """Tries of these patterns whose outcome is known, and whose outcome is not."""
        if as_of is None:  # the patterns are shown anyway, and cached
            found = self._answers.folded_patterns([row.pattern_id for row in rows])
            return {
                name: (pattern.resolved_count, pattern.usage_count - pattern.resolved_count)
                for name, pattern in found.items()
            }
        return outcomes.known(self._keeper.folded(), [row.pattern_id for row in rows], as_of)

    def _bounds(
        self, places: Sequence[int], order: Sequence[int], asked: Gathered, made: rank.Estimates
    ) -> list[tuple[float, float]]:
        numbers = [asked.rows[order[place]].pattern_no for place in places]
        contexts = list(asked.similarity)
        added = outcomes.added(self._keeper.folded(), numbers, contexts, asked.as_of)
        names = {hole.context_id for item in added.values() for hole in item.holes}
        vectors = self._keeper.embeddings.vectors("contexts").get(list(names))
        found = []
        for at, number in zip(places, numbers, strict=True):
            n = order[at]
            tries, failed, worked, holes = added.get(number, NOTHING)
            near = _nearby(n, [hole for hole in holes if hole.context_id in vectors], asked, vectors)
            place, records, near = _involved(n, asked.records, near)
            estimate = float(made.raw[at]), float(made.expected[at])
            found.append(
                missing.bounds(
                    place,
                    records,
                    (tries, failed, worked),
                    near,
                    asked.sums[:5],
                    asked.learned,
                    *estimate,
                )
            )
        return found


def _told(resolved: int, absent: int) -> dict[str, Any]:
    """The counts as a receipt has them; ``coverage`` is ``None`` without any try."""
    tries = resolved + absent
    share = resolved / tries if tries else None
    return {"resolved": resolved, "missing": absent, "coverage": share, "bounds": None}


def _bounded(told: Mapping[str, Any]) -> bool:
    """Whether so many outcomes are missing that an estimate needs its bounds."""
    return bool(told["missing"]) and told["coverage"] < missing.ENOUGH


def _nearby(
    n: int, holes: Sequence[Hole], asked: Gathered, vectors: Mapping[str, Vector]
) -> missing.Nearby:
    """The nearest cells, with the missing tries of pattern ``n`` in them and beside them."""
    number = asked.rows[n].pattern_no
    nearest = sorted(holes, key=lambda h: (-asked.similarity[h.context_id], h.context_id))[:HOLES]
    absent = {hole.context_id: hole for hole in nearest}
    pattern, rows, counts = [], [], []
    for j, cell in enumerate(asked.near):
        mine = cell.pattern_no == number and not cell.early and cell.context_id in absent
        if j < NEAREST or mine:
            hole = absent.pop(cell.context_id) if mine else None
            pattern.append(int(asked.cells.pattern[j]))
            rows.append(asked.vectors[j])
            counts.append((cell.worth, cell.worth * cell.mean_outcome, hole.missing if hole else 0.0))
    for hole in absent.values():
        pattern.append(n)
        rows.append(vectors[hole.context_id])
        counts.append((hole.known, hole.total, hole.missing))
    # The context asked about is the last: all are seen from the store's mean.
    seen = rank.centred(np.array([*rows, asked.query], float), asked.learned.center)
    columns = np.array(counts, float).reshape(-1, 3).T
    return missing.Nearby(np.array(pattern, np.int64), seen[:-1] @ seen[-1], seen[:-1], *columns)


def _involved(
    n: int, records: rank.Records, near: missing.Nearby
) -> tuple[int, rank.Records, missing.Nearby]:
    """The pattern's place, the records and the cells, without the patterns that play no part."""
    chosen, pattern = np.unique(np.append(near.pattern, n), return_inverse=True)
    some = rank.Records(
        records.tries[chosen],
        records.total[chosen],
        records.prior_tries[chosen],
        records.prior_total[chosen],
        records.changed[chosen],
    )
    return int(pattern[-1]), some, replace(near, pattern=pattern[:-1].astype(np.int64))
