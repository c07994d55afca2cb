"""Rivals on the same logs, and the committed file of their scores.

They run from ``baselines.py`` of the given harness, and only when asked:
``make bench-rivals``. The file holds scores only, neither texts nor names of contexts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from benchmarks.decisions import harness
from benchmarks.decisions.harness import Row, Scores, Sizes

__all__ = ["FILE", "PAIRED", "RIVALS", "Rival", "comparable", "load", "run"]

FILE = Path(__file__).with_name("rivals.json")
COMMAND = "make bench-rivals"


class Rival(NamedTuple):
    """``name`` is its class in ``baselines.py``, ``title`` what the tables call it.

    It fails on fewer tries than ``least``.
    """

    name: str
    title: str
    suites: tuple[str, ...] = ("offline",)
    least: int = 1


RIVALS = (
    Rival("SeedSQL", "original query", harness.SUITES),
    Rival("SeedFixed", "original query without its filter"),
    Rival("MAB", "MABWiser KNearest", least=20),
    Rival("MABLin", "MABWiser linear"),
    Rival("KNN50", "kNN mean, k = 50", ("offline", "online")),
    Rival("VWReg", "Vowpal Wabbit regression on words"),
    Rival("GlobalShrunk", "pattern mean, shrunk", harness.SUITES),
    Rival("KernelBeta", "kernel Beta (one SQL)", harness.SUITES),
    Rival("KernelBetaCells", "kernel Beta on cells (one SQL)", ("offline", "robust")),
    Rival("LogRegArm", "logistic regression per pattern", ("offline", "online")),
    Rival("LogRegShared", "one logistic regression, shared + per pattern", ("offline", "robust")),
    Rival("VWCB", "Vowpal Wabbit contextual bandit", ("online",)),
    Rival("TSGlobal", "Thompson sampling on pattern means", ("online",)),
    Rival("EpsGlobal", "epsilon-greedy on pattern means", ("online",)),
)
# Rivals whose scores are kept for each context, for paired differences, and at which sizes.
PAIRED = {"LogRegShared": "one logistic model", "KernelBeta": "kernel Beta"}
PAIRED_AT = (300, 1_000, 3_000)
FIGURES = ("task", "n", "policy", "seed", "skill", "gain", "ece", "brier", "cover", "predict_ms")


def run(shared: Path, sizes: Sizes, *, processes: int, only: Iterable[str] = ()) -> Iterator[str]:
    """Score the rivals and write the file, anew after each; yield their names as they are done."""
    names = set(only)
    unknown = names - {rival.name for rival in RIVALS}
    if unknown:
        raise SystemExit(f"no rival is called {', '.join(sorted(unknown))}")
    scores = load() if names else {}
    for rival in RIVALS:
        if names and rival.name not in names:
            continue
        some = sizes._replace(ns=tuple(n for n in sizes.ns if n >= rival.least))
        made = harness.score(shared, f"baselines:{rival.name}", rival.suites, some, processes=processes)
        scores[rival.name] = slim(rival.name, made)
        FILE.write_bytes(_bytes(scores, sizes))
        yield rival.name


def load() -> dict[str, Scores]:
    """Scores by name of the rival; nothing if they were never made."""
    if not FILE.exists():
        return {}
    scores: dict[str, Scores] = orjson.loads(FILE.read_bytes())["scores"]
    return scores


def _bytes(scores: dict[str, Scores], sizes: Sizes) -> bytes:
    """One line a row, so that a change shows which; ``sizes`` are those of the last run."""
    ran = orjson.dumps(sizes._asdict()).decode()
    lines = [f'{{"command": "{COMMAND}", "sizes": {ran},', '"scores": {']
    ends = ["," if n < len(scores) else "" for n in range(1, len(scores) + 1)]
    for (name, suites), end in zip(scores.items(), ends, strict=True):
        lines.append(f'"{name}": {{')
        parts = []
        for suite, rows in suites.items():
            dumped = (orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY).decode() for row in rows)
            parts.append(f'"{suite}": [\n' + ",\n".join(dumped) + "\n]")
        lines += [",\n".join(parts), "}" + end]
    return "\n".join([*lines, "}}", ""]).encode()


def slim(name: str, scores: Scores) -> Scores:
    """What the tables and pictures need of a rival's scores."""
    return {
        suite: [_slim(name, row) if suite == "offline" else _rounded(row) for row in rows]
        for suite, rows in scores.items()
    }


def _slim(name: str, row: Row) -> Row:
    kept = _rounded({figure: row[figure] for figure in FIGURES})
    if row["n"] == 1_000:
        kept["reliability"] = row["reliability"]
    if name in PAIRED and row["n"] in PAIRED_AT:
        scores = row["per_context"]
        kept["brier_const"] = row["brier_const"]
        kept["per_context"] = {key: [round(v, 4) for v in scores[key]] for key in harness.KEPT}
    return kept


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return round(value, 5) if isinstance(value, float) else value


def comparable(rows: list[Row], rival: list[Row]) -> tuple[list[Row], list[Row]]:
    """Those of our ``rows`` that the rival has for each context too, and the rival's, filled up.

    The rival's file has no contexts: they are those of our row of the same log,
    which is the same log only if a constant mean errs alike on it.
    """
    ours, theirs = [], []
    found = {_log(row): row for row in rival if "per_context" in row}
    for row in rows:
        other = found.get(_log(row))
        if other is None:
            continue
        if abs(other["brier_const"] - row["brier_const"]) > 1e-6:
            raise SystemExit(f"{FILE.name} was made from other logs: {COMMAND}")
        ours.append(row)
        scores = row["per_context"] | other["per_context"]
        theirs.append(other | {"context": row["context"], "per_context": scores})
    return ours, theirs


def _log(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("task", "n", "policy", "seed"))
