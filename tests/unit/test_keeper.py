from __future__ import annotations

import gc
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.snapshot import fill, snapshot
from whatworks import (
    InvalidInputError,
    Memory,
    ModelMismatchError,
    NewEvent,
    NotFoundError,
    Prior,
    SchemaVersionError,
    StoreClosedError,
    StoreError,
    StoreFullError,
    config,
    embeddings,
    journal,
    keeper,
    link,
    upkeep,
)
from whatworks.embedders.minilm import MiniLM
from whatworks.errors import WhatWorksError
from whatworks.evidence import Evidence, questions
from whatworks.testing import HashEmbedder

Open = Callable[..., Memory]
PRELUDE = """
import os, sys
from whatworks import Memory
from whatworks.errors import WhatWorksError
from whatworks.testing import HashEmbedder
def open_(**options):
    return Memory.open(sys.argv[1], embedder=HashEmbedder(), vectors="exact", **options)
"""


def run(code: str, store: Path, *arguments: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-W", "error", "-c", PRELUDE + code, str(store), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# -- one owner --------------------------------------------------------------------------------------


def test_a_second_process_is_answered_by_the_one_that_keeps_the_store(
    store: Path, memory: Memory
) -> None:
    memory.add_pattern("x", pattern_id="p")
    code = "m = open_(); m.record('p', outcome=1.0); print(m.stats().keeper, m.get_pattern('p'))"
    said = run(code, store)
    assert said.startswith(f"{os.getpid()} Pattern(")
    assert memory.get_pattern("p").usage_count == 1


def test_the_store_is_free_once_its_owner_has_closed_it(store: Path, open_memory: Open) -> None:
    open_memory().close()
    assert run("open_().add_pattern('x', pattern_id='other'); print('done')", store) == "done"
    assert open_memory().get_pattern("other").description == "x"


def test_the_store_is_free_once_its_owner_was_killed(store: Path, open_memory: Open) -> None:
    code = "m = open_(); m.add_pattern('x', pattern_id='p'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", PRELUDE + code, str(store)], check=False)
    assert open_memory().get_pattern("p").description == "x"


def test_a_forgotten_memory_lets_go_of_its_store(store: Path) -> None:
    memory = Memory.open(store, embedder=HashEmbedder(), vectors="exact")
    memory.loop = memory  # type: ignore[attr-defined]
    memory.add_pattern("x")
    del memory
    gc.collect()
    until = time.monotonic() + 10
    while str(store) in link._links and time.monotonic() < until:
        time.sleep(0.01)
    assert str(store) not in link._links
    Memory.open(store, embedder=HashEmbedder(), durability="process").close()


def test_a_memory_may_be_forgotten_while_another_is_opened(open_memory: Open, tmp_path: Path) -> None:
    memory = open_memory()
    with link._sharing:  # as while the collector runs inside Link.shared
        memory.close()


def test_handles_in_one_process_share_the_store(open_memory: Open) -> None:
    one, other = open_memory(), open_memory()
    one.add_pattern("retry", pattern_id="p")
    other.record("p", outcome=1.0, event_id="e")
    assert one.get_pattern("p").usage_count == 1
    one.close()
    assert other.get_event("e").outcome == 1.0
    with pytest.raises(StoreClosedError):
        one.get_pattern("p")
    other.close()


def test_outcomes_given_through_two_handles_correct_each_other(open_memory: Open) -> None:
    one, other = open_memory(), open_memory()
    one.add_pattern("retry", pattern_id="p")
    one.record("p", outcome=None, event_id="e")
    one.resolve("e", outcome=0.0)
    other.resolve("e", outcome=1.0)
    one.resolve("e", outcome=0.0)
    assert other.get_event("e").outcome == 0.0


def test_a_retry_through_another_handle_is_recognised(open_memory: Open) -> None:
    one, other = open_memory(), open_memory()
    one.add_pattern("retry", pattern_id="p")
    first = one.record("p", outcome=1.0, event_id="e")
    assert other.record("p", outcome=1.0, event_id="e") == first
    with pytest.raises(InvalidInputError, match="recorded with outcome"):
        other.record("p", outcome=0.0, event_id="e")


def test_handles_that_disagree_are_refused(open_memory: Open) -> None:
    memory = open_memory()
    with pytest.raises(ModelMismatchError):
        open_memory(embedder=HashEmbedder(8))
    with pytest.raises(StoreError, match="keeps its vectors"):
        open_memory(vectors="lance")
    with pytest.raises(StoreError, match="durability"):
        open_memory(durability="process")
    memory.add_pattern("still works")


def test_closing_twice_is_closing_once(open_memory: Open) -> None:
    memory = open_memory()
    memory.add_pattern("x")
    memory.close()
    memory.close()
    for use in (
        memory.stats,
        lambda: memory.add_pattern("y"),
        lambda: memory.predict("z"),
        memory.flush,
    ):
        with pytest.raises(StoreClosedError):
            use()


def test_leaving_the_block_closes(store: Path, open_memory: Open) -> None:
    with pytest.raises(RuntimeError), open_memory() as memory:
        memory.add_pattern("x", pattern_id="p")
        raise RuntimeError
    with pytest.raises(StoreClosedError):
        memory.stats()
    assert open_memory().get_pattern("p")


def test_a_forked_child_may_not_use_the_store_of_its_parent(store: Path) -> None:
    code = """
memory = open_()
memory.add_pattern('x', pattern_id='p')
memory.record('p', outcome=None, event_id='e')
uses = [
    memory.stats,
    lambda: memory.record('p', outcome=1.0),
    lambda: memory.record('p', outcome=None, event_id='e'),
    lambda: memory.resolve('e', outcome=1.0),
    lambda: memory.predict('x'),
    lambda: list(memory.iter_events()),
]
if os.fork() == 0:
    for use in uses:
        try: use()
        except WhatWorksError as error: print(type(error).__name__, flush=True)
    os._exit(0)
os.wait()
memory.record('p', outcome=1.0)
print(memory.get_pattern('p').usage_count)
"""
    assert run(code, store).split() == ["StoreClosedError"] * 6 + ["2"]


def test_a_forked_child_that_ends_does_not_harm_the_store(store: Path, open_memory: Open) -> None:
    code = """
memory = open_()
memory.add_pattern('x', pattern_id='p')
memory.record_many([{'pattern_id': 'p', 'outcome': 1.0}] * 50)
memory.stats()
if os.fork() == 0:
    memory.close()
    sys.exit()  # runs every destructor
os.wait()
for _ in range(5):
    memory.record_many([{'pattern_id': 'p', 'outcome': 0.0}] * 10)
    memory.stats()
memory.close()
"""
    run(code, store)
    assert open_memory().get_pattern("p").usage_count == 100
    assert open_memory().stats().problems == ()


# -- opening ----------------------------------------------------------------------------------------


def test_a_store_is_not_made_unless_it_may_be(store: Path, open_memory: Open) -> None:
    with pytest.raises(NotFoundError, match="whatworks init"):
        open_memory(create=False)
    assert not store.exists()
    open_memory().close()
    open_memory(create=False).close()


def test_a_path_that_is_a_file_is_a_store_error(tmp_path: Path, open_memory: Open) -> None:
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file", tmp_path / "file" / "store"):
        for create in (True, False):
            with pytest.raises(WhatWorksError):
                open_memory(path, create=create)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("path", ["/proc/whatworks", "/proc/self/fd/store", "/dev/null/store"])
def test_a_place_that_cannot_be_written_is_a_store_error(path: str, open_memory: Open) -> None:
    with pytest.raises(StoreError):
        open_memory(Path(path))


@pytest.mark.parametrize("path", ["", "a\x00b", "half\ud800"])
def test_what_is_no_path_is_refused(path: str, open_memory: Open) -> None:
    with pytest.raises(InvalidInputError):
        open_memory(path)


def test_a_name_that_is_too_long_is_a_store_error(tmp_path: Path, open_memory: Open) -> None:
    with pytest.raises(StoreError):
        open_memory(tmp_path / ("x" * 300))


def test_a_store_of_a_newer_version_is_left_alone(store: Path, open_memory: Open) -> None:
    open_memory().close()
    newer = config.load(store).changed(format=config.FORMAT + 1)
    config.save(store, newer)
    before = (store / config.FILE).read_bytes()
    with pytest.raises(SchemaVersionError, match="upgrade"):
        open_memory()
    assert (store / config.FILE).read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [{"source": ""}, {"channel": "a\nb"}, {"durability": "never"}, {"vectors": "nosuch"},
     {"embedder": 5}, {"embedder": "model"}],
    ids=str,
)  # fmt: skip
def test_refused_options_leave_no_store_and_no_lock(
    store: Path, open_memory: Open, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError):
        open_memory(**options)
    assert not (store / config.FILE).exists()
    open_memory().close()
    with pytest.raises(WhatWorksError):
        open_memory(**options)
    assert run("open_(); print('free')", store) == "free"


def test_a_store_without_its_journal_does_not_answer(store: Path, open_memory: Open) -> None:
    open_memory().close()
    (store / "journal").rmdir()
    memory = open_memory()
    with pytest.raises(StoreError, match="journal is missing"):
        memory.stats()
    with pytest.raises(StoreError, match="journal"):
        memory.add_pattern("x")


def test_files_of_a_store_are_private_to_their_owner(store: Path, open_memory: Open) -> None:
    memory = open_memory()
    fill(memory)
    memory.flush()
    (segment,) = journal.segments(store / "journal")
    for path in (store, store / "journal"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for path in (store / config.FILE, store / "evidence.duckdb", store / "keeper.lock", segment.path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


# -- what is remembered ------------------------------------------------------------------------------


def predicted(memory: Memory) -> list[tuple[object, ...]]:
    found = memory.predict("a situation").answers
    return [(a.pattern.pattern_id, a.expected, a.low, a.high, a.n_effective) for a in found]


def test_predict_remembers_nothing_of_a_pattern_that_has_changed(
    store: Path, tmp_path: Path, open_memory: Open
) -> None:
    memory = open_memory()
    memory.add_patterns([{"description": f"pattern {n}", "pattern_id": f"p{n}"} for n in range(4)])
    changes: list[Callable[[], object]] = [
        lambda: memory.record("p0", outcome=1.0, context="a situation"),
        lambda: memory.record("p1", outcome=None, context="a situation", event_id="late"),
        lambda: memory.resolve("late", outcome=0.0),
        lambda: memory.resolve("late", outcome=1.0),
        lambda: memory.add_priors([Prior("p2", 0.9, 40, "elsewhere")]),
        lambda: memory.record_many([NewEvent("p3", outcome=n % 2) for n in range(60)]),
        lambda: memory.forget("p3", now=True),
    ]
    passing = shutil.ignore_patterns("*.sock", "*.tmp")  # the background may still be at something
    seen = [predicted(memory)]
    for place, change in enumerate(changes):
        change()
        seen.append(predicted(memory))
        memory.flush()
        copy = shutil.copytree(store, tmp_path / str(place), ignore=passing)
        assert seen[-1] == predicted(open_memory(copy))
    assert len({str(answer) for answer in seen}) >= len(changes)  # one that waits changes nothing


def test_where_it_cannot_be_told_which_patterns_changed_nothing_is_remembered(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the tables cannot be read")

    memory = open_memory()
    memory.add_pattern("pattern", pattern_id="p")
    before = predicted(memory)
    with monkeypatch.context() as patch:
        patch.setattr(questions, "numbers", fail)
        memory.record("p", outcome=1.0, context="a situation")
        with suppress(StoreError):  # unless the background was first
            memory.stats()
    after = predicted(memory)
    assert after != before
    monkeypatch.setattr(keeper, "LOOKED_UP", 0)
    memory.record("p", outcome=1.0, context="a situation")
    assert predicted(memory) != after


# -- views that can be made again -------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["exact", "lance"])
def test_a_rebuilt_store_answers_as_before(open_memory: Open, engine: str) -> None:
    memory = open_memory(vectors=engine)
    fill(memory)
    before = snapshot(memory)
    memory.rebuild()
    assert snapshot(memory) == before
    memory.close()
    assert snapshot(open_memory(vectors=engine)) == before


@pytest.mark.parametrize("lost", ["evidence", "vectors", "both"])
def test_a_view_that_was_deleted_is_made_again(store: Path, open_memory: Open, lost: str) -> None:
    memory = open_memory()
    fill(memory)
    before = snapshot(memory)
    memory.flush()
    memory.close()
    if lost != "vectors":
        (store / "evidence.duckdb").unlink()
    if lost != "evidence":
        shutil.rmtree(store / "vectors")
    assert snapshot(open_memory()) == before


def test_an_unreadable_database_is_made_again_and_said_so(store: Path, open_memory: Open) -> None:
    memory = open_memory()
    fill(memory)
    before = snapshot(memory)
    memory.close()
    path = store / "evidence.duckdb"
    path.write_bytes(b"\x00" * 5_000 + path.read_bytes()[5_000:])
    again = open_memory()
    assert snapshot(again) == before
    (problem,) = again.stats().problems
    assert "rebuilt from the journal" in problem
    assert list(store.glob("evidence.aside-*"))


def test_a_torn_journal_is_left_as_it_is_and_a_new_segment_begun(
    store: Path, open_memory: Open
) -> None:
    memory = open_memory()
    memory.add_patterns(["one", "two"])
    memory.close()
    (segment,) = journal.segments(store / "journal")
    with open(segment.path, "ab") as file:
        file.write(b"0badc0de 3 pattern.added {")
    again = open_memory()
    again.add_pattern("three")
    again.close()
    assert len(journal.segments(store / "journal")) == 2
    assert sorted(p.description for p in open_memory().patterns()) == ["one", "three", "two"]
    assert open_memory().stats().problems == ()


def test_short_runs_share_a_segment(store: Path, open_memory: Open) -> None:
    for n in range(4):
        memory = open_memory()
        memory.add_pattern(f"run {n}")
        memory.predict("run")
        memory.close()
    assert len(journal.segments(store / "journal")) == 1
    assert open_memory().stats().patterns == 4


def test_damaged_records_are_told(store: Path, open_memory: Open) -> None:
    memory = open_memory()
    memory.add_patterns(["one", "two", "three"])
    memory.close()
    (segment,) = journal.segments(store / "journal")
    segment.path.write_bytes(segment.path.read_bytes().replace(b'"two"', b'"tvo"'))
    (store / "evidence.duckdb").unlink()
    again = open_memory()
    assert sorted(p.description for p in again.patterns()) == ["one", "three"]
    assert again.stats().problems == ("1 damaged journal records were left out",)


def test_what_is_written_while_a_store_is_rebuilt_is_kept(open_memory: Open) -> None:
    memory = open_memory()
    fill(memory)
    done = threading.Event()
    recorded: list[str] = []

    def record() -> None:
        while not done.is_set():
            recorded.append(memory.record("p1", outcome=1.0).event_id)

    writer = threading.Thread(target=record)
    writer.start()
    for _ in range(3):
        memory.rebuild()
    done.set()
    writer.join()
    stored = {event.event_id for event in memory.iter_events()}
    assert set(recorded) <= stored
    assert len(stored) == 40 + len(recorded)


def test_a_fold_that_fails_leaves_no_stale_answers(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory()
    memory.add_pattern("retry", pattern_id="p")
    memory.record("p", outcome=1.0)
    assert memory.get_pattern("p").usage_count == 1
    real = Evidence.fold

    def fold(self: Evidence, *arguments: Any) -> set[str]:
        real(self, *arguments)
        raise StoreError("the second batch did not fit")

    memory.record("p", outcome=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Evidence, "fold", fold)
        with pytest.raises(StoreError):
            memory.get_pattern("p")
    assert memory.get_pattern("p").usage_count == 2


def test_flushing_puts_the_journal_on_the_disk_at_any_level(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory(durability="process", embedder="none")
    synced: list[str] = []
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        real(file)
        synced.append(os.readlink(f"/proc/self/fd/{file}"))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    memory.add_pattern("retry")
    assert synced == []
    memory.flush()
    assert sorted(Path(name).suffix for name in synced) == [".log", ".lookup"]


def test_a_text_folded_while_the_background_ends_its_work_is_found(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory()
    memory.add_pattern("early words")
    memory.find_similar("words")
    own, late = memory._keeper.embeddings, list[str]()
    real = own._embed_some

    def embed_some(evidence: Any, name: str) -> int:
        more = real(evidence, name)
        if not more and name == embeddings.COLLECTIONS[-1] and not late:
            late.append(memory.add_pattern("late arrival", pattern_id="late").pattern_id)
        return more

    monkeypatch.setattr(own, "_embed_some", embed_some)
    own.embed()
    assert memory.find_similar("late arrival")[0].pattern_id == "late"
    assert late


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "nothing happened for 20 seconds"
        time.sleep(0.01)


def test_a_question_looks_at_no_full_segment_and_the_background_at_all(
    store: Path, open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 60.0)
    memory = open_memory()
    memory.add_pattern("retry", pattern_id="p")
    memory.flush()
    monkeypatch.setattr(keeper, "SEGMENT_BYTES", 1)
    write = "memory = open_(); memory.record('p', outcome=1.0); memory.close()"
    run(write, store)  # which begins a segment
    assert memory.trend("p").days[0].usage_count == 1
    run(write, store)  # which goes on with it, as if that was not full
    own = memory._keeper
    assert (own._others_wrote(growing=True), own._others_wrote()) == (False, True)


def test_the_work_is_done_in_the_background_when_nobody_asks(open_memory: Open) -> None:
    memory = open_memory()
    memory.add_pattern("retry", pattern_id="p")
    memory.record("p", outcome=1.0, context="here")
    own = memory._keeper
    wait_for(lambda: own._folded == own.journal.acknowledged and own.embeddings.all_embedded)
    described = own.embeddings.describe()
    assert (described["patterns"]["waiting"], described["contexts"]["waiting"]) == (0, 0)


def test_an_embedder_that_fails_in_the_background_is_told_and_tried_again(open_memory: Open) -> None:
    model = HashEmbedder()
    broken = threading.Event()
    broken.set()

    def embed(texts: list[str]) -> Any:
        if broken.is_set():
            raise RuntimeError("no model today")
        return model(texts)

    memory = open_memory(embedder=embed)
    memory.add_pattern("retry", pattern_id="p")
    wait_for(lambda: memory.stats().problems != ())
    assert "no model today" in memory.stats().problems[0]
    with pytest.raises(StoreError, match="no model today"):
        memory.find_similar("retry")
    assert memory.get_pattern("p")
    broken.clear()
    assert memory.find_similar("retry")[0].pattern_id == "p"


def test_a_receipt_that_does_not_fit_costs_no_answer(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory()
    memory.add_pattern("retry", pattern_id="p")

    def full(*_: Any, **__: Any) -> None:
        raise StoreFullError("no room left")

    with monkeypatch.context() as patch:
        patch.setattr(memory._keeper.journal, "append", full)
        made = memory.predict("retry")
    assert made.answers[0].pattern_id == "p"
    assert "no room left" in memory.stats().problems[0]
    with pytest.raises(NotFoundError):
        memory.why(made.prediction_id)


# -- embedders --------------------------------------------------------------------------------------


def test_another_model_is_refused_and_changes_nothing(store: Path, open_memory: Open) -> None:
    memory = open_memory()
    fill(memory)
    before = snapshot(memory)
    memory.close()
    with pytest.raises(ModelMismatchError, match=r"hash-64.*hash-8.*reembed"):
        open_memory(embedder=HashEmbedder(8))
    assert snapshot(open_memory()) == before


def test_a_model_that_changes_its_dimension_is_refused(open_memory: Open) -> None:
    dims = [4]
    memory = open_memory(embedder=lambda texts: np.ones((len(texts), dims[0]), np.float32))
    memory.add_pattern("one")
    assert memory.find_similar("one")
    assert memory.stats().dim == 4
    dims[0] = 5
    with pytest.raises(ModelMismatchError, match="5 dimensions, the store has 4"):
        memory.find_similar("another question")


def test_without_an_embedder_all_that_needs_no_vectors_works(store: Path, open_memory: Open) -> None:
    bare = open_memory(embedder="none")
    fill(bare)
    before = snapshot(bare, vectors=False)
    assert bare.find_similar("retry")[0].pattern_id == "p0"
    with pytest.raises(ModelMismatchError, match="needs an embedder"):
        bare.predict("retry")
    bare.flush()
    bare.rebuild()
    assert snapshot(bare, vectors=False) == before
    bare.close()
    full = open_memory()
    assert full.stats().embedder == "hash-64"
    assert full.find_similar("retry")[0].pattern_id == "p0"
    full.close()
    bare = open_memory(embedder="none")
    assert snapshot(bare, vectors=False) == before
    with pytest.raises(ModelMismatchError, match="needs the embedder 'hash-64'"):
        bare.find_similar("retry")


def test_the_first_question_by_text_loads_the_model_beside_what_else_it_opens(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_memory(embedder=MiniLM())
    first.add_pattern("retry", pattern_id="p")
    first.flush()
    first.close()
    loading, load = list[threading.Thread](), MiniLM.load

    def loaded(model: MiniLM) -> None:
        loading.append(threading.current_thread())
        load(model)

    monkeypatch.setattr(MiniLM, "load", loaded)
    memory = open_memory(embedder=MiniLM())
    assert memory.trend("p").days == ()
    assert loading == []
    assert memory.find_similar("try again")[0].pattern_id == "p"
    beside = [thread for thread in loading if thread is not threading.current_thread()]
    assert len(beside) == 1
    memory.find_similar("something else")
    memory.predict("something else")
    assert [thread for thread in loading if thread is not threading.current_thread()] == beside


def test_a_model_that_does_not_load_is_told_to_who_asks(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_model: MiniLM) -> None:
        raise StoreError("the embedding model is missing")

    monkeypatch.setattr(MiniLM, "load", fails)
    memory = open_memory(embedder=MiniLM())
    for ask in (memory.find_similar, memory.predict):
        with pytest.raises(StoreError, match="is missing"):
            ask("retry")


def test_an_embedder_is_taken_over_from_a_second_handle(open_memory: Open) -> None:
    open_memory().close()
    bare = open_memory(embedder="none")
    bare.add_pattern("retry", pattern_id="p")
    full = open_memory()
    assert full.find_similar("retry")[0].pattern_id == "p"
    assert bare.find_similar("retry")[0].pattern_id == "p"


@pytest.mark.parametrize("engine", ["exact", "lance"])
def test_reembedding_switches_to_the_other_model(store: Path, open_memory: Open, engine: str) -> None:
    memory = open_memory(vectors=engine)
    fill(memory)
    memory.flush()
    memory.reembed(HashEmbedder(32))
    after = snapshot(memory)
    stats = memory.stats()
    assert (stats.embedder, stats.dim) == ("hash-32", 32)
    assert [item.name for item in (store / "vectors").iterdir()] == ["2"]
    memory.close()
    with pytest.raises(ModelMismatchError):
        open_memory(vectors=engine)
    assert snapshot(open_memory(embedder=HashEmbedder(32), vectors=engine)) == after
    fresh = open_memory(store.with_name("fresh"), embedder=HashEmbedder(32))
    fill(fresh)
    assert snapshot(fresh)["similar"] == after["similar"]


class Failing(HashEmbedder):
    """Fails once it has been called ``calls`` times."""

    def __init__(self, calls: int) -> None:
        super().__init__(32)
        self.left = calls

    def __call__(self, texts: list[str], /) -> Any:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().__call__(texts)


@pytest.mark.parametrize("calls", range(5))
def test_interrupted_reembedding_stays_with_the_old_model_and_goes_on_later(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    monkeypatch.setattr(embeddings, "EMBED_BATCH", (8, 8))
    memory = open_memory()
    fill(memory, patterns=12)
    before = snapshot(memory)
    with pytest.raises(KeyboardInterrupt):
        memory.reembed(Failing(calls))
    assert memory.stats().embedder == "hash-64"
    assert snapshot(memory) == before
    memory.close()
    again = open_memory()
    assert snapshot(again) == before
    again.reembed(HashEmbedder(32))
    assert again.stats().embedder == "hash-32"
    described = again.stats().vectors
    assert described["patterns"]["vectors"] == 12
    assert described["patterns"]["waiting"] == described["contexts"]["waiting"] == 0


def test_reembedding_needs_an_embedder(memory: Memory) -> None:
    for bad in ("none", "other", 5):
        with pytest.raises(InvalidInputError):
            memory.reembed(bad)  # type: ignore[arg-type]


def test_opening_a_store_touches_nothing(store: Path, open_memory: Open) -> None:
    open_memory().close()
    listing = sorted((path.name, path.stat().st_mtime_ns) for path in store.rglob("*"))
    open_memory()
    assert sorted((path.name, path.stat().st_mtime_ns) for path in store.rglob("*")) == listing
