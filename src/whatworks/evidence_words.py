"""What the summands of an estimate and the causes of a change are called, for people."""

from __future__ import annotations

__all__ = ["CAUSES", "KINDS"]

KINDS = {
    "population": "all patterns on average",
    "record": "its own tries anywhere",
    "prior": "imported aggregates",
    "tries": "its tries in",
    "situation": "other patterns in",
    "before": "its tries before it changed, in",
    "rest": "all other tries nearby",
}
CAUSES = {
    "nearby": "tries in",
    "elsewhere": "its tries in other contexts",
    "change": "it was found to have changed",
    "prior": "imported aggregates",
    "learned": "how local the store's world is",
    "population": "the mean of all patterns",
    "rest": "all else",
}
