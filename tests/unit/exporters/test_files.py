from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from whatworks import InvalidInputError, Memory, StoreError, StoreFullError
from whatworks.exporters import export_jsonl
from whatworks.exporters.files import replacing


def test_draft_takes_the_place_of_the_target(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("before")
    with replacing(target) as draft:
        draft.write_text("after")
        assert target.read_text() == "before"
        assert draft.parent == tmp_path
    assert target.read_text() == "after"
    assert list(tmp_path.iterdir()) == [target]


def test_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        with replacing(tmp_path / "out") as draft:
            draft.write_text("secret")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_error_leaves_what_was_there_and_no_draft(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "out"
    target.write_text("before")
    with pytest.raises(error), replacing(target) as draft:
        draft.write_text("half")
        raise error
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StoreFullError), (errno.EIO, StoreError)])
def test_error_of_the_disk_is_translated(tmp_path: Path, number: int, kind: type[StoreError]) -> None:
    with pytest.raises(kind) as caught, replacing(tmp_path / "out"):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind
    assert list(tmp_path.iterdir()) == []


def test_draft_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def noted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls.append(name)
            return function(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
    monkeypatch.setattr(os, "replace", noted("replace", os.replace))
    with replacing(tmp_path / "out"):
        pass
    assert calls == ["fsync", "replace", "fsync"]


def test_target_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("not-there")
    for target in (tmp_path, tmp_path / "pipe", tmp_path / "gone", tmp_path / "absent/out"):
        with pytest.raises(InvalidInputError), replacing(target):
            pass


def test_store_goes_on_after_an_export_that_failed(memory: Memory, tmp_path: Path) -> None:
    memory.add_pattern("Words", pattern_id="p1")
    with pytest.raises(InvalidInputError, match="no folder"):
        export_jsonl(memory, tmp_path / "absent" / "out.jsonl")
    memory.record("p1", outcome=1.0)
    assert export_jsonl(memory, tmp_path / "out.jsonl")["events"] == 1
