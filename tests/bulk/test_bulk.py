"""A memory whose texts Ray embeds is the same as any other, also after whoever did it was killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import duckdb
import psutil

from whatworks import Memory, NewPattern
from whatworks.bulk import RayPool
from whatworks.embedders import Embedder
from whatworks.embedders.minilm import MiniLM
from whatworks.embeddings import PAGE
from whatworks.testing import HashEmbedder

HERE = Path(__file__).parent
TASKS = [f"fix E{n:04} in module {n % 13}, then run the tests again" for n in range(4 * PAGE + 100)]


def filled(path: Path, embedder: Embedder, count: int) -> None:
    with Memory.open(path, embedder=embedder, channel="test") as memory:
        made = memory.add_patterns([NewPattern(text) for text in TASKS[:count]])
        for n, pattern in enumerate(made[:40]):
            memory.record(pattern.pattern_id, outcome=n % 3 > 0, context=f"the build of crate {n % 9}")


def embeddings(store: Path) -> list[tuple[str, str, bytes]]:
    with duckdb.connect(str(store / "evidence.duckdb"), read_only=True) as con:
        return con.execute("SELECT collection, id, vector FROM embeddings ORDER BY ALL").fetchall()


def answers(store: Path, embedder: Embedder) -> object:
    with Memory.open(store, embedder=embedder) as memory:
        found = memory.find_similar("E0007 in a module", limit=20)
        advised = memory.predict("the build of a crate fails", limit=20)
        return (
            [(match.pattern_id, match.distance, match.score) for match in found],
            [(each.pattern_id, each.expected, each.low, each.high) for each in advised.answers],
        )


def without_views(store: Path, to: Path) -> Path:
    """A copy of which only the journal is left."""
    shutil.copytree(store, to)
    for path in to.glob("evidence*"):
        path.unlink()
    shutil.rmtree(to / "vectors", ignore_errors=True)
    return to


def test_a_memory_rebuilt_by_ray_is_the_one_that_this_machine_rebuilds(
    pool: RayPool, tmp_path: Path
) -> None:
    filled(tmp_path / "store", MiniLM(), 150)
    here, there = (without_views(tmp_path / "store", tmp_path / name) for name in ("here", "there"))
    for store, by in ((here, None), (there, pool)):
        with Memory.open(store) as memory:
            memory.rebuild(pool=by)
    assert len(embeddings(here)) == 150 + 9
    assert embeddings(here) == embeddings(there)
    assert answers(here, MiniLM()) == answers(there, MiniLM())


def test_another_embedder_by_ray_is_the_same_as_by_this_machine(pool: RayPool, tmp_path: Path) -> None:
    filled(tmp_path / "here", HashEmbedder(64), 300)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    for name, by in (("here", None), ("there", pool)):
        with Memory.open(tmp_path / name, embedder=HashEmbedder(64)) as memory:
            memory.reembed(HashEmbedder(32), pool=by)
    assert embeddings(tmp_path / "here") == embeddings(tmp_path / "there")


def test_what_is_forgotten_meanwhile_is_not_embedded(pool: RayPool, tmp_path: Path) -> None:
    filled(tmp_path / "store", HashEmbedder(), 30)
    store = without_views(tmp_path / "store", tmp_path / "again")
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        gone = next(iter(memory.iter_patterns())).pattern_id

        class Forgetful:
            def vectors(self, embedder, lists):  # type: ignore[no-untyped-def]
                for vectors in pool.vectors(embedder, lists):
                    if memory.get_patterns([gone]):
                        memory.forget(patterns=gone)
                    yield vectors

        memory.flush(pool=Forgetful())
        held = memory.stats().vectors["patterns"]
    assert (held["vectors"], held["waiting"]) == (29, 0)
    assert gone not in {name for _, name, _ in embeddings(store)}


def test_who_is_killed_goes_on_behind_what_was_kept(pool: RayPool, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "here", embedder="none") as memory:
        memory.add_patterns([NewPattern(text) for text in TASKS])
    store = shutil.copytree(tmp_path / "here", tmp_path / "killed")
    with Memory.open(tmp_path / "here", embedder=HashEmbedder()) as memory:
        memory.flush()
    command = [sys.executable, str(HERE / "driver.py"), str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert [int(child.stdout.readline()) for _ in range(2)] == [PAGE, PAGE]
        left = psutil.Process(child.pid).children(recursive=True)
        names = [process.name() for process in left]
        assert any("raylet" in name for name in names)
        child.send_signal(signal.SIGKILL)
    kept = embeddings(store)
    assert 2 * PAGE <= len(kept) < len(TASKS)
    done: list[int] = []
    with Memory.open(store, embedder=HashEmbedder()) as memory:
        memory.flush(progress=done.append, pool=pool)
    assert 0 < sum(done) <= len(TASKS) - len(kept)  # the memory may have begun by itself
    assert embeddings(store) == embeddings(tmp_path / "here")
    # Two agents of Ray's notice it after a minute.
    ending = [each for each, name in zip(left, names, strict=True) if not name.endswith("Agent")]
    deadline = monotonic() + 30
    while any(map(_lives, ending)):
        assert monotonic() < deadline
        sleep(0.2)


def _lives(process: psutil.Process) -> bool:
    """One that has ended stays a zombie where nobody asks for its exit code, as in some containers."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_command_line_embeds_by_workers_that_know_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "my_models.py").write_text(
        "from whatworks.testing import HashEmbedder\n\n"
        "class Small(HashEmbedder):\n"
        "    def __init__(self):\n"
        "        super().__init__(32)\n"
    )
    filled(tmp_path / "store", HashEmbedder(), 20)
    command = "reembed --embedder my_models:Small --ray local --workers 1 --store store"
    done = subprocess.run(
        [sys.executable, "-m", "whatworks", *command.split()],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "hash-32" in done.stdout and "Traceback" not in done.stderr
