"""Lessons written to where agents read: AGENTS.md, skills, the graph of MCP's memory server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import orjson

from whatworks.errors import InvalidInputError, StoreError
from whatworks.exporters.files import write_text
from whatworks.exporters.lessons import Lesson
from whatworks.prompting import one_line

__all__ = ["END", "START", "write_block", "write_graph", "write_skills"]

START, END = "<!-- whatworks:start -->", "<!-- whatworks:end -->"
_BLOCK = re.compile(rf"{re.escape(START)}.*?{re.escape(END)}\n?", re.DOTALL)
# What the format allows: Agent Skills, name and description.
MOST_NAME, MOST_DESCRIPTION = 64, 1_024


def write_block(target: Path, lessons: Sequence[Lesson]) -> int:
    """Put the lessons into a Markdown file between two marks; all else in it stays as it is.

    Raises
    ------
    InvalidInputError
        One mark is there without the other.
    """
    before = _read(target) if target.exists() else ""
    counts = before.count(START), before.count(END), len(_BLOCK.findall(before))
    if counts not in ((0, 0, 0), (1, 1, 1)):
        raise InvalidInputError(f"{target} has the marks of a block not once each; mend or remove them")
    block = f"{START}\n{_markdown(lessons)}{END}\n"
    if START in before:
        after = _BLOCK.sub(lambda _: block, before)
    else:
        gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
        after = before + gap + block
    write_text(target, after)
    return len(lessons)


def _markdown(lessons: Sequence[Lesson]) -> str:
    lines = ["## What worked here", ""]
    lines += ["Written by whatworks from recorded outcomes; edits between the marks are lost.", ""]
    for works, title in ((True, "Worked better than most:"), (False, "Worked worse than most:")):
        rows = [lesson for lesson in lessons if lesson.works is works]
        if rows:
            lines += [
                title,
                "",
                *(f"- {one_line(row.pattern.description)}: {row.evidence}" for row in rows),
                "",
            ]
    if not lessons:
        lines += ["Nothing is certain yet.", ""]
    return "\n".join(lines)


def write_skills(folder: Path, lessons: Sequence[Lesson]) -> int:
    """A folder with a ``SKILL.md`` for each pattern that works; return how many.

    Those of an earlier call are replaced, also where a pattern no longer works.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {_name(lesson): lesson for lesson in lessons if lesson.works}
    for path in folder.glob("whatworks-*/SKILL.md"):
        if path.parent.name not in wanted and "whatworks-id:" in _read(path):
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
    for name, lesson in wanted.items():
        (folder / name).mkdir(exist_ok=True)
        write_text(folder / name / "SKILL.md", _skill(name, lesson))
    return len(wanted)


def _name(lesson: Lesson) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", lesson.pattern.description.lower()).strip("-")
    digest = re.sub(r"[^a-z0-9]", "", lesson.pattern.pattern_id.lower())[:8] or "pattern"
    return f"whatworks-{words[: MOST_NAME - 20].strip('-')}-{digest}".replace("--", "-")


def _skill(name: str, lesson: Lesson) -> str:
    pattern = lesson.pattern
    said = f"{one_line(pattern.description, 500)} - {lesson.evidence}"[:MOST_DESCRIPTION]
    return (
        f"---\nname: {name}\ndescription: {orjson.dumps(said).decode()}\nmetadata:\n"
        f"  whatworks-id: {orjson.dumps(pattern.pattern_id).decode()}\n---\n\n"
        f"# {one_line(pattern.description, 80)}\n\n{one_line(pattern.description, 4_000)}\n\n"
        f"Evidence: {lesson.evidence}.\n"
    )


def write_graph(target: Path, lessons: Sequence[Lesson]) -> int:
    """The lessons as entities of MCP's memory server (``memory.jsonl``); return how many.

    Entities and relations of others in the file stay.
    """
    kept = []
    for line in (_read(target) if target.exists() else "").splitlines():
        try:
            held = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InvalidInputError(f"{target} is no memory.jsonl: a line is no JSON") from error
        if not isinstance(held, dict) or held.get("entityType") != "whatworks-pattern":
            kept.append(line)
    made = [
        orjson.dumps(
            {
                "type": "entity",
                "name": lesson.pattern.pattern_id,
                "entityType": "whatworks-pattern",
                "observations": [one_line(lesson.pattern.description, 1_000), lesson.evidence],
            }
        ).decode()
        for lesson in lessons
    ]
    write_text(target, "".join(f"{line}\n" for line in [*kept, *made]), mode=0o600)
    return len(made)


def _read(path: Path) -> str:
    try:
        with path.open(newline="") as file:  # line ends stay as they are
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
