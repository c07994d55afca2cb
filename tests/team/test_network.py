"""A machine whose network is cut without a word holds nobody up, and comes back by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest
from faults.network import Network

from support.machines import Machine
from support.postgres import Postgres, free_port
from whatworks import Memory, StoreError, UnreachableError, failpoints
from whatworks.team import database as team_database
from whatworks.team import membership
from whatworks.testing import HashEmbedder


@pytest.fixture
def server() -> Iterator[Postgres]:
    made = Postgres(listen_addresses="127.0.0.1", port=str(free_port()))
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def network(server: Postgres) -> Iterator[Network]:
    """Lies between one machine and the server."""
    made = Network("127.0.0.1", server.port)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def two(
    server: Postgres, network: Network, folder: Path, name: str
) -> Iterator[tuple[Machine, Machine]]:
    """Ada is behind the network, bob is beside the server."""
    url = server.create(name)
    behind = f"postgresql://whatworks@127.0.0.1:{network.port}/{name}"
    Memory.open(folder / "ada", embedder=HashEmbedder(), vectors="exact").close()
    membership.init(folder / "ada", behind, name="ada")
    membership.join(folder / "bob", url, name="bob", model=HashEmbedder().model_id)
    with Machine(folder / "ada") as ada, Machine(folder / "bob") as bob:
        ada.memory.add_pattern("retry the build", pattern_id="p")
        synced(ada)
        synced(bob)
        bob.settle()
        yield ada, bob


@pytest.fixture
def pair(server: Postgres, network: Network, tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    with two(server, network, tmp_path, "team") as machines:
        yield machines


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team_database, "STATEMENT_SECONDS", 4.0)
    monkeypatch.setattr(team_database, "CONNECT_SECONDS", 4.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["black hole", "half open", "refused"])
def test_a_machine_that_was_cut_off_ships_what_it_recorded_once_the_network_is_back(
    pair: tuple[Machine, Machine], network: Network, how: str
) -> None:
    ada, bob = pair
    ada.exchange.close()
    synced(ada)
    network.cut(how)  # type: ignore[arg-type]
    ada.memory.record("p", outcome=1.0)
    for _ in range(2):  # by the connection that it has, and by a new one
        with pytest.raises(UnreachableError):
            ada.sync()
    assert ada.memory.get_pattern("p").usage_count == 1
    network.mend()
    synced(ada)
    synced(bob)
    bob.settle()
    assert bob.memory.get_pattern("p").usage_count == 1


def synced(machine: Machine) -> None:
    """Exchange, however slow everything is."""
    for _ in range(10):
        with suppress(UnreachableError):
            machine.sync()
            return
    machine.sync()


def cut_while_it_ships(ada: Machine, network: Network, patch: pytest.MonkeyPatch) -> Thread:
    """Ada is cut off while she holds the row of the team, and does not notice yet."""

    done = list[str]()

    def cut(point: str) -> None:
        if point == "team.shipping" and not done:
            done.append(point)
            network.cut("black hole")

    def ship() -> None:
        with suppress(StoreError):
            ada.sync()

    ada.memory.record("p", outcome=1.0)
    patch.setattr(failpoints, "reached", cut)
    thread = Thread(target=ship)
    thread.start()
    deadline = time.monotonic() + 20
    while network._cut is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return thread


def seconds_until_bob_ships(bob: Machine, patience: float) -> float:
    bob.memory.record("p", outcome=0.0)
    start = time.monotonic()
    while time.monotonic() - start < patience:
        with suppress(UnreachableError):
            bob.sync()
            return time.monotonic() - start
    return float("inf")


@pytest.mark.usefixtures("impatient")
def test_a_machine_that_vanishes_in_a_transaction_holds_the_others_up_for_seconds_only(
    pair: tuple[Machine, Machine], network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = pair
    thread = cut_while_it_ships(ada, network, monkeypatch)
    assert seconds_until_bob_ships(bob, 40) < 30
    thread.join(60)
    network.mend()
    for each in (ada, bob, ada):
        synced(each)
    for each in pair:
        each.settle()
        assert each.memory.get_pattern("p").usage_count == 2


@pytest.mark.usefixtures("impatient")
def test_without_that_limit_it_holds_them_up(
    server: Postgres, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The null control of the test above."""
    monkeypatch.setattr(team_database, "SERVER", {"application_name": "whatworks"})
    with two(server, network, tmp_path, "other") as (ada, bob):
        thread = cut_while_it_ships(ada, network, monkeypatch)
        assert seconds_until_bob_ships(bob, 16) == float("inf")
        thread.join(60)
