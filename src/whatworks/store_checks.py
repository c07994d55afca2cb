"""Checks of a vector store from outside: by a process that dies, a second handle, and its owner."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, ClassVar, cast
from unittest import mock

import numpy as np
import orjson
from numpy.typing import NDArray

from whatworks import vectors
from whatworks.errors import StoreError
from whatworks.memory import Memory
from whatworks.records import NewPattern
from whatworks.samples import HashEmbedder, directions, nearest
from whatworks.stores import VectorStore
from whatworks.stores.contents import Contents, Listing
from whatworks.stores.registry import lent

__all__ = ["ChecksFromOutside", "play"]

# What runs in the process that is killed: it finds modules where this one does.
CHILD = """
import json, sys
given = json.loads(sys.argv[1])
sys.path[:] = given.pop("path")
from whatworks.store_checks import play
play(**given)
"""
COUNT = 40
# How far a distance may be from that of the embedding, which is kept in 16-bit integers.
PACKED = 3e-5
HASH = HashEmbedder(32)
WORDS = ["sun", "moon", "sea", "sand", "wind", "rain", "snow"]


class ChecksFromOutside:
    """What must hold around a store; a part of ``StoreConformance``."""

    # Attributes that ``open`` needs, such as the address of a server: the process that is killed
    # gets them too. Values are what JSON has.
    carried: ClassVar[tuple[str, ...]] = ()
    # How far a number of a vector may be from what was given, at length 1.
    kept = 1e-6
    # How far a distance found by comparing all may be from the exact one.
    tolerance = 1e-5

    def open(self, path: Path, dim: int) -> VectorStore:
        """The store in the folder ``path``, an empty one if there is none."""
        raise NotImplementedError("say how to open the store under test")

    def test_s37_kill_after_flush_loses_nothing(self, tmp_path: Path) -> None:
        """S37: after ``flush`` the process may be killed: all is there. Source: OmenDB's batches."""
        self._killed(tmp_path, after="flushed")
        store, (ids, before, _) = self.open(tmp_path, 16), _content()
        found = store.get(ids)
        assert (store.count(), sorted(found)) == (COUNT, ids)
        np.testing.assert_allclose(np.stack([found[name] for name in ids]), before, atol=self.kept)
        assert store.search(before[7], 5).ids == nearest(ids, before, before[7], 5).ids

    def test_s38_kill_before_flush_mixes_nothing_up(self, tmp_path: Path) -> None:
        """S38: what was not flushed when the process was killed is there or not. Source: base.py."""
        self._killed(tmp_path, after="changed")
        store, (ids, before, after) = self.open(tmp_path, 16), _content()
        found = store.get(ids)
        assert (store.count(), sorted(found)) == (COUNT, ids)
        for row, name in enumerate(ids):
            hits = store.search(found[name], 1)
            assert hits.ids == [name]
            assert any(
                np.allclose(found[name], place[row], atol=self.kept) for place in (before, after)
            )

    def test_s39_a_second_handle_reads_or_is_refused(self, tmp_path: Path) -> None:
        """S39: a second handle sees what was flushed, or does not open. Source: engines with locks."""
        ids, before, _ = _content()
        store = self.open(tmp_path, 16)
        store.upsert(ids, before)
        store.flush()
        try:
            second = self.open(tmp_path, 16)
        except StoreError:
            pass
        else:
            assert second.search(before[3], 5).ids == nearest(ids, before, before[3], 5).ids
            second.close()
        store.upsert(["new"], directions(1, 16, seed=8))
        store.flush()
        store.close()
        assert self.open(tmp_path, 16).count() == COUNT + 1

    def test_s40_a_store_made_otherwise_is_filled_again(self, tmp_path: Path) -> None:
        """S40: another model, metric or version: the owner fills it again. Source: vectors.py."""
        with self._owned(tmp_path) as owner:
            if not owner.files():
                return  # what lies on a server is removed by name, not by folder
            assert owner.ask() != {}, "a store that is as it was left was not trusted"
            for changed in ({"model": "another"}, {"metric": "dot"}, {"engine_version": {"x": "0"}}):
                owner.describe_as(changed)
                assert owner.ask() == {}, f"the store was trusted in spite of {changed}"

    def test_s41_a_damaged_file_is_never_read(self, tmp_path: Path) -> None:
        """S41: one bit of any file: filled again before the engine reads it. Source: vectors.py."""
        with self._owned(tmp_path) as owner:
            for name in owner.files():
                if (tmp_path / "kept" / name).stat().st_size:
                    owner.flip(name)
                    assert owner.ask() == {}, f"the engine was given a damaged {name}"

    # -- helpers --------------------------------------------------------------------------------

    def _killed(self, folder: Path, *, after: str) -> None:
        """Let another process open this store, and kill it when it has got that far."""
        kind = type(self)
        if "<locals>" in kind.__qualname__:
            raise TypeError(f"{kind.__qualname__} lies in a function, where no other process finds it")
        given = {
            "path": sys.path,
            "file": inspect.getfile(kind),
            "name": kind.__qualname__,
            "folder": str(folder),
            "carried": {name: getattr(self, name) for name in self.carried},
        }
        command = [sys.executable, "-c", CHILD, orjson.dumps(given).decode()]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None and process.stdin is not None
            reached = False
            while not reached and (line := process.stdout.readline()):
                reached = line.strip() == after
                if not reached:
                    process.stdin.write("\n")
                    process.stdin.flush()
            process.kill()
        assert reached, f"the process that was to be killed ended before it had {after}"

    @contextmanager
    def _owned(self, folder: Path) -> Iterator[_Owner]:
        engine = _Engine(self)
        with (
            lent(engine.engine, cast(type[VectorStore], engine)),
            mock.patch.object(vectors, "IN_MEMORY", COUNT // 2),
        ):
            yield _Owner(folder / "memory", engine)


class _Engine:
    """A store under test as an engine for a while; takes down what it is given to open."""

    engine = "store-under-test"
    packages = ()

    def __init__(self, checks: ChecksFromOutside) -> None:
        self._checks = checks
        self.given: list[Listing] = []

    def __call__(self, path: Path, *, dim: int) -> VectorStore:
        self.given.append(Contents(path).listing())
        return self._checks.open(path, dim)


class _Owner:
    """A memory that keeps its vectors in the store under test, and is asked again and again."""

    def __init__(self, folder: Path, engine: _Engine) -> None:
        self._folder = folder
        self._engine = engine
        self._texts = {f"p{n}": f"{WORDS[n % 7]} {WORDS[n % 6]} number{n}" for n in range(COUNT)}
        with self._memory() as memory:
            memory.add_patterns(NewPattern(text, pattern_id=name) for name, text in self._texts.items())
            memory.flush()
        self.ask()
        self._kept = folder.with_name("kept")
        shutil.copytree(folder, self._kept, ignore=shutil.ignore_patterns("*.sock"))

    def _memory(self) -> Memory:
        return Memory.open(self._folder, embedder=HASH, vectors=self._engine.engine)

    def ask(self) -> Listing:
        """Ask, and check the answers; returns the files that the engine was given to open."""
        self._engine.given.clear()
        with self._memory() as memory:
            for question in WORDS:
                found = memory.find_similar(question, limit=COUNT)
                distances = (
                    1 - HASH([self._texts[match.pattern_id] for match in found]) @ HASH([question])[0]
                )
                np.testing.assert_allclose(
                    [match.distance or 0 for match in found], distances, atol=PACKED
                )
                assert len(found) == COUNT
        assert self._engine.given, "the engine was not asked at all"
        return self._engine.given[0]

    def files(self) -> list[Path]:
        """The files of the store, below the folder."""
        return sorted(
            file.relative_to(self._kept) for file in self._kept.rglob("store/**/*") if file.is_file()
        )

    def put_back(self) -> None:
        """Everything as it was left first."""
        shutil.rmtree(self._folder)
        shutil.copytree(self._kept, self._folder)

    def describe_as(self, changed: dict[str, Any]) -> None:
        """Change what the manifest says of the store."""
        self.put_back()
        (file,) = self._folder.rglob("patterns/manifest.json")
        file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | changed))

    def flip(self, name: Path) -> None:
        """Flip a bit in the middle of a file."""
        self.put_back()
        content = bytearray((self._folder / name).read_bytes())
        content[len(content) // 2] ^= 4
        (self._folder / name).write_bytes(content)


def play(file: str, name: str, folder: str, carried: dict[str, Any]) -> None:
    """Fill the store of a test class, flush, change it, and wait for the end: the process to kill.

    It goes on when a line is read: what comes after must not be done already when it is killed.
    """
    spec = spec_from_file_location("store_under_test", file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    kind: Any = module
    for part in name.split("."):
        kind = getattr(kind, part)
    checks = kind()
    vars(checks).update(carried)
    store: VectorStore = checks.open(Path(folder), 16)
    ids, before, after = _content()
    store.upsert([*ids, "gone"], np.concatenate([before, after[:1]]))
    store.delete(["gone"])
    store.flush()
    print("flushed", flush=True)  # noqa: T201 - said to the parent
    sys.stdin.readline()
    store.upsert(ids, after)
    print("changed", flush=True)  # noqa: T201
    sys.stdin.read()


def _content() -> tuple[list[str], NDArray[np.float32], NDArray[np.float32]]:
    """Ids, the vectors that are flushed, and those that come after."""
    ids = [f"id{n:03}" for n in range(COUNT)]
    return ids, directions(COUNT, 16), directions(COUNT, 16, seed=5)
