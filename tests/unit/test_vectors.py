from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.testing import assert_allclose

from support.log import apply, pattern
from whatworks import StoreError, packing, vectors
from whatworks.evidence import Evidence, texts
from whatworks.stores import Hits
from whatworks.stores.exact import ExactStore
from whatworks.testing import HashEmbedder, nearest
from whatworks.vectors import Vectors

MODEL = HashEmbedder(16)
WORDS = [
    "red",
    "green",
    "blue",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "sun",
    "moon",
    "sea",
]


@pytest.fixture(params=["exact", "lance", "usearch"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def evidence(tmp_path: Path) -> Iterator[Evidence]:
    evidence = Evidence(tmp_path / "evidence.duckdb")
    yield evidence
    evidence.close()


@pytest.fixture
def open_vectors(evidence: Evidence, tmp_path: Path, engine: str) -> Iterator[Callable[..., Vectors]]:
    opened: list[Vectors] = []

    def open_(**changed: Any) -> Vectors:
        options = {"vectors": engine, "model": MODEL.model_id, "dim": 16} | changed
        opened.append(Vectors(evidence, tmp_path / "vectors", "patterns", **options))
        return opened[-1]

    yield open_
    for item in opened:
        item.close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that leaves the memory at 50 vectors and is brought up to date every 20."""
    monkeypatch.setattr(vectors, "IN_MEMORY", 50)
    monkeypatch.setattr(vectors, "TAIL", 20)


def text(number: int) -> str:
    return " ".join(WORDS[(number * step) % len(WORDS)] for step in (1, 3, 5, 7)) + f" number{number}"


def add(evidence: Evidence, described: dict[str, str], opened: Vectors | None = None) -> None:
    """Patterns with these descriptions, embedded as the keeper does it."""
    apply(evidence, [pattern(name, description) for name, description in described.items()])
    batch = texts.waiting(evidence, "patterns", MODEL.model_id, 10_000)
    made = MODEL([item.text for item in batch])
    texts.add_embeddings(evidence, "patterns", MODEL.model_id, batch, made)
    if opened is not None:
        opened.add([item.id for item in batch], made)
        opened.project()


def described(start: int, end: int) -> dict[str, str]:
    return {f"p{n:04}": text(n) for n in range(start, end)}


def assert_answers(opened: Vectors, truth: dict[str, str], k: int = 12) -> None:
    """Every search agrees with comparing all descriptions."""
    ids = sorted(truth)
    all_vectors = MODEL([truth[name] for name in ids])
    for question in ("red green blue", "one two three number7", "sun moon"):
        query = MODEL([question])[0]
        found, exact = opened.search(query, k), nearest(ids, all_vectors, query, k)
        assert_allclose(found.distances, exact.distances, atol=1e-5)
        assert len(set(found.ids)) == len(found.ids) == min(k, len(truth))
        own = dict(zip(ids, 1 - all_vectors @ query, strict=True))
        assert_allclose(found.distances, [own[name] for name in found.ids], atol=1e-5)


def test_a_small_store_stays_in_memory(
    evidence: Evidence, open_vectors: Callable[..., Vectors], tmp_path: Path
) -> None:
    opened = open_vectors()
    add(evidence, described(0, 40), opened)
    assert opened.in_memory == 40
    assert_answers(opened, described(0, 40))
    assert not (tmp_path / "vectors").exists()
    assert opened.search(MODEL(["red"])[0], 0).ids == []


@pytest.mark.usefixtures("small")
def test_what_is_in_the_store_and_what_is_not_yet_are_searched_as_one(
    evidence: Evidence, open_vectors: Callable[..., Vectors]
) -> None:
    opened = open_vectors()
    for end in (30, 60, 65, 79, 90, 101):
        add(evidence, described(0, end), opened)
        assert_answers(opened, described(0, end))
        assert opened.in_memory < 60
    assert_answers(opened, described(0, 101), k=500)


@pytest.mark.usefixtures("small")
def test_a_replaced_text_is_found_at_its_new_place_only(
    evidence: Evidence, open_vectors: Callable[..., Vectors]
) -> None:
    opened = open_vectors()
    truth = described(0, 80)
    add(evidence, truth, opened)
    changed = {name: "elsewhere " + name for name in list(truth)[:15]}
    add(evidence, changed, opened)
    assert opened.in_memory == 15
    assert_answers(opened, truth | changed)


@pytest.mark.usefixtures("small")
def test_many_replaced_texts_do_not_hide_the_others(
    evidence: Evidence, open_vectors: Callable[..., Vectors]
) -> None:
    opened = open_vectors()
    near = {f"near{n:02}": f"red green blue red green blue {n}" for n in range(19)}
    truth = near | described(0, 60)
    add(evidence, truth, opened)
    changed = {name: "elsewhere " + name for name in near}
    add(evidence, changed, opened)
    assert opened.in_memory == 19
    assert_answers(opened, truth | changed, k=3)


@pytest.mark.usefixtures("small")
def test_a_reopened_store_answers_as_before(
    evidence: Evidence, open_vectors: Callable[..., Vectors]
) -> None:
    first = open_vectors()
    add(evidence, described(0, 75), first)
    add(evidence, described(75, 85), first)
    assert first.in_memory == 10
    first.close()
    second = open_vectors()
    assert second.in_memory == 10
    assert_answers(second, described(0, 85))


@pytest.mark.usefixtures("small")
def test_what_was_embedded_while_it_was_closed_is_found(
    evidence: Evidence, open_vectors: Callable[..., Vectors]
) -> None:
    first = open_vectors()
    add(evidence, described(0, 60), first)
    first.close()
    add(evidence, described(60, 100))
    assert_answers(open_vectors(), described(0, 100))


@pytest.mark.usefixtures("small")
def test_a_store_grown_large_while_closed_is_filled_at_opening(
    evidence: Evidence, open_vectors: Callable[..., Vectors]
) -> None:
    add(evidence, described(0, 100))
    opened = open_vectors()
    assert opened.in_memory == 0
    assert_answers(opened, described(0, 100))


def test_a_small_store_is_written_when_it_is_forced(
    evidence: Evidence, open_vectors: Callable[..., Vectors], tmp_path: Path
) -> None:
    opened = open_vectors()
    add(evidence, described(0, 30), opened)
    opened.project(force=True)
    assert (tmp_path / "vectors" / "manifest.json").exists()
    add(evidence, described(30, 40), opened)
    opened.project(force=True)
    opened.project(force=True)
    assert_answers(opened, described(0, 40))
    assert_answers(open_vectors(), described(0, 40))


def filled(evidence: Evidence, open_vectors: Callable[..., Vectors]) -> None:
    first = open_vectors()
    add(evidence, described(0, 70), first)
    first.maintain()
    first.close()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("key", ["format", "engine_version", "build", "model", "dim", "metric"])
def test_a_store_made_otherwise_is_filled_again(
    evidence: Evidence, open_vectors: Callable[..., Vectors], tmp_path: Path, key: str
) -> None:
    filled(evidence, open_vectors)
    path = tmp_path / "vectors" / "manifest.json"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {key: "other"}))
    (tmp_path / "vectors" / "store" / "trace").touch()
    assert_answers(open_vectors(), described(0, 70))
    assert not (tmp_path / "vectors" / "store" / "trace").exists()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"{}", b"\xff"])
def test_a_damaged_manifest_is_a_store_to_fill_again(
    evidence: Evidence, open_vectors: Callable[..., Vectors], tmp_path: Path, content: bytes
) -> None:
    filled(evidence, open_vectors)
    (tmp_path / "vectors" / "manifest.json").write_bytes(content)
    assert_answers(open_vectors(), described(0, 70))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("damage", ["truncated", "emptied", "removed"])
def test_a_broken_store_is_filled_again(
    evidence: Evidence, open_vectors: Callable[..., Vectors], tmp_path: Path, damage: str
) -> None:
    filled(evidence, open_vectors)
    store = tmp_path / "vectors" / "store"
    for folder, _, files in os.walk(store):
        for name in files:
            path = Path(folder) / name
            os.truncate(path, path.stat().st_size // 2 if damage == "truncated" else 0)
    if damage == "removed":
        shutil.rmtree(store)
    opened = open_vectors()
    assert_answers(opened, described(0, 70))
    add(evidence, described(70, 100), opened)
    opened.close()
    assert_answers(open_vectors(), described(0, 100))


def every_file(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file())


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 4
    path.write_bytes(content)


@pytest.mark.usefixtures("small")
def test_a_flipped_bit_in_any_file_is_a_store_to_fill_again(
    evidence: Evidence, open_vectors: Callable[..., Vectors], tmp_path: Path
) -> None:
    filled(evidence, open_vectors)
    names = [path.relative_to(tmp_path) for path in every_file(tmp_path / "vectors" / "store")]
    for n, name in enumerate(names):
        if not (tmp_path / name).exists():  # of a store that was thrown away
            continue
        flip(tmp_path / name, 97 * n)
        opened = open_vectors()
        assert_answers(opened, described(0, 70))
        opened.close()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("damage", ["left over", "one missing", "emptied", "count", "sum"])
def test_a_store_that_is_not_what_was_flushed_is_never_opened(
    evidence: Evidence,
    open_vectors: Callable[..., Vectors],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    filled(evidence, open_vectors)
    store, manifest = tmp_path / "vectors" / "store", tmp_path / "vectors" / "manifest.json"
    newest = max(every_file(store), key=lambda path: path.stat().st_mtime_ns)
    given = orjson.loads(manifest.read_bytes())
    if damage == "left over":
        (newest.parent / "half-written.tmp").write_bytes(b"x")
    elif damage == "one missing":
        newest.unlink()
    elif damage == "emptied":
        os.truncate(newest, 0)
    elif damage == "count":
        manifest.write_bytes(orjson.dumps(given | {"vectors": 69}))
    else:
        given["files"][str(newest.relative_to(store))][1] += 1
        manifest.write_bytes(orjson.dumps(given))
    discarded = spy(monkeypatch, "_discard")
    assert_answers(open_vectors(), described(0, 70))
    assert discarded == [1]


@pytest.mark.usefixtures("small")
def test_a_sound_store_is_not_filled_again(
    evidence: Evidence, open_vectors: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(evidence, open_vectors)
    discarded = spy(monkeypatch, "_discard")
    opened = open_vectors()
    opened.maintain()
    add(evidence, described(70, 100), opened)
    opened.close()
    assert_answers(open_vectors(), described(0, 100))
    assert discarded == []


@pytest.mark.usefixtures("small")
def test_a_store_that_is_ahead_of_the_evidence_is_filled_again(
    evidence: Evidence, open_vectors: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evidence that lost its end numbers texts anew: what the store says to hold is something else."""
    filled(evidence, open_vectors)
    monkeypatch.setattr(Evidence, "folded", 5)
    opened = open_vectors()
    add(evidence, described(70, 100), opened)
    opened.close()
    monkeypatch.setattr(evidence, "opening", "another")
    discarded = spy(monkeypatch, "_discard")
    assert_answers(open_vectors(), described(0, 100))
    assert discarded == [1]


def spy(monkeypatch: pytest.MonkeyPatch, method: str) -> list[int]:
    """Takes down a 1 for each call of a method of ``Vectors``."""
    called: list[int] = []
    real = getattr(Vectors, method)

    def noted(self: Vectors) -> Any:
        called.append(1)
        return real(self)

    monkeypatch.setattr(Vectors, method, noted)
    return called


@pytest.mark.usefixtures("small")
def test_a_store_that_fails_while_open_is_not_missed_and_filled_again(
    evidence: Evidence, open_vectors: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_vectors()
    add(evidence, described(0, 70), opened)
    add(evidence, described(70, 75), opened)
    broken = opened._store
    assert broken is not None

    def fails(*_: object) -> None:
        raise StoreError("the file is gone")

    monkeypatch.setattr(broken, "search", fails)
    monkeypatch.setattr(broken, "get", fails)
    assert_answers(opened, described(0, 75))
    assert set(opened.get(["p0001", "p0074", "nobody"])) == {"p0001", "p0074"}
    assert opened._store is broken
    add(evidence, described(75, 76), opened)
    assert opened._store is not broken
    assert_answers(opened, described(0, 76))


@pytest.mark.usefixtures("small")
def test_a_store_that_refuses_a_write_is_filled_again(
    evidence: Evidence, open_vectors: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_vectors()
    add(evidence, described(0, 70), opened)

    def fails(*_: object) -> None:
        raise StoreError("the manifest is damaged")

    monkeypatch.setattr(opened._store, "upsert", fails)
    add(evidence, described(70, 100), opened)
    assert_answers(opened, described(0, 100))
    opened.close()
    assert_answers(open_vectors(), described(0, 100))


@pytest.mark.usefixtures("small")
def test_another_engine_fills_a_store_of_its_own(
    evidence: Evidence, open_vectors: Callable[..., Vectors], engine: str
) -> None:
    filled(evidence, open_vectors)
    other = open_vectors(vectors="lance" if engine == "exact" else "exact")
    assert_answers(other, described(0, 70))


def test_distances_of_some_ids_are_exact(
    evidence: Evidence, open_vectors: Callable[..., Vectors]
) -> None:
    opened = open_vectors()
    add(evidence, described(0, 20), opened)
    query = MODEL(["red green"])[0]
    wanted = ["p0003", "p0001", "p0007", "nobody"]
    truth = packing.unpacked(packing.packed(MODEL([text(3), text(1), text(7)])))
    exact = nearest(["p0003", "p0001", "p0007"], truth, query, 3)
    found = opened.distances(query, wanted)
    assert found.ids == exact.ids
    assert_allclose(found.distances, exact.distances, atol=1e-6)
    assert opened.distances(query, ["nobody"]) == Hits([], pytest.approx(np.empty(0)))
    assert opened.distances(query, []).ids == []


def test_ties_come_in_the_order_of_ids(
    evidence: Evidence, open_vectors: Callable[..., Vectors]
) -> None:
    opened = open_vectors()
    add(evidence, dict.fromkeys(["d", "b", "a", "c"], "red"), opened)
    assert opened.search(MODEL(["red"])[0], 3).ids == ["a", "b", "c"]


@pytest.mark.usefixtures("small")
def test_the_engine_is_not_loaded_by_a_small_store(
    evidence: Evidence, open_vectors: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a small store needs no engine")

    monkeypatch.setattr(vectors, "open_store", refuse)
    opened = open_vectors()
    add(evidence, described(0, 50), opened)
    assert_answers(opened, described(0, 50))


def test_upkeep_is_done_by_one_at_a_time(open_vectors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "IN_MEMORY", 3)
    opened, at_work, most = open_vectors(), 0, 0

    class Slow:
        stable_files = True

        def maintain(self) -> bool:
            nonlocal at_work, most
            at_work += 1
            most = max(most, at_work)
            time.sleep(0.02)
            at_work -= 1
            return False

        def close(self) -> None:
            pass

    opened._store = Slow()
    threads = [threading.Thread(target=opened.maintain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


class Unreachable(ExactStore):
    """A store on a server that is down until it is told otherwise."""

    up = False

    def _check(self) -> None:
        if not self.up:
            raise StoreError("the server does not answer")

    def _search(self, query: Any, k: int) -> Hits:
        self._check()
        return super()._search(query, k)

    def _upsert(self, ids: list[str], given: Any) -> None:
        self._check()
        super()._upsert(ids, given)


@pytest.mark.usefixtures("small")
def test_without_its_server_the_evidence_answers(
    evidence: Evidence, open_vectors: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "open_store", lambda _, path, *, dim, name: Unreachable(path, dim=dim))
    monkeypatch.setattr(vectors, "RETRY_SECONDS", 0)
    monkeypatch.setattr(Unreachable, "up", False)
    add(evidence, described(0, 70))
    opened = open_vectors(vectors="exact")
    assert opened.trouble == "the server does not answer"
    assert_answers(opened, described(0, 70))
    assert opened.get(["p0003", "nobody"]).keys() == {"p0003"}
    add(evidence, described(0, 95), opened)  # which tries again
    assert_answers(opened, described(0, 95))
    with pytest.raises(StoreError, match="does not answer"):
        opened.project(force=True)
    monkeypatch.setattr(Unreachable, "up", True)
    add(evidence, described(0, 100), opened)
    assert opened.trouble is None
    assert_answers(opened, described(0, 100))
    monkeypatch.setattr(Unreachable, "up", False)
    assert_answers(opened, described(0, 100))
    add(evidence, described(0, 101), opened)
    assert opened.trouble is not None
    assert_answers(opened, described(0, 101))
