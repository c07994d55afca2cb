"""A memory that is opened by the address of its team's database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.processes import Process
from whatworks import (
    InvalidInputError,
    Memory,
    ModelMismatchError,
    NotFoundError,
    StoreBusyError,
    UnreachableError,
    config,
)
from whatworks.cli import app
from whatworks.team import membership, settings, syncing
from whatworks.team.database import Database
from whatworks.team.exchange import exchanging
from whatworks.testing import HashEmbedder


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "whatworks" / "teams"


def opened(address: str, **options: object) -> Memory:
    return Memory.open(address, **({"embedder": HashEmbedder(), "vectors": "exact"} | options))  # type: ignore[arg-type]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Makes what follows happen on another machine."""
    return lambda name: monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / name))


def test_a_second_machine_knows_at_once_what_the_first_one_learned(
    url: str, data: Path, elsewhere: Callable[[str], None]
) -> None:
    with opened(url) as ada:
        ada.add_pattern("retry the build", pattern_id="p")
        ada.record("p", outcome=1.0, context="imports failed")
    elsewhere("bob")
    with opened(url) as bob:
        assert bob.get_pattern("p").usage_count == 1
        assert bob.find_similar("retry the build")[0].pattern.pattern_id == "p"
        bob.record("p", outcome=0.0)
    elsewhere("data")
    (folder,) = data.glob("*/")
    syncing.sync(folder)
    with opened(url) as ada:
        assert ada.get_pattern("p").usage_count == 2
    names = [machine.name for machine in membership.status(folder).machines]
    assert len(set(names)) == 2


def test_it_is_found_again_without_the_database(url: str, data: Path) -> None:
    with opened(url) as memory:
        memory.add_pattern("retry the build", pattern_id="p")
    folder = config.locate(url)
    assert folder.parent == data
    gone = settings.load(folder).changed(url=url.replace("host=", "host=/nowhere"))
    settings.save(folder, gone)
    with opened(gone.url.replace("/nowhere", "")) as memory:
        assert memory.get_pattern("p").description == "retry the build"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("postgresql://ada@db/memory", "postgres://ada@DB:5432/memory?sslmode=require", True),
        ("postgresql://ada@db/memory", "postgresql://bob@db/memory", False),
        ("postgresql://ada@db/memory", "postgresql://ada@db/other", False),
        ("postgresql://ada@db/memory", "postgresql://ada@db:5433/memory", False),
        ("postgresql://ada@/memory?host=/a", "postgresql://ada@/memory?host=/b", False),
    ],
)
def test_an_address_is_the_place_of_one_store(one: str, other: str, same: bool) -> None:
    assert (config.locate(one) == config.locate(other)) is same


def test_other_settings_of_tls_are_gone_on_with(url: str) -> None:
    opened(url).close()
    strict = f"{url}&sslmode=require"
    opened(strict).close()
    assert settings.load(config.locate(url)).url == strict
    with (
        exchanging(config.locate(url)),
        pytest.raises(StoreBusyError, match="end it, or give the same address"),
    ):
        opened(f"{url}&sslmode=verify-full")


def test_an_address_that_says_nothing_of_tls_leaves_it_as_it_is(url: str) -> None:
    strict = f"{url}&sslmode=require"
    opened(strict).close()
    with exchanging(config.locate(url)):  # nothing is to be written
        opened(url).close()
    assert settings.load(config.locate(url)).url == strict


@pytest.mark.parametrize(
    "said", ["sslmode=prefer", "sslmode=disable", "sslrootcert=/ca.pem", "sslmode=x"]
)
def test_an_address_with_weaker_tls_is_refused(url: str, said: str) -> None:
    strict = f"{url}&sslmode=require"
    opened(strict).close()
    with pytest.raises(InvalidInputError, match="reaches its team by sslmode=require"):
        opened(f"{url}&{said}")
    assert settings.load(config.locate(url)).url == strict


def test_nothing_is_made_where_that_is_not_wanted(url: str, data: Path) -> None:
    with pytest.raises(NotFoundError, match="no team at"):
        opened(url, create=False)
    assert not data.exists()


def test_an_address_with_a_password_is_refused_and_not_repeated(data: Path) -> None:
    with pytest.raises(InvalidInputError) as raised:
        opened("postgresql://ada:secret@localhost/memory")
    assert "secret" not in str(raised.value)
    with pytest.raises(InvalidInputError) as raised:
        opened("postgresql://ada:secret@[localhost/memory")
    assert "secret" not in str(raised.value)
    assert not data.exists()


def test_a_database_that_does_not_answer_makes_nothing(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UnreachableError):
        opened(f"postgresql://ada@/memory?host={tmp_path}")
    assert not list(data.glob("*/"))


def test_a_team_with_another_model_is_not_joined(url: str, elsewhere: Callable[[str], None]) -> None:
    opened(url).close()
    elsewhere("bob")
    with pytest.raises(ModelMismatchError):
        Memory.open(url)
    with Memory.open(url, embedder="none") as memory:  # which can only look
        assert memory.stats().embedder == HashEmbedder().model_id


def test_two_machines_that_come_first_at_once_are_one_team(url: str, tmp_path: Path) -> None:
    code = "import os; from whatworks import Memory; from whatworks.testing import HashEmbedder"
    processes = [Process(tmp_path, XDG_DATA_HOME=str(tmp_path / name)) for name in "abab"]
    try:
        for process in processes:
            process.do(code)

        def enter(process: Process) -> object:
            return process.do(f"Memory.open({url!r}, embedder=HashEmbedder(), vectors='exact').close()")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(enter, processes))
    finally:
        for process in processes:
            process.clean()
    database = Database(url)
    try:
        assert database.row("SELECT count(*) FROM whatworks.machines")[0] == 2
    finally:
        database.close()


def test_an_interrupted_beginning_is_gone_on_from(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    for module, name in ((membership, "_add"), (config, "save")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fails)
            with pytest.raises(KeyboardInterrupt):
                opened(url)
    with opened(url) as memory:
        memory.add_pattern("retry the build")
    assert len(membership.status(config.locate(url)).machines) == 1


def test_a_store_that_waits_for_a_team_gives_way_to_one_that_was_begun_meanwhile(
    url: str, monkeypatch: pytest.MonkeyPatch, elsewhere: Callable[[str], None]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(membership, "init", fails)
        with pytest.raises(KeyboardInterrupt):
            opened(url)
    elsewhere("bob")
    opened(url).close()
    elsewhere("data")
    opened(url).close()
    assert len(membership.status(config.locate(url)).machines) == 2


def test_commands_take_an_address_for_a_store(
    url: str, data: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Callable[[str], None]
) -> None:
    run = CliRunner().invoke
    assert run(app, ["init", "--store", url]).exit_code == 0
    assert run(app, ["add", "retry the build", "--id", "p", "--store", url]).exit_code == 0
    assert run(app, ["team", "sync", "--store", url]).exit_code == 0
    elsewhere("bob")
    monkeypatch.setenv("WHATWORKS_STORE", url)
    assert run(app, ["init"]).exit_code == 0
    done = run(app, ["patterns"])
    assert done.exit_code == 0 and "retry the build" in done.output
    assert (config.locate(None) / config.FILE).exists()


@pytest.mark.parametrize(
    "words",
    [["stats"], ["patterns"], ["predict", "retry the build"], ["trend", "p"], ["forget", "p", "--yes"]],
)
def test_a_command_that_makes_no_store_makes_and_joins_no_team(
    url: str, data: Path, words: list[str]
) -> None:
    done = CliRunner().invoke(app, [*words, "--store", url])
    assert done.exit_code == 4 and "whatworks init --store" in " ".join(done.output.split())
    assert not data.exists()
    database = Database(url)
    try:
        assert not database.has_team()
    finally:
        database.close()
