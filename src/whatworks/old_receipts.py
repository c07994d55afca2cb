"""Receipts of the first method of estimating, ``kernel-beta/1``, in the form that is read now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["readable"]

POLICY = "kernel-beta/1"
# What that method added to the weights nearby, and to those of all patterns.
LOCAL_PRIOR, SITUATION_PRIOR = 1.0, 0.5
SHOWN = 5


def readable(receipt: Mapping[str, Any]) -> Mapping[str, Any]:
    """A receipt as ``receipts`` reads it; one of a later method is returned as it is.

    An estimate was the pattern's own level, moved by the tries nearby: those
    of the pattern and, less, those of all patterns in one situation. What a
    cell of the pattern moved both ways is one summand now.
    """
    if receipt["policy"] != POLICY:
        return receipt
    answers = [_answer(answer, receipt) for answer in receipt["answers"]]
    return {**receipt, "answers": answers, "cells": [cell[:5] for cell in receipt["cells"]]}


def _answer(answer: Mapping[str, Any], receipt: Mapping[str, Any]) -> dict[str, Any]:
    bound = answer["tries"] + answer["prior_tries"] + receipt["kappa"]
    nearby = LOCAL_PRIOR + answer["local"]
    everyone = SITUATION_PRIOR + sum(cell[5] for cell in receipt["cells"])
    effects: list[tuple[int, float]] = []
    evidence: list[tuple[int, float]] = []
    for j, (_, pattern_id, _, _, mean, weight, deviation) in enumerate(receipt["cells"]):
        own = pattern_id == answer["pattern_id"]
        moved = deviation / everyone + (mean - answer["level"] if own else 0.0)
        effects.append((j, weight * moved / nearby))
        if own and len(evidence) < SHOWN:
            evidence.append((j, weight / answer["local"] if answer["local"] else 0.0))
    return {
        **answer,
        "parts": [receipt["kappa"] * receipt["mu"] / bound, answer["total"] / bound,
                  answer["prior_total"] / bound],
        "effects": effects,
        "evidence": evidence,
        "rest": 0.0,
        "rest_tries": 0,
    }  # fmt: skip
