"""Moving the vectors from one store to another while the memory is in use."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whatworks import InvalidInputError, Memory, MissingExtraError, StoreError, vectors
from whatworks.doctor import examine
from whatworks.repair import repair
from whatworks.stores import VectorStore, registry
from whatworks.stores.exact import ExactStore
from whatworks.testing import HashEmbedder

ENGINES = ["chroma", "exact", "lance", "omendb", "qdrant", "usearch"]
WORDS = ["parser", "import", "borrow", "config", "timeout", "retry", "cache", "socket"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(params=["in memory", "in the store"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether vectors are kept in memory beside the store, as those of small memories are."""
    if request.param == "in the store":
        monkeypatch.setattr(vectors, "IN_MEMORY", 30)
        monkeypatch.setattr(vectors, "TAIL", 20)
    return str(request.param)


class Spread(HashEmbedder):
    """No two texts are equally near to a third: engines round, and order ties as they like."""

    def __call__(self, given: list[str], /) -> Any:
        made = super().__call__(given)
        for row, text in enumerate(given):
            made[row] += 0.05 * np.random.default_rng([*text.encode()]).normal(size=self.dim)
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def filled(store: Path, engine: str, count: int = 80) -> Memory:
    memory = Memory.open(store, embedder=Spread(), vectors=engine)
    memory.add_patterns([{"description": described(n), "pattern_id": f"p{n}"} for n in range(count)])
    memory.record("p1", outcome=1.0, context="the parser waits for a socket")
    return memory


def described(n: int) -> str:
    return " ".join(WORDS[n * step % len(WORDS)] for step in (1, 3, 5)) + f" number {n}"


def answers(memory: Memory) -> list[list[Any]]:
    return [
        [
            (match.pattern_id, match.distance and round(match.distance, 5), match.vector_rank)
            for match in memory.find_similar(text, limit=8)
        ]
        for text in ("parser import", "timeout of a socket number 7", described(11))
    ]


@pytest.mark.parametrize(("before", "after"), [*itertools.permutations(ENGINES, 2)])
@pytest.mark.usefixtures("size")
def test_answers_stay_the_same_there_and_back(store: Path, before: str, after: str) -> None:
    with filled(store, before) as memory:
        first = answers(memory)
        made = memory.migrate(after)
        assert (made.before, made.after, made.former) == (before, after, before)
        assert made.vectors == {"patterns": 80, "contexts": 1}
        assert made.recall == {"patterns": 1.0, "contexts": 1.0}
        assert answers(memory) == first
        assert memory.stats().vectors["engine"] == after
        memory.add_pattern("parser import of later", pattern_id="later")
        later = answers(memory)
        assert "later" in [pattern_id for pattern_id, _, _ in later[0]]
    with Memory.open(store, embedder=Spread(), vectors=after) as memory:
        assert answers(memory) == later
        back = memory.migrate()
        assert (back.before, back.after, back.vectors["patterns"]) == (after, before, 81)
        assert answers(memory) == later
    with Memory.open(store, embedder=Spread(), vectors=before) as memory:
        assert answers(memory) == later


def test_nothing_is_embedded_again(store: Path) -> None:
    class Counting(Spread):
        texts = 0

        def __call__(self, given: list[str], /) -> Any:
            self.texts += len(given)
            return super().__call__(given)

    embedder = Counting()
    with Memory.open(store, embedder=embedder, vectors="exact") as memory:
        memory.add_pattern("parser", pattern_id="p")
        memory.find_similar("parser")
        before = embedder.texts
        memory.migrate("usearch")
        assert embedder.texts == before


def test_a_second_step_removes_what_lay_before_the_first(store: Path) -> None:
    with filled(store, "exact") as memory:
        memory.migrate("usearch")
        memory.migrate("lance")
        assert memory.migrate("usearch").former == "lance"
    assert len([*(store / "vectors").iterdir()]) == 2


def test_the_old_store_is_not_taken_for_left_over(store: Path) -> None:
    with filled(store, "exact") as memory:
        memory.flush()
        memory.migrate("usearch")
    assert [found.message for found in examine(store) if "left over" in found.message] == []
    repair(store)
    assert {item.name for item in (store / "vectors").iterdir()} == {"1", "2"}


def test_the_old_store_is_removed_when_it_is_not_to_be_kept(store: Path) -> None:
    with filled(store, "exact") as memory:
        first = answers(memory)
        memory.flush()
        assert memory.migrate("usearch", keep=False).former is None
        assert [item.name for item in (store / "vectors").iterdir()] == ["2"]
        with pytest.raises(InvalidInputError, match="no store to go back to"):
            memory.migrate()
        assert answers(memory) == first


def test_the_old_store_can_be_removed_later(store: Path) -> None:
    with filled(store, "exact") as memory:
        memory.migrate("usearch")
        made = memory.migrate("usearch", keep=False)
        assert (made.before, made.after, made.former, made.vectors) == ("usearch", "usearch", None, {})
        assert [item.name for item in (store / "vectors").iterdir()] == ["2"]


def test_reembedding_leaves_no_store_to_go_back_to(store: Path) -> None:
    with filled(store, "exact") as memory:
        memory.migrate("usearch")
        memory.reembed(HashEmbedder(32))
        with pytest.raises(InvalidInputError, match="no store to go back to"):
            memory.migrate()
        assert memory.migrate("lance").vectors["patterns"] == 80


@pytest.mark.parametrize("bad", ["nosuch", "", "lance+http://there", 5])
def test_an_engine_that_is_not_there_changes_nothing(store: Path, bad: Any) -> None:
    with filled(store, "exact") as memory:
        first = answers(memory)
        with pytest.raises(InvalidInputError):
            memory.migrate(bad)
        assert answers(memory) == first
        assert memory.stats().vectors["engine"] == "exact"


def test_a_missing_extra_names_the_command(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry._version
    monkeypatch.setattr(registry, "_version", lambda name: None if name == "usearch" else real(name))
    with (
        filled(store, "exact") as memory,
        pytest.raises(MissingExtraError, match=r"pip install 'whatworks\[usearch\]'"),
    ):
        memory.migrate("usearch")


class Forgets(ExactStore):
    """A store that loses one of the vectors it is given."""

    engine = "exact"

    def _upsert(self, ids: list[str], given: Any) -> None:
        super()._upsert(ids, given)
        self.delete(ids[:1])


class Mixes(ExactStore):
    """A store that mixes vectors up."""

    def _upsert(self, ids: list[str], given: Any) -> None:
        super()._upsert(ids[::-1], given)


class Misses(ExactStore):
    """A store whose index finds the wrong ones."""

    def _search(self, query: Any, k: int) -> Any:
        return super()._search(-query, k)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type[VectorStore]], None]]:
    """Make a class the engine ``usearch``."""

    def put(kind: type[VectorStore]) -> None:
        real = registry.engine_class
        monkeypatch.setattr(
            registry, "engine_class", lambda name: kind if name == "usearch" else real(name)
        )

    yield put


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(
    ("kind", "message"),
    [(Forgets, "no vector for"), (Mixes, "another vector"), (Misses, "of the nearest")],
)
def test_a_store_that_is_not_as_it_should_be_is_not_switched_to(
    store: Path, kind: type[VectorStore], message: str, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(store, "exact") as memory:
        first = answers(memory)
        with monkeypatch.context():
            engine(kind)
            with pytest.raises(StoreError, match=message):
                memory.migrate("usearch")
        assert answers(memory) == first
        assert memory.stats().vectors["engine"] == "exact"
        monkeypatch.undo()
        assert memory.migrate("usearch").recall["patterns"] == 1.0


def test_questions_and_writes_go_on_meanwhile(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "IN_MEMORY", 30)
    begun, go_on, failed = threading.Event(), threading.Event(), list[Exception]()

    def progress(_: int) -> None:
        begun.set()
        assert go_on.wait(30)

    with filled(store, "exact") as memory:

        def migrate() -> None:
            try:
                memory.migrate("usearch", progress=progress)
            except Exception as error:  # noqa: BLE001 - shown by the assertion below
                failed.append(error)

        moving = threading.Thread(target=migrate)
        moving.start()
        assert begun.wait(30)
        memory.add_pattern("cache of the socket", pattern_id="meanwhile")
        memory.record("meanwhile", outcome=1.0, context="a cache is cold")
        assert memory.find_similar("cache of the socket")[0].pattern_id == "meanwhile"
        assert memory.stats().vectors["engine"] == "exact"
        go_on.set()
        moving.join(60)
        assert failed == []
        assert memory.stats().vectors["engine"] == "usearch"
        assert memory.find_similar("cache of the socket")[0].pattern_id == "meanwhile"
        assert memory.predict("a cache is cold").answers[0].pattern_id == "meanwhile"


class StoppedError(Exception):
    """Stands for Ctrl-C."""


def test_what_was_interrupted_goes_on_where_it_was(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "IN_MEMORY", 30)
    monkeypatch.setattr(vectors, "BATCH", 10)
    monkeypatch.setattr(vectors, "CHECKPOINT", 20)
    moved = list[int]()

    def until_fifty(count: int) -> None:
        moved.append(count)
        if sum(moved) == 50:
            raise StoppedError

    with filled(store, "exact") as memory:
        first = answers(memory)
        with pytest.raises(StoppedError):
            memory.migrate("usearch", progress=until_fifty)
        assert answers(memory) == first
        moved.clear()
        memory.migrate("usearch", progress=moved.append)
        assert sum(moved) == (80 - 40) + 1 + 80 + 1  # what was missing, and all to compare
        assert answers(memory) == first
