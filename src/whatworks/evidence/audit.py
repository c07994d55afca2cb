"""A look at the evidence from outside: read-only, and trusting nothing that the fold keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from whatworks import packing
from whatworks.errors import StoreError
from whatworks.evidence.schema import VERSION

__all__ = ["Audit", "Embedded"]

# What must hold: each query counts the rows for which it does not.
RULES = {
    "patterns whose counts differ from their events": """
        SELECT count(*) FROM pattern_rows p LEFT JOIN (
            SELECT pattern_no, count(*) FILTER (state <> 'not_used') AS used,
                   count(outcome) AS resolved, coalesce(sum(outcome), 0) AS total
            FROM event_rows GROUP BY pattern_no) e USING (pattern_no)
        WHERE p.used <> coalesce(e.used, 0) OR p.resolved <> coalesce(e.resolved, 0)
           OR abs(p.outcome_sum - coalesce(e.total, 0)) > 1e-6 * (1 + p.resolved)
    """,
    "patterns whose counts differ from the sums of their days": """
        SELECT count(*) FROM pattern_rows p LEFT JOIN (
            SELECT pattern_no, sum(used) AS used, sum(resolved) AS resolved,
                   sum(outcome_sum) AS total
            FROM days GROUP BY pattern_no) d USING (pattern_no)
        WHERE p.used <> coalesce(d.used, 0) OR p.resolved <> coalesce(d.resolved, 0)
           OR abs(p.outcome_sum - coalesce(d.total, 0)) > 1e-6 * (1 + p.resolved)
    """,
    "cells that differ from their events": """
        SELECT count(*) FROM (SELECT * FROM cells WHERE tries > 0) c FULL JOIN (
            SELECT context_no, pattern_no, timestamp::DATE AS day, count(*) AS tries,
                   sum(outcome) AS total, max(timestamp) AS last_at
            FROM event_rows WHERE state = 'resolved' GROUP BY ALL) e
            ON c.context_no IS NOT DISTINCT FROM e.context_no
            AND c.pattern_no = e.pattern_no AND c.day = e.day
        WHERE c.tries IS DISTINCT FROM e.tries OR c.last_at IS DISTINCT FROM e.last_at
           OR abs(c.outcome_sum - e.total) > 1e-6 * (1 + e.tries)
    """,
    "ids that stand twice": """
        SELECT (SELECT count(*) - count(DISTINCT event_id) FROM (
                   SELECT event_id FROM event_rows UNION ALL SELECT event_id FROM quarantined_rows))
             + (SELECT count(*) - count(DISTINCT pattern_id) FROM pattern_rows)
             + (SELECT count(*) - count(DISTINCT context_id) FROM context_rows)
    """,
    "archived patterns that are not there, or twice": """
        SELECT count(*) FILTER (pattern_no NOT IN (SELECT pattern_no FROM pattern_rows))
             + count(*) FILTER (until IS NULL) - count(DISTINCT pattern_no) FILTER (until IS NULL)
        FROM archived_rows
    """,
    "events without their pattern or context": """
        SELECT count(*) FROM event_rows
        WHERE pattern_no NOT IN (SELECT pattern_no FROM pattern_rows)
           OR coalesce(told_no, context_no) >= 0  -- NULL an empty list would take for missing
              AND coalesce(told_no, context_no) NOT IN (SELECT context_no FROM context_rows)
    """,
}
_TEXTS = {"patterns": ("pattern_rows", "pattern_id"), "contexts": ("context_rows", "context_id")}


class Embedded(NamedTuple):
    """The embeddings of a collection: how many, and how many are missing, odd, or yet to come.

    ``lost`` texts lie below the mark and have no embedding, ``odd`` ones have
    a wrong length, ``waiting`` texts lie above the mark.
    """

    total: int
    lost: int
    odd: int
    waiting: int


class Audit:
    """An evidence file, opened read-only by somebody who keeps its owner away meanwhile.

    Raises
    ------
    StoreError
        It does not open, or is of another version.
    """

    def __init__(self, path: Path) -> None:
        import duckdb

        settings: dict[str, Any] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        try:
            self._con = duckdb.connect(str(path), read_only=True, config=settings)
            meta = dict(self._con.execute("SELECT name, value FROM meta").fetchall())
        except duckdb.Error as error:
            raise StoreError(f"{path.name} does not open: {str(error).splitlines()[0]}") from error
        self.build = int(meta.get("build", 0))
        if meta.get("version") != VERSION:
            self._con.close()
            raise StoreError(f"{path.name} is of another version of whatworks")

    def close(self) -> None:
        """Let go of the file."""
        self._con.close()

    def counts(self) -> tuple[int, int]:
        """Numbers of patterns and of events."""
        return self._number("SELECT count(*) FROM pattern_rows"), self._number(
            "SELECT count(*) FROM event_rows"
        )

    def watermarks(self) -> dict[str, int]:
        """Bytes folded of each journal segment."""
        return dict(self._con.execute("SELECT segment, position FROM watermarks").fetchall())

    def violations(self) -> list[tuple[int, str]]:
        """The rules that do not hold, each with the number of rows."""
        found = [(self._number(query), rule) for rule, query in RULES.items()]
        return [(wrong, rule) for wrong, rule in found if wrong]

    def embedded(self, collection: str, model: str, dim: int | None) -> Embedded:
        """The embeddings of ``patterns`` or ``contexts`` by ``model``."""
        table, key = _TEXTS[collection]
        mark = self._number(
            "SELECT max(value) FROM meta WHERE name = ?", f"embedded {collection} {model}"
        )
        of = "FROM embeddings WHERE collection = ? AND model = ?"
        return Embedded(
            self._number(f"SELECT count(*) {of}", collection, model),
            self._number(
                f"SELECT count(*) FROM {table} WHERE change <= ? AND {key} NOT IN (SELECT id {of})",
                mark,
                collection,
                model,
            ),
            self._number(
                f"SELECT count(*) {of} AND octet_length(vector) <> ?",
                collection,
                model,
                packing.NUMBER.itemsize * (dim or 0),
            ),
            self._number(f"SELECT count(*) FROM {table} WHERE change > ?", mark),
        )

    def vectors_until(self, collection: str, model: str, change: int) -> int:
        """How many embeddings a vector store filled up to ``change`` must hold at least."""
        return self._number(
            "SELECT count(*) FROM embeddings WHERE collection = ? AND model = ? AND change <= ?",
            collection,
            model,
            change,
        )

    def _number(self, query: str, *values: object) -> int:
        """The single number that a query gives, -1 for none."""
        row = self._con.execute(query, values).fetchone()
        return -1 if row is None or row[0] is None else int(row[0])
