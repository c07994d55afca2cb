"""What a user would take for counting over tries, each as its documentation advises, for ``worker``.

All answer the same five questions and agree; the tries come from one Parquet file. Nothing is imported
before it is needed: that counts as start and memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

__all__ = ["LEAST_TRIES", "PEERS", "SINCE", "Pandas", "Polars", "SQLite", "WhatWorks"]

SINCE = "2025-12-02"  # 30 days before the last try; see ``whatworks.bench.END``
LEAST_TRIES = 20
NEWEST = 100
TOP = 10
COLUMNS = ("event_id", "pattern_id", "timestamp", "state", "outcome", "context", "session_id")


class SQLite:
    """A table with an index by pattern and time, one by time, and one by state."""

    needs: ClassVar[str] = "sqlite3"

    def __init__(self, folder: str, parquet: str) -> None:
        self.file = Path(folder) / "events.sqlite"
        self.parquet = parquet

    def fill(self) -> None:
        import sqlite3

        import duckdb

        held = sqlite3.connect(self.file)
        held.execute("PRAGMA journal_mode = wal")
        held.execute(
            "CREATE TABLE events (event_id TEXT PRIMARY KEY, pattern_id TEXT, timestamp TEXT, "
            "state TEXT, outcome REAL, context TEXT, session_id TEXT)"
        )
        rows = duckdb.execute(
            "SELECT event_id, pattern_id, strftime(timestamp::TIMESTAMP, '%Y-%m-%d %H:%M:%S.%f'), "
            f"state, outcome, context, session_id FROM read_parquet('{self.parquet}')"
        )
        while part := rows.fetchmany(10_000):
            held.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", part)
        held.execute("CREATE INDEX by_pattern ON events (pattern_id, timestamp, state, outcome)")
        held.execute("CREATE INDEX by_time ON events (timestamp, state)")
        held.execute("CREATE INDEX by_state ON events (state)")
        held.execute("ANALYZE")
        held.commit()
        held.close()

    def open(self) -> None:
        import sqlite3

        self._held = sqlite3.connect(self.file)
        self._held.execute("PRAGMA cache_size = -65536")
        self._held.execute("PRAGMA mmap_size = 8589934592")

    def trend(self, pattern: str) -> Any:
        return self._rows(
            "SELECT substr(timestamp, 1, 10) AS day, count(*), avg(outcome) FROM events "
            "WHERE pattern_id = ? AND state <> 'not_used' GROUP BY day ORDER BY day DESC", pattern,
        )  # fmt: skip

    def counts(self) -> Any:
        return dict(self._rows("SELECT state, count(*) FROM events GROUP BY state"))

    def newest(self, pattern: str) -> Any:
        rows = self._rows(
            "SELECT * FROM events WHERE pattern_id = ? ORDER BY timestamp DESC LIMIT ?", pattern, NEWEST
        )
        return [row[0] for row in rows]

    def top(self) -> Any:
        return self._rows(
            "SELECT pattern_id, avg(outcome) AS success FROM events GROUP BY pattern_id "
            "HAVING count(outcome) >= ? ORDER BY success DESC, pattern_id LIMIT ?", LEAST_TRIES, TOP,
        )  # fmt: skip

    def days(self) -> Any:
        return self._rows(
            "SELECT substr(timestamp, 1, 10) AS day, count(*) FROM events "
            "WHERE timestamp >= ? AND state <> 'not_used' GROUP BY day ORDER BY day", SINCE,
        )  # fmt: skip

    def _rows(self, sql: str, *values: Any) -> Any:
        return self._held.execute(sql, values).fetchall()


class Pandas:
    """A frame in memory, loaded from Parquet; ids as categories, sorted by time."""

    needs: ClassVar[str] = "pandas"

    def __init__(self, folder: str, parquet: str) -> None:
        self.parquet = parquet

    def fill(self) -> None:
        pass

    def open(self) -> None:
        import pandas as pd

        frame = pd.read_parquet(self.parquet, columns=list(COLUMNS))
        for name in ("pattern_id", "state"):
            frame[name] = frame[name].astype("category")
        frame = frame.sort_values("timestamp")
        # As SQL counts days: in UTC.
        frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
        frame["day"] = frame["timestamp"].dt.floor("D")
        self._pd, self._held = pd, frame

    def _of(self, pattern: str) -> Any:
        return self._held[self._held["pattern_id"] == pattern]

    @staticmethod
    def _used(tries: Any) -> Any:
        return tries[tries["state"] != "not_used"]

    def trend(self, pattern: str) -> Any:
        tries = self._used(self._of(pattern))
        days = tries.groupby("day")["outcome"].agg(["size", "mean"]).iloc[::-1]
        return [[str(day)[:10], int(n), _number(mean)] for day, n, mean in days.itertuples()]

    def counts(self) -> Any:
        return {str(state): int(n) for state, n in self._held["state"].value_counts().items() if n}

    def newest(self, pattern: str) -> Any:
        return self._of(pattern).tail(NEWEST)["event_id"].tolist()[::-1]

    def top(self) -> Any:
        grouped = self._held.groupby("pattern_id", observed=True)["outcome"].agg(["count", "mean"])
        known = grouped[grouped["count"] >= LEAST_TRIES].reset_index()
        known["pattern_id"] = known["pattern_id"].astype(str)
        best = known.sort_values(["mean", "pattern_id"], ascending=[False, True]).head(TOP)
        return [[name, mean] for name, mean in zip(best["pattern_id"], best["mean"], strict=True)]

    def days(self) -> Any:
        recent = self._held[self._held["timestamp"] >= self._pd.Timestamp(SINCE, tz="UTC")]
        found = self._used(recent).groupby("day").size()
        return [[str(day)[:10], int(n)] for day, n in found.items()]


class Polars:
    """A frame in memory, loaded from Parquet; ids as categories, sorted by time."""

    needs: ClassVar[str] = "polars"

    def __init__(self, folder: str, parquet: str) -> None:
        self.parquet = parquet

    def fill(self) -> None:
        pass

    def open(self) -> None:
        import polars as pl

        frame = pl.read_parquet(self.parquet, columns=list(COLUMNS)).sort("timestamp")
        frame = frame.with_columns(
            pl.col("pattern_id").cast(pl.Categorical), pl.col("state").cast(pl.Categorical),
            day=_utc(pl, frame).dt.date(),
        )  # fmt: skip
        self._pl, self._held = pl, frame

    def _of(self, pattern: str) -> Any:
        return self._held.filter(self._pl.col("pattern_id") == pattern)

    def trend(self, pattern: str) -> Any:
        pl = self._pl
        tries = self._of(pattern).filter(pl.col("state") != "not_used")
        days = tries.group_by("day").agg(pl.len().alias("n"), pl.col("outcome").mean())
        return [[str(day), n, mean] for day, n, mean in days.sort("day", descending=True).iter_rows()]

    def counts(self) -> Any:
        return {str(state): n for state, n in self._held["state"].value_counts().iter_rows()}

    def newest(self, pattern: str) -> Any:
        return self._of(pattern).tail(NEWEST)["event_id"].to_list()[::-1]

    def top(self) -> Any:
        pl = self._pl
        grouped = self._held.group_by("pattern_id").agg(
            pl.col("outcome").count().alias("n"), pl.col("outcome").mean()
        )
        known = grouped.filter(pl.col("n") >= LEAST_TRIES).with_columns(
            pl.col("pattern_id").cast(pl.String)
        )
        best = known.sort(["outcome", "pattern_id"], descending=[True, False]).head(TOP)
        return [[name, mean] for name, _, mean in best.iter_rows()]

    def days(self) -> Any:
        pl = self._pl
        recent = self._held.filter(
            (pl.col("day") >= pl.lit(SINCE).str.to_date()) & (pl.col("state") != "not_used")
        )
        return [[str(day), n] for day, n in recent.group_by("day").len().sort("day").iter_rows()]


class WhatWorks:
    """A memory: by its public methods, and by its public views where there is no method for it."""

    needs: ClassVar[str] = "whatworks"

    def __init__(self, folder: str, parquet: str) -> None:
        self.folder = folder
        self._memory: Any = None
        self._views: Any = None

    def open(self) -> None:
        """For the questions that have a method: these come first."""
        from whatworks import Memory

        self._memory = Memory.open(self.folder, embedder="none", create=False)

    def open_views(self) -> None:
        """For the others; a store that is kept has its file of evidence to itself."""
        import duckdb

        self._memory.close()
        self._views = duckdb.connect(f"{self.folder}/evidence.duckdb", read_only=True)

    def trend(self, pattern: str) -> Any:
        days = self._memory.trend(pattern).days
        return [[str(day.day), day.usage_count, day.avg_success] for day in days]

    def counts(self) -> Any:
        found = self._memory.stats()
        states = {name: getattr(found, name) for name in ("resolved", "pending", "not_used", "unknown")}
        return {name: count for name, count in states.items() if count}

    def newest(self, pattern: str) -> Any:
        return [event.event_id for event in self._memory.events(pattern, limit=NEWEST)]

    def top(self) -> Any:
        return self._views.execute(
            "SELECT pattern_id, success_rate FROM patterns WHERE resolved_count >= ? "
            "ORDER BY success_rate DESC, pattern_id LIMIT ?", [LEAST_TRIES, TOP],
        ).fetchall()  # fmt: skip

    def days(self) -> Any:
        return self._views.execute(
            "SELECT day, sum(usage_count)::BIGINT FROM trend_daily WHERE day >= ?::DATE "
            "GROUP BY day ORDER BY day", [SINCE],
        ).fetchall()  # fmt: skip


def _utc(pl: Any, frame: Any) -> Any:
    column = pl.col("timestamp")
    zoned = getattr(frame.schema["timestamp"], "time_zone", None)
    return column.dt.convert_time_zone("UTC") if zoned else column


def _number(value: float) -> float | None:
    return None if value != value else float(value)


PEERS: dict[str, Any] = {"SQLite": SQLite, "pandas": Pandas, "Polars": Polars}
