"""All that estimates for a context are made from: searched, and joined with the evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from math import ceil

import numpy as np
from numpy.typing import NDArray

from whatworks import rank
from whatworks.answers import shown_first
from whatworks.beside import Beside
from whatworks.changes import Changes
from whatworks.evidence import cells
from whatworks.evidence.cells import CellRow, PopulationRow, RecordRow
from whatworks.keeper import Keeper
from whatworks.neighbourhood import Cell, Points, cells_of, merged, nearest, records_of
from whatworks.vectors import Vectors
from whatworks.worlds import Worlds

__all__ = ["Gathered", "Gathering"]

Vector = NDArray[np.float32]

# Contexts that are looked at first: most have several cells.
REACH = 64


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that the estimates for a context are made from, as of a time.

    ``records`` are those of ``rows`` and, behind them, what the changed ones
    were before their change ``points``. ``near`` and ``cells`` are the same
    cells, the nearest first, ``vectors`` those of their contexts and
    ``similarity`` that of every context seen; ``distance`` is that of the
    patterns whose descriptions fit; ``sums`` are those over all patterns. ``hidden`` are
    patterns that count as evidence and are not recommended: archived ones that nobody named.
    """

    as_of: datetime | None
    query: Vector
    rows: list[RecordRow]
    points: Points
    records: rank.Records
    near: list[Cell]
    similarity: dict[str, float]
    vectors: list[Vector]
    cells: rank.Cells
    whole: rank.Population
    learned: rank.Learned
    distance: dict[str, float]
    sums: PopulationRow
    hidden: frozenset[int] = frozenset()


class Gathering:
    """Looks around a context, in the layers of a keeper."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._worlds = Worlds(keeper)
        self._changes = Changes(keeper)
        self._beside = Beside()
        self._needed = cells.FIRST_CONTEXTS  # contexts, for as many cells as the last question took

    def gather(
        self,
        context: str,
        *,
        limit: int,
        candidates: Sequence[str] | None,
        as_of: datetime | None,
        now: datetime,
    ) -> Gathered:
        """All that estimates for ``context`` are made from."""
        embeddings = self._keeper.embeddings
        embeddings.expect_text()
        contexts, patterns = embeddings.vectors("contexts"), embeddings.vectors("patterns")
        query = self._keeper.model.embed_query(context)
        sums = self._worlds.population(as_of)
        whole = rank.population(*sums[:5])
        learned = self._worlds.learned(contexts, sums, whole, as_of, now)
        k = min(rank.neighbourhood(sums.cells), sums.cells)
        # A pattern without any evidence is worth showing if its description fits.
        if candidates is None:
            # Both searches wait for the memory, and for different parts of it.
            search = partial(self._alike, patterns, query, limit, as_of)
            with self._beside.calling(search) as answer:
                found, similarity = self._near(contexts, query, k, as_of)
            alike = answer()
        else:
            found, similarity = self._near(contexts, query, k, as_of)
            alike = {}
        numbers = {cell.pattern_no for cell in found}
        if candidates is None:
            numbers.update(self._leaders(limit, whole, as_of))
        ids = list(alike) if candidates is None else candidates
        rows = self._records(numbers, ids, as_of)
        points = self._changes.of({row.pattern_no: row.tries for row in rows}, as_of)
        near = nearest(merged(found, points), similarity, k)
        vectors = _vectors(contexts, near)
        return Gathered(
            as_of=as_of,
            query=query,
            rows=rows,
            points=points,
            records=records_of(rows, points),
            near=near,
            similarity=similarity,
            vectors=vectors,
            cells=cells_of(near, rows, points, query, vectors, learned.center),
            whole=whole,
            learned=learned,
            distance=alike,
            sums=sums,
            hidden=cells.hidden(self._keeper.folded(), as_of) if candidates is None else frozenset(),
        )

    def _records(
        self, numbers: Iterable[int], ids: Sequence[str], as_of: datetime | None
    ) -> list[RecordRow]:
        """The records of the patterns named by ``numbers`` and ``ids``, by number."""
        evidence = self._keeper.folded()

        def found(numbers: Sequence[int], ids: Sequence[str] = ()) -> dict[int, RecordRow]:
            rows = cells.records(evidence, numbers=numbers, ids=ids, as_of=as_of)
            return {row.pattern_no: row for row in rows}

        if as_of is not None:
            rows = found(list(numbers), ids)
        else:
            rows = self._keeper.records.many(list(numbers), found)
            known = {row.pattern_id for row in rows.values()}
            # Those that come by their description have mostly no tries, and are others each time.
            if left := [name for name in ids if name not in known]:
                rows |= found((), left)
        return [rows[number] for number in sorted(rows)]

    def _leaders(self, limit: int, whole: rank.Population, as_of: datetime | None) -> list[int]:
        """The patterns that are best by their own record; kept until a pattern changes."""
        evidence = self._keeper.folded()

        def found() -> list[int]:
            return cells.leaders(
                evidence,
                limit,
                prior=(rank.PRIOR_WEIGHT, rank.PRIOR_CAP),
                whole=(whole.mu, whole.kappa),
                as_of=as_of,
            )

        if as_of is not None:
            return found()
        key = f"{limit} {whole}"
        return self._keeper.leaders.many([key], lambda _: {key: found()})[key]

    def _alike(
        self, patterns: Vectors, query: Vector, limit: int, as_of: datetime | None
    ) -> dict[str, float]:
        """The patterns whose descriptions are nearest, as many as ``limit``, with their distances."""
        if as_of is None:
            return shown_first(patterns, query, limit, self._keeper.folded().shelf.patterns)
        reach = limit
        while True:
            hits = patterns.search(query, reach)
            found = dict(zip(hits.ids, hits.distances.tolist(), strict=True))
            there = cells.there(self._keeper.folded(), hits.ids, as_of)
            found = dict([item for item in found.items() if item[0] in there][:limit])
            if len(found) == limit or len(hits.ids) < reach:
                return found
            reach *= 4

    def _near(
        self, contexts: Vectors, query: Vector, k: int, as_of: datetime | None
    ) -> tuple[list[CellRow], dict[str, float]]:
        """The cells of the ``k`` nearest (context, pattern) pairs, and their contexts' similarity."""
        reach = max(min(k, REACH), 1)
        while True:
            hits = contexts.search(query, reach)
            similarity = {n: 1 - d for n, d in zip(hits.ids, hits.distances.tolist(), strict=True)}
            nearest_first = sorted(similarity, key=lambda name: (-similarity[name], name))
            # Contexts without a resolved try, or of later, have no cells: look beyond them.
            found = cells.neighbours(
                self._keeper.folded(), nearest_first, as_of, pairs=k, at_once=self._needed
            )
            # A tenth more: the next question needs about as many.
            self._needed = max(cells.FIRST_CONTEXTS, ceil(1.1 * len({cell[0] for cell in found})))
            if len({cell[:2] for cell in found}) >= k or len(hits.ids) < reach:
                return found, similarity
            reach *= 4


def _vectors(contexts: Vectors, near: Sequence[Cell]) -> list[Vector]:
    found = contexts.get(list({cell.context_id for cell in near}))
    return [found[cell.context_id] for cell in near]
