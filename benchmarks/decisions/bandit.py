"""Synthetic logs of decisions whose truth is known, to try off-policy evaluation on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whatworks.evaluation import Decision

__all__ = ["ARMS", "Log", "decisions", "log", "policies", "value"]

Float64 = NDArray[np.float64]
ARMS = ("a", "b", "c", "d")
# The chance that each of four patterns works in each of five kinds of context, all alike frequent.
CHANCES = np.array(
    [
        [0.8, 0.6, 0.3, 0.2],
        [0.7, 0.7, 0.4, 0.3],
        [0.3, 0.6, 0.7, 0.2],
        [0.5, 0.4, 0.8, 0.6],
        [0.2, 0.3, 0.4, 0.7],
    ]
)
# What is special to a context: its chances lie so much higher or lower than those of its kind.
SPECIAL = 0.15


class Log(NamedTuple):
    """``n`` decisions among ``k`` patterns.

    ``context``, ``kind``, ``action``, ``outcome``: shape ``(n,)``; ``propensity`` of each
    pattern, and what was ``expected`` of it: ``(n, k)``.
    """

    context: NDArray[np.int64]
    kind: NDArray[np.int64]
    action: NDArray[np.int64]
    outcome: Float64
    propensity: Float64
    expected: Float64


def log(seed: int, *, contexts: int = 150, repeats: int = 4, explore: float = 0.4) -> Log:
    """Decisions of a policy that explores uniformly by a reward model that is wrong by 0.2."""
    rng = np.random.default_rng(seed)
    context = np.repeat(np.arange(contexts), repeats)
    kind = rng.integers(len(CHANCES), size=contexts)[context]
    special = rng.choice([-SPECIAL, SPECIAL], size=(contexts, 1))[context]
    expected = np.clip(CHANCES[kind] + rng.normal(0, 0.2, (len(kind), len(ARMS))), 0.01, 0.99)
    propensity = np.full_like(expected, explore / len(ARMS))
    propensity[np.arange(len(kind)), expected.argmax(1)] += 1 - explore
    uniform = rng.random((len(kind), 1))
    action = (uniform > propensity.cumsum(1)[:, :-1]).sum(1)
    chance = (CHANCES[kind] + special)[np.arange(len(kind)), action]
    outcome = (rng.random(len(kind)) < chance).astype(float)
    return Log(context, kind, action, outcome, propensity, expected)


def policies() -> dict[str, Float64]:
    """Probabilities of the patterns by kind of context, ``(5, 4)`` each."""
    best = np.eye(len(ARMS))[CHANCES.argmax(1)]
    return {
        "uniform": np.full_like(CHANCES, 1 / len(ARMS)),
        "always b": np.tile(np.eye(len(ARMS))[1], (len(CHANCES), 1)),
        "best by kind": best,
        "half best": 0.5 * best + 0.5 / len(ARMS),
    }


def value(policy: Float64) -> float:
    """What a policy is worth in truth."""
    return float((policy * CHANCES).sum(1).mean())


def decisions(made: Log) -> list[Decision]:
    """The log as receipts of predictions; ``receipt["kind"]`` is what policies go by."""
    found = []
    for n, first in enumerate(made.action.tolist()):
        order = [first, *(arm for arm in range(len(ARMS)) if arm != first)]
        answers = [
            {
                "pattern_id": ARMS[arm],
                "expected": float(made.expected[n, arm]),
                "propensity": float(made.propensity[n, arm]),
                "place": arm,
            }
            for arm in order
        ]
        receipt = {
            "prediction_id": str(n),
            "context": str(made.context[n]),
            "kind": int(made.kind[n]),
            "mu": 0.5,
            "answers": answers,
        }
        found.append(Decision(receipt, float(made.outcome[n])))
    return found
