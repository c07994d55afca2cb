from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import orjson
import pytest

from conftest import FrozenClock
from support.reference import assert_counts_agree
from support.snapshot import fill, snapshot
from whatworks import (
    InvalidInputError,
    Memory,
    NotFoundError,
    StoreError,
    erasure,
    failpoints,
    segments,
    vectors,
)
from whatworks.doctor import examine
from whatworks.forgetting import _forget_sessions

Open = Callable[..., Memory]
WORDS = ("parser", "import", "borrow", "config", "cache", "timeout", "retry")
COUNTED = ("patterns", "events", "resolved", "pending", "not_used", "unknown", "contexts", "priors")


def found_in(folder: Path, text: str) -> list[str]:
    """The files below a folder that hold a text."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [str(path.relative_to(folder)) for path in files if text.encode() in path.read_bytes()]


# -- what is left equals what never was ---------------------------------------------------------------


class History:
    """Things that happen, the same each time, each with what it belongs to."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.patterns = [
            (f"p{n}", f"{rng.choice(WORDS)} then {rng.choice(WORDS)} {n % 3}")
            for n in range(rng.randint(2, 7))
        ]
        self.events = [
            {
                "event_id": f"e{n}",
                "pattern_id": rng.choice(self.patterns)[0],
                "context": rng.choice([None, *(f"{a} fails in {b}" for a, b in pairwise(WORDS))]),
                "outcome": rng.choice([None, 0.0, 0.25, 1.0]),
                "source": rng.choice(["ada", "ben"]),
                "session_id": rng.choice(["s1", "s2", None]),
                "days": n // 3,
            }
            for n in range(rng.randint(5, 60))
        ]
        open_ones = [e["event_id"] for e in self.events if e["outcome"] is None]
        self.outcomes = {e: rng.choice([0.0, 1.0]) for e in open_ones if rng.random() < 0.6}

    def happen(
        self,
        writers: dict[str, Memory],
        clock: FrozenClock,
        without: Callable[[str, dict[str, Any] | None], bool] = lambda pattern, event: False,
    ) -> None:
        start, memory = clock.now, writers["ada"]
        clock.now = start + timedelta(days=25)
        for name, description in self.patterns:
            if not without(name, None):
                memory.add_pattern(description, pattern_id=name)
                memory.add_priors(
                    [{"pattern_id": name, "success_rate": 0.5, "usage_count": 2, "origin": name}]
                )
        for event in self.events:
            if not without(event["pattern_id"], event):
                given = {key: value for key, value in event.items() if key not in ("days", "source")}
                at = start + timedelta(days=event["days"])
                writers[event["source"]].record_many([given | {"timestamp": at}])
        for n, (name, outcome) in enumerate(self.outcomes.items()):
            (event,) = [e for e in self.events if e["event_id"] == name]
            if not without(event["pattern_id"], event):
                clock.now = start + timedelta(days=30, minutes=n)
                memory.resolve(name, outcome=outcome)
        clock.now = start + timedelta(days=40)


def told(memory: Memory) -> dict[str, Any]:
    counts = memory.stats()
    return snapshot(memory) | {name: getattr(counts, name) for name in COUNTED}


@pytest.mark.parametrize("seed", range(4 if not os.environ.get("WHATWORKS_FULL") else 300))
@pytest.mark.parametrize("by", ["pattern", "events", "source", "session", "time", "text"])
def test_what_is_left_equals_a_memory_that_never_had_it(
    tmp_path: Path, open_memory: Open, seed: int, by: str
) -> None:
    history, rng = History(seed), random.Random(seed)
    kept = [event["event_id"] for event in history.events]
    some = set(rng.sample(kept, rng.randint(1, len(kept))))
    start = FrozenClock().now
    cut = start + timedelta(days=rng.randint(0, 10))
    chosen, without = {
        "pattern": ({"patterns": ["p0", "p1"]}, lambda p, e: p in ("p0", "p1")),
        "events": ({"events": some}, lambda p, e: e is not None and e["event_id"] in some),
        "source": ({"source": "ada"}, lambda p, e: e is not None and e["source"] == "ada"),
        "session": (
            {"session_id": "s1", "source": "ben"},
            lambda p, e: e is not None and (e["session_id"], e["source"]) == ("s1", "ben"),
        ),
        "time": (
            {"until": cut},
            lambda p, e: e is not None and start + timedelta(days=e["days"]) < cut,
        ),
        "text": (
            {"containing": "ParSer"},
            lambda p, e: (
                "parser" in dict(history.patterns)[p]
                or (e is not None and e["context"] is not None and "parser" in e["context"])
            ),
        ),
    }[by]

    def happened(name: str, without: Any) -> Memory:
        clock = FrozenClock()
        writers = {
            source: open_memory(tmp_path / name, clock=clock, source=source)
            for source in ("ada", "ben")
        }
        history.happen(writers, clock, without)
        return writers["ben"]

    memory = happened("one", lambda p, e: False)
    if rng.random() < 0.5:
        memory.flush()
    if rng.random() < 0.5:
        told(memory)
    memory.forget(**chosen)
    expected = told(happened("other", without))
    assert told(memory) == expected
    assert_counts_agree(memory)
    memory.flush()  # with the lookup
    assert told(memory) == expected
    memory.forget(**chosen | {"now": True}) if by not in (
        "pattern",
        "events",
    ) else memory._keeper.erase()
    assert told(memory) == expected
    memory.rebuild()
    assert told(memory) == expected


def test_what_is_learned_of_the_world_is_learned_again(
    clock: FrozenClock, tmp_path: Path, open_memory: Open
) -> None:
    """Hyperparameters come from all tries; those of a forgotten source are no exception."""
    memory, other = (open_memory(tmp_path / name, clock=clock) for name in ("one", "other"))
    liar = open_memory(tmp_path / "one", clock=clock, source="liar")
    rng = np.random.default_rng(0)
    for m, liars in ((memory, True), (other, False)):
        for n in range(4):
            m.add_pattern(f"{WORDS[n]} approach", pattern_id=f"p{n}")
        for n in range(400):
            event = {"pattern_id": f"p{n % 4}", "event_id": f"e{n}"}
            context = f"{WORDS[n % 7]} in {WORDS[n % 5]} at {n % 40}"
            m.record_many([event | {"context": context, "outcome": float((n * 7 + n // 3) % 5 > 1)}])
            if liars:
                lie = {"event_id": f"l{n}", "outcome": float(rng.random() < 0.5)}
                liar.record_many([event | lie | {"context": f"{context} again"}])
        m.predict("parser in import")
    memory.forget(source="liar")
    assert told(memory) == told(other)


# -- at once, everywhere -------------------------------------------------------------------------------


def test_nothing_answers_with_what_was_forgotten(memory: Memory) -> None:
    fill(memory)
    description = memory.get_pattern("p1").description
    made = memory.predict("retry the build")
    assert "p1" in [answer.pattern_id for answer in made.answers]
    told = memory.forget("p1")
    assert (told.patterns, told.events, told.predictions, told.dry_run) == (1, 7, 1, False)
    assert "p1" not in [match.pattern_id for match in memory.find_similar(description)]
    assert "p1" not in [a.pattern_id for a in memory.predict("retry the build").answers]
    assert {event.pattern_id for event in memory.iter_events()} == {"p0", "p2", "p3", "p4", "p5"}
    for question in (memory.get_pattern, memory.trend, memory.events):
        with pytest.raises(NotFoundError):
            question("p1")
    with pytest.raises(NotFoundError):
        memory.why(made.prediction_id)
    with pytest.raises(NotFoundError):
        memory.record("p1", outcome=1.0)
    with pytest.raises(NotFoundError):
        memory.resolve("e1", outcome=1.0)


def test_a_pattern_that_is_added_again_begins_anew(memory: Memory) -> None:
    fill(memory)
    memory.forget("p1")
    memory.add_pattern("something else", pattern_id="p1")
    memory.record("p1", outcome=1.0, event_id="e1")
    memory.forget("p0", now=True)  # which looks through the journal for p1 too
    assert memory.get_pattern("p1").usage_count == 1
    memory.rebuild()
    assert memory.get_pattern("p1").description == "something else"
    assert [event.event_id for event in memory.events("p1")] == ["e1"]


def test_what_is_added_again_while_it_is_erased_stays(memory: Memory, store: Path) -> None:
    write_canaries(memory)
    memory.flush()
    real = erasure.find

    def find(*given: Any) -> Any:
        memory.add_pattern("anew", pattern_id="canary1b")
        memory.record("canary1b", outcome=1.0, event_id="canary1e", context="anew")
        memory.resolve("canary1e", outcome=0.5)
        return real(*given)

    with patch.object(erasure, "find", find):
        memory.forget("canary1b", now=True)
    for _ in range(2):
        (event,) = memory.events("canary1b")
        assert (event.outcome, event.context) == (0.5, "anew")
        assert memory.get_pattern("canary1b").description == "anew"
        memory.rebuild()
    assert found_in(store, "canary1d") == []


def test_another_process_knows_at_once(memory: Memory, store: Path) -> None:
    """It has written to the pattern before, and asks nobody whether there is one."""
    memory.add_pattern("retry", pattern_id="p")
    code = """if True:
        import sys
        from whatworks import Memory, NotFoundError
        memory = Memory.open(sys.argv[1], embedder="none")
        memory.record("p", outcome=1.0)
        print("recorded", flush=True)
        sys.stdin.readline()
        try:
            memory.record("p", outcome=1.0)
        except NotFoundError as error:
            print(error, flush=True)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "recorded\n"
    memory.forget("p")
    out, _ = child.communicate("\n", timeout=30)
    assert out.startswith("there is no pattern 'p'")


def test_counting_first_changes_nothing(memory: Memory) -> None:
    fill(memory)
    before = snapshot(memory)
    counted = memory.forget("p1", dry_run=True)
    assert (counted.patterns, counted.events, counted.erased) == (1, 7, None)
    assert snapshot(memory) == before
    done = memory.forget("p1")
    assert (done.patterns, done.events, done.contexts) == (1, 7, counted.contexts)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, "expected what to forget"),
        ({"patterns": []}, "expected what to forget"),
        ({"patterns": ["p1"], "source": "x"}, "either ids"),
        ({"containing": "ab"}, "at least 3 characters"),
        ({"containing": "   "}, "containing"),
        ({"since": "yesterday"}, "expected a datetime"),
        ({"source": ""}, "source"),
        ({"patterns": [None]}, "an item of patterns"),
    ],
)
def test_what_says_too_little_or_too_much_is_refused(
    memory: Memory, chosen: dict[str, Any], expected: str
) -> None:
    fill(memory)
    before = snapshot(memory)
    with pytest.raises(InvalidInputError, match=expected):
        memory.forget(**chosen)
    assert snapshot(memory) == before


def test_an_id_that_does_not_exist_lets_nothing_be_forgotten(memory: Memory) -> None:
    fill(memory)
    before = snapshot(memory)
    with pytest.raises(NotFoundError, match="no pattern 'p9'"):
        memory.forget(["p1", "p9"])
    with pytest.raises(NotFoundError, match="no event 'e99'"):
        memory.forget(events=["e1", "e99"])
    assert snapshot(memory) == before


def test_ids_that_look_like_sql_are_ids(memory: Memory) -> None:
    fill(memory)
    for name in ("x' OR '1'='1", "p1' --", '"]}', "%", "p?"):
        memory.add_pattern(f"odd {name}", pattern_id=name)
        memory.record(name, outcome=1.0)
        assert memory.forget(name).patterns == 1
        assert memory.forget(source=name).events == 0
        assert memory.forget(containing=f"odd {name}").patterns == 0
    assert memory.stats().patterns == 6


# -- from the disk -------------------------------------------------------------------------------------


def write_canaries(memory: Memory) -> None:
    """Texts that stand nowhere else, wherever a text can stand."""
    fill(memory)
    for n in range(8):
        memory.add_pattern(
            f"approach canary{n}a", pattern_id=f"canary{n}b", metadata={"k": f'canary{n}c"'}
        )
        memory.record(
            f"canary{n}b",
            outcome=None,
            context=f"situation canary{n}d",
            event_id=f"canary{n}e",
            session_id=f"canary{n}f",
            files=[f"src/canary{n}g.py"],
            metadata={f"canary{n}h": "x"},
        )
        memory.resolve(f"canary{n}e", outcome=1.0)
        memory.predict(f"asked canary{n}i about canary{n}d", candidates=[f"canary{n}b"])
        memory.add_priors(
            [
                {
                    "pattern_id": f"canary{n}b",
                    "success_rate": 1,
                    "usage_count": 2,
                    "origin": f"canary{n}j",
                }
            ]
        )


@pytest.mark.parametrize("text", ["resolved", "solve", "not_used", "distrusted", "a context id"])
def test_words_that_nobody_wrote_take_no_outcome_and_no_judgement_along(
    memory: Memory, text: str
) -> None:
    memory.add_pattern("retry the build", pattern_id="p")
    told = memory.record("p", outcome=0.0, context="linker", event_id="told")
    memory.record("p", outcome=None, event_id="open")
    memory.resolve("told", outcome=1.0, checked=True)
    memory.resolve("open", state="not_used")
    memory.distrust("local")
    before = snapshot(memory), memory.get_events(["told", "open"]), memory.judgements()
    assert before[1]["told"].checked
    memory.forget(containing=str(told.context_id) if text == "a context id" else text, now=True)
    assert (snapshot(memory), memory.get_events(["told", "open"]), memory.judgements()) == before
    memory.rebuild()
    assert (snapshot(memory), memory.get_events(["told", "open"]), memory.judgements()) == before


def test_a_text_goes_also_from_what_was_replaced_since(memory: Memory, store: Path) -> None:
    """Somebody notices a secret, and writes the pattern anew first."""
    memory.add_pattern("call with canary-one", pattern_id="p")
    memory.record("p", outcome=1.0, context="in the city", files=["it's canary-two.py"])
    memory.add_pattern("call without", pattern_id="p")
    memory.flush()
    assert any(name.startswith("journal/") for name in found_in(store, "canary-one"))
    told = memory.forget(containing="Canary-ONE", now=True)
    assert (told.patterns, told.events, told.records) == (0, 0, 1)
    assert found_in(store, "canary-one") == []
    assert memory.get_pattern("p").description == "call without"
    assert memory.forget(containing="it's canary-two", now=True).events == 1
    assert found_in(store, "canary-two") == []
    memory.rebuild()
    assert memory.get_pattern("p").usage_count == 0
    assert memory.forget(containing="pattern_id", dry_run=True).patterns == 0
    memory.forget(
        containing="pattern_id", now=True
    )  # which stands in every record, and is none of them
    memory.rebuild()
    assert memory.get_pattern("p").description == "call without"


@pytest.mark.parametrize("plan", [b"", b"[", b"[[1]]", b'[["../victim", 0, 8, 1, 5, false]]', b"\xff"])
def test_a_plan_that_is_none_writes_over_nothing(store: Path, open_memory: Open, plan: bytes) -> None:
    memory = open_memory(store)
    fill(memory)
    before = snapshot(memory)
    memory.close()
    victim = store / "victim"
    victim.write_bytes(b"12345678\n")
    (store / erasure.PLAN).write_bytes(plan)
    assert snapshot(open_memory(store)) == before
    assert not (store / erasure.PLAN).exists()
    body = b'[["../victim", 0, 9, 1, 5, false, "erased"]]'
    erasure.resume(store, store / "journal")
    (store / erasure.PLAN).write_bytes(sha256(body).hexdigest().encode() + b"\n" + body)
    erasure.resume(store, store / "journal")
    assert victim.read_bytes() == b"12345678\n"
    body = orjson.dumps(
        [[path.name, 3, 20, 1, 5, False, "erased"] for path in (store / "journal").iterdir()]
    )
    (store / erasure.PLAN).write_bytes(sha256(body).hexdigest().encode() + b"\n" + body)
    erasure.resume(store, store / "journal")
    assert [look.finding for look in examine(store) if look.status == "bad"] == []


def test_two_that_write_over_at_once_both_do(
    store: Path, open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory(store)
    fill(memory)
    memory.close()
    segment = segments.segments(store / "journal")[0]
    places = [erasure._place(segment, start, record) for start, record in erasure._records(segment)][1:]
    first, second = places[:1], places[1:2]
    other = threading.Thread(
        target=erasure.overwrite, args=(store, store / "journal", second), daemon=True
    )
    points = list[str]()

    def reached(point: str) -> None:
        if point.startswith("erasure."):
            points.append(point)
        if points == ["erasure.planned"]:
            other.start()
            other.join(0.3)  # a plan in the place of this one would be made now

    monkeypatch.setattr(failpoints, "reached", reached)
    erasure.overwrite(store, store / "journal", first)
    other.join(10)
    each = ["erasure.planned", "erasure.overwritten", "erasure.done"]
    assert points == [*each, *each]
    assert not (store / erasure.PLAN).exists()
    kinds = [record.kind for record in segments.read(segment)]
    assert kinds[1:3] == [erasure.ERASED] * 2 and erasure.ERASED not in kinds[3:]


def test_half_a_record_that_was_written_over_is_finished_by_the_next(
    memory: Memory, store: Path
) -> None:
    write_canaries(memory)
    memory.flush()
    real = erasure._write

    def half(file: int, data: bytes, start: int) -> None:
        real(file, data[:40], start)
        raise OSError(errno.EIO, "refused by a test")

    with patch.object(erasure, "_write", half), pytest.raises(StoreError):
        memory.forget("canary1b", now=True)
    memory._keeper.erase()
    assert found_in(store, "canary1") == []
    assert [look.finding for look in examine(store) if look.status == "bad"] == []


def test_what_is_forgotten_while_something_is_erased_is_erased_the_next_time(
    memory: Memory, store: Path
) -> None:
    write_canaries(memory)
    memory.flush()
    real = erasure.told
    calls: list[int] = []

    def told(folder: Path) -> Any:
        found = real(folder)
        calls.append(1)
        if len(calls) == 1:
            memory.forget("canary2b")
        return found

    with patch.object(erasure, "told", told):
        memory.forget("canary1b", now=True)
    assert found_in(store, "canary1") == []
    memory._keeper.erase()
    assert found_in(store, "canary2") == []


@pytest.mark.parametrize("engine", ["usearch", "exact", "lance"])
def test_no_byte_of_it_stays_in_any_file(tmp_path: Path, open_memory: Open, engine: str) -> None:
    store = tmp_path / "store"
    with patch.object(vectors, "IN_MEMORY", 3):
        memory = open_memory(store, vectors=engine)
        write_canaries(memory)
        memory.flush()
        assert (
            len(found_in(store, "canary3")) >= 3
        )  # journal, evidence, vectors: else it proves nothing
        told = memory.forget("canary3b", now=True)
        assert found_in(store, "canary3") == []
        assert told.erased is not None
        assert told.erased.records >= 5  # and what was learned, whenever that was
        assert told.erased.unreadable == 0
        memory.forget(containing="canary4", now=True)
        assert found_in(store, "canary4") == []
        memory.flush()
        assert memory.stats().patterns == 12
        assert {m.pattern_id for m in memory.find_similar("approach canary5a")} >= {
            "canary5b",
            "canary6b",
        }
        memory.close()
    assert found_in(store, "canary3") == found_in(store, "canary4") == []
    assert [look.finding for look in examine(store) if look.status != "ok"] == []


def test_an_aggregate_goes_for_the_text_of_its_origin(memory: Memory, store: Path) -> None:
    fill(memory)
    before = memory.get_pattern("p2")
    memory.add_priors(
        [{"pattern_id": "p2", "success_rate": 1.0, "usage_count": 9, "origin": "from acme-corp.json"}]
    )
    told = memory.forget(containing="ACME-corp", now=True)
    assert (told.patterns, told.events, told.priors) == (0, 0, 1)
    assert memory.get_pattern("p2") == before
    assert found_in(store, "acme-corp") == []


def test_where_nothing_is_forgotten_nothing_is_made_anew(memory: Memory, store: Path) -> None:
    write_canaries(memory)
    memory.flush()
    assert memory.forget("canary1b", now=True).erased.records >= 5  # type: ignore[union-attr]
    before = (store / "evidence.duckdb").stat().st_ino
    told = memory.forget(source="nobody", now=True)
    assert told.erased is not None
    assert (told.events, told.erased.records, told.erased.segments) == (0, 0, 0)
    assert (store / "evidence.duckdb").stat().st_ino == before


def test_it_goes_in_the_background_too(memory: Memory, store: Path) -> None:
    write_canaries(memory)
    memory.flush()
    memory.forget("canary1b")
    for _ in range(200):
        if not found_in(store, "canary1"):
            break
        threading.Event().wait(0.05)
    assert found_in(store, "canary1") == []
    assert memory.stats().problems == ()


def test_the_next_process_goes_on_where_one_has_died(
    memory: Memory, store: Path, open_memory: Open
) -> None:
    write_canaries(memory)
    memory.flush()
    with patch.object(erasure, "_overwrite", side_effect=StoreError("died")), pytest.raises(StoreError):
        memory.forget("canary1b", now=True)
    memory.close()
    assert found_in(store, "canary1")
    memory = open_memory(store)
    memory.flush()
    memory._keeper.erase()
    assert found_in(store, "canary1") == []
    assert memory.stats().patterns == 13


def test_questions_are_answered_while_it_goes_from_the_disk(memory: Memory) -> None:
    write_canaries(memory)
    memory.flush()
    failed: list[Exception] = []
    ends = threading.Event()

    def ask() -> None:
        while not ends.is_set():
            try:
                assert memory.find_similar("approach", limit=3)
                assert memory.predict("situation").answers
                assert memory.trend("p0").days
                memory.record("p0", outcome=1.0, context="while it is erased")
            except Exception as error:  # noqa: BLE001 - shown below
                failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(4):
        memory.forget(f"canary{n}b", now=True)
    ends.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert_counts_agree(memory)


def test_what_hooks_wrote_of_a_session_goes_with_its_tries(tmp_path: Path) -> None:
    for name in ("abc", "def", "ghi"):
        said = json.dumps(
            {"harness": "claude", "payload": f'of {name}, with a Canary, für "uns" {name}'}
        )
        (tmp_path / f"{name}.jsonl").write_text(f"{said}\n")
        (tmp_path / f"{name}.done").write_text("{}")
    _forget_sessions(tmp_path, ["claude-abc", "codex-def", "claude-x-ghi"], None)
    (tmp_path / "lock").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "def.done",
        "def.jsonl",
        "ghi.done",
        "ghi.jsonl",
    ]
    _forget_sessions(tmp_path, [], 'FÜR "uns" def')
    (tmp_path / "lock").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ghi.done", "ghi.jsonl"]


def test_a_pattern_that_is_added_again_is_found_by_its_meaning(memory: Memory) -> None:
    memory.add_pattern("retry the build", pattern_id="p")
    memory.forget("p", now=True)  # before anything was looked for
    memory.add_pattern("retry the build, once", pattern_id="p")
    assert [match.vector_rank for match in memory.find_similar("retry the build")] == [1]


def test_it_is_still_found_when_the_evidence_is_made_anew(memory: Memory) -> None:
    memory.add_pattern("retry the build", pattern_id="p")
    memory.forget("p")  # the journal keeps that it was, until it is erased
    memory.add_pattern("retry the build, once", pattern_id="p")
    assert [match.vector_rank for match in memory.find_similar("retry the build")] == [1]
    memory.rebuild()
    assert [match.vector_rank for match in memory.find_similar("retry the build")] == [1]


def test_a_record_stands_until_it_is_written_over(
    memory: Memory, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whatworks.keeper.Keeper._to_erase", lambda _: False)  # not by the background
    memory.add_pattern("retry the build", pattern_id="p")
    memory.forget("p")
    journal = store / "journal"
    told = erasure.told(journal)
    gone = erasure.find(journal, told, lambda: None)
    places = [*gone.places, *told.places]  # also what says so, which stays as the border that it was
    assert gone.places and all(erasure.stands(journal, place) for place in places)
    erasure.overwrite(store, journal, places)
    assert not any(erasure.stands(journal, place) for place in places)
