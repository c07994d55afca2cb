from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from support.reference import assert_counts_agree
from support.snapshot import fill, snapshot
from whatworks import InvalidInputError, Memory, NotFoundError, SchemaVersionError, StoreError, backup
from whatworks.evidence import copies
from whatworks.testing import HashEmbedder

Open = Callable[..., Memory]


class Silent(HashEmbedder):
    """Embeds questions, and nothing else: a restored store has its embeddings."""

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
        assert len(texts) == 1, texts
        return super().__call__(texts)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def made(memory: Memory, target: Path) -> Path:
    fill(memory)
    memory.find_similar("x")
    return Path(memory.backup(target).path)


def test_a_restored_store_answers_the_same_and_embeds_nothing(
    memory: Memory, open_memory: Open, made: Path, tmp_path: Path
) -> None:
    told = backup.restore(made, tmp_path / "new")
    assert (told.patterns, told.events, told.path) == (6, 40, str(tmp_path / "new"))
    again = open_memory(tmp_path / "new", embedder=Silent())
    assert snapshot(again) == snapshot(memory)
    assert again.stats().problems == ()
    again.record("p1", outcome=1.0, event_id="after")
    assert_counts_agree(again)


def test_a_restored_store_opens_without_folding(made: Path, tmp_path: Path, open_memory: Open) -> None:
    backup.restore(made, tmp_path / "new")
    manifest = orjson.loads((made / "manifest.json").read_bytes())
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "new" / "journal").iterdir()}
    assert sizes == copies.count(tmp_path / "new" / "evidence.duckdb").positions
    assert manifest["events"] == 40
    again = open_memory(tmp_path / "new", embedder="none")
    assert again.stats().events == 40


def test_a_backup_is_private_and_says_what_it_holds(memory: Memory, target: Path) -> None:
    os.umask(0)
    try:
        fill(memory)
        told = memory.backup(target)
    finally:
        os.umask(0o022)
    path = Path(told.path)
    assert path.parent == target and path.name.startswith("whatworks-20")
    assert (told.patterns, told.events, told.removed) == (6, 40, ())
    for item in (target, path, *path.rglob("*")):
        assert item.stat().st_mode & 0o777 == (0o700 if item.is_dir() else 0o600), item
    assert told.bytes == sum(
        item.stat().st_size
        for item in path.rglob("*")
        if item.is_file() and item.name != "manifest.json"
    )
    assert list(target.iterdir()) == [path]


def test_an_empty_store_can_be_backed_up(memory: Memory, target: Path, tmp_path: Path) -> None:
    told = memory.backup(target)
    assert told.events == 0
    backup.restore(Path(told.path), tmp_path / "new")
    with Memory.open(tmp_path / "new", embedder=HashEmbedder()) as again:
        assert again.add_pattern("first").description == "first"


def test_old_backups_of_this_store_are_removed_and_no_others(
    open_memory: Open, target: Path, tmp_path: Path, clock: Any
) -> None:
    one = open_memory(tmp_path / "one", clock=clock)
    other = open_memory(tmp_path / "other", clock=clock)
    kept = other.backup(target)
    (target / "whatworks-20200101T000000Z").mkdir()
    (target / "mine").write_text("x")
    paths = []
    for _ in range(4):
        paths.append(one.backup(target, keep=2))
        clock.advance(seconds=40)
    assert paths[1].removed == () and paths[2].removed == (paths[0].path,)
    assert {str(item) for item in target.iterdir()} == {
        kept.path, paths[2].path, paths[3].path, str(target / "whatworks-20200101T000000Z"),
        str(target / "mine"),
    }  # fmt: skip


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_what_was_just_made_is_kept_even_if_the_clock_was_set_back(
    open_memory: Open, target: Path, clock: Any, keep: int
) -> None:
    memory = open_memory(clock=clock)
    paths = [memory.backup(target).path]
    clock.advance(hours=1)
    paths.append(memory.backup(target).path)
    clock.advance(hours=-2)
    last = memory.backup(target, keep=keep)
    assert last.removed == tuple(paths[: 3 - keep])
    assert {str(item) for item in target.iterdir()} == {last.path, *paths[3 - keep :]}


def test_two_backups_of_one_second_are_two(open_memory: Open, target: Path, clock: Any) -> None:
    memory = open_memory(clock=clock)
    paths = [memory.backup(target).path for _ in range(3)]
    assert [Path(path).name for path in paths] == [
        "whatworks-20250314T120000Z", "whatworks-20250314T120000Z-2", "whatworks-20250314T120000Z-3"
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["", "backups", "journal/x", "vectors"])
def test_a_backup_inside_the_store_is_refused(memory: Memory, store: Path, place: str) -> None:
    with pytest.raises(InvalidInputError, match="inside the store"):
        memory.backup(store / place)


def test_a_way_round_into_the_store_is_refused(memory: Memory, store: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store)
    with pytest.raises(InvalidInputError, match="inside the store"):
        memory.backup(tmp_path / "link" / "b")


def test_another_store_and_a_file_are_no_folders_for_backups(
    memory: Memory, open_memory: Open, tmp_path: Path
) -> None:
    open_memory(tmp_path / "other")
    (tmp_path / "file").write_text("x")
    for place in ("other", "file"):
        with pytest.raises(InvalidInputError, match="give a folder for backups"):
            memory.backup(tmp_path / place)


@pytest.mark.parametrize("keep", [0, -1, True, "2"])
def test_at_least_one_backup_is_kept(memory: Memory, target: Path, keep: Any) -> None:
    with pytest.raises(InvalidInputError, match="keep"):
        memory.backup(target, keep=keep)


def test_backups_go_on_while_others_write_and_ask(
    memory: Memory, open_memory: Open, target: Path, tmp_path: Path
) -> None:
    fill(memory)
    stop, acknowledged, failed = threading.Event(), list[str](), list[BaseException]()

    def write(tag: str) -> None:
        try:
            n = 0
            while not stop.is_set():
                n += 1
                name = f"{tag}-{n}"
                memory.record(f"p{n % 6}", outcome=n % 2, context=f"case {n % 9}", event_id=name)
                acknowledged.append(name)
                if n % 7 == 0:
                    memory.predict(f"case {n % 9}")
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    taken = []
    for _ in range(6):
        before = set(acknowledged)
        taken.append((before, memory.backup(target)))
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    for n, (before, told) in enumerate(taken):
        backup.restore(Path(told.path), tmp_path / f"new{n}")
        again = open_memory(tmp_path / f"new{n}")
        stored = {event.event_id for event in again.iter_events()}
        assert before <= stored and len(stored) == told.events
        assert_counts_agree(again)
        assert again.stats().problems == ()
    assert len(taken[-1][0]) > len(taken[0][0]), "nothing was written meanwhile"


def test_a_rebuild_waits_for_a_backup(
    memory: Memory, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(memory)
    real, rebuilding = copies.copy, list[threading.Thread]()

    def slow(*given: Any) -> Any:
        rebuilding.append(threading.Thread(target=memory.rebuild))
        rebuilding[0].start()
        rebuilding[0].join(0.3)
        return real(*given)

    monkeypatch.setattr(copies, "copy", slow)
    told = memory.backup(target)
    rebuilding[0].join()
    assert memory.stats().events == told.events == 40


LOCKED = """
import sys, duckdb
try:
    duckdb.connect(sys.argv[1])
except duckdb.Error:
    sys.exit(7)
"""


def locked(path: Path) -> bool:
    """Whether another process is kept out of a database file."""
    return subprocess.run([sys.executable, "-c", LOCKED, str(path)], check=False).returncode == 7


def test_the_owner_keeps_its_lock_on_the_evidence(memory: Memory, store: Path, target: Path) -> None:
    fill(memory)
    memory.stats()
    memory.backup(target)
    assert locked(store / "evidence.duckdb")
    # The null control: what a careless copy does to the lock.
    (store / "evidence.duckdb").read_bytes()
    assert not locked(store / "evidence.duckdb")


# -- damage -------------------------------------------------------------------------------------------


def files(made: Path) -> list[Path]:
    return sorted(path for path in made.rglob("*") if path.is_file())


def test_a_flipped_bit_in_any_file_is_found_and_named(made: Path, tmp_path: Path) -> None:
    for path in files(made):
        whole = path.read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 7)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            with pytest.raises(StoreError, match=path.name):
                backup.restore(made, tmp_path / "new")
        path.write_bytes(whole)
    assert not (tmp_path / "new").exists()
    backup.restore(made, tmp_path / "new")


def test_a_file_that_is_missing_or_cut_is_named(made: Path, tmp_path: Path) -> None:
    for path in files(made):
        whole = path.read_bytes()
        os.truncate(path, len(whole) - 2)
        with pytest.raises(StoreError, match=path.name):
            backup.restore(made, tmp_path / "new")
        path.unlink()
        with pytest.raises((StoreError, NotFoundError), match=path.name):
            backup.restore(made, tmp_path / "new")
        path.write_bytes(whole)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["backups", "store"]


def forged(made: Path, **values: Any) -> None:
    given = orjson.loads((made / "manifest.json").read_bytes()) | values
    given.pop("sha256")
    body = orjson.dumps(given | {"sha256": backup._checksum(given)})
    (made / "manifest.json").write_bytes(body)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "journal/../../x.log", "keeper.lock"])
def test_a_manifest_cannot_lead_out_of_its_folder(made: Path, tmp_path: Path, name: str) -> None:
    forged(made, files={name: {"bytes": 0, "sha256": ""}})
    with pytest.raises(StoreError, match="damaged"):
        backup.restore(made, tmp_path / "new")


def test_a_link_in_a_backup_is_not_followed(made: Path, tmp_path: Path) -> None:
    (made / "store.json").rename(tmp_path / "elsewhere")
    (made / "store.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"store\.json"):
        backup.restore(made, tmp_path / "new")


def test_a_backup_of_a_newer_version_is_not_guessed_at(made: Path, tmp_path: Path) -> None:
    forged(made, format=99)
    with pytest.raises(SchemaVersionError, match="upgrade"):
        backup.restore(made, tmp_path / "new")


def test_a_folder_of_backups_names_one_of_them(made: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=made.name):
        backup.restore(made.parent, tmp_path / "new")
    with pytest.raises(NotFoundError, match="no backup"):
        backup.restore(tmp_path / "nothing", tmp_path / "new")


def test_a_store_is_only_restored_to_an_empty_folder(made: Path, store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not empty"):
        backup.restore(made, store)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="no folder"):
        backup.restore(made, tmp_path / "file")
    (tmp_path / "empty").mkdir(mode=0o755)
    backup.restore(made, tmp_path / "empty")
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700


def test_a_copy_that_differs_is_no_backup(
    memory: Memory, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(memory)
    monkeypatch.setattr(copies, "_read_again", lambda _: {})
    with pytest.raises(StoreError, match="does not hold"):
        memory.backup(target, keep=1)
    assert list(target.iterdir()) == []


def test_a_journal_that_lost_its_end_is_noticed_before_it_is_backed_up(
    memory: Memory, store: Path, target: Path
) -> None:
    fill(memory)
    name = memory.patterns()[0].pattern_id
    memory.record(name, outcome=1.0, event_id="last")
    before = memory.stats().events
    (segment,) = (store / "journal").glob("*.log")
    os.truncate(segment, segment.stat().st_size - 5)
    memory.backup(target)
    after = memory.stats()
    assert (after.events, memory.get_events(["last"])) == (before - 1, {})
    assert "rebuilt from the journal" in after.problems[0]
