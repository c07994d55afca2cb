"""What the scoring harness loads as ``benchmarks.decisions.system:make`` and ``:make_ucb``."""

from __future__ import annotations

from benchmarks.decisions.replay import Optimist, Replay

__all__ = ["make", "make_ucb"]


def make() -> Replay:
    """The product's estimates, best first."""
    return Replay()


def make_ucb() -> Optimist:
    """The product's choices with ``explore="optimistic"``."""
    return Optimist()
