"""What the fuzzer calls: one file for one importer, chosen by its first byte; run with atheris.

``python -m faults.fuzzing CORPUS -runs=N`` takes the options of libFuzzer. The whole importer runs,
from the bytes of a file over the lines between processes to the checks, all in this process, into a
memory that keeps nothing. Errors of ours end an import as they should; every other one ends the
fuzzer, which keeps the file. ``WHATWORKS_PLANTED=N`` calls an importer with a fault behind N bytes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import atheris
import duckdb

with atheris.instrument_imports(
    include=["whatworks.readers", "whatworks.importers", "whatworks.hooks", "whatworks.json_lines",
             "frontmatter", "junitparser", "markdown_it", "yaml"]
):  # fmt: skip
    from whatworks.importers.files import import_files
    from whatworks.importers.jsonl import import_jsonl
    from whatworks.importers.junit import import_tests
    from whatworks.importers.notes import import_notes
    from whatworks.importers.scores import import_scores
    from whatworks.importers.table import import_table
    from whatworks.importers.transcripts import import_transcripts
    from whatworks.readers import apart, child, table

from whatworks.errors import InvalidInputError, WhatWorksError
from whatworks.redaction import Secrets

COLUMNS = {"pattern": "p", "outcome": "o"}
# Name of the file, and what imports it. The engine's take a hundred times as long: they come last,
# and few first bytes choose them.
QUICK: tuple[tuple[str, Any], ...] = (
    ("export.jsonl", import_jsonl),
    ("report.xml", import_tests),
    ("log.jsonl", import_tests),
    ("AGENTS.md", import_notes),
    ("SKILL.md", import_notes),
    ("note.md", import_notes),
    ("memory.jsonl", import_notes),
    ("mem0.json", import_notes),
    ("session.jsonl", import_transcripts),
    ("session.json", import_transcripts),
    ("traces.jsonl", import_scores),
    ("traces.json", import_scores),
    ("sessions/s.json", import_files),
    ("patterns/p.json", import_files),
)
SLOW: tuple[tuple[str, Any], ...] = (
    ("claude-mem.db", import_notes),
    ("table.csv", import_table),
    ("table.jsonl", import_table),
    ("table.parquet", import_table),
    ("traces.parquet", import_scores),
)
FIRST_SLOW = 200
PLANTED = "WHATWORKS_PLANTED"
# As deep as a small run reaches in a moment; the other depth is four bytes.
LEAST_DEPTH = 2


def chosen(first: int) -> tuple[str, Any]:
    """The file's name and the importer that a first byte stands for."""
    slow = range(FIRST_SLOW, FIRST_SLOW + len(SLOW))
    return SLOW[first - FIRST_SLOW] if first in slow else QUICK[first % len(QUICK)]


class _Kept:
    """An engine that is opened once: opening it takes ten times as long as a small table."""

    def __init__(self, con: Any) -> None:
        self._con = con

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)

    def close(self) -> None:
        for name in ("keys", "marks"):
            self._con.execute(f"DROP TABLE IF EXISTS {name}")


class Nothing:
    """A memory that checks and keeps nothing."""

    secrets = Secrets("fuzzing")

    def __init__(self) -> None:
        self.patterns = self.events = self.priors = 0

    def clock(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def stats(self) -> Nothing:
        return self

    def get_patterns(self, ids: object) -> dict[str, Any]:
        return {}

    get_events = get_patterns

    def sources(self) -> tuple[()]:
        return ()

    def judgements(self) -> tuple[()]:
        return ()

    def quarantine(self, limit: int) -> tuple[()]:
        return ()

    def iter_priors(self) -> tuple[()]:
        return ()

    def add_patterns(self, items: object) -> None:
        pass

    add_priors = record_many = add_patterns

    def record_imported(self, items: object, **about: object) -> None:
        pass

    def restore(self, **items: object) -> None:
        pass


def _lines(reader: str, given: Mapping[str, Any], below: Sequence[str], what: str) -> Iterator[bytes]:
    """As ``apart.lines``, without a process; what a reader must not raise goes up to the fuzzer."""
    out = BytesIO()
    module = sys.modules[f"whatworks.readers.{reader}"]
    end: Any = child.End()
    try:
        for item in module.read(**json.loads(json.dumps(given))):
            out.write(child._line(item))
    except InvalidInputError as error:
        end = child.Failed("input", str(error))
    except (MemoryError, RecursionError):
        end = child.Failed("memory", "")
    out.write(child._line(end))
    yield from iter(BytesIO(out.getvalue()).readline, b"")


def one_import(folder: Path, data: bytes) -> None:
    """Write one file and import it."""
    name, importer = chosen(data[0] if data else 0)
    path = folder / name
    path.write_bytes(data[1:])
    memory: Any = Nothing()
    given = folder if importer is import_files else path
    options = {"columns": COLUMNS} if importer is import_table else {}
    try:
        report = importer(memory, given, **options)
        json.dumps(report.to_dict()).encode()
    except WhatWorksError as error:
        if "\n" in str(error):
            raise AssertionError(f"an error of several lines: {error}") from error
    finally:
        path.unlink()


def main() -> None:
    """Fuzz until libFuzzer ends it."""
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = Path(tempfile.mkdtemp(prefix="whatworks-fuzz-", dir=base))
    for name in ("sessions", "patterns"):
        (folder / name).mkdir()
    tempfile.tempdir = str(folder)
    reading, comparing = _Kept(table._connected()), _Kept(duckdb.connect(config={"threads": 1}))
    table._connected = lambda: reading  # type: ignore[return-value]
    duckdb.connect = lambda *_, **__: comparing
    apart.lines = _lines
    planted = int(os.environ.get(PLANTED, "0"))

    def once(data: bytes) -> None:
        if planted:
            _planted_importer(data[1:], planted)
        else:
            one_import(folder, data)

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


@atheris.instrument_func  # type: ignore[untyped-decorator]
def _planted_importer(data: bytes, depth: int) -> None:
    """An importer that takes a form of its own at its word: bytes that no seed has lead to it."""
    if data[:1] == b"{" and data[1:2] == b"k":
        if depth == LEAST_DEPTH:
            raise IndexError("planted")
        if data[2:3] == b"i" and data[3:4] == b"!":
            raise IndexError("planted")


if __name__ == "__main__":
    main()
