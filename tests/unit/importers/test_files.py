from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from whatworks import InvalidInputError, Memory, NewPattern
from whatworks.importers import import_files

Make = Callable[..., dict[str, Any]]
NOTHING = {"patterns": 0, "events": 0, "priors": 0}


# -- the sample -----------------------------------------------------------------------------------


def test_sample_imports_completely_with_a_truthful_report(memory: Memory, sample: Path) -> None:
    truth = json.loads((sample / "truth.json").read_text())
    report = import_files(memory, sample / "memory").to_dict()
    assert report["read"] == {
        "sessions": truth["sessions_good"],
        "turns": truth["turns"],
        "patterns": truth["pattern_ids"],
    }
    assert report["written"]["events"] == truth["turns_with_tools"] == memory.stats().events
    assert report["written"]["patterns"] == memory.stats().patterns > truth["pattern_ids"]
    assert report["written"]["priors"] == memory.stats().priors == len(list(memory.iter_priors()))
    assert len(report["skipped"]) == truth["sessions_broken"] + truth["patterns_broken_files"]


def test_report_names_file_place_and_reason_of_what_is_broken_in_the_sample(
    memory: Memory, sample: Path
) -> None:
    folder = sample / "memory"
    torn = "is not JSON: Unterminated string starting at"
    report = import_files(memory, folder).to_dict()
    assert report["skipped"] == [
        {"path": str(folder / "patterns/empty.json"), "place": "file", "reason": "is empty"},
        {
            "path": str(folder / "sessions/session_1751554800.json"),
            "place": "line 29 column 7 (char 806)",
            "reason": torn,
        },
        {
            "path": str(folder / "sessions/session_1751983200.json"),
            "place": "line 22 column 3 (char 598)",
            "reason": torn,
        },
    ]
    assert set(report) == {"read", "written", "skipped"}


def test_every_learned_pattern_of_the_sample_keeps_its_id_and_record(
    memory: Memory, sample: Path
) -> None:
    import_files(memory, sample / "memory")
    found = {pattern.pattern_id: pattern for pattern in memory.iter_patterns()}
    for path in (sample / "memory/sessions").glob("*.json"):
        try:
            session = json.loads(path.read_text())
        except ValueError:
            continue
        for item in session["successful_patterns"]:
            pattern = found[item["pattern_id"]]
            assert pattern.description == item["description"].strip()
            assert pattern.pattern_type == item["pattern_type"]
            assert pattern.metadata["conditions"] == item["conditions"]
            assert pattern.resolved_count + pattern.prior_count >= item["usage_count"]


def test_events_of_the_sample_are_its_turns_with_tools(memory: Memory, sample: Path) -> None:
    import_files(memory, sample / "memory")
    turns: Counter[tuple[Any, ...]] = Counter()
    for path in (sample / "memory/sessions").glob("*.json"):
        try:
            session = json.loads(path.read_text())
        except ValueError:
            continue
        for turn in session["conversation_context"]:
            if turn["tools_used"]:
                turns[turn["user_query"], tuple(turn["tools_used"]), turn["outcome_quality"]] += 1
    assert turns == Counter((e.context, e.tools, e.outcome) for e in memory.iter_events())


# -- twice, and dry -------------------------------------------------------------------------------


def test_second_import_writes_nothing(memory: Memory, sample: Path) -> None:
    import_files(memory, sample / "memory")
    before = memory.stats()
    report = import_files(memory, sample / "memory")
    assert report.written == NOTHING
    assert memory.stats().journal_bytes == before.journal_bytes
    assert len(report.skipped) == 3


def test_import_in_another_folder_writes_nothing_new(
    memory: Memory, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_files(memory, sample / "memory")
    (tmp_path / "copy").symlink_to(sample / "memory")
    monkeypatch.chdir(tmp_path)
    assert import_files(memory, "copy").written == NOTHING


def test_dry_run_writes_nothing_and_predicts_the_import(memory: Memory, sample: Path) -> None:
    before = memory.stats()
    predicted = import_files(memory, sample / "memory", dry_run=True)
    after = memory.stats()
    assert (after.patterns, after.events, after.priors) == (0, 0, 0)
    assert after.journal_bytes == before.journal_bytes
    assert import_files(memory, sample / "memory").to_dict() == predicted.to_dict()
    assert import_files(memory, sample / "memory", dry_run=True).written == NOTHING


def test_dry_run_counts_a_session_that_lies_there_twice_once(
    memory: Memory, files: Any, make_turn: Make
) -> None:
    files.session(make_turn(), name="s1")
    files.session(make_turn(), name="copy", session_id="s1")
    predicted = import_files(memory, files.folder, dry_run=True)
    assert predicted.written["events"] == 1
    assert import_files(memory, files.folder).to_dict() == predicted.to_dict()


def test_import_again_writes_only_what_is_new(memory: Memory, files: Any, make_turn: Make) -> None:
    first, second = make_turn(), make_turn(user_query="another query")
    files.session(first)
    import_files(memory, files.folder)
    files.session(first, second)
    report = import_files(memory, files.folder)
    assert report.written == {"patterns": 0, "events": 1, "priors": 0}
    assert not report.skipped


def test_turn_judged_anew_is_told_and_not_counted_twice(
    memory: Memory, files: Any, make_turn: Make
) -> None:
    files.session(make_turn(outcome_quality=0.2))
    import_files(memory, files.folder)
    files.session(make_turn(outcome_quality=0.9))
    report = import_files(memory, files.folder)
    assert report.written == NOTHING
    assert [skip.place for skip in report.skipped] == ["conversation_context[0]"]
    assert [event.outcome for event in memory.events()] == [0.2]


def test_two_turns_alike_in_one_session_are_two_tries(
    memory: Memory, files: Any, make_turn: Make
) -> None:
    files.session(make_turn(), make_turn())
    assert import_files(memory, files.folder).written["events"] == 2
    assert import_files(memory, files.folder).written["events"] == 0


# -- turns and patterns ---------------------------------------------------------------------------


def test_turn_becomes_an_event_with_all_it_says(memory: Memory, files: Any, make_turn: Make) -> None:
    files.session(make_turn())
    import_files(memory, files.folder)
    (event,) = memory.events()
    assert event.context == "unresolved import in parser.rs"
    assert (event.outcome, event.state) == (0.75, "resolved")
    assert event.timestamp == datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert event.session_id == "s1"
    assert event.files == ("src/parser.rs",)
    assert event.tools == ("rg", "edit_file")
    assert event.event_id.startswith("import-")
    assert event.metadata == {
        "query_type": "debugging",
        "lessons_learned": ["read the error first"],
        "project_path": "/home/dev/project",
    }


def test_learned_pattern_keeps_what_it_says(memory: Memory, files: Any, make_learned: Make) -> None:
    files.patterns(make_learned("pattern_7"))
    report = import_files(memory, files.folder)
    assert report.written == {"patterns": 1, "events": 0, "priors": 1}
    pattern = memory.get_pattern("pattern_7")
    assert pattern.pattern_type == "DebuggingStrategy"
    assert pattern.description == "What pattern_7 does"
    assert pattern.created_at == datetime(2025, 1, 1, tzinfo=UTC)
    assert pattern.metadata == {
        "context": "the build is slow",
        "files_involved": ["Cargo.toml"],
        "tools_involved": ["cargo_build"],
        "conditions": ["query_type=performance"],
        "origin": "file-memory",
    }


def test_turn_without_a_learned_pattern_makes_one_for_its_tools(
    memory: Memory, files: Any, make_turn: Make
) -> None:
    files.session(make_turn(), make_turn(user_query="something else"), make_turn(query_type="testing"))
    import_files(memory, files.folder)
    found = {pattern.description: pattern for pattern in memory.patterns()}
    assert found.keys() == {"Use rg, edit_file for debugging", "Use rg, edit_file for testing"}
    made = found["Use rg, edit_file for debugging"]
    assert (made.pattern_type, made.usage_count) == ("EffectiveToolSequence", 2)
    # The id follows from the content: adding the same by hand is adding it again.
    again = memory.add_patterns([NewPattern(made.description, made.pattern_type)])
    assert again[0].pattern_id == made.pattern_id


def tried(memory: Memory) -> list[str]:
    return [event.pattern_id for event in memory.iter_events()]


def test_turn_is_a_try_of_the_pattern_of_its_session_before_that_of_another_file(
    memory: Memory, files: Any, make_turn: Make, make_learned: Make
) -> None:
    turn = make_turn()
    same = {"context": turn["user_query"], "tools_involved": turn["tools_used"]}
    files.patterns(make_learned("elsewhere", **same))
    files.session(turn, learned=[make_learned("own", **same)], name="s1")
    files.session(turn, name="s2")
    import_files(memory, files.folder)
    assert {e.session_id: e.pattern_id for e in memory.iter_events()} == {
        "s1": "own",
        "s2": "elsewhere",
    }


@pytest.mark.parametrize(
    "other", [{"tools_involved": ["edit_file", "rg"]}, {"context": "unresolved import"}]
)
def test_turn_with_another_context_or_order_of_tools_is_no_try_of_the_pattern(
    memory: Memory, files: Any, make_turn: Make, make_learned: Make, other: dict[str, Any]
) -> None:
    turn = make_turn()
    same = {"context": turn["user_query"], "tools_involved": turn["tools_used"]}
    files.session(turn, learned=[make_learned("own", **same | other)])
    import_files(memory, files.folder)
    assert memory.get_pattern(tried(memory)[0]).pattern_type == "EffectiveToolSequence"


def test_turns_without_tools_are_read_and_become_nothing(
    memory: Memory, files: Any, make_turn: Make
) -> None:
    files.session(make_turn(tools_used=[]), make_turn(tools_used=[], outcome_quality=17))
    report = import_files(memory, files.folder)
    assert report.read["turns"] == 2
    assert report.written == NOTHING
    assert not report.skipped


def test_texts_are_cleaned(memory: Memory, files: Any, make_turn: Make, make_learned: Make) -> None:
    dirty = "\x1b[31merror\x1b[0m in \u202eparser\x00.rs\ud800 "
    files.session(make_turn(user_query=dirty, tools_used=[dirty], lessons_learned=[dirty]))
    files.patterns(make_learned(description=dirty, context=dirty))
    report = import_files(memory, files.folder)
    assert not report.skipped
    (event,) = memory.events()
    assert (event.context, event.tools) == ("error in parser.rs", ("error in parser.rs",))
    assert event.metadata["lessons_learned"] == ["error in parser.rs"]
    assert memory.get_pattern("pattern_1").description == "error in parser.rs"


# -- aggregates -----------------------------------------------------------------------------------


def test_prior_is_the_aggregate_less_the_tries_that_came_as_turns(
    memory: Memory, files: Any, make_turn: Make, make_learned: Make
) -> None:
    turns = [make_turn(outcome_quality=q) for q in (1.0, 0.5)]
    same = {"context": turns[0]["user_query"], "tools_involved": turns[0]["tools_used"]}
    files.session(*turns, learned=[make_learned("own", success_rate=0.6, usage_count=5, **same)])
    import_files(memory, files.folder)
    (prior,) = memory.iter_priors()
    assert (prior.pattern_id, prior.usage_count) == ("own", 3)
    assert prior.success_rate == pytest.approx((0.6 * 5 - 1.5) / 3)
    assert prior.timestamp == datetime(2025, 1, 2, tzinfo=UTC)
    pattern = memory.get_pattern("own")
    assert (pattern.usage_count, pattern.success_rate, pattern.prior_count) == (2, 0.75, 3)


def test_nothing_is_left_of_an_aggregate_whose_tries_all_came(
    memory: Memory, files: Any, make_turn: Make, make_learned: Make
) -> None:
    turn = make_turn()
    same = {"context": turn["user_query"], "tools_involved": turn["tools_used"]}
    files.session(turn, learned=[make_learned("own", usage_count=1, **same)])
    assert import_files(memory, files.folder).written == {"patterns": 1, "events": 1, "priors": 0}


def test_rate_of_a_prior_stays_between_0_and_1_where_aggregate_and_turns_disagree(
    memory: Memory, files: Any, make_turn: Make, make_learned: Make
) -> None:
    turn = make_turn(outcome_quality=1.0)
    same = {"context": turn["user_query"], "tools_involved": turn["tools_used"]}
    files.session(turn, learned=[make_learned("own", success_rate=0.1, usage_count=2, **same)])
    import_files(memory, files.folder)
    assert [prior.success_rate for prior in memory.iter_priors()] == [0.0]


def test_broken_turn_leaves_its_try_in_the_prior(
    memory: Memory, files: Any, make_turn: Make, make_learned: Make
) -> None:
    turn = make_turn()
    same = {"context": turn["user_query"], "tools_involved": turn["tools_used"]}
    own = make_learned("own", usage_count=2, **same)
    files.session(turn, make_turn(outcome_quality=1.5), learned=[own])
    import_files(memory, files.folder)
    assert [prior.usage_count for prior in memory.iter_priors()] == [1]


def test_aggregates_are_no_events(memory: Memory, files: Any, make_learned: Make) -> None:
    files.patterns(make_learned(usage_count=1_000))
    import_files(memory, files.folder)
    assert memory.stats().events == 0
    assert memory.get_pattern("pattern_1").success_rate is None


def test_aggregate_that_changed_since_is_told_and_stays_as_it_is(
    memory: Memory, files: Any, make_learned: Make
) -> None:
    files.patterns(make_learned(usage_count=4))
    import_files(memory, files.folder)
    files.patterns(make_learned(usage_count=9))
    report = import_files(memory, files.folder)
    assert report.written == NOTHING
    assert [skip.place for skip in report.skipped] == ["[0]"]
    assert [prior.usage_count for prior in memory.iter_priors()] == [4]


# -- conflicts ------------------------------------------------------------------------------------


def test_same_pattern_in_two_files_is_one(memory: Memory, files: Any, make_learned: Make) -> None:
    files.patterns(make_learned("twice"))
    files.session(learned=[make_learned("twice")])
    report = import_files(memory, files.folder)
    assert report.read["patterns"] == 2
    assert report.written == {"patterns": 1, "events": 0, "priors": 1}
    assert not report.skipped


@pytest.mark.parametrize("dry_run", [True, False])
def test_other_content_under_one_id_is_skipped_once(
    memory: Memory, files: Any, make_learned: Make, dry_run: bool
) -> None:
    first = files.patterns(make_learned("twice"))
    second = files.session(learned=[make_learned("twice", description="Something else")])
    report = import_files(memory, files.folder, dry_run=dry_run)
    assert report.read["patterns"] == 1
    assert [(skip.path, skip.place) for skip in report.skipped] == [
        (str(second), "successful_patterns[0]")
    ]
    assert str(first) in report.skipped[0].reason


def test_pattern_of_the_store_stays_and_takes_no_turns_of_another(
    memory: Memory, files: Any, make_turn: Make, make_learned: Make
) -> None:
    memory.add_pattern("Mine", pattern_id="own", metadata={"kept": True})
    turn = make_turn()
    same = {"context": turn["user_query"], "tools_involved": turn["tools_used"]}
    files.session(turn, learned=[make_learned("own", **same)])
    report = import_files(memory, files.folder)
    assert [skip.place for skip in report.skipped] == ["successful_patterns[0]"]
    mine = memory.get_pattern("own")
    assert (mine.description, mine.metadata, mine.usage_count) == ("Mine", {"kept": True}, 0)
    assert mine.prior_count == 0
    assert memory.stats().events == 1


# -- folders --------------------------------------------------------------------------------------


def test_session_without_an_id_is_known_again_by_the_name_of_its_file(
    memory: Memory, files: Any, make_turn: Make, tmp_path: Path
) -> None:
    files.session(make_turn(), session_id=...)
    assert import_files(memory, files.folder).written["events"] == 1
    files.folder.rename(tmp_path / "moved")
    assert import_files(memory, tmp_path / "moved").written["events"] == 0


@pytest.mark.parametrize("name", ["empty", "absent", "file"])
def test_folder_without_sessions_and_patterns_is_refused(
    memory: Memory, tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("[]")
    with pytest.raises(InvalidInputError, match="sessions"):
        import_files(memory, tmp_path / name)


@pytest.mark.parametrize("absent", ["sessions", "patterns"])
def test_one_of_the_two_folders_is_enough(memory: Memory, files: Any, absent: str) -> None:
    (files.folder / absent).rmdir()
    assert import_files(memory, files.folder).to_dict() == {
        "read": {"sessions": 0, "turns": 0, "patterns": 0},
        "written": NOTHING,
        "skipped": [],
    }


def test_only_json_in_the_two_folders_is_read(memory: Memory, files: Any) -> None:
    for name in ("notes.md", "sessions/s.md", "sessions/s.json.tmp", "other.json"):
        files.write(name, "{")
    assert import_files(memory, files.folder).skipped == []


def test_progress_adds_up_to_patterns_and_turns(memory: Memory, sample: Path) -> None:
    done: list[int] = []
    report = import_files(memory, sample / "memory", progress=done.append)
    assert sum(done) == report.read["turns"] + report.read["patterns"]
    assert len(done) > 10
