"""Users of the database that may write, or read only; and machines of others."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from support.machines import Machine
from support.postgres import Postgres
from whatworks import CopiedStoreError, InvalidInputError, Memory, NotFoundError, StoreError, failpoints
from whatworks.cli import app
from whatworks.exporters.jsonl import export_jsonl
from whatworks.importers.jsonl import import_jsonl
from whatworks.team import membership, settings
from whatworks.team.database import Database
from whatworks.team.exchange import Exchange
from whatworks.testing import HashEmbedder

Join = Callable[[str], Machine]
MODEL = HashEmbedder().model_id


@pytest.fixture
def ada(machine: Join) -> Machine:
    """The machine that made the team, as the owner of the tables."""
    made = machine("ada")
    made.memory.add_pattern("retry the build", pattern_id="p")
    made.sync()
    return made


@pytest.fixture
def joined(ada: Machine, url: str, tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    """Opens a machine that comes as a database's user with a role."""
    opened = []

    def joined_(role: str) -> Machine:
        user = f"{role}_{uuid4().hex[:8]}"
        do(url, f"CREATE USER {user}")
        membership.grant(ada.folder, user, role)
        address = url.replace("whatworks@", f"{user}@")
        membership.join(tmp_path / user, address, name=user, model=MODEL)
        opened.append(Machine(tmp_path / user))
        return opened[-1].__enter__()

    yield joined_
    for each in opened:
        each.__exit__()


def do(url: str, *statements: str) -> None:
    database = Database(url)
    try:
        for statement in statements:
            database.do(statement)
    finally:
        database.close()


def test_a_writer_records_for_all(ada: Machine, joined: Callable[[str], Machine]) -> None:
    eve = joined("writer")
    eve.sync()
    eve.settle()
    eve.memory.record("p", outcome=1.0)
    assert eve.sync().shipped > 0
    ada.sync()
    ada.settle()
    assert ada.memory.get_pattern("p").usage_count == 1
    eve.memory.forget("p", now=True)
    eve.sync()
    ada.sync()
    ada.settle()
    with pytest.raises(NotFoundError):
        ada.memory.get_pattern("p")


def test_what_a_reader_records_stays_on_its_machine(
    ada: Machine, joined: Callable[[str], Machine]
) -> None:
    eve = joined("reader")
    assert eve.sync().fetched > 0
    eve.settle()
    eve.memory.record("p", outcome=1.0)
    assert eve.memory.get_pattern("p").usage_count == 1
    assert eve.sync().shipped == 0
    found = membership.status(eve.folder)
    assert found.role == "reader" and found.waiting is not None and found.waiting > 0
    ada.memory.record("p", outcome=0.0)
    ada.sync()
    eve.sync()
    eve.settle()
    assert eve.memory.get_pattern("p").usage_count == 2
    ada.settle()
    assert ada.memory.get_pattern("p").usage_count == 1


def test_a_reader_that_may_write_from_now_on_ships_what_it_has_recorded(
    ada: Machine, joined: Callable[[str], Machine]
) -> None:
    eve = joined("reader")
    eve.sync()
    eve.settle()
    eve.memory.record("p", outcome=1.0)
    eve.sync()
    user = settings.load(eve.folder).name
    membership.grant(ada.folder, user, "writer")
    eve.exchange.close()
    assert eve.sync().shipped > 0


def test_what_is_forgotten_reaches_a_reader_and_goes_once_it_has_heeded_it(
    ada: Machine, joined: Callable[[str], Machine]
) -> None:
    eve = joined("reader")
    eve.sync()
    ada.memory.forget("p", now=True)
    ada.sync()
    eve.sync()
    eve.settle()
    assert not any(b"retry the build" in data for data in eve.journal.values())
    ada.exchange._emptied = None
    ada.sync()
    assert not any(b"retry the build" in data for data in ada.journal.values())


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO whatworks.log SELECT 9, 'bytes', machine, 'x', 0, '' FROM whatworks.machines",
        "UPDATE whatworks.log SET data = ''",
        "DELETE FROM whatworks.log",
        "UPDATE whatworks.team SET entries = 0",
        "DROP TABLE whatworks.log",
    ],
)
def test_a_reader_may_change_nothing(
    ada: Machine, joined: Callable[[str], Machine], statement: str
) -> None:
    eve = joined("reader")
    with pytest.raises(StoreError, match="refuses"):
        do(settings.load(eve.folder).url, statement)


@pytest.mark.parametrize("role", ["reader", "writer"])
def test_nobody_but_the_owner_writes_for_machines_of_others(
    ada: Machine, joined: Callable[[str], Machine], role: str, url: str
) -> None:
    eve = joined(role)
    address = settings.load(eve.folder).url
    do(address, "UPDATE whatworks.machines SET token = 'taken'")  # its own alone
    ada.exchange.close()
    ada.sync()
    other = settings.load(ada.folder).machine
    insert = f"INSERT INTO whatworks.segments VALUES ('eve-1.log', '{other}', 0)"
    with pytest.raises(StoreError, match="refuses"):
        do(address, insert)


def test_a_machine_that_came_as_another_user_is_told_so(
    ada: Machine, joined: Callable[[str], Machine], url: str
) -> None:
    eve = joined("writer")
    user = f"other_{uuid4().hex[:8]}"
    do(url, f"CREATE USER {user}")
    membership.grant(ada.folder, user, "writer")
    eve.exchange.close()
    made = settings.load(eve.folder)
    settings.save(eve.folder, made.changed(url=url.replace("whatworks@", f"{user}@")))
    eve.exchange = Exchange(eve.folder, eve.settle)
    with pytest.raises(StoreError, match=f"as the database's user '{made.name}'"):
        eve.sync()


def test_without_rights_nobody_joins(ada: Machine, url: str, tmp_path: Path) -> None:
    do(url, f"CREATE USER {(user := f'none_{uuid4().hex[:8]}')}")
    with pytest.raises(StoreError, match="whatworks team grant"):
        membership.join(tmp_path / "eve", url.replace("whatworks@", f"{user}@"), model=MODEL)
    with pytest.raises(InvalidInputError, match="no user 'nobody_here'"):
        membership.grant(ada.folder, "nobody_here", "writer")
    with pytest.raises(InvalidInputError, match="expected none, reader, writer"):
        membership.grant(ada.folder, user, "king")


# -- fencing ----------------------------------------------------------------------------------------


def test_only_who_began_the_team_gives_roles_and_never_to_itself(
    ada: Machine, joined: Callable[[str], Machine]
) -> None:
    eve = joined("reader")
    name = eve.folder.name
    with pytest.raises(StoreError, match="whoever began the team may"):
        membership.grant(eve.folder, name, "writer")
    assert eve.sync().shipped == 0
    with pytest.raises(InvalidInputError, match="may do all"):
        membership.grant(ada.folder, "whatworks", "none")
    eve.memory.record("p", outcome=1.0)
    ada.sync()


def test_a_machine_whose_token_was_taken_over_cannot_ship_also_within_a_transaction(
    ada: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes over waits for the transaction under way, and sees all of it; then nothing comes."""
    shutil.copytree(ada.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    ada.memory.record("p", outcome=1.0)
    order: list[str] = []
    url = settings.load(ada.folder).url

    def take_over() -> None:
        do(url, "UPDATE whatworks.machines SET token = 'another'")
        order.append("taken over")

    other = threading.Thread(target=take_over)

    def pause(point: str) -> None:
        if point == "team.shipping":
            other.start()
            other.join(1.0)  # it has to wait, or this would be shipped after it
            order.append("committing")

    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "reached", pause)
        assert ada.sync().shipped > 0
    other.join(10)
    assert order == ["committing", "taken over"]
    ada.memory.record("p", outcome=0.0)
    with pytest.raises(CopiedStoreError):
        ada.sync()
    with pytest.raises(CopiedStoreError):
        Exchange(tmp_path / "copy", lambda: None).once()


def test_a_machine_that_is_retired_ships_nothing_and_holds_nothing_up(machine: Join) -> None:
    ada, bob = machine("ada"), machine("bob")
    ada.memory.add_pattern("retry the build", pattern_id="p")
    ada.sync()
    bob.sync()
    with pytest.raises(InvalidInputError, match="this machine"):
        membership.retire(ada.folder, "ada")
    with pytest.raises(NotFoundError):
        membership.retire(ada.folder, "eve")
    membership.retire(ada.folder, "bob")
    assert [each.name for each in membership.status(ada.folder).machines] == ["ada"]
    bob.memory.add_pattern("wait")
    with pytest.raises(CopiedStoreError):
        bob.sync()
    with pytest.raises(StoreError, match=r"has retired the machine 'bob'.* whatworks export"):
        bob.sync()
    ada.memory.forget("p", now=True)
    ada.sync()
    ada.sync()
    assert not any(b'"forgotten"' in data for data in ada.journal.values())


def test_what_a_retired_machine_has_not_shipped_comes_to_the_team_by_an_export(
    machine: Join, tmp_path: Path
) -> None:
    ada, bob = machine("ada"), machine("bob")
    bob.memory.add_pattern("wait a minute", pattern_id="p")
    bob.memory.record("p", outcome=1.0)
    bob.sync()
    bob.memory.record("p", outcome=0.0)  # not shipped
    membership.retire(ada.folder, "bob")
    export_jsonl(bob.memory, tmp_path / "rescued.jsonl")
    again = machine("bob again")
    again.sync()
    import_jsonl(again.memory, tmp_path / "rescued.jsonl")
    again.sync()
    ada.sync()
    assert ada.memory.get_pattern("p").resolved_count == 2


# -- the doctor -------------------------------------------------------------------------------------


def statuses(folder: Path) -> dict[str, str]:
    from whatworks.team.doctor import examine

    found: dict[str, str] = {}
    for item in examine(folder):
        found[item.layer] = item.status if found.get(item.layer, "ok") == "ok" else found[item.layer]
        assert (item.remedy == "") == (item.status == "ok"), item
        assert "\n" not in item.message + item.remedy
    return found


def test_the_doctor_finds_nothing_in_a_sound_team(
    ada: Machine, joined: Callable[[str], Machine]
) -> None:
    eve = joined("reader")
    eve.sync()
    for folder in (ada.folder, eve.folder):
        assert set(statuses(folder).values()) == {"ok"}


@pytest.mark.parametrize(
    ("layer", "status", "statement"),
    [
        ("log", "bad", "DELETE FROM whatworks.log WHERE entry = 2"),
        ("log", "bad", "UPDATE whatworks.segments SET bytes = bytes + 1"),
        ("machines", "warn", "UPDATE whatworks.machines SET seen_at = now() - interval '30 days'"),
        ("this machine", "bad", "UPDATE whatworks.machines SET token = 'another'"),
        ("this machine", "bad", "UPDATE whatworks.machines SET retired = true"),
        ("server", "bad", "ALTER ROLE CURRENT_USER SET synchronous_commit = off"),
        ("log", "bad", "DROP TABLE whatworks.log CASCADE"),
    ],
)
def test_the_doctor_finds_what_was_broken(
    ada: Machine, url: str, layer: str, status: str, statement: str
) -> None:
    for _ in range(2):
        ada.memory.record("p", outcome=1.0)
        ada.sync()
    try:
        do(url, statement)
        found = statuses(ada.folder)
    finally:
        do(url, "ALTER ROLE CURRENT_USER RESET ALL")
    assert found[layer] == status


def test_the_doctor_says_what_is_late_and_what_is_not_shipped(
    ada: Machine, machine: Join, url: str
) -> None:
    machine("bob")
    ada.memory.record("p", outcome=1.0)
    do(url, "UPDATE whatworks.log SET at = now() - interval '1 hour'")
    found = statuses(ada.folder)
    assert found["machines"] == "warn" and found["this machine"] == "warn"


def test_the_doctor_says_that_a_copy_is_one(ada: Machine, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ada.folder, copy, ignore=shutil.ignore_patterns("*.sock"))
    ada.exchange.close()
    ada.sync()
    assert statuses(copy)["this machine"] == "bad"


def test_the_doctor_says_why_the_database_does_not_answer(ada: Machine, tmp_path: Path) -> None:
    made = settings.load(ada.folder)
    settings.save(ada.folder, made.changed(url=f"postgresql://ada@/memory?host={tmp_path}"))
    assert statuses(ada.folder) == {"connection": "bad"}
    settings.save(ada.folder, made)


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server of its own, reached over the network and without encryption."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    made = Postgres(listen_addresses="127.0.0.2", port=port)
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_the_doctor_warns_of_a_network_without_encryption(server: Postgres, tmp_path: Path) -> None:
    address = server.address.replace("localhost", "127.0.0.2")
    Memory.open(tmp_path / "ada", embedder="none").close()
    membership.init(tmp_path / "ada", address, name="ada")
    assert statuses(tmp_path / "ada")["connection"] == "bad"


def test_the_commands_say_what_they_did(
    ada: Machine, machine: Join, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "78")
    machine("bob")
    do(url, f"CREATE USER {(user := f'user_{uuid4().hex[:8]}')}")
    run = CliRunner().invoke
    where = ["--store", str(ada.folder)]
    done = run(app, ["team", "grant", user, "--role", "reader", *where])
    assert done.exit_code == 0 and done.output == f"{user} has the role: reader\n"
    done = run(app, ["team", "retire", "bob", *where])
    assert done.exit_code == 0 and done.output.startswith("the team no longer waits for bob\n")
    assert "whatworks export" in done.output
    done = run(app, ["team", "doctor", *where])
    assert done.exit_code == 0 and "all is well" in done.output
    done = run(app, ["team", "doctor", *where, "--json"])
    assert done.exit_code == 0 and '"this machine"' in done.output


def test_a_team_that_is_refused_leaves_no_store(ada: Machine, url: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["team", "init", url, "--store", str(tmp_path / "late")])
    assert done.exit_code != 0 and "whatworks team join" in str(done.output) + str(done.exception)
    assert not (tmp_path / "late").exists()
