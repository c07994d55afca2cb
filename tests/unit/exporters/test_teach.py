"""What is certain is written where agents read, and nothing else there is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from whatworks import InvalidInputError, Memory
from whatworks.exporters.lessons import Lesson, lessons
from whatworks.exporters.teach import END, START, write_block, write_graph, write_skills


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        for name, worked, failed in (
            ("good", 38, 2), ("bad", 2, 38), ("middling", 20, 20), ("new", 3, 0), ("untried", 0, 0),
        ):  # fmt: skip
            opened.add_pattern(f"do it the {name} way", pattern_id=name)
            for outcome, count in ((1.0, worked), (0.0, failed)):
                opened.record_many({"pattern_id": name, "outcome": outcome} for _ in range(count))
        yield opened


@pytest.fixture
def learned(memory: Memory) -> list[Lesson]:
    return lessons(memory, limit=10)


def test_only_what_is_surely_better_or_worse_is_a_lesson(learned: list[Lesson]) -> None:
    assert [(one.pattern.pattern_id, one.works) for one in learned] == [("good", True), ("bad", False)]
    assert learned[0].evidence == "worked 95% of 40 tries (95 % interval 85% to 99%)"


def test_a_store_without_tries_teaches_nothing(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "empty", embedder="none") as empty:
        assert lessons(empty, limit=10) == []
    assert write_block(tmp_path / "AGENTS.md", []) == 0
    assert "Nothing is certain yet." in (tmp_path / "AGENTS.md").read_text()


@pytest.mark.parametrize("before", ["", "# Mine\n", "# Mine", f"a\n{START}\nold\n{END}\nb\n"])
def test_the_block_is_replaced_and_all_else_stays(
    before: str, learned: list[Lesson], tmp_path: Path
) -> None:
    target = tmp_path / "AGENTS.md"
    target.write_text(before)
    write_block(target, learned)
    once = target.read_text()
    write_block(target, learned)
    assert target.read_text() == once
    assert once.count(START) == once.count(END) == 1
    assert "- do it the good way: worked 95% of 40 tries" in once
    assert "old" not in once
    rest = once[: once.index(START)] + once[once.index(END) + len(END) + 1 :]
    assert rest.rstrip("\n") == before.replace(f"{START}\nold\n{END}\n", "").rstrip("\n")


@pytest.mark.parametrize("before", [START, END, f"{START}{END}{START}{END}"])
def test_marks_that_are_not_a_pair_are_left_alone(
    before: str, learned: list[Lesson], tmp_path: Path
) -> None:
    target = tmp_path / "AGENTS.md"
    target.write_text(before)
    with pytest.raises(InvalidInputError, match="not once each"):
        write_block(target, learned)
    assert target.read_text() == before


def test_each_pattern_that_works_becomes_a_skill(learned: list[Lesson], tmp_path: Path) -> None:
    folder = tmp_path / "skills"
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "SKILL.md").write_text("mine")
    assert write_skills(folder, learned) == 1
    (path,) = folder.glob("whatworks-*/SKILL.md")
    _, header, body = path.read_text().split("---\n")
    skill = dict(line.strip().split(": ", 1) for line in header.splitlines() if ": " in line)
    assert skill["name"] == path.parent.name
    assert len(path.parent.name) <= 64
    assert json.loads(skill["description"]).startswith("do it the good way - worked 95%")
    assert json.loads(skill["whatworks-id"]) == "good"
    assert "Evidence: worked 95% of 40 tries" in body
    assert write_skills(folder, []) == 0
    assert [path.name for path in folder.iterdir()] == ["own"]


def test_the_graph_of_others_stays(learned: list[Lesson], tmp_path: Path) -> None:
    target, theirs = tmp_path / "memory.jsonl", '{"type":"entity","name":"x","entityType":"person"}'
    target.write_text(theirs + "\n")
    for _ in range(2):
        assert write_graph(target, learned) == 2
    first, *made = target.read_text().splitlines()
    assert first == theirs
    assert [json.loads(line)["name"] for line in made] == ["good", "bad"]
