"""The calibration ledger end to end: real stores, predictions made and outcomes recorded by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from whatworks import Calibration, InvalidInputError, Memory, NewEvent, StoreClosedError
from whatworks.testing import HashEmbedder

Open = Callable[..., Memory]


def learned(memory: Memory) -> Memory:
    """Two patterns, tried 200 times each in 20 situations: one works, the other does not."""
    memory.add_pattern("mend the imports", pattern_type="debugging", pattern_id="good")
    memory.add_pattern("search the web", pattern_type="searching", pattern_id="bad")
    rows = [
        {"pattern_id": name, "outcome": float(n % 10 < wins), "context": f"situation{n % 20}"}
        for n in range(200)
        for name, wins in (("good", 8), ("bad", 2))
    ]
    memory.record_many(rows)
    return memory


@pytest.fixture
def store_of(open_memory: Open, clock: Any) -> Memory:
    return learned(open_memory(clock=clock))


class Hours:
    """A clock for stores that outlive a test."""

    now = datetime(2025, 3, 14, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, hours: float) -> None:
        self.now += timedelta(hours=hours)


@pytest.fixture(scope="module")
def true(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    yield from judged(tmp_path_factory.mktemp("true"), 100, {"good": 0.75, "bad": 0.25})


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    yield from judged(tmp_path_factory.mktemp("wrong"), 120, {"good": 0.15, "bad": 0.05})


def judged(path: Path, number: int, rate: dict[str, float]) -> Iterator[Memory]:
    """A store of so many predictions, each with an outcome; only to be asked."""
    clock = Hours()
    options: dict[str, Any] = {"embedder": HashEmbedder(), "vectors": "exact", "clock": clock}
    with Memory.open(path / "store", **options) as memory:
        asked(learned(memory), clock, number, rate)
        yield memory


def asked(memory: Memory, clock: Any, number: int, rate: dict[str, float], seed: int = 0) -> None:
    """Predictions an hour apart, each followed by a try of one of the two patterns."""
    chance = random.Random(seed)
    events = []
    for n in range(number):
        clock.advance(hours=1)
        made = memory.predict(f"case{n} of its kind")
        name = chance.choice(["good", "bad"])
        events.append(
            {
                "pattern_id": name,
                "outcome": float(chance.random() < rate[name]),
                "prediction_id": made.prediction_id,
                "timestamp": clock(),
            }
        )
    memory.record_many(events)


def test_an_empty_store_says_that_there_is_nothing(memory: Memory) -> None:
    found = memory.calibration(recalibrate="beta")
    assert (found.shown, found.resolved, found.coverage) == (0, 0, None)
    assert found.overall.outcomes == 0
    assert found.overall.mean_prediction is found.overall.mean_outcome is found.overall.brier is None
    assert (found.by_type, found.by_age, found.by_source) == ((), (), ())
    assert found.overall.level == found.overall.spread == "too little data"
    assert found.recalibration is not None and found.recalibration.helps is None
    assert "No predictions" in found.summary[0]


def test_one_outcome_is_too_few_and_it_says_how_many_more(store_of: Memory) -> None:
    made = store_of.predict("import not found")
    store_of.record("good", outcome=1.0, prediction_id=made.prediction_id)
    found = store_of.calibration()
    assert (found.shown, found.resolved, found.coverage) == (1, 1, 1.0)
    score = found.overall
    assert (score.outcomes, score.contexts, score.brier, score.bins) == (1, 1, None, ())
    assert score.mean_outcome is not None and score.mean_outcome.low < 0.5
    answer = next(a for a in made.answers if a.pattern_id == "good")
    assert score.mean_prediction == pytest.approx(answer.expected)
    assert "outcomes from 29 more situations are needed" in score.sentences[0]


def test_true_predictions_are_not_flagged(true: Memory) -> None:
    found = true.calibration()
    score = found.overall
    assert (score.outcomes, score.contexts, found.coverage) == (100, 100, 1.0)
    assert (score.level, score.spread) == ("no difference found",) * 2
    assert score.skill is not None and score.skill.low > 0
    assert score.brier is not None and 0.1 < score.brier.value < 0.3
    parts = (score.reliability, score.resolution, score.uncertainty, score.within)
    rel, res, unc, within = (part.value for part in parts if part is not None)
    assert rel - res + unc + within == pytest.approx(score.brier.value, abs=1e-12)
    assert "may be chance" in score.sentences[0]


def test_predictions_that_turn_out_too_hopeful_are_caught(wrong: Memory) -> None:
    found = wrong.calibration(recalibrate="isotonic")
    score = found.overall
    assert score.level == "too hopeful"
    assert score.bias is not None and score.bias.low > 0.15
    said, came = score.mean_prediction, score.mean_outcome
    assert said is not None and came is not None
    assert score.sentences[0] == (
        f"It says {100 * said:.0f} % on average, and it works {100 * came.value:.0f} % of the time "
        f"({100 * came.low:.0f} to {100 * came.high:.0f}, 120 outcomes): too hopeful by about "
        f"{round(100 * score.bias.value)} points."
    )


def test_a_correction_learns_from_earlier_time_only(wrong: Memory) -> None:
    for method in ("isotonic", "beta"):
        made = wrong.calibration(recalibrate=method).recalibration  # type: ignore[arg-type]
        assert made is not None and made.brier_change is not None
        assert (made.method, made.learned_from, made.judged_on) == (method, 60, 60)
        assert made.learned_until == wrong.clock() - timedelta(hours=59)
        assert made.helps and made.brier_change.high < 0
        assert "it helps" in made.sentence
        assert [round(before, 1) for before, _ in made.curve] == [n / 10 for n in range(1, 10)]


def test_outcomes_that_came_late_teach_no_correction(store_of: Memory, clock: Any) -> None:
    """All are known only after the last prediction was made: there is nothing to learn from."""
    ids = [store_of.predict(f"case{n}").prediction_id for n in range(64) if clock.advance(hours=1)]
    clock.advance(hours=1)
    store_of.record_many(NewEvent("good", outcome=0.0, prediction_id=name) for name in ids)
    made = store_of.calibration(recalibrate="isotonic").recalibration
    assert made is not None
    assert (made.learned_from, made.judged_on, made.helps) == (0, 32, None)
    assert "Too little to learn" in made.sentence


def test_only_resolved_tries_of_an_answer_count(store_of: Memory) -> None:
    store_of.add_pattern("a third way", pattern_id="third")
    made = store_of.predict("import not found", candidates=["good", "bad"])
    name = made.prediction_id
    store_of.record("third", outcome=1.0, prediction_id=name)
    store_of.record("good", outcome=1.0, prediction_id="nobody")
    store_of.record("good", outcome=1.0)
    store_of.record("good", outcome=None, prediction_id=name, event_id="open")
    store_of.record("good", outcome=None, state="unknown", prediction_id=name)
    store_of.record("bad", outcome=None, state="not_used", prediction_id=name)
    assert store_of.calibration().overall.outcomes == 0
    store_of.resolve("open", outcome=0.25)
    score = store_of.calibration().overall
    assert score.outcomes == 1
    assert score.mean_outcome is not None and score.mean_outcome.value == 0.25


def test_several_tries_of_one_answer_are_one_outcome(store_of: Memory) -> None:
    made = store_of.predict("import not found")
    for outcome in (1.0, 1.0, 0.0, 0.0, 0.5):
        store_of.record("good", outcome=outcome, prediction_id=made.prediction_id)
    store_of.record("bad", outcome=0.0, prediction_id=made.prediction_id)
    found = store_of.calibration()
    assert (found.shown, found.resolved) == (1, 1)
    assert (found.overall.outcomes, found.overall.contexts) == (2, 1)
    assert found.overall.mean_outcome is not None
    assert found.overall.mean_outcome.value == 0.25  # of 0.5 and 0


def test_few_outcomes_of_many_predictions_give_a_warning(store_of: Memory) -> None:
    ids = [store_of.predict(f"case{n}").prediction_id for n in range(5)]
    store_of.record("good", outcome=1.0, prediction_id=ids[0])
    found = store_of.calibration()
    assert (found.shown, found.resolved, found.coverage) == (5, 1, 0.2)
    assert found.summary[0] == "1 of 5 predictions (20 %) got an outcome."
    assert "Most never did" in found.summary[1]
    for name in ids[1:3]:
        store_of.record("good", outcome=1.0, prediction_id=name)
    assert not any("Most never did" in line for line in store_of.calibration().summary)


def test_groups_have_their_own_outcomes(open_memory: Open, store_of: Memory, clock: Any) -> None:
    other = open_memory(clock=clock, source="ci")
    for memory, name, days in ((store_of, "good", 40), (store_of, "bad", 20), (other, "good", 1)):
        made = memory.predict("import not found")
        moment = clock() - timedelta(days=days)
        memory.record(name, outcome=1.0, prediction_id=made.prediction_id, timestamp=moment)
    found = store_of.calibration()

    def counts(groups: Any) -> list[tuple[str, int]]:
        return [(group.name, group.outcomes) for group in groups]

    assert counts(found.by_type) == [("debugging", 2), ("searching", 1)]
    assert counts(found.by_age) == [("up to 7 days", 1), ("8 to 30 days", 1), ("older", 1)]
    assert counts(found.by_source) == [("local", 2), ("ci", 1)]
    clock.advance(days=60)
    assert counts(store_of.calibration().by_age) == [("older", 3)]


def test_since_and_as_of_leave_out_what_was_before_and_what_came_later(
    store_of: Memory, clock: Any
) -> None:
    first = store_of.predict("case1").prediction_id
    store_of.record("good", outcome=1.0, prediction_id=first)
    border = clock.advance(days=1)
    second = store_of.predict("case2").prediction_id
    clock.advance(days=1)
    store_of.record("bad", outcome=0.0, prediction_id=first)
    store_of.record("good", outcome=1.0, prediction_id=second)

    def counts(**period: Any) -> tuple[int, int, int]:
        found = store_of.calibration(**period)
        assert (found.since, found.as_of) == (period.get("since"), period.get("as_of"))
        return found.shown, found.resolved, found.overall.outcomes

    assert counts() == (2, 2, 3)
    assert counts(since=border) == (1, 1, 1)
    assert counts(as_of=border) == (2, 1, 1)
    assert counts(since=border, as_of=border) == (1, 0, 0)


def test_repeats_in_a_situation_judge_the_intervals(store_of: Memory, clock: Any) -> None:
    """Rates of 0 and 1, where the intervals promise something between."""
    events = []
    for n in range(80):
        clock.advance(minutes=1)
        made = store_of.predict(f"special{n % 40} place{n % 40}")
        outcome = float(n % 40 < 20)
        events.append(NewEvent("good", outcome=outcome, prediction_id=made.prediction_id))
    store_of.record_many(events)
    found = store_of.calibration().overall
    check = found.intervals
    assert (found.outcomes, found.contexts, check.repeats, check.contexts) == (80, 40, 40, 40)
    assert check.coverage is not None and check.width is not None
    assert check.coverage.high < 0.8 and check.width.low > 1
    assert "too narrow" in check.sentence
    assert check.sentence in store_of.calibration().summary


def test_the_ledger_is_the_same_after_a_rebuild(true: Memory) -> None:
    before = true.calibration()
    true.rebuild()
    assert true.calibration() == before


def test_the_seed_moves_intervals_only(true: Memory) -> None:
    one, other = true.calibration(seed=1).overall, true.calibration(seed=2).overall
    assert true.calibration(seed=1).overall == one
    assert one.brier is not None and other.brier is not None
    assert one.brier.value == other.brier.value and one.brier != other.brier


def test_every_number_is_plain(true: Memory) -> None:
    """Numbers of NumPy would not go into JSON, and are not what the types say."""

    def walk(item: Any) -> None:
        assert type(item).__module__ != "numpy", item
        for part in item if isinstance(item, tuple) else ():
            walk(part)
        for each in fields(item) if hasattr(item, "__dataclass_fields__") else ():
            walk(getattr(item, each.name))

    walk(true.calibration(recalibrate="isotonic"))


@pytest.mark.parametrize(
    "options",
    [
        {"recalibrate": "nosuch"},
        {"recalibrate": ["beta"]},
        {"recalibrate": ""},
        {"since": "2025-01-01"},
        {"as_of": 5},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": None},
    ],
)
def test_options_that_make_no_sense_are_refused(memory: Memory, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        memory.calibration(**options)


def test_a_closed_memory_keeps_no_ledger(memory: Memory) -> None:
    memory.close()
    with pytest.raises(StoreClosedError):
        memory.calibration()


def test_no_model_is_needed(open_memory: Open, store_of: Memory, clock: Any, store: Any) -> None:
    asked(store_of, clock, 3, {"good": 1.0, "bad": 0.0})
    expected = store_of.calibration()
    store_of.close()
    found = open_memory(store, embedder="none", vectors=None, clock=clock).calibration()
    assert isinstance(found, Calibration)
    assert found == expected
