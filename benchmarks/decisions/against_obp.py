"""``python -m benchmarks.decisions.against_obp``: our off-policy estimates beside obp's.

Needs obp 0.4.1 (Open Bandit Pipeline) with numpy, pandas, scikit-learn, scipy, tqdm, PyYAML,
pyieoe, matplotlib and seaborn, in an environment of its own; pyieoe brings PyTorch. It prints a
table, fails if two numbers differ by more than 1e-9, and writes obp's numbers to
``tests/unit/obp.json``, which the tests compare with.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.decisions.bandit import ARMS, Log, decisions, log, policies
from whatworks.evaluation import dr, ips, snips, weigh

__all__ = ["ours"]

FIXTURE = Path(__file__).parents[2] / "tests" / "unit" / "obp.json"
SEEDS = (1, 2, 3)
TOLERANCE = 1e-9


def ours(made: Log, policy: np.ndarray[Any, Any]) -> dict[str, float]:
    """IPS, SNIPS and DR of a policy on a log, by whatworks."""

    def probabilities(receipt: Any) -> dict[str, float]:
        return dict(zip(ARMS, policy[receipt["kind"]].tolist(), strict=True))

    each = [weigh(decision, probabilities)[:4] for decision in decisions(made)]
    weight, outcome, said, direct = np.array(each).T
    return {
        "ips": ips(weight, outcome)[0],
        "snips": snips(weight, outcome)[0],
        "dr": dr(weight, outcome, said, direct)[0],
    }


def theirs(made: Log, policy: np.ndarray[Any, Any]) -> dict[str, float]:
    """The same by obp."""
    from obp.ope import (
        DoublyRobust,
        InverseProbabilityWeighting,
        SelfNormalizedInverseProbabilityWeighting,
    )

    given = {
        "reward": made.outcome,
        "action": made.action,
        "pscore": made.propensity[np.arange(len(made.action)), made.action],
        "action_dist": policy[made.kind][:, :, None],
    }
    model = {"estimated_rewards_by_reg_model": made.expected[:, :, None]}
    return {
        "ips": float(InverseProbabilityWeighting().estimate_policy_value(**given)),
        "snips": float(SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**given)),
        "dr": float(DoublyRobust().estimate_policy_value(**given, **model)),
    }


def main() -> None:
    """Compare on three logs and all policies."""
    import obp

    rows = []
    print(f"{'seed':>4}  {'policy':<13} {'estimate':<8} {'whatworks':>18} {'obp':>18} difference")
    for seed in SEEDS:
        made = log(seed)
        for name, policy in policies().items():
            one, other = ours(made, policy), theirs(made, policy)
            rows.append({"seed": seed, "policy": name, **other})
            for kind, number in one.items():
                off = abs(number - other[kind])
                print(
                    f"{seed:>4}  {name:<13} {kind:<8} {number:>18.15f} {other[kind]:>18.15f} {off:.1e}"
                )
                if off > TOLERANCE:
                    raise SystemExit("the two differ")
    about = "made by: python -m benchmarks.decisions.against_obp"
    text = {"about": about, "obp": obp.__version__, "numpy": np.__version__, "rows": rows}
    FIXTURE.write_text(json.dumps(text, indent=2) + "\n")


if __name__ == "__main__":
    main()
