"""A team that was made before there were namespaces goes on where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.machines import Machine
from support.namespaces import at, do
from whatworks import StoreError
from whatworks.ids import uuid7
from whatworks.team import applying, depots, listing, membership, settings, shared, snapshots
from whatworks.team.bucket import Bucket
from whatworks.team.doctor import examine
from whatworks.testing import HashEmbedder

DATA = Path(__file__).parents[1] / "compat"
MODEL, DIM = HashEmbedder().model_id, HashEmbedder().dim


@pytest.fixture(params=["team-2.sql", "team-2-vectors.sql"])
def pair(
    request: pytest.FixtureRequest, url: str, bucket: str, tmp_path: Path
) -> Iterator[list[Machine]]:
    """Two machines of such a team, which shares vectors or does not yet."""
    do(url, (DATA / "team-2.sql").read_text())
    do(
        url,
        "INSERT INTO whatworks.team (version, store_id, embedder, dim) "
        f"VALUES (2, '{uuid7()}', '{MODEL}', {DIM})",
    )
    if request.param != "team-2.sql":
        do(url, (DATA / request.param).read_text())
    with ExitStack() as stack:
        made = []
        for name in ("ada", "bob"):
            membership.join(tmp_path / name, url, name=name, model=MODEL, vectors="exact")
            made.append(stack.enter_context(Machine(tmp_path / name)))
        yield made


def test_it_exchanges_shares_vectors_and_makes_snapshots_in_the_same_places(
    pair: list[Machine], url: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "EVERY_SECONDS", 0.0)
    ada, bob = pair
    shared.give(ada.folder, bucket)
    ada.memory.add_pattern("retry the build", pattern_id="p")
    for machine in (ada, ada, bob, ada):
        machine.settle()
        machine.memory.find_similar("anything", limit=1)
        machine.sync()
    bob.settle()
    bob.memory.record("p", outcome=1.0)
    bob.sync()
    ada.sync()
    ada.settle()
    assert ada.memory.get_pattern("p").usage_count == 1
    snapshots.make(ada.folder, bucket)
    team = depots.name(ada.folder)
    kinds = {name.split("/")[1].partition(".")[2] == "lance" for name in Bucket(bucket).names(team)}
    assert kinds == {True, False}  # both under the id that the team's store always had
    assert {item.status for item in examine(ada.folder)} == {"ok"}
    (found,) = listing.namespaces(url)
    assert (found.namespace, found.machines) == (None, 2)


def test_whose_a_machine_is_stands_once_the_owner_has_exchanged(pair: list[Machine], url: str) -> None:
    old = (DATA / "team-2.sql").read_text()
    loose = old[old.index("CREATE FUNCTION whatworks.owns") :].partition(";")[0]
    ada, _ = pair
    do(url, loose.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    assert "for machines of others" in str(
        [item for item in examine(ada.folder) if item.status == "warn"]
    )
    ada.exchange.close()  # the next one connects
    ada.sync()
    assert {item.status for item in examine(ada.folder)} == {"ok"}


def test_users_of_the_database_are_let_in_as_before(
    pair: list[Machine], url: str, user: Callable[[str], str], tmp_path: Path
) -> None:
    ada, _ = pair
    ada.memory.add_pattern("retry the build", pattern_id="p")
    ada.sync()
    eve = user("eve")
    said = membership.grant(ada.folder, eve, "writer")
    assert f"GRANT USAGE ON SCHEMA whatworks TO {eve}" in said
    membership.join(tmp_path / "eve", at(url, None, eve), name="eve", model=MODEL)
    with Machine(tmp_path / "eve") as machine:
        machine.sync()
        machine.settle()
        machine.memory.record("p", outcome=1.0)
        assert machine.sync().shipped > 0
    other = settings.load(ada.folder).machine
    with pytest.raises(StoreError, match="row-level security"):
        do(at(url, None, eve), f"INSERT INTO segments VALUES ('eve-9.log', '{other}', 0)")
