"""What is special about Chroma: shared clients, its limits, a token, nothing that phones home."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings

from whatworks.errors import InvalidInputError, MissingExtraError, StoreError
from whatworks.stores import chroma
from whatworks.stores.base import as_unit
from whatworks.stores.chroma import ChromaStore
from whatworks.testing import directions


def filled(path: Path, count: int) -> ChromaStore:
    store = ChromaStore(path, dim=16)
    store.upsert([f"id{n}" for n in range(count)], directions(count, 16))
    return store


# -- one process ----------------------------------------------------------------------------------


def test_a_store_shares_nothing_with_one_whose_folder_was_replaced(tmp_path: Path) -> None:
    forgotten = filled(tmp_path / "store", 5)  # as after an error: nobody closes it
    shutil.rmtree(tmp_path / "store")
    store = ChromaStore(tmp_path / "store", dim=16)
    assert store.count() == 0
    store.upsert(["new"], directions(1, 16))
    forgotten.close()
    assert store.search(directions(1, 16)[0], 5).ids == ["new"]
    store.close()
    assert ChromaStore(tmp_path / "store", dim=16).count() == 1


def test_a_path_can_be_used_again_and_again(tmp_path: Path) -> None:
    for _ in range(3):
        store = ChromaStore(tmp_path, dim=16)
        assert store._place == str(tmp_path)
        store.close()


def test_batches_are_as_large_as_the_engine_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma, "BATCH_NUMBERS", 1_000_000)
    store = ChromaStore(tmp_path, dim=2)
    store.upsert([f"id{n}" for n in range(6_000)], directions(6_000, 2))
    assert store.count() == 6_000


def test_a_store_lists_its_ids_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chroma, "PAGE", 7)
    pages = list(filled(tmp_path, 20).iter_ids())
    assert [len(page) for page in pages] == [7, 7, 6]
    assert {name for page in pages for name in page} == {f"id{n}" for n in range(20)}


def test_a_collection_that_another_program_made_is_refused(tmp_path: Path) -> None:
    client = chromadb.PersistentClient(tmp_path, settings=Settings(anonymized_telemetry=False))
    client.create_collection(chroma.COLLECTION, embedding_function=None)
    client.close()
    with pytest.raises(StoreError, match="another model or program made it"):
        ChromaStore(tmp_path, dim=16)


def test_nothing_is_reported_and_no_model_is_loaded(tmp_path: Path) -> None:
    store = ChromaStore(tmp_path, dim=16)
    assert store._client.get_settings().anonymized_telemetry is False
    assert store._collection._embedding_function is None


KILLED = """
import os, signal, sys
from pathlib import Path
from whatworks.stores.base import as_unit
from whatworks.stores.chroma import ChromaStore
from whatworks.testing import directions
store = ChromaStore(Path(sys.argv[1]), dim=16)
ids, vectors = [f"id{n}" for n in range(1_500)], directions(1_500, 16)
store.upsert(ids, vectors)
store.delete(ids[:100])
store.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    store, vectors = ChromaStore(tmp_path, dim=16), directions(1_500, 16)
    assert store.count() == 1_400
    assert store.search(vectors[1_200], 1).ids == ["id1200"]
    np.testing.assert_array_equal(store.get(["id300"])["id300"], as_unit(vectors, 16)[300])


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("chromadb", "chromadb.config", "chromadb.errors"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"whatworks\[chroma\]"):
        ChromaStore(tmp_path, dim=2)
    with pytest.raises(MissingExtraError, match=r"whatworks\[chroma\]"):
        ChromaStore.connect("http://127.0.0.1:9", "mine", dim=2)
    with pytest.raises(MissingExtraError, match=r"whatworks\[chroma\]"):
        ChromaStore.remove("http://127.0.0.1:9", "mine")


# -- a server -------------------------------------------------------------------------------------


class Doorkeeper(ThreadingHTTPServer):
    """Lets nobody in, and remembers what they said."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Refusal)
        self.heard = list[str | None]()


class Refusal(BaseHTTPRequestHandler):
    server: Doorkeeper

    def do_GET(self) -> None:
        self.server.heard.append(self.headers.get("Authorization"))
        self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def doorkeeper() -> Iterator[Doorkeeper]:
    with Doorkeeper() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


def test_the_token_of_a_server_comes_from_the_environment(
    doorkeeper: Doorkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{doorkeeper.server_port}"
    for token, said in (("secret", "Bearer secret"), ("", None)):
        monkeypatch.setenv("CHROMA_AUTH_TOKEN", token)
        with pytest.raises(StoreError, match=url):
            ChromaStore.connect(url, "mine", dim=2)
        assert doorkeeper.heard[-1] == said


def test_settings_of_the_environment_do_not_choose_another_server(
    doorkeeper: Doorkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMA_SERVER_HOST", "elsewhere")
    monkeypatch.setenv("CHROMA_SERVER_HTTP_PORT", "1")
    with pytest.raises(StoreError):
        ChromaStore.connect(f"http://127.0.0.1:{doorkeeper.server_port}", "mine", dim=2)
    assert doorkeeper.heard


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://me:secret@host:8000", "CHROMA_AUTH_TOKEN"),
        ("https://host/path", "expected http://host:8000"),
        ("ftp://host", "expected http://host:8000"),
        ("http://host:port", "expected http://host:8000"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, expected: str) -> None:
    with pytest.raises(InvalidInputError, match=expected) as refused:
        ChromaStore.connect(url, "mine", dim=2)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="http://127.0.0.1:9"):
        ChromaStore.connect("http://127.0.0.1:9", "mine", dim=2)
    with pytest.raises(StoreError, match="http://127.0.0.1:9"):
        ChromaStore.remove("http://127.0.0.1:9", "mine")
