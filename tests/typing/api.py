"""Every public call with its types: checked, never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from whatworks import (
    Answer,
    Backup,
    Calibration,
    CalibrationScore,
    Cause,
    Change,
    ContextMap,
    Contribution,
    Diff,
    Estimate,
    Evaluation,
    Evidence,
    Explanation,
    Flip,
    Held,
    IntervalCheck,
    Judgement,
    Lift,
    Match,
    Memory,
    Migration,
    NewEvent,
    NewPattern,
    Overview,
    Pattern,
    Predicted,
    Prediction,
    Prior,
    Proposal,
    Recalibration,
    ReliabilityBin,
    Stats,
    Trend,
    TrendDay,
    UsageEvent,
    Where,
    Why,
    clean_text,
)
from whatworks.backup import restore
from whatworks.bulk import RayPool
from whatworks.sharing import Shared, share
from whatworks.stores import Hits, VectorStore, open_store


def embed(texts: list[str]) -> NDArray[np.float32]:
    return np.zeros((len(texts), 3), np.float32)


def open_() -> None:
    assert_type(Memory.open(), Memory)
    assert_type(Memory.open(Path("store"), embedder=embed, vectors="exact", create=False), Memory)
    with Memory.open("store", embedder="none", durability="process", source="ci") as memory:
        assert_type(memory, Memory)


def write(memory: Memory, now: datetime) -> None:
    pattern = memory.add_pattern(
        "x", pattern_type="y", metadata={"a": 1}, pattern_id="p", created_at=now
    )
    assert_type(pattern, Pattern)
    assert_type(memory.add_patterns(["x", NewPattern("y"), {"description": "z"}]), list[Pattern])
    event = memory.record("p", outcome=None, context="c", files=["f"], tools=("t",), duration_ms=3)
    assert_type(event, UsageEvent)
    assert_type(memory.record_many([NewEvent("p", 1.0), {"pattern_id": "p"}]), list[UsageEvent])
    assert_type(memory.resolve("e", outcome=0.0, timestamp=now), UsageEvent)
    assert_type(memory.resolve("e", state="not_used"), UsageEvent)
    memory.add_priors([Prior("p", 0.5, 3, "import"), {"pattern_id": "p"}])
    assert_type(memory.archive("p", reason="old"), Pattern)
    assert_type(memory.unarchive("p"), Pattern)
    assert_type(memory.optimize(apply=True, keep=3), list[Proposal])
    memory.restore(patterns=[pattern], events=iter([event]))
    memory.flush(progress=print)
    memory.rebuild()
    memory.reembed(embed)
    with RayPool("local", workers=2) as pool:
        memory.rebuild(pool=pool)
    moved: Migration = memory.migrate("usearch", keep=False, progress=print)
    assert_type(moved.recall, dict[str, float])
    memory.close()


def ask(memory: Memory, now: datetime) -> None:
    matches = memory.find_similar("x", limit=3, where=Where(pattern_type="y", metadata={"a": None}))
    assert_type(matches, list[Match])
    assert_type(matches[0].distance, float | None)
    assert_type(memory.find_similar("x", where={"min_usage": 3}), list[Match])
    trend = memory.trend("p", window_days=7, as_of=now)
    assert_type(trend, Trend)
    assert_type(trend.days, tuple[TrendDay, ...])
    assert_type(memory.overview(window_days=7, limit=3), Overview)
    assert_type(memory.predictions(limit=3), list[Predicted])
    assert_type(memory.context_map("p", limit=3), ContextMap)
    prediction = memory.predict("x", limit=3, candidates=["p"], as_of=now)
    assert_type(prediction, Prediction)
    assert_type(prediction.answers, tuple[Answer, ...])
    assert_type(prediction.answers[0].evidence, tuple[Evidence, ...])
    memory.predict("x", explore=0.1, risk="low", mask=0.05, seed=1)
    assert_type(prediction.answers[0].propensity, float)
    judged = memory.evaluate("greedy", as_placed=True, exploring=True)
    assert_type(judged, Evaluation)
    assert_type(judged.dr, Estimate | None)
    memory.evaluate(lambda receipt: {"p": 1.0})
    assert_type(memory.lift("p", by_context=True), list[Lift])
    why = memory.why(prediction.prediction_id)
    assert_type(why, Why)
    assert_type(why.explanations, tuple[Explanation, ...])
    assert_type(why.explanations[0].contributions, tuple[Contribution, ...])
    ledger = memory.calibration(since=now, as_of=now, recalibrate="beta", seed=1)
    assert_type(ledger, Calibration)
    assert_type(ledger.by_type, tuple[CalibrationScore, ...])
    assert_type(ledger.overall.brier, Estimate | None)
    assert_type(ledger.overall.bins, tuple[ReliabilityBin, ...])
    assert_type(ledger.overall.intervals, IntervalCheck)
    assert_type(ledger.recalibration, Recalibration | None)
    assert_type(why.explanations[0].against, tuple[Contribution, ...])
    assert_type(why.explanations[0].flip, Flip | None)
    assert_type(prediction.answers[0].bounds, tuple[float, float] | None)
    diff = memory.diff(now, now, context="x", limit=3)
    assert_type(diff, Diff)
    assert_type(diff.changes, tuple[Change, ...])
    assert_type(diff.changes[0].causes, tuple[Cause, ...])
    assert_type(memory.get_pattern("p"), Pattern)
    assert_type(memory.get_event("e"), UsageEvent)
    assert_type(memory.get_patterns(["p"]), dict[str, Pattern])
    assert_type(memory.get_events(iter(["e"])), dict[str, UsageEvent])
    assert_type(memory.copy_table("events", Path("events.csv"), form="csv"), int)
    assert_type(memory.clock(), datetime)
    assert_type(memory.patterns(where=Where(min_usage=1), limit=5), list[Pattern])
    assert_type(memory.events("p", limit=5), list[UsageEvent])
    assert_type(memory.iter_events(), Iterator[UsageEvent])
    assert_type(memory.iter_patterns(), Iterator[Pattern])
    assert_type(memory.iter_priors(), Iterator[Prior])
    assert_type(memory.stats(), Stats)
    assert_type(memory.distrust("source"), Judgement)
    assert_type(memory.approve("source"), Judgement)
    assert_type(memory.unjudge("source"), Judgement)
    assert_type(memory.quarantine(limit=5), list[Held])
    assert_type(memory.backup(Path("backups"), keep=3), Backup)
    assert_type(restore(Path("backup"), Path("store")), Backup)
    assert_type(share(memory, memory, ["p"], contexts=True, dry_run=True), Shared)
    assert_type(clean_text("x", max_bytes=10), str)


def store(vectors: NDArray[np.float32]) -> None:
    opened = open_store("exact", Path("folder"), dim=3)
    assert_type(opened, VectorStore)
    opened.upsert(["a"], vectors)
    assert_type(opened.search(vectors[0], 3), Hits)
    assert_type(opened.count(), int)
