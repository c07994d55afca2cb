"""``python -m benchmarks.decisions smoke`` or ``full SHARED``: are predictions true?

``SHARED`` is a folder with the scoring harness in ``benchmark/`` and logged
decisions in ``data/decisions/``, which may not be distributed with this project.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from benchmarks.decisions import smoke
from benchmarks.measure import ROOT

PAGE = ROOT / "docs" / "statistics.md"
START, END = "<!-- figures: make bench-decisions -->", "<!-- end of figures -->"
TASKS = (("bfcl12", "alpacaD12", "alpacaG12"), ("rbench11", "clinc12"))  # one half a core


def full(shared: Path) -> None:
    """Score the development data, and write the tables into ``docs/statistics.md``."""
    page = PAGE.read_text()
    before, rest = page.split(START)
    after = rest.split(END)[1]
    offline, robust = _score(shared, "full"), _score(shared, "robust")
    figures = "\n".join([*_offline(offline["offline"]), "", *_robust(robust["robust"])])
    PAGE.write_text(f"{before}{START}\n{figures}\n{END}{after}")
    print(f"wrote {PAGE}")


def _score(shared: Path, suite: str) -> dict[str, list[Any]]:
    """All rows of a suite of the harness, run as one process a half of the tasks."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    found: dict[str, list[Any]] = {"offline": [], "robust": []}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{n}.json" for n in range(len(TASKS))]
        runs = [
            subprocess.Popen(
                [
                    sys.executable,
                    str(shared / "benchmark" / "predict_eval.py"),
                    "--system=benchmarks.decisions.system:make",
                    f"--data={shared / 'data' / 'decisions'}",
                    f"--suite={suite}",
                    f"--tasks={','.join(tasks)}",
                    f"--out={file}",
                ],
                env=environment,
            )
            for tasks, file in zip(TASKS, files, strict=True)
        ]
        for run, file in zip(runs, files, strict=True):
            if run.wait() != 0:
                raise SystemExit(f"the harness failed with {run.returncode}")
            rows = orjson.loads(file.read_bytes())
            for kind in found:
                found[kind] += rows[kind]
    return found


def _mean(rows: list[Any], *path: str) -> float:
    """The mean over tasks of the means over seeds; NaN without any."""
    by_task: dict[str, list[float]] = {}
    for row in rows:
        value: Any = row
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            by_task.setdefault(row["task"], []).append(float(value))
    means = [sum(values) / len(values) for values in by_task.values()]
    return sum(means) / len(means) if means else float("nan")


def _offline(rows: list[Any]) -> list[str]:
    columns = ("skill", "gain", "ece", "cover80", "cover95", "predict_ms")
    lines = [
        "| log | tries | skill | gain | ECE | 80 % interval holds | 95 % holds | ms |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for policy in ("uniform", "biased"):
        for n in sorted({row["n"] for row in rows}):
            chosen = [row for row in rows if row["policy"] == policy and row["n"] == n]
            values = [_mean(chosen, column) for column in columns]
            digits = ("{:.3f}", "{:.2f}", "{:.3f}", "{:.0%}", "{:.0%}", "{:.1f}")
            cells = [
                "" if value != value else form.format(value)
                for form, value in zip(digits, values, strict=True)
            ]
            lines.append(f"| {policy} | {n:,} | {' | '.join(cells)} |")
    return lines


def _robust(rows: list[Any]) -> list[str]:
    figures = {
        "a pattern breaks half-way: error of its estimate": ("drift", "err_broken"),
        "a pattern is mended half-way: error of its estimate": ("drift", "err_fixed"),
        "Brier score of the clean log": ("clean", "brier"),
        "Brier score when kinds of work come in blocks": ("blocks", "brier"),
        "100 fake successes in one context: its estimate moves by": ("spam", "shift_spammed"),
        "... and how often it is then chosen": ("spam", "picked_spammed"),
        "AUC of the clean log": ("clean", "auc"),
        "AUC with events repeated 30 times": ("dup", "auc"),
    }
    lines = ["| robustness, 1,000 tries | |", "|---|--:|"]
    return lines + [f"| {name} | {_mean(rows, *path):.3f} |" for name, path in figures.items()]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["smoke"]:
            for found in smoke.run():
                print(found)
        case ["full", folder]:
            full(Path(folder).resolve())
        case _:
            raise SystemExit(__doc__)
