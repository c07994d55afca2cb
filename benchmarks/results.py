"""What was measured: kept in a DuckDB file with the circumstances, printed with the goals beside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import orjson

from benchmarks.measure import ROOT, Quantiles, machine

__all__ = [
    "FILE",
    "KEPT",
    "OURS",
    "Measured",
    "Result",
    "Run",
    "finished",
    "keep",
    "kept",
    "latest",
    "latest_parts",
    "part_kind",
    "save",
    "times",
]

FILE = ROOT / "benchmarks" / "results" / "results.duckdb"
# The last run of each part at full size, in the repository: a part takes up to an hour, and another
# machine goes on from here.
KEPT = ROOT / "benchmarks" / "latest.json"
OURS = "whatworks"
SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    measured_at TIMESTAMP, kind VARCHAR, "commit" VARCHAR, machine VARCHAR, versions VARCHAR,
    seconds DOUBLE, load_before DOUBLE, load_after DOUBLE
);
CREATE TABLE IF NOT EXISTS results (
    measured_at TIMESTAMP, benchmark VARCHAR, size VARCHAR, metric VARCHAR, subject VARCHAR,
    p50 DOUBLE, p95 DOUBLE, unit VARCHAR, n INTEGER, load DOUBLE
);
"""


@dataclass(frozen=True, slots=True)
class Result:
    """One figure; ``p95`` is ``None`` where there is one value only. ``load`` is that of the minute."""

    benchmark: str
    size: str
    metric: str
    subject: str
    p50: float
    p95: float | None
    unit: str
    n: int
    load: float


@dataclass(frozen=True, slots=True)
class Run:
    """All results of one run, and its circumstances."""

    at: datetime
    kind: str
    commit: str
    machine: str
    versions: str
    seconds: float
    load_before: float
    load_after: float
    results: tuple[Result, ...]


class Measured:
    """Collects the results of a benchmark at one size."""

    def __init__(self, benchmark: str, size: str) -> None:
        self.benchmark = benchmark
        self.size = size
        self.results: list[Result] = []

    def add(self, metric: str, value: float | Quantiles, unit: str, *, subject: str = OURS) -> None:
        p50, p95, n = value if isinstance(value, Quantiles) else (value, None, 1)
        load = os.getloadavg()[0]
        self.results.append(Result(self.benchmark, self.size, metric, subject, p50, p95, unit, n, load))


def times(result: Result, results: Iterable[Result]) -> float | None:
    """How many times our p50 another subject's is, for the same metric and size."""
    if result.subject == OURS:
        return None
    key = (result.benchmark, result.size, result.metric)
    for other in results:
        if other.subject == OURS and (other.benchmark, other.size, other.metric) == key:
            return result.p50 / other.p50
    return None


def save(run: Run, path: Path = FILE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute(SCHEMA)
        at = run.at.replace(tzinfo=None)
        con.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [at, run.kind, run.commit, run.machine, run.versions, run.seconds, run.load_before,
             run.load_after],
        )  # fmt: skip
        con.executemany(
            "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [[at, *astuple(result)] for result in run.results],
        )


def latest(kind: str, path: Path = FILE) -> Run | None:
    """The last run of ``kind``, ``None`` if there is none."""
    if not path.exists():
        return None
    with duckdb.connect(str(path), read_only=True) as con:
        row = con.execute(
            "SELECT * EXCLUDE (kind) FROM runs WHERE kind = ? ORDER BY measured_at DESC LIMIT 1", [kind]
        ).fetchone()
        if row is None:
            return None
        rows = con.execute(
            "SELECT * EXCLUDE (measured_at) FROM results WHERE measured_at = ? ORDER BY rowid", [row[0]]
        ).fetchall()
    found = tuple(Result(*values) for values in rows)
    at, commit, machine_, versions, seconds, before, after = row
    return Run(at.replace(tzinfo=UTC), kind, commit, machine_, versions, seconds, before, after, found)


def kept(path: Path = KEPT) -> dict[str, Run]:
    """The runs in the repository, by the name of the part."""
    if not path.exists():
        return {}
    found = {}
    for name, run in orjson.loads(path.read_bytes()).items():
        run["at"] = datetime.fromisoformat(run["at"])
        run["results"] = tuple(Result(*values) for values in run["results"])
        found[name] = Run(**run)
    return found


def keep(runs: Mapping[str, Run], path: Path = KEPT) -> None:
    """Put runs into the repository, one result a line."""
    rows = {
        name: asdict(run) | {"results": [astuple(result) for result in run.results]}
        for name, run in sorted(runs.items())
    }
    text = orjson.dumps(rows).decode()
    path.write_text(text.replace('"results":[[', '"results":[\n[').replace("],[", "],\n[") + "\n")


def latest_parts(size: str, path: Path = FILE) -> dict[str, Run]:
    """The last run of each part of the suite at a size, by the name of the part; see ``part_kind``."""
    before = kept() if (size, path) == ("full", FILE) else {}
    if not path.exists():
        return before
    with duckdb.connect(str(path), read_only=True) as con:
        rows = con.execute("SELECT DISTINCT kind FROM runs WHERE starts_with(kind, ?)", [f"{size}: "])
        kinds = [kind for (kind,) in rows.fetchall()]
    runs = {kind.partition(": ")[2]: latest(kind, path) for kind in kinds}
    here = {name: run for name, run in runs.items() if run is not None}
    return before | {n: run for n, run in here.items() if n not in before or before[n].at < run.at}


def part_kind(size: str, name: str) -> str:
    """How the part ``name`` of the suite is called among all kinds of runs."""
    return f"{size}: {name}"


def finished(
    kind: str, results: Sequence[Result], *, at: datetime, seconds: float, load_before: float
) -> Run:
    """A run that has just ended."""
    facts = machine()
    return Run(
        at, kind, facts["commit"], facts["machine"], facts["versions"], seconds, load_before,
        os.getloadavg()[0], tuple(results),
    )  # fmt: skip
