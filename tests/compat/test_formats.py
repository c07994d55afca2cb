"""Stores as earlier versions wrote them open, answer as they did, and survive being killed meanwhile.

``evidence-N`` was written when the tables of the evidence had version N (twice for 3, whose
tables once changed without a new number); make.py made them all.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from compat.make import DIM, said
from whatworks import Memory
from whatworks.evidence import renewal
from whatworks.evidence.schema import VERSION
from whatworks.testing import HashEmbedder

HERE = Path(__file__).parent
FORMATS = sorted(path.name.removesuffix(".tar.xz") for path in HERE.glob("*.tar.xz"))
POINTS = ["begun", "filled", "embedded", "synced", "cleared", "renamed", "done"]
# Everything where there is time; else each point once and each format at least once.
OLD = [name for name in FORMATS if name != f"evidence-{VERSION}"]
KILLS = [(name, point) for name in OLD for point in POINTS]
if not os.environ.get("WHATWORKS_FULL"):
    KILLS = [(OLD[n % len(OLD)], point) for n, point in enumerate(POINTS)]
LATE = "this text waits for its embedding"


class Counting(HashEmbedder):
    """Remembers what it embedded."""

    def __init__(self) -> None:
        super().__init__(DIM)
        self.seen: list[str] = []

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
        self.seen += texts
        return super().__call__(texts)


def unpack(name: str, store: Path) -> dict[str, Any]:
    """Lay a fixture out as a store; return what it must answer."""
    data = lzma.decompress((HERE / f"{name}.tar.xz").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from 3.11.4 on
        tar.extractall(store, **safe)
    store.chmod(0o700)
    answers: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    return answers


def assert_answers(store: Path, expected: dict[str, Any], embedded: list[str]) -> None:
    """The store says what it said, and embeds ``embedded`` only."""
    embedder = Counting()
    with Memory.open(store, embedder=embedder) as memory:
        found = said(memory)
        assert sorted(set(embedder.seen) - set(expected["similar"])) == sorted(embedded)
        for prediction_id, answers in expected["predictions"].items():
            explained = {e.pattern_id: e for e in memory.why(prediction_id).explanations}
            for e in explained.values():
                assert e.clipped or sum(c.value for c in e.contributions) == pytest.approx(e.expected)
            assert [(name, explained[name].expected) for name, *_ in answers] == [
                (name, value) for name, value, *_ in answers
            ]
        assert memory.predict("imports cannot be found").answers
        assert memory.stats().problems == ()
    assert found == {key: value for key, value in expected.items() if key != "predictions"}
    assert not list(store.glob("evidence.*.new*")) and not list(store.glob("evidence.aside*"))


def test_the_fixtures_are_there_and_small() -> None:
    assert len(FORMATS) >= 5
    assert all(path.stat().st_size < 200_000 for path in HERE.iterdir() if path.is_file())


@pytest.mark.parametrize("name", FORMATS)
def test_a_store_of_an_earlier_version_answers_as_it_did(name: str, store: Path) -> None:
    expected = unpack(name, store)
    assert_answers(store, expected, [LATE])
    assert_answers(store, expected, [])


@pytest.mark.parametrize("name", FORMATS)
def test_what_an_earlier_version_wrote_is_folded_the_same_again(name: str, store: Path) -> None:
    expected = unpack(name, store)
    (store / "evidence.duckdb").unlink()
    with Memory.open(store, embedder=HashEmbedder(DIM)) as memory:
        assert said(memory) == {key: value for key, value in expected.items() if key != "predictions"}


OPEN = """
import sys
from whatworks import Memory
from whatworks.testing import HashEmbedder
Memory.open(sys.argv[1], embedder="none").stats()
"""


@pytest.mark.parametrize(("name", "point"), KILLS)
def test_a_migration_killed_at_any_step_ends_with_the_old_file_or_the_new_one(
    name: str, point: str, store: Path
) -> None:
    expected = unpack(name, store)
    kill(OPEN, store, f"migration.{point}")
    assert (store / "evidence.duckdb").exists()
    assert_answers(store, expected, [LATE])


def kill(code: str, store: Path, point: str) -> None:
    """Run ``code`` on a store until it dies at a named point."""
    environment = os.environ | {"WHATWORKS_FAIL": point}
    done = subprocess.run([sys.executable, "-c", code, str(store)], check=False, env=environment)
    assert done.returncode == 9, f"{point} was never reached"


LEAVE_LOG = """
import os, sys, duckdb
con = duckdb.connect(sys.argv[1] + "/evidence.duckdb")
con.execute("INSERT INTO meta VALUES ('left in the log', 1)")
os._exit(0)
"""


@pytest.mark.parametrize("point", POINTS)
def test_the_log_of_the_old_file_never_meets_the_new_one(point: str, store: Path) -> None:
    expected = unpack("evidence-3", store)
    subprocess.run([sys.executable, "-c", LEAVE_LOG, str(store)], check=True)
    assert (store / "evidence.duckdb.wal").exists()
    kill(OPEN, store, f"migration.{point}")
    assert_answers(store, expected, [LATE])


def test_without_the_old_embeddings_everything_is_embedded_again(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The null control: the count of what is embedded would show it."""
    expected = unpack("evidence-3", store)
    monkeypatch.setattr(renewal, "take_over", lambda *_, **__: None)
    with pytest.raises(AssertionError, match="approach 0"):
        assert_answers(store, expected, [LATE])


WITH_LITTLE_ROOM = """
import resource, sys
from whatworks import Memory, StoreFullError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    Memory.open(sys.argv[1], embedder="none").stats()
except StoreFullError:
    sys.exit(7)
"""


@pytest.mark.parametrize("room", [0, 200_000, 1_500_000, 3_000_000])
def test_a_migration_without_room_leaves_the_store_as_it_was(room: int, store: Path) -> None:
    expected = unpack("evidence-2", store)
    before = (store / "evidence.duckdb").read_bytes()
    command = [sys.executable, "-W", "error", "-c", WITH_LITTLE_ROOM, str(store), str(room)]
    assert subprocess.run(command, check=False).returncode == 7
    assert (store / "evidence.duckdb").read_bytes() == before
    assert_answers(store, expected, [LATE])
