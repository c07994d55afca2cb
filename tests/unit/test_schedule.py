from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import pytest

from conftest import FrozenClock
from whatworks import InvalidInputError, Memory, StoreFullError
from whatworks.backup import newest
from whatworks.errors import WhatWorksError
from whatworks.schedule import Schedule

DAY = timedelta(days=1)


@pytest.fixture
def made() -> list[str]:
    return []


@pytest.fixture
def schedule(made: list[str], clock: FrozenClock, tmp_path: Path) -> Schedule:
    return Schedule(
        lambda: made.append("backup"),
        folder=tmp_path,
        store_id="store",
        every=DAY,
        clock=clock,
        failed=lambda error: made.append(str(error)),
    )


def test_without_a_backup_one_is_due_at_once_and_then_at_intervals(
    schedule: Schedule, made: list[str], clock: FrozenClock
) -> None:
    for hours, count in ((0, 1), (1, 1), (22, 1), (1, 2), (23, 2), (1, 3)):
        clock.advance(hours=hours)
        schedule.tick()
        assert len(made) == count


def test_a_backup_that_failed_is_reported_and_tried_again_sooner(
    made: list[str], clock: FrozenClock, tmp_path: Path
) -> None:
    def full() -> None:
        raise StoreFullError("no room")

    errors: list[WhatWorksError] = []
    schedule = Schedule(
        full, folder=tmp_path, store_id="store", every=DAY, clock=clock, failed=errors.append
    )
    for hours, count in ((0, 1), (2, 1), (1, 2)):
        clock.advance(hours=hours)
        schedule.tick()
        assert len(errors) == count


def test_a_backup_from_the_future_delays_the_next_by_one_interval_at_most(
    memory: Memory, clock: FrozenClock, tmp_path: Path, made: list[str]
) -> None:
    last = memory.backup(tmp_path / "backups")
    clock.now = last.made_at - timedelta(days=365)
    schedule = Schedule(
        lambda: made.append("backup"),
        folder=tmp_path / "backups",
        store_id=last.store_id,
        every=DAY,
        clock=clock,
        failed=lambda error: None,
    )
    for hours, count in ((23, 0), (1, 1)):
        clock.advance(hours=hours)
        schedule.tick()
        assert len(made) == count


def test_a_clock_set_back_delays_the_next_backup_by_one_interval_at_most(
    schedule: Schedule, made: list[str], clock: FrozenClock
) -> None:
    schedule.tick()
    clock.advance(days=-365)
    for hours, count in ((0, 1), (23, 1), (1, 2)):
        clock.advance(hours=hours)
        schedule.tick()
        assert len(made) == count


def test_backups_of_before_count_and_those_of_other_stores_do_not(
    memory: Memory, clock: FrozenClock, tmp_path: Path, made: list[str]
) -> None:
    folder = tmp_path / "backups"
    first = memory.backup(folder)
    assert newest(folder, first.store_id) == first.made_at
    assert newest(folder, "another") is None
    clock.now = first.made_at + timedelta(hours=23)
    schedule = Schedule(
        lambda: made.append("backup"),
        folder=folder,
        store_id=first.store_id,
        every=DAY,
        clock=clock,
        failed=lambda error: None,
    )
    schedule.tick()
    assert made == []
    clock.advance(hours=1)
    schedule.tick()
    assert made == ["backup"]


def test_a_store_that_is_served_is_backed_up(memory: Memory, tmp_path: Path) -> None:
    memory.add_pattern("try again")
    stop, folder = Event(), tmp_path / "backups"
    thread = Thread(target=memory.serve, args=(stop,), kwargs={"backup_to": folder})
    thread.start()
    try:
        until = monotonic() + 30
        while not list(folder.glob("whatworks-*")) and monotonic() < until:
            sleep(0.05)
        assert len(list(folder.glob("whatworks-*"))) == 1
    finally:
        stop.set()
        thread.join()
    with pytest.raises(InvalidInputError):
        memory.serve(stop, backup_to=folder, every=timedelta(0))
