"""Corrections of probabilities, learned from their outcomes: pure mathematics, no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whatworks.calibration import EDGE, PLAIN, bins, resampled, score_sums, scores_of
from whatworks.rank import BOUNDS
from whatworks.records import Estimate

__all__ = ["METHODS", "BetaCorrection", "Correction", "Isotonic", "judged"]

Float64 = NDArray[np.float64]

# The correction that changes nothing, and how much it weighs: as much as the outcomes tell
# of a coefficient when they tell it to within one.
UNCHANGED, PULL = np.array([1.0, 1.0, 0.0]), 1.0


class Correction(Protocol):
    """What has learned how to correct probabilities."""

    def apply(self, expected: Float64) -> Float64:
        """The corrected probabilities, of the same shape, in ``rank.BOUNDS``, in the same order."""
        ...


@dataclass(frozen=True, slots=True)
class Isotonic:
    """The non-decreasing function of the prediction that fits the outcomes best.

    By pooling adjacent violators (Barlow, Bartholomew, Bremner & Brunk 1972,
    Statistical Inference under Order Restrictions, 1.2): predictions whose
    outcomes are out of order get their common mean. Between them straight
    lines, outside the nearest level.
    """

    at: Float64
    level: Float64

    @classmethod
    def fit(cls, expected: Float64, outcome: Float64) -> Isotonic:
        """Learn from predictions and outcomes, each of shape ``(n,)``, ``n >= 1``, in [0, 1]."""
        at, place, counts = np.unique(expected, return_inverse=True, return_counts=True)
        means = np.bincount(place, outcome) / counts
        blocks: list[tuple[float, int, int]] = []  # mean, rows, different predictions
        for mean, count in zip(means.tolist(), counts.tolist(), strict=True):
            block = (mean, count, 1)
            while blocks and blocks[-1][0] >= block[0]:
                block = _pooled(blocks.pop(), block)
            blocks.append(block)
        level = np.repeat([block[0] for block in blocks], [block[2] for block in blocks])
        return cls(at, level)

    def apply(self, expected: Float64) -> Float64:
        """The corrected probabilities: see ``Correction``."""
        return np.clip(np.interp(expected, self.at, self.level), *BOUNDS)


def _pooled(a: tuple[float, int, int], b: tuple[float, int, int]) -> tuple[float, int, int]:
    rows = a[1] + b[1]
    return (a[0] * a[1] + b[0] * b[1]) / rows, rows, a[2] + b[2]


@dataclass(frozen=True, slots=True)
class BetaCorrection:
    """Three numbers that bend probabilities: ln odds of q = a ln p - b ln(1 - p) + c.

    Beta calibration (Kull, Silva Filho & Flach 2017, Electron. J. Stat.
    11:5052-5080): a logistic regression on ln p and -ln(1 - p), with a and b
    at least 0, so that the order stays. a = b = 1, c = 0 changes nothing;
    coefficients are drawn to that as by a normal prior of variance 1, which
    keeps them finite where few outcomes can be told apart. Graded outcomes
    enter as shares (Papke & Wooldridge 1996, J. Appl. Econometrics 11:619-632).
    """

    a: float
    b: float
    c: float

    @classmethod
    def fit(cls, expected: Float64, outcome: Float64) -> BetaCorrection:
        """Learn from predictions and outcomes, each of shape ``(n,)``, in [0, 1]."""
        features = _features(expected)
        free = np.ones(3, bool)
        while True:
            found = _newton(features, outcome, free)
            if not (found[:2] < 0).any():
                return cls(*found.tolist())
            free[:2] &= found[:2] >= 0

    def apply(self, expected: Float64) -> Float64:
        """The corrected probabilities: see ``Correction``."""
        return np.clip(_chance(_features(expected) @ [self.a, self.b, self.c]), *BOUNDS)


def _features(expected: Float64) -> Float64:
    p = np.clip(expected, EDGE, 1 - EDGE)
    return np.stack([np.log(p), -np.log1p(-p), np.ones_like(p)], axis=-1)


def _chance(odds: Float64) -> Float64:
    return 1 / (1 + np.exp(-np.clip(odds, -700, 700)))


def _newton(features: Float64, outcome: Float64, free: NDArray[np.bool_]) -> Float64:
    """The most likely coefficients, 0 where not ``free``; a step that makes it worse is halved."""
    found = np.where(free, UNCHANGED, 0.0)

    def loss(at: Float64) -> float:
        odds = features @ at
        fit = np.logaddexp(0, odds) - outcome * odds
        return float(fit.sum() + PULL / 2 * ((at - UNCHANGED) ** 2).sum())

    for _ in range(50):
        chance = _chance(features @ found)
        slope = features.T @ (chance - outcome) + PULL * (found - UNCHANGED)
        bend = (features.T * (chance * (1 - chance))) @ features + PULL * np.eye(3)
        step = np.zeros(3)
        step[free] = np.linalg.solve(bend[np.ix_(free, free)], slope[free])
        while loss(found - step) > loss(found) and np.abs(step).max() > 1e-10:
            step /= 2
        found = found - step
        if np.abs(step).max() < 1e-9:
            break
    return found


METHODS: dict[str, type[Isotonic] | type[BetaCorrection]] = {
    "isotonic": Isotonic,
    "beta": BetaCorrection,
}


def judged(
    before: Float64, after: Float64, outcome: Float64, context: NDArray[Any], *, seed: int
) -> dict[str, Estimate | None]:
    """Brier score and ECE before and after a correction, and their change, with 95 % intervals.

    Both are resampled together, so that the interval of the change is that of
    the same outcomes judged twice.

    Parameters
    ----------
    before, after, outcome, context
        Shape ``(n,)``, ``n >= 1``: outcomes that the correction has not seen.

    Returns
    -------
    ``brier_before``, ``brier_after``, ``brier_change`` (after minus before;
    below 0 is better), and the same of ``ece``.
    """
    bins_of = bins(before), bins(after)
    columns = chain(score_sums(before, outcome, bins_of[0]), score_sums(after, outcome, bins_of[1]))
    border = PLAIN + 3 * (int(bins_of[0].max()) + 1)

    def figures(sums: Float64) -> dict[str, Float64]:
        old, new = scores_of(sums[..., :border]), scores_of(sums[..., border:])
        found: dict[str, Float64] = {}
        for name in ("brier", "ece"):
            found |= {f"{name}_before": old[name], f"{name}_after": new[name]}
            found[f"{name}_change"] = new[name] - old[name]
        return found

    return resampled(columns, context, figures, seed=seed)
