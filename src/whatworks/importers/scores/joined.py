"""Scores beside their runs, from however many files and in whatever order they came.

They wait in an SQLite file, so that the memory that is needed does not grow
with them.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from whatworks.errors import StoreError
from whatworks.ids import content_id
from whatworks.importers.report import At
from whatworks.readers.scores.found import Run, Score

__all__ = ["Joined", "joined"]

SCHEMA = """
    CREATE TABLE runs (
        key TEXT PRIMARY KEY, also TEXT, ended INTEGER, body BLOB, path INTEGER, place TEXT
    );
    CREATE INDEX other ON runs (also) WHERE also != '';
    CREATE TABLE scores (
        run TEXT, score_id TEXT, name TEXT, value BLOB, judge TEXT, path INTEGER, place TEXT,
        UNIQUE (run, score_id, name, value)
    );
    CREATE TABLE alike (path INTEGER, digest TEXT, count INTEGER, PRIMARY KEY (path, digest));
    CREATE TABLE chosen (name TEXT PRIMARY KEY, rank INTEGER);
    CREATE TABLE best (run TEXT PRIMARY KEY, rank INTEGER);
    CREATE TABLE judged (run TEXT PRIMARY KEY);
"""


@contextmanager
def joined() -> Iterator[Joined]:
    """Nothing yet; gone at the end.

    Raises
    ------
    StoreError
        There is no room for temporary files.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix="whatworks-") as folder,
            closing(sqlite3.connect(Path(folder, "joined"), isolation_level=None)) as con,
        ):
            con.execute("PRAGMA journal_mode = OFF")
            con.execute("PRAGMA synchronous = OFF")
            con.executescript(SCHEMA)
            con.execute("BEGIN")
            yield Joined(con)
    except sqlite3.Error as error:
        raise StoreError(
            f"runs and scores cannot be joined in {tempfile.gettempdir()}: {error}"
        ) from error


class Joined:
    """Runs and scores; made by ``joined``. First all are added, then asked for."""

    def __init__(self, con: sqlite3.Connection) -> None:
        self._con = con
        self._paths: list[str] = []

    # -- adding -----------------------------------------------------------------------------------

    def begin(self, path: str) -> None:
        """From here on what is added lies in this file; a file that is read again is begun again."""
        self._paths.append(path)

    def add(self, item: Run | Score, place: str) -> None:
        """Keep a run or a score, unless there is the same already."""
        at = len(self._paths) - 1, place
        if isinstance(item, Run):
            self._add_run(item, at)
        else:
            self._add_score(item, at)

    def _add_run(self, run: Run, at: tuple[int, str]) -> None:
        """Of two that tell of the same run the one that says more stands, whichever came first."""
        body = orjson.dumps(run)
        self._con.execute(
            """
            INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (key) DO UPDATE
            SET also = excluded.also, ended = excluded.ended, body = excluded.body
            WHERE (excluded.ended, length(excluded.body), excluded.body) > (ended, length(body), body)
            """,
            [run.key, run.also, run.is_tool and run.failed is not None, body, *at],
        )

    def _add_score(self, score: Score, at: tuple[int, str]) -> None:
        value = orjson.dumps(score.value)
        self._con.execute(
            "INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                score.run,
                score.score_id or self._id(score, value.decode()),
                score.name,
                value,
                score.judge,
                *at,
            ],
        )

    def _id(self, score: Score, value: str) -> str:
        """Of a score without one: what it says; if not when, its number among those that are alike."""
        digest = content_id(score.run, score.name, value, score.judge, score.given)
        if score.given:
            return digest
        (count,) = self._con.execute(
            """
            INSERT INTO alike VALUES (?, ?, 1)
            ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count
            """,
            [len(self._paths), digest],
        ).fetchone()
        return f"{digest}-{count}"

    # -- asking -----------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int]:
        """How many runs and scores there are."""
        query = "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM scores)"
        runs, scores = self._con.execute(query).fetchone()
        return runs, scores

    def names(self, limit: int) -> dict[str, int]:
        """Names of scores and how many there are of each, the most frequent first."""
        query = "SELECT name, count(*) FROM scores GROUP BY name ORDER BY 2 DESC, min(rowid) LIMIT ?"
        return dict(self._con.execute(query, [limit]).fetchall())

    def holds(self, name: str) -> bool:
        """Whether there is a score of this name."""
        return bool(self._con.execute("SELECT 1 FROM scores WHERE name = ? LIMIT 1", [name]).fetchone())

    def scored(self, names: Sequence[str]) -> Iterator[tuple[At, Score, Run | None]]:
        """Scores of these names with their runs, as far as these are there.

        Of a run that has scores of several of the names those of the first are given.
        """
        ranks = [(name, rank) for rank, name in enumerate(names)]
        self._con.executemany("INSERT OR IGNORE INTO chosen VALUES (?, ?)", ranks)
        # Where a score names an answer and not a span, several spans may have given it.
        self._con.execute(
            """
            UPDATE OR REPLACE scores SET run = found.key
            FROM (SELECT also, min(key) AS key FROM runs WHERE also != '' GROUP BY also
                  HAVING count(*) = 1) AS found
            WHERE scores.run = found.also
            """
        )
        self._con.execute(
            """
            INSERT INTO best
            SELECT run, min(rank) FROM scores JOIN chosen USING (name) GROUP BY run
            """
        )
        rows = self._con.execute(
            """
            SELECT path, place, run, name, value, score_id, judge, (
                SELECT body FROM runs WHERE key = run
            )
            FROM scores JOIN chosen USING (name) JOIN best USING (run, rank) ORDER BY scores.rowid
            """
        )
        for path, place, run, name, value, score_id, judge, body in rows:
            score = Score(run, name, orjson.loads(value), score_id, judge)
            yield At(self._paths[path], place), score, None if body is None else _run(body)

    def judge(self, run: str) -> None:
        """Note that a score has told how this run ended."""
        self._con.execute("INSERT OR IGNORE INTO judged VALUES (?)", [run])

    def tools(self) -> Iterator[tuple[At, Run]]:
        """Calls of tools that ended, and that no score has judged."""
        rows = self._con.execute(
            """
            SELECT path, place, body FROM runs
            WHERE ended AND key NOT IN (SELECT run FROM judged) ORDER BY rowid
            """
        )
        for path, place, body in rows:
            yield At(self._paths[path], place), _run(body)


def _run(body: bytes) -> Run:
    held: dict[str, Any] = orjson.loads(body)
    run = Run(**held)
    return run if run.at is None else replace(run, at=datetime.fromisoformat(held["at"]))
