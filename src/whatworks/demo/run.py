"""Learn from 4,000 logged tries, ask the three questions, measure the choice on unseen requests."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from whatworks.demo.original import OriginalQuery
from whatworks.demo.show import show
from whatworks.embedders import Embedder
from whatworks.embedders.minilm import MiniLM
from whatworks.importers.table import import_table
from whatworks.memory import Memory
from whatworks.records import Match, Prediction, Trend

__all__ = ["Result", "main", "run"]

COLUMNS = {name: name for name in ("timestamp", "context", "pattern", "outcome")}
QUESTION = "what is the minimum payment on my visa"
RESAMPLES = 2_000
SEED = 20_260_601
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True)
class Lift:
    """A difference of mean outcomes with its 95 % bootstrap interval over contexts."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Result:
    """What the demo measures; all outcomes are means over the held-out contexts."""

    events: int
    held_out_contexts: int
    mean_outcome: dict[str, float]
    lift_over_best_single: Lift
    lift_over_original_query: Lift
    predict_ms: float


@dataclass(frozen=True, slots=True)
class Answers:
    """The three questions, answered from the log."""

    matches: Sequence[Match]
    trend: Trend
    prediction: Prediction


class _Remembered:
    """An embedder that keeps what it made, so that the original query need not embed again."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.model_id = inner.model_id
        self.vectors: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
        missing = [text for text in dict.fromkeys(texts) if text not in self.vectors]
        if missing:
            self.vectors.update(zip(missing, self._inner(missing), strict=True))
        return np.stack([self.vectors[text] for text in texts])


def run(store: Path, *, progress: Progress = lambda *_: None) -> tuple[Result, Answers]:
    """Do it all in the folder ``store``; ``progress`` gets a step, what is done, of how many."""
    embedder = _Remembered(MiniLM())
    with (
        as_file(files(__package__).joinpath("data")) as data,
        Memory.open(store, embedder=embedder) as memory,
    ):
        held_out = _held_out(data / "held_out.parquet")
        _learn(memory, data / "log.parquet", progress)
        answers = Answers(
            memory.find_similar("pay a bill", limit=3),
            memory.trend("banking_tool"),
            memory.predict(QUESTION, limit=5),
        )
        original = OriginalQuery(memory.iter_events(), embedder)
        return _measure(memory, original, held_out, progress), answers


def _learn(memory: Memory, log: Path, progress: Progress) -> None:
    import_table(memory, log, columns=COLUMNS)
    stats = memory.stats()
    done, total = 0, stats.contexts + stats.patterns

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress("learning", min(done, total), total)

    memory.flush(progress=step)


def _held_out(file: Path) -> dict[str, dict[str, float]]:
    """Outcome of each pattern in each context that the log does not have."""
    import duckdb

    found: dict[str, dict[str, float]] = {}
    with duckdb.connect() as con:
        rows = con.execute("SELECT context, pattern, outcome FROM read_parquet(?)", [str(file)])
        for context, pattern, outcome in rows.fetchall():
            found.setdefault(context, {})[pattern] = float(outcome)
    return found


def _measure(
    memory: Memory, original: OriginalQuery, held_out: dict[str, dict[str, float]], progress: Progress
) -> Result:
    best = _best_single(memory)
    chosen: dict[str, list[float]] = {
        "whatworks": [],
        "best_single": [],
        "original_query": [],
        "oracle": [],
    }
    times = []
    for n, (context, outcomes) in enumerate(held_out.items(), 1):
        prediction, seconds = _timed(memory, context)
        times.append(seconds)
        chosen["whatworks"].append(outcomes[prediction.answers[0].pattern_id])
        chosen["best_single"].append(outcomes[best])
        # Ties, and no answer at all, are worth what a random pick among them is worth.
        picked = original.ask(context) or list(outcomes)
        chosen["original_query"].append(float(np.mean([outcomes[name] for name in picked])))
        chosen["oracle"].append(max(outcomes.values()))
        progress("choosing", n, len(held_out))
    arrays = {name: np.array(values) for name, values in chosen.items()}
    return Result(
        events=memory.stats().events,
        held_out_contexts=len(held_out),
        mean_outcome={name: float(values.mean()) for name, values in arrays.items()},
        lift_over_best_single=_lift(arrays["whatworks"] - arrays["best_single"]),
        lift_over_original_query=_lift(arrays["whatworks"] - arrays["original_query"]),
        predict_ms=1_000 * float(np.median(times)),
    )


def _best_single(memory: Memory) -> str:
    """The pattern with the best mean outcome in the log."""
    patterns = memory.patterns(limit=1_000)
    return max(
        patterns, key=lambda pattern: (pattern.success_rate or 0.0, pattern.pattern_id)
    ).pattern_id


def _timed(memory: Memory, context: str) -> tuple[Prediction, float]:
    from time import perf_counter

    start = perf_counter()
    return memory.predict(context, limit=3), perf_counter() - start


def _lift(differences: NDArray[np.float64]) -> Lift:
    """Mean and percentile bootstrap (Efron 1979) of paired differences, seeded."""
    chance = np.random.default_rng(SEED)
    rows = chance.integers(0, len(differences), (RESAMPLES, len(differences)))
    low, high = np.percentile(differences[rows].mean(axis=1), [2.5, 97.5])
    return Lift(float(differences.mean()), float(low), float(high))


def main(*, json: bool = False, store: Path | None = None) -> None:
    """Run the demo and print it; in ``store`` it leaves the memory it made."""
    if store is not None:
        _print(store, json)
        return
    with tempfile.TemporaryDirectory(prefix="whatworks-demo-") as folder:
        _print(Path(folder) / "store", json)


def _print(store: Path, json: bool) -> None:
    if json:
        result, _ = run(store)
        sys.stdout.write(orjson.dumps(asdict(result), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        show(lambda progress: run(store, progress=progress), QUESTION)
