"""Damage that shows late: when a block is read, or only in the sums."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support.log import apply, event, pattern
from whatworks import Memory, StoreError
from whatworks.errors import StoreFullError
from whatworks.evidence import Evidence, damage, questions
from whatworks.journal import Journal
from whatworks.testing import HashEmbedder

Open = Callable[[str], Evidence]
READ = 4_096  # of the file, where its headers end


def altered(path: Path, statement: str) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute(statement)


def ruined(path: Path) -> None:
    """Flip a bit in every block but the headers and those that are read at opening."""
    content = bytearray(path.read_bytes())
    for place in range(3 * READ + 100, len(content), 262_144):
        content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM event_rows WHERE event_id = 'e1'",
        "UPDATE days SET used = used + 1",
        "UPDATE pattern_rows SET used = 0",
    ],
)
def test_evidence_whose_sums_differ_from_its_events_is_moved_aside(
    open_evidence: Open, tmp_path: Path, statement: str
) -> None:
    evidence = open_evidence("evidence")
    apply(evidence, [pattern("p"), event("e1", "p", 1.0), event("e2", "p", None)])
    evidence.close()
    altered(tmp_path / "evidence.duckdb", statement)
    again = open_evidence("evidence")
    assert again.moved_aside is not None
    assert questions.counts(again)["events"] == 0


def test_tries_that_were_not_used_are_not_missed(open_evidence: Open) -> None:
    evidence = open_evidence("evidence")
    apply(evidence, [pattern("p"), event("e", "p", None, state="not_used")])
    evidence.close()
    assert open_evidence("evidence").moved_aside is None


def test_a_log_without_its_database_is_moved_aside(open_evidence: Open, tmp_path: Path) -> None:
    (tmp_path / "evidence.duckdb.wal").write_bytes(b"left over")
    evidence = open_evidence("evidence")
    assert evidence.moved_aside is not None
    assert questions.counts(evidence)["events"] == 0


def failing(monkeypatch: pytest.MonkeyPatch, evidence: Evidence, message: str) -> None:
    """Every question to the evidence fails until it is opened again."""

    owner = evidence._con
    real = Evidence._cursor

    def cursor(self: Evidence) -> Any:
        if self._con is owner:
            raise duckdb.IOException(message)
        return real(self)

    monkeypatch.setattr(Evidence, "_cursor", cursor)


def test_damage_that_is_met_by_a_question_is_repaired_by_the_next_fold(
    open_evidence: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "journal").mkdir()
    log = Journal(tmp_path / "journal", "store")
    log.append("pattern.added", [pattern("p")[1]])
    evidence = open_evidence("evidence")
    evidence.fold(tmp_path / "journal", log.settle)
    failing(monkeypatch, evidence, "Corrupt database file: computed checksum 1 is not 2")
    with pytest.raises(StoreError, match="ask again"):
        questions.counts(evidence)
    assert evidence.lost
    evidence.fold(tmp_path / "journal", log.settle)
    assert evidence.moved_aside is not None
    assert questions.counts(evidence)["patterns"] == 1


def test_an_error_that_is_no_damage_moves_nothing_aside(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, evidence, "Interrupted")
    with pytest.raises(StoreError, match="Interrupted"):
        questions.counts(evidence)
    assert not evidence.lost


def test_evidence_that_opening_again_does_not_mend_is_begun_anew(
    evidence: Evidence, tmp_path: Path
) -> None:
    (tmp_path / "journal").mkdir()
    log = Journal(tmp_path / "journal", "store")

    def fails(_: object) -> None:
        raise duckdb.FatalException("database has been invalidated")

    for _ in range(2):
        assert evidence.moved_aside is None
        with pytest.raises(StoreError, match="reopened"):
            evidence.write(fails)
        evidence.fold(tmp_path / "journal", log.settle)
    assert evidence.moved_aside is not None


def test_a_full_disk_is_no_damage(evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    log = Journal(tmp_path / "journal", "store")

    def fails(_: object) -> None:
        raise duckdb.FatalException("checkpoint failed: No space left on device")

    for _ in range(3):
        with pytest.raises(StoreFullError):
            evidence.write(fails)
        evidence.fold(tmp_path / "journal", log.settle)
    assert evidence.moved_aside is None


def test_a_caller_does_not_see_damage(store: Path) -> None:
    with Memory.open(store, embedder=HashEmbedder(), vectors="exact") as memory:
        for n in range(20):
            memory.add_pattern(f"approach {n} " + "x" * 2_000, pattern_id=f"p{n}")
            memory.record(f"p{n}", outcome=1.0, context=f"case {n} " + "y" * 2_000)
        memory.predict("case 1")
    ruined(store / "evidence.duckdb")
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        assert len(list(memory.iter_events())) == 20
        assert memory.predict("case 1").answers
        assert memory.find_similar("approach 3", limit=1)
        assert len(memory.stats().problems) == 1  # which says where the old file is


def test_signs_of_damage_are_told_from_other_errors() -> None:
    assert damage.shows(duckdb.IOException("IO Error: Corrupt WAL file: ..."))
    assert not damage.shows(duckdb.IOException("No space left on device"))
