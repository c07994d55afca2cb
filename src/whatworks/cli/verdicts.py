"""What people see of judgements on earlier choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from whatworks.cli.show import NONE, cell, count, facts, number, say, show, table

if TYPE_CHECKING:
    from whatworks.records import Estimate, Evaluation, Lift, Pattern

__all__ = ["evaluation", "lifts"]

_VERDICTS = {"helps": "green", "hurts": "red", "no difference": "yellow", "too little data": "dim"}


def evaluation(found: Evaluation) -> None:
    """The estimates beside the mean of what was done, or why there are none."""
    if found.reason is not None:
        say(f"refused: {found.reason}")
    else:
        rows = [
            ("mean of what was done", _interval(found.logged)),
            (f"{found.policy}, doubly robust", _interval(found.dr)),
            (f"{found.policy}, self-normalised", _interval(found.snips)),
            (f"{found.policy}, inverse propensity", _interval(found.ips)),
            ("difference, doubly robust", _interval(found.difference, signed=True)),
        ]
        show(table(("mean outcome", ">estimate (95 %)"), rows))
    say("")
    show(facts(_basis(found)))


def _basis(found: Evaluation) -> list[tuple[str, str]]:
    used = f"{count(found.decisions)} of {count(found.predictions)} predictions"
    return [
        ("decisions", f"{used}, in {count(found.contexts)} contexts"),
        (
            "left out",
            f"{count(found.overridden)} overridden, {count(found.unresolved)} without an outcome",
        ),
        ("support", NONE if found.support is None else f"{found.support:.0%}"),
        ("worth", f"{number(found.effective_size, 1)} decisions"),
        ("weights", f"{number(found.mean_weight)} on average, {number(found.largest_weight)} at most"),
    ]


def _interval(value: Estimate | None, *, signed: bool = False) -> str:
    if value is None:
        return NONE
    form = "+.2f" if signed else ".2f"
    return f"{value.value:{form}} ({value.low:{form}} to {value.high:{form}})"


def lifts(found: Sequence[Lift], patterns: Mapping[str, Pattern]) -> None:
    """What showing each pattern changes, and how sure that is."""
    if not found:
        say("nothing was left to chance: predict with --mask 0.05 for a while")
        return
    rows = [
        (
            _interval(item.lift, signed=True),
            _side(item.shown_mean, item.shown),
            _side(item.withheld_mean, item.withheld),
            cell((item.verdict, _VERDICTS[item.verdict]), *_needed(item)),
            cell(*_names(item, patterns)),
        )
        for item in found
    ]
    show(table((">lift (95 %)", ">shown", ">withheld", "verdict", "*pattern"), rows))


def _side(mean: float | None, n: int) -> str:
    return f"{number(mean)} in {count(n)}"


def _names(item: Lift, patterns: Mapping[str, Pattern]) -> list[str | tuple[str, str]]:
    lines: list[str | tuple[str, str]] = [(item.pattern_id, "cyan")]
    known = patterns.get(item.pattern_id)
    if known is not None and known.description != item.pattern_id:
        lines.insert(0, known.description)
    if item.context is not None:
        lines.append((f"in: {item.context}", "dim"))
    return lines


def _needed(item: Lift) -> list[tuple[str, str]]:
    return [(f"{count(item.needed)} more needed", "dim")] if item.needed else []
