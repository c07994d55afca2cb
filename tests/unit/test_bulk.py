"""What is said of work in bulk before any Ray is begun."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from whatworks import InvalidInputError, Memory, MissingExtraError, ModelMismatchError, NewPattern
from whatworks.bulk import RayPool
from whatworks.embedders import Embedder, vectors_of
from whatworks.testing import HashEmbedder


class Here:
    """A pool of this process, which reads all lists ahead and notes how many."""

    def __init__(self) -> None:
        self.lists: list[int] = []

    def vectors(self, embedder: Embedder, lists: Iterable[list[str]]) -> Iterator[NDArray[np.float32]]:
        ahead = list(lists)
        self.lists += [len(texts) for texts in ahead]
        for texts in ahead:
            yield vectors_of(embedder, texts)


def test_without_its_extra_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'whatworks\[ray\]'"):
        RayPool()


@pytest.mark.parametrize("address", ["", " ", 6379])
def test_an_address_is_a_text(address: str) -> None:
    with pytest.raises(InvalidInputError, match="expected 'local', 'auto' or a cluster's host:port"):
        RayPool(address)


def test_workers_of_a_cluster_are_not_counted() -> None:
    with pytest.raises(InvalidInputError, match="a cluster uses all its processors"):
        RayPool("10.0.0.1:6379", workers=2)


def test_a_pool_is_given_what_waits_in_pages_and_nothing_twice(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "store", embedder="none") as memory:
        memory.add_patterns([NewPattern(f"text {n}") for n in range(2_500)])
    pool, told = Here(), list[int]()
    with Memory.open(tmp_path / "store", embedder=HashEmbedder()) as memory:
        memory.flush(pool=pool, progress=told.append)
        memory.add_pattern("another one")
        memory.flush(pool=pool)
        held = memory.stats().vectors["patterns"]
    assert pool.lists[:2] == told[:2] == [1_024, 1_024]
    assert sum(pool.lists) <= 2_501  # the memory may have begun by itself
    assert (held["vectors"], held["waiting"]) == (2_501, 0)


KILLED = """
import os, signal, sys
from whatworks import Memory
from whatworks.embedders import vectors_of
from whatworks.testing import HashEmbedder

class Here:
    def vectors(self, embedder, lists):
        for number, texts in enumerate(lists):
            if number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield vectors_of(embedder, texts)

with Memory.open(sys.argv[1], embedder=HashEmbedder()) as memory:
    memory.flush(pool=Here())
"""


def test_who_is_killed_amid_a_pool_goes_on_behind_what_was_kept(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Memory.open(store, embedder="none") as memory:
        memory.add_patterns([NewPattern(f"text {n}") for n in range(2_500)])
    done = subprocess.run([sys.executable, "-c", KILLED, store], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    with Memory.open(store, embedder="none") as memory:
        kept = memory.stats().vectors["patterns"]["vectors"]
        assert 2_048 <= kept < 2_500
    pool = Here()
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        memory.flush(pool=pool)
        assert memory.stats().vectors["patterns"]["vectors"] == 2_500
    assert sum(pool.lists) <= 2_500 - kept


def test_a_text_without_direction_is_left_out_also_by_a_pool(tmp_path: Path) -> None:
    class Silent(HashEmbedder):
        def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
            return super().__call__(texts) * np.array([["nil" not in text] for text in texts])

    with Memory.open(tmp_path / "store", embedder=Silent()) as memory:
        memory.add_patterns([NewPattern("nil"), NewPattern("something")])
        memory.flush(pool=Here())
        held = memory.stats()
    assert (held.vectors["patterns"]["vectors"], held.vectors["patterns"]["waiting"]) == (1, 0)
    assert "has no vector" in "".join(held.problems)


def test_a_pool_needs_the_embedder_of_the_store(tmp_path: Path) -> None:
    Memory.open(tmp_path / "store", embedder=HashEmbedder()).close()
    with Memory.open(tmp_path / "store", embedder="none") as memory:
        memory.add_pattern("something")
        memory.flush(pool=Here())  # as without a pool: it waits for one who has it
        assert memory.stats().vectors["patterns"]["waiting"] == 1
    with (
        Memory.open(tmp_path / "store", embedder=HashEmbedder()) as memory,
        pytest.raises(ModelMismatchError, match="makes vectors of 32 dimensions"),
    ):
        memory.flush(pool=Other())


class Other:
    """A pool of another model."""

    def vectors(self, _: Embedder, lists: Iterable[list[str]]) -> Iterator[NDArray[np.float32]]:
        return (vectors_of(HashEmbedder(32), texts) for texts in lists)
