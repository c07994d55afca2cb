from __future__ import annotations

import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

from whatworks import (
    InvalidInputError,
    Memory,
    NotFoundError,
    SchemaVersionError,
    StoreError,
    config,
    places,
)
from whatworks.config import Config
from whatworks.hooks import spool


@pytest.fixture
def made(tmp_path: Path) -> Path:
    config.create(tmp_path / "store", embedder="model", dim=4, vectors="exact")
    return tmp_path / "store"


def test_what_was_saved_is_loaded(made: Path) -> None:
    found = config.load(made)
    assert (found.format, found.embedder, found.dim, found.vectors) == (
        config.ALONE,
        "model",
        4,
        "exact",
    )
    config.save(made, found.changed(dim=8, generation=2))
    assert config.load(made) == found.changed(dim=8, generation=2)


def test_a_store_is_private_to_its_owner(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE((made / config.FILE).stat().st_mode) == 0o600


def test_a_folder_that_was_there_becomes_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    config.create(tmp_path, embedder="model", dim=4, vectors="exact")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_fields_of_a_later_version_of_the_same_format_are_passed_over(made: Path) -> None:
    values = orjson.loads((made / config.FILE).read_bytes()) | {"colour": "red"}
    (made / config.FILE).write_bytes(orjson.dumps(values))
    assert isinstance(config.load(made), Config)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b"{}",
        b'{"format": "1"}',
        b'{"format": 1}',
        b"\xff\xfe",
        b'{"format": null}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_description_is_a_store_error(made: Path, content: bytes) -> None:
    (made / config.FILE).write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        config.load(made)


def test_a_newer_format_says_to_upgrade(made: Path) -> None:
    values = orjson.loads((made / config.FILE).read_bytes()) | {"format": config.FORMAT + 1}
    (made / config.FILE).write_bytes(orjson.dumps(values))
    with pytest.raises(SchemaVersionError, match="pip install --upgrade"):
        config.load(made)


def test_no_store_and_no_folder_are_different_from_a_damaged_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotFoundError):
        config.load(tmp_path)
    with pytest.raises(StoreError, match="is a file"):
        config.load(tmp_path / "file")
    (tmp_path / "odd" / config.FILE).mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot read"):
        config.load(tmp_path / "odd")


def test_a_folder_with_other_files_does_not_become_a_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        config.create(tmp_path, embedder="model", dim=4, vectors="exact")
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_store_that_another_process_makes_meanwhile_is_no_folder_of_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, iterdir = tmp_path / "store", Path.iterdir
    folder.mkdir()

    def late(path: Path) -> Any:
        if path == folder and not (folder / config.FILE).exists():
            monkeypatch.setattr(Path, "iterdir", iterdir)
            config.create(folder, embedder="model", dim=4, vectors="exact")
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", late)
    config.require_free(folder)
    assert config.load(folder).embedder == "model"


def test_an_interrupted_creation_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / f"{config.FILE}.tmp").write_bytes(b"{")
    assert config.create(tmp_path, embedder="model", dim=4, vectors="exact") == config.load(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a\x00b",
        "half \ud800",
        "raw \udcff",
        Path("raw \udcff"),
        b"bytes",
        5,
        "~nobody-of-this-name/x",
    ],
)
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(InvalidInputError, match="path"):
        config.locate(path)


def test_paths_that_are_not_utf_8_are_refused_wherever_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "raw \udcff"
    odd.mkdir()
    with pytest.raises(InvalidInputError, match="utf-8"):
        Memory.open(odd, embedder="none")
    with (
        Memory.open(tmp_path / "store", embedder="none") as memory,
        pytest.raises(InvalidInputError, match="utf-8"),
    ):
        memory.backup(odd)
    assert list(odd.iterdir()) == []
    monkeypatch.delenv("WHATWORKS_STORE", raising=False)
    monkeypatch.chdir(odd)
    config.locate(None)  # another folder is meant
    (odd / config.FOLDER).mkdir()
    (odd / config.FOLDER / config.FILE).write_bytes(b"{}")
    with pytest.raises(InvalidInputError, match="utf-8"):
        config.locate(None)


def test_the_place_of_a_store_is_given_named_or_found_upwards(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    below = project / "src" / "deep"
    below.mkdir(parents=True)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    config.create(project / config.FOLDER, embedder="model", dim=4, vectors="exact")
    monkeypatch.chdir(below)
    monkeypatch.delenv("WHATWORKS_STORE", raising=False)
    assert config.locate(None) == project / config.FOLDER
    monkeypatch.setenv("WHATWORKS_STORE", str(made))
    assert config.locate(None) == made
    assert config.locate("else") == below / "else"
    monkeypatch.delenv("WHATWORKS_STORE")
    monkeypatch.chdir(tmp_path)
    assert config.locate(None) == tmp_path / "data" / "whatworks" / "default"


def test_a_store_that_came_with_a_repository_has_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold what others have planted, and say that its vectors are to go to their server."""
    monkeypatch.delenv("WHATWORKS_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "theirs"))
    project = tmp_path / "project"
    config.create(project / config.FOLDER, embedder="model", dim=4, vectors="exact")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(project)
    with pytest.raises(StoreError, match=r"not made by you on this machine.* whatworks init --store"):
        config.locate(None)
    with pytest.raises(StoreError, match="not made by you"):
        Memory.open(embedder="none")
    assert spool.locate() == tmp_path / "data" / "whatworks" / "default"
    assert config.locate(project / config.FOLDER) == project / config.FOLDER
    places.make_own(project / config.FOLDER)
    assert config.locate(None) == spool.locate() == project / config.FOLDER


@pytest.mark.parametrize("held", [b"", b"[]", b'{"store_id": "../../x"}', b'{"store_id": 5}', b"\xff"])
def test_what_is_no_store_is_nobodys_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bytes
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / config.FILE).write_bytes(held)
    places.make_own(tmp_path)
    assert not places.is_own(tmp_path)
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_store_that_others_may_write_to_is_refused(made: Path, mode: int) -> None:
    Memory.open(made, embedder="none").close()
    made.chmod(mode)
    with pytest.raises(StoreError, match=r"other users may write to .* chmod"):
        Memory.open(made, embedder="none")
    made.chmod(0o700)
    Memory.open(made, embedder="none").close()


def test_a_copy_of_ones_own_store_is_not_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    made = tmp_path / "mine" / config.FOLDER
    config.create(made, embedder="model", dim=4, vectors="exact")
    copy = tmp_path / "theirs" / config.FOLDER
    shutil.copytree(made, copy)
    assert places.is_own(made)
    assert not places.is_own(copy)
    found = config.load(made)
    config.save(made, found.changed(generation=2))
    assert places.is_own(made)  # we changed it ourselves
    said = (made / config.FILE).read_bytes().replace(b'"exact"', b'"qdrant+https://elsewhere"')
    (made / config.FILE).write_bytes(said)
    assert not places.is_own(made)


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.locate("~/store") == tmp_path / "store"


def test_several_may_mark_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / config.REORDER
    with ThreadPoolExecutor(4) as pool:
        for made in [pool.submit(config.mark, path) for _ in range(200)]:
            made.result()
    assert path.read_bytes() == b""
