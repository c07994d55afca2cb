"""Rules, skills and other memories become patterns that nobody has tried."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from whatworks import InvalidInputError, Memory
from whatworks.exporters.lessons import lessons
from whatworks.exporters.teach import write_block, write_graph, write_skills
from whatworks.importers.notes import import_notes

AGENTS = """\
# Working here

Run the linter before every commit, it is quick.

## Tests

- Use `make test`, not pytest alone
- A test that fails at night depends on the time zone

```sh
make everything and more words
```
"""
SKILL = """\
---
name: release
description: Make a release only after the changelog has an entry for it.
---

# How
"""
MDC = """\
---
description: Style of the parser
globs: ["src/parser/**"]
alwaysApply: true
---
- Errors of the parser carry the line they are of
"""
BASIC = """\
---
title: Brewing
type: note
permalink: coffee/brewing
---
# Brewing

## Observations
- [technique] Bloom the grounds for thirty seconds #pour (filter coffee)

## Relations
- relates_to [[Coffee beans and water]]
"""
MEM0 = """\
---
id: 11
type: preference
confidence: 0.9
---
Prefers small commits with tests
---
id: 12
type: fact
confidence: 0.8
---
The staging server restarts at four
---
"""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        yield opened


def known(memory: Memory) -> set[tuple[str, str]]:
    return {(pattern.pattern_type, pattern.description) for pattern in memory.patterns()}


def markdown(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def graph(path: Path) -> None:
    rows = [
        {
            "type": "entity",
            "name": "parser",
            "entityType": "module",
            "observations": ["Breaks on tabs"],
        },
        {"type": "relation", "from": "parser", "to": "lexer", "relationType": "uses"},
        {
            "type": "entity",
            "name": "p1",
            "entityType": "whatworks-pattern",
            "observations": ["a b c d"],
        },
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def claude_mem(path: Path) -> None:
    with closing(sqlite3.connect(path)) as con:
        con.execute(
            "CREATE TABLE observations (id INTEGER PRIMARY KEY, project TEXT, type TEXT, title TEXT, "
            "subtitle TEXT, narrative TEXT)"
        )
        con.execute(
            "INSERT INTO observations VALUES (1, 'shop', 'bugfix', 'Pinned the clock in tests', "
            "'They failed at midnight', 'long story')"
        )
        con.commit()


def mem0(path: Path) -> None:
    held = {
        "count": 1,
        "results": [{"id": "m1", "memory": "Likes answers with a figure", "metadata": {}}],
    }
    path.write_text(json.dumps(held))


RULES = {
    ("rule", "Run the linter before every commit, it is quick."),
    ("rule", "Use `make test`, not pytest alone"),
    ("rule", "A test that fails at night depends on the time zone"),
}
FORMS: dict[str, tuple[str, Callable[[Path], object], set[tuple[str, str]]]] = {
    "rules": ("AGENTS.md", markdown(AGENTS), RULES),
    "rules of Claude": ("CLAUDE.md", markdown(AGENTS), RULES),
    "a skill": (
        "SKILL.md",
        markdown(SKILL),
        {("skill", "Make a release only after the changelog has an entry for it.")},
    ),
    "rules of Cursor": (
        "parser.mdc",
        markdown(MDC),
        {("rule", "Errors of the parser carry the line they are of")},
    ),
    "basic-memory": (
        "brewing.md",
        markdown(BASIC),
        {("memory", "Bloom the grounds for thirty seconds #pour (filter coffee)")},
    ),
    "an export of mem0": (
        "mem0-export.md",
        markdown(MEM0),
        {
            ("memory", "Prefers small commits with tests"),
            ("memory", "The staging server restarts at four"),
        },
    ),
    "MCP's memory server": ("memory.jsonl", graph, {("memory", "parser: Breaks on tabs")}),
    "claude-mem": (
        "claude-mem.db",
        claude_mem,
        {("memory", "Pinned the clock in tests: They failed at midnight")},
    ),
    "mem0": ("all.json", mem0, {("memory", "Likes answers with a figure")}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("named", [True, False], ids=["file", "folder"])
def test_each_form_is_read_and_the_same_again_writes_nothing(
    form: str, named: bool, memory: Memory, tmp_path: Path
) -> None:
    name, write, expected = FORMS[form]
    (tmp_path / "notes").mkdir()
    file = tmp_path / "notes" / name
    write(file)
    given = file if named else file.parent
    assert import_notes(memory, given, dry_run=True).written["patterns"] == len(expected)
    assert known(memory) == set()
    report = import_notes(memory, given)
    assert (report.skipped, known(memory)) == ([], expected)
    assert import_notes(memory, given).written["patterns"] == 0
    assert memory.stats().events == 0
    assert {answer.resolved_count for answer in memory.patterns()} == {0}


def test_a_note_says_where_it_is_from(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "AGENTS.md").write_text(AGENTS)
    import_notes(memory, tmp_path / "AGENTS.md")
    about = {pattern.description: dict(pattern.metadata) for pattern in memory.patterns()}
    assert about["Use `make test`, not pytest alone"] == {"from": "rules", "heading": "Tests"}


def test_a_rule_that_stands_in_two_files_is_one_pattern(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    for name in ("AGENTS.md", "CLAUDE.md"):
        (tmp_path / "rules" / name).write_text(AGENTS)
    assert import_notes(memory, tmp_path / "rules").skipped == []
    assert known(memory) == RULES


def test_in_a_folder_other_markdown_and_what_packages_bring_is_passed_over(
    memory: Memory, tmp_path: Path
) -> None:
    for name in ("README.md", "node_modules/AGENTS.md", ".git/AGENTS.md"):
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(AGENTS)
    (tmp_path / "project" / "package.json").write_text('{"name": "shop"}')
    (tmp_path / "elsewhere.md").write_text(AGENTS)
    (tmp_path / "project" / "CLAUDE.md").symlink_to(tmp_path / "elsewhere.md")
    report = import_notes(memory, tmp_path / "project")
    assert (report.skipped, report.read["notes"]) == ([], 0)
    assert report.left == {"links": 1, "others": 1}  # the link, and README.md


def test_what_the_memory_taught_is_no_news_to_it(memory: Memory, tmp_path: Path) -> None:
    memory.add_pattern("clear the cache of the build", pattern_id="good")
    memory.add_pattern("wait and hope for the best", pattern_id="bad")
    for _ in range(20):
        memory.record("good", outcome=1.0)
        memory.record("bad", outcome=0.0)
    found = lessons(memory, limit=10)
    assert found
    folder = tmp_path / "taught"
    folder.mkdir()
    (folder / "AGENTS.md").write_text(AGENTS)
    write_block(folder / "AGENTS.md", found)
    write_skills(folder / "skills", found)
    write_graph(folder / "memory.jsonl", found)
    before = memory.stats().patterns
    import_notes(memory, folder)
    assert memory.stats().patterns == before + len(RULES)


# -- hostile ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.json", b"nonsense"),
        ("a.json", b"[" * 100_000),
        ("a.json", b'{"results": 7}'),
        ("memory.jsonl", b"nonsense\n"),
        ("a.db", b"no database at all"),
        ("SKILL.md", b"---\nname: [\n---\n"),
        ("SKILL.md", b"---\nname: !!python/object/apply:os.system ['touch owned']\n---\n"),
    ],
)
def test_what_is_none_of_these_is_refused_and_changes_nothing(
    name: str, body: bytes, memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(body)
    with pytest.raises(InvalidInputError):
        import_notes(memory, tmp_path / name)
    assert memory.stats().patterns == 0
    assert not (tmp_path / "owned").exists()


def test_one_bad_file_of_a_folder_is_named_and_the_others_are_read(
    memory: Memory, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "SKILL.md").write_text("---\nname: [\n---\n")
    (tmp_path / "a" / "claude-mem.db").write_bytes(b"broken" * 100)
    (tmp_path / "a" / "AGENTS.md").write_bytes(
        AGENTS.encode() + b"\n- Bytes that are \xff\xfe no text\n"
    )
    report = import_notes(memory, tmp_path / "a")
    assert sorted(Path(skip.path).name for skip in report.skipped) == ["SKILL.md", "claude-mem.db"]
    assert known(memory) >= RULES


def test_a_database_is_read_and_not_written(memory: Memory, tmp_path: Path) -> None:
    claude_mem(tmp_path / "claude-mem.db")
    before = (tmp_path / "claude-mem.db").read_bytes()
    (tmp_path / "claude-mem.db").chmod(0o400)
    import_notes(memory, tmp_path / "claude-mem.db")
    assert (tmp_path / "claude-mem.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"claude-mem.db", "store"}


def test_values_of_wrong_kinds_take_nothing_with_them(memory: Memory, tmp_path: Path) -> None:
    rows: list[Any] = [
        {"type": "entity", "name": 7, "observations": [1, None, "One that can be read"]},
        {"type": "entity", "observations": "no list of them"},
        {"type": 7},
    ]
    file = tmp_path / "memory.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_notes(memory, file)
    assert known(memory) == {("memory", "One that can be read")}


def test_secrets_and_hidden_characters_do_not_come_along(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "AGENTS.md").write_text(
        "- Log in with password=hunter2secret at\u200b the\x07 console\n"
    )
    import_notes(memory, tmp_path / "AGENTS.md")
    (pattern,) = memory.patterns()
    assert "hunter2secret" not in pattern.description and "\x07" not in pattern.description


def test_a_database_whose_rows_never_end_is_refused_at_once(memory: Memory, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "claude-mem.db")) as con:
        con.execute(
            "CREATE VIEW observations AS WITH RECURSIVE n(id) AS "
            "(SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, 'title' AS title FROM n"
        )
    with pytest.raises(InvalidInputError, match="no observations"):
        import_notes(memory, tmp_path / "claude-mem.db")


def test_a_title_that_is_no_text_costs_no_other_one(memory: Memory, tmp_path: Path) -> None:
    claude_mem(tmp_path / "claude-mem.db")
    with closing(sqlite3.connect(tmp_path / "claude-mem.db")) as con:
        con.execute("INSERT INTO observations (id, title) VALUES (2, CAST(x'fffe41' AS TEXT))")
        con.commit()
    import_notes(memory, tmp_path / "claude-mem.db")
    assert known(memory) == FORMS["claude-mem"][2]


@pytest.mark.timeout(20)
def test_aliases_that_multiply_and_brackets_without_end_take_no_time(
    memory: Memory, tmp_path: Path
) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    head = "\n".join([*levels, "name: *a8", "description: Aliases are nine to the ninth"])
    (tmp_path / "SKILL.md").write_text(f"---\n{head}\n---\n")
    import_notes(memory, tmp_path / "SKILL.md")
    assert known(memory) == {("skill", "Aliases are nine to the ninth")}
    (tmp_path / "AGENTS.md").write_text("[" * (1 << 20))
    with pytest.raises(InvalidInputError, match="at most 262,144"):
        import_notes(memory, tmp_path / "AGENTS.md")


HEADS = ["&confidence: 0.5", "1: one", "? [a]\n: b", "!!python/object:os.x {}", "- a"]


@pytest.mark.parametrize("head", HEADS)
def test_front_matter_whose_keys_are_no_names_is_refused_or_read(
    head: str, memory: Memory, tmp_path: Path
) -> None:
    """The first was found by fuzzing."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.md").write_text(f"---\nid: 1\n{head}\n---\nalways run the tests\n")
    report = import_notes(memory, tmp_path / "notes")
    assert report.read["files"] + len(report.skipped) == 1
    assert all("\n" not in skip.reason for skip in report.skipped)


def test_what_is_left_out_of_a_folder_is_counted_and_named(memory: Memory, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    (notes / "skills").mkdir(parents=True)
    (notes / "AGENTS.md").write_text("- Run the linter before every commit\n- Be quick\n")
    (notes / "CLAUDE.md").symlink_to("AGENTS.md")
    (notes / "skills" / "linked").symlink_to(tmp_path)
    (notes / "picture.png").symlink_to("AGENTS.md")  # no note, wherever it leads
    os.mkfifo(notes / "memory.jsonl")
    report = import_notes(memory, notes)
    assert report.left == {"links": 2, "short": 1}
    named = {(Path(item.path).name, item.place) for item in report.left_at}
    assert named == {("CLAUDE.md", "link"), ("linked", "link"), ("AGENTS.md", "line 2")}
    [skip] = report.skipped
    assert skip.path.endswith("memory.jsonl") and "pipe" in skip.reason
    assert known(memory) == {("rule", "Run the linter before every commit")}
    assert report.to_dict()["left"] == report.left
