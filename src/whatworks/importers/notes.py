"""Notes of others, which say what to do and not whether it helped: they become untested patterns.

Rules and skills (``SKILL.md``, ``AGENTS.md``, ``CLAUDE.md``, Cursor's ``.mdc``), and other memories:
the graph of MCP's memory server, claude-mem, mem0, basic-memory. A note that an export of
whatworks has written is left out: what the memory said itself is no news to it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from whatworks.errors import InvalidInputError, MissingExtraError
from whatworks.exporters.teach import END, START
from whatworks.hooks.spool import trimmed
from whatworks.ids import content_id
from whatworks.importers.intake import Intake
from whatworks.importers.report import At, Report, printable
from whatworks.importers.walk import files_at
from whatworks.json_lines import objects
from whatworks.memory import Memory
from whatworks.records import NewPattern
from whatworks.text import clean_text

__all__ = ["import_notes"]

MAX_BYTES = 16 << 20
MAX_MARKDOWN_BYTES = 256 << 10  # brackets without end take its parser seconds
MAX_DATABASE_BYTES = 4 << 30
MAX_FILES = 10_000
MAX_NOTE = 4_000
NEEDED = "notes in Markdown need their extra: pip install 'whatworks[importers]'"
LEAST_WORDS = 3  # what is shorter is a heading or a path, not advice
SUFFIXES = (".md", ".mdc", ".json", ".jsonl", ".db")
_PASSED_OVER = {".git", "node_modules", ".venv", "venv", "__pycache__", "target", "dist", "build"}
_RULES = {"agents.md", "claude.md", "gemini.md", "copilot-instructions.md", ".cursorrules", "memory.md"}


@dataclass(frozen=True, slots=True)
class _Note:
    """A text, what it is in its own place, and what is known of it beside."""

    text: str
    kind: str
    place: str
    about: Mapping[str, Any] = field(default_factory=dict)


def import_notes(
    memory: Memory,
    path: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Import a file, or all rules, skills and memories below a folder, as patterns without tries.

    Parameters
    ----------
    path
        A file of at most 16 MiB (Markdown: 256 KiB, a database: 4 GiB), or a folder. In a folder
        other Markdown than rules, skills and the notes of basic-memory is
        passed over. Links are not followed.
    dry_run
        Find out what would be written, and write nothing.
    progress
        Called with the number of notes read since the last call.

    Raises
    ------
    InvalidInputError
        There is no such file or folder, or a file is none of these forms.
    MissingExtraError
        Markdown needs the extra ``importers``.
    """
    report = Report(read={"notes": 0, "files": 0})
    intake = Intake(memory, report, dry_run=dry_run)
    given = Path(path)
    files = files_at(
        given,
        _is_wanted,
        most=MAX_FILES,
        expected="rules, skills or a memory",
        passed_over=_PASSED_OVER,
    )
    for file in files:
        try:
            notes = _notes(file, named=file == given)
            for note in notes:
                report.read["notes"] += 1
                _take(intake, file, note)
                if progress and report.read["notes"] % 1_000 == 0:
                    progress(1_000)
        except (InvalidInputError, OSError, ValueError, RecursionError, sqlite3.Error) as error:
            if file == given:
                raise InvalidInputError(f"{printable(file)} cannot be imported: {error}") from error
            report.skip(At(printable(file), "file"), str(error))
            continue
        report.read["files"] += 1
    intake.finish()
    return report


def _take(intake: Intake, file: Path, note: _Note) -> None:
    description = clean_text(trimmed(note.text, intake.secrets), max_bytes=MAX_NOTE)
    if len(description.split()) < LEAST_WORDS:
        return
    # Text alone: what YAML makes of a few aliases would take for ever to write out.
    told = {name: value for name, value in note.about.items() if isinstance(value, str) and value}
    about = {
        name: clean_text(intake.secrets.redacted(value), max_bytes=500) for name, value in told.items()
    }
    pattern = NewPattern(
        description,
        note.kind,
        pattern_id=content_id(note.kind, description),
        metadata=about,
    )
    intake.pattern(At(printable(file), note.place), pattern)


# -- which files --------------------------------------------------------------------------------------


def _is_wanted(name: str) -> bool:
    return name.lower() in _RULES or name.lower().endswith(SUFFIXES)


def _notes(file: Path, *, named: bool) -> Iterable[_Note]:
    """The notes of a file; none of one that was not named itself and is of another kind."""
    suffix, size = file.suffix.lower(), file.stat().st_size
    if size > (MAX_DATABASE_BYTES if suffix == ".db" else MAX_BYTES):
        if suffix == ".json" and not named:
            return ()
        raise InvalidInputError(f"it has {size:,} bytes, more than are read")
    if suffix == ".db":
        return _claude_mem(file) if named or file.name == "claude-mem.db" else ()
    if suffix == ".jsonl":
        return _graph(file) if named or file.name == "memory.jsonl" else ()
    if suffix == ".json":
        return _mem0(file, named=named)
    return _markdown(file, named=named)


# -- memories -----------------------------------------------------------------------------------------


def _graph(file: Path) -> Iterator[_Note]:
    """The entities of MCP's memory server, an observation each; relations say nothing to do."""
    entities = 0
    for held in objects(file):
        if held.get("type") not in ("entity", "relation"):
            continue
        entities += 1
        kind = held.get("entityType")
        if held.get("type") == "relation" or kind == "whatworks-pattern":
            continue
        name = _text(held.get("name"))
        for number, said in enumerate(_list(held.get("observations")), 1):
            if isinstance(said, str):
                about = {"from": "mcp-memory", "entity": name, "kind": kind}
                yield _Note(": ".join(filter(None, (name, said))), "memory", f"{name} {number}", about)
    if not entities:
        raise InvalidInputError("it has no entity of MCP's memory server in it")


def _claude_mem(file: Path) -> Iterator[_Note]:
    """The observations of claude-mem's database, which is opened to read only."""
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as con:
        con.execute("PRAGMA query_only = 1")
        con.text_factory = lambda raw: raw.decode(errors="replace")
        kind = con.execute("SELECT type FROM sqlite_master WHERE name = 'observations'").fetchone()
        if kind is None or kind[0] != "table":  # a view may go on for ever
            raise InvalidInputError("it has no observations of claude-mem in it")
        names = {row[1] for row in con.execute("PRAGMA table_info(observations)")}
        if not {"id", "title"} <= names:
            raise InvalidInputError("it has no observations of claude-mem in it")
        wanted = [
            name
            for name in ("id", "type", "title", "subtitle", "narrative", "project")
            if name in names
        ]
        for row in con.execute(f"SELECT {', '.join(wanted)} FROM observations ORDER BY id"):
            held = dict(zip(wanted, row, strict=True))
            said = _text(held.get("subtitle")) or _text(held.get("narrative"))
            text = ": ".join(filter(None, (_text(held.get("title")), said)))
            about = {"from": "claude-mem", "kind": held.get("type"), "project": held.get("project")}
            yield _Note(text, "memory", f"observation {held['id']}", about)


def _mem0(file: Path, *, named: bool) -> Iterator[_Note]:
    """What ``get_all()`` of mem0 gives: ``results`` with a ``memory`` each."""
    try:
        held = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        if named:
            raise InvalidInputError(f"it is no JSON: {error}") from error
        return
    rows = held.get("results") if isinstance(held, dict) else held
    found = [row for row in _list(rows) if isinstance(row, dict) and isinstance(row.get("memory"), str)]
    if not found and named:
        raise InvalidInputError("it has no memories of mem0 in it")
    for number, row in enumerate(found, 1):
        yield _Note(row["memory"], "memory", f"memory {number}", {"from": "mem0", "id": row.get("id")})


# -- Markdown -----------------------------------------------------------------------------------------


def _markdown(file: Path, *, named: bool) -> Iterator[_Note]:
    size = file.stat().st_size
    if size > MAX_MARKDOWN_BYTES:
        if not named and file.name.lower() not in (*_RULES, "skill.md"):
            return
        raise InvalidInputError(f"it has {size:,} bytes; at most {MAX_MARKDOWN_BYTES:,} are read")
    text = file.read_text(encoding="utf-8", errors="replace")
    name = file.name.lower()
    if name == "skill.md":
        head, _ = _front(text)
        if "whatworks-id" not in text.split("\n---", 1)[0]:
            about = {"from": "skill", "name": head.get("name")}
            yield _Note(_text(head.get("description")), "skill", "description", about)
        return
    if name in _RULES or file.suffix.lower() == ".mdc":
        yield from _rules(text)
        return
    head, body = _front(text) if text.startswith("---") else ({}, text)
    if "permalink" in head:
        yield from _basic_memory(head, body)
    elif "id" in head and "confidence" in head:
        yield from _mem0_export(text)
    elif named:
        yield from _rules(text)


def _front(text: str) -> tuple[dict[str, Any], str]:
    try:
        import frontmatter
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtraError(NEEDED) from error
    try:
        held = frontmatter.loads(text)
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInputError(f"its front matter is no YAML: {error}") from error
    return dict(held.metadata), str(held.content)


def _rules(text: str) -> Iterator[_Note]:
    """Each item of a list and each paragraph, under its heading; without the block of whatworks."""
    _, body = _front(text)
    before, mark, rest = body.partition(START)
    body = before + (rest.partition(END)[2] if mark else "")
    heading = ""
    for line, said, is_heading in _blocks(body):
        if is_heading:
            heading = said
        else:
            yield _Note(said, "rule", f"line {line}", {"from": "rules", "heading": heading})


def _basic_memory(head: Mapping[str, Any], body: str) -> Iterator[_Note]:
    """Observations as basic-memory writes them: ``- [category] fact #tag (context)``."""
    for line, said, is_heading in _blocks(body):
        category, bracket, fact = said.removeprefix("[").partition("] ")
        if not is_heading and bracket and said.startswith("[") and not said.startswith("[["):
            about = {"from": "basic-memory", "kind": category, "title": head.get("title")}
            yield _Note(fact, "memory", f"line {line}", about)


def _mem0_export(text: str) -> Iterator[_Note]:
    """The blocks of mem0's export: front matter and a text, one after another."""
    parts = text.split("\n---\n")
    parts[0] = parts[0].removeprefix("---\n")
    for number, (head, said) in enumerate(zip(parts[::2], parts[1::2], strict=False), 1):
        about, _ = _front(f"---\n{head}\n---\n")
        yield _Note(
            said.strip().removesuffix("---").strip(), "memory", f"memory {number}",
            {"from": "mem0", "id": about.get("id"), "kind": about.get("type")},
        )  # fmt: skip


def _blocks(text: str) -> Iterator[tuple[int, str, bool]]:
    """Line, text and whether it is a heading, of each paragraph and item; code is passed over."""
    try:
        from markdown_it import MarkdownIt
    except ModuleNotFoundError as error:
        raise MissingExtraError(NEEDED) from error
    heading = False
    for token in MarkdownIt().parse(text):
        if token.type == "heading_open":
            heading = True
        elif token.type == "inline":
            said = " ".join(token.content.split())
            if said:
                yield (token.map or [0])[0] + 1, said, heading
            heading = False


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
