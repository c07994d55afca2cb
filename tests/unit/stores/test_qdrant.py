"""What is special about Qdrant: hashed ids, an index built elsewhere, a key, requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from whatworks.errors import InvalidInputError, MissingExtraError, StoreError, StoreFullError
from whatworks.stores import qdrant
from whatworks.stores.base import as_unit
from whatworks.stores.qdrant import QdrantStore
from whatworks.testing import directions


@pytest.fixture
def small_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant, "INDEX_FROM", 1_000)


def filled(path: Path, count: int) -> QdrantStore:
    store = QdrantStore(path, dim=16)
    store.upsert([f"id{n}" for n in range(count)], directions(count, 16))
    return store


def run(program: str, path: Path, *more: str) -> int:
    """What a process that runs ``program`` ends with."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program, str(path), *more]
    return subprocess.run(command, env=environment, check=False).returncode


# -- ids ------------------------------------------------------------------------------------------


def test_an_id_has_the_same_uuid_in_every_process() -> None:
    assert qdrant._key("pattern") == UUID("07248e15-5a32-8582-92a1-cadfdfe64c2c")
    assert qdrant._key("pattern").version == 8


@pytest.fixture
def colliding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids of the same length have the same hash."""
    monkeypatch.setattr(qdrant, "_key", lambda name: UUID(int=len(name)))


@pytest.mark.usefixtures("colliding")
def test_two_ids_of_one_hash_in_a_batch_are_refused(tmp_path: Path) -> None:
    store = QdrantStore(tmp_path, dim=2)
    with pytest.raises(StoreError, match="'b' and 'a' have the same hash"):
        store.upsert(["b", "a"], np.eye(2, dtype=np.float32))
    assert store.count() == 0


@pytest.mark.usefixtures("colliding")
def test_an_id_never_takes_the_place_of_another_of_the_same_hash(tmp_path: Path) -> None:
    store, places = QdrantStore(tmp_path, dim=2), np.eye(2, dtype=np.float32)
    store.upsert(["a"], places[:1])
    with pytest.raises(StoreError, match="same hash"):
        store.upsert(["b"], places[1:])
    store.upsert(["a"], places[:1])
    assert store.get(["b"]) == {}
    assert store.search_among(places[0], 5, ["b"]).ids == []
    store.delete(["b"])
    assert store.search(places[1], 5).ids == ["a"]


# -- the index ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_index")
def test_searches_and_changes_go_on_while_the_index_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, built = filled(tmp_path, 1_200), threading.Event()
    build, new = QdrantStore._optimize, directions(2, 16, seed=4)

    def slowly(self: QdrantStore, draft: Path) -> None:
        build(self, draft)
        store.upsert(["new", "id1"], new)
        store.delete(["id0"])
        assert store.search(new[0], 1).ids == ["new"]
        built.set()

    monkeypatch.setattr(QdrantStore, "_optimize", slowly)
    assert store.maintain()
    assert built.is_set()
    assert store.count() == 1_200
    assert store.search(new[0], 1).ids == ["new"]
    assert store.search(new[1], 1).ids == ["id1"]
    assert store.get(["id0"]) == {}
    store.flush()
    store.close()
    again = QdrantStore(tmp_path, dim=16)
    assert again.count() == 1_200
    assert again.get(["id0", "new"]).keys() == {"new"}


@pytest.mark.usefixtures("small_index")
def test_an_index_that_cannot_be_built_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, 1_200)
    for said, kind in (("boom", StoreError), ("No space left on device", StoreFullError)):
        monkeypatch.setattr(qdrant, "_OPTIMIZE", f"raise SystemExit({said!r})")
        store._changes = 1_200
        with pytest.raises(kind, match=said):
            store.maintain()
    assert store.count() == 1_200
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000001"]
    store.upsert(["new"], directions(1, 16, seed=3))
    assert store.count() == 1_201


@pytest.mark.usefixtures("small_index")
def test_closing_does_not_wait_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant, "_OPTIMIZE", "import time; time.sleep(600)")
    store, said = filled(tmp_path, 1_200), list[object]()

    def maintain() -> None:
        try:
            store.maintain()
        except StoreError as error:
            said.append(str(error))

    maintaining = threading.Thread(target=maintain)
    maintaining.start()
    while store._worker is None:
        maintaining.join(0.01)
    store.close()
    maintaining.join(60)
    assert said == ["the vectors were closed meanwhile; ask again"]
    assert QdrantStore(tmp_path, dim=16).path == tmp_path


DYING = """
import os, shutil, signal, sys
from pathlib import Path
from whatworks.stores import qdrant
from whatworks.testing import directions
qdrant.INDEX_FROM = 1_000
store = qdrant.QdrantStore(Path(sys.argv[1]), dim=16)
store.upsert([f"id{n}" for n in range(1_200)], directions(1_200, 16))
store.flush()

def die(*given, **named):
    os.kill(os.getpid(), signal.SIGKILL)

owner, name = {
    "indexed": (Path, "rename"),
    "renamed": (qdrant.QdrantStore, "_open_again"),
    "exchanged": (shutil, "rmtree"),
}[sys.argv[2]]
setattr(owner, name, die)
store.maintain()
"""


@pytest.mark.parametrize(
    ("death", "left"),
    [
        ("indexed", {"draft", "shard-00000001"}),
        ("renamed", {"shard-00000001", "shard-00000002"}),
        ("exchanged", {"draft", "shard-00000002"}),
    ],
)
def test_a_death_while_the_index_is_built_loses_nothing(
    tmp_path: Path, death: str, left: set[str]
) -> None:
    assert run(DYING, tmp_path, death) == -signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} == left
    store, vectors = QdrantStore(tmp_path, dim=16), directions(1_200, 16)
    assert [path.name for path in tmp_path.iterdir()] == [min(left - {"draft"})]
    assert store.count() == 1_200
    assert store.search(vectors[700], 1).ids == ["id700"]


# -- files ----------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from whatworks.stores.base import as_unit
from whatworks.stores.qdrant import QdrantStore
from whatworks.testing import directions
store = QdrantStore(Path(sys.argv[1]), dim=16)
ids, vectors = [f"id{n}" for n in range(500)], directions(500, 16)
store.upsert(ids, vectors)
store.delete(ids[:100])
store.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    assert run(KILLED, tmp_path) == -signal.SIGKILL
    store, vectors = QdrantStore(tmp_path, dim=16), directions(500, 16)
    assert store.count() == 400
    assert store.search(vectors[200], 1).ids == ["id200"]
    found = store.get([f"id{n}" for n in range(500)])
    assert len(found) == 400
    np.testing.assert_array_equal(found["id300"], as_unit(vectors, 16)[300])


def test_a_store_lists_its_ids_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant, "PAGE", 7)
    pages = list(filled(tmp_path, 20).iter_ids())
    assert [len(page) for page in pages] == [7, 7, 6]
    assert {name for page in pages for name in page} == {f"id{n}" for n in range(20)}


def test_a_panic_of_the_engine_is_a_store_error(tmp_path: Path) -> None:
    class PanicException(BaseException):
        pass

    def panic(shard: Any) -> None:
        raise PanicException("index out of bounds")

    def interrupted(shard: Any) -> None:
        raise KeyboardInterrupt

    store = filled(tmp_path, 3)
    with pytest.raises(StoreError, match="index out of bounds"):
        store._ask(panic)
    with pytest.raises(KeyboardInterrupt):
        store._ask(interrupted)


def test_a_shard_is_closed_when_all_that_it_was_asked_is_answered() -> None:
    """PyO3 refuses ``close`` while another thread is inside of the object."""
    refusals = [RuntimeError("Already borrowed"), RuntimeError("Already borrowed")]

    class Shard:
        def close(self) -> None:
            if refusals:
                raise refusals.pop()

    qdrant._shut(Shard())
    assert refusals == []
    refusals.append(RuntimeError("disk"))
    with pytest.raises(RuntimeError, match="disk"):
        qdrant._shut(Shard())


# -- a server -------------------------------------------------------------------------------------

Request = tuple[str, str, Any]
Answer = Callable[[str, str], tuple[int, Any]]


class Recorder(ThreadingHTTPServer):
    """Writes down what is asked, and answers as ``answer`` says."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.requests, self.keys = answer, list[Request](), set[str | None]()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Recorder

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.requests.append((self.command, self.path, json.loads(body or "null")))
        self.server.keys.add(self.headers.get("api-key"))
        status, result = self.server.answer(self.command, self.path)
        said = json.dumps({"result": result, "status": "ok", "time": 0.001}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_PUT = do_POST = do_DELETE = respond  # noqa: N815 - the names of the base

    def log_message(self, *_: object) -> None:
        pass


KEY = str(qdrant._key("a"))
DONE = {"operation_id": 1, "status": "completed"}


def like_qdrant(method: str, path: str) -> tuple[int, Any]:
    """The answers of a server that has one collection of two dimensions with one point."""
    point = {"id": KEY, "payload": {"id": "a"}, "version": 1}
    vectors = {"size": 2, "distance": "Cosine"}
    answers: dict[str, Any] = {
        "GET /collections/mine/exists": {"exists": False},
        "PUT /collections/mine": True,
        "DELETE /collections/mine": True,
        "GET /collections/mine": {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "config": {
                "params": {"vectors": vectors},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
            },
            "payload_schema": {},
        },
        "POST /collections/mine/points": [point | {"vector": [0.0, 1.0]}],
        "PUT /collections/mine/points?wait=true": DONE,
        "POST /collections/mine/points/delete?wait=true": DONE,
        "POST /collections/mine/points/query": {"points": [point | {"score": 0.25}]},
        "POST /collections/mine/points/count": {"count": 1},
        "POST /collections/mine/points/scroll": {"points": [point], "next_page_offset": None},
    }
    return 200, answers[f"{method} {path}"]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Recorder]]:
    running = list[Recorder]()

    def start(answer: Answer) -> Recorder:
        running.append(Recorder(answer))
        threading.Thread(target=running[-1].serve_forever, args=(0.01,)).start()
        return running[-1]

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_a_server_is_asked_in_its_own_words(serve: Callable[[Answer], Recorder]) -> None:
    server = serve(like_qdrant)
    store = QdrantStore.connect(server.url, "mine", dim=2)
    assert server.requests == [
        ("GET", "/collections/mine/exists", None),
        ("PUT", "/collections/mine", {"vectors": {"size": 2, "distance": "Cosine"}}),
        ("GET", "/collections/mine", None),
    ]

    def asked(use: Callable[[], object]) -> list[Request]:
        server.requests.clear()
        use()
        return server.requests

    held = ("POST", "/collections/mine/points", {"ids": [KEY], "with_payload": ["id"]})
    assert asked(lambda: store.upsert(["a"], np.array([[0, 3]], np.float32))) == [
        (*held[:2], held[2] | {"with_vector": False}),
        (
            "PUT",
            "/collections/mine/points?wait=true",
            {"batch": {"ids": [KEY], "vectors": [[0.0, 1.0]], "payloads": [{"id": "a"}]}},
        ),
    ]
    assert asked(lambda: store.get(["a"])) == [(*held[:2], held[2] | {"with_vector": True})]
    count = ("POST", "/collections/mine/points/count", {"exact": True})
    assert asked(store.count) == [count]
    search = {
        "query": {"nearest": [1.0, 0.0]},
        "limit": 3,
        "with_payload": ["id"],
        "with_vector": False,
        "params": {"hnsw_ef": qdrant.EF_SEARCH, "exact": False},
    }
    place = np.array([1, 0], np.float32)
    found = ("POST", "/collections/mine/points/query")
    assert asked(lambda: store.search(place, 3)) == [(*found, search)]
    among = search | {
        "filter": {"must": [{"has_id": [KEY]}]},
        "params": search["params"] | {"exact": True},  # type: ignore[operator]
    }
    assert asked(lambda: store.search_among(place, 3, ["a"])) == [(*found, among)]
    assert asked(lambda: store.delete(["a"]))[1:] == [
        ("POST", "/collections/mine/points/delete?wait=true", {"points": [KEY]})
    ]
    assert asked(lambda: list(store.iter_ids())) == [  # type: ignore[attr-defined]
        (
            "POST",
            "/collections/mine/points/scroll",
            {"limit": qdrant.PAGE, "with_payload": ["id"], "with_vector": False},
        )
    ]
    assert asked(store.flush) == []
    store.close()
    server.requests.clear()
    QdrantStore.remove(server.url, "mine")
    assert server.requests == [("DELETE", "/collections/mine", None)]


def test_answers_of_a_server_are_understood(serve: Callable[[Answer], Recorder]) -> None:
    store = QdrantStore.connect(serve(like_qdrant).url, "mine", dim=2)
    assert store.search(np.array([1, 0], np.float32), 3).distances.tolist() == [0.75]
    assert store.get(["a"])["a"].tolist() == [0, 1]
    assert store.get(["b"]) == {}  # the answer is about another id
    assert store.count() == 1
    store.close()


def test_the_key_of_a_server_comes_from_the_environment(
    serve: Callable[[Answer], Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    server = serve(like_qdrant)
    with pytest.warns(UserWarning, match="insecure connection"):
        QdrantStore.connect(server.url, "mine", dim=2).close()
    assert server.keys == {"secret"}
    for url in ("https://me:secret@host:6333", "https://secret@host"):
        with pytest.raises(InvalidInputError, match="QDRANT_API_KEY") as refused:
            QdrantStore.connect(url, "mine", dim=2)
        assert "secret" not in str(refused.value)


def test_another_shape_on_a_server_is_refused(serve: Callable[[Answer], Recorder]) -> None:
    with pytest.raises(StoreError, match=r"\(2, .*expected \(3, Cosine\)"):
        QdrantStore.connect(serve(like_qdrant).url, "mine", dim=3)


def test_what_a_server_refuses_is_a_store_error(serve: Callable[[Answer], Recorder]) -> None:
    def full(method: str, path: str) -> tuple[int, Any]:
        return (500, "No space left on device") if "wait" in path else like_qdrant(method, path)

    store = QdrantStore.connect(serve(full).url, "mine", dim=2)
    with pytest.raises(StoreFullError):
        store.upsert(["a"], np.ones((1, 2), np.float32))
    store.close()
    with pytest.raises(StoreError, match="could not"):
        QdrantStore.connect(serve(lambda *_: (403, None)).url, "mine", dim=2)


def test_a_point_of_another_program_is_a_store_error(serve: Callable[[Answer], Recorder]) -> None:
    def foreign(method: str, path: str) -> tuple[int, Any]:
        status, result = like_qdrant(method, path)
        if path.endswith("/query"):
            result = {"points": [{"id": 7, "version": 1, "score": 0.5, "payload": None}]}
        return status, result

    store = QdrantStore.connect(serve(foreign).url, "mine", dim=2)
    with pytest.raises(StoreError):
        store.search(np.ones(2, np.float32), 1)
    store.close()


def test_a_server_that_is_not_there_is_a_store_error() -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
        QdrantStore.connect("http://127.0.0.1:9", "mine", dim=2)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("qdrant_edge", "qdrant_client", "qdrant_client.models"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"whatworks\[qdrant\]"):
        QdrantStore(tmp_path, dim=2)
    with pytest.raises(MissingExtraError, match=r"whatworks\[qdrant\]"):
        QdrantStore.connect("http://127.0.0.1:9", "mine", dim=2)
    with pytest.raises(MissingExtraError, match=r"whatworks\[qdrant\]"):
        QdrantStore.remove("http://127.0.0.1:9", "mine")
