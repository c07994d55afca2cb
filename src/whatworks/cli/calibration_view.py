"""What people see of the calibration ledger."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

from whatworks.cli.show import NONE, console, count, interval, number, one_line, say, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from whatworks.ledgers import Calibration, CalibrationScore, ReliabilityBin
from whatworks.records import Estimate

__all__ = ["calibration"]

# A column for each twentieth of an outcome, and one for 1.
SCALE = 21
_FINE, _PLAIN = ("░", "●", "│"), (".", "o", "|")
# Scores of a group, and what they mean.
_SCORES = (
    ("brier", "Brier score", "mean squared error; 0 is best"),
    ("reliability", "reliability", "added by untrue numbers"),
    ("resolution", "- resolution", "taken off by telling cases apart"),
    ("uncertainty", "+ uncertainty", "of the outcomes themselves"),
    ("within", "+ within bins", "of numbers that share a bin"),
    ("skill", "skill", "1 is best; 0: as good as the mean"),
    ("log_loss", "log loss", "0 is best; being sure costs most"),
    ("ece", "ECE", "mean difference of said and seen"),
)


def calibration(found: Calibration, *, by: Literal["type", "age", "source"] | None) -> None:
    """Sentences, the reliability table, the scores, and the groups that were asked for."""
    for sentence in found.summary:
        _paragraph(sentence)
    if found.overall.bins:
        say("")
        show(_reliability(found.overall.bins))
        say("")
        show(_scores(found.overall))
    if by is not None:
        say("")
        show(_groups({"type": found.by_type, "age": found.by_age, "source": found.by_source}[by], by))
    if found.recalibration is not None and found.recalibration.curve:
        say("")
        show(_curve(found.recalibration.curve))


def _paragraph(sentence: str) -> None:
    for line in wrap(one_line(sentence), console().width):
        say(line)


def _reliability(bins: Sequence[ReliabilityBin]) -> RenderableType:
    rows = [
        (
            f"{item.least:.2f}-{item.most:.2f}",
            count(item.outcomes),
            number(item.mean_prediction),
            interval(item.mean_outcome, item.low, item.high),
            _scale(item),
        )
        for item in bins
    ]
    marks = _PLAIN if console().options.ascii_only else _FINE
    columns = (
        "said",
        ">outcomes",
        ">on average",
        ">seen (95 %)",
        f"0 {marks[2]} said {marks[1]} seen 1",
    )
    return table(columns, rows)


def _scale(item: ReliabilityBin) -> Text:
    """A line from 0 to 1 with the interval, the mean outcome and, above it, the mean prediction."""
    from rich.text import Text

    band, seen, said = _PLAIN if console().options.ascii_only else _FINE
    low, high = _place(item.low), _place(item.high)
    line = [band if low <= n <= high else " " for n in range(SCALE)]
    line[_place(item.mean_outcome)] = seen
    line[_place(item.mean_prediction)] = said
    styles = {band: "dim", seen: "bold", said: "cyan"}
    return Text.assemble(*((mark, styles.get(mark, "")) for mark in line))


def _place(value: float) -> int:
    return round(value * (SCALE - 1))


def _scores(score: CalibrationScore) -> RenderableType:
    rows = [(name, _figure(getattr(score, key)), meaning) for key, name, meaning in _SCORES]
    held = score.intervals.coverage
    rows.append(("80 % intervals hold", _figure(held), "of the true rates; 0.80 is right"))
    return table(("score", ">value (95 %)", "*what it is"), rows)


def _figure(figure: Estimate | None) -> str:
    if figure is None:
        return NONE
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _groups(groups: Sequence[CalibrationScore], by: str) -> RenderableType:
    rows = [
        (
            one_line(group.name),
            count(group.outcomes),
            number(group.mean_prediction),
            _short(group.mean_outcome),
            _short(group.brier),
            "may be chance" if group.level == "no difference found" else group.level,
        )
        for group in groups
    ]
    return table((f"*{by}", ">outcomes", ">said", ">seen (95 %)", ">Brier (95 %)", "is"), rows)


def _short(figure: Estimate | None) -> str:
    return NONE if figure is None else interval(figure.value, figure.low, figure.high)


def _curve(curve: Sequence[tuple[float, float]]) -> RenderableType:
    return table(
        ("said", *(f">{before:.1f}" for before, _ in curve)),
        [("corrected", *(number(after) for _, after in curve))],
    )
