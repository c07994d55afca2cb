"""How each question is answered: embed, search, join with the evidence, rank."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from whatworks import rank, trends
from whatworks.changes import Changes
from whatworks.checks import shown
from whatworks.embeddings import Found
from whatworks.errors import NotFoundError
from whatworks.evidence import Evidence, groups, questions
from whatworks.evidence.word_search import word_hits
from whatworks.frozen import copier, maker
from whatworks.keeper import Keeper
from whatworks.records import (
    Match,
    Pattern,
    Trend,
    UsageEvent,
    Where,
)
from whatworks.stores import Hits
from whatworks.vectors import Vectors

if TYPE_CHECKING:
    from whatworks.records import Stats, Timeline

__all__ = ["Answers", "shown_first"]

# Candidates of each kind of search before fusion: enough that a pattern which is
# eleventh by meaning and first by words is not missed.
CANDIDATES = 50
# Up to this many patterns that fulfil a condition are compared one by one.
FEW = 2_000


class Answers:
    """The questions that a memory answers, on the layers of a keeper."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._changes = Changes(keeper)

    # -- patterns and events ----------------------------------------------------------------------

    def patterns(self, ids: Sequence[str]) -> dict[str, Pattern]:
        """The patterns of these ids, as far as they exist, from the cache where possible."""
        self._keeper.evidence()
        return self.folded_patterns(ids)

    def folded_patterns(self, ids: Sequence[str]) -> dict[str, Pattern]:
        """The same as of the last fold: for a question that has looked for what is new already."""
        evidence = self._keeper.folded()
        found = self._keeper.patterns.many(ids, lambda missing: questions.patterns(evidence, missing))
        return {name: _own(pattern) for name, pattern in found.items()}

    def matching(self, where: Where | None, limit: int) -> list[Pattern]:
        """Patterns that fulfil ``where``, newest first."""
        return questions.matching(self._keeper.evidence(), where, limit)

    def events(self, pattern_id: str | None, limit: int) -> list[UsageEvent]:
        """Tries, newest first."""
        return questions.events(self._keeper.evidence(), pattern_id=pattern_id, limit=limit)

    def events_of(self, ids: Sequence[str]) -> dict[str, UsageEvent]:
        """The tries with these ids, as far as they exist."""
        found = questions.events_of(self._keeper.evidence(), ids)
        return {event.event_id: event for event in found}

    def stats(self) -> Stats:
        """Counts and sizes."""
        from whatworks.findings import Stats  # its many classes take a while to make

        keeper = self._keeper
        evidence, made = keeper.evidence(receipts=True), keeper.config.now
        return Stats(
            path=str(keeper.folder),
            **questions.counts(evidence),
            embedder=made.embedder,
            dim=made.dim,
            vectors=keeper.embeddings.describe(),
            cache={
                "patterns": keeper.patterns.describe(),
                "queries": keeper.model.queries.describe(),
                "searches": keeper.embeddings.found.describe(),
            },
            journal_bytes=size_of(keeper.folder / "journal"),
            evidence_bytes=size_of(*keeper.folder.glob("evidence.duckdb*")),
            vector_bytes=size_of(keeper.folder / "vectors"),
            problems=keeper.troubles(),
            keeper=os.getpid(),
        )

    # -- similar ----------------------------------------------------------------------------------

    def find_similar(self, text: str, where: Where | None, limit: int) -> list[Match]:
        """Patterns like ``text``, by meaning, if there is an embedder, and by words."""
        return self._matches(*self._found(text, where, limit), limit)

    def find_nearest(self, vector: Sequence[float], where: Where | None, limit: int) -> list[Match]:
        """Patterns whose embeddings are the nearest to one."""
        keeper = self._keeper
        vectors = keeper.embeddings.vectors("patterns")  # first: it finds out how long embeddings are
        query = keeper.model.direction(vector)
        return self._matches(self._nearest(vectors, query, where, limit), [], limit)

    def _matches(self, near: Mapping[str, float], by_words: list[str], limit: int) -> list[Match]:
        scores = rank.fuse(list(near), by_words)
        order = list(near)  # which is that of the scores, where no words were searched for
        if by_words:
            order = sorted(scores, key=lambda name: (-scores[name], near.get(name, 2.0), name))
        order = order[:limit]
        found = self.folded_patterns(order)
        vector_rank = {name: n for n, name in enumerate(near, 1)}
        word_rank = {name: n for n, name in enumerate(by_words, 1)}
        made = maker(Match)
        return [
            made(found[name], near.get(name), scores[name], vector_rank.get(name), word_rank.get(name))
            for name in order
            if name in found
        ]

    def _found(self, text: str, where: Where | None, limit: int) -> Found:
        """Distances by meaning and ids by words; kept where no condition depends on tries."""
        keeper, embeddings = self._keeper, self._keeper.embeddings
        if keeper.model.name == "none":
            keeper.evidence()
            vectors, k, may_be_kept = None, limit, where is None
        else:
            embeddings.expect_text()
            vectors = embeddings.vectors("patterns")  # first: it embeds what is new
            k, may_be_kept = max(limit, CANDIDATES), where is None and embeddings.all_embedded

        def search() -> Found:
            near: dict[str, float] = {}
            if vectors is not None:
                near = self._nearest(vectors, keeper.model.embed_query(text), where, k)
            return near, word_hits(keeper.folded(), text, where, k)

        if not may_be_kept:
            return search()
        key = f"{keeper.model.name} {k} {text}"
        return embeddings.found.many([key], lambda _: {key: search()})[key]

    def _nearest(self, vectors: Vectors, query: Any, where: Where | None, k: int) -> dict[str, float]:
        """Ids and distances of the nearest patterns that fulfil ``where``, nearest first."""
        evidence = self._keeper.folded()
        if where is None:
            return shown_first(vectors, query, k, evidence.shelf.patterns)
        # Most conditions are fulfilled by many: then it is enough to look at what is near.
        hits = vectors.search(query, 4 * k)
        permitted = set(questions.allowed(evidence, where, hits.ids))
        if len(permitted) < k and len(hits.ids) == 4 * k:
            permitted = set(questions.allowed(evidence, where))
            hits = self._reached(vectors, query, permitted, k)
        pairs = zip(hits.ids, hits.distances.tolist(), strict=True)
        return dict([(name, distance) for name, distance in pairs if name in permitted][:k])

    @staticmethod
    def _reached(vectors: Vectors, query: Any, permitted: set[str], k: int) -> Hits:
        """The nearest, so many that ``k`` are permitted, or all."""
        if len(permitted) <= FEW:
            return vectors.distances(query, sorted(permitted))
        reach = 16 * k
        hits = vectors.search(query, reach)
        while sum(name in permitted for name in hits.ids) < k and len(hits.ids) == reach:
            reach *= 4
            hits = vectors.search(query, reach)
        return hits

    # -- timeline ---------------------------------------------------------------------------------

    def timeline(self, pattern_id: str) -> Timeline:
        """What was learned of a pattern, week by week."""
        from whatworks import rates
        from whatworks.findings import Timeline

        evidence = self._keeper.evidence()
        number, tries = self._number(evidence, pattern_id)
        steps = rates.steps(groups.weeks(evidence, number))
        return Timeline(pattern_id, tuple(steps), self._changes.last(number, tries, None))

    # -- trend ------------------------------------------------------------------------------------

    def trend(self, pattern_id: str, window_days: int, as_of: datetime | None) -> Trend:
        """How the outcomes of a pattern develop, and when they last changed for good."""
        evidence = self._keeper.evidence()
        number, tries = self._number(evidence, pattern_id)
        if as_of is not None:
            tries = inf  # those of then are not known
        rows = questions.days(evidence, number, as_of)
        found = trends.trend(pattern_id, rows, window_days)
        return replace(found, change_point=self._changes.last(number, tries, as_of))

    def _number(self, evidence: Evidence, pattern_id: str) -> questions.Number:
        known = self._keeper.numbers.many([pattern_id], lambda names: _numbers(evidence, names))
        if pattern_id not in known:
            raise NotFoundError(f"there is no pattern {shown(pattern_id)} in this store")
        return known[pattern_id]


def shown_first(vectors: Vectors, query: Any, k: int, hidden: Collection[str]) -> dict[str, float]:
    """Ids and distances of the ``k`` nearest that are not hidden, nearest first."""
    reach = k
    while True:
        hits = vectors.search(query, reach)
        pairs = zip(hits.ids, hits.distances.tolist(), strict=True)
        found = dict([pair for pair in pairs if pair[0] not in hidden][:k])
        if len(found) == k or len(hits.ids) < reach:
            return found
        reach *= 4


def _numbers(evidence: Evidence, names: Sequence[str]) -> dict[str, questions.Number]:
    found = ((name, questions.number_of(evidence, name)) for name in names)
    return {name: number for name, number in found if number is not None}


def _own(pattern: Pattern) -> Pattern:
    """A copy whose metadata the caller may change without changing the cache."""
    if not pattern.metadata:
        return pattern
    metadata = orjson.loads(orjson.dumps(pattern.metadata))  # a tenth of the time of a deep copy
    copied: Pattern = copier(Pattern, "metadata")(pattern, metadata)
    return copied


def size_of(*paths: Path) -> int:
    """Bytes of files, and of all that folders hold."""
    return sum(_size_of(path) for path in paths)


def _size_of(path: Path) -> int:
    # What is made anew meanwhile goes from under this.
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as items:
        return sum(_size_of(Path(item)) for item in items)
    with suppress(FileNotFoundError):
        return path.lstat().st_size
    return 0
