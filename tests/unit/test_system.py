"""Locks, sockets and forks as the operating system gives them."""

from __future__ import annotations

import gc
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from whatworks import system

LOCKS = """
import os, sys
from whatworks import system
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
print(system.try_lock(file), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def other() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Processes that lock a file until their input ends or they are killed."""
    started: list[subprocess.Popen[str]] = []

    def lock(path: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", LOCKS, str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        return process

    yield lock
    for process in started:
        process.kill()
        process.communicate()


def opened(path: Path) -> int:
    return system.hold(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC))


# -- locks ------------------------------------------------------------------------------------------


def test_a_lock_keeps_other_processes_out_until_its_holder_dies(
    tmp_path: Path, other: Callable[[Path], subprocess.Popen[str]]
) -> None:
    path = tmp_path / "lock"
    holder = other(path)
    file = opened(path)
    assert not system.try_lock(file)
    holder.kill()
    holder.wait(30)
    assert system.try_lock(file)
    system.let_go(file)


def test_waiting_for_a_lock_ends_when_it_is_free(
    tmp_path: Path, other: Callable[[Path], subprocess.Popen[str]]
) -> None:
    holder = other(tmp_path / "lock")
    file, got = opened(tmp_path / "lock"), threading.Event()

    def wait() -> None:
        system.lock(file)
        got.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not got.wait(0.1)
    holder.communicate("\n", timeout=30)
    waiting.join(30)
    assert got.is_set()
    system.let_go(file)


def test_two_handles_of_one_process_lock_each_other_out(tmp_path: Path) -> None:
    one, two = opened(tmp_path / "lock"), opened(tmp_path / "lock")
    assert system.try_lock(one)
    assert not system.try_lock(two)
    os.close(os.open(tmp_path / "lock", os.O_RDONLY))  # would free a POSIX record lock
    assert not system.try_lock(two)
    system.let_go(one)
    assert system.try_lock(two)
    system.let_go(two)


def test_a_descriptor_is_let_go_once(tmp_path: Path) -> None:
    file = opened(tmp_path / "file")
    system.let_go(file)
    again = os.open(tmp_path / "file", os.O_RDONLY)  # takes the same number
    system.let_go(file)
    os.fstat(again)
    os.close(again)


# -- forks ------------------------------------------------------------------------------------------

FORKS = """
import os, socket, sys
from pathlib import Path
from whatworks import system
path = Path(sys.argv[1])
held = system.hold(os.open(path / "lock", os.O_RDWR | os.O_CREAT))
kept = os.open(path / "other", os.O_RDWR | os.O_CREAT)
assert system.try_lock(held)
mine, theirs = socket.socketpair()
system.close_in_child(mine)
number = mine.fileno()
child = os.fork()
if child == 0:
    said = []
    for file in (held, number, kept):
        try:
            os.fstat(file)
            said.append("open")
        except OSError:
            said.append("closed")
    system.let_go(held)  # of the parent
    print(*said, mine.fileno(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
free = os.open(path / "lock", os.O_RDWR)
print(system.try_lock(free), mine.fileno() == number, flush=True)
mine.send(b"x")
print(theirs.recv(1).decode())
"""


def test_a_forked_child_keeps_neither_locks_nor_connections_of_its_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", FORKS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["closed closed open -1", "False True", "x"]


# -- sockets ----------------------------------------------------------------------------------------


@pytest.fixture(params=["short", "long"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a socket may be: ``long`` is a path that the kernel does not take."""
    folder = tmp_path
    if request.param == "long":
        while len(os.fsencode(folder)) < 300:
            folder = folder / ("долгий" * 6)
        folder.mkdir(parents=True)
    return folder / "keeper.sock"


def listening(path: Path) -> socket.socket:
    made = system.listen(path)
    assert made is not None
    return made


def test_whoever_connects_is_heard(place: Path) -> None:
    with listening(place) as listener, system.connect(place, 10) as client:
        connection, _ = listener.accept()
        with connection:
            client.sendall(b"question")
            assert connection.recv(100) == b"question"
            connection.sendall(b"answer")
            assert client.recv(100) == b"answer"
            assert system.peer_uid(connection) == system.peer_uid(client) == os.getuid()


def test_a_socket_is_private_and_no_other_file_is_meanwhile(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0)
    try:
        monkeypatch.delattr(os, "umask")  # a umask would be that of all threads
        monkeypatch.setattr(os, "chmod", lambda *_: None)  # it would come too late
        with listening(place):
            assert stat.S_IMODE(place.stat().st_mode) == 0o600
    finally:
        monkeypatch.undo()
        os.umask(before)


def test_a_socket_that_a_dead_process_left_is_replaced(place: Path) -> None:
    listening(place).close()
    assert place.is_socket()
    with pytest.raises(ConnectionRefusedError):
        system.connect(place, 10)
    with listening(place):
        system.connect(place, 10).close()


def test_a_file_in_the_place_of_a_socket_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "keeper.sock"
    place.write_bytes(b"garbage")
    with pytest.raises(OSError, match=r".+"):
        system.connect(place, 10)
    with listening(place):
        system.connect(place, 10).close()


def test_nobody_listens_where_there_is_nothing(place: Path) -> None:
    with pytest.raises(FileNotFoundError):
        system.connect(place, 10)


def test_refused_sockets_leave_no_descriptor(place: Path) -> None:
    listening(place).close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(ConnectionRefusedError):
            system.connect(place, 10)
        with pytest.raises(OSError, match=r".+"):
            system.listen(place.parent / "none" / "keeper.sock")
    assert len(os.listdir("/proc/self/fd")) == before


# -- the disk ---------------------------------------------------------------------------------------


def test_files_and_folders_can_be_synced(tmp_path: Path) -> None:
    file = opened(tmp_path / "file")
    os.write(file, b"x")
    system.sync_data(file)
    system.let_go(file)
    system.sync(tmp_path / "file")
    system.sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        system.sync(tmp_path / "none")


@pytest.mark.parametrize(
    ("platform", "of_file", "of_folder"),
    [
        ("linux", ["fdatasync"], ["fsync"]),
        ("darwin", ["F_FULLFSYNC"], ["F_FULLFSYNC"]),
        ("win32", ["fsync"], []),
    ],
)
def test_each_system_syncs_in_its_own_way(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    of_file: list[str],
    of_folder: list[str],
) -> None:
    path = tmp_path / "file"
    path.touch()
    calls: list[str] = []

    class Fcntl:
        F_FULLFSYNC = "F_FULLFSYNC"

        @staticmethod
        def fcntl(file: int, command: str) -> None:
            calls.append(command)

    monkeypatch.setattr(system, "fcntl", Fcntl)
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda file, name=name: calls.append(name))
    before = len(os.listdir("/proc/self/fd"))
    for place, expected in ((path, of_file), (tmp_path, of_folder)):
        calls.clear()
        system.sync(place)
        assert calls == expected
    assert len(os.listdir("/proc/self/fd")) == before


# -- the collector of cycles ----------------------------------------------------------------------


def test_cycles_are_looked_for_again_when_the_last_of_many_is_made() -> None:
    with system.uncollected():
        with pytest.raises(ValueError, match="broken"), system.uncollected():
            raise ValueError("broken")
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_somebody_turned_off_stays_off() -> None:
    gc.disable()
    try:
        with system.uncollected(), system.uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no forks")
def test_a_child_of_a_fork_looks_for_cycles_whatever_its_parent_was_at() -> None:
    forks = """
import gc, os
from whatworks import system
with system.uncollected():
    child = os.fork()
    if not child:
        os._exit(0 if gc.isenabled() else 1)
    print(os.waitpid(child, 0)[1], gc.isenabled())
"""
    done = subprocess.run([sys.executable, "-c", forks], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]


def test_threads_wait_for_their_turn_as_long_as_before_when_the_last_fold_is_over() -> None:
    before = sys.getswitchinterval()
    with system.taking_turns():
        with pytest.raises(ValueError, match="broken"), system.taking_turns():
            assert sys.getswitchinterval() == pytest.approx(system.TURN_SECONDS)
            raise ValueError("broken")
        assert sys.getswitchinterval() == pytest.approx(system.TURN_SECONDS)
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize("theirs", [0.0001, 0.5])
def test_turns_that_somebody_else_sets_stay(theirs: float) -> None:
    before = sys.getswitchinterval()
    try:
        with system.taking_turns():
            sys.setswitchinterval(theirs)
        assert sys.getswitchinterval() == pytest.approx(theirs, abs=2e-6)
        sys.setswitchinterval(0.0001)
        with system.taking_turns():
            assert sys.getswitchinterval() == pytest.approx(0.0001, abs=2e-6)
        assert sys.getswitchinterval() == pytest.approx(0.0001, abs=2e-6)
    finally:
        sys.setswitchinterval(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_threads_of_a_forked_child_take_turns_as_usual() -> None:
    program = """
import os, sys
from whatworks import system
before = sys.getswitchinterval()
with system.taking_turns():
    child = os.fork()
    if not child:
        os._exit(sys.getswitchinterval() != before)
    _, status = os.waitpid(child, 0)
assert status == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True)
