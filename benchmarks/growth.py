"""That no question grows absurdly with the store."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.results import Result

__all__ = ["check_growth"]

LEAST_MS = 2.0  # below, other work on the machine decides


def check_growth(small: Sequence[Result], large: Sequence[Result], *, at_most: float = 10.0) -> None:
    """Raise if a question takes ``at_most`` times as long on the larger store."""
    before = {result.metric: result.p50 for result in small if result.unit == "ms"}
    for result in large:
        if result.unit == "ms" and result.p50 > at_most * max(before[result.metric], LEAST_MS):
            raise SystemExit(
                f"{result.metric} takes {result.p50:.1f} ms with {result.size}, "
                f"{before[result.metric]:.1f} ms with {small[0].size}: it should not grow so fast"
            )
