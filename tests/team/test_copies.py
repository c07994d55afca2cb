"""A segment has one owner: what a copy of a folder, or an older state of it, would ship is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.machines import Machine
from whatworks import CopiedStoreError, StoreBusyError
from whatworks.team import settings
from whatworks.team.exchange import Exchange, exchanging
from whatworks.team.shipping import Shipping

Join = Callable[[str], Machine]


@pytest.fixture
def ada(machine: Join) -> Machine:
    made = machine("ada")
    made.memory.add_pattern("retry the build", pattern_id="p")
    made.sync()
    return made


def copied(machine: Machine, folder: Path) -> Path:
    shutil.copytree(machine.folder, folder, ignore=shutil.ignore_patterns("*.sock"))
    return folder


def test_a_copy_ships_nothing_once_the_original_has_exchanged(ada: Machine, tmp_path: Path) -> None:
    copy = copied(ada, tmp_path / "copy")
    ada.exchange.close()
    ada.sync()
    with Machine(copy) as other, pytest.raises(CopiedStoreError, match="is a copy"):
        other.memory.record("p", outcome=0.0)
        other.sync()
    ada.memory.record("p", outcome=1.0)
    assert ada.sync().shipped > 0


def test_the_original_ships_nothing_once_a_copy_has_exchanged(ada: Machine, tmp_path: Path) -> None:
    with Machine(copied(ada, tmp_path / "copy")) as other:
        other.memory.record("p", outcome=0.0)
        other.sync()
    ada.memory.record("p", outcome=1.0)
    with pytest.raises(CopiedStoreError):
        ada.sync()


def test_an_older_state_of_the_journal_is_not_gone_on_from(ada: Machine, tmp_path: Path) -> None:
    name, before = next(iter(ada.journal.items()))
    ada.memory.record("p", outcome=1.0)
    ada.sync()
    ada.__exit__()
    (ada.folder / "journal" / name).write_bytes(before)
    with Machine(ada.folder) as again:
        again.memory.record("p", outcome=0.0, context="longer than what was shipped " * 40)
        with pytest.raises(CopiedStoreError, match="not the one that was shipped"):
            again.sync()


def test_one_process_exchanges_for_a_store(ada: Machine) -> None:
    with pytest.raises(StoreBusyError), exchanging(ada.folder):
        pass


def test_a_machine_goes_on_in_no_segment_of_another_one(machine: Join) -> None:
    ada, bob = machine("ada"), machine("bob")
    ada.memory.add_pattern("retry the build", pattern_id="p")
    ada.sync()
    bob.sync()
    before = ada.journal
    bob.memory.record("p", outcome=1.0)
    assert {name: bob.journal[name] for name in before} == before
    assert len(bob.journal) == 2


@pytest.mark.parametrize("interrupted", ["before the commit", "after the commit"])
def test_an_exchange_of_tokens_that_was_interrupted_locks_nobody_out(
    ada: Machine, monkeypatch: pytest.MonkeyPatch, interrupted: str
) -> None:
    ada.exchange.close()
    calls: list[Any] = []

    def fails(*values: Any) -> None:
        calls.append(values)
        if len(calls) == (1 if interrupted == "before the commit" else 2):
            real(values[0], values[1].changed()) if interrupted == "before the commit" else None
            raise KeyboardInterrupt
        real(*values)

    real = settings.save
    with monkeypatch.context() as patch:
        patch.setattr(settings, "save", fails)
        with pytest.raises(KeyboardInterrupt):
            ada.sync()
    ada.exchange = Exchange(ada.folder, ada.settle)  # as the next process would
    ada.memory.record("p", outcome=1.0)
    assert ada.sync().shipped > 0


# -- null controls: without the check that is tested, the same steps must go wrong ------------------


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A push that goes by what it remembers, whatever the database holds."""

    def extend(self: Shipping, database: Any, part: Any) -> None:
        database.do("DROP INDEX IF EXISTS whatworks.log_places")
        database.do(
            "INSERT INTO whatworks.segments VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
            part.segment,
            self.settings.machine,
        )
        database.do(
            "UPDATE whatworks.segments SET bytes = bytes + $2 WHERE segment = $1",
            part.segment,
            len(part.data),
        )

    monkeypatch.setattr(Shipping, "_extend", extend)
    yield


def ship_twice(ada: Machine) -> int:
    """Ship, lose the answer to the commit, and ship again without asking; bytes in the log then."""
    ada.memory.record("p", outcome=1.0)
    shipping = ada.exchange._shipping
    before = dict(shipping.lengths)
    ada.sync()
    shipping.lengths = before
    with suppress(CopiedStoreError):
        ada.sync()
    ada.sync()
    database = ada.exchange._database
    assert database is not None
    found = database.row("SELECT sum(length(data)) AS bytes FROM whatworks.log")
    return int(found["bytes"]) - sum(map(len, ada.journal.values()))


def test_what_was_shipped_without_an_answer_is_not_in_the_log_twice(ada: Machine) -> None:
    assert ship_twice(ada) == 0


@pytest.mark.usefixtures("careless")
def test_without_the_check_of_the_position_it_is_there_twice(ada: Machine) -> None:
    assert ship_twice(ada) > 0
