"""Off-policy evaluation: what another way of choosing the first answer would have earned.

For each decision i the receipt tells with which probability ``p_i`` the pattern ``a_i`` was placed
first, and what every pattern was expected to do, ``q_i(a)``; ``r_i`` is what came of it. A policy
that would have placed ``a`` first with probability ``pi_i(a)`` is judged by

    w_i   = pi_i(a_i) / p_i
    IPS   = mean(w_i r_i)                                            Horvitz & Thompson 1952
    SNIPS = sum(w_i r_i) / sum(w_i)                                  Swaminathan & Joachims 2015
    DR    = mean(sum_a pi_i(a) q_i(a) + w_i (r_i - q_i(a_i)))        Dudik, Langford & Li 2011

``q_i`` was written down before ``r_i`` was known, by an estimator that had seen only earlier
tries: DR needs no splitting of the data to be honest, and is unbiased however bad ``q`` is.

Intervals are estimate +- t SE at 95 %. SE is that of the mean of each decision's influence,
summed by context, since what happens twice in one context is not seen twice (Liang & Zeger 1986). t has
one degree of freedom less than contexts or effective decisions, whichever are fewer: few large
weights say little of their own variance. Simulations in the tests find them to cover about 95 %; an
empirical Bernstein bound for weights of 100 and more would be wider than [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whatworks.errors import InvalidInputError
from whatworks.records import Estimate, Evaluation

__all__ = [
    "POLICIES",
    "Counts",
    "Decision",
    "Policy",
    "Weighed",
    "before_the_draw",
    "dr",
    "estimate",
    "evaluate",
    "ips",
    "options",
    "policy_of",
    "snips",
    "t_quantile",
    "weigh",
]

Float64 = NDArray[np.float64]
Policy = Callable[[Mapping[str, Any]], Mapping[str, float]]

# Below this many effective decisions neither the estimates nor their intervals are worth showing.
LEAST_EFFECTIVE = 30.0
# What the policy would do and nobody ever did can bias an estimate by its share: 0.05 at most.
LEAST_SUPPORT = 0.95
# Leaving out what callers overrode can bias it by as much as its share, too.
MOST_OVERRIDDEN = 0.10
# The mean weight is the support, unless decisions are missing because of what was placed first.
# So many standard errors away from it were seen in none of 4,800 sound simulated logs.
MOST_DEVIATION = 4.0
# With fewer contexts than this their variance is not known: the interval is then for these.
LEAST_CONTEXTS = 10
# How far the probabilities of a policy may be from adding up to 1.
TOLERANCE = 1e-6


# What a receipt says of its own draws.
DRAWN = ("unshown", "explored", "masked", "seed", "draw")


class Decision(NamedTuple):
    """A prediction that was followed by a try; ``outcome`` of what was placed first."""

    receipt: Mapping[str, Any]
    outcome: float


class Weighed(NamedTuple):
    """A decision as seen by a policy.

    ``weight`` w; ``outcome`` r; ``said``: q of what was placed first; ``direct``: the sum over
    patterns of pi q; ``support``: the part of pi that had a chance, which is the mean of w over
    the draws, and ``variance`` that of w; ``context``.
    """

    weight: float
    outcome: float
    said: float
    direct: float
    support: float
    variance: float
    context: str


class Counts(NamedTuple):
    """See ``Evaluation``."""

    predictions: int
    overridden: int
    unresolved: int


# -- policies -------------------------------------------------------------------------------------


def options(receipt: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The patterns that a receipt names, shown or not, best first, each with its propensity.

    Receipts of before there was exploring placed the best first, always.
    """
    shown = [
        {"propensity": float(place == 0), "place": place, **answer}
        for place, answer in enumerate(receipt["answers"])
    ]
    return sorted([*shown, *receipt.get("unshown", ())], key=lambda answer: int(answer["place"]))


def before_the_draw(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """A receipt as a policy may see it: all that it names in ``answers``, best first.

    A policy that knew what was drawn could not be judged by it.
    """
    kept = {key: value for key, value in receipt.items() if key not in DRAWN}
    return kept | {"answers": options(receipt)}


def _top(receipt: Mapping[str, Any], value: Callable[[Mapping[str, Any]], float]) -> dict[str, float]:
    # Of equals the one that is expected to do better, which stands higher.
    best = max(receipt["answers"], key=lambda answer: round(value(answer), 9))
    return {best["pattern_id"]: 1.0}


def _greedy(receipt: Mapping[str, Any]) -> Mapping[str, float]:
    return {receipt["answers"][0]["pattern_id"]: 1.0}


def _best_record(receipt: Mapping[str, Any]) -> Mapping[str, float]:
    return _top(receipt, lambda answer: float(sum(answer["parts"])))


def _cautious(receipt: Mapping[str, Any]) -> Mapping[str, float]:
    return _top(receipt, lambda answer: float(answer["low"]))


def _uniform(receipt: Mapping[str, Any]) -> Mapping[str, float]:
    named = receipt["answers"]
    return {answer["pattern_id"]: 1 / len(named) for answer in named}


POLICIES: Mapping[str, Policy] = {
    "greedy": _greedy,
    "best-record": _best_record,
    "cautious": _cautious,
    "uniform": _uniform,
}
FIXED = "fixed:"


def policy_of(name: str) -> Policy:
    """The policy of this name.

    ``greedy``: the highest expected outcome. ``best-record``: the best record of its own,
    whatever the context. ``cautious``: the highest lower bound. ``uniform``: each of the patterns
    named by the receipt alike. ``fixed:ID``: always that one.

    Raises
    ------
    InvalidInputError
        There is no such policy.
    """
    if name.startswith(FIXED):
        fixed = {name.removeprefix(FIXED): 1.0}
        return lambda receipt: fixed
    if name not in POLICIES:
        known = ", ".join([*POLICIES, "fixed:PATTERN_ID"])
        raise InvalidInputError(f"policy is {name!r}; expected one of {known}, or in Python a function")
    return POLICIES[name]


def _probabilities(policy: Policy, receipt: Mapping[str, Any]) -> Mapping[str, float]:
    found = policy(receipt)
    values = list(found.values()) if isinstance(found, Mapping) else [np.nan]
    try:
        fits = min(values, default=0) >= 0 and abs(sum(values) - 1) <= TOLERANCE
    except TypeError:
        fits = False
    if not fits:
        raise InvalidInputError(
            f"the policy gave {str(found)[:60]} for prediction {receipt['prediction_id']}; "
            "expected probabilities by pattern id that add up to 1"
        )
    return found


def weigh(decision: Decision, policy: Policy) -> Weighed:
    """How much a decision tells of ``policy``.

    Raises
    ------
    InvalidInputError
        The policy's probabilities are none.
    """
    first = decision.receipt["answers"][0]["pattern_id"]
    receipt = before_the_draw(decision.receipt)
    named = {answer["pattern_id"]: answer for answer in receipt["answers"]}
    wanted = _probabilities(policy, receipt)
    # Of a pattern that the receipt does not name nothing is known but what all do.
    usual = {"expected": receipt["mu"], "propensity": 0.0}
    direct = sum(share * named.get(name, usual)["expected"] for name, share in wanted.items())
    drawn = {name: named[name]["propensity"] for name in named if named[name]["propensity"] > 0}
    support = sum(wanted.get(name, 0.0) for name in drawn)
    squares = sum(wanted.get(name, 0.0) ** 2 / share for name, share in drawn.items())
    return Weighed(
        weight=wanted.get(first, 0.0) / named[first]["propensity"],
        outcome=decision.outcome,
        said=named[first]["expected"],
        direct=float(direct),
        support=float(support),
        variance=float(squares - support**2),
        context=receipt["context"],
    )


# -- estimates ------------------------------------------------------------------------------------


def ips(weight: Float64, outcome: Float64) -> tuple[float, Float64]:
    """Inverse propensity score estimate, and each decision's influence on it, of mean 0.

    Parameters
    ----------
    weight, outcome
        Shape ``(n,)``.
    """
    value = float((weight * outcome).mean())
    return value, weight * outcome - value


def snips(weight: Float64, outcome: Float64) -> tuple[float, Float64]:
    """Self-normalised estimate, and influences by the delta method; some weight is not 0."""
    value = float((weight * outcome).sum() / weight.sum())
    return value, weight * (outcome - value) / weight.mean()


def dr(weight: Float64, outcome: Float64, said: Float64, direct: Float64) -> tuple[float, Float64]:
    """Doubly robust estimate, and influences.

    Parameters
    ----------
    said, direct
        Shape ``(n,)``: what was expected of the pattern placed first, and of the policy.
    """
    each = direct + weight * (outcome - said)
    value = float(each.mean())
    return value, each - value


def t_quantile(freedom: float) -> float:
    """The 0.975 quantile of Student's t, to 1e-3 from 7 degrees of freedom on.

    References
    ----------
    Abramowitz & Stegun (1964), 26.7.5.
    """
    z, v = 1.959963984540054, freedom
    return float(
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def estimate(value: float, influence: Float64, group: NDArray[np.int64], effective: float) -> Estimate:
    """``value`` with its 95 % interval from the influences, clustered by ``group``.

    Parameters
    ----------
    influence
        Shape ``(n,)``, of mean 0.
    group
        Shape ``(n,)``: numbers of contexts from 0 on, at least two.
    effective
        How many decisions the weights are worth.
    """
    sums = np.bincount(group, influence)
    groups = len(sums)
    error = float(np.sqrt(groups / (groups - 1) * (sums**2).sum())) / len(influence)
    margin = t_quantile(max(min(groups, effective) - 1, 1)) * error
    return Estimate(value, value - margin, value + margin)


def evaluate(policy: str, decisions: Sequence[Weighed], counts: Counts) -> Evaluation:
    """Judge a policy by logged decisions, or refuse to.

    Parameters
    ----------
    policy
        Its name, as shown.
    decisions
        Decisions in which the pattern placed first was tried and its outcome is known.
    counts
        Of predictions, and of decisions that could not be used.

    Returns
    -------
    ``refused`` without any estimate if too much was overridden (over 10 %), the policy would
    have placed first what had no chance (over 5 %), the weights are worth fewer than 30
    decisions, or their mean is not 1.
    """
    data = [np.array(column, float) for column in zip(*(d[:6] for d in decisions), strict=True)]
    weight, outcome, said, direct, support, variance = data or [np.empty(0)] * 6
    squares = float((weight**2).sum())
    effective = float(weight.sum()) ** 2 / squares if squares else 0.0
    contexts, group = np.unique([d.context for d in decisions], return_inverse=True)
    if len(contexts) < LEAST_CONTEXTS:
        group = np.arange(len(decisions))
    some = len(decisions) > 0
    found = Evaluation(
        policy=policy,
        status="refused",
        reason=None,
        predictions=counts.predictions,
        decisions=len(decisions),
        contexts=len(contexts),
        overridden=counts.overridden,
        unresolved=counts.unresolved,
        support=float(support.mean()) if some else None,
        effective_size=effective if some else None,
        mean_weight=float(weight.mean()) if some else None,
        largest_weight=float(weight.max()) if some else None,
        logged=None,
        ips=None,
        snips=None,
        dr=None,
        difference=None,
    )
    reason = _objection(found, float(np.sqrt(variance.clip(0).sum())))
    if reason is not None:
        return replace(found, reason=reason)
    mean, value = float(outcome.mean()), dr(weight, outcome, said, direct)
    plain = float(len(decisions))
    return replace(
        found,
        status="estimated",
        logged=estimate(mean, outcome - mean, group, plain),
        ips=estimate(*ips(weight, outcome), group, effective),
        snips=estimate(*snips(weight, outcome), group, effective),
        dr=estimate(*value, group, effective),
        difference=estimate(value[0] - mean, value[1] - (outcome - mean), group, effective),
    )


def _objection(found: Evaluation, deviation: float) -> str | None:
    """Why there can be no estimate, in a sentence, ``None`` if there can.

    ``deviation`` is the standard deviation of the sum of the weights.
    """
    tried = found.decisions + found.overridden
    if not tried:
        return (
            "no prediction was followed by a try with a known outcome: record tries with the "
            "prediction_id that led to them"
        )
    if found.overridden > MOST_OVERRIDDEN * tried:
        return (
            f"in {found.overridden} of {tried} decisions the caller first tried another pattern than "
            f"the first one shown; leaving out more than {MOST_OVERRIDDEN:.0%} selects, and with which "
            "probability they chose is not known: as_placed judges the first place whatever they did"
        )
    support, effective = found.support or 0.0, found.effective_size or 0.0
    if support < LEAST_SUPPORT:
        return (
            f"no overlap: only {support:.0%} of what this policy would place first had a chance of "
            f"being placed first, {LEAST_SUPPORT:.0%} are needed: predict with explore above 0 for a "
            "while, then judge by those predictions alone (exploring)"
        )
    if effective < LEAST_EFFECTIVE:
        return (
            f"too little data: the {found.decisions} decisions are worth {effective:.1f} for this "
            f"policy, {LEAST_EFFECTIVE:.0f} are needed"
        )
    mean = found.mean_weight or 0.0
    if abs(mean - support) > MOST_DEVIATION * deviation / found.decisions + TOLERANCE:
        return (
            f"the weights should be {support:.2f} on average and are {mean:.2f}: which "
            "decisions have an outcome depends on what was placed first, so that they do not speak "
            "for the others"
        )
    return None
