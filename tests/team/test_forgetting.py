"""What one machine forgets is gone from every machine and from the database, and does not come back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from support.machines import Machine, agreed, alone
from whatworks import NotFoundError, erasure
from whatworks.keeper import Keeper
from whatworks.team.database import Database

Join = Callable[[str], Machine]
SECRET = "the acme corp merger"


def on_disk(folder: Path, text: str) -> list[str]:
    """The files of a store that hold a text."""
    while True:
        with suppress(FileNotFoundError):  # evidence is put in order meanwhile: all is looked at again
            files = [path for path in folder.rglob("*") if path.is_file()]
            return [
                str(path.relative_to(folder)) for path in files if text.encode() in path.read_bytes()
            ]


def in_database(url: str, text: str) -> int:
    """How many entries of the log hold a text."""
    database = Database(url)
    try:
        query = "SELECT count(*) FROM whatworks.log WHERE position($1::bytea IN data) > 0"
        return int(database.row(query, text.encode())[0])
    finally:
        database.close()


def forget(machine: Machine, text: str) -> None:
    machine.memory.forget(containing=text, now=True)


def fill(machine: Machine) -> None:
    machine.memory.add_pattern("retry the build", pattern_id="p")
    machine.memory.add_pattern("wait", pattern_id="q")
    machine.memory.record("p", outcome=1.0, context=f"build failed in {SECRET}")
    machine.memory.record("p", outcome=0.0, context="build failed")
    machine.memory.record("q", outcome=1.0, context="build failed")


def test_what_one_machine_forgets_is_gone_everywhere(machine: Join, url: str, tmp_path: Path) -> None:
    ada, bob = machine("ada"), machine("bob")
    fill(ada)
    ada.sync()
    bob.sync()
    bob.settle()
    assert bob.memory.get_pattern("p").usage_count == 2 and in_database(url, SECRET) == 1
    forget(bob, SECRET)
    assert bob.sync().erased > 0
    assert in_database(url, SECRET) == 0
    ada.sync()
    answers = agreed([ada, bob])
    assert answers[0] == answers[1] == alone(bob, tmp_path / "alone")
    assert ada.memory.get_pattern("p").usage_count == 1
    assert on_disk(bob.folder, SECRET) == [] and on_disk(ada.folder, SECRET) == []


def test_a_machine_that_was_away_brings_nothing_back(machine: Join, url: str) -> None:
    ada, bob = machine("ada"), machine("bob")
    fill(ada)
    ada.sync()
    bob.sync()
    bob.settle()
    # Away from the others it records more of what they are about to forget.
    bob.memory.record("p", outcome=1.0, context=f"tests failed in {SECRET}")
    ada.memory.forget("p", now=True)
    ada.sync()
    bob.sync()
    assert in_database(url, SECRET) == 0
    assert on_disk(bob.folder, SECRET) == []
    answers = agreed([ada, bob])
    assert answers[0] == answers[1]
    assert [each["pattern_id"] for each in answers[0]["patterns"]] == ["q"]


def three(machine: Join) -> tuple[Machine, Machine, Machine]:
    """Machines that know the same; then the second one records more, which the others do not know."""
    ada, bob, eve = machine("ada"), machine("bob"), machine("eve")
    fill(ada)
    for each in (ada, bob, eve):
        each.sync()
        each.settle()
    bob.memory.record("p", outcome=1.0, context=f"tests failed in {SECRET}")
    return ada, bob, eve


def test_what_is_forgotten_waits_for_the_machine_that_comes_last(machine: Join, url: str) -> None:
    ada, bob, eve = three(machine)
    eve.memory.forget("p", now=True)
    for each in (eve, ada, eve, ada):  # who has heeded it leaves it there for those that have not
        each.sync()
        each.settle()
    bob.sync()
    bob.settle()
    with pytest.raises(NotFoundError):
        bob.memory.get_pattern("p")
    assert in_database(url, SECRET) == 0
    assert on_disk(bob.folder, SECRET) == []


def test_what_a_machine_forgets_itself_is_erased_before_it_counts_as_heeded(
    machine: Join, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keeper, "_to_erase", lambda _: False)  # the background has no time yet
    ada = machine("ada")
    fill(ada)
    ada.sync()
    ada.memory.forget("p")
    for _ in range(3):
        ada.sync()
    assert in_database(url, SECRET) == 0
    assert on_disk(ada.folder, SECRET) == []
    ada.memory.rebuild()
    assert [pattern.pattern_id for pattern in ada.memory.iter_patterns()] == ["q"]


def test_what_was_shipped_before_its_machine_knew_is_taken_back(
    machine: Join, url: str, tmp_path: Path
) -> None:
    ada, bob, eve = three(machine)
    ada.memory.forget("p", now=True)
    bob.sync()  # ships what ada has forgotten and not told yet
    eve.sync()
    assert in_database(url, SECRET) == 2
    for each in (ada, bob, eve, ada):
        each.sync()
    assert in_database(url, SECRET) == 0
    answers = agreed([ada, bob, eve])
    assert answers[0] == answers[1] == answers[2] == alone(eve, tmp_path / "alone")
    assert [on_disk(each.folder, SECRET) for each in (ada, bob, eve)] == [[], [], []]


def test_a_pattern_added_again_after_it_was_forgotten_stays(machine: Join, tmp_path: Path) -> None:
    ada, bob = machine("ada"), machine("bob")
    fill(ada)
    ada.sync()
    bob.sync()
    bob.settle()
    bob.memory.record("p", outcome=0.0, context="before it was forgotten")
    ada.memory.forget("p", now=True)
    ada.memory.add_pattern("retry the build, once", pattern_id="p")
    ada.memory.record("p", outcome=1.0)
    answers = agreed([ada, bob])
    assert answers[0] == answers[1] == alone(ada, tmp_path / "alone")
    assert ada.memory.get_pattern("p").usage_count == 1


def test_who_joins_later_never_sees_it(machine: Join) -> None:
    ada = machine("ada")
    fill(ada)
    ada.sync()
    forget(ada, SECRET)
    ada.sync()
    eve = machine("eve")
    eve.sync()
    eve.settle()
    assert on_disk(eve.folder, SECRET) == []
    assert eve.memory.get_pattern("p").usage_count == 1


def test_the_hashes_of_what_was_forgotten_go_once_every_machine_has_heeded_it(machine: Join) -> None:
    ada, bob = machine("ada"), machine("bob")
    fill(ada)
    ada.sync()
    bob.sync()
    ada.memory.forget("p", now=True)
    ada.sync()
    assert erasure.told(ada.folder / "journal").keys["patterns"]
    bob.sync()
    ada.sync()
    bob.sync()
    for each in (ada, bob):
        assert not any(erasure.told(each.folder / "journal").keys.values())


@pytest.mark.parametrize("point", ["team.fetched", "erasure.overwritten"])
def test_an_interrupted_exchange_is_gone_on_with(
    machine: Join, url: str, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    from whatworks import failpoints

    ada, bob = machine("ada"), machine("bob")
    fill(ada)
    ada.sync()
    bob.sync()
    bob.settle()
    ada.memory.forget("p", now=True)
    ada.sync()

    def fails(name: str) -> None:
        if name == point:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(failpoints, "reached", fails)
        bob.sync()
    bob.sync()
    assert on_disk(bob.folder, SECRET) == []
    answers = agreed([ada, bob])
    assert answers[0] == answers[1]
