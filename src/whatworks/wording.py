"""What the figures of the calibration ledger mean, in sentences that the figures support."""

from __future__ import annotations

from collections.abc import Iterator

from whatworks.calibration import FEWEST
from whatworks.ledgers import CalibrationScore, IntervalCheck, Recalibration
from whatworks.records import Estimate

__all__ = ["coverage", "intervals", "recalibration", "score"]

# Below this the predictions without an outcome are the majority, and may be of another kind.
LOW_COVERAGE = 0.5
# A change of a Brier score that is shown as 0.000.
NOTHING = 0.0005


def coverage(shown: int, resolved: int) -> Iterator[str]:
    """How many predictions have an outcome, with a warning where most have none."""
    if not shown:
        yield "No predictions were made in this time."
        return
    yield f"{resolved:,} of {_many(shown, 'prediction')} ({_percent(resolved / shown)}) got an outcome."
    if resolved / shown < LOW_COVERAGE:
        yield (
            "Most never did, and the others may be of another kind: all that follows is about "
            "those with an outcome. Record outcomes with the prediction_id."
        )


def score(found: CalibrationScore, *, binary: bool) -> tuple[str, ...]:
    """What a score says, the most important first; ``binary`` if all outcomes are 0 or 1."""
    if found.bias is None:
        missing = FEWEST - found.contexts
        return (
            f"{_outcomes(found)} too few to judge predictions by: outcomes from "
            f"{_many(missing, 'more situation')} are needed.",
        )
    return (*_bias(found, binary), *_spread(found), *_error(found), *_skill(found))


def _outcomes(found: CalibrationScore) -> str:
    are = "is" if found.outcomes == 1 else "are"
    return f"{_many(found.outcomes, 'outcome')} from {_many(found.contexts, 'situation')} {are}"


def _bias(found: CalibrationScore, binary: bool) -> Iterator[str]:
    came, said = found.mean_outcome, found.mean_prediction
    if came is None or said is None or found.bias is None:
        return
    works = "it works {} of the time" if binary else "outcomes are {} on average"
    about = f"{_range(came)}, {_many(found.outcomes, 'outcome')}"
    points = _points(found.bias.value)
    yield (
        f"It says {_percent(said)} on average, and {works.format(_percent(came.value))} ({about}): "
        + (
            f"a difference of {points}, which may be chance."
            if found.level == "no difference found"
            else f"{found.level} by about {points}."
        )
    )


def _spread(found: CalibrationScore) -> Iterator[str]:
    how = {"too far apart": "less", "too close together": "more"}.get(found.spread)
    if how is not None:
        yield (
            f"Predictions are {found.spread}: outcomes differ {how} between low and high ones "
            f"(z = {found.spread_z or 0:.1f}, where true predictions stay within 2.2)."
        )


def _error(found: CalibrationScore) -> Iterator[str]:
    if found.ece is not None and found.ece_by_chance is not None:
        yield (
            f"In {_many(len(found.bins), 'bin')}, said and seen differ by {_points(found.ece.value)} "
            f"on average; for true predictions chance alone makes {_points(found.ece_by_chance)}."
        )


def _skill(found: CalibrationScore) -> Iterator[str]:
    skill = found.skill
    if skill is None:
        yield "All outcomes are the same: whether predictions tell cases apart cannot be seen."
    elif skill.low > 0:
        yield f"It tells cases apart: the Brier score is {_than_mean(skill)} the mean outcome."
    elif skill.high < 0:
        yield f"Always saying the mean outcome would have been better: skill {_signed(skill)}."
    else:
        yield f"It is not clear that it tells cases apart: skill {_signed(skill)} against the mean."


def _than_mean(skill: Estimate) -> str:
    return f"{_percent(skill.value)} ({_range(skill)}) lower than that of always saying"


def intervals(found: IntervalCheck) -> str:
    """Whether the stored intervals are as wide as they should be."""
    promised = f"{_percent(found.level)} intervals"
    if found.coverage is None or found.width is None:
        return (
            f"Whether {promised} hold can be seen only where a pattern is tried again in the same "
            f"situation after a further prediction: {_many(found.contexts, 'such situation')} so far, "
            f"{_at_least(found.contexts)}."
        )
    held = f"{promised} hold about {_percent(found.coverage.value)} ({_range(found.coverage)})"
    about = f"of the true rates, by {_many(found.repeats, 'repeated try', 'repeated tries')}"
    if found.coverage.low <= found.level <= found.coverage.high:
        return f"{held} {about}: no difference found."
    kind = "narrow" if found.coverage.value < found.level else "wide"
    return f"{held} {about}: too {kind}, {_times(found.width.value)} the width would be right."


def _times(width: float) -> str:
    if width < 0.1:
        return "less than a tenth of"
    return f"{width:.1f} times" if width <= 10 else "more than ten times"


def _at_least(contexts: int) -> str:
    if contexts >= FEWEST:
        return "and their outcomes do not vary"
    return f"{FEWEST} are needed"


def recalibration(found: Recalibration, early: int, late: int) -> str:
    """Whether a correction would have helped; ``early``, ``late`` are numbers of situations."""
    if found.brier_change is None or found.brier_before is None or found.brier_after is None:
        return (
            f"Too little to learn a correction from: {_many(early, 'situation')} with outcomes in the "
            f"earlier half of the time, {late} in the later; {FEWEST} are needed in each."
        )
    done = (
        f"{found.method.capitalize()} recalibration, learned from the "
        f"{_many(found.learned_from, 'outcome')} known by {found.learned_until:%Y-%m-%d}, would have "
        f"moved the Brier score of the {found.judged_on:,} later ones from "
        f"{found.brier_before.value:.3f} to {found.brier_after.value:.3f} "
        f"({_change(found.brier_change)}): "
    )
    if abs(found.brier_change.value) < NOTHING:
        return done + "that changes nothing."
    if found.helps:
        return done + "it helps."
    if found.brier_change.low > 0:
        return done + "it does not help, it makes it worse."
    return done + "that does not show that it helps."


# -- numbers --------------------------------------------------------------------------------------


def _many(n: int, one: str, more: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _range(figure: Estimate) -> str:
    return f"{100 * figure.low:.0f} to {100 * figure.high:.0f}"


def _points(value: float) -> str:
    return _many(round(100 * abs(value)), "point")


def _signed(figure: Estimate) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


def _change(figure: Estimate) -> str:
    return f"{figure.value:+.3f}, {figure.low:+.3f} to {figure.high:+.3f}"
