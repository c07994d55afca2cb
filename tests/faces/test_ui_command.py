"""``whatworks ui`` as a process: what it prints, where it listens, how it ends."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from support.served import served
from whatworks import Memory

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Memory.open(tmp_path / "store", embedder="none").close()
    return tmp_path / "store"


def test_the_address_that_is_printed_opens_and_ctrl_c_ends_it(folder: Path) -> None:
    words = [sys.executable, "-m", "whatworks", "ui", "--no-open", "--store", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        found = re.fullmatch(
            r"open http://127\.0\.0\.1:(\d+)(/\?token=[\w-]{32})\n", process.stdout.readline()
        )
        assert found
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        connection.request("GET", found[2])
        answer = connection.getresponse()
        assert (answer.status, answer.headers["location"]) == (303, "/")
        answer.read()
        connection.request("GET", "/", headers={"cookie": answer.headers["set-cookie"].split(";")[0]})
        page = connection.getresponse()
        assert page.status == 200 and b"No outcome is known yet" in page.read()
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
        assert "Traceback" not in process.stderr.read()


def test_it_listens_on_the_loopback_alone(folder: Path) -> None:
    with served(folder) as address:
        port = int(address.split(":")[2].split("/")[0])
        listening = [
            line.split()[1]
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
        ]
    assert listening == [f"0100007F:{port:04X}"]


def test_a_port_that_is_taken_and_one_that_is_none_are_told(folder: Path, run: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        for port in (other.getsockname()[1], 99_999):
            done = run("ui", "--no-open", "--port", port, "--store", folder)
            assert done.exit_code and f"port {port} cannot be used" in done.stderr
            assert done.stderr.count("\n") == 1


def test_without_a_store_it_says_so(tmp_path: Path, run: Run) -> None:
    done = run("ui", "--no-open", "--store", tmp_path / "nothing")
    assert done.exit_code and "no store" in done.stderr and not (tmp_path / "nothing").exists()
