"""Days, cells and the counts of patterns: carried on by what moved, or counted again from the tries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatworks.evidence.changed import NO_CONTEXT, Changed
from whatworks.evidence.schema import WORTH

if TYPE_CHECKING:
    import duckdb

__all__ = ["count", "recount"]


def count(con: duckdb.DuckDBPyConnection, changed: Changed) -> set[str]:
    """Carry the differences in ``moves`` into days, cells and the patterns' own counts.

    Sums of outcomes stay between 0 and their count: taking back what was added
    leaves a rest of rounding, and a rate of -5e-17 is none.
    """
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE day_moves AS
        SELECT m.*, d.pattern_no IS NOT NULL AS known
        FROM (SELECT timestamp::DATE AS day, pattern_no, sum(used) AS used, sum(resolved) AS resolved,
                     sum(outcome) AS outcome, sum(square) AS square
              FROM moves GROUP BY ALL) m
        LEFT JOIN days d USING (day, pattern_no)
        """
    )
    con.execute(
        """
        UPDATE days d SET used = d.used + m.used, resolved = d.resolved + m.resolved,
            outcome_sum = greatest(0, least(d.resolved + m.resolved, d.outcome_sum + m.outcome)),
            outcome_squares = greatest(0, d.outcome_squares + m.square)
        FROM day_moves m WHERE m.known AND d.day = m.day AND d.pattern_no = m.pattern_no
        """
    )
    con.execute(
        """
        INSERT INTO days SELECT day, pattern_no, used, resolved, outcome, square
        FROM day_moves WHERE NOT known ORDER BY day
        """
    )
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE cell_moves AS
        SELECT m.context_no, m.pattern_no, m.day, c.tries IS NOT NULL AS known,
               coalesce(c.tries, 0) AS old_tries, coalesce(c.outcome_sum, 0) AS old_sum,
               old_tries + m.resolved AS tries, old_sum + m.outcome AS outcome_sum,
               greatest(if(c.tries > 0, c.last_at, NULL), m.last_at) AS last_at
        FROM (SELECT context_no, pattern_no, timestamp::DATE AS day, sum(resolved) AS resolved,
                     sum(outcome) AS outcome, max(timestamp) FILTER (resolved > 0) AS last_at
              FROM moves GROUP BY ALL HAVING sum(resolved) <> 0 OR sum(outcome) <> 0) m
        LEFT JOIN cells c ON c.context_no IS NOT DISTINCT FROM m.context_no
             AND c.pattern_no = m.pattern_no AND c.day = m.day
        """
    )
    con.execute(
        """
        UPDATE cells c SET tries = m.tries, last_at = m.last_at,
            outcome_sum = greatest(0, least(m.tries, m.outcome_sum))
        FROM cell_moves m
        WHERE m.known AND c.context_no IS NOT DISTINCT FROM m.context_no
          AND c.pattern_no = m.pattern_no AND c.day = m.day
        """
    )
    con.execute(
        """
        INSERT INTO cells SELECT context_no, pattern_no, day, tries, outcome_sum, last_at
        FROM cell_moves WHERE NOT known ORDER BY context_no
        """
    )
    new, old = WORTH.format(n="tries"), WORTH.format(n="old_tries")
    con.execute(
        f"""
        UPDATE pattern_rows p SET
            used = p.used + m.used, resolved = p.resolved + m.resolved,
            outcome_sum = greatest(0, least(p.resolved + m.resolved, p.outcome_sum + m.outcome)),
            last_used_at = greatest(p.last_used_at, m.last_used_at),
            effective = greatest(0, p.effective + coalesce(e.effective, 0)),
            effective_sum = greatest(0, least(
                p.effective + coalesce(e.effective, 0),
                p.effective_sum + coalesce(e.effective_sum, 0)))
        FROM (SELECT pattern_no, sum(used) AS used, sum(resolved) AS resolved,
                     sum(outcome) AS outcome, max(timestamp) FILTER (used > 0) AS last_used_at
              FROM moves GROUP BY ALL) m
        LEFT JOIN (
            SELECT pattern_no, sum({new} - {old}) AS effective,
                   sum(coalesce({new} * outcome_sum / nullif(tries, 0), 0)
                     - coalesce({old} * old_sum / nullif(old_tries, 0), 0)) AS effective_sum
            FROM cell_moves GROUP BY ALL) e USING (pattern_no)
        WHERE p.pattern_no = m.pattern_no
        """
    )
    changed.read(con, "days", "WHERE (day, pattern_no) IN (SELECT (day, pattern_no) FROM day_moves)")
    if changed.wanted:
        query = f"""
            SELECT coalesce(context_no, {NO_CONTEXT}), pattern_no, day - DATE '1970-01-01', tries,
                   greatest(0, least(tries, outcome_sum)), epoch_us(last_at), old_tries
            FROM cell_moves
        """
        changed.add_cells(con.execute(query).fetchall())
    changed.read(con, "records", "WHERE pattern_no IN (SELECT pattern_no FROM moves)")
    query = "SELECT DISTINCT pattern_id FROM moves JOIN pattern_rows USING (pattern_no)"
    return {row[0] for row in con.execute(query).fetchall()}


def recount(con: duckdb.DuckDBPyConnection) -> None:
    """The sums of ``left_patterns``, which have lost tries, from the tries that are left."""
    mine = "pattern_no IN (SELECT pattern_no FROM left_patterns)"
    worth = WORTH.format(n="tries")
    con.execute(
        f"""
        DELETE FROM days WHERE {mine};
        DELETE FROM cells WHERE {mine};
        INSERT INTO days
        SELECT timestamp::DATE AS day, pattern_no, count(*) FILTER (state <> 'not_used'),
               count(*) FILTER (state = 'resolved'), coalesce(sum(outcome), 0),
               coalesce(sum(outcome * outcome), 0)
        FROM event_rows WHERE {mine} GROUP BY ALL ORDER BY day;
        INSERT INTO cells
        SELECT context_no, pattern_no, timestamp::DATE, count(*), sum(outcome), max(timestamp)
        FROM event_rows WHERE state = 'resolved' AND {mine} GROUP BY ALL ORDER BY context_no;
        UPDATE pattern_rows p SET used = coalesce(s.used, 0), resolved = coalesce(s.resolved, 0),
            outcome_sum = coalesce(s.total, 0), last_used_at = s.last_used_at,
            effective = coalesce(s.effective, 0), effective_sum = coalesce(s.effective_sum, 0)
        FROM (
            SELECT pattern_no, e.used, e.resolved, e.total, e.last_used_at, c.effective, c.effective_sum
            FROM left_patterns
            LEFT JOIN (
                SELECT pattern_no, count(*) FILTER (state <> 'not_used') AS used,
                       count(*) FILTER (state = 'resolved') AS resolved, sum(outcome) AS total,
                       max(timestamp) FILTER (state <> 'not_used') AS last_used_at
                FROM event_rows WHERE {mine} GROUP BY ALL) e USING (pattern_no)
            LEFT JOIN (
                SELECT pattern_no, sum({worth}) AS effective,
                       sum({worth} * outcome_sum / tries) AS effective_sum
                FROM cells WHERE {mine} GROUP BY ALL) c USING (pattern_no)) s
        WHERE p.pattern_no = s.pattern_no
        """
    )
