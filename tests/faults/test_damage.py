"""A journal that was cut short or whose bits were flipped: the rest is kept, nothing is invented."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import orjson
import pytest

from support.reference import assert_counts_agree
from whatworks import Memory, UsageEvent, journal
from whatworks.journal import Record
from whatworks.testing import HashEmbedder

FLIPS = 10_000 if os.environ.get("WHATWORKS_FULL") else 300


def open_(store: Path) -> Memory:
    return Memory.open(store, embedder=HashEmbedder(), vectors="exact")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one segment: patterns, tries, outcomes, receipts."""
    store = tmp_path_factory.mktemp("whole") / "store"
    with open_(store) as memory:
        for n in range(30):
            memory.add_pattern(f"approach {n % 7}", pattern_id=f"p{n % 7}")
            memory.record(
                f"p{n % 7}",
                outcome=None if n % 4 == 0 else 1.0,
                context=f"case {n % 3}",
                event_id=f"e{n}",
            )
            if n % 4 == 0 and n:
                memory.resolve(f"e{n - 4}", outcome=0.0)
        memory.predict("case 1")
    return store


@pytest.fixture(scope="module")
def events(whole: Path) -> dict[str, UsageEvent]:
    with open_(whole) as memory:
        return {event.event_id: event for event in memory.iter_events()}


def damaged(whole: Path, folder: Path, content: bytes) -> Path:
    """A copy of the store with another journal and no views."""
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    (store / "journal").mkdir(parents=True)
    shutil.copy(whole / "store.json", store)
    (store / "journal" / journal.segments(whole / "journal")[0].name).write_bytes(content)
    return store


def read(store: Path) -> list[Record]:
    (segment,) = journal.segments(store / "journal")
    return list(journal.read(segment))


def content_of(store: Path) -> bytes:
    (segment,) = journal.segments(store / "journal")
    return segment.path.read_bytes()


def flips(size: int) -> Iterator[tuple[int, int]]:
    """Places and bits, the same in every run."""
    random = Random(7)
    return ((random.randrange(size), random.randrange(8)) for _ in range(FLIPS))


def flipped(content: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def test_a_journal_cut_anywhere_gives_the_records_before_the_cut(whole: Path, tmp_path: Path) -> None:
    content, records = content_of(whole), read(whole)
    store = damaged(whole, tmp_path, content)
    (segment,) = journal.segments(store / "journal")
    for size in reversed(range(len(content) - 2_048, len(content))):
        os.truncate(segment.path, size)
        assert read(store) == [record for record in records if record.end <= size]


def test_a_flipped_bit_costs_its_record_and_invents_none(whole: Path, tmp_path: Path) -> None:
    content, records = content_of(whole), read(whole)
    starts = [0, *(record.end for record in records)]
    noticed = 0
    for place, bit in flips(len(content)):
        found = read(damaged(whole, tmp_path, flipped(content, place, bit)))
        hit = next(n for n, record in enumerate(records) if place < record.end)
        # A line end belongs to both of its lines: without it they are one.
        lost = {hit, hit + 1} if place == starts[hit + 1] - 1 else {hit}
        sound = [record for record in found if record.kind != "damaged"]
        assert all(record in records for record in sound), (place, bit)
        assert [record for n, record in enumerate(records) if n not in lost] == [
            record for record in sound if records.index(record) not in lost
        ], (place, bit)
        noticed += len(sound) < len(records)
    assert noticed > 0.9 * FLIPS  # the case of a hex digit is all that may change unnoticed


@pytest.mark.parametrize("part", range(3))
def test_a_store_with_a_damaged_journal_opens_and_its_counts_agree(
    whole: Path, events: dict[str, UsageEvent], tmp_path: Path, part: int
) -> None:
    content = content_of(whole)
    random = Random(part)
    for n in range(8):
        size = len(content) - random.randrange(2_048)
        place, bit = random.randrange(len(content)), random.randrange(8)
        changed = content[:size] if n % 3 == 0 else flipped(content, place, bit)
        store = damaged(whole, tmp_path, changed)
        sound = [record for record in read(store) if record.kind == "event.recorded"]
        patterns = {
            orjson.loads(r.body)["pattern_id"] for r in read(store) if r.kind == "pattern.added"
        }
        bodies = [orjson.loads(record.body) for record in sound]
        kept = {body["event_id"] for body in bodies if body["pattern_id"] in patterns}
        with open_(store) as memory:
            found = {event.event_id: event for event in memory.iter_events()}
            assert found.keys() == kept
            for name, event in found.items():
                assert (event.pattern_id, event.context, event.timestamp) == (
                    events[name].pattern_id,
                    events[name].context,
                    events[name].timestamp,
                )
            assert_counts_agree(memory)
            assert memory.predict("case 1").answers
            memory.add_pattern("goes on", pattern_id="new")
            memory.record("new", outcome=1.0)
        with open_(store) as memory:
            assert memory.get_pattern("new").usage_count == 1
            assert memory.stats().events == len(kept) + 1
