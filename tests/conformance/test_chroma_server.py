"""A Chroma server: the one that comes with the package, as a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from whatworks.stores import VectorStore
from whatworks.stores.chroma import ChromaStore
from whatworks.testing import StoreConformance, state_machine


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            with urlopen(f"{url}/api/v2/heartbeat", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise AssertionError("the Chroma server did not start")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, program = free_port(), Path(sys.executable).with_name("chroma")
    command = [program, "run", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--path", tmp_path_factory.mktemp("served")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            wait_for(server, address := f"http://127.0.0.1:{port}")
            yield address
        finally:
            server.kill()


def name_of(path: Path) -> str:
    return "test-" + blake2b(str(path).encode(), digest_size=8).hexdigest()


class TestChromaServer(StoreConformance):
    gaps: ClassVar[dict[str, str]] = {"S22": "the files are the server's: the client has none"}
    url: ClassVar[str]
    opened: ClassVar[list[VectorStore]] = []

    @pytest.fixture(autouse=True)
    def served(self, url: str) -> Iterator[None]:
        TestChromaServer.url = url
        yield
        while self.opened:
            self.opened.pop().close()

    def open(self, path: Path, dim: int) -> VectorStore:
        self.opened.append(ChromaStore.connect(self.url, name_of(path), dim=dim))
        return self.opened[-1]

    def test_operations_in_any_order_agree_with_a_dict(self) -> None:
        run_state_machine_as_test(state_machine(type(self)), settings=settings(max_examples=5))

    def test_a_removed_store_is_empty_when_it_is_opened_again(self, tmp_path: Path) -> None:
        store, *_ = self._filled(tmp_path, 5)
        store.close()
        ChromaStore.remove(self.url, name_of(tmp_path))
        ChromaStore.remove(self.url, name_of(tmp_path))
        assert self.open(tmp_path, 8).count() == 0
