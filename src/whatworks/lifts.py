"""Lift: what showing a pattern changes, from predictions that withheld it at random.

A pattern that always rides along with a good one is seen where outcomes are good, and has no
part in them. So predictions that withhold it are compared with predictions that would have
withheld it with a known probability and withheld nothing: the same situations but for chance. With
``e_i`` the probability that this very pattern was withheld and ``1 - s_i`` that nothing was

    withheld = sum(r_i / e_i) / sum(1 / e_i)               over those that withheld it
    shown    = sum(r_i / (1 - s_i)) / sum(1 / (1 - s_i))   over those that withheld nothing

(Hajek 1971). Predictions that withheld another pattern are on neither side: only one is withheld
at a time, so that they would make every bystander look worse by what the other one is worth.

The interval is Newcombe's (1998, method 10), with the 95 % intervals of Jeffreys' prior on each side,
at the effective number of predictions (sum of weights)^2 / sum of squares: sides without a single
failure have an interval, too. For graded outcomes it is on the safe side. Each prediction drew for
itself, so repeats in one context need no clustering for the lift in the situations that came
(Neyman 1923).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, sqrt
from typing import Any, NamedTuple

import numpy as np

from whatworks.beta import JEFFREYS, rate_interval
from whatworks.records import Effect, Estimate, Lift

__all__ = ["Showing", "lift", "showings"]

LEVEL, Z = 0.95, 1.959963984540054
# Predictions with an outcome that each side needs before there is a verdict.
LEAST = 10
# A lift known to within this, without being one, is called no difference.
NO_DIFFERENCE = 0.1


class Showing(NamedTuple):
    """A prediction in which one pattern could have been withheld.

    ``probability`` is that of what happened: of withholding it, or of
    withholding nothing. ``outcome`` is ``None`` where nothing is known of it.
    """

    pattern_id: str
    context: str
    withheld: bool
    probability: float
    outcome: float | None


def showings(receipt: Mapping[str, Any], outcome: float | None) -> list[Showing]:
    """What a prediction says of the patterns that it could have withheld."""
    each, context = receipt["mask_propensity"], receipt["context"]
    if receipt["masked"] is not None:
        return [Showing(receipt["masked"], context, True, each, outcome)]
    worth = [a for a in receipt["answers"] if a["verdict"] in ("recommended", "worth trying")]
    nothing = 1 - each * len(worth)
    return [Showing(a["pattern_id"], context, False, nothing, outcome) for a in worth]


class _Side(NamedTuple):
    """One of the two sides: predictions, effective ones, mean outcome and its interval."""

    number: int
    size: float
    mean: float
    low: float
    high: float

    @property
    def variance(self) -> float:
        """Of one outcome, as far as is known."""
        mean = (self.mean * self.size + JEFFREYS) / (self.size + 2 * JEFFREYS)
        return mean * (1 - mean)


def _side(found: Sequence[Showing]) -> _Side:
    known = [(1 / each.probability, each.outcome) for each in found if each.outcome is not None]
    weight, outcome = np.array(known, float).reshape(-1, 2).T
    if not len(weight):
        return _Side(0, 0.0, 0.5, 0.0, 1.0)
    size = float(weight.sum() ** 2 / (weight**2).sum())
    mean = float((weight * outcome).sum() / weight.sum())
    low, high = rate_interval(np.array([mean * size]), np.array([size]), LEVEL)
    # Jeffreys' interval leaves out 0 and 1 even where nothing else was seen.
    return _Side(len(weight), size, mean, min(float(low[0]), mean), max(float(high[0]), mean))


def lift(pattern_id: str, context: str | None, found: Iterable[Showing]) -> Lift:
    """The lift of one pattern from the predictions that could have withheld it.

    Parameters
    ----------
    context
        The one that all of them are of, ``None`` for all kinds.

    Returns
    -------
    ``helps`` or ``hurts`` where the interval leaves out 0, ``no difference`` where it is
    narrower than 0.1 to either side; else, or with fewer than 10 outcomes on a side, ``too
    little data``.
    """
    both = list(found)
    shown = _side([each for each in both if not each.withheld])
    withheld = _side([each for each in both if each.withheld])
    value = _difference(shown, withheld) if shown.number and withheld.number else None
    verdict = _verdict(value, min(shown.number, withheld.number))
    return Lift(
        pattern_id=pattern_id,
        context=context,
        verdict=verdict,
        lift=value,
        shown=shown.number,
        shown_mean=shown.mean if shown.number else None,
        withheld=withheld.number,
        withheld_mean=withheld.mean if withheld.number else None,
        unresolved=len(both) - shown.number - withheld.number,
        needed=_needed(shown, withheld) if verdict == "too little data" else 0,
    )


def _difference(shown: _Side, withheld: _Side) -> Estimate:
    value = shown.mean - withheld.mean
    below = sqrt((shown.mean - shown.low) ** 2 + (withheld.high - withheld.mean) ** 2)
    above = sqrt((shown.high - shown.mean) ** 2 + (withheld.mean - withheld.low) ** 2)
    return Estimate(value, max(value - below, -1.0), min(value + above, 1.0))


def _verdict(value: Estimate | None, least: int) -> Effect:
    if value is None or least < LEAST:
        return "too little data"
    if value.low > 0 or value.high < 0:
        return "helps" if value.low > 0 else "hurts"
    narrow = max(value.high - value.value, value.value - value.low) <= NO_DIFFERENCE
    return "no difference" if narrow else "too little data"


def _needed(shown: _Side, withheld: _Side) -> int:
    """How many more must withhold it until the interval is 0.1 to either side, roughly.

    If the two sides go on to grow as they did; z^2 (v_0 / n_0 + v_1 / n_1) is solved for n_0.
    """
    ratio = withheld.size / shown.size if shown.size else 1.0
    enough = (Z / NO_DIFFERENCE) ** 2 * (withheld.variance + ratio * shown.variance)
    return max(ceil(enough - withheld.size), LEAST - withheld.number, 1)
