"""What the scoring harness loads as ``benchmarks.decisions.system:make``."""

from __future__ import annotations

from benchmarks.decisions.replay import Replay

__all__ = ["make"]


def make() -> Replay:
    """The product's estimates, best first."""
    return Replay()
