"""What came or went when a pattern changed is named, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from whatworks import Coincidence, Memory, NewEvent

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def broken(memory: Memory, *, days: int = 40) -> None:
    """A pattern that fails from day 25 on, when another model and another tool came."""
    memory.add_pattern("Restart the service", pattern_id="restart")
    memory.record_many(
        NewEvent(
            "restart",
            outcome=float(n < 25),
            context=f"ticket {n}",
            timestamp=START + timedelta(days=n),
            tools=["bash"] if n < 25 else ["bash", "docker"],
            metadata={"model": "old" if n < 25 else "new", "a/b~c": n % 2, "one of many": f"run {n}"},
        )
        for n in range(days)
    )


def test_trend_names_the_day_and_what_came_and_went_with_it(memory: Memory) -> None:
    broken(memory)
    point = memory.trend("restart").change_point
    assert point is not None
    assert point.since == START + timedelta(days=25)
    assert (point.before, point.after) == (1.0, 0.0)
    assert point.along == (
        Coincidence("model", "new", 0.0, 1.0),
        Coincidence("tool", "docker", 0.0, 1.0),
        Coincidence("model", "old", 1.0, 0.0),
    )


def test_as_of_a_day_before_the_break_there_is_none(memory: Memory) -> None:
    broken(memory)
    assert memory.trend("restart", as_of=START + timedelta(days=24, hours=1)).change_point is None
    later = memory.trend("restart", as_of=START + timedelta(days=34)).change_point
    assert later is not None
    assert later.tries_after == 10


def test_predict_tells_the_same_and_keeps_it_in_the_receipt(memory: Memory) -> None:
    broken(memory)
    made = memory.predict("ticket")
    assert made.answers[0].change == memory.trend("restart").change_point
    assert memory.why(made.prediction_id).prediction == made


def test_a_steady_pattern_has_no_change_point(memory: Memory) -> None:
    memory.add_pattern("Restart the service", pattern_id="restart")
    memory.record_many(
        NewEvent(
            "restart",
            outcome=float(n % 3 > 0),
            context=f"ticket {n}",
            timestamp=START + timedelta(days=n),
            metadata={"model": "old" if n < 25 else "new"},
        )
        for n in range(40)
    )
    assert memory.trend("restart").change_point is None


def test_as_of_a_time_what_was_corrected_later_still_counts(memory: Memory) -> None:
    broken(memory)
    then = START + timedelta(days=45)
    told = memory.trend("restart", as_of=then).change_point
    assert told is not None
    for event in memory.events("restart", limit=15):
        memory.resolve(event.event_id, state="unknown", timestamp=START + timedelta(days=60))
    assert memory.trend("restart", as_of=then).change_point == told
    assert memory.trend("restart").change_point is None
