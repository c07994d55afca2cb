"""How ``optimize`` is answered: what is known of all patterns, and the decisions from that."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from whatworks import optimizer, rank
from whatworks.evidence import cells, usefulness

if TYPE_CHECKING:
    from whatworks.findings import Proposal
    from whatworks.keeper import Keeper

__all__ = ["proposals"]


def proposals(keeper: Keeper, keep: int | None, now: datetime) -> list[Proposal]:
    """See ``Memory.optimize``."""
    evidence = keeper.evidence(receipts=True)
    known = optimizer.Known(
        now=now,
        mean=rank.population(*cells.population(evidence, None)[:5]).mu,
        others=usefulness.uses_since(evidence, now - optimizer.STALE),
        asked_at=usefulness.predictions_until(evidence, optimizer.SHOWN_TO),
    )
    return optimizer.proposals(usefulness.useful(evidence), known, keep=keep)
