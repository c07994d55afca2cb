"""The format of the journal's files: what is read back, and what a torn or damaged end leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest

from whatworks import StoreError, segments
from whatworks.segments import Segment, appends, frame, last, read, writer_of

HEAD = b'{"format":2,"store_id":"s","writer":"first.log"}'


def old(payload: bytes) -> bytes:
    """A line of format 1."""
    return b"%08x %s\n" % (crc32(payload), payload)


def damaged(line: bytes) -> bytes:
    return line.replace(b"{", b"[", 1)


def written(folder: Path, *lines: bytes, name: str = "a.log") -> Segment:
    path = folder / name
    path.write_bytes(b"".join(lines))
    return Segment(name, path, path.stat().st_size)


def bodies(segment: Segment) -> list[bytes]:
    return [record.body for record in read(segment) if record.kind != "damaged"]


THREE = (
    frame(1, 100, "try", b'{"n":1}', more=True),
    frame(2, 101, "try", b'{"n":2}', more=True),
    frame(3, 102, "try", b'{"n":3}'),
)


# -- what is read back ------------------------------------------------------------------------------


def test_a_line_comes_back_as_it_was_framed(tmp_path: Path) -> None:
    segment = written(tmp_path, frame(7, 1_234, "a.kind", b'{"n": "two words"}', more=True), THREE[2])
    first, second = read(segment)
    assert (first.sequence, first.stamp, first.kind, first.more) == (7, 1_234, "a.kind", True)
    assert first.body == b'{"n": "two words"}'
    assert (second.sequence, second.stamp, second.more) == (3, 102, False)
    assert second.end == segment.size


def test_lines_of_the_first_format_are_read_without_stamps(tmp_path: Path) -> None:
    segment = written(
        tmp_path,
        old(b'0 segment {"format":1,"store_id":"s"}'),
        old(b'1 pattern.added {"n":1}'),
        old(b'2 event.recorded {"n":2}'),
    )
    found = list(read(segment))
    assert [(r.sequence, r.kind) for r in found] == [
        (0, "segment"),
        (1, "pattern.added"),
        (2, "event.recorded"),
    ]
    assert {(r.stamp, r.more) for r in found} == {(0, False)}
    assert found[2].body == b'{"n":2}'
    assert [len(append) for append in appends(segment)] == [1, 1, 1]
    assert last(segment) == found[2]
    assert writer_of(segment) == "a.log"


def test_both_formats_may_stand_in_one_file(tmp_path: Path) -> None:
    # A store of an earlier version is gone on with in the segment that it left.
    segment = written(tmp_path, old(b'0 segment {"format":1}'), old(b'1 try {"n":0}'), *THREE)
    assert bodies(segment)[1:] == [b'{"n":0}', b'{"n":1}', b'{"n":2}', b'{"n":3}']
    assert [len(append) for append in appends(segment)] == [1, 1, 3]


@pytest.mark.parametrize("size", [1, 7, 30, 4_096])
def test_what_is_read_does_not_depend_on_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    segment = written(tmp_path, frame(0, 0, "segment", HEAD), *THREE)
    whole = list(read(segment))
    monkeypatch.setattr(segments, "READ_BYTES", size)
    assert list(read(segment)) == whole
    assert list(read(segment, whole[1].end)) == whole[2:]


# -- appends ----------------------------------------------------------------------------------------


def test_an_append_counts_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    whole = b"".join(THREE)
    before = frame(0, 99, "try", b"{}")
    for cut in range(len(whole)):
        segment = written(tmp_path, before, whole[:cut])
        assert [len(append) for append in appends(segment)] == [1], cut
        assert bodies(segment) == [b"{}"]
    assert [len(append) for append in appends(written(tmp_path, before, whole))] == [1, 3]


def test_what_follows_an_append_stands_alone(tmp_path: Path) -> None:
    segment = written(tmp_path, *THREE, frame(4, 103, "try", b"{}"), *THREE)
    assert [[r.sequence for r in append] for append in appends(segment)] == [[1, 2, 3], [4], [1, 2, 3]]


@pytest.mark.parametrize(
    ("place", "groups"),
    [
        (0, [["damaged"], ["try", "try"]]),
        (1, [["try", "damaged"], ["try"]]),
        (2, [["try", "try", "damaged"]]),
    ],
)
def test_a_damaged_line_takes_no_sound_one_with_it(
    tmp_path: Path, place: int, groups: list[list[str]]
) -> None:
    lines = [*THREE]
    lines[place] = damaged(lines[place])
    after = frame(4, 103, "try", b'{"n":4}')
    segment = written(tmp_path, *lines, after)
    found = list(appends(segment))
    assert [[record.kind for record in append] for append in found] == [*groups, ["try"]]
    sound = [body for n, body in enumerate((b'{"n":1}', b'{"n":2}', b'{"n":3}')) if n != place]
    assert bodies(segment) == [*sound, b'{"n":4}']


def test_a_damaged_line_is_kept_as_it_stands(tmp_path: Path) -> None:
    line = damaged(THREE[2])
    (record,) = read(written(tmp_path, line))
    assert (record.kind, record.sequence, record.stamp) == ("damaged", -1, 0)
    assert record.body + b"\n" == line


@pytest.mark.parametrize(
    "payload",
    [b"", b"1", b"1 2", b"1 2 try", b"x 2 try {}", b"1 2x try {}", b"1 2++ try {}", b"1 \xff\xfe {}"],
)
def test_a_sound_checksum_over_nonsense_is_damage(tmp_path: Path, payload: bytes) -> None:
    assert [record.kind for record in read(written(tmp_path, old(payload)))] == ["damaged"]


# -- the end of a segment ---------------------------------------------------------------------------


def test_the_last_record_is_found_without_reading_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "TAIL_BYTES", 8)
    lines = [frame(n, n, "try", b"x" * length) for n, length in enumerate((5, 300, 2, 40))]
    for count in range(1, 5):
        found = last(written(tmp_path, *lines[:count]))
        assert found is not None
        assert (found.sequence, found.body) == (count - 1, b"x" * (5, 300, 2, 40)[count - 1])


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"no line end"],
        [THREE[0], b"half"],
        [THREE[0], damaged(THREE[2])],
        [THREE[0], b"\n"],
        [b"sealed"],
    ],
    ids=["empty", "torn from the start", "torn", "damaged", "empty line", "sealed"],
)
def test_a_segment_that_ends_otherwise_has_no_last_record(
    tmp_path: Path, lines: Sequence[bytes]
) -> None:
    assert last(written(tmp_path, *lines)) is None


def test_the_last_record_of_an_append_that_is_not_whole_says_so(tmp_path: Path) -> None:
    found = last(written(tmp_path, *THREE[:2]))
    assert found is not None
    assert found.more


def test_the_last_record_is_the_last_one_within_the_size(tmp_path: Path) -> None:
    segment = written(tmp_path, *THREE)
    for record in read(segment):
        assert last(replace(segment, size=record.end)) == record
        assert last(replace(segment, size=record.end - 1)) is None


# -- whose it is ------------------------------------------------------------------------------------


def test_the_first_record_names_the_writer(tmp_path: Path) -> None:
    assert writer_of(written(tmp_path, frame(0, 0, "segment", HEAD), name="b.log")) == "first.log"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"half",
        frame(1, 1, "try", b"{}"),
        frame(0, 0, "segment", b"{}"),
        damaged(frame(0, 0, "segment", HEAD)),
        frame(0, 0, "segment", HEAD)[:-10],
    ],
    ids=["empty", "torn", "another record", "without its name", "damaged", "cut short"],
)
def test_a_segment_that_names_nobody_is_its_own_writer(tmp_path: Path, content: bytes) -> None:
    assert writer_of(written(tmp_path, content, name="b.log")) == "b.log"


def test_segments_are_listed_by_name_with_their_sizes(tmp_path: Path) -> None:
    for name in ("b.log", "a.log", "c.log~", "notes"):
        written(tmp_path, b"xyz", name=name)
    (tmp_path / "folder.log").mkdir()
    assert [(s.name, s.size) for s in segments.segments(tmp_path)] == [("a.log", 3), ("b.log", 3)]
    assert segments.sizes(tmp_path, ["a.log"]) == {"b.log": 3}


def test_a_journal_that_cannot_be_read_is_a_store_error(tmp_path: Path) -> None:
    gone = Segment("a.log", tmp_path / "a.log", 10)
    for ask in (lambda: segments.segments(tmp_path / "none"), lambda: list(read(gone)),
                lambda: last(gone), lambda: writer_of(gone)):  # fmt: skip
        with pytest.raises(StoreError, match="read the journal"):
            ask()
