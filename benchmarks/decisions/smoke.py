"""Seconds: the demo's log, replayed, with bounds that fail when predictions get worse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.decisions.replay import Replay
from whatworks import demo
from whatworks.embedders.minilm import MiniLM

__all__ = ["run"]

DATA = Path(demo.__file__).parent / "data"
# Tries, and the least skill and gain that pass; measured: .047 and .25, .061 and .25.
BOUNDS = {300: (0.030, 0.17), 1_000: (0.045, 0.20)}


class Quality(NamedTuple):
    """How good predictions for contexts outside of the log are.

    ``skill`` is 1 - Brier / Brier of the log's mean outcome; ``gain`` the
    share of the way from a random pattern to the best one that the first
    answer goes; ``answers`` how many were scored.
    """

    tries: int
    skill: float
    gain: float
    answers: int


def run() -> Iterator[Quality]:
    """Replay the log up to each size; raise if a bound is missed."""
    log = pq.read_table(DATA / "log.parquet").to_pylist()
    held_out: dict[str, dict[str, float]] = {}
    for row in pq.read_table(DATA / "held_out.parquet").to_pylist():
        held_out.setdefault(row["context"], {})[row["pattern"]] = row["outcome"]
    texts = list(dict.fromkeys([*(row["context"] for row in log[: max(BOUNDS)]), *held_out]))
    vector = dict(zip(texts, MiniLM()(texts), strict=True))
    for tries, (skill, gain) in BOUNDS.items():
        system = Replay()
        for row in log[:tries]:
            system.fit_event(vector[row["context"]], row["context"], row["pattern"], row["outcome"], 0)
        mean = float(np.mean([row["outcome"] for row in log[:tries]]))
        found = _quality(system, held_out, vector, tries, mean)
        yield found
        if found.skill < skill or found.gain < gain:
            raise SystemExit(f"predictions got worse: {found}; expected {skill} and {gain} at least")


def _quality(
    system: Replay,
    held_out: dict[str, dict[str, float]],
    vector: dict[str, NDArray[np.float32]],
    tries: int,
    mean: float,
) -> Quality:
    said, came = [], []
    for context, outcomes in held_out.items():
        said.append(system.predict(vector[context], context, list(outcomes)))
        came.append(list(outcomes.values()))
    p, y = np.array(said), np.array(came)
    chosen = y[np.arange(len(y)), p.argmax(1)].mean()
    return Quality(
        tries,
        float(1 - ((p - y) ** 2).mean() / ((mean - y) ** 2).mean()),
        float((chosen - y.mean()) / (y.max(1).mean() - y.mean())),
        y.size,
    )
