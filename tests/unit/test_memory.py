from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isclose
from typing import Any

import numpy as np
import pytest

from support import reference
from support.snapshot import fill, rounded, snapshot
from whatworks import (
    InvalidInputError,
    Memory,
    NewEvent,
    NewPattern,
    NotFoundError,
    Prior,
    Where,
)
from whatworks.evidence import cells
from whatworks.testing import HashEmbedder

Open = Callable[..., Memory]


# -- the example of the documentation ----------------------------------------------------------------


def test_the_example_of_the_documentation_works(store: Any) -> None:
    """With the default embedder, as it is written there."""
    with Memory.open(store) as memory:
        p = memory.add_pattern(
            "Run cargo check, fix the imports it names, run it again",
            pattern_type="debugging_strategy",
            metadata={"language": "rust"},
        )
        memory.record(
            p.pattern_id,
            outcome=1.0,
            context="error[E0432]: unresolved import in parser.rs",
            session_id="s1",
            files=["src/parser.rs"],
            tools=["cargo"],
            duration_ms=5200,
        )
        memory.record(p.pattern_id, outcome=None, context="...", event_id="e2")
        memory.resolve("e2", outcome=0.0)

        (match,) = memory.find_similar("import cannot be found", limit=5)
        assert match.pattern.pattern_id == match.pattern_id == p.pattern_id
        assert (match.success_rate, match.usage_count) == (0.5, 2)
        assert match.distance is not None
        assert 0 < match.distance < 1
        trend = memory.trend(p.pattern_id, window_days=7)
        assert (trend.direction, trend.change) == ("too little data", None)
        assert trend.days[0].moving_avg == 0.5
        made = memory.predict("cargo build fails: unresolved import", limit=10)
        assert made.answers[0].pattern == memory.get_pattern(p.pattern_id)
        assert made.answers[0].evidence[0].context == "error[E0432]: unresolved import in parser.rs"
        why = memory.why(made.prediction_id)
        assert why.prediction == made
        assert [event.event_id for event in memory.events(p.pattern_id, limit=1)] == ["e2"]
        assert (memory.stats().patterns, memory.stats().events) == (1, 2)
        memory.flush()


# -- writing, and reading it back --------------------------------------------------------------------


def test_what_was_written_is_in_every_later_answer(memory: Memory) -> None:
    for n in range(5):
        added = memory.add_pattern(f"retry number{n}", pattern_id=f"p{n}")
        assert memory.get_pattern(f"p{n}") == added
        assert memory.find_similar(f"number{n}")[0].pattern_id == f"p{n}"
        memory.record(f"p{n}", outcome=1.0, context=f"situation{n}")
        assert memory.get_pattern(f"p{n}").usage_count == 1
        assert memory.trend(f"p{n}").days[0].usage_count == 1
        made = memory.predict(f"situation{n}")
        (evidence,) = next(a for a in made.answers if a.pattern_id == f"p{n}").evidence
        assert (evidence.context, evidence.similarity) == (f"situation{n}", pytest.approx(1))


def test_the_batch_methods_take_any_iterable_and_several_forms(memory: Memory) -> None:
    one, two, three = memory.add_patterns(
        iter(["in words", NewPattern("as a record", pattern_id="r"), {"description": "as a mapping"}])
    )
    assert [one.description, two.pattern_id, three.description] == ["in words", "r", "as a mapping"]
    events = memory.record_many(
        item for item in (NewEvent("r", outcome=1.0), {"pattern_id": "r", "outcome": 0.0})
    )
    assert [event.outcome for event in events] == [1.0, 0.0]
    memory.add_priors(iter([Prior("r", 0.5, 10, "o")]))
    assert memory.add_patterns([]) == []
    assert memory.record_many([]) == []
    assert memory.get_pattern("r").prior_count == 10


def test_single_and_batch_methods_write_the_same(open_memory: Open, store: Any, clock: Any) -> None:
    one, other = open_memory(clock=clock), open_memory(store.with_name("other"), clock=clock)
    fields: dict[str, Any] = {"context": "here", "event_id": "e", "files": ["a"], "metadata": {"a": 1}}
    one.add_pattern("retry", pattern_type="t", metadata={"m": 1}, pattern_id="p")
    one.record("p", outcome=0.5, **fields)
    other.add_patterns([NewPattern("retry", "t", {"m": 1}, "p")])
    other.record_many([NewEvent("p", outcome=0.5, **fields)])
    assert snapshot(one) == snapshot(other)


@pytest.mark.parametrize(
    "write",
    [
        lambda m: m.add_patterns("abc"),
        lambda m: m.add_patterns(5),
        lambda m: m.add_patterns({"description": "a"}),
        lambda m: m.add_patterns(["good", ""]),
        lambda m: m.record_many("p"),
        lambda m: m.record_many(None),
        lambda m: m.record_many([NewEvent("p", outcome=1.0), NewEvent("p", outcome=2.0)]),
        lambda m: m.record("p", outcome=1.0, files=5),
        lambda m: m.record("p", outcome=1.0, tools="cargo"),
        lambda m: m.record("p", outcome=1.0, metadata=[]),
        lambda m: m.record("p", outcome=1.0, timestamp=datetime(2025, 1, 1)),
        lambda m: m.record("p", outcome="1"),
        lambda m: m.add_pattern("x", metadata=0),
        lambda m: m.add_pattern("x" * 10_000_000),
        lambda m: m.add_pattern("x\x00"),
        lambda m: m.add_pattern("x", pattern_id="a\nb"),
        lambda m: m.add_priors("p"),
        lambda m: m.resolve("e", outcome=None),
        lambda m: m.resolve("e", outcome=2),
        lambda m: m.resolve("", outcome=1),
        lambda m: m.find_similar(""),
        lambda m: m.find_similar(None),
        lambda m: m.find_similar("x", limit=0),
        lambda m: m.find_similar("x", where={"nosuch": 1}),
        lambda m: m.trend("p", window_days=0),
        lambda m: m.trend("p", window_days=366),
        lambda m: m.trend("p", as_of=datetime(2025, 1, 1)),
        lambda m: m.predict("x", limit=-1),
        lambda m: m.predict("x", candidates="p"),
        lambda m: m.predict("x", candidates=[5]),
        lambda m: m.predict("x", as_of=datetime.now(UTC) + timedelta(days=9)),
        lambda m: m.predict("\ud800"),
        lambda m: m.why("a\nb"),
        lambda m: m.patterns(limit=0),
        lambda m: m.events(limit=0),
        lambda m: m.events("a\x00"),
        lambda m: m.get_pattern(None),
        lambda m: m.get_event(5),
    ],
)
def test_what_is_refused_leaves_everything_as_it_was(
    memory: Memory, write: Callable[[Memory], object]
) -> None:
    fill(memory)
    memory.add_pattern("retry", pattern_id="p")
    memory.record("p", outcome=None, event_id="e")
    before = snapshot(memory, vectors=False)
    with pytest.raises(InvalidInputError) as caught:
        write(memory)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert snapshot(memory, vectors=False) == before


def test_what_is_unknown_is_not_found(memory: Memory) -> None:
    fill(memory)
    for ask in (
        lambda: memory.get_pattern("nobody"),
        lambda: memory.get_event("nobody"),
        lambda: memory.trend("nobody"),
        lambda: memory.events("nobody"),
        lambda: memory.predict("x", candidates=["p0", "nobody"]),
        lambda: memory.why("nobody"),
        lambda: memory.record("nobody", outcome=1.0),
        lambda: memory.resolve("nobody", outcome=1.0),
    ):
        with pytest.raises(NotFoundError, match="nobody"):
            ask()
    assert memory.get_patterns(["p0", "nobody"]).keys() == {"p0"}
    assert memory.get_events(["e0", "nobody"]).keys() == {"e0"}


@pytest.mark.parametrize(
    "name", ["it's", 'say "x"', "../../x", "x' OR '1'='1", "模式 🙂", "a/b\\c", "%", "$1"]
)
def test_any_printable_id_gives_exactly_its_row(memory: Memory, name: str) -> None:
    memory.add_pattern("other", pattern_id="other")
    memory.add_pattern("this", pattern_id=name)
    memory.record(name, outcome=1.0, event_id=name, context="here")
    memory.record("other", outcome=0.0)
    assert memory.get_pattern(name).description == "this"
    assert [event.event_id for event in memory.events(name)] == [name]
    assert memory.resolve(name, outcome=0.5).outcome == memory.get_event(name).outcome == 0.5
    made = memory.predict("here", candidates=[name])
    assert [answer.pattern_id for answer in made.answers] == [name]
    assert memory.why(made.prediction_id).explanations[0].pattern_id == name


def test_times_are_taken_from_the_clock_and_kept(open_memory: Open, clock: Any) -> None:
    memory = open_memory(clock=clock)
    birth, tried = clock.now - timedelta(days=30), clock.now - timedelta(days=3)
    memory.add_pattern("retry", pattern_id="p", created_at=birth)
    assert memory.record("p", outcome=1.0, timestamp=tried).timestamp == tried
    assert memory.record("p", outcome=1.0).timestamp == clock.now
    clock.advance(days=1)
    found = memory.add_pattern("retry again", pattern_id="p")
    assert (found.created_at, found.updated_at) == (birth, clock.now)
    assert found.last_used_at == clock.now - timedelta(days=1)
    assert memory.predict("x").made_at == clock.now


def test_events_say_who_wrote_them_and_how(open_memory: Open) -> None:
    memory = open_memory(source="ci", channel="cli")
    memory.add_pattern("retry", pattern_id="p")
    event = memory.record("p", outcome=1.0)
    assert (event.source, event.channel) == ("ci", "cli")
    assert memory.get_event(event.event_id) == event


# -- similar ----------------------------------------------------------------------------------------


def test_matches_are_found_by_meaning_and_by_words(memory: Memory) -> None:
    memory.add_patterns(
        [{"description": text, "pattern_id": name} for name, text in [
            ("words", "E0432"), ("both", "fix the unresolved import E0432"), ("none", "bake a cake")]]
    )  # fmt: skip
    first, second, third = memory.find_similar("unresolved import E0432")
    assert [first.pattern_id, second.pattern_id, third.pattern_id] == ["both", "words", "none"]
    assert (first.vector_rank, first.keyword_rank) == (1, 1)
    assert first.score == pytest.approx(2 / 61)
    assert (third.keyword_rank, third.vector_rank) == (None, 3)
    assert [len(memory.find_similar("import", limit=n)) for n in (1, 2, 3, 9)] == [1, 2, 3, 3]


def test_conditions_hold_for_every_match(memory: Memory) -> None:
    memory.add_patterns(
        {"description": f"retry number{n}", "pattern_id": f"p{n}", "pattern_type": "ab"[n % 2],
         "metadata": {"third": n % 3 == 0}}
        for n in range(30)
    )  # fmt: skip
    found = memory.find_similar(
        "retry", where={"pattern_type": "a", "metadata": {"third": True}}, limit=30
    )
    assert {match.pattern_id for match in found} == {f"p{n}" for n in range(0, 30, 6)}
    assert memory.find_similar("retry", where=Where(min_usage=1)) == []
    assert memory.find_similar("retry", where=Where(pattern_type=[])) == []


def test_conditions_that_many_patterns_fulfil_are_sought_further(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whatworks import answers

    monkeypatch.setattr(answers, "FEW", 3)
    monkeypatch.setattr(answers, "CANDIDATES", 2)
    memory.add_patterns(
        {"description": f"retry {'near ' * (n < 40)}number{n}", "pattern_id": f"p{n:02}",
         "pattern_type": "far" if n >= 40 else "near"}
        for n in range(60)
    )  # fmt: skip
    found = memory.find_similar("retry near", where={"pattern_type": "far"}, limit=5)
    ranks = [match.vector_rank for match in found if match.vector_rank]
    assert sorted(ranks) == [1, 2, 3, 4, 5]


def test_the_best_of_both_lists_may_be_the_first_of_neither(open_memory: Open) -> None:
    angles = {"the question": 0, "near one": 1, "like the question": 2, "near two": 3, "near three": 4,
              "near four": 5, "the question the question": 6}  # fmt: skip
    memory = open_memory(
        embedder=lambda texts: np.array(
            [[np.cos(angles.get(t, 0) / 9), np.sin(angles.get(t, 0) / 9)] for t in texts]
        )
    )
    memory.add_patterns(list(angles)[1:])
    (match,) = memory.find_similar("the question", limit=1)
    assert (match.pattern.description, match.vector_rank, match.keyword_rank) == (
        "like the question", 2, 2
    )  # fmt: skip


def test_equal_matches_come_in_the_order_of_their_ids(memory: Memory) -> None:
    memory.add_patterns(
        {"description": "the same", "pattern_id": name} for name in ("d", "a", "c", "b")
    )
    for _ in range(3):
        assert [m.pattern_id for m in memory.find_similar("the same", limit=3)] == ["a", "b", "c"]


def test_how_well_a_pattern_works_plays_no_part_in_likeness(memory: Memory) -> None:
    memory.add_patterns({"description": f"retry {name}", "pattern_id": name} for name in "ab")
    before = [(m.pattern_id, m.score) for m in memory.find_similar("retry a")]
    memory.record_many(NewEvent("b", outcome=1.0) for _ in range(30))
    assert [(m.pattern_id, m.score) for m in memory.find_similar("retry a")] == before


def test_an_empty_store_has_no_answers_and_no_errors(memory: Memory) -> None:
    assert memory.find_similar("anything") == []
    assert memory.predict("anything").answers == ()
    assert memory.predict("anything", candidates=[]).answers == ()
    assert memory.patterns() == memory.events() == []
    assert memory.why(memory.predict("anything").prediction_id).explanations == ()
    memory.flush()
    memory.rebuild()
    assert memory.stats().events == 0


# -- prediction -------------------------------------------------------------------------------------


def test_d1_failures_are_not_thrown_away_before_averaging(memory: Memory) -> None:
    """The original query kept outcomes above 0.7 and averaged those: 8 of 80 was predicted as 1.00."""
    memory.add_patterns(
        [
            {"description": "rarely", "pattern_id": "rarely"},
            {"description": "often", "pattern_id": "often"},
        ]
    )
    memory.record_many(
        NewEvent(name, outcome=float(n < wins), context=f"imports broken in module{n}")
        for name, wins in (("rarely", 8), ("often", 60))
        for n in range(80)
    )
    events = memory._keeper.evidence().rows(
        "SELECT pattern_id, avg(outcome) FROM usage_events WHERE outcome > 0.7 GROUP BY ALL"
    )
    assert dict(events) == {"rarely": 1.0, "often": 1.0}  # what survivorship makes of it
    often, rarely = memory.predict("imports broken").answers
    assert (often.pattern_id, rarely.pattern_id) == ("often", "rarely")
    assert rarely.expected < 0.3 < 0.6 < often.expected
    assert rarely.verdict == "not recommended"


def test_removing_the_failures_changes_the_estimate(open_memory: Open, store: Any) -> None:
    honest, survivors = open_memory(), open_memory(store.with_name("survivors"))
    for memory in (honest, survivors):
        memory.add_pattern("retry", pattern_id="p")
        memory.record_many(NewEvent("p", outcome=1.0, context=f"case {n}") for n in range(5))
    honest.record_many(NewEvent("p", outcome=0.0, context=f"case {n}") for n in range(5, 10))
    told = [memory.predict("case").answers[0].expected for memory in (honest, survivors)]
    assert told[0] < told[1] - 0.1


def test_predictions_are_those_of_the_slow_reference(memory: Memory) -> None:
    fill(memory, patterns=5, events=60)
    memory.add_pattern("never tried", pattern_id="untried")
    sums = reference.recompute(memory.iter_events())
    records = {name: (own.effective, own.effective_sum) for name, own in sums.items()}
    mu, kappa = reference.population(list(records.values()))
    contexts = {event.context_id: event.context for event in memory.iter_events() if event.context}
    model = HashEmbedder()
    memory.predict("a first question, at which the store learns how local its world is")
    found = cells.learned(memory._keeper.evidence(receipts=True), model.model_id, None)
    assert found is not None
    assert found["cells"] == sum(place[0] is not None for own in sums.values() for place in own.cells)
    near = [
        (name, context, *known)
        for name, own in sums.items()
        for context, known in reference.contexts_of(own).items()
    ]

    def seen(texts: list[str]) -> list[list[float]]:
        return reference.centred(model(texts).astype(float).tolist(), found["center"])

    vectors = seen([contexts[context] or "" for _, context, *_ in near])
    between = [[reference.cosine(one, other) for other in vectors] for one in vectors]
    for question in ("retry failed", "something in cache", "nothing alike"):
        (query,) = seen([question])
        around = [
            (name, reference.cosine(vector, query), tries, mean)
            for (name, _, tries, mean), vector in zip(near, vectors, strict=True)
        ]
        for answer in memory.predict(question).answers:
            slow = reference.estimate(
                answer.pattern_id,
                records,
                around,
                between,
                (mu, kappa),
                tuple(found["weights"]),
                tuple(found["closeness"]),
                {"p0": (4.0, 2.0)},  # the 20 tries that are told of it count as four
            )
            assert answer.expected == pytest.approx(slow, abs=1e-5), answer.pattern_id


def test_why_adds_up_to_every_number(memory: Memory) -> None:
    fill(memory)
    # What lies at right angles to a question says nothing of it.
    for question, near in (("retry failed in build", {"situation"}), ("nothing alike", set())):
        made = memory.predict(question)
        why = memory.why(made.prediction_id)
        assert why.prediction == made
        assert [item.pattern_id for item in why.explanations] == [a.pattern_id for a in made.answers]
        for answer, item in zip(made.answers, why.explanations, strict=True):
            total = sum(part.value for part in item.contributions)
            assert isclose(total, answer.expected, abs_tol=1e-9)
            assert (item.expected, item.clipped) == (answer.expected, False)
            sizes = [abs(part.value) for part in item.contributions]
            assert sizes == sorted(sizes, reverse=True)
            kinds = {part.kind for part in item.contributions}
            assert {"population", "record", "prior", "rest"} <= kinds
            assert kinds & {"situation"} == near
            assert all(
                part.context for part in item.contributions if part.kind in ("tries", "situation")
            )


def test_a_receipt_outlives_what_happens_later(open_memory: Open) -> None:
    memory = open_memory()
    fill(memory)
    made = memory.predict("retry failed")
    why = memory.why(made.prediction_id)
    memory.record_many(NewEvent("p1", outcome=0.0, context="retry failed") for _ in range(20))
    memory.close()
    again = open_memory().why(made.prediction_id)
    numbers = [(a.pattern_id, a.expected, a.low, a.high, a.verdict) for a in made.answers]
    assert [
        (a.pattern_id, a.expected, a.low, a.high, a.verdict) for a in again.prediction.answers
    ] == numbers
    assert rounded([e.contributions[0].value for e in again.explanations]) == rounded(
        [e.contributions[0].value for e in why.explanations]
    )


def test_candidates_restrict_the_answers(memory: Memory) -> None:
    fill(memory)
    everything = {a.pattern_id: a.expected for a in memory.predict("retry failed").answers}
    made = memory.predict("retry failed", candidates=["p3", "p1", "p3"])
    assert {a.pattern_id for a in made.answers} == {"p1", "p3"}
    assert rounded({a.pattern_id: a.expected for a in made.answers}) == rounded(
        {name: everything[name] for name in ("p1", "p3")}
    )
    assert len(memory.predict("retry failed", candidates=["p1", "p2", "p3"], limit=2).answers) == 2


def test_an_answer_as_of_then_is_the_answer_given_then(open_memory: Open, clock: Any) -> None:
    memory = open_memory(clock=clock)
    for n in range(12):
        memory.add_pattern(f"approach number{n % 4}", pattern_id=f"p{n % 4}")
        memory.record(f"p{n % 4}", outcome=(n % 3) / 2, context=f"case {n % 5}", event_id=f"e{n}")
        clock.advance(days=1)
    memory.record("p0", outcome=None, context="case 1", event_id="open")
    given_then, trend_then, then = memory.predict("case 1"), memory.trend("p0"), clock.now
    clock.advance(days=1)
    memory.resolve("open", outcome=0.0)
    memory.add_pattern("new approach", pattern_id="new")
    memory.record_many(NewEvent("p1", outcome=1.0, context="case 1") for _ in range(5))
    again = memory.predict("case 1", as_of=then)
    assert rounded(
        [(a.pattern_id, a.expected, a.low, a.high, a.verdict) for a in again.answers]
    ) == rounded([(a.pattern_id, a.expected, a.low, a.high, a.verdict) for a in given_then.answers])
    assert (again.default, again.coverage) == (pytest.approx(given_then.default), given_then.coverage)
    assert again.as_of == then
    assert memory.trend("p0", as_of=then) == trend_then
    assert memory.predict("case 1").answers != again.answers


def test_without_evidence_the_answer_is_the_prior_and_says_so(memory: Memory) -> None:
    memory.add_pattern("retry", pattern_id="p")
    (answer,) = memory.predict("anything").answers
    assert (answer.expected, answer.verdict, answer.evidence) == (0.5, "no evidence", ())
    assert answer.low < 0.21 < 0.79 < answer.high


def test_imported_rates_are_weighed_far_below_tries_and_marked(memory: Memory) -> None:
    memory.add_patterns([{"description": name, "pattern_id": name} for name in ("told", "seen", "bad")])
    memory.add_priors([Prior("told", 1.0, 1_000, "files")])
    memory.record_many(NewEvent("seen", outcome=1.0) for _ in range(1_000))
    memory.record_many(NewEvent("bad", outcome=0.0) for _ in range(1_000))
    seen, told, bad = memory.predict("anything").answers
    assert [answer.pattern_id for answer in (seen, told, bad)] == ["seen", "told", "bad"]
    assert seen.expected > 0.86 > 0.7 > told.expected > 0.5
    found = memory.get_pattern("told")
    assert (found.success_rate, found.usage_count, found.prior_count, found.prior_rate) == (
        None,
        0,
        1_000,
        1.0,
    )
    made = memory.why(memory.predict("anything", candidates=["told"]).prediction_id)
    parts = {part.kind: part for part in made.explanations[0].contributions}
    assert (parts["prior"].tries, parts["prior"].mean_outcome) == (5.0, 1.0)
    assert parts["prior"].value > 0
    assert parts["record"].tries == 0


def test_open_unknown_and_unused_tries_are_no_failures(memory: Memory) -> None:
    memory.add_pattern("retry", pattern_id="p")
    memory.record_many(NewEvent("p", outcome=1.0, context="here") for _ in range(3))
    before = memory.predict("here").answers[0].expected
    for state in ("pending", "unknown", "not_used"):
        memory.record("p", outcome=None, state=state, context="here")  # type: ignore[arg-type]
    made = memory.predict("here")
    assert made.answers[0].expected == before
    assert made.coverage == pytest.approx(3 / 5)
    found = memory.get_pattern("p")
    assert (found.usage_count, found.resolved_count, found.success_rate) == (5, 3, 1.0)


# -- the cache --------------------------------------------------------------------------------------


def test_the_cache_is_bounded_and_shown(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(memory)
    for _ in range(3):
        memory.get_pattern("p1")
        memory.find_similar("retry")
        memory.find_similar("retry", where={"min_usage": 1})
    described = memory.stats().cache
    assert described["patterns"]["hits"] > 0
    assert described["queries"]["hits"] >= 2
    assert described["searches"]["hits"] == 2
    assert 0 < described["patterns"]["size"] <= described["patterns"]["limit"]


def test_counts_and_sizes_are_shown(memory: Memory) -> None:
    fill(memory)
    memory.predict("retry")
    memory.flush()
    stats = memory.stats()
    assert (stats.patterns, stats.events, stats.priors, stats.predictions) == (6, 40, 1, 1)
    assert stats.resolved + stats.pending + stats.not_used + stats.unknown == 40
    assert (stats.not_used, stats.pending) == (1, 6)
    assert (stats.embedder, stats.dim) == ("hash-64", 64)
    assert stats.first_event_at is not None
    assert stats.first_event_at <= stats.last_event_at  # type: ignore[operator]
    assert min(stats.journal_bytes, stats.evidence_bytes, stats.vector_bytes) > 0
    assert stats.problems == ()


# -- start-up ---------------------------------------------------------------------------------------

HEAVY = {"duckdb", "lance", "pyarrow", "onnxruntime", "numpy", "tokenizers", "rich", "typer"}


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "code",
    ["import whatworks", "from whatworks import Memory", "from whatworks import Prediction, Where",
     "from whatworks import errors, records, checks, config, journal, lock, ids, text"],
)  # fmt: skip
def test_importing_loads_no_engine(code: str) -> None:
    assert loaded_by(code) & HEAVY == set()


def test_recording_needs_neither_lance_nor_the_model(store: Any) -> None:
    code = (
        "from whatworks import Memory\n"
        f"m = Memory.open({str(store)!r}, embedder='none')\n"
        "m.add_pattern('x', pattern_id='p'); m.record('p', outcome=1.0); m.close()"
    )
    assert loaded_by(code) & HEAVY == {"duckdb", "numpy"}


def test_a_small_store_answers_without_lance(store: Any) -> None:
    code = (
        "from whatworks import Memory\nfrom whatworks.testing import HashEmbedder\n"
        f"m = Memory.open({str(store)!r}, embedder=HashEmbedder())\n"
        "m.add_pattern('x', pattern_id='p'); m.find_similar('x'); m.predict('y'); m.close()"
    )
    assert loaded_by(code) & {"lance", "pyarrow", "onnxruntime", "tokenizers"} == set()


def test_importing_takes_a_few_milliseconds() -> None:
    code = (
        "import time; start = time.process_time(); import whatworks; "
        "print((time.process_time() - start) * 1000)"
    )
    command = [sys.executable, "-c", code]
    runs = [float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(5)]
    assert min(runs) < 40  # NumPy alone takes longer
