"""From rows of the evidence to what ``rank`` takes: cells near a context, and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whatworks import rank
from whatworks.checks import micros
from whatworks.evidence.cells import CellRow, RecordRow
from whatworks.records import ChangePoint

__all__ = ["Cell", "Points", "cells_of", "merged", "nearest", "records_of", "without"]

Vector = NDArray[np.float32]
Float64 = NDArray[np.float64]
Points = Mapping[int, ChangePoint]


class Cell(NamedTuple):
    """Resolved tries of one pattern in one context: all that is alike enough to be one.

    ``early`` tries were made before the pattern changed; they count as those
    of another pattern. ``worth`` effective tries.
    """

    context_id: str
    pattern_no: int
    early: bool
    tries: int
    mean_outcome: float
    worth: float


def merged(rows: Sequence[CellRow], points: Points) -> list[Cell]:
    """The days of each context and pattern together, before and after a change point apart.

    ``rows`` are in the order of ``cells.neighbours``, which has those of each one behind another.
    """
    since = {number: micros(point.since) for number, point in points.items()}
    keys = [(row[0], row[1], row[1] in since and row[5] < since[row[1]]) for row in rows]
    ends = [n for n, (key, after) in enumerate(pairwise(keys), 1) if key != after] + [len(rows)]
    return [
        # One day, as most have.
        Cell(*keys[at], *rows[at][2:5]) if end - at == 1 else _one(keys[at], rows[at:end])
        for at, end in pairwise([0, *ends])
        if at < end
    ]


def _one(key: tuple[str, int, bool], days: Sequence[CellRow]) -> Cell:
    worth = sum(day.worth for day in days)
    # By worth, as the records count them: a long day is not worth more than its worth.
    mean = sum(day.worth * day.mean_outcome for day in days) / worth
    return Cell(*key, sum(day.tries for day in days), min(max(mean, 0.0), 1.0), worth)


def nearest(cells: Sequence[Cell], similarity: Mapping[str, float], k: int) -> list[Cell]:
    """The ``k`` cells whose contexts are the most similar, the nearest first."""
    cells = sorted(cells, key=_place)
    return sorted(cells, key=lambda cell: -similarity[cell[0]])[:k]


_place = itemgetter(0, 1, 2)


def records_of(rows: Sequence[RecordRow], points: Points) -> rank.Records:
    """The patterns' records; behind them, what the changed ones were before, in the same order."""
    numbers = np.array([row[2:] for row in rows], float).reshape(-1, 4)
    tries, total = numbers[:, 0].copy(), numbers[:, 1].copy()
    prior_tries = rank.prior_tries(numbers[:, 2])
    prior_total = prior_tries * numbers[:, 3] / np.maximum(numbers[:, 2], 1)
    changed = np.zeros(len(rows))
    early: list[list[float]] = []
    for n, row in enumerate(rows):
        if point := points.get(row.pattern_no):
            early.append(
                [point.tries_before, point.tries_before * point.before, prior_tries[n], prior_total[n]]
            )
            tries[n], total[n] = point.tries_after, point.tries_after * point.after
            prior_tries[n] = prior_total[n] = 0.0  # what others said was said of before
            changed[n] = 1.0
    before = np.array(early, float).reshape(-1, 4).T
    return rank.Records(
        np.append(tries, before[0]),
        np.append(total, before[1]),
        np.append(prior_tries, before[2]),
        np.append(prior_total, before[3]),
        np.append(changed, np.ones(len(early))),
    )


def cells_of(
    near: Sequence[Cell],
    rows: Sequence[RecordRow],
    points: Points,
    query: Vector,
    vectors: Sequence[Vector],
    center: Sequence[float],
) -> rank.Cells:
    """The cells ``near``, with the vectors of their contexts, as seen from the context ``query``."""
    current = {row.pattern_no: n for n, row in enumerate(rows)}
    changed = [row.pattern_no for row in rows if row.pattern_no in points]
    early = {number: len(rows) + n for n, number in enumerate(changed)}
    # Each context once: most have several cells.
    contexts = {cell.context_id: vector for cell, vector in zip(near, vectors, strict=True)}
    numbers = {name: n for n, name in enumerate(contexts)}
    place = np.array([numbers[cell.context_id] for cell in near], np.int64)
    seen = rank.centred(np.array([*contexts.values(), query], float), center)
    matrix = seen[:-1]
    return rank.Cells(
        np.array([(early if c.early else current)[c.pattern_no] for c in near], np.int64),
        (matrix @ seen[-1])[place],
        matrix @ matrix.T,
        np.array([cell.worth for cell in near], float),
        np.array([cell.mean_outcome for cell in near], float),
        place,
    )


def without(records: rank.Records, rows: Sequence[RecordRow], cells: Sequence[Cell]) -> rank.Records:
    """Records as they would be without these cells."""
    place = {row.pattern_no: n for n, row in enumerate(rows)}
    tries, total = records.tries.copy(), records.total.copy()
    for cell in cells:
        if cell.pattern_no in place:
            tries[place[cell.pattern_no]] -= cell.worth
            total[place[cell.pattern_no]] -= cell.worth * cell.mean_outcome
    tries = np.maximum(tries, 0)
    return rank.Records(
        tries, np.clip(total, 0, tries), records.prior_tries, records.prior_total, records.changed
    )
