"""Namespaces that keep vectors and snapshots at one address: each removes its own alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.machines import Machine, put_vectors
from support.namespaces import alone_store, at, do
from whatworks import Memory, config
from whatworks.cli import app
from whatworks.team import applying, depots, membership, settings, shared, snapshots
from whatworks.team.bucket import Bucket
from whatworks.testing import HashEmbedder

Enter = Callable[..., Machine]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines look each time that they exchange."""
    monkeypatch.setattr(applying, "EVERY_SECONDS", 0.0)


@pytest.fixture
def twins(tmp_path: Path, url: str) -> Iterator[list[Machine]]:
    """Teams of two namespaces and of none, begun from copies of one store."""
    first = alone_store(tmp_path / "first")
    with Memory.open(first, embedder=HashEmbedder()) as memory:
        memory.add_patterns([f"mend import {n} of the build" for n in range(20)])
        memory.find_similar("anything")
    made = []
    for name in ("api", "web", "alone"):
        shutil.copytree(first, tmp_path / name, ignore=shutil.ignore_patterns("*.sock"))
        space = None if name == "alone" else name
        membership.init(tmp_path / name, at(url, space), name=name)
        made.append(tmp_path / name)
    assert len({config.load(each).store_id for each in made}) == 1
    with ExitStack() as stack:
        yield [stack.enter_context(Machine(each)) for each in made]


def test_vectors_at_one_address_are_apart_and_one_team_removes_its_own_alone(
    twins: list[Machine], bucket: str
) -> None:
    for machine in twins:
        shared.give(machine.folder, bucket)
    put_vectors(*twins)
    names = [depots.name(machine.folder) for machine in twins]
    assert len(set(names)) == 3 and names[2] == config.load(twins[2].folder).store_id
    api, web, alone = twins
    api.memory.add_pattern("clear the cache", pattern_id="secret")
    put_vectors(api)
    api.memory.forget("secret", now=True)  # which removes whatever else of its team lies there
    api.exchange._applying._place = None
    put_vectors(api)
    held = {name: Bucket(bucket).names(name) for name in names}
    assert all(held.values())
    assert shared.stop(api.folder)
    assert Bucket(bucket).names(names[0]) == []
    for machine in (web, alone):
        machine.memory.add_pattern("wait a minute")
        put_vectors(machine)
        assert CliRunner().invoke(
            app, ["team", "vectors", f"{bucket}/x", "--store", str(machine.folder)]
        )
        put_vectors(machine)
        found = membership.status(machine.folder).vectors
        assert found is not None and found.vectors == 21 and found.place is not None
        assert Bucket(f"{bucket}/x").names(depots.name(machine.folder))


def test_whatever_the_owner_of_a_namespace_says_a_machine_writes_to_no_place_of_another(
    twins: list[Machine], bucket: str, url: str
) -> None:
    for machine in twins[:2]:
        shared.give(machine.folder, bucket)
    put_vectors(*twins[:2])
    api, web = twins[:2]
    before = membership.status(api.folder).vectors
    assert before is not None and before.place is not None
    do(
        at(url, "web"),
        f"UPDATE team SET store_id = '{depots.name(api.folder)}'",
        f"UPDATE vectors SET place = '{before.place}', vectors = 0, entry = 0",
    )
    files = set(Bucket(bucket).names(depots.name(api.folder)))
    web.exchange.close()
    web.memory.add_pattern("wait a minute")
    put_vectors(web)
    assert set(Bucket(bucket).names(depots.name(api.folder))) == files
    found = membership.status(web.folder).vectors
    assert found is not None and str(found.place).startswith(depots.name(web.folder))
    shared.stop(web.folder)
    assert set(Bucket(bucket).names(depots.name(api.folder))) == files


def test_snapshots_at_one_address_are_apart_and_one_team_removes_its_own_alone(
    twins: list[Machine], bucket: str, enter: Enter
) -> None:
    for machine in twins:
        machine.sync()
        assert snapshots.make(machine.folder, bucket, shorten=True).removed == 0
    for machine in twins[:2]:
        machine.memory.add_pattern(f"the way of {machine.folder.name}", pattern_id="way")
        machine.sync()
        assert snapshots.make(machine.folder, bucket).removed == 1
    for machine in twins:
        names = {name.split("/")[1] for name in Bucket(bucket).names(depots.name(machine.folder))}
        assert len(names) == 1
    for space in ("api", "web"):
        late = enter(f"late {space}", space)
        late.sync()
        late.settle()
        assert late.memory.get_pattern("way").description == f"the way of {space}"
    do(
        settings.load(twins[1].folder).url,
        "INSERT INTO snapshots (place, url, entry, sha256, bytes, machine) SELECT "
        f"'{depots.name(twins[0].folder)}/' || right(place, -37), url, 0, sha256, bytes, machine "
        "FROM snapshots",
    )
    kept = set(Bucket(bucket).names(depots.name(twins[0].folder)))
    twins[1].memory.record("way", outcome=1.0)
    twins[1].sync()
    assert snapshots.make(twins[1].folder).removed == 1  # its own one, and not the one it was told of
    assert set(Bucket(bucket).names(depots.name(twins[0].folder))) == kept
