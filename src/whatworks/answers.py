"""How each question is answered: embed, search, join with the evidence, rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from whatworks import rank, trends
from whatworks.checks import micros, moment_of
from whatworks.errors import NotFoundError
from whatworks.evidence import questions
from whatworks.evidence.questions import CellRow, PopulationRow, RecordRow
from whatworks.ids import uuid7
from whatworks.keeper import Keeper
from whatworks.records import (
    Answer,
    Contribution,
    Evidence,
    Explanation,
    Match,
    Pattern,
    Prediction,
    Prior,
    Stats,
    Trend,
    UsageEvent,
    Where,
    Why,
)
from whatworks.vectors import Vectors

__all__ = ["Answers"]

# Names the way estimates are made; raise when the same evidence gives other numbers.
POLICY = "kernel-beta/1"
LEVEL = 0.80
# Candidates of each kind of search before fusion: enough that a pattern which is
# eleventh by meaning and first by words is not missed.
CANDIDATES = 50
SHOWN_EVIDENCE = 5
NOW = "now"
# Up to this many patterns that fulfil a condition are compared one by one.
FEW = 2_000


class Answers:
    """The questions that a memory answers, on the layers of a keeper."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    # -- patterns and events ----------------------------------------------------------------------

    def patterns(self, ids: Sequence[str]) -> dict[str, Pattern]:
        """The patterns of these ids, as far as they exist, from the cache where possible."""
        evidence = self._keeper.evidence()
        found = self._keeper.patterns.many(ids, lambda missing: questions.patterns(evidence, missing))
        return {name: _own(pattern) for name, pattern in found.items()}

    def matching(self, where: Where | None, limit: int) -> list[Pattern]:
        """Patterns that fulfil ``where``, newest first."""
        return questions.matching(self._keeper.evidence(), where, limit)

    def events(self, pattern_id: str | None, limit: int) -> list[UsageEvent]:
        """Tries, newest first."""
        return questions.events(self._keeper.evidence(), pattern_id=pattern_id, limit=limit)

    def event(self, event_id: str) -> UsageEvent | None:
        """The try with this id, if there is one."""
        found = questions.events(self._keeper.evidence(), ids=[event_id], limit=1)
        return found[0] if found else None

    def events_of(self, ids: Sequence[str]) -> dict[str, UsageEvent]:
        """The tries with these ids, as far as they exist."""
        found = questions.events(self._keeper.evidence(), ids=ids, limit=max(len(ids), 1))
        return {event.event_id: event for event in found}

    def copy_table(self, kind: str, path: str, form: str) -> int:
        """Write a table to a file; return how many rows it has."""
        return questions.copy_table(self._keeper.evidence(), kind, path, form)

    def every_pattern(self) -> Iterator[Pattern]:
        """All patterns, oldest first."""
        return questions.every_pattern(self._keeper.evidence())

    def every_event(self) -> Iterator[UsageEvent]:
        """All tries, oldest first."""
        return questions.every_event(self._keeper.evidence())

    def every_prior(self) -> Iterator[Prior]:
        """All imported aggregates, oldest first."""
        return questions.every_prior(self._keeper.evidence())

    def stats(self) -> Stats:
        """Counts and sizes."""
        keeper = self._keeper
        evidence = keeper.evidence(receipts=True)
        return Stats(
            path=str(keeper.folder),
            **questions.counts(evidence),
            embedder=keeper.config.embedder,
            dim=keeper.config.dim,
            vectors=keeper.describe_vectors(),
            cache={"patterns": keeper.patterns.describe(), "queries": keeper.queries.describe()},
            journal_bytes=size_of(keeper.folder / "journal"),
            evidence_bytes=size_of(*keeper.folder.glob("evidence.duckdb*")),
            vector_bytes=size_of(keeper.folder / "vectors"),
            problems=tuple(keeper.problems),
        )

    # -- similar ----------------------------------------------------------------------------------

    def find_similar(self, text: str, where: Where | None, limit: int) -> list[Match]:
        """Patterns like ``text``, by meaning and by words."""
        vectors = self._keeper.vectors("patterns")
        query = self._keeper.embed_query(text)
        near = self._nearest(vectors, query, where, max(limit, CANDIDATES))
        by_words = questions.word_hits(self._keeper.evidence(), text, where, max(limit, CANDIDATES))
        scores = rank.fuse(list(near), by_words)
        order = sorted(scores, key=lambda name: (-scores[name], near.get(name, 2.0), name))[:limit]
        found = self.patterns(order)
        vector_rank = {name: n for n, name in enumerate(near, 1)}
        word_rank = {name: n for n, name in enumerate(by_words, 1)}
        return [
            Match(
                pattern=found[name],
                distance=near.get(name),
                score=scores[name],
                vector_rank=vector_rank.get(name),
                keyword_rank=word_rank.get(name),
            )
            for name in order
            if name in found
        ]

    def _nearest(self, vectors: Any, query: Any, where: Where | None, k: int) -> dict[str, float]:
        """Ids and distances of the nearest patterns that fulfil ``where``, nearest first."""
        if where is None:
            hits = vectors.search(query, k)
            return dict(zip(hits.ids, hits.distances.tolist(), strict=True))
        permitted = set(questions.allowed(self._keeper.evidence(), where))
        if len(permitted) <= FEW:
            hits = vectors.distances(query, sorted(permitted))
        else:
            # Look further until enough are permitted, or all have been seen.
            reach = 4 * k
            hits = vectors.search(query, reach)
            while sum(name in permitted for name in hits.ids) < k and len(hits.ids) == reach:
                reach *= 4
                hits = vectors.search(query, reach)
        pairs = zip(hits.ids, hits.distances.tolist(), strict=True)
        return dict([(name, distance) for name, distance in pairs if name in permitted][:k])

    # -- trend ------------------------------------------------------------------------------------

    def trend(self, pattern_id: str, window_days: int, as_of: datetime | None) -> Trend:
        """How the outcomes of a pattern develop."""
        rows = questions.days(self._keeper.evidence(), pattern_id, as_of)
        return trends.trend(pattern_id, [trends.DaySum(*row) for row in rows], window_days)

    # -- predict ----------------------------------------------------------------------------------

    def predict(
        self,
        context: str,
        *,
        limit: int,
        candidates: Sequence[str] | None,
        as_of: datetime | None,
        now: datetime,
    ) -> Prediction:
        """What works in ``context``, best first; the receipt is written down."""
        evidence = self._keeper.evidence()
        contexts, patterns = self._keeper.vectors("contexts"), self._keeper.vectors("patterns")
        query = self._keeper.embed_query(context)
        sums = self._population(as_of)
        whole, k = rank.population(*sums[:5]), rank.neighbourhood(sums.cells)
        near, similarity = self._near(contexts, query, min(k, sums.cells), as_of)
        # A pattern without any evidence is worth showing if its description fits; of those that are
        # found, some are left out as of an earlier time.
        reach = limit if as_of is None else 4 * limit
        alike = patterns.search(query, reach if candidates is None else 0)
        records = questions.records(
            evidence,
            numbers=sorted({cell.pattern_no for cell in near}),
            ids=alike.ids if candidates is None else candidates,
            leaders=limit if candidates is None else 0,
            prior=(rank.PRIOR_WEIGHT, rank.PRIOR_CAP),
            whole=(whole.mu, whole.kappa),
            as_of=as_of,
        )
        made = rank.estimate(_records(records), _cells(near, records, similarity), whole)
        distance = dict(zip(alike.ids, alike.distances.tolist(), strict=True))
        asked = None if candidates is None else set(candidates)
        order = sorted(
            (n for n, r in enumerate(records) if asked is None or r.pattern_id in asked),
            key=lambda n: (
                -round(float(made.expected[n]), 9),
                distance.get(records[n].pattern_id, 2.0),
                records[n].pattern_id,
            ),
        )[:limit]
        receipt = {
            "prediction_id": uuid7(),
            "recorded_at": micros(now),
            "as_of": None if as_of is None else micros(as_of),
            "context": context,
            "policy": POLICY,
            "coverage": sums.coverage,
            "mu": whole.mu,
            "kappa": whole.kappa,
            "answers": _answers(order, records, made, whole),
            "cells": _receipt_cells(near, records, made, similarity),
        }
        self._keeper.keep_receipt(receipt)
        return self._prediction(receipt)

    def _near(
        self, contexts: Vectors, query: Any, k: int, as_of: datetime | None
    ) -> tuple[list[CellRow], dict[str, float]]:
        """The ``k`` nearest cells, the nearest first, and the similarity of their contexts."""
        reach = max(k, 1)
        while True:
            # Contexts without a resolved try, or of later, have no cells: look beyond them.
            hits = contexts.search(query, reach)
            cells = questions.neighbours(self._keeper.evidence(), hits.ids, as_of)
            if len(cells) >= k or len(hits.ids) < reach:
                break
            reach *= 4
        similarity = {n: 1 - d for n, d in zip(hits.ids, hits.distances.tolist(), strict=True)}
        cells.sort(key=lambda c: (-similarity[c.context_id], c.context_id, c.pattern_no))
        return cells[:k], similarity

    def _population(self, as_of: datetime | None) -> PopulationRow:
        evidence = self._keeper.evidence()
        if as_of is not None:
            return questions.population(evidence, as_of)
        found = self._keeper.sums.many([NOW], lambda _: {NOW: questions.population(evidence, None)})
        return found[NOW]

    def why(self, prediction_id: str) -> Why:
        """The summands of each estimate of a prediction, from its receipt alone."""
        evidence = self._keeper.evidence(receipts=True)
        receipt = questions.receipt(evidence, prediction_id)
        if receipt is None:
            raise NotFoundError(
                f"there is no prediction {prediction_id!r} in this store; predict returns the id"
            )
        prediction = self._prediction(receipt)
        texts = questions.context_texts(evidence, list({cell[0] for cell in receipt["cells"]}))
        explanations = tuple(_explained(answer, receipt, texts) for answer in receipt["answers"])
        return Why(prediction, explanations)

    def _prediction(self, receipt: Mapping[str, Any]) -> Prediction:
        found = self.patterns([answer["pattern_id"] for answer in receipt["answers"]])
        shown = {
            answer["pattern_id"]: _shown(answer["pattern_id"], receipt) for answer in receipt["answers"]
        }
        wanted = list({cell[0] for cells in shown.values() for cell in cells})
        texts = questions.context_texts(self._keeper.evidence(), wanted) if wanted else {}
        return Prediction(
            prediction_id=receipt["prediction_id"],
            context=receipt["context"],
            made_at=moment_of(receipt["recorded_at"]),
            as_of=None if receipt["as_of"] is None else moment_of(receipt["as_of"]),
            policy=receipt["policy"],
            default=receipt["mu"],
            coverage=receipt["coverage"],
            answers=tuple(
                Answer(
                    pattern=found[answer["pattern_id"]],
                    expected=answer["expected"],
                    low=answer["low"],
                    high=answer["high"],
                    n_effective=answer["n_effective"],
                    verdict=answer["verdict"],
                    evidence=_evidence(shown[answer["pattern_id"]], answer["local"], texts),
                )
                for answer in receipt["answers"]
                if answer["pattern_id"] in found  # else its record in the journal was damaged since
            ),
        )


def _own(pattern: Pattern) -> Pattern:
    """A copy whose metadata the caller may change without changing the cache."""
    return replace(pattern, metadata=deepcopy(pattern.metadata)) if pattern.metadata else pattern


def size_of(*paths: Path) -> int:
    """Bytes of files, and of all that folders hold."""
    files = (item for path in paths for item in ([path] if path.is_file() else path.rglob("*")))
    return sum(item.stat().st_size for item in files if item.is_file())


def _records(rows: Sequence[RecordRow]) -> rank.Records:
    numbers = np.array([row[2:] for row in rows], float).reshape(-1, 4)
    prior_tries = rank.prior_tries(numbers[:, 2])
    rate = numbers[:, 3] / np.maximum(numbers[:, 2], 1)
    return rank.Records(numbers[:, 0], numbers[:, 1], prior_tries, prior_tries * rate)


def _cells(
    near: Sequence[CellRow], records: Sequence[RecordRow], similarity: Mapping[str, float]
) -> rank.Cells:
    row_of = {record.pattern_no: n for n, record in enumerate(records)}
    return rank.Cells(
        np.array([row_of[cell.pattern_no] for cell in near], np.int64),
        np.array([similarity[cell.context_id] for cell in near], float),
        np.array([cell.tries for cell in near], float),
        np.array([cell.mean_outcome for cell in near], float),
    )


def _answers(
    order: Sequence[int], records: Sequence[RecordRow], made: rank.Estimates, whole: rank.Population
) -> list[dict[str, Any]]:
    """The estimates as the receipt keeps them, with all that ``why`` needs."""
    own = _records(records)
    chosen = np.array(order, int)
    low, high = rank.credible_interval(made.expected[chosen], made.n_effective[chosen], LEVEL)
    answers = []
    for place, n in enumerate(order):
        # Beta quantiles of a skewed estimate may not hold its mean; an interval that does is expected.
        bottom = min(float(low[place]), float(made.expected[n]))
        top = max(float(high[place]), float(made.expected[n]))
        tries = float(own.tries[n] + own.prior_tries[n])
        answers.append(
            {
                "pattern_id": records[n].pattern_id,
                "expected": float(made.expected[n]),
                "low": bottom,
                "high": top,
                "n_effective": float(made.n_effective[n]),
                "verdict": rank.verdict(bottom, top, tries, whole.mu),
                "raw": float(made.raw[n]),
                "level": float(made.level[n]),
                "local": float(made.local[n]),
                "tries": float(own.tries[n]),
                "total": float(own.total[n]),
                "prior_tries": float(own.prior_tries[n]),
                "prior_total": float(own.prior_total[n]),
            }
        )
    return answers


def _receipt_cells(
    near: Sequence[CellRow],
    records: Sequence[RecordRow],
    made: rank.Estimates,
    similarity: Mapping[str, float],
) -> list[list[Any]]:
    """Context, pattern, similarity, tries, mean outcome, weight and deviation of each cell."""
    name_of = {record.pattern_no: record.pattern_id for record in records}
    return [
        [
            cell.context_id,
            name_of[cell.pattern_no],
            similarity[cell.context_id],
            cell.tries,
            cell.mean_outcome,
            float(made.weight[n]),
            float(made.deviation[n]),
        ]
        for n, cell in enumerate(near)
    ]


def _shown(pattern_id: str, receipt: Mapping[str, Any]) -> list[list[Any]]:
    """The pattern's own cells, the most similar first, as many as an answer shows."""
    return [cell for cell in receipt["cells"] if cell[1] == pattern_id][:SHOWN_EVIDENCE]


def _evidence(
    cells: Sequence[Sequence[Any]], local: float, texts: Mapping[str, str]
) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(name, texts.get(name, ""), similarity, tries, mean, weight / local if local else 0.0)
        for name, _, similarity, tries, mean, weight, _ in cells
    )


def _explained(
    answer: Mapping[str, Any], receipt: Mapping[str, Any], texts: Mapping[str, str]
) -> Explanation:
    """The estimate of ``rank.estimate`` taken apart; the module's formulas tell why it adds up."""
    bound = answer["tries"] + answer["prior_tries"] + receipt["kappa"]
    parts = [
        Contribution(
            "population", receipt["kappa"] * receipt["mu"] / bound, receipt["kappa"], receipt["mu"]
        ),
        Contribution("record", answer["total"] / bound, answer["tries"], _share(answer, "")),
        Contribution(
            "prior", answer["prior_total"] / bound, answer["prior_tries"], _share(answer, "prior_")
        ),
    ]
    nearby = rank.LOCAL_PRIOR + answer["local"]
    everyone = rank.SITUATION_PRIOR + sum(cell[5] for cell in receipt["cells"])
    for name, pattern_id, similarity, tries, mean, weight, deviation in receipt["cells"]:
        where = (tries, mean, similarity, name, texts.get(name))
        if pattern_id == answer["pattern_id"]:
            parts.append(Contribution("tries", weight * (mean - answer["level"]) / nearby, *where))
        parts.append(Contribution("situation", weight * deviation / everyone / nearby, *where))
    return Explanation(
        pattern_id=answer["pattern_id"],
        expected=answer["expected"],
        clipped=answer["raw"] != answer["expected"],
        contributions=tuple(sorted(parts, key=lambda part: -abs(part.value))),
    )


def _share(answer: Mapping[str, Any], prefix: str) -> float | None:
    tries = answer[f"{prefix}tries"]
    return answer[f"{prefix}total"] / tries if tries else None
