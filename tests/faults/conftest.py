from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.disks import FileSizeLimit, SmallDisk, kinds, mounted, unmount


@pytest.fixture(params=kinds())
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = SmallDisk(folder) if request.param == "tmpfs" and mounted(folder) else FileSizeLimit(folder)
    yield disk
    disk.free()
    if request.param == "tmpfs":
        unmount(folder)
