"""A pattern that has changed is judged by what came after, and all say so: predict, why, diff."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from support import reference
from whatworks import Answer, ChangePoint, Explanation, Memory, NewEvent, Prior
from whatworks.evidence import cells, lives
from whatworks.gathering import Gathering
from whatworks.testing import HashEmbedder

Open = Callable[..., Memory]
START = datetime(2024, 3, 1, 9, 0, tzinfo=UTC)


def day(n: float) -> datetime:
    return START + timedelta(days=n)


def lived(
    outcomes: Iterable[float], name: str = "p", context: str | None = "ticket {n}"
) -> list[NewEvent]:
    """A try a day; ``event_id`` tells pattern and day."""
    return [
        NewEvent(
            name,
            outcome=outcome,
            context=context and context.format(n=n),
            timestamp=day(n),
            event_id=f"{name}{n}",
        )
        for n, outcome in enumerate(outcomes)
    ]


def steady(tries: int, name: str = "q") -> list[NewEvent]:
    """Works two times in three."""
    return lived((float(n % 3 > 0) for n in range(tries)), name)


@pytest.fixture
def memory(open_memory: Open) -> Memory:
    """A store with two patterns and no tries; it is long after all of them."""
    memory = open_memory(clock=lambda: day(1_000), durability="process")
    memory.add_patterns([{"description": f"pattern {name}", "pattern_id": name} for name in "pq"])
    return memory


def answer(memory: Memory, name: str = "p", as_of: datetime | None = None) -> Answer:
    return memory.predict("ticket", candidates=[name], as_of=as_of).answers[0]


def change(memory: Memory, name: str = "p", as_of: datetime | None = None) -> ChangePoint | None:
    """Of a prediction, which is that of the trend, or else something is wrong."""
    found = answer(memory, name, as_of).change
    assert found == memory.trend(name, as_of=as_of).change_point
    return found


def since(memory: Memory, name: str = "p", as_of: datetime | None = None) -> date | None:
    found = change(memory, name, as_of)
    return None if found is None else found.since.date()


# -- estimates --------------------------------------------------------------------------------------


def test_a_pattern_that_breaks_half_way_gets_an_estimate_near_its_new_rate(memory: Memory) -> None:
    worked, failed = ([float(n % 10 != 5) for n in range(40)], [float(n % 10 == 5) for n in range(40)])
    memory.record_many([*lived([*worked, *failed]), *steady(80)])
    broken, other = answer(memory), answer(memory, "q")
    assert broken.change is not None
    assert (broken.change.since, other.change) == (day(40), None)
    assert (broken.change.tries_before, broken.change.tries_after) == (40, 40)
    assert (broken.change.before, broken.change.after) == pytest.approx((0.9, 0.1))
    assert broken.expected < 0.2 < 0.6 < other.expected
    assert broken.verdict == "not recommended"


def test_a_pattern_that_was_mended_is_recommended_again(memory: Memory) -> None:
    memory.record_many([*lived([0.0] * 40 + [1.0] * 20), *steady(60)])
    mended = answer(memory)
    assert since(memory) == day(40).date()
    assert mended.expected > 0.75
    assert mended.verdict == "recommended"


def test_a_pattern_that_was_always_so_has_no_change(memory: Memory) -> None:
    """Null control: as many successes and failures, well mixed, are worth the mean of both."""
    outcomes = [1.0] * 40 + [0.0] * 40
    Random(3).shuffle(outcomes)
    memory.record_many([*lived(outcomes), *steady(80)])
    assert change(memory) is None
    assert 0.4 < answer(memory).expected < 0.65


def test_estimates_of_changed_patterns_are_those_of_the_slow_reference(memory: Memory) -> None:
    memory.record_many([*lived([1.0] * 15 + [0.0] * 15), *steady(30)])
    memory.add_priors([Prior("p", 0.5, 20, "files"), Prior("q", 0.5, 10, "files")])
    memory.predict("a first question, at which the store learns how local its world is")
    model = HashEmbedder()
    found = cells.learned(memory._keeper.evidence(receipts=True), model.model_id, None)
    assert found is not None
    own = {"before": (15.0, 15.0), "p": (15.0, 0.0), "q": (30.0, 20.0)}
    near = [
        ("before" if e.pattern_id == "p" and e.timestamp < day(15) else e.pattern_id, e)
        for e in memory.iter_events()
    ]
    texts = ["ticket 3", *(e.context or "" for _, e in near)]
    query, *vectors = reference.centred(model(texts).astype(float).tolist(), found["center"])
    between = [[reference.cosine(one, other) for other in vectors] for one in vectors]
    around = [
        (name, reference.cosine(vector, query), 1.0, e.outcome or 0.0)
        for (name, e), vector in zip(near, vectors, strict=True)
    ]
    whole = reference.population([(30.0, 15.0), (30.0, 20.0)])
    for made in memory.predict("ticket 3").answers:
        slow = reference.estimate(
            made.pattern_id,
            own,
            around,
            between,
            whole,
            tuple(found["weights"]),
            tuple(found["closeness"]),
            {"before": (4.0, 2.0), "q": (2.0, 1.0)},  # what others said was said of before
            {"p", "before"},
        )
        assert made.expected == pytest.approx(slow, abs=1e-5)


# -- what is a change -------------------------------------------------------------------------------


def test_before_the_break_nothing_is_known_of_it(memory: Memory) -> None:
    memory.record_many([*lived([1.0] * 30 + [0.0] * 30), *steady(60)])
    for n in (5, 29, 31):
        assert change(memory, as_of=day(n + 0.5)) is None
    assert answer(memory, as_of=day(29.5)).expected > 0.75
    assert since(memory, as_of=day(40.5)) == since(memory) == day(30).date()
    after = change(memory, as_of=day(40.5))
    assert after is not None
    assert (after.tries_before, after.tries_after) == (30, 11)


def test_a_change_of_long_ago_is_not_forgotten(memory: Memory) -> None:
    memory.record_many([*lived([0.0] * 60 + [float(n % 10 > 0) for n in range(500)]), *steady(100)])
    found = change(memory)
    assert found is not None
    # Of a long life every fourth try is looked at.
    assert abs(found.since - day(60)) <= timedelta(days=8)
    assert found.before < 0.1 < 0.85 < found.after
    assert answer(memory).expected > 0.8


def test_of_two_changes_the_last_is_told(memory: Memory) -> None:
    memory.record_many(lived([1.0] * 30 + [0.0] * 30 + [1.0] * 30))
    found = change(memory)
    assert found is not None
    assert (found.since, found.tries_before, found.before, found.after) == (day(60), 60, 0.5, 1.0)


def test_repeats_of_one_context_over_many_days_are_tries_enough(memory: Memory) -> None:
    memory.record_many(lived([1.0] * 30 + [0.0] * 30, context="the same each night"))
    assert since(memory) == day(30).date()
    made = memory.predict("the same each night", candidates=["p"])
    assert made.answers[0].expected < 0.25


def test_a_loop_of_an_hour_in_one_context_is_no_change(memory: Memory) -> None:
    memory.record_many(lived([1.0] * 40))
    memory.record_many(
        NewEvent("p", outcome=0.0, context="a loop", timestamp=day(40) + timedelta(seconds=18 * n))
        for n in range(200)
    )
    assert change(memory) is None
    assert answer(memory).expected > 0.75
    # Null control: as many failures on 40 days are one.
    memory.record_many(
        NewEvent("p", outcome=0.0, context=f"ticket {n}", timestamp=day(50 + n % 40))
        for n in range(200)
    )
    assert since(memory) in {day(40).date(), day(50).date()}


def test_a_pattern_without_contexts_is_watched_too(memory: Memory) -> None:
    memory.record_many(lived([1.0] * 30 + [0.0] * 30, context=None))
    assert since(memory) == day(30).date()
    assert answer(memory).expected < 0.25


def test_work_of_another_kind_is_an_excuse(memory: Memory) -> None:
    kinds = ["compile the small program", "negotiate a contract abroad"]
    for name, late in (("p", kinds[1]), ("q", kinds[0])):
        memory.record_many(
            NewEvent(
                name, outcome=float(n < 30), context=kinds[0] if n < 30 else late, timestamp=day(n)
            )
            for n in range(60)
        )
    assert change(memory, "p") is None
    assert since(memory, "q") == day(30).date()  # the same outcomes in work of one kind


def test_tries_of_one_instant_have_no_order_and_no_change(memory: Memory) -> None:
    """Nobody knows which of them was the first."""
    memory.record_many(
        NewEvent("p", outcome=float(n < 12), context=f"ticket {n}", timestamp=START) for n in range(24)
    )
    assert change(memory) is None


def test_the_order_in_which_tries_are_recorded_does_not_matter(open_memory: Open, store: Path) -> None:
    tries = lived([1.0] * 30 + [0.0] * 30)
    found = []
    for name, order in (("forth", tries), ("back", tries[::-1])):
        memory = open_memory(store.with_name(name), clock=lambda: day(1_000), durability="process")
        memory.add_pattern("pattern p", pattern_id="p")
        memory.record_many(order)
        found.append((change(memory), round(answer(memory).expected, 9)))
    assert found[0] == found[1]


# -- it is kept up to date --------------------------------------------------------------------------


def test_a_change_is_noticed_as_soon_as_it_can_be(memory: Memory) -> None:
    memory.record_many(lived([1.0] * 40))
    for n in range(1, 12):
        assert change(memory) is None
        memory.record("p", outcome=0.0, context=f"ticket {40 + n}", timestamp=day(40 + n))
        if change(memory):
            break
    assert 3 <= n <= 6


def test_corrections_move_the_change_point(memory: Memory) -> None:
    memory.record_many(lived([1.0] * 30 + [0.0] * 30))
    assert since(memory) == day(30).date()
    for n in range(30, 40):
        memory.resolve(f"p{n}", outcome=1.0)
    assert since(memory) == day(40).date()
    assert answer(memory).expected < 0.3
    for n in range(40, 60):
        memory.resolve(f"p{n}", outcome=1.0)
    assert change(memory) is None
    assert answer(memory).expected > 0.8


def test_a_rebuilt_store_says_the_same(memory: Memory) -> None:
    memory.record_many([*lived([1.0] * 30 + [0.0] * 30), *steady(60)])
    for n in range(30, 35):
        memory.resolve(f"p{n}", outcome=1.0)
    before = memory.predict("ticket")
    memory.rebuild()
    after = memory.predict("ticket")
    assert [a.change for a in after.answers] == [a.change for a in before.answers]
    assert after.answers[-1].change is not None
    assert [a.expected for a in after.answers] == pytest.approx([a.expected for a in before.answers])


def test_a_receipt_keeps_the_change_it_was_made_with(open_memory: Open) -> None:
    memory = open_memory(clock=lambda: day(1_000))
    memory.add_pattern("pattern p", pattern_id="p")
    memory.record_many(lived([1.0] * 30 + [0.0] * 30))
    made = memory.predict("ticket")
    assert made.answers[0].change is not None
    for n in range(30, 60):
        memory.resolve(f"p{n}", outcome=1.0)
    memory.close()
    (kept,) = open_memory().why(made.prediction_id).prediction.answers
    assert (kept.change, kept.expected) == (made.answers[0].change, made.answers[0].expected)


# -- why and diff -----------------------------------------------------------------------------------


def explained(memory: Memory, context: str) -> dict[str, Explanation]:
    """Explanations that add up."""
    why = memory.why(memory.predict(context).prediction_id)
    for told in why.explanations:
        assert not told.clipped
        assert sum(part.value for part in told.contributions) == pytest.approx(told.expected, abs=1e-9)
    return {told.pattern_id: told for told in why.explanations}


def test_why_adds_up_and_tells_tries_of_before_from_those_after(memory: Memory) -> None:
    memory.record_many([*lived([1.0] * 30 + [float(n % 10 == 5) for n in range(30)]), *steady(60)])
    memory.add_priors([Prior("p", 1.0, 100, "files")])
    early = explained(memory, "ticket 3")["p"]
    before = [part for part in early.contributions if part.kind == "before"]
    assert "ticket 3" in {part.context for part in before}
    assert all(part.mean_outcome == 1.0 for part in before)
    tries = [part for part in early.contributions if part.kind == "tries"]
    assert {part.context for part in tries} <= {f"ticket {n}" for n in range(30, 60)}
    (record,) = [part for part in early.contributions if part.kind == "record"]
    assert (record.tries, record.mean_outcome) == pytest.approx((30, 0.1))
    (told,) = [part for part in early.contributions if part.kind == "prior"]
    assert (told.tries, told.value) == (0, 0)  # what others said was said of before
    (population,) = [part for part in early.contributions if part.kind == "population"]
    assert population.tries == 4
    late = explained(memory, "ticket 40")["p"]
    assert "ticket 40" in {part.context for part in late.contributions if part.kind == "tries"}


def test_why_of_a_steady_pattern_knows_no_before(memory: Memory) -> None:
    memory.record_many([*lived([1.0] * 30 + [0.0] * 30), *steady(60)])
    assert "before" not in {part.kind for part in explained(memory, "ticket 3")["q"].contributions}


def test_evidence_is_what_came_after_the_change(memory: Memory) -> None:
    memory.record_many(lived([1.0] * 30 + [0.0] * 30, context="ticket"))
    (evidence,) = answer(memory).evidence
    assert (evidence.tries, evidence.mean_outcome) == (30, 0.0)


def test_diff_names_the_change(memory: Memory) -> None:
    memory.record_many([*lived([1.0] * 30 + [0.0] * 30), *steady(60)])
    found = memory.diff(day(29.5), day(59.5), context="ticket 3")
    (p,) = [one for one in found.changes if one.pattern_id == "p"]
    assert p.before is not None and p.after is not None
    assert (p.before, p.after) == pytest.approx(
        [memory.predict("ticket 3", candidates=["p"], as_of=day(n)).answers[0].expected
         for n in (29.5, 59.5)], abs=1e-9
    )  # fmt: skip
    for one in found.changes:
        assert sum(cause.share for cause in one.causes) == pytest.approx(one.change, abs=1e-9)
    (named,) = [cause for cause in p.causes if cause.kind == "change"]
    assert named.share < -0.1
    same = memory.diff(day(40.5), day(59.5), context="ticket 3")
    for one in same.changes:
        assert sum(cause.share for cause in one.causes) == pytest.approx(one.change, abs=1e-9)


def test_diff_of_steady_patterns_names_none(memory: Memory) -> None:
    memory.record_many(steady(60))
    found = memory.diff(day(20.5), day(59.5), context="ticket 3")
    assert found.changes
    assert "change" not in {cause.kind for one in found.changes for cause in one.causes}


def test_a_new_try_of_a_pattern_that_changed_long_before_is_told_as_what_it_is(memory: Memory) -> None:
    memory.record_many([*lived([1.0] * 30 + [0.0] * 30, context="same"), *steady(60)])
    memory.record("p", outcome=0.0, context="same", timestamp=day(100))
    found = memory.diff(day(90), day(102), context="same")
    (moved,) = [change for change in found.changes if change.pattern_id == "p"]
    assert {cause.kind for cause in moved.causes} <= {"elsewhere", "population", "learned", "rest"}
    assert all(abs(cause.share) < 0.05 for cause in moved.causes)


def test_a_cell_that_was_emptied_and_filled_again_has_the_time_of_what_is_in_it(memory: Memory) -> None:
    memory.record("p", outcome=1.0, context="here", timestamp=day(0.4), event_id="late")
    memory.predict("here")  # folds
    memory.resolve("late", state="unknown")
    memory.predict("here")
    memory.record("p", outcome=1.0, context="here", timestamp=day(0.1))
    evidence = memory._keeper.evidence()
    assert evidence.rows("SELECT tries, last_at FROM cells") == [(1, day(0.1).replace(tzinfo=None))]


def test_what_was_written_while_a_question_was_answered_is_seen_by_the_next(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contexts that are not embedded yet excuse nothing; what is found then may not be kept."""
    memory.record_many(lived([1.0] * 30))
    memory.predict("ticket")
    asked = Gathering._records

    def records(*arguments: Any) -> list[cells.RecordRow]:
        monkeypatch.setattr(Gathering, "_records", asked)
        memory.record_many(lived([1.0] * 30 + [0.0] * 12)[30:])
        memory.stats()  # folds them
        return asked(*arguments)

    monkeypatch.setattr(Gathering, "_records", records)
    memory.predict("ticket")
    assert since(memory) == day(30).date()
    found = change(memory)
    assert found is not None
    assert (found.tries_before, found.tries_after) == (30, 12)


def test_what_changed_along_is_that_of_the_point_which_is_told(open_memory: Open) -> None:
    memory = open_memory(embedder="none", clock=lambda: day(1_000), durability="process")
    memory.add_pattern("pattern p", pattern_id="p")

    def tried(first: int, count: int, outcome: float, tool: str) -> None:
        memory.record_many(
            NewEvent("p", outcome=outcome, context=f"ticket {n}", timestamp=day(n), tools=[tool])
            for n in range(first, first + count)
        )

    tried(0, 12, 1.0, "old")
    tried(20, 12, 0.0, "new")
    first = memory.trend("p").change_point
    assert first is not None and {item.value for item in first.along} == {"old", "new"}
    tried(60, 25, 1.0, "third")
    second = memory.trend("p").change_point
    assert second is not None and second.since == day(60)
    assert {item.value for item in second.along} == {"old", "new", "third"}


def test_tries_of_one_moment_are_on_one_side_of_a_change_however_many_follow(memory: Memory) -> None:
    names = [f"at the border {n}" for n in range(4)]
    memory.add_patterns([{"description": name, "pattern_id": name} for name in names])
    moments = [*range(130), *([130] * 6), *range(131, 131 + lives.KEPT - 5)]
    for name in names:
        memory.record_many(
            NewEvent(name, outcome=float(moment >= 130), context=f"{name} {n}", timestamp=day(moment))
            for n, moment in enumerate(moments)
        )
    for name in names:
        now, then = memory.trend(name), memory.trend(name, as_of=day(999))
        assert now.change_point is not None
        assert now.change_point == then.change_point
