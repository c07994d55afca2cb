"""What the calibration ledger says: frozen dataclasses, no behaviour."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from whatworks.frozen import dataclass
from whatworks.records import Estimate

if TYPE_CHECKING:
    import altair

__all__ = [
    "Calibration",
    "CalibrationScore",
    "IntervalCheck",
    "Recalibration",
    "ReliabilityBin",
]

Level = Literal["too hopeful", "too modest", "no difference found", "too little data"]
Spread = Literal["too far apart", "too close together", "no difference found", "too little data"]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions from ``least`` to ``most``, and what came of them.

    ``low``..``high`` is the 95 % interval of ``mean_outcome``.
    """

    least: float
    most: float
    outcomes: int
    mean_prediction: float
    mean_outcome: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class IntervalCheck:
    """Whether the stored intervals hold the true rates as often as they promise (``level``).

    ``coverage`` is the share that does, ``width`` how many times as wide they
    should be. Both are learned from the ``repeats``: tries of the same pattern
    in the same situation (``contexts`` of them) after a further prediction.
    """

    level: float
    repeats: int
    contexts: int
    coverage: Estimate | None
    width: Estimate | None
    sentence: str


@dataclass(frozen=True, slots=True)
class CalibrationScore:
    """How predictions compare with what came of them; ``None`` where there is too little to say.

    ``brier = reliability - resolution + uncertainty + within``. ``bias`` is
    the mean prediction minus the mean outcome, ``skill`` the share by which
    the Brier score is lower than that of always saying the mean outcome.
    ``ece_by_chance`` is what ``ece`` would be for true predictions with as
    many outcomes. ``bias_z`` and ``spread_z`` are standard normal if all
    predictions are true; above 0, they are too high, and they differ more than
    outcomes do. ``level`` and ``spread`` say so beyond 2.24, where both
    together are wrong for one in twenty. ``whatworks.calibration`` has the
    formulas.
    """

    name: str
    outcomes: int
    contexts: int
    mean_prediction: float | None
    mean_outcome: Estimate | None
    intervals: IntervalCheck
    bias: Estimate | None = None
    brier: Estimate | None = None
    reliability: Estimate | None = None
    resolution: Estimate | None = None
    uncertainty: Estimate | None = None
    within: Estimate | None = None
    skill: Estimate | None = None
    log_loss: Estimate | None = None
    ece: Estimate | None = None
    ece_by_chance: float | None = None
    bias_z: float | None = None
    spread_z: float | None = None
    level: Level = "too little data"
    spread: Spread = "too little data"
    bins: tuple[ReliabilityBin, ...] = ()
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What a correction learned from earlier outcomes would have done to later predictions.

    Learned from what was known at ``learned_until``, judged on what was
    predicted from then on. Changes are after minus before: below 0 is better.
    ``helps`` is true if the interval of ``brier_change`` is below 0. ``curve``
    has what 0.1, 0.2 .. 0.9 would become.
    """

    method: Literal["isotonic", "beta"]
    learned_until: datetime | None
    learned_from: int
    judged_on: int
    brier_before: Estimate | None = None
    brier_after: Estimate | None = None
    brier_change: Estimate | None = None
    ece_before: Estimate | None = None
    ece_after: Estimate | None = None
    ece_change: Estimate | None = None
    helps: bool | None = None
    curve: tuple[tuple[float, float], ...] = ()
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether a store's predictions were right: its own receipts against its own outcomes.

    ``shown`` predictions were made, ``resolved`` of them got an outcome,
    ``coverage`` is their share. Groups are those of the pattern's type as it
    is now, of the days since the newest outcome became known, and of the
    source of that outcome; at most 50 of a kind, the most outcomes first, by
    age the newest first. ``summary`` says it in sentences.
    """

    since: datetime | None
    as_of: datetime | None
    shown: int
    resolved: int
    coverage: float | None
    overall: CalibrationScore
    by_type: tuple[CalibrationScore, ...]
    by_age: tuple[CalibrationScore, ...]
    by_source: tuple[CalibrationScore, ...]
    recalibration: Recalibration | None
    summary: tuple[str, ...]

    def plot(self) -> altair.LayerChart:
        """Outcomes against predictions, as ``plots.calibration``; needs the extra ``plot``."""
        from whatworks.plots import calibration

        return calibration(self)
