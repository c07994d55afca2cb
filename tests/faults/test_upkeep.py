"""A store that grows in small steps stays small: few files, whoever makes the steps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from whatworks import Memory, vectors
from whatworks.stores.lance import LanceStore
from whatworks.testing import HashEmbedder

FULL = bool(os.environ.get("WHATWORKS_FULL"))
DOCUMENTS, STEP = (2_500, 1) if FULL else (600, 10)
SESSION, MOST_FILES = 50, 100


def open_(store: Path) -> Memory:
    return Memory.open(store, embedder=HashEmbedder(), vectors="lance", durability="process")


def files(store: Path) -> int:
    return sum(path.is_file() for path in store.rglob("*"))


def grown(store: Path) -> Iterator[Memory]:
    """The memory after each step, one session after another."""
    for start in range(0, DOCUMENTS, SESSION):
        with open_(store) as memory:
            for first in range(start, start + SESSION, STEP):
                memory.add_patterns(
                    [
                        {"description": f"approach {n} of kind {n % 13}", "pattern_id": f"p{n}"}
                        for n in range(first, first + STEP)
                    ]
                )
                yield memory


def assert_all_found(store: Path) -> None:
    with open_(store) as memory:
        assert memory.stats().vectors["patterns"]["vectors"] == DOCUMENTS
        for n in (0, 432, DOCUMENTS - 1):
            found = memory.find_similar(f"approach {n} of kind {n % 13}", limit=3)
            assert f"p{n}" in [match.pattern_id for match in found]


def most_files_flushed(store: Path) -> int:
    most = 0
    for memory in grown(store):
        memory.flush()
        most = max(most, files(store))
    return most


def test_a_store_flushed_after_each_step_has_few_files(tmp_path: Path) -> None:
    assert most_files_flushed(tmp_path / "store") < MOST_FILES
    assert_all_found(tmp_path / "store")


def test_without_upkeep_the_files_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The null control: the same steps, and nobody merges or cleans up."""
    monkeypatch.setattr(LanceStore, "maintain", lambda _: False)
    assert most_files_flushed(tmp_path / "store") > MOST_FILES


def test_a_store_tended_in_the_background_has_few_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "IN_MEMORY", 200)
    monkeypatch.setattr(vectors, "TAIL", STEP)
    store, most = tmp_path / "store", 0
    for memory in grown(store):
        memory.find_similar("approach")
        most = max(most, files(store))
    assert most < MOST_FILES
    assert_all_found(store)
