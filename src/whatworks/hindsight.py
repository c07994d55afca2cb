"""What earlier predictions tell afterwards: the worth of other policies, and of showing a pattern."""

from __future__ import annotations

from collections.abc import Sequence

from whatworks import evaluation, lifts
from whatworks.evaluation import Counts, Policy, Weighed
from whatworks.evidence import decisions
from whatworks.evidence.decisions import Episode, Try
from whatworks.keeper import Keeper
from whatworks.lifts import Showing
from whatworks.records import Evaluation, Lift

__all__ = ["Hindsight"]


class Hindsight:
    """Judgements on the choices of a store, from its receipts and the tries that name them."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def evaluate(self, name: str, policy: Policy, *, as_placed: bool, exploring: bool) -> Evaluation:
        """What ``policy`` would have earned in the decisions that were logged."""
        evidence = self._keeper.evidence(receipts=True)
        weighed = list[Weighed]()
        overridden = unresolved = 0
        for receipt, tries in decisions.episodes(evidence):
            if not receipt["answers"] or (exploring and not receipt.get("explore")):
                continue
            outcome = _mean([each for each in tries if each.pattern_id == tries[0].pattern_id])
            if outcome is None:
                unresolved += 1
            elif tries[0].pattern_id != receipt["answers"][0]["pattern_id"] and not as_placed:
                overridden += 1
            else:
                weighed.append(evaluation.weigh(evaluation.Decision(receipt, outcome), policy))
        counts = Counts(decisions.count(evidence), overridden, unresolved)
        return evaluation.evaluate(name, weighed, counts)

    def lifts(self, pattern_id: str | None, *, by_context: bool) -> list[Lift]:
        """The lift of one pattern or of all that could have been withheld, the largest first."""
        evidence = self._keeper.evidence(receipts=True)
        groups = dict[tuple[str, str | None], list[Showing]]()
        for episode in decisions.episodes(evidence, masking=True):
            for each in _showings(episode):
                if pattern_id in (None, each.pattern_id):
                    key = each.pattern_id, each.context if by_context else None
                    groups.setdefault(key, []).append(each)
        if pattern_id is not None and not groups:
            groups[pattern_id, None] = []
        found = [lifts.lift(*key, each) for key, each in groups.items()]
        return sorted(found, key=_place)


def _showings(episode: Episode) -> list[Showing]:
    return lifts.showings(episode.receipt, _mean(episode.tries))


def _mean(tries: Sequence[Try]) -> float | None:
    """Mean outcome of those tries whose outcome is known."""
    known = [each.outcome for each in tries if each.outcome is not None]
    return sum(known) / len(known) if known else None


def _place(lift: Lift) -> tuple[float, str, str]:
    """The largest lift first, those without one last."""
    value = -2.0 if lift.lift is None else lift.lift.value
    return -value, lift.pattern_id, lift.context or ""
