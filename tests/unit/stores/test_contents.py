from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

import pytest

from whatworks.stores import contents
from whatworks.stores.contents import Contents


def test_every_file_is_listed_with_size_and_checksum(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "one").write_bytes(b"")
    (tmp_path / "below" / "two").write_bytes(b"abc" * 1_000_000)
    assert Contents(tmp_path).listing() == {
        "one": [0, 0],
        "below/two": [3_000_000, crc32(b"abc" * 1_000_000)],
    }


def test_a_missing_folder_is_empty(tmp_path: Path) -> None:
    assert Contents(tmp_path / "nothing").listing() == {}


def test_a_file_is_read_again_only_when_it_was_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    seen = Contents(tmp_path)
    before = seen.listing()
    read = []
    monkeypatch.setattr(contents, "_checksum", lambda path: read.append(path) or [3, 0])
    assert seen.listing() == before
    assert read == []
    path.write_bytes(b"new")
    os.utime(path, ns=(1, 1))
    assert seen.listing() == {"file": [3, 0]}
