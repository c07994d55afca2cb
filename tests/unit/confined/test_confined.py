"""What a process that gave everything up can still do, tried from within it."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from whatworks.confined import paths

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's rules are Linux's own")

TRIES = """
import ctypes, fcntl, json, os, resource, socket, struct, subprocess, sys, threading
from pathlib import Path
from whatworks import confined

given = json.loads(sys.argv[1])
libc, pair, parent = ctypes.CDLL(None, use_errno=True), socket.socketpair(), os.getppid()

def shared(get, forget, *size):
    made = get(0, *size, 0o600)
    if made < 0:
        raise OSError
    forget(made, 0, 0, 0)

if given["confined"]:
    confined.give_up(20, files=given["files"], below=[Path(given["below"])])
inside, outside = given["inside"], given["outside"]
attempts = {
    "read inside": lambda: open(inside).read(),
    "list inside": lambda: os.listdir(given["below"]),
    "read outside": lambda: open(outside).read(),
    "read through a link": lambda: open(given["link"]).read(),
    "list outside": lambda: os.listdir(os.path.dirname(outside)),
    "make a file": lambda: open(inside + ".new", "w").close(),
    "write a file": lambda: os.close(os.open(inside, os.O_RDWR)),
    "rename a file": lambda: os.rename(given["spare"], given["spare"] + ".moved"),
    "remove a file": lambda: os.unlink(given["spare"] + ".moved"),
    "change a mode": lambda: os.chmod(inside, 0o600),
    "open a socket": lambda: socket.socket().close(),
    "open an inner socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "run a program": lambda: subprocess.run(["true"], check=True),
    "fork": lambda: os.fork() or os._exit(0),
    "signal another": lambda: os.kill(os.getppid(), 0),
    "limit another": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU),
    "have another signalled by a pipe": lambda: fcntl.fcntl(1, fcntl.F_SETOWN, parent),
    "the same by a group": lambda: fcntl.fcntl(1, 15, struct.pack("ii", 1, parent)),
    "choose that signal": lambda: fcntl.fcntl(1, 10, 9),
    "the same by a socket": lambda: fcntl.ioctl(pair[0], 0x8901, struct.pack("i", parent)),
    "the same by its other name": lambda: fcntl.ioctl(pair[0], 0x8902, struct.pack("i", parent)),
    "slow another": lambda: os.setpriority(0, parent, os.getpriority(0, parent)),
    "move another": lambda: os.sched_setaffinity(parent, os.sched_getaffinity(0)),
    "share memory": lambda: shared(libc.shmget, libc.shmctl, 4096),
    "share a semaphore": lambda: shared(libc.semget, libc.semctl, 1),
    "share a queue": lambda: shared(libc.msgget, libc.msgctl),
    "start a thread": lambda: threading.Thread(target=int).start(),
}
said = {}
for name, attempt in attempts.items():
    try:
        attempt()
        said[name] = True
    except (OSError, RuntimeError):
        said[name] = False
print(json.dumps(said))
"""
HARMLESS = {"start a thread"}
READING = {"read inside", "list inside"}


def tried(tmp_path: Path, *, files: int, confined: bool = True) -> set[str]:
    """What could be done."""
    below = tmp_path / "below"
    below.mkdir()
    for path in (below / "inside", tmp_path / "outside", below / "spare"):
        path.write_text("text")
    (below / "link").symlink_to(tmp_path / "outside")
    given = {
        "files": files,
        "confined": confined,
        "below": str(below),
        "inside": str(below / "inside"),
        "outside": str(tmp_path / "outside"),
        "link": str(below / "link"),
        "spare": str(below / "spare"),
    }
    words = [sys.executable, "-P", "-c", TRIES, json.dumps(given)]
    done = subprocess.run(words, capture_output=True, check=True, timeout=60)
    return {name for name, could in json.loads(done.stdout.splitlines()[-1]).items() if could}


def test_who_may_read_some_files_can_do_that_and_nothing_else(tmp_path: Path) -> None:
    assert tried(tmp_path, files=32) == READING | HARMLESS


def test_who_may_open_no_file_can_do_nothing_at_all(tmp_path: Path) -> None:
    assert tried(tmp_path, files=0) == HARMLESS


def test_without_it_every_one_of_these_works(tmp_path: Path) -> None:
    assert len(tried(tmp_path, files=32, confined=False)) == 27


def run(code: str) -> subprocess.CompletedProcess[bytes]:
    """A process of its own that runs this after importing what is tried."""
    given = f"import os, sys\nfrom whatworks import confined\n{code}"
    return subprocess.run(
        [sys.executable, "-P", "-c", given], capture_output=True, check=False, timeout=60
    )


@pytest.mark.skipif(
    paths._version(ctypes.CDLL(None, use_errno=True)) < 6, reason="this kernel's rules know no signals"
)
def test_rules_stop_signals_also_where_no_file_may_be_opened() -> None:
    done = run("confined.calls.refuse = bool\nconfined.give_up(5)\nos.kill(os.getppid(), 0)")
    assert b"PermissionError" in done.stderr


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        # A filter that the kernel does not take: its program jumps to nowhere.
        (
            "confined.calls._program = lambda *_: [b'\\x15\\0' + b'\\xff' * 6]",
            b"filter of system calls",
        ),
        ("confined.paths._RIGHTS.clear()\nconfined.paths._LATEST = 60", b"Landlock"),
    ],
    ids=["calls", "paths"],
)
def test_what_was_not_put_in_place_although_the_kernel_has_it_is_an_error(
    broken: str, said: bytes
) -> None:
    done = run(f"{broken}\nconfined.give_up(5)")
    assert done.returncode == 1
    assert b"StoreError" in done.stderr
    assert said in done.stderr


def test_a_kernel_without_the_filter_goes_on_without_it() -> None:
    known = "confined.calls._KNOWN[os.uname().machine]"
    # The same with a number of no call.
    without = f"{known} = (*{known}[:2], (*{known}[2][:-1], 4000))"
    done = run(f"{without}\nassert not confined.calls.refuse()")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("work", "ends"),
    [
        ("while True: pass", {-signal.SIGXCPU, -signal.SIGKILL}),
        ("held = []\nwhile True: held.append(mmap.mmap(-1, 64 << 20))", {1}),
    ],
    ids=["time", "memory"],
)
def test_time_and_memory_end(work: str, ends: set[int]) -> None:
    code = f"import mmap\nfrom whatworks import confined\nconfined.give_up(0.5)\n{work}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, check=False, timeout=60
    )
    assert done.returncode in ends
    assert done.returncode != 1 or b"Cannot allocate memory" in done.stderr
