from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from whatworks import StoreBusyError, StoreError
from whatworks.lock import KeeperLock, holder


def test_the_lock_file_names_its_holder(tmp_path: Path) -> None:
    lock = KeeperLock(tmp_path)
    assert holder(tmp_path) == os.getpid()
    lock.release()


def test_a_second_lock_names_the_first_one(tmp_path: Path) -> None:
    lock = KeeperLock(tmp_path)
    with pytest.raises(StoreBusyError, match=f"process {os.getpid()};") as caught:
        KeeperLock(tmp_path)
    assert caught.value.pid == os.getpid()
    lock.release()
    KeeperLock(tmp_path).release()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from whatworks.lock import KeeperLock;"
        "KeeperLock(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    child = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert child.returncode == -9
    KeeperLock(tmp_path).release()
    assert holder(tmp_path) == os.getpid()


def test_reading_the_lock_file_does_not_free_it(tmp_path: Path) -> None:
    lock = KeeperLock(tmp_path)
    (tmp_path / "keeper.lock").read_text()  # would drop a POSIX record lock
    with pytest.raises(StoreBusyError):
        KeeperLock(tmp_path)
    lock.release()


# Forks, says its own pid, and dies; the child lives until it is told to end.
LEAVES_A_CHILD = """
import os, signal, sys
from pathlib import Path
from whatworks.lock import KeeperLock

lock = KeeperLock(Path(sys.argv[1]))
if os.fork() == 0:
    os.write(1, b"child\\n")
    sys.stdin.read()
    os._exit(0)
if sys.argv[2] == "release":
    lock.release()
    os.write(1, b"released\\n")
signal.pause()
"""


@pytest.mark.parametrize("end", ["release", "kill"])
def test_a_lock_is_free_although_a_forked_child_of_its_holder_lives(tmp_path: Path, end: str) -> None:
    command = [sys.executable, "-c", LEAVES_A_CHILD, str(tmp_path), end]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            said = {owner.stdout.readline().strip() for _ in range(2 if end == "release" else 1)}
            assert said == ({"child", "released"} if end == "release" else {"child"})
            if end == "kill":
                owner.kill()
                owner.wait()
            KeeperLock(tmp_path).release()
        finally:
            owner.kill()


@pytest.mark.parametrize("content", ["", "no number", "12 34"])
def test_an_unreadable_lock_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "keeper.lock").write_text(content)
    assert holder(tmp_path) is None
    assert holder(tmp_path / "missing") is None


def test_a_path_below_a_file_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is a file"):
        KeeperLock(tmp_path / "file")
    with pytest.raises(StoreError, match="cannot lock"):
        KeeperLock(tmp_path / "missing")
