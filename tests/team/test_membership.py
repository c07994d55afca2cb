"""Making a team and joining it: what is refused, and what an interruption leaves."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from support.machines import Machine
from support.postgres import Postgres
from whatworks import (
    InvalidInputError,
    Memory,
    ModelMismatchError,
    NotFoundError,
    StoreBusyError,
    StoreError,
    UnreachableError,
    config,
)
from whatworks.backup import restore
from whatworks.team import membership, settings, syncing
from whatworks.team.database import Database
from whatworks.testing import HashEmbedder

Join = Callable[[str], Machine]
MODEL = HashEmbedder().model_id


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "first"
    with Memory.open(folder, embedder=HashEmbedder(), vectors="exact") as memory:
        memory.add_pattern("retry the build", pattern_id="p")
        memory.record("p", outcome=1.0)
    return folder


def test_what_a_store_held_before_is_the_teams(made: Path, url: str, tmp_path: Path) -> None:
    membership.init(made, url, name="ada")
    membership.join(tmp_path / "bob", url, name="bob", model=MODEL)
    with Machine(made) as ada, Machine(tmp_path / "bob") as bob:
        ada.sync()
        bob.sync()
        bob.settle()
        assert bob.memory.get_pattern("p").usage_count == 1
        assert bob.memory.stats().embedder == MODEL


def test_a_store_from_a_backup_of_a_team_makes_a_team_with_all_it_has(
    machine: Join, postgres: Postgres, tmp_path: Path
) -> None:
    ada, bob = machine("ada"), machine("bob")
    ada.memory.add_pattern("retry the build", pattern_id="p")
    ada.sync()
    bob.sync()
    bob.settle()
    bob.memory.record("p", outcome=1.0)
    made = bob.memory.backup(tmp_path / "backups")
    restore(Path(made.path), tmp_path / "again")
    with pytest.raises(NotFoundError, match="is in no team"):
        syncing.sync(tmp_path / "again")
    url = postgres.create(f"team_{uuid4().hex}")
    membership.init(tmp_path / "again", url, name="again")
    membership.join(tmp_path / "eve", url, name="eve", model=MODEL)
    syncing.sync(tmp_path / "again")
    syncing.sync(tmp_path / "eve")
    with Machine(tmp_path / "eve") as eve:
        assert eve.memory.get_pattern("p").usage_count == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:secret@localhost/memory",
        "postgresql://ada@localhost/memory?password=secret",
        "mysql://ada@localhost/memory",
        "memory",
    ],
)
def test_an_address_with_a_password_or_of_another_kind_is_refused(made: Path, url: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        membership.init(made, url)
    assert "secret" not in str(raised.value)
    assert not (made / config.TEAM).exists()


def test_what_is_kept_of_the_team_is_for_its_owner_alone(made: Path, url: str) -> None:
    membership.init(made, url, name="ada")
    assert stat.S_IMODE((made / config.TEAM).stat().st_mode) == 0o600
    assert orjson.loads((made / config.FILE).read_bytes())["format"] == config.FORMAT


def test_another_embedder_is_refused(made: Path, url: str, tmp_path: Path) -> None:
    membership.init(made, url, name="ada")
    with pytest.raises(ModelMismatchError, match=MODEL):
        membership.join(tmp_path / "bob", url, name="bob")
    assert not (tmp_path / "bob" / config.FILE).exists()


def test_a_name_that_is_taken_is_refused_and_another_one_can_be_given(
    made: Path, url: str, tmp_path: Path
) -> None:
    membership.init(made, url, name="ada")
    with pytest.raises(InvalidInputError, match="another --name"):
        membership.join(tmp_path / "bob", url, name="ada", model=MODEL)
    assert membership.join(tmp_path / "bob", url, name="bob", model=MODEL).name == "bob"


def test_a_second_team_in_one_database_is_refused(made: Path, url: str, tmp_path: Path) -> None:
    membership.init(made, url, name="ada")
    with Memory.open(tmp_path / "other", embedder="none"):
        pass
    with pytest.raises(StoreError, match="holds a team already"):
        membership.init(tmp_path / "other", url, name="bob")
    assert not (tmp_path / "other" / config.TEAM).exists()


def test_a_store_that_is_there_does_not_join(made: Path, url: str, tmp_path: Path) -> None:
    membership.init(made, url, name="ada")
    with Memory.open(tmp_path / "other", embedder="none"):
        pass
    with pytest.raises(StoreError, match="whatworks export"):
        membership.join(tmp_path / "other", url, name="bob", model=MODEL)
    with pytest.raises(StoreError, match="in a team already"):
        membership.init(made, url, name="ada")


def test_there_must_be_a_team_to_join(url: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="whatworks team init"):
        membership.join(tmp_path / "bob", url, name="bob", model=MODEL)


def test_a_store_that_somebody_keeps_makes_no_team(url: str, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kept", embedder=HashEmbedder(), vectors="exact") as memory:
        memory.stats()
        with pytest.raises(StoreBusyError):
            membership.init(tmp_path / "kept", url, name="ada")


def test_a_database_that_does_not_answer_is_said_to_be_so(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="does not answer"):
        membership.init(made, f"postgresql://ada@/memory?host={tmp_path}")
    assert not (made / config.TEAM).exists()


@pytest.mark.parametrize("where", ["before the database knows", "after it"])
def test_an_interrupted_init_is_done_by_doing_it_again(
    made: Path, url: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if where == "after it":
            patch.setattr(config, "save", fails)
        else:
            patch.setattr(Database, "do", fails)
        with pytest.raises(KeyboardInterrupt):
            membership.init(made, url, name="ada")
    membership.init(made, url, name="ada")
    with Machine(made) as ada:
        assert ada.sync().shipped > 0


def test_status_says_how_far_each_machine_is(machine: Join) -> None:
    ada, bob = machine("ada"), machine("bob")
    ada.memory.add_pattern("retry the build")
    waiting = membership.status(ada.folder).waiting
    assert waiting is not None and waiting > 0
    bob.sync()
    ada.sync()
    found = membership.status(bob.folder)
    assert (found.waiting, found.entries, found.error) == (0, 1, None)
    behind = {each.name: each.behind for each in found.machines}
    assert behind == {"ada": 0, "bob": waiting}
    bob.sync()
    assert [each.behind for each in membership.status(bob.folder).machines] == [0, 0]


def test_status_without_the_database_says_why(made: Path, url: str, tmp_path: Path) -> None:
    membership.init(made, url, name="ada")
    settings.save(made, settings.load(made).changed(url=f"postgresql://a@/b?host={tmp_path}"))
    found = membership.status(made)
    assert found.error is not None and "does not answer" in found.error and found.machines == ()


def test_status_without_the_database_says_what_it_had_not_taken(
    made: Path, url: str, tmp_path: Path
) -> None:
    membership.init(made, url, name="ada")
    bob = tmp_path / "bob"
    membership.join(bob, url, name="bob", model=HashEmbedder().model_id)

    def waiting(folder: Path) -> tuple[int | None, int | None]:
        """With the database and without."""
        there = settings.load(folder)
        answer = membership.status(folder)
        settings.save(folder, there.changed(url=f"postgresql://a@/b?host={tmp_path}"))
        alone = membership.status(folder)
        settings.save(folder, there)
        assert answer.error is None and alone.error is not None
        return answer.waiting, alone.waiting

    assert waiting(made) == (size := size_of(made), size) and size > 0
    with Machine(made) as ada:
        ada.sync()
        assert waiting(made) == (0, 0)
        ada.memory.add_pattern("wait a minute")
        later, alone = waiting(made)
        assert later == alone and 0 < (alone or 0) < size
        ada.sync()
    with Machine(bob) as other:
        other.sync()
        assert waiting(bob) == (0, 0)  # what a machine fetched is not its own to ship
        other.memory.add_pattern("retry")
        assert waiting(bob)[0] == waiting(bob)[1] != 0


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "journal").glob("*.log"))


def test_the_log_has_what_a_machine_shipped_that_was_retired(machine: Join) -> None:
    ada, bob = machine("ada"), machine("bob")
    ada.memory.add_pattern("retry the build")
    bob.memory.add_pattern("wait a minute")
    shipped = ada.sync().shipped + bob.sync().shipped
    assert membership.status(ada.folder).bytes == shipped
    membership.retire(ada.folder, "bob")
    found = membership.status(ada.folder)
    assert [each.name for each in found.machines] == ["ada"] and found.bytes == shipped
