"""Receipts: a prediction as JSON, with all that ``why`` needs to take its numbers apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from whatworks import rank, reasons
from whatworks.beta import credible_interval
from whatworks.checks import micros, moment_of
from whatworks.neighbourhood import Cell, Points
from whatworks.records import (
    Answer,
    ChangePoint,
    Coincidence,
    Contribution,
    Evidence,
    Explanation,
    Flip,
    Pattern,
    Prediction,
    Told,
)

if TYPE_CHECKING:
    from whatworks.gathering import Gathered

__all__ = ["answers", "explanation", "named_contexts", "prediction", "shown_contexts"]

LEVEL = 0.80
# Past contexts shown with an answer, and summands of an estimate that are kept one by one;
# the others are kept as their sum. A receipt of ten answers is about 9 KB.
SHOWN_EVIDENCE = 5
KEPT_EFFECTS = 8

Receipt = Mapping[str, Any]
EMPTY: Mapping[int, float] = {}


def answers(
    order: Sequence[int],
    asked: Gathered,
    made: rank.Estimates,
    changed: Points,
    unvouched: Mapping[int, float] = EMPTY,
) -> dict[str, Any]:
    """The estimates ``made`` of the patterns in ``order``, and the cells that they name.

    ``changed`` are the change points of these patterns, by number, as they are told;
    ``unvouched`` is, by number, which share of a pattern's evidence nobody vouches for.
    """
    records, near, whole = asked.records, asked.near, asked.whole
    low, high = credible_interval(made.expected, made.n_effective, LEVEL)
    cells = _Cells(asked)
    hope = rank.optimism(records, whole)
    tries_near = sum(cell.tries for cell in near)
    strongest = np.argsort(-np.abs(made.effect), axis=1, kind="stable")[:, :KEPT_EFFECTS].tolist()
    places: dict[int, list[int]] = {asked.rows[n].pattern_no: [] for n in order}
    for j, cell in enumerate(near):  # those of each pattern, but for early ones
        if cell.pattern_no in places and not cell.early:
            places[cell.pattern_no].append(j)
    found = []
    for place, n in enumerate(order):
        expected = float(made.expected[place])
        # Beta quantiles of a skewed estimate may not hold its mean; an interval that does is expected.
        bottom, top = min(float(low[place]), expected), max(float(high[place]), expected)
        tries = float(records.tries[n] + records.prior_tries[n])
        row = asked.rows[n]
        strange = unvouched.get(row.pattern_no, 0.0)
        own = places[row.pattern_no]
        weight, largest = np.abs(made.influence[place, own]), strongest[place]
        shares = (weight / max(weight.sum(), 1e-12)).tolist()
        effects = [
            [cells.number(j), value]
            for j, value in zip(largest, made.effect[place, largest].tolist(), strict=True)
            if value
        ]
        parts = [float(part[place]) for part in (made.population, made.record, made.prior)]
        found.append(
            {
                "pattern_id": row.pattern_id,
                "expected": expected,
                "low": bottom,
                "high": top,
                "n_effective": float(made.n_effective[place]),
                "verdict": rank.verdict(bottom, top, tries, whole.mu, unvouched=strange),
                **({"unvouched": strange} if strange else {}),
                "raw": float(made.raw[place]),
                "kappa": rank.kappa_of(whole, bool(records.changed[n])),
                "hope": float(hope[n]),
                "change": _change(changed.get(row.pattern_no)),
                "tries": float(records.tries[n]),
                "total": float(records.total[n]),
                "prior_tries": float(records.prior_tries[n]),
                "prior_total": float(records.prior_total[n]),
                "parts": parts,
                "effects": effects,
                "rest": float(made.raw[place]) - sum(parts) - sum(value for _, value in effects),
                "rest_tries": tries_near - sum(near[j].tries for j in largest),
                "evidence": [
                    [cells.number(j), share]
                    for j, share in list(zip(own, shares, strict=True))[:SHOWN_EVIDENCE]
                ],
            }
        )
    return {
        "mu": whole.mu,
        "kappa": whole.kappa,
        # Without its center, which fills pages and stands in the store's own record of it.
        "learned": asdict(replace(asked.learned, center=())),
        "answers": found,
        "cells": cells.kept,
    }


class _Cells:
    """The cells that a receipt names: context, pattern, similarity, tries, mean outcome, early."""

    def __init__(self, asked: Gathered) -> None:
        self._near: Sequence[Cell] = asked.near
        self._names = {row.pattern_no: row.pattern_id for row in asked.rows}
        self._similarity = asked.similarity
        self._numbers: dict[int, int] = {}
        self.kept: list[list[Any]] = []

    def number(self, j: int) -> int:
        """Where cell ``j`` of the neighbours stands in the receipt; it is added if need be."""
        if j not in self._numbers:
            cell = self._near[j]
            self._numbers[j] = len(self.kept)
            self.kept.append(
                [
                    cell.context_id,
                    self._names[cell.pattern_no],
                    self._similarity[cell.context_id],
                    cell.tries,
                    cell.mean_outcome,
                    cell.early,
                ]
            )
        return self._numbers[j]


def _change(point: ChangePoint | None) -> dict[str, Any] | None:
    return None if point is None else asdict(point) | {"since": micros(point.since)}


def _change_point(told: Mapping[str, Any] | None) -> ChangePoint | None:
    if told is None:
        return None
    along = tuple(Coincidence(**item) for item in told["along"])
    return ChangePoint(**dict(told) | {"since": moment_of(told["since"]), "along": along})


def named_contexts(receipt: Receipt) -> list[str]:
    """Ids of all contexts that a receipt names."""
    return list({cell[0] for cell in receipt["cells"]})


def shown_contexts(receipt: Receipt) -> list[str]:
    """Ids of the contexts that a prediction shows; ``why`` names more."""
    cells = receipt["cells"]
    return list({cells[j][0] for answer in receipt["answers"] for j, _ in answer["evidence"]})


def prediction(
    receipt: Receipt, patterns: Mapping[str, Pattern], texts: Mapping[str, str]
) -> Prediction:
    """The prediction that a receipt holds."""
    return Prediction(
        prediction_id=receipt["prediction_id"],
        context=receipt["context"],
        made_at=moment_of(receipt["recorded_at"]),
        as_of=None if receipt["as_of"] is None else moment_of(receipt["as_of"]),
        policy=receipt["policy"],
        default=receipt["mu"],
        coverage=receipt["coverage"],
        explore=receipt.get("explore", 0.0),
        risk=receipt.get("risk", "normal"),
        explored=receipt.get("explored", False),
        answers=tuple(
            Answer(
                pattern=patterns[answer["pattern_id"]],
                expected=answer["expected"],
                low=answer["low"],
                high=answer["high"],
                n_effective=answer["n_effective"],
                verdict=answer["verdict"],
                # Receipts without the key are older: the best stood first, always.
                propensity=answer.get("propensity", float(place == 0)),
                evidence=tuple(
                    _evidence(receipt["cells"][j], share, texts) for j, share in answer["evidence"]
                ),
                resolved=answer.get("resolved", 0),  # receipts of older versions do not say
                missing=answer.get("missing", 0),
                coverage=answer.get("coverage"),
                bounds=tuple(answer["bounds"]) if answer.get("bounds") else None,
                change=_change_point(answer.get("change")),
                unvouched=answer.get("unvouched", 0.0),
            )
            for place, answer in enumerate(receipt["answers"])
            if answer["pattern_id"] in patterns  # else its record in the journal was damaged since
        ),
    )


def _evidence(cell: Sequence[Any], share: float, texts: Mapping[str, str]) -> Evidence:
    name, _, similarity, tries, mean = cell[:5]
    return Evidence(name, texts.get(name, ""), similarity, tries, mean, share)


def explanation(
    answer: Mapping[str, Any],
    receipt: Receipt,
    texts: Mapping[str, str],
    tellers: Mapping[str, Told],
) -> Explanation:
    """The summands of one estimate, the largest first; ``tellers`` by the pattern."""
    population, record, prior = answer["parts"]
    parts = [
        Contribution("population", population, answer.get("kappa", receipt["kappa"]), receipt["mu"]),
        Contribution("record", record, answer["tries"], _rate(answer["total"], answer["tries"])),
        Contribution(
            "prior", prior, answer["prior_tries"], _rate(answer["prior_total"], answer["prior_tries"])
        ),
    ]
    parts += [_contribution(answer, j, value, receipt, texts) for j, value in answer["effects"]]
    if answer["rest_tries"]:
        parts.append(Contribution("rest", answer["rest"], float(answer["rest_tries"])))
    ordered = tuple(sorted(parts, key=lambda part: -abs(part.value)))
    flip, remains = _flip(answer, receipt, texts)
    return Explanation(
        pattern_id=answer["pattern_id"],
        expected=answer["expected"],
        clipped=answer["raw"] != answer["expected"],
        contributions=ordered,
        against=reasons.against(ordered, answer["expected"], receipt["mu"]),
        flip=flip,
        remains=remains,
        told=tellers.get(answer["pattern_id"], Told(0, 0)),
    )


def _contribution(
    answer: Mapping[str, Any], j: int, value: float, receipt: Receipt, texts: Mapping[str, str]
) -> Contribution:
    """What cell ``j`` of the receipt adds to an answer."""
    name, pattern_id, similarity, tries, mean, *early = receipt["cells"][j]
    kind: Literal["tries", "before", "situation"] = "situation"
    if pattern_id == answer["pattern_id"]:
        kind = "before" if any(early) else "tries"
    return Contribution(kind, value, float(tries), mean, similarity, name, texts.get(name))


def _flip(
    answer: Mapping[str, Any], receipt: Receipt, texts: Mapping[str, str]
) -> tuple[Flip | None, float | None]:
    turn = reasons.turn(receipt["answers"], answer["pattern_id"])
    if turn is None:
        return None, None
    if turn.left >= 0:
        return None, turn.left
    taken = tuple(_contribution(answer, j, value, receipt, texts) for j, value in turn.cells)
    return Flip(turn.other_id, turn.margin, taken, turn.left), None


def _rate(total: float, tries: float) -> float | None:
    return total / tries if tries else None
