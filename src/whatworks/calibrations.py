"""How ``calibration`` is answered: join receipts with outcomes, score, group, say it in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whatworks import calibration, wording
from whatworks.checks import micros, moment_of
from whatworks.evidence import ledger
from whatworks.evidence.ledger import Entries
from whatworks.interval_check import interval_coverage, repeats
from whatworks.keeper import Keeper
from whatworks.ledgers import (
    Calibration,
    CalibrationScore,
    IntervalCheck,
    Level,
    Recalibration,
    Spread,
)
from whatworks.recalibration import METHODS, judged

__all__ = ["Calibrations"]

# The level of the intervals that receipts hold.
INTERVAL_LEVEL = 0.80
# Two tests of each group; a twentieth of true groups is flagged by either (Bonferroni): the
# normal quantile of 1 - 0.05 / 4.
FLAG_Z = 2.2414
# Days since the outcome became known, and what to call what is not older.
AGES = ((7, "up to 7 days"), (30, "8 to 30 days"))
OLDER = "older"
# Each group costs milliseconds; more than these nobody reads.
MOST_GROUPS = 50
CURVE = tuple(n / 10 for n in range(1, 10))

Method = Literal["isotonic", "beta"]
Group = tuple[str, NDArray[np.bool_]]


class Calibrations:
    """Whether predictions were right, from the layers of a keeper."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def calibration(
        self,
        *,
        since: datetime | None,
        as_of: datetime | None,
        recalibrate: Method | None,
        seed: int,
        now: datetime,
    ) -> Calibration:
        """The store's receipts against its outcomes."""
        evidence = self._keeper.evidence(receipts=True)
        found = ledger.entries(evidence, since=since, as_of=as_of)
        shown = ledger.shown(evidence, since=since, as_of=as_of)
        resolved = len(np.unique(found.prediction))
        overall = _score("all", found, seed)
        corrected = None if recalibrate is None else _recalibration(found, recalibrate, seed)

        def scored(groups: Iterator[Group]) -> tuple[CalibrationScore, ...]:
            return tuple(_score(name, _only(found, chosen), seed) for name, chosen in groups)

        return Calibration(
            since=since,
            as_of=as_of,
            shown=shown,
            resolved=resolved,
            coverage=resolved / shown if shown else None,
            overall=overall,
            by_type=scored(_groups(found.pattern_type)),
            by_age=scored(_ages(found.known_at, as_of or now)),
            by_source=scored(_groups(found.source)),
            recalibration=corrected,
            summary=(
                *wording.coverage(shown, resolved),
                *overall.sentences,
                overall.intervals.sentence,
                *([corrected.sentence] if corrected else []),
            ),
        )


# -- groups ---------------------------------------------------------------------------------------


def _only(found: Entries, chosen: NDArray[Any]) -> Entries:
    return Entries(*(column[chosen] for column in found))


def _groups(names: NDArray[Any]) -> Iterator[Group]:
    """Rows by name, the most first."""
    values, counts = np.unique(names.astype(str), return_counts=True)
    for n in np.argsort(-counts, kind="stable")[:MOST_GROUPS]:
        yield str(values[n]), names == values[n]


def _ages(known_at: NDArray[Any], now: datetime) -> Iterator[Group]:
    """Rows by the age of their newest outcome, the newest first; empty groups are left out."""
    left = np.ones(len(known_at), bool)
    for days, name in AGES:
        chosen = left & (known_at >= micros(now - timedelta(days=days)))
        left &= ~chosen
        if chosen.any():
            yield name, chosen
    if left.any():
        yield OLDER, left


# -- scores ---------------------------------------------------------------------------------------


def _score(name: str, rows: Entries, seed: int) -> CalibrationScore:
    p, y, context = rows.expected, rows.outcome, rows.context
    contexts = len(np.unique(context))
    plain = CalibrationScore(
        name=name,
        outcomes=len(y),
        contexts=contexts,
        mean_prediction=float(p.mean()) if len(p) else None,
        mean_outcome=calibration.rate(y, context) if len(y) else None,
        intervals=_intervals(rows, seed),
    )
    made = plain if contexts < calibration.FEWEST else _judged(plain, rows, seed)
    return replace(made, sentences=wording.score(made, binary=calibration.is_binary(y)))


def _judged(plain: CalibrationScore, rows: Entries, seed: int) -> CalibrationScore:
    """The score with all figures; there are contexts enough."""
    p, y, context = rows.expected, rows.outcome, rows.context
    bin_of = calibration.bins(p)
    bias_z, spread_z = calibration.z_scores(p, y, context)
    figures: dict[str, Any] = {**calibration.scores(p, y, context, bin_of, seed=seed)}
    return replace(
        plain,
        **figures,
        ece_by_chance=calibration.chance_error(p, y, context, bin_of),
        bias_z=bias_z,
        spread_z=spread_z,
        level=_level(bias_z or 0.0),
        spread=_spread(spread_z or 0.0),
        bins=calibration.table(p, y, context, bin_of),
    )


def _level(z: float) -> Level:
    if abs(z) < FLAG_Z:
        return "no difference found"
    return "too hopeful" if z > 0 else "too modest"


def _spread(z: float) -> Spread:
    if abs(z) < FLAG_Z:
        return "no difference found"
    return "too far apart" if z > 0 else "too close together"


def _intervals(rows: Entries, seed: int) -> IntervalCheck:
    pairs = repeats(rows.context, rows.pattern)
    contexts = len(np.unique(rows.context[pairs[0]]))
    coverage, width = None, None
    if contexts >= calibration.FEWEST:
        coverage, width = interval_coverage(
            rows.expected,
            rows.low,
            rows.high,
            rows.n_effective,
            rows.outcome,
            rows.context,
            pairs,
            seed=seed,
        )
    made = IntervalCheck(INTERVAL_LEVEL, len(pairs[0]), contexts, coverage, width, "")
    return replace(made, sentence=wording.intervals(made))


# -- recalibration --------------------------------------------------------------------------------


def _recalibration(found: Entries, method: Method, seed: int) -> Recalibration:
    """What a correction would have done: learned from the first half, judged on the second.

    Of the first half only what was known when the second half began.
    """
    border = found.made_at[len(found.made_at) // 2] if len(found.made_at) else 0
    early = _only(found, (found.made_at < border) & (found.known_at <= border))
    late = _only(found, found.made_at >= border)
    made = Recalibration(
        method=method,
        learned_until=moment_of(int(border)) if border else None,
        learned_from=len(early.outcome),
        judged_on=len(late.outcome),
    )
    situations = [len(np.unique(half.context)) for half in (early, late)]
    if min(situations) >= calibration.FEWEST:
        made = _corrected(made, early, late, seed)
    return replace(made, sentence=wording.recalibration(made, *situations))


def _corrected(made: Recalibration, early: Entries, late: Entries, seed: int) -> Recalibration:
    correction = METHODS[made.method].fit(early.expected, early.outcome)
    after = correction.apply(late.expected)
    figures: dict[str, Any] = {**judged(late.expected, after, late.outcome, late.context, seed=seed)}
    change = figures["brier_change"]
    curve = zip(CURVE, correction.apply(np.array(CURVE)).tolist(), strict=True)
    return replace(
        made, **figures, helps=None if change is None else change.high < 0, curve=tuple(curve)
    )
