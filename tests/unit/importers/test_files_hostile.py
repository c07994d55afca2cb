from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.reading import read_here
from whatworks import Memory, WhatWorksError
from whatworks.importers import import_files
from whatworks.readers import layout

Make = Callable[..., dict[str, Any]]
LONG = "x" * 70_000


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# -- one bad item -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "place", "reason"),
    [
        ("timestamp", ..., ".timestamp", "is missing"),
        ("timestamp", None, ".timestamp", "is null"),
        ("timestamp", 1751328000, ".timestamp", "is the number 1751328000; expected text"),
        ("timestamp", "2025-07-01T00:00:00", ".timestamp", "expected RFC 3339"),
        ("timestamp", "2025-13-01T00:00:00Z", ".timestamp", "expected RFC 3339"),
        ("timestamp", "9999-12-31T23:59:59-23:59", ".timestamp", "expected RFC 3339"),
        ("timestamp", "2999-01-01T00:00:00Z", ".timestamp", "one day ahead"),
        ("user_query", ..., ".user_query", "is missing"),
        ("user_query", ["a"], ".user_query", "is a list; expected text"),
        ("user_query", LONG, ".user_query", "70,000 bytes"),
        ("query_type", 3, ".query_type", "expected text"),
        ("tools_used", ..., ".tools_used", "is missing"),
        ("tools_used", "rg", ".tools_used", "is text; expected a list of texts"),
        ("tools_used", ["rg", None], ".tools_used[1]", "is null; expected text"),
        ("tools_used", [""], ".tools_used", "is empty"),
        ("tools_used", ["x"] * 1_001, ".tools_used", "1,001 items"),
        ("tools_used", [f"{n}{'x' * 4_000}" for n in range(20)], "", "description has"),
        ("files_involved", {}, ".files_involved", "is an object; expected a list"),
        ("files_involved", [True], ".files_involved[0]", "is true or false; expected text"),
        ("outcome_quality", ..., ".outcome_quality", "is missing"),
        ("outcome_quality", None, ".outcome_quality", "is null; expected a number from 0 to 1"),
        ("outcome_quality", True, ".outcome_quality", "is true or false; expected a number"),
        ("outcome_quality", "0.5", ".outcome_quality", "is text; expected a number"),
        ("outcome_quality", 1.01, ".outcome_quality", "is 1.01; expected a number from 0 to 1"),
        ("outcome_quality", -0.5, ".outcome_quality", "is -0.5"),
        ("outcome_quality", float("nan"), ".outcome_quality", "is nan"),
        ("outcome_quality", float("inf"), ".outcome_quality", "is inf"),
        ("outcome_quality", 10**400, ".outcome_quality", "is 1000"),
        ("lessons_learned", "one", ".lessons_learned", "is text; expected a list of texts"),
        ("lessons_learned", [LONG], "", "metadata has"),
        ("extra", deep(50), "", "nested more than 32 deep"),
    ],
)
def test_bad_turn_is_one_skip_and_the_rest_is_imported(
    memory: Memory, files: Any, make_turn: Make, field: str, value: Any, place: str, reason: str
) -> None:
    path = files.session(make_turn(), make_turn(**{field: value}), make_turn(user_query="third"))
    for dry_run in (True, False):
        report = import_files(memory, files.folder, dry_run=dry_run)
        (skip,) = report.skipped
        assert skip.path == str(path)
        assert skip.place == f"conversation_context[1]{place}"
        assert reason in skip.reason
        assert report.written["events"] == 2
    assert memory.stats().events == 2


@pytest.mark.parametrize(
    ("field", "value", "place", "reason"),
    [
        ("pattern_id", ..., ".pattern_id", "is missing"),
        ("pattern_id", "", ".pattern_id", "is empty"),
        ("pattern_id", "a\nb", ".pattern_id", "expected one line"),
        ("pattern_id", "x" * 600, ".pattern_id", "600 bytes"),
        ("pattern_id", 7, ".pattern_id", "is the number 7; expected text"),
        ("pattern_type", ..., ".pattern_type", "is missing"),
        ("pattern_type", "", "", "pattern_type is empty"),
        ("description", None, ".description", "is null; expected text"),
        ("description", " \x00", "", "description is empty"),
        ("description", LONG, "", "70,000 bytes"),
        ("context", 5, ".context", "expected text"),
        ("context", LONG, "", "metadata has"),
        ("success_rate", ..., ".success_rate", "is missing"),
        ("success_rate", 1.5, ".success_rate", "is 1.5; expected a number from 0 to 1"),
        ("usage_count", 2.5, ".usage_count", "expected a whole number"),
        ("usage_count", -1, ".usage_count", "expected a whole number"),
        ("usage_count", 10**30, ".usage_count", "expected a whole number"),
        ("usage_count", ..., ".usage_count", "is missing"),
        ("first_learned", "yesterday", ".first_learned", "expected RFC 3339"),
        ("last_reinforced", "2999-01-01T00:00:00Z", ".last_reinforced", "one day ahead"),
        ("tools_involved", "rg", ".tools_involved", "expected a list"),
        ("files_involved", [1], ".files_involved[0]", "expected text"),
        ("conditions", {"a": 1}, ".conditions", "is an object; expected a list"),
        ("conditions", deep(50), "", "nested more than 32 deep"),
    ],
)
def test_bad_pattern_is_one_skip_and_the_rest_is_imported(
    memory: Memory, files: Any, make_learned: Make, field: str, value: Any, place: str, reason: str
) -> None:
    bad = make_learned("bad", **{field: value})
    in_list = files.patterns(make_learned("one"), bad)
    in_session = files.session(learned=[make_learned("two"), bad])
    report = import_files(memory, files.folder)
    assert [(skip.path, skip.place) for skip in report.skipped] == [
        (str(in_list), f"[1]{place}"),
        (str(in_session), f"successful_patterns[1]{place}"),
    ]
    assert all(reason in skip.reason for skip in report.skipped)
    assert {pattern.pattern_id for pattern in memory.patterns()} == {"one", "two"}


@pytest.mark.parametrize("item", [None, 3, "text", [], True])
def test_item_that_is_no_object_is_one_skip(
    memory: Memory, files: Any, make_turn: Make, item: Any
) -> None:
    files.session(item, make_turn())
    files.patterns(item)
    report = import_files(memory, files.folder)
    assert [skip.place for skip in report.skipped] == ["[0]", "conversation_context[0]"]
    assert all("expected an object" in skip.reason for skip in report.skipped)
    assert report.written["events"] == 1


@pytest.mark.parametrize("field", ["query_type", "files_involved", "lessons_learned"])
@pytest.mark.parametrize("value", [..., None])
def test_turn_that_says_less_is_imported(
    memory: Memory, files: Any, make_turn: Make, field: str, value: Any
) -> None:
    files.session(make_turn(**{field: value}))
    report = import_files(memory, files.folder)
    assert (report.written["events"], report.skipped) == (1, [])


# -- one bad session ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("session_id", ..., "is missing"),
        ("session_id", 5, "is the number 5; expected text"),
        ("session_id", "two\nlines", "expected one line"),
        ("project_path", ["/"], "is a list; expected text"),
        ("successful_patterns", {}, "is an object; expected a list"),
        ("successful_patterns", ..., "is missing"),
    ],
)
def test_bad_field_of_a_session_is_one_skip_and_its_turns_are_imported(
    memory: Memory, files: Any, make_turn: Make, field: str, value: Any, reason: str
) -> None:
    files.session(make_turn(), **{field: value})
    report = import_files(memory, files.folder)
    assert [skip.place for skip in report.skipped] == [field]
    assert reason in report.skipped[0].reason
    assert report.written["events"] == 1
    assert import_files(memory, files.folder).written["events"] == 0


@pytest.mark.parametrize("value", [..., None, {}, "text"])
def test_session_without_turns_keeps_its_patterns(
    memory: Memory, files: Any, make_learned: Make, value: Any
) -> None:
    files.session(learned=[make_learned("kept")], conversation_context=value)
    report = import_files(memory, files.folder)
    assert [skip.place for skip in report.skipped] == ["conversation_context"]
    assert memory.get_pattern("kept")


# -- bad files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        ("", "file", "is empty"),
        (" \n", "file", "is empty"),
        ('{"session_id": "s', "line 1 column 16 (char 15)", "Unterminated string"),
        ("[]", "file", "is no object; expected a session"),
        ("3", "file", "is no object"),
        (b'{"a": "\xff"}', "byte 7", "is no utf-8"),
        ("[" * 200_000, "file", "nested too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", "file", "4300"),
    ],
    ids=range(8),  # one is too long for a name
)
def test_bad_session_file_is_one_skip_and_others_are_imported(
    memory: Memory, files: Any, make_turn: Make, content: str | bytes, place: str, reason: str
) -> None:
    path = files.write("sessions/a.json", content)
    files.session(make_turn(), name="b")
    report = import_files(memory, files.folder)
    assert [(skip.path, skip.place) for skip in report.skipped] == [(str(path), place)]
    assert reason in report.skipped[0].reason
    assert (report.read["sessions"], report.written["events"]) == (1, 1)


def test_pattern_file_that_is_no_list_is_one_skip(memory: Memory, files: Any) -> None:
    files.write("patterns/a.json", "{}")
    (skip,) = import_files(memory, files.folder).skipped
    assert (skip.place, skip.reason) == ("file", "is no list; expected a list of patterns")


@pytest.mark.usefixtures("read_here")
def test_file_that_is_too_large_is_refused_unread(
    memory: Memory, files: Any, make_turn: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.session(make_turn(), name="small")
    files.session(make_turn(), name="large", project_path="x" * 5_000)
    monkeypatch.setattr(layout, "MAX_FILE_BYTES", 4_000)
    (skip,) = import_files(memory, files.folder).skipped
    assert skip.path.endswith("large.json")
    assert skip.reason == "has more than 4,000 bytes"


def test_links_are_followed_within_the_folder_only(
    memory: Memory, files: Any, make_turn: Make, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"session_id": "secret", "conversation_context": [make_turn()]}))
    inside = files.session(make_turn(), name="inside")
    (files.folder / "sessions/out.json").symlink_to(secret)
    (files.folder / "sessions/up.json").symlink_to("../../secret.json")
    (files.folder / "sessions/loop.json").symlink_to("loop.json")
    (files.folder / "patterns/in.json").symlink_to(inside)
    report = import_files(memory, files.folder)
    assert {(Path(skip.path).name, skip.reason) for skip in report.skipped} == {
        ("out.json", "is a link that leaves the folder"),
        ("up.json", "is a link that leaves the folder"),
        ("loop.json", "cannot be read: Too many levels of symbolic links"),
        ("in.json", "is no list; expected a list of patterns"),
    }
    assert [event.session_id for event in memory.events()] == ["inside"]


def test_sessions_folder_that_is_a_link_out_is_not_read(
    memory: Memory, files: Any, make_turn: Make, tmp_path: Path
) -> None:
    files.session(make_turn())
    (files.folder / "sessions").rename(tmp_path / "elsewhere")
    (files.folder / "sessions").symlink_to(tmp_path / "elsewhere")
    (skip,) = import_files(memory, files.folder).skipped
    assert skip.reason == "is a link that leaves the folder"


def test_what_is_no_file_is_skipped_without_waiting(memory: Memory, files: Any) -> None:
    os.mkfifo(files.folder / "sessions/pipe.json")
    (files.folder / "sessions/folder.json").mkdir()
    (files.folder / "sessions/gone.json").symlink_to("not-there")
    found = import_files(memory, files.folder).skipped
    assert {(Path(skip.path).name, skip.reason) for skip in found} == {
        ("pipe.json", "is no regular file"),
        ("folder.json", "cannot be read: Is a directory"),
        ("gone.json", "cannot be read: No such file or directory"),
    }


def test_name_that_is_no_text_can_be_reported(memory: Memory, files: Any) -> None:
    Path(os.fsdecode(os.fsencode(files.folder) + b"/sessions/\xff.json")).write_text("")
    (skip,) = import_files(memory, files.folder).skipped
    assert skip.path.encode().endswith("/sessions/\ufffd.json".encode())


# -- anything at all ----------------------------------------------------------------------------------

keys = st.sampled_from(
    [
        *("session_id", "conversation_context", "successful_patterns", "timestamp", "user_query"),
        *("tools_used", "outcome_quality", "pattern_id", "description", "success_rate", "usage_count"),
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["2025-01-01T00:00:00Z", "kept", "\ud800", "\x00", "e1"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)


# Every example is an import of its own; the profile's size counts all the same.
@settings(max_examples=settings().max_examples // 3)
@given(data=st.data())
def test_any_damage_is_told_and_loses_nothing(
    open_memory: Callable[..., Memory],
    files: Any,
    make_turn: Make,
    make_learned: Make,
    data: st.DataObject,
) -> None:
    memory = open_memory(durability="process")
    memory.add_pattern("Kept as it is", pattern_id="kept")
    memory.record("kept", outcome=0.5, context="kept context", event_id="e1")
    session = {
        "session_id": "s",
        "conversation_context": [make_turn(), make_turn(user_query="second")],
        "successful_patterns": [make_learned("one"), make_learned("kept")],
    }
    damaged = _damaged(session, data)
    content = json.dumps(damaged).encode("utf-8", "surrogatepass")
    if data.draw(st.booleans(), "torn"):
        content = content[: data.draw(st.integers(0, len(content)))]
    files.write("sessions/s.json", content)
    files.write("patterns/p.json", json.dumps(data.draw(values)).encode("utf-8", "surrogatepass"))
    try:
        with read_here():
            report = import_files(memory, files.folder)
    except WhatWorksError as error:  # pragma: no cover
        pytest.fail(f"an import of anything ends with a report, not with {error!r}")
    json.dumps(report.to_dict()).encode()
    assert all(skip.path and skip.place and skip.reason for skip in report.skipped)
    assert memory.get_pattern("kept").description == "Kept as it is"
    assert memory.get_event("e1").context == "kept context"


def _damaged(value: Any, data: st.DataObject) -> Any:
    """``value`` with one part of it, at any depth, replaced by anything."""
    inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    key, part = data.draw(st.sampled_from(inner), "where")
    deeper = isinstance(part, (dict, list)) and part and data.draw(st.booleans(), "deeper")
    changed = _damaged(part, data) if deeper else data.draw(values, "damage")
    if isinstance(value, dict):
        return value | {key: changed}
    return [changed if n == key else item for n, item in enumerate(value)]
