"""Tries by what they have in common, and files that change together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatworks import InvalidInputError, Memory, NewEvent, NotFoundError
from whatworks.beta import rate_interval
from whatworks.evidence import groups
from whatworks.evidence.groups import FileRow, GroupRow
from whatworks.rates import rates, related
from whatworks.testing import HashEmbedder

NOW = datetime(2025, 3, 14, 12, 0, tzinfo=UTC)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none", clock=lambda: NOW) as opened:
        opened.add_pattern("one way", pattern_id="one", pattern_type="debugging")
        opened.add_pattern("another way", pattern_id="two", pattern_type="testing")
        yield opened


def tried(memory: Memory, *events: NewEvent) -> None:
    memory.record_many(events)


# -- rates ----------------------------------------------------------------------------------------


def test_a_try_counts_once_for_each_of_its_tools(memory: Memory) -> None:
    tried(
        memory,
        NewEvent("one", outcome=1.0, tools=["Edit", "Bash", "Bash"]),
        NewEvent("one", outcome=0.0, tools=["Bash"]),
        NewEvent("two", tools=["Bash"]),
        NewEvent("two", outcome=1.0),
    )
    bash, edit = memory.rates("tool")
    assert (bash.value, bash.tries, bash.resolved, bash.mean_outcome) == ("Bash", 3, 2, 0.5)
    assert (edit.value, edit.tries, edit.resolved, edit.mean_outcome) == ("Edit", 1, 1, 1.0)


def test_intervals_are_those_of_a_rate_under_jeffreys_prior(memory: Memory) -> None:
    tried(memory, *(NewEvent("one", outcome=float(n < 3)) for n in range(4)))
    (found,) = memory.rates("type")
    low, high = rate_interval(np.array([3.0]), np.array([4.0]), 0.95)
    assert (found.low, found.high) == (low[0], high[0])


def test_nothing_resolved_is_no_rate(memory: Memory) -> None:
    tried(memory, NewEvent("one", tools=["Bash"]))
    (found,) = memory.rates("tool")
    assert (found.resolved, found.mean_outcome, found.low, found.high) == (0, None, None, None)


@pytest.mark.parametrize(
    ("by", "values"),
    [
        ("type", ["debugging", "testing"]),
        ("file", ["a.py"]),
        ("source", ["local"]),
        ("channel", ["library"]),
        ("session", ["s1"]),
        ("day", ["2025-01-02", "2024-12-30"]),
        ("week", ["2025-W01"]),
    ],
)
def test_tries_are_grouped_by(memory: Memory, by: str, values: list[str]) -> None:
    tried(
        memory,
        NewEvent("one", outcome=1.0, timestamp=datetime(2024, 12, 30, tzinfo=UTC), session_id="s1"),
        NewEvent(
            "two", outcome=1.0, timestamp=datetime(2025, 1, 2, 23, 59, tzinfo=UTC), files=["a.py"]
        ),
    )
    assert [item.value for item in memory.rates(by)] == values  # type: ignore[arg-type]


def test_only_tries_of_the_time_asked_for_count(memory: Memory) -> None:
    tried(memory, *(NewEvent("one", outcome=1.0, timestamp=NOW - timedelta(days=n)) for n in range(5)))
    (found,) = memory.rates("type", since=NOW - timedelta(days=3), until=NOW - timedelta(days=1))
    assert found.tries == 2


def test_the_newest_weeks_and_the_largest_groups_come_first(memory: Memory) -> None:
    tried(
        memory,
        *(NewEvent("one", outcome=1.0, timestamp=NOW - timedelta(weeks=n)) for n in range(4)),
        NewEvent("two", outcome=1.0, timestamp=NOW - timedelta(weeks=3)),
    )
    assert [item.value for item in memory.rates("week", limit=2)] == ["2025-W11", "2025-W10"]
    assert [item.value for item in memory.rates("type")] == ["debugging", "testing"]


def test_what_cannot_be_grouped_by_is_refused(memory: Memory) -> None:
    with pytest.raises(InvalidInputError, match="by is 'colour'; expected 'tool' or 'file'"):
        memory.rates("colour")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="by is None"):
        memory.rates(None)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), max_size=20))
def test_a_mean_lies_in_its_interval_whatever_the_sums(groups_: list[tuple[int, float]]) -> None:
    rows = [GroupRow(str(n), count, count, count * mean) for n, (count, mean) in enumerate(groups_)]
    for row, found in zip(rows, rates(rows), strict=True):
        assert (found.mean_outcome is None) == (row.resolved == 0)
        if found.mean_outcome is not None and found.low is not None and found.high is not None:
            assert 0 <= found.low <= found.high <= 1
            assert found.low - 0.5 <= found.mean_outcome <= found.high + 0.5


# -- files that change together -------------------------------------------------------------------


def changed(memory: Memory, *changes: list[str], **more: object) -> None:
    events = [{"pattern_id": "one", "outcome": 1.0, "files": files} | more for files in changes]
    memory.record_many(events)


def test_support_confidence_and_lift_are_counted_by_changes(memory: Memory) -> None:
    changed(memory, ["a", "b"], ["a", "b"], ["a", "c"], ["a"], ["b"], ["d"], ["d"], ["d"])
    b, c = memory.related_files("a")
    assert (b.file, b.together, b.changes, b.confidence) == ("b", 2, 4, 0.5)
    assert b.lift == pytest.approx(0.5 / (3 / 8))
    assert (c.file, c.together, c.confidence) == ("c", 1, 0.25)
    low, high = rate_interval(np.array([2.0]), np.array([4.0]), 0.95)
    assert (b.low, b.high) == (low[0], high[0])


def test_success_is_that_of_the_tries_that_changed_both(memory: Memory) -> None:
    changed(memory, ["a", "b"], ["a"])
    changed(memory, ["a", "b"], ["b"], outcome=0.0)
    (b,) = memory.related_files("a")
    assert (b.resolved, b.mean_outcome) == (2, 0.5)
    assert (
        b.outcome_low is not None
        and b.outcome_high is not None
        and b.outcome_low < 0.5 < b.outcome_high
    )


def test_a_file_that_was_always_changed_alone_has_none_and_one_never_changed_is_not_found(
    memory: Memory,
) -> None:
    changed(memory, ["a"], ["b", "c"])
    assert memory.related_files("a") == []
    with pytest.raises(NotFoundError, match="no try has the file 'nowhere'"):
        memory.related_files("nowhere")


def test_a_session_can_be_one_change(memory: Memory) -> None:
    changed(memory, ["a"], ["b"], session_id="s")
    changed(memory, ["a"], ["b"])
    assert memory.related_files("a") == []
    (b,) = memory.related_files("a", together="session")
    assert (b.file, b.together, b.changes) == ("b", 1, 2)


def test_a_change_of_very_many_files_says_nothing(memory: Memory) -> None:
    changed(memory, [str(n) for n in range(groups.MOST_FILES + 1)])
    assert memory.related_files("1") == []
    changed(memory, [str(n) for n in range(groups.MOST_FILES)])
    assert len(memory.related_files("1", limit=100)) == groups.MOST_FILES - 1


def test_recent_changes_are_worth_more_for_the_order(memory: Memory) -> None:
    changed(memory, ["a", "old"], ["a", "old"], timestamp=NOW - timedelta(days=3 * 365))
    changed(memory, ["a", "new"], timestamp=NOW)
    assert [item.file for item in memory.related_files("a")] == ["new", "old"]


def test_lift_tells_what_changes_with_everything_from_what_changes_with_this(memory: Memory) -> None:
    changed(memory, ["a", "CHANGES", "b"], ["x", "CHANGES"], ["y", "CHANGES"])
    lift = {item.file: item.lift for item in memory.related_files("a")}
    assert lift == {"CHANGES": pytest.approx(1.0), "b": pytest.approx(3.0)}


def test_equally_likely_files_are_in_the_order_of_their_names() -> None:
    rows = [FileRow(name, 1, 1, 1.0, 1.0, 0, 0.0) for name in ("z", "a", "m")]
    rows.append(FileRow("asked", 1, 1, 1.0, 1.0, 0, 0.0))
    assert [item.file for item in related(2.0, 1.0, "asked", rows, 10)] == ["a", "m", "z"]


def test_the_wrong_unit_is_refused(memory: Memory) -> None:
    with pytest.raises(InvalidInputError, match="together is 'day'; expected 'try' or 'session'"):
        memory.related_files("a", together="day")  # type: ignore[arg-type]


# -- a real history -------------------------------------------------------------------------------

HIDDEN, SHOWN = 300, 5


def history() -> list[tuple[datetime, list[str]]]:
    lines = (Path(__file__).parent / "requests-history.tsv").read_text().splitlines()
    cut = (line.split("\t") for line in lines)
    return [(datetime.fromtimestamp(int(at), UTC), files) for at, *files in cut]


def test_the_last_commits_of_a_real_history_are_foretold_better_than_by_what_changes_most(
    tmp_path: Path,
) -> None:
    """Of the files of each hidden commit one is known: are the others among the five named?"""
    commits = history()
    known, hidden = commits[:-HIDDEN], commits[-HIDDEN:]
    with Memory.open(tmp_path / "store", embedder="none", clock=lambda: known[-1][0]) as memory:
        memory.add_pattern("change", pattern_id="change")
        memory.record_many(
            NewEvent("change", outcome=1.0, timestamp=at, files=files) for at, files in known
        )
        most = [item.value for item in memory.rates("file", limit=SHOWN + 1)]
        seen = {item.value for item in memory.rates("file", limit=100_000)}
        named = {
            file: [item.file for item in memory.related_files(file, limit=SHOWN)]
            for file in {file for _, files in hidden for file in files} & seen
        }
    ours, usual = list[tuple[float, float]](), list[tuple[float, float]]()
    for _, files in hidden:
        if not 2 <= len(files) <= groups.MOST_FILES:
            continue
        for file in set(files) & seen:
            others = set(files) - {file}
            for said, found in ((named[file], ours), ([name for name in most if name != file], usual)):
                hits = len(others & set(said[:SHOWN]))
                found.append((hits / SHOWN, hits / len(others)))
    assert len(ours) > 200
    precision, recall = np.mean(ours, axis=0)
    usual_precision, usual_recall = np.mean(usual, axis=0)
    assert precision > 1.5 * usual_precision and recall > 2 * usual_recall
    text = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text()
    row = f"| Requests, 1,200 commits, the next 300 | {precision:.2f} | {recall:.2f} | "
    assert row + f"{usual_precision:.2f} | {usual_recall:.2f} |" in text


# -- what was learned when ------------------------------------------------------------------------


def test_each_week_says_what_was_told_by_whom_and_how_far_the_rate_moved(memory: Memory) -> None:
    monday = datetime(2025, 3, 10, tzinfo=UTC)
    tried(
        memory,
        NewEvent("one", outcome=1.0, timestamp=monday - timedelta(days=1)),
        NewEvent("one", outcome=1.0, timestamp=monday),
        NewEvent("one", outcome=0.0, timestamp=monday + timedelta(days=2)),
        NewEvent("one", timestamp=monday + timedelta(days=3)),
        NewEvent("two", outcome=0.0, timestamp=monday),
    )
    newest, before = memory.timeline("one").steps
    assert (before.week, newest.week) == (monday.date() - timedelta(days=7), monday.date())
    assert (newest.tries, newest.resolved, newest.mean_outcome) == (3, 2, 0.5)
    assert (before.before, before.after, newest.before) == (0.5, 1.5 / 2, 1.5 / 2)
    assert newest.after == 2.5 / 4
    low, high = rate_interval(np.array([2.0]), np.array([3.0]), 0.95)
    assert (newest.low, newest.high) == (low[0], high[0])
    assert [(rate.value, rate.resolved) for rate in newest.sources] == [("local", 2)]


def test_a_pattern_without_tries_has_no_weeks_and_one_that_is_not_there_is_not_found(
    memory: Memory,
) -> None:
    assert memory.timeline("one").steps == ()
    with pytest.raises(NotFoundError, match="there is no pattern 'nobody'"):
        memory.timeline("nobody")


def test_what_was_offered_and_not_tried_is_no_try_in_any_grouping(memory: Memory) -> None:
    tried(
        memory,
        NewEvent("one", outcome=1.0, timestamp=NOW - timedelta(hours=1)),
        NewEvent("one", state="not_used", timestamp=NOW - timedelta(hours=1)),
    )
    for by in ("type", "source", "day", "week", "channel"):
        (found,) = memory.rates(by)  # type: ignore[arg-type]
        assert (found.tries, found.resolved) == (1, 1)
    (found,) = memory.rates("day", since=NOW - timedelta(hours=2))
    assert found.tries == 1


def test_a_context_whose_only_outcome_was_taken_back_is_on_no_map(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "mapped", embedder=HashEmbedder()) as memory:
        memory.add_pattern("one way", pattern_id="one")
        memory.record("one", outcome=1.0, context="here", event_id="e")
        memory.predict("here")
        memory.resolve("e", state="not_used")
        made = memory.context_map("one")
        assert (made.contexts, made.points) == (0, ())
