"""A text of a team is embedded once: its vector lies where all machines take it from.

Whoever has the lease puts it there, and the database names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import QdrantClient
from typer.testing import CliRunner

from support.machines import Machine, agreed, alone, put_vectors
from support.processes import Failed, Process
from support.qdrant import Served
from support.s3 import S3
from support.storage import Careless, serving
from whatworks import InvalidInputError, Memory, StoreError, config, failpoints, packing
from whatworks.cli import app
from whatworks.embedders import vectors_of
from whatworks.errors import StoreBusyError
from whatworks.stores import qdrant
from whatworks.team import (
    applying,
    depots,
    leases,
    lending,
    membership,
    settings,
    shared,
    shelves,
    syncing,
)
from whatworks.team.bucket import Bucket
from whatworks.team.database import Database
from whatworks.testing import HashEmbedder

Join = Callable[[str], Machine]
PATTERNS = 40
TEXTS = 2 * PATTERNS  # with one context each
SECRET = "the password of the bank is hunter2"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines look each time that they exchange, and few texts are worth asking for."""
    monkeypatch.setattr(applying, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(applying, "FAILED_SECONDS", 0.0)
    monkeypatch.setattr(lending, "FEW", 2)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts that machines of this process embed from now on."""
    texts = list[str]()
    plain = HashEmbedder.__call__

    def noted(self: HashEmbedder, given: list[str]) -> NDArray[np.float32]:
        texts.extend(given)
        return plain(self, given)

    monkeypatch.setattr(HashEmbedder, "__call__", noted)
    return texts


def fill(machine: Machine) -> None:
    machine.memory.add_patterns(
        [
            {"description": f"mend import {n} of the build", "pattern_id": f"p{n}"}
            for n in range(PATTERNS)
        ]
    )
    machine.memory.record_many(
        [
            {"pattern_id": f"p{n}", "outcome": n % 2, "context": f"imports failed in case {n}"}
            for n in range(PATTERNS)
        ]
    )


@pytest.fixture
def ada(machine: Join, bucket: str) -> Machine:
    """A machine that has shared its vectors."""
    made = machine("ada")
    fill(made)
    shared.give(made.folder, bucket)
    put_vectors(made)
    return made


def exchanged(folder: Path) -> None:
    """Exchange, once a memory that was closed has ended its exchange, for which it does not wait."""
    deadline = monotonic() + 60
    while True:
        try:
            syncing.sync(folder)
            return
        except StoreBusyError:
            assert monotonic() < deadline
            sleep(0.1)


@contextmanager
def database_of(machine: Machine) -> Iterator[Database]:
    database = Database(settings.load(machine.folder).url)
    try:
        yield database
    finally:
        database.close()


def named(machine: Machine) -> Any:
    with database_of(machine) as database:
        return shared.named(database)


def expire(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it be a minute later for whoever waits for the lease."""
    monkeypatch.setattr(applying, "PATIENCE_SECONDS", 0.0)
    with database_of(machine) as database:
        database.do("UPDATE whatworks.leases SET until = now()")


def held(bucket: str) -> bytes:
    """All bytes that lie there."""
    found, bodies = Bucket(bucket), list[bytes]()
    for name in found.names(""):
        bodies.append(found.get(name))
    return b"".join(bodies)


def takes_all(new: Machine, embedded: list[str]) -> None:
    """Have a new machine ask something: it embeds none of the texts of the others."""
    new.sync()
    embedded.clear()
    new.memory.find_similar("anything", limit=1)
    assert embedded == ["anything"]


def vector(text: str) -> bytes:
    """The bytes of an embedding as the evidence gives it to others."""
    return packing.unpacked(packing.packed(vectors_of(HashEmbedder(), [text])))[0].tobytes()


def test_a_new_machine_takes_the_vectors_instead_of_making_them(
    ada: Machine, machine: Join, embedded: list[str], tmp_path: Path
) -> None:
    row = named(ada)
    assert (row["vectors"], row["entry"]) == (TEXTS, row["entries"])
    bob = machine("bob")
    bob.sync()
    bob.memory.find_similar("anything", limit=1)
    assert embedded == ["anything"]
    told = bob.memory.stats().vectors["shared"]
    assert (told["taken"], told["behind"], told["trouble"]) == (TEXTS, 0, None)
    answers = agreed([ada, bob])
    assert answers[0] == answers[1] == alone(bob, tmp_path / "alone")


def test_what_comes_later_is_put_there_too_and_what_is_there_is_not_put_twice(
    ada: Machine, machine: Join, embedded: list[str]
) -> None:
    ada.memory.add_pattern("clear the cache")
    ada.memory.add_pattern("mend import 1 of the build, then of the tests", pattern_id="p1")
    put_vectors(ada)
    assert named(ada)["entry"] == named(ada)["entries"]
    ada.memory.rebuild()  # which counts texts anew
    ada.memory.record("p2", outcome=1.0, context="imports failed in case 1")
    put_vectors(ada)
    assert named(ada)["vectors"] == TEXTS + 1  # with the one text of p1 that it has now
    takes_all(machine("bob"), embedded)


@pytest.mark.parametrize("cleaned", [True, False])
def test_what_is_forgotten_goes_from_there_with_its_bytes(
    ada: Machine, machine: Join, bucket: str, monkeypatch: pytest.MonkeyPatch, cleaned: bool
) -> None:
    bob = machine("bob")
    bob.memory.add_pattern(SECRET, pattern_id="secret")
    put_vectors(bob, ada)
    assert vector(SECRET) in held(bucket)
    if not cleaned:  # null control: without it this test finds the bytes
        monkeypatch.setattr(shelves, "clean", lambda *_, **__: None)
    bob.memory.forget("secret", now=True)
    put_vectors(bob, ada)
    assert (vector(SECRET) in held(bucket)) is not cleaned
    row = named(ada)
    assert row["vectors"] == TEXTS and row["entry"] >= row["forgotten"] > 0
    assert vector("mend import 7 of the build") in held(bucket)


DIES = """
import pathlib
from support.machines import Machine
from whatworks.team import applying, lending, shared
applying.EVERY_SECONDS = applying.PATIENCE_SECONDS = 0.0
lending.FEW, applying.LEASE_SECONDS = 2, 500.0
dan = Machine(pathlib.Path(folder)).__enter__()
def apply():
    for _ in range(3):
        dan.settle()
        dan.memory.find_similar("anything", limit=1)
        dan.sync()
"""


@pytest.mark.parametrize("point", ["shelf.added", "shared.moving", "shared.named"])
def test_when_whoever_has_the_lease_is_killed_another_one_goes_on(
    machine: Join,
    url: str,
    bucket: str,
    server: S3,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    embedded: list[str],
    point: str,
) -> None:
    ada = machine("ada")
    fill(ada)
    ada.sync()
    shared.give(ada.folder, bucket)
    membership.join(tmp_path / "dan", url, name="dan", model=HashEmbedder().model_id)
    shared.give(tmp_path / "dan", bucket)
    dan = Process(tmp_path / "dan", WHATWORKS_FAIL=f"{point}:1", **server.environment)
    try:
        dan.do(DIES)
        with pytest.raises(Failed, match="ended with 9"):
            dan.do("apply()")
    finally:
        dan.clean()
    left = shelves.places(bucket, config.load(ada.folder).store_id)
    assert len(left) == 1
    put_vectors(ada)
    assert named(ada)["machine"] != settings.load(ada.folder).machine  # it has to wait
    expire(ada, monkeypatch)
    ada.memory.record("p1", outcome=1.0)
    put_vectors(ada)
    row = named(ada)
    assert (row["name"], row["vectors"], row["entry"]) == ("ada", TEXTS, row["entries"])
    assert shelves.places(bucket, depots.name(ada.folder)) == [row["place"]] != left
    takes_all(machine("bob"), embedded)


@pytest.mark.parametrize("fenced", [True, False])
def test_whoever_slept_through_its_lease_names_nothing_any_more(
    ada: Machine, machine: Join, bucket: str, monkeypatch: pytest.MonkeyPatch, fenced: bool
) -> None:
    bob = machine("bob")
    shared.give(bob.folder, bucket)
    put_vectors(bob)
    ada.memory.add_pattern("clear the cache")
    ada.settle()
    ada.memory.find_similar("anything")
    ada.sync()
    taken = list[Any]()

    def sleep(point: str) -> None:
        if point == "shared.put" and not taken:
            taken.append(None)
            expire(ada, monkeypatch)
            put_vectors(bob)
            taken[0] = named(bob)
            if not fenced:  # null control: with this the place of the one who slept is seen to be named
                monkeypatch.setattr(leases, "holds", lambda *_: True)

    monkeypatch.setattr(failpoints, "reached", sleep)
    ada.memory.add_pattern("clear the cache, then build")
    put_vectors(ada)
    assert taken[0]["name"] == "bob"
    row = named(ada)
    assert (row["name"] == "bob" and row["epoch"] == taken[0]["epoch"]) is fenced
    if fenced:
        assert ada.exchange.once().problem is None or "taken over" in str(ada.exchange.once().problem)
        assert shelves.open_shelf(bucket, row["place"], dim=HashEmbedder().dim, version=row["version"])


def test_the_epoch_of_a_lease_only_grows(ada: Machine, machine: Join) -> None:
    names = [settings.load(each.folder).machine for each in (ada, machine("bob"))]
    with database_of(ada) as database:
        first = leases.acquire(database, "work", names[0], 60.0)
        assert first is not None and first.epoch == 1
        assert leases.acquire(database, "work", names[1], 60.0) is None
        assert leases.renew(database, first, 60.0)
        again = leases.acquire(database, "work", names[0], 60.0)  # its next process
        assert again is not None and again.epoch == 2
        assert not leases.renew(database, first, 60.0)
        leases.release(database, first)  # changes nothing
        assert leases.acquire(database, "work", names[1], 60.0) is None
        leases.release(database, again)
        other = leases.acquire(database, "work", names[1], 60.0)
        assert other is not None and other.epoch == 3
        with database.transaction():
            assert [leases.holds(database, each) for each in (first, again, other)] == [0, 0, 1]


def test_without_the_storage_each_machine_embeds_and_says_so(
    ada: Machine, machine: Join, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shelves, "OPTIONS", shelves.OPTIONS | {"client_max_retries": "0"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    bob = machine("bob")
    bob.sync()
    assert bob.memory.find_similar("mend import 7 of the build", limit=1)[0].pattern.pattern_id == "p7"
    told = bob.memory.stats().vectors["shared"]
    assert told["taken"] == 0 and "does not open" in told["trouble"]
    ada.memory.add_pattern("clear the cache", pattern_id="cache")
    put_vectors(ada)
    assert "cannot" in str(ada.sync().problem) or "error" in str(ada.sync().problem)
    late = membership.status(ada.folder).vectors
    assert late is not None and late.behind > 0
    bob.sync()
    answers = agreed([ada, bob])
    assert answers[0] == answers[1] == alone(bob, tmp_path / "alone")


def test_without_the_database_it_is_said_how_late_the_vectors_were(
    ada: Machine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.memory.add_pattern("clear the cache", pattern_id="cache")
    gone = settings.load(ada.folder)
    settings.save(ada.folder, gone.changed(url="postgresql://ada@/memory?host=/nowhere"))
    found = membership.status(ada.folder)
    assert found.error is not None and found.vectors is not None
    assert (found.vectors.vectors, found.vectors.behind) == (TEXTS, 0)
    assert ada.memory.find_similar("clear the cache", limit=1)[0].pattern.pattern_id == "cache"
    done = CliRunner().invoke(app, ["team", "status", "--store", str(ada.folder)])
    assert f"{TEXTS} by ada, up to date" in " ".join(done.output.split())


def test_vectors_that_are_none_are_made_here(
    ada: Machine, machine: Join, bucket: str, embedded: list[str]
) -> None:
    row, model = named(ada), HashEmbedder().model_id
    shelf = shelves.open_shelf(bucket, row["place"], dim=HashEmbedder().dim)
    wrong = [shelves.key(model, f"mend import {n} of the build") for n in range(3)]
    shelf.erase(wrong)
    bad = np.zeros((3, HashEmbedder().dim), np.float32)
    bad[1], bad[2] = np.nan, 7.0
    shelf.add(wrong, bad)
    with database_of(ada) as database:
        database.do("UPDATE whatworks.vectors SET version = $1", shelf.version)
    bob = machine("bob")
    bob.sync()
    bob.memory.find_similar("anything", limit=1)
    assert sorted(embedded) == ["anything", *(f"mend import {n} of the build" for n in range(3))]


def test_a_storage_that_lost_everything_is_filled_again(
    ada: Machine, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Bucket(bucket)
    versions = [name for name in found.names("") if "/_versions/" in name]
    found.delete([name for name in found.names("") if name not in versions])
    ada.memory.rebuild()
    for n in range(applying.FAILURES + 1):
        ada.memory.add_pattern(f"clear cache {n}")
        put_vectors(ada)
    row = named(ada)
    assert (row["vectors"], row["entry"]) == (TEXTS + applying.FAILURES + 1, row["entries"])
    assert shelves.places(bucket, depots.name(ada.folder)) == [row["place"]]


def test_texts_wait_for_the_machine_that_is_at_them_and_not_for_ever(
    ada: Machine, machine: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lending, "AWAIT_SECONDS", 3600.0)
    monkeypatch.setattr(lending, "HEARD_SECONDS", 3600.0)
    bob = machine("bob")
    bob.sync()
    ada.memory.add_patterns([f"clear cache {n}" for n in range(9)])
    ada.sync()  # it has them in the log before it has embedded them
    bob.sync()
    waits = lending.Lending(bob.folder)
    assert waits.awaits(9) and not waits.awaits(1)
    put_vectors(ada)
    bob.sync()
    assert not waits.awaits(9)  # they are there now
    ada.memory.add_patterns([f"clear cache {n}" for n in range(9, 18)])
    ada.sync()
    bob.sync()
    monkeypatch.setattr(lending, "AWAIT_SECONDS", 0.0)
    assert not waits.awaits(9)
    assert not lending.Lending(ada.folder).awaits(9)  # whoever has to do it does not wait


def test_a_server_that_writes_over_what_was_to_be_new_is_refused(
    machine: Join, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = machine("ada")
    with serving(Careless) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StoreError, match="writes over a file that was to be new"):
            shared.give(ada.folder, bucket)
    assert named(ada) is None and shared.told(ada.folder) is None


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes what follows happen on another machine."""
    return lambda name: monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / name))


def test_the_address_of_a_team_says_where_its_vectors_are(
    url: str, bucket: str, elsewhere: Callable[[str], None], embedded: list[str]
) -> None:
    def opened(address: str) -> Memory:
        return Memory.open(address, embedder=HashEmbedder(), vectors="exact")

    address = f"{url}{'&' if '?' in url else '?'}vectors={bucket}"
    elsewhere("ada")
    with opened(address) as memory:
        memory.add_patterns([f"clear cache {n}" for n in range(PATTERNS)])
        memory.find_similar("anything")
    folder = config.locate(address)
    assert config.locate(url) == folder and "vectors" not in settings.load(folder).url
    with opened(address) as memory:  # which does not ask the database again
        assert len(memory.find_similar("anything", limit=PATTERNS)) == PATTERNS
    for _ in range(2):
        exchanged(folder)
    status = membership.status(folder).vectors
    assert status is not None and (status.url, status.vectors) == (bucket, PATTERNS)
    elsewhere("bob")
    embedded.clear()
    with opened(address) as memory:
        memory.find_similar("anything")
    assert embedded == ["anything"]
    with pytest.raises(InvalidInputError, match="shares its vectors at"):
        opened(f"{address}-elsewhere")
    elsewhere("eve")
    with opened(url) as memory:  # which takes them without being told, and puts none
        assert memory.find_similar("anything", limit=1)
    assert shared.told(config.locate(url)) is None


@pytest.mark.parametrize("role", ["writer", "reader"])
@pytest.mark.parametrize("before", [True, False])
def test_whoever_has_a_role_has_it_for_the_vectors_too(
    machine: Join,
    url: str,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    before: bool,
) -> None:
    ada, user = machine("ada"), f"eve_{uuid4().hex[:8]}"
    fill(ada)
    put_vectors(ada)
    with database_of(ada) as database:
        database.do(f"CREATE USER {user}")
    if before:
        membership.grant(ada.folder, user, role)
    shared.give(ada.folder, bucket)
    if not before:
        membership.grant(ada.folder, user, role)
    put_vectors(ada)
    address = url.replace("whatworks@", f"{user}@")
    membership.join(tmp_path / "eve", address, name="eve", model=HashEmbedder().model_id)
    with Machine(tmp_path / "eve") as eve:
        eve.sync()
        eve.memory.find_similar("anything", limit=1)
        assert eve.memory.stats().vectors["shared"]["taken"] == TEXTS
        shared.give(eve.folder, bucket)
        with pytest.raises(StoreError, match="may not"):
            shared.give(eve.folder, f"{bucket}-of-eve", change=True)
        ada.memory.add_pattern("clear the cache")
        ada.exchange._applying._next = float("inf")  # as if it slept
        ada.sync()
        expire(ada, monkeypatch)
        put_vectors(eve)
        assert (named(ada)["name"] == "eve") is (role == "writer")


def test_the_owner_changes_the_address_or_ends_it(ada: Machine, bucket: str) -> None:
    run, store = CliRunner().invoke, ["--store", str(ada.folder)]
    epoch = named(ada)["epoch"]
    done = run(app, ["team", "vectors", f"{bucket}/other", *store])
    assert done.exit_code == 0 and f"{bucket}/other" in done.output
    ada.memory.record("p1", outcome=1.0)
    put_vectors(ada)
    row = named(ada)
    assert (row["url"], row["vectors"]) == (f"{bucket}/other", TEXTS) and row["epoch"] > epoch
    assert Bucket(bucket).names(depots.name(ada.folder)) == []
    assert run(app, ["team", "vectors", "none", *store]).exit_code == 0
    assert named(ada) is None and Bucket(bucket).names("") == []
    ada.sync()
    assert "shared" not in ada.memory.stats().vectors
    assert run(app, ["team", "vectors", "none", *store]).output.startswith("the team shares no")
    shared.give(ada.folder, bucket)
    ada.memory.record("p1", outcome=1.0)
    put_vectors(ada)
    assert named(ada)["vectors"] == TEXTS and named(ada)["epoch"] > row["epoch"]


LIES = {
    "vectors": [
        "moved_at = '4000-01-01 BC', version = -1, place = '../../x'",
        "moved_at = 'infinity', entry = 9223372036854775807",
    ],
    "leases": ["epoch = 9223372036854775807, until = '-infinity'", "until = 'infinity'"],
    "log": ["at = 'infinity'"],
}


@pytest.mark.parametrize(
    ("table", "lie"), [(table, lie) for table, lies in LIES.items() for lie in lies]
)
def test_whatever_a_writer_puts_into_the_tables_the_others_exchange_and_share_on(
    ada: Machine, machine: Join, bucket: str, monkeypatch: pytest.MonkeyPatch, table: str, lie: str
) -> None:
    bob = machine("bob")
    shared.give(bob.folder, bucket)
    with database_of(ada) as database:
        ada.exchange._applying.close(database)
        ada.exchange._applying._put = None  # ada does no more than exchange
        database.do(f"UPDATE whatworks.{table} SET {lie}")
    monkeypatch.setattr(applying, "PATIENCE_SECONDS", 0.0)
    ada.memory.add_pattern("clear the cache", pattern_id="cache")
    for _ in range(2):
        put_vectors(ada, bob)
    assert bob.memory.get_pattern("cache").description == "clear the cache"
    row = named(ada)
    assert (row["name"], row["entry"], row["vectors"]) == ("bob", row["entries"], TEXTS + 1)
    membership.status(ada.folder)


def test_vectors_go_to_no_address_that_was_not_told_here(
    ada: Machine, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.memory.add_pattern("clear the cache")
    ada.settle()
    ada.memory.find_similar("anything", limit=1)
    ada.exchange._applying._put = None
    ada.sync()
    plain, asked = shared.named, list[str]()

    def other(database: Database) -> Any:
        asked.append("")
        row = plain(database)
        return row if len(asked) == 1 else dict(row) | {"url": "qdrant+http://evil:1"}

    put = list[str]()
    monkeypatch.setattr(shared, "named", other)
    monkeypatch.setattr(ada.exchange._applying, "_put", lambda url, place: put.append(url))
    ada.sync()
    assert len(asked) > 1 and put == []


@pytest.mark.parametrize(
    ("address", "rest", "vectors"),
    [
        ("postgresql://ada@db/memory", "postgresql://ada@db/memory", None),
        ("postgresql://ada@db/memory?vectors=s3://a/b", "postgresql://ada@db/memory", "s3://a/b"),
        (
            "postgresql://ada@db/memory?vectors=qdrant+https://q:6333",
            "postgresql://ada@db/memory",
            "qdrant+https://q:6333",
        ),
        (
            "postgresql://ada@/m?host=%2Ftmp&vectors=s3%3A%2F%2Fa/b&sslmode=require",
            "postgresql://ada@/m?host=%2Ftmp&sslmode=require",
            "s3://a/b",
        ),
    ],
)
def test_the_database_is_not_told_where_vectors_are(
    address: str, rest: str, vectors: str | None
) -> None:
    assert settings.split_vectors(address) == (rest, vectors)
    if vectors is not None:
        with pytest.raises(InvalidInputError, match="whatworks team vectors"):
            settings.require_url(address)


@pytest.mark.parametrize(
    "url", ["memory", "qdrant+https://", "qdrant+https://ada:secret@host", "s3://ada:secret@memory/x"]
)
def test_an_address_with_credentials_or_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"expected|come from") as raised:
        shelves.require_address(url)
    assert "secret" not in str(raised.value)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantClient]:
    """A Qdrant server, for which the client's own local mode stands in."""
    local = QdrantClient(":memory:")
    monkeypatch.setattr(qdrant, "_client", lambda url: Served(local))
    yield local
    local.close()


@pytest.mark.filterwarnings("ignore:Local mode performs exact")
def test_a_qdrant_cluster_does_as_well(
    machine: Join, cluster: QdrantClient, embedded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = machine("ada")
    fill(ada)
    ada.memory.add_pattern(SECRET, pattern_id="secret")
    shared.give(ada.folder, "qdrant+https://stand-in:6333")
    put_vectors(ada)
    assert named(ada)["vectors"] == TEXTS + 1
    eve = machine("eve")
    eve.sync()
    eve.memory.find_similar("anything", limit=1)
    assert eve.memory.stats().vectors["shared"]["taken"] == 0  # nobody told it to send its key there
    bob = machine("bob")
    bob.sync()
    shared.give(bob.folder, "qdrant+https://stand-in:6333")
    embedded.clear()
    bob.memory.find_similar("anything", limit=1)
    assert embedded == ["anything"]
    bob.memory.forget("secret", now=True)
    bob.exchange._applying._next = float("inf")
    put_vectors(bob, ada)
    (before,) = (each.name for each in cluster.get_collections().collections)
    assert cluster.count(before).count == named(ada)["vectors"] == TEXTS
    ada.memory.add_pattern("clear the cache")
    ada.exchange._applying._next = float("inf")
    ada.sync()
    expire(ada, monkeypatch)
    bob.exchange._applying._next = 0.0
    put_vectors(bob)
    (after,) = (each.name for each in cluster.get_collections().collections)
    assert after != before and named(ada)["name"] == "bob"
    assert cluster.count(after).count == named(ada)["vectors"] == TEXTS + 1
