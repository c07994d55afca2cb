"""A new evidence file takes over what was embedded, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from support.log import Log, apply, event, pattern
from whatworks import Memory, StoreError, StoreFullError
from whatworks.evidence import Evidence, renewal, texts
from whatworks.testing import HashEmbedder

Open = Callable[[str], Evidence]
EMBED = HashEmbedder(8)


def embed(evidence: Evidence, collection: str, model: str = "m", limit: int = 99) -> list[str]:
    """Embed what waits; return its ids."""
    batch = texts.waiting(evidence, collection, model, limit)
    if batch:
        made = EMBED([text.text for text in batch])
        texts.add_embeddings(evidence, collection, model, batch, made)
    return [text.id for text in batch]


def renewed(open_evidence: Open, tmp_path: Path, log: Log, dim: int = 8) -> Evidence:
    """The evidence made anew from ``log``."""
    path = tmp_path / "evidence.duckdb"
    lost = renewal.renew(path, lambda evidence: apply(evidence, log), model="m", dim=dim)
    assert lost is None
    return open_evidence("evidence")


def held(evidence: Evidence, collection: str = "patterns") -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    for ids, made, _ in texts.vectors(evidence, collection, "m"):
        found |= zip(ids, made, strict=True)
    return found


def test_texts_that_are_the_same_keep_their_embedding(open_evidence: Open, tmp_path: Path) -> None:
    log = [pattern("a", "one"), pattern("b", "two"), event("e", "a", 1.0, context="here")]
    old = open_evidence("evidence")
    apply(old, log)
    assert embed(old, "patterns") == ["a", "b"] and len(embed(old, "contexts")) == 1
    before = held(old)
    old.close()
    new = renewed(open_evidence, tmp_path, [*log, pattern("b", "changed"), pattern("c", "new")])
    assert embed(new, "contexts") == []
    after = held(new)
    assert set(after) == {"a"} and np.array_equal(after["a"], before["a"])
    assert embed(new, "patterns") == ["b", "c"]
    assert embed(new, "patterns") == []


def test_what_waited_waits_behind_what_is_embedded(open_evidence: Open, tmp_path: Path) -> None:
    """Folded at once, an edit that waited stands where the pattern was first seen."""
    old = open_evidence("evidence")
    apply(old, [pattern("a", "one"), pattern("b", "two")])
    embed(old, "patterns")
    apply(old, [pattern("a", "edited")])
    old.close()
    log = [pattern("a", "edited"), pattern("b", "two")]
    new = renewed(open_evidence, tmp_path, log)
    assert texts.count_waiting(new, "patterns", "m") == 1
    assert embed(new, "patterns") == ["a"]
    apply(new, [pattern("c", "three")])
    assert embed(new, "patterns") == ["c"]


def test_an_embedding_of_an_earlier_text_is_not_taken_for_one_of_the_present(
    open_evidence: Open, tmp_path: Path
) -> None:
    old = open_evidence("evidence")
    apply(old, [pattern("a", "one")])
    embed(old, "patterns")
    apply(old, [pattern("a", "other"), pattern("b", "two")])
    old.close()
    assert held(renewed(open_evidence, tmp_path, [pattern("a", "other"), pattern("b", "two")])) == {}


def test_embeddings_of_an_odd_length_are_made_again(open_evidence: Open, tmp_path: Path) -> None:
    old = open_evidence("evidence")
    apply(old, [pattern("a", "one"), pattern("b", "two")])
    embed(old, "patterns")
    old.write(lambda con: con.execute("UPDATE embeddings SET vector = 'x'::BLOB WHERE id = 'a'"))
    old.close()
    new = renewed(open_evidence, tmp_path, [pattern("a", "one"), pattern("b", "two")])
    assert embed(new, "patterns") == ["a"]


def test_a_half_made_change_of_the_model_goes_on(open_evidence: Open, tmp_path: Path) -> None:
    old = open_evidence("evidence")
    log = [pattern(name, name) for name in "abcd"]
    apply(old, log)
    embed(old, "patterns")
    assert embed(old, "patterns", "next", 2) == ["a", "b"]
    old.close()
    new = renewed(open_evidence, tmp_path, log)
    assert embed(new, "patterns") == []
    assert embed(new, "patterns", "next") == ["c", "d"]


def test_an_old_file_that_cannot_be_read_costs_its_embeddings_only(
    open_evidence: Open, tmp_path: Path
) -> None:
    path = tmp_path / "evidence.duckdb"
    path.write_bytes(b"no database" * 1_000)
    reason = renewal.renew(path, lambda e: apply(e, [pattern("a")]), model="m", dim=8)
    assert reason
    assert embed(open_evidence("evidence"), "patterns") == ["a"]


@pytest.mark.parametrize("error", [StoreFullError("no room"), KeyboardInterrupt()])
def test_a_renewal_that_fails_leaves_the_old_file(
    open_evidence: Open, tmp_path: Path, error: BaseException
) -> None:
    old = open_evidence("evidence")
    apply(old, [pattern("a")])
    build = old.build
    old.close()

    def fail(_: Evidence) -> None:
        raise error

    path = tmp_path / "evidence.duckdb"
    with pytest.raises(type(error)):
        renewal.renew(path, fail, model="m", dim=8)
    assert open_evidence("evidence").build == build
    renewal.clear(path)
    assert [item.name for item in tmp_path.iterdir() if ".new" in item.name] == []


def test_a_file_that_another_program_has_is_left_to_it(open_evidence: Open, tmp_path: Path) -> None:
    old = open_evidence("evidence")
    apply(old, [pattern("a")])
    old.close()
    path = tmp_path / "evidence.duckdb"
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('o', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(StoreError, match="set lock"):
            renewal.renew(path, lambda e: apply(e, [pattern("a")]), model="m", dim=8)
        other.communicate(b"\n")
    assert open_evidence("evidence").moved_aside is None


def test_a_rebuild_embeds_nothing_that_was_embedded(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Counting(HashEmbedder):
        def __call__(self, given: list[str], /) -> NDArray[np.float32]:
            seen.extend(given)
            return super().__call__(given)

    with Memory.open(store, embedder=Counting(), vectors="exact") as memory:
        memory.add_patterns(["one", "two"])
        memory.flush()
        assert sorted(seen) == ["one", "two"]
        memory.rebuild()
        assert sorted(seen) == ["one", "two"]
        assert [match.pattern.description for match in memory.find_similar("two", limit=1)] == ["two"]


def test_an_engine_that_cannot_open_the_new_file_is_a_store_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, memory: str) -> None:
        raise duckdb.IOException("IO Error: Could not remove file: Input/output error")

    monkeypatch.setattr(renewal, "connect", broken)
    with pytest.raises(StoreError, match="cannot be written: IO Error"):
        renewal.take_over(tmp_path / "new", tmp_path / "old", model="m", dim=3)
