"""A new machine starts from a snapshot on S3, and the log may be cut behind it."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from support.machines import Machine, agreed, alone
from support.processes import Failed, Process
from support.s3 import S3
from support.storage import Careless, serving
from whatworks import InvalidInputError, Memory, NotFoundError, StoreError, config, failpoints
from whatworks.cli import app
from whatworks.ids import uuid7
from whatworks.team import membership, settings, snapshots
from whatworks.team.bucket import Bucket
from whatworks.team.database import Database
from whatworks.team.doctor import examine
from whatworks.testing import HashEmbedder

Join = Callable[[str], Machine]
MODEL = HashEmbedder().model_id


@pytest.fixture
def pair(machine: Join) -> tuple[Machine, Machine]:
    """Two machines that have told each other of some tries, in several entries."""
    ada, bob = machine("ada"), machine("bob")
    ada.memory.add_pattern("retry the build", pattern_id="p")
    for n in range(4):
        for each in (ada, bob):
            each.sync()
            each.settle()
            each.memory.record("p", outcome=n % 2, context=f"imports failed {n}")
    for each in (ada, bob, ada):
        each.sync()
    return ada, bob


def database_says(machine: Machine, query: str) -> int:
    database = Database(settings.load(machine.folder).url)
    try:
        return int(database.row(query)[0])
    finally:
        database.close()


def log_of(machine: Machine) -> int:
    return database_says(machine, "SELECT count(*) FROM whatworks.log")


def test_a_new_machine_answers_as_the_others_and_fetches_the_rest_only(
    pair: tuple[Machine, Machine], machine: Join, bucket: str, tmp_path: Path
) -> None:
    ada, bob = pair
    made = snapshots.make(ada.folder, bucket)
    assert made.bytes == sum(map(len, ada.journal.values())) and made.stored < made.bytes
    bob.memory.record("p", outcome=1.0)
    rest = bob.sync().shipped
    eve = machine("eve")
    assert eve.sync().fetched == rest
    eve.settle()
    answers = agreed([ada, bob, eve])
    assert answers[0] == answers[1] == answers[2] == alone(eve, tmp_path / "alone")


def test_what_is_not_shipped_is_in_no_snapshot(
    pair: tuple[Machine, Machine], machine: Join, bucket: str
) -> None:
    ada, _ = pair
    ada.memory.record("p", outcome=0.0, context="not shipped yet")
    snapshots.make(ada.folder, bucket)
    eve = machine("eve")
    eve.sync()
    assert not any(b"not shipped yet" in data for data in eve.journal.values())
    ada.sync()
    eve.sync()
    assert eve.journal == ada.journal


def test_the_log_is_cut_and_everything_goes_on(
    pair: tuple[Machine, Machine], machine: Join, bucket: str, tmp_path: Path
) -> None:
    ada, bob = pair
    bob.sync()
    before = log_of(ada)
    made = snapshots.make(ada.folder, bucket, shorten=True)
    assert made.cut == before - log_of(ada) > 0
    assert log_of(ada) == 2  # the last one of each segment
    eve = machine("eve")
    for each in (ada, bob, eve):
        each.exchange.close()  # which asks anew where each segment ends
        each.sync()
        each.settle()
        each.memory.record("p", outcome=1.0)
    answers = agreed([ada, bob, eve])
    assert answers[0] == answers[1] == answers[2] == alone(eve, tmp_path / "alone")
    for each in (ada, bob, eve, ada, bob, eve):
        each.sync()
    assert {item.status for item in examine(ada.folder)} == {"ok"}
    snapshots.make(eve.folder, bucket, shorten=True)
    assert log_of(ada) == 3


def test_nothing_is_cut_that_a_machine_does_not_have(
    pair: tuple[Machine, Machine], machine: Join, bucket: str
) -> None:
    ada, bob = pair
    away = machine("away")
    made = snapshots.make(ada.folder, bucket, shorten=True)
    assert made.cut == 0
    away.sync()
    bob.sync()
    assert snapshots.make(ada.folder, bucket, shorten=True).cut


def test_there_is_one_snapshot_however_often_it_is_made(
    pair: tuple[Machine, Machine], bucket: str
) -> None:
    ada, _ = pair
    assert snapshots.make(ada.folder, bucket).removed == 0
    ada.memory.record("p", outcome=1.0)
    ada.sync()
    again = snapshots.make(ada.folder)
    assert (again.url, again.removed) == (bucket, 1)
    names = Bucket(bucket).names("")
    assert len({name.rpartition("/")[0] for name in names}) == 1


@pytest.mark.parametrize("shorten", [False, True])
def test_what_is_forgotten_goes_from_snapshots_too(
    pair: tuple[Machine, Machine], machine: Join, bucket: str, shorten: bool
) -> None:
    ada, bob = pair
    bob.sync()
    snapshots.make(ada.folder, bucket, shorten=shorten)
    assert b"imports failed" in told(bucket)
    bob.memory.forget("p", now=True)
    for _ in range(2):
        for each in (bob, ada):
            each.exchange._reported = -1, 0.0  # as if it were a while ago
            each.sync()
            each.settle()
    assert b"imports failed" not in told(bucket)
    eve = machine("eve")
    eve.sync()
    eve.settle()
    with pytest.raises(NotFoundError):
        eve.memory.get_pattern("p")
    for each in (ada, bob, eve):
        assert not any(b"imports failed" in data for data in each.journal.values())
    assert {item.status for item in examine(ada.folder)} == {"ok"}


@pytest.fixture
def eve(pair: tuple[Machine, Machine], url: str) -> Iterator[Database]:
    """The connection of a writer who has a machine ``eve``, and goes about it by hand."""
    user = f"eve_{uuid4().hex[:8]}"
    database = Database(url)
    try:
        database.do(f"CREATE USER {user}")
    finally:
        database.close()
    membership.grant(pair[0].folder, user, "writer")
    database = Database(url.replace("whatworks@", f"{user}@"))
    try:
        database.do("INSERT INTO whatworks.machines (machine, name, token) VALUES ('eve', 'eve', '')")
        yield database
    finally:
        database.close()


def tell(database: Database, machine: str, url: str, place: str, entry: int) -> None:
    """Say that there is a snapshot."""
    database.do(
        "INSERT INTO whatworks.snapshots (machine, url, place, entry, sha256, bytes) "
        "VALUES ($1, $2, $3, $4, '', 0)",
        *(machine, url, place, entry),
    )


def test_a_writer_tells_of_and_removes_snapshots_of_its_own_machines_only(
    pair: tuple[Machine, Machine], bucket: str, eve: Database
) -> None:
    ada, _ = pair
    snapshots.make(ada.folder, bucket)
    with pytest.raises(StoreError, match="row-level security"):
        tell(eve, settings.load(ada.folder).machine, bucket, "x", 9)
    tell(eve, "eve", bucket, "x", 9)
    assert eve.do("DELETE FROM whatworks.snapshots") == 1
    assert database_says(ada, "SELECT count(*) FROM whatworks.snapshots") == 1


def test_what_others_say_of_snapshots_removes_nothing_that_is_none_and_sends_nothing_elsewhere(
    pair: tuple[Machine, Machine], bucket: str, eve: Database
) -> None:
    ada, _ = pair
    store_id, elsewhere = config.load(ada.folder).store_id, f"{bucket}-of-eve"
    place = f"{store_id}/{0:012d}-{uuid7()}"
    Bucket(bucket).put("private/file", b"")
    Bucket(bucket).put(f"{store_id}/notes", b"")
    Bucket(elsewhere).put(f"{place}/file", b"")
    snapshots.make(ada.folder, bucket)
    tell(eve, "eve", bucket, "private", 0)
    tell(eve, "eve", bucket, store_id, 0)
    tell(eve, "eve", elsewhere, place, 0)
    tell(eve, "eve", elsewhere, f"{store_id}/{10**6:012d}-{uuid7()}", 10**6)
    made = snapshots.make(ada.folder)
    assert (made.url, made.removed) == (bucket, 1)
    names = Bucket(bucket).names("")
    assert "private/file" in names and f"{store_id}/notes" in names
    assert Bucket(elsewhere).names("") == [f"{place}/file"]


def test_a_cut_goes_no_further_than_the_snapshot_that_was_made(
    pair: tuple[Machine, Machine], bucket: str, url: str, eve: Database
) -> None:
    ada, bob = pair
    made = snapshots.make(ada.folder, bucket)
    tell(eve, "eve", bucket, "x", 10**6)
    eve.do("UPDATE whatworks.machines SET settled = 1000000")
    for each in (bob, ada, bob):
        each.memory.record("p", outcome=1.0)
        each.exchange._reported = -1, 0.0  # as if it were a while ago
        each.sync()
    database = Database(url)
    try:
        snapshots.cut(database, made.entry)
    finally:
        database.close()
    assert database_says(ada, "SELECT cut FROM whatworks.team") == made.entry


def test_a_snapshot_is_not_made_anew_where_this_machine_put_none(
    pair: tuple[Machine, Machine], bucket: str, url: str
) -> None:
    ada, bob = pair
    snapshots.make(ada.folder, bucket)
    elsewhere = f"{bucket}-of-eve"
    database = Database(url)  # with more rights than a writer
    try:
        place = f"{config.load(ada.folder).store_id}/{0:012d}-{uuid7()}"
        database.do("DELETE FROM whatworks.snapshots")
        tell(database, settings.load(ada.folder).machine, elsewhere, place, 0)
    finally:
        database.close()
    bob.memory.forget("p", now=True)
    for each in (bob, ada, bob, ada):
        each.exchange._reported = -1, 0.0  # as if it were a while ago
        each.sync()
        each.settle()
    assert Bucket(elsewhere).names("") == []


@pytest.mark.parametrize("shorten", [False, True])
def test_a_snapshot_that_took_long_removes_no_newer_one_and_is_none_behind_the_log(
    pair: tuple[Machine, Machine],
    machine: Join,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    shorten: bool,
) -> None:
    ada, bob = pair
    bob.sync()

    def meanwhile(point: str) -> None:
        if point != "snapshot.uploaded":
            return
        monkeypatch.undo()
        for name, value in s3.items():
            monkeypatch.setenv(name, value)
        bob.memory.record("p", outcome=1.0)
        for each in (bob, ada, bob):
            each.exchange._reported = -1, 0.0  # as if it were a while ago
            each.sync()
        assert snapshots.make(bob.folder, bucket, shorten=shorten).cut != 0

    s3 = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    monkeypatch.setattr(failpoints, "reached", meanwhile)
    if shorten:
        with pytest.raises(StoreError, match="was cut meanwhile"):
            snapshots.make(ada.folder, bucket)
        assert len({name.rpartition("/")[0] for name in Bucket(bucket).names("")}) == 1
    else:
        assert snapshots.make(ada.folder, bucket).removed == 0
    eve = machine("eve")
    eve.sync()
    assert eve.journal == bob.journal


def told(bucket: str) -> bytes:
    """All that the snapshots say."""
    found = Bucket(bucket)
    files = [found.get(name) for name in found.names("")]
    return b"".join(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data for data in files)


def test_the_doctor_says_that_a_snapshot_holds_what_was_forgotten(
    pair: tuple[Machine, Machine], bucket: str
) -> None:
    ada, bob = pair
    snapshots.make(ada.folder, bucket)
    bob.memory.forget("p", now=True)
    bob.sync()
    found = [item for item in examine(bob.folder) if "holds what was forgotten" in item.message]
    assert len(found) == 1 and bucket in found[0].remedy


def test_a_snapshot_that_is_not_what_it_was_is_refused_or_done_without(
    pair: tuple[Machine, Machine], machine: Join, bucket: str
) -> None:
    ada, bob = pair
    made = snapshots.make(ada.folder, bucket)
    store = Bucket(bucket)
    name = next(name for name in store.names("") if name.endswith(".gz"))
    whole = store.get(name)
    store.delete([name])
    store.put(name, gzip.compress(gzip.decompress(whole).replace(b"imports", b"exports")))
    eve = machine("eve")
    assert eve.sync().fetched > 0  # from the log, which has all
    assert eve.journal == ada.journal
    bob.sync()
    database = Database(settings.load(ada.folder).url)
    try:
        snapshots.cut(database, made.entry)
    finally:
        database.close()
    zoe = machine("zoe")
    with pytest.raises(StoreError, match="is not what it was"):
        zoe.sync()
    store.delete([name])
    with pytest.raises(StoreError, match="begins with its snapshot"):
        zoe.sync()
    store.put(name, whole)
    zoe.sync()
    assert zoe.journal == ada.journal


@pytest.mark.parametrize("point", ["snapshot.segment", "snapshot.uploaded", "snapshot.told"])
def test_a_snapshot_that_is_interrupted_is_made_by_making_it_again(
    pair: tuple[Machine, Machine], machine: Join, bucket: str, point: str, server: S3
) -> None:
    ada, _ = pair
    dies = Process(ada.folder, WHATWORKS_FAIL=f"{point}:1", **server.environment)
    try:
        dies.do("import pathlib; from whatworks.team import snapshots")
        with pytest.raises(Failed, match="ended with 9"):
            dies.do(f"snapshots.make(pathlib.Path(folder), {bucket!r}) and None")
    finally:
        dies.clean()
    eve = machine("eve")
    eve.sync()
    assert eve.journal == ada.journal
    snapshots.make(ada.folder, bucket)


def test_a_new_machine_that_is_interrupted_goes_on(
    pair: tuple[Machine, Machine], url: str, bucket: str, server: S3, tmp_path: Path
) -> None:
    ada, _ = pair
    snapshots.make(ada.folder, bucket)
    membership.join(tmp_path / "eve", url, name="eve", model=MODEL)
    dies = Process(tmp_path / "eve", WHATWORKS_FAIL="snapshot.fetched:1", **server.environment)
    try:
        dies.do("import pathlib; from whatworks.team import syncing")
        with pytest.raises(Failed, match="ended with 9"):
            dies.do("syncing.sync(pathlib.Path(folder)) and None")
    finally:
        dies.clean()
    with Machine(tmp_path / "eve") as eve:
        eve.sync()
        assert eve.journal == ada.journal


def test_a_server_that_writes_over_what_was_to_be_new_is_refused(
    pair: tuple[Machine, Machine], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Bucket(bucket).probe()
    with serving(Careless) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StoreError, match="writes over a file that was to be new"):
            snapshots.make(pair[0].folder, bucket)
    assert database_says(pair[0], "SELECT count(*) FROM whatworks.snapshots") == 0


def test_a_server_that_does_not_answer_is_said_to_be_so(
    pair: tuple[Machine, Machine], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="cannot write probe"):
        snapshots.make(pair[0].folder, bucket)


@pytest.mark.parametrize("given", [{}, {"AWS_ACCESS_KEY_ID": "ada"}])
def test_without_credentials_the_variables_are_named_in_one_line(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError) as raised:
        Bucket("s3://backups/memory").probe()
    said = str(raised.value)
    assert "set $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY" in said and "\n" not in said
    assert "169.254" not in said and len(said) < 200


@pytest.mark.parametrize(
    "url",
    ["memory", "s3://", "https://memory/x", "s3://ada:secret@memory/x", "s3://memory/x?key=secret"],
)
def test_an_address_with_credentials_or_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"expected s3://|come from") as raised:
        Bucket(url)
    assert "secret" not in str(raised.value)


def test_the_command_says_what_it_did(pair: tuple[Machine, Machine], bucket: str) -> None:
    run = CliRunner().invoke
    done = run(app, ["team", "snapshot", bucket, "--cut", "--store", str(pair[0].folder)])
    assert (
        done.exit_code == 0 and f"in {bucket}" in done.output and "entries from the log" in done.output
    )
    done = run(app, ["team", "snapshot", "--store", str(pair[0].folder), "--json"])
    assert done.exit_code == 0 and '"removed": 1' in done.output
    with Memory.open(pair[0].folder.parent / "other", embedder="none"):
        pass
    assert (
        run(app, ["team", "snapshot", "--store", str(pair[0].folder.parent / "other")]).exit_code == 4
    )
