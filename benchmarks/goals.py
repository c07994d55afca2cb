"""What whatworks is to reach on two cores, and what was measured of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks import against_analytics, against_files, analytics_peers, vector_peers
from benchmarks.asking import VIEWS
from benchmarks.results import OURS, Result, Run

__all__ = ["GOALS", "Figure", "Goal", "find"]

Runs = Mapping[str, Run]
RECALL = 0.95
NEARLY = 0.01  # less may a peer find, whose effort was chosen by other questions


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of a goal; ``value`` is what the goal limits, ``note`` says of what."""

    value: float
    p95: float | None
    load: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """``limit`` is the most, or with ``at_least`` the least; no figure before the first run."""

    about: str
    name: str
    limit: float
    unit: str
    figure: Callable[[Runs], Figure | None]
    at_least: bool = False

    def factor(self, figure: Figure) -> float:
        """How many times too much, or too little; at most 1 where the goal is met."""
        if self.at_least:
            return self.limit / figure.value if figure.value else float("inf")
        return figure.value / self.limit


def find(runs: Runs, part: str, metric: str, subject: str = OURS) -> Result | None:
    """One result of the last run of a part."""
    for result in runs[part].results if part in runs else ():
        if (result.metric, result.subject) == (metric, subject):
            return result
    return None


def _of(part: str, metric: str) -> Callable[[Runs], Figure | None]:
    def figure(runs: Runs) -> Figure | None:
        result = find(runs, part, metric)
        return None if result is None else Figure(result.p50, result.p95, result.load)

    return figure


def _p95(part: str, metric: str) -> Callable[[Runs], Figure | None]:
    def figure(runs: Runs) -> Figure | None:
        result = find(runs, part, metric)
        return None if result is None or result.p95 is None else Figure(result.p95, None, result.load)

    return figure


def _slowest(part: str, metrics: Sequence[str]) -> Callable[[Runs], Figure | None]:
    def figure(runs: Runs) -> Figure | None:
        found = [result for metric in metrics if (result := find(runs, part, metric)) is not None]
        if not found:
            return None
        worst = max(found, key=lambda result: result.p50)
        return Figure(worst.p50, worst.p95, worst.load, worst.metric)

    return figure


def _ratio(
    over: tuple[str, str], under: tuple[str, str], *, of: str = OURS, by: str = OURS
) -> Callable[[Runs], Figure | None]:
    """How many times the second figure the first is."""

    def figure(runs: Runs) -> Figure | None:
        top, base = find(runs, *over, of), find(runs, *under, by)
        if top is None or base is None or base.p50 <= 0:
            return None
        note = f"{top.p50:,.3g} {top.unit} and {base.p50:,.3g} {base.unit}"
        return Figure(top.p50 / base.p50, None, max(top.load, base.load), note)

    return figure


def _against_fastest(
    part: str, metric: str, peers: Sequence[str], *, recalled: bool = False
) -> Callable[[Runs], Figure | None]:
    """Beside the fastest of the peers; with ``recalled`` of those that find enough."""

    def figure(runs: Runs) -> Figure | None:
        found = [
            result
            for peer in peers
            if (result := find(runs, part, metric, peer)) is not None
            and (not recalled or _recall(runs, part, peer) >= RECALL - NEARLY)
        ]
        if not found:
            return None
        fastest = min(found, key=lambda result: result.p50)
        known = _ratio((part, metric), (part, metric), by=fastest.subject)(runs)
        return None if known is None else replace(known, note=f"{known.note} of {fastest.subject}")

    return figure


def _recall(runs: Runs, part: str, peer: str) -> float:
    result = find(runs, part, "recall@10", peer)
    return 0.0 if result is None else result.p50


def _all() -> list[Goal]:
    reads = ["stats", *(f"view of 30 days: {name}" for name in VIEWS)]
    vector, text = "find_similar by vector", "find_similar, new short text"
    client, alone = "client of a live keeper, first", "alone, first"
    usual, patterns, events = "100,000 patterns", "1,000,000 patterns", "10,000,000 events"
    new, started = "predict, new text", "no keeper, from the start to"
    million = "1,000,000 events"
    stores = [name for name, peer in vector_peers.PEERS.items() if peer.keeps_patterns]
    files, asked = "files-10k", "search, text not asked before"
    start, held = "start to the first search, client", "memory after the first search, client"
    goals = [
        Goal("Search", f"{vector}, {usual}", 1, "ms", _of("ask-100k", vector)),
        Goal("Search", f"{vector}, {usual}, p95", 3, "ms", _p95("ask-100k", vector)),
        Goal(
            "Search",
            f"{vector}, {usual}, recall@10",
            RECALL,
            "",
            _of("ask-100k", f"{vector}, recall@10"),
            at_least=True,
        ),
        Goal("Search", f"{vector}, {patterns}", 3, "ms", _of("ask-1m-patterns", vector)),
        Goal(
            "Search",
            f"{vector}, {patterns}, recall@10",
            RECALL,
            "",
            _of("ask-1m-patterns", f"{vector}, recall@10"),
            at_least=True,
        ),
        Goal("Search", f"{text}, {usual}", 5, "ms", _of("ask-100k", text)),
        Goal(
            "Search",
            f"find_similar, repeated text, {usual}",
            1,
            "ms",
            _of("ask-100k", "find_similar, repeated text"),
        ),
        Goal("Questions", f"{new}, {million}", 10, "ms", _of("ask-100k", "predict, new text")),
        Goal(
            "Questions",
            f"{new}, {events}",
            20,
            "ms",
            _of("ask-10m-events", "predict, new text"),
        ),
        Goal("Questions", f"trend, {million}", 3, "ms", _of("ask-100k", "trend")),
        Goal("Questions", f"trend, {events}", 3, "ms", _of("ask-10m-events", "trend")),
        Goal(
            "Questions",
            f"stats and each view of 30 days, the slowest, {million}",
            10,
            "ms",
            _slowest("ask-100k", reads),
        ),
        Goal(
            "Questions",
            f"stats and each view of 30 days, the slowest, {events}",
            25,
            "ms",
            _slowest("ask-10m-events", reads),
        ),
        Goal("Writing", "record, one caller", 1, "ms", _of("record", "record")),
        Goal(
            "Writing",
            "record_many, into the journal",
            50_000,
            "events/s",
            _of("fill-100k", "record_many, into the journal"),
            at_least=True,
        ),
        Goal(
            "Writing",
            "record_many, folded",
            100_000,
            "events/s",
            _of("fill-100k", "record_many, until folded"),
            at_least=True,
        ),
        Goal("Start", "client, start to trend", 80, "ms", _of("start", f"{client} trend: time")),
        Goal(
            "Start",
            f"{started} trend",
            200,
            "ms",
            _of("start", f"{alone} trend: time"),
        ),
        Goal(
            "Start",
            f"{started} find_similar by text",
            700,
            "ms",
            _of("start", f"{alone} find_similar: time"),
        ),
        Goal(
            "Memory",
            "client, Memory.open and one trend where nothing was imported",
            12,
            "MB",
            _of("start", f"{client} trend: memory, anonymous"),
        ),
        Goal(
            "Memory",
            "keeper without the embedder, at rest after 1,000 questions",
            64,
            "MB",
            _of("keep-100k", "without the embedder, at rest, anonymous"),
        ),
        Goal(
            "Memory",
            "keeper with the embedder, at rest after 1,000 questions",
            160,
            "MB",
            _of("keep-100k", "with the embedder, at rest, anonymous"),
        ),
        Goal("Disk", "per pattern", 4_096, "bytes", _of("fill-100k", "on disk, per pattern")),
        Goal(
            "Disk",
            "per event in a known context, folded",
            60,
            "bytes",
            _of("fill-100k", "on disk, per event in a known context"),
        ),
        Goal(
            "Growth",
            "search by vector, 10,000 to 1,000,000 patterns",
            3,
            "times",
            _ratio(("ask-1m-patterns", vector), ("ask-10k", vector)),
        ),
        Goal(
            "Growth",
            "trend, 100,000 to 10,000,000 events",
            1.5,
            "times",
            _ratio(("ask-10m-events", "trend"), ("ask-10k", "trend")),
        ),
        Goal(
            "Growth",
            "predict, 100,000 to 10,000,000 events",
            3,
            "times",
            _ratio(("ask-10m-events", new), ("ask-10k", new)),
        ),
        Goal(
            "Growth",
            "memory of a keeper, 10,000 to 1,000,000 patterns, below",
            100,
            "times",
            _ratio(
                ("keep-1m-patterns", "without the embedder, at once, anonymous"),
                ("keep-10k", "without the embedder, at once, anonymous"),
            ),
        ),
        Goal(
            "Growth",
            "memory of a keeper, 100,000 to 10,000,000 events, below",
            100,
            "times",
            _ratio(
                ("keep-10m-events", "without the embedder, at once, anonymous"),
                ("keep-10k", "without the embedder, at once, anonymous"),
            ),
        ),
        Goal("Rebuild", f"evidence of {million}", 60, "s", _of("rebuild", "rebuild of the evidence")),
        Goal(
            "Rebuild",
            f"vectors of {usual} from their embeddings",
            60,
            "s",
            _of("rebuild", "vectors from their embeddings"),
        ),
        Goal(
            "Embedding",
            "short texts in bulk",
            350,
            "texts/s",
            _of("embedding", "short texts in bulk"),
            at_least=True,
        ),
        Goal(
            "Embedding",
            "bulk import, as a multiple of its embedding",
            1,
            "times",
            _of("embedding", "time of an import, as a multiple of that of its embedding"),
        ),
        Goal(
            "File-based memory",
            "search faster, both by words, 10,000 patterns",
            50,
            "times",
            _ratio((files, asked), (files, asked), of=against_files.FILES, by=against_files.WORDS),
            at_least=True,
        ),
        Goal(
            "File-based memory",
            "start to the first search faster, client",
            10,
            "times",
            _ratio((files, start), (files, start), of=against_files.FILES),
            at_least=True,
        ),
        Goal(
            "File-based memory",
            "less memory in the asking process, client",
            5,
            "times",
            _ratio((files, held), (files, held), of=against_files.FILES),
            at_least=True,
        ),
        Goal(
            "Vector stores",
            "search, beside the fastest that keeps patterns too",
            1.5,
            "times",
            _against_fastest("vectors-100k", "search", stores, recalled=True),
        ),
    ]
    goals += [
        Goal(
            "Vector stores",
            f"search, beside {peer}",
            1,
            "times",
            _ratio(("vectors-100k", "search"), ("vectors-100k", "search"), by=peer),
        )
        for peer in ("Chroma", "qdrant-edge")
    ]
    goals += [
        Goal(
            "Tables",
            f"{metric}, beside the fastest peer, {million}",
            1,
            "times",
            _against_fastest("tables-1m", metric, list(analytics_peers.PEERS)),
        )
        for metric, _ in against_analytics.QUESTIONS.values()
    ]
    return goals


GOALS = tuple(_all())
