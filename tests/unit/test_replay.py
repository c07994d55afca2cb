"""What the fold reads of a journal that many processes write, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from support.log import event, pattern
from whatworks import replay, segments
from whatworks.evidence import Evidence, questions
from whatworks.replay import START, Mark, ahead, batches, look, torn
from whatworks.segments import Segment, frame


class Writer:
    """A segment as some process writes it."""

    def __init__(self, folder: Path, name: str, writer: str | None = None) -> None:
        self.path = folder / f"{name}.log"
        self.sequence = 0
        body = {"format": 2, "store_id": "s", "writer": f"{writer or name}.log"}
        self.append(0, [("segment", body)])

    def append(self, stamp: int, records: list[tuple[str, dict[str, Any]]]) -> None:
        final = len(records) - 1
        with open(self.path, "ab") as file:
            for n, (kind, body) in enumerate(records):
                line = frame(self.sequence, stamp + n, kind, orjson.dumps(body), more=n < final)
                file.write(line)
                self.sequence += 1

    def tear(self) -> None:
        with open(self.path, "ab") as file:
            file.write(b"0123abcd 7 17")

    def spoil(self) -> None:
        """Damage the last line."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        self.path.write_bytes(b"".join(lines[:-1]) + lines[-1].replace(b"{", b"[", 1))

    @property
    def segment(self) -> Segment:
        return Segment(self.path.name, self.path, self.path.stat().st_size)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path / "journal"


@pytest.fixture
def evidence(tmp_path: Path) -> Iterator[Evidence]:
    opened = Evidence(tmp_path / "evidence.duckdb")
    yield opened
    opened.close()


def nothing() -> None:
    """Who settles and writes nothing."""


def news(folder: Path, marks: dict[str, Mark] | None = None) -> tuple[list[str], dict[str, Mark]]:
    """The ids of what is to be folded, in order, and the marks behind it."""
    names: list[str] = []
    found = dict(marks or {})
    for batch in batches(look(folder, found, nothing), dict(found)):
        for bodies in batch.bodies.values():
            said = [orjson.loads(body) for body in bodies]
            names += [body.get("event_id") or body.get("pattern_id", "-") for body in said]
        found |= batch.marks
    return [name for name in names if name != "-"], found


def uncounted(name: str, pattern_id: str) -> tuple[str, dict[str, Any]]:
    """An event that counts as often as it is folded."""
    kind, body = event(name, pattern_id, 1.0)
    return kind, body | {"given_id": False}


def used(evidence: Evidence) -> int:
    return questions.patterns(evidence, ["p"])["p"].usage_count


# -- order ------------------------------------------------------------------------------------------


def test_records_come_in_the_order_of_their_stamps_whatever_the_segments_are_called(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "BATCH_RECORDS", 1)
    late, early = Writer(folder, "a"), Writer(folder, "b")
    early.append(100, [pattern("p")])
    late.append(101, [event("e1", "p", 1.0)])
    early.append(102, [event("e2", "p", 1.0)])
    late.append(103, [event("e3", "p", 1.0)])
    assert news(folder)[0] == ["p", "e1", "e2", "e3"]


def test_an_event_in_a_segment_named_before_its_pattern_s_is_counted(
    folder: Path, evidence: Evidence
) -> None:
    Writer(folder, "a").append(101, [event("e", "p", 1.0)])
    Writer(folder, "b").append(100, [pattern("p")])
    evidence.fold(folder, nothing)
    assert used(evidence) == 1


def test_an_append_is_not_parted_by_what_others_wrote_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "BATCH_RECORDS", 2)
    one, other = Writer(folder, "a"), Writer(folder, "b")
    one.append(100, [pattern(f"p{n}") for n in range(5)])
    other.append(102, [pattern("q")])
    assert news(folder)[0] == ["p0", "p1", "p2", "p3", "p4", "q"]


def test_segments_without_stamps_come_first_in_the_order_of_their_names(folder: Path) -> None:
    new = Writer(folder, "0-new")
    new.append(100, [event("e2", "p", 1.0)])
    for n, (name, record) in enumerate([("a", pattern("p")), ("b", event("e1", "p", 1.0))]):
        (folder / f"{name}.log").write_bytes(old(n, record))
    assert news(folder)[0] == ["p", "e1", "e2"]


def old(sequence: int, record: tuple[str, dict[str, Any]]) -> bytes:
    """A line of format 1: without a stamp."""
    from zlib import crc32

    payload = b"%d %s %s" % (sequence, record[0].encode(), orjson.dumps(record[1]))
    return b"%08x %s\n" % (crc32(payload), payload)


# -- two looks --------------------------------------------------------------------------------------


def sights(monkeypatch: pytest.MonkeyPatch, *seen: Callable[[], list[Segment]]) -> None:
    """Let the first looks at the folder show this, all later ones what is there."""
    left = list(seen)
    monkeypatch.setattr(
        replay, "segments", lambda folder: left.pop(0)() if left else segments.segments(folder)
    )


def test_an_event_is_never_folded_before_its_pattern_that_was_missed_by_the_first_look(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Writer(folder, "a"), Writer(folder, "b")
    unseen = one.segment
    one.append(100, [pattern("p")])
    other.append(101, [event("e", "p", 1.0)])
    sights(monkeypatch, lambda: [unseen, other.segment])
    assert news(folder)[0] == ["p", "e"]


def test_what_only_the_second_look_shows_waits_for_the_next_fold(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Writer(folder, "a"), Writer(folder, "b")
    one.append(90, [pattern("first")])
    unseen, untouched = one.segment, other.segment
    one.append(100, [pattern("p")])
    other.append(101, [event("e", "p", 1.0)])
    # Both looks miss the pattern, the second one has its event already.
    sights(monkeypatch, lambda: [unseen, untouched], lambda: [unseen, other.segment])
    names, marks = news(folder)
    assert names == ["first"]
    assert news(folder, marks)[0] == ["p", "e"]


def test_a_segment_begun_between_the_looks_is_read_as_far_as_the_first_look_allows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Writer(folder, "b")
    one.append(101, [event("e", "p", 1.0)])
    before = one.segment
    other = Writer(folder, "a")
    other.append(100, [pattern("p")])
    other.append(102, [pattern("later")])
    sights(monkeypatch, lambda: [before])
    assert news(folder)[0] == ["p", "e"]


def test_what_this_process_has_not_acknowledged_is_left_out(folder: Path) -> None:
    own, other = Writer(folder, "a"), Writer(folder, "b")
    own.append(100, [pattern("p")])
    safe = own.segment.size
    own.append(102, [pattern("q")])
    other.append(103, [pattern("r")])
    found = look(folder, {}, lambda: ("a.log", safe))
    bodies = [body for batch in batches(found, {}) for body in batch.bodies["pattern.added"]]
    assert [orjson.loads(body)["pattern_id"] for body in bodies] == ["p", "r"]


def test_what_others_wrote_is_synced_before_it_is_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other, folded = Writer(folder, "a"), Writer(folder, "b"), Writer(folder, "c")
    marks = {"c.log": Mark(folded.segment.size)}
    own.append(100, [pattern("p")])
    other.append(101, [pattern("q")])
    synced: list[str] = []
    monkeypatch.setattr(replay, "_sync", lambda segment: synced.append(segment.name))
    look(folder, marks, lambda: ("a.log", own.segment.size))
    assert synced == ["b.log"]


# -- repeats ----------------------------------------------------------------------------------------


def written_again(folder: Path) -> Callable[[], None]:
    """A segment, and what writes its second record again behind a failed sync."""
    one = Writer(folder, "a")
    one.append(100, [pattern("p")])
    one.append(101, [uncounted("e1", "p")])

    def again() -> None:
        other = Writer(folder, "b", writer="a")
        other.append(101, [uncounted("e1", "p")])
        other.append(102, [uncounted("e2", "p")])

    return again


def test_what_was_written_again_counts_once(folder: Path, evidence: Evidence) -> None:
    written_again(folder)()
    evidence.fold(folder, nothing)
    assert used(evidence) == 2


def test_what_was_written_again_after_it_was_folded_counts_once(
    folder: Path, evidence: Evidence
) -> None:
    again = written_again(folder)
    evidence.fold(folder, nothing)
    assert used(evidence) == 1
    again()
    evidence.fold(folder, nothing)
    assert used(evidence) == 2


def test_what_was_written_again_counts_once_also_after_reopening_and_rebuilding(
    folder: Path, tmp_path: Path
) -> None:
    again = written_again(folder)
    first = Evidence(tmp_path / "one.duckdb")
    first.fold(folder, nothing)
    first.close()
    again()
    for name in ("one.duckdb", "two.duckdb"):
        opened = Evidence(tmp_path / name)
        opened.fold(folder, nothing)
        assert used(opened) == 2, name
        opened.close()


def test_the_same_stamp_of_another_writer_is_no_repeat(folder: Path, evidence: Evidence) -> None:
    Writer(folder, "a").append(100, [pattern("p")])
    for name in "bcd":
        Writer(folder, name).append(101, [uncounted(f"e-{name}", "p")])
    evidence.fold(folder, nothing)
    assert used(evidence) == 3


# -- torn and damaged ends --------------------------------------------------------------------------


def test_a_torn_segment_is_not_read_again_and_again(folder: Path, evidence: Evidence) -> None:
    one = Writer(folder, "a")
    one.append(100, [pattern("p")])
    one.tear()
    assert evidence.behind(segments.sizes(folder))
    evidence.fold(folder, nothing)
    assert used(evidence) == 0
    assert not evidence.behind(segments.sizes(folder))
    one.tear()  # it grew
    assert evidence.behind(segments.sizes(folder))


def test_torn_means_that_no_whole_append_lies_behind_the_mark(folder: Path) -> None:
    one = Writer(folder, "a")
    one.tear()
    assert not torn(one.segment, START)
    end = next(segments.read(one.segment)).end
    assert torn(one.segment, Mark(end))


@pytest.mark.parametrize("end", ["tear", "spoil", "spoil and tear"])
def test_what_stands_before_a_bad_end_is_folded_at_once(
    folder: Path, evidence: Evidence, end: str
) -> None:
    one = Writer(folder, "a")
    one.append(100, [pattern("p"), event("e", "p", 1.0), event("lost", "p", 1.0)])
    if end == "tear":
        one.append(200, [pattern("q")])
    if "spoil" in end:
        one.spoil()
    if "tear" in end:
        one.tear()
    evidence.fold(folder, nothing)
    assert used(evidence) == (2 if end == "tear" else 1)
    assert evidence.damaged == ("spoil" in end)
    assert not evidence.behind(segments.sizes(folder))


# -- a journal that has lost something --------------------------------------------------------------


def folded(folder: Path) -> tuple[Writer, dict[str, Mark]]:
    one = Writer(folder, "a")
    one.append(100, [pattern("p")])
    one.append(101, [event("e1", "p", 1.0)])
    return one, news(folder)[1]


def test_a_segment_that_is_whole_or_has_grown_is_not_ahead(folder: Path) -> None:
    one, marks = folded(folder)
    assert not ahead([one.segment], marks, thorough=True)
    one.append(102, [event("e2", "p", 1.0)])
    one.tear()
    assert not ahead([one.segment], marks, thorough=True)


def test_a_segment_shorter_than_what_was_folded_is_ahead(folder: Path) -> None:
    one, marks = folded(folder)
    assert ahead([replace(one.segment, size=one.segment.size - 1)], marks)


def test_another_record_in_the_place_of_the_last_one_is_noticed_when_looked_at(folder: Path) -> None:
    one, marks = folded(folder)
    lines = one.path.read_bytes().splitlines(keepends=True)
    one.path.write_bytes(b"".join(lines[:-1]))
    one.sequence -= 1
    one.append(201, [event("e2", "p", 1.0)])  # as long as the one that is lost
    assert one.segment.size == marks["a.log"].position
    assert not ahead([one.segment], marks)
    assert ahead([one.segment], marks, thorough=True)


def test_a_segment_that_is_gone_altogether_is_not_ahead(folder: Path) -> None:
    _, marks = folded(folder)
    assert not ahead([], marks, thorough=True)


@pytest.mark.parametrize("records", [1, 2])
def test_a_segment_that_ends_in_damage_that_was_counted_is_not_ahead(
    folder: Path, records: int
) -> None:
    one = Writer(folder, "a")
    one.append(100, [pattern(f"p{n}") for n in range(records)])
    one.spoil()
    marks = news(folder)[1]
    assert marks["a.log"].damaged == 1
    assert not ahead([one.segment], marks, thorough=True)


def test_the_evidence_of_a_shortened_journal_is_made_anew(folder: Path, evidence: Evidence) -> None:
    one, _ = folded(folder)
    evidence.fold(folder, nothing)
    build = evidence.build
    assert used(evidence) == 1
    one.path.write_bytes(b"".join(one.path.read_bytes().splitlines(keepends=True)[:-1]))
    evidence.fold(folder, nothing)
    assert used(evidence) == 0
    assert evidence.build != build
    assert evidence.moved_aside is not None
    assert not evidence.behind(segments.sizes(folder))
