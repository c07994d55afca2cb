"""Whatever keeps a store open exchanges by itself; without the database it records, and catches up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.postgres import Postgres
from support.processes import Failed, Process
from whatworks import Memory
from whatworks.team import following, membership, syncing
from whatworks.testing import HashEmbedder

SECONDS = 40.0
OPEN = """
from whatworks import Memory
from whatworks.testing import HashEmbedder
m = Memory.open(folder, embedder=HashEmbedder())
m.stats()
"""


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not met():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server of this test's own, since it is killed."""
    made = Postgres()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def folders(server: Postgres, tmp_path: Path) -> tuple[Path, Path]:
    url, ada, bob = server.create("team"), tmp_path / "ada", tmp_path / "bob"
    Memory.open(ada, embedder=HashEmbedder(), vectors="exact").close()
    membership.init(ada, url, name="ada")
    membership.join(bob, url, name="bob", model=HashEmbedder().model_id)
    return ada, bob


def test_what_one_process_records_another_one_on_another_machine_soon_knows(
    folders: tuple[Path, Path],
) -> None:
    with Memory.open(folders[0], embedder=HashEmbedder()) as ada:
        ada.add_pattern("retry the build", pattern_id="p")
        with Memory.open(folders[1], embedder=HashEmbedder()) as bob:
            until(lambda: bool(bob.get_patterns(["p"])))
            bob.record("p", outcome=1.0)
            until(lambda: ada.get_pattern("p").usage_count == 1)
            assert ada.stats().problems == ()


def test_a_keeper_that_closes_ships_what_is_left(folders: tuple[Path, Path]) -> None:
    with Memory.open(folders[0], embedder=HashEmbedder()) as ada:
        ada.add_pattern("retry the build", pattern_id="p")
        until(lambda: membership.status(folders[0]).waiting == 0)
        ada.record("p", outcome=1.0)
    assert membership.status(folders[0]).waiting == 0


def test_without_the_database_everything_is_recorded_and_shipped_when_it_is_back(
    server: Postgres, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LONGEST_SECONDS", 1.0)
    with Memory.open(folders[0], embedder=HashEmbedder()) as ada:
        ada.add_pattern("retry the build", pattern_id="p")
        until(lambda: membership.status(folders[0]).waiting == 0)
        server.kill()
        for _ in range(20):
            ada.record("p", outcome=1.0)
        until(lambda: any("does not answer" in problem for problem in ada.stats().problems))
        assert ada.get_pattern("p").usage_count == 20
        server.start()
        until(lambda: membership.status(folders[0]).waiting == 0)
        until(lambda: ada.stats().problems == ())
    syncing.sync(folders[1])
    with Memory.open(folders[1], embedder=HashEmbedder()) as bob:
        assert bob.get_pattern("p").usage_count == 20


@pytest.mark.parametrize("point", ["team.shipping", "team.shipped", "team.fetched", "file.synced"])
def test_a_process_killed_in_an_exchange_loses_and_doubles_nothing(
    folders: tuple[Path, Path], point: str
) -> None:
    with Memory.open(folders[1], embedder=HashEmbedder()) as bob:
        bob.add_pattern("wait", pattern_id="q")
    syncing.sync(folders[1])
    with Memory.open(folders[0], embedder=HashEmbedder()) as ada:
        ada.add_pattern("retry the build", pattern_id="p")
        ada.record("p", outcome=1.0)
    dies = Process(folders[0], WHATWORKS_FAIL=f"{point}:1")
    try:
        dies.do("import pathlib; from whatworks.team import syncing")
        with pytest.raises(Failed, match="ended with 9"):
            dies.do("syncing.sync(pathlib.Path(folder))")
    finally:
        dies.clean()
    syncing.sync(folders[0])
    syncing.sync(folders[1])
    found = []
    for folder in folders:
        with Memory.open(folder, embedder=HashEmbedder()) as memory:
            found.append(sorted((p.pattern_id, p.usage_count) for p in memory.iter_patterns()))
    assert found == [[("p", 1), ("q", 0)]] * 2


def test_another_process_of_the_machine_asks_the_keeper_and_ships_through_it(
    folders: tuple[Path, Path],
) -> None:
    with Memory.open(folders[0], embedder=HashEmbedder()) as ada:
        ada.add_pattern("retry the build", pattern_id="p")
        other = Process(folders[0])
        try:
            other.do(OPEN)
            other.do("m.record('p', outcome=1.0) and None")
            until(lambda: membership.status(folders[0]).waiting == 0)
        finally:
            other.clean()
    syncing.sync(folders[1])
    with Memory.open(folders[1], embedder=HashEmbedder()) as bob:
        assert bob.get_pattern("p").usage_count == 1
