"""Rules, skills and other memories: the notes in their files, which say what to do.

``SKILL.md``, ``AGENTS.md``, ``CLAUDE.md``, Cursor's ``.mdc``; the graph of MCP's memory server,
claude-mem, mem0, basic-memory.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from whatworks.errors import InvalidInputError, MissingExtraError
from whatworks.json_lines import objects
from whatworks.readers.items import Fault, Item, Link, Read, printable
from whatworks.readers.walk import files_at, opened

__all__ = ["OTHERS", "Items", "Note", "read"]

MAX_BYTES = 16 << 20
MAX_MARKDOWN_BYTES = 256 << 10  # brackets without end take its parser seconds
MAX_DATABASE_BYTES = 4 << 30
MAX_FILES = 10_000
NEEDED = "notes in Markdown need their extra: pip install 'whatworks[importers]'"
SUFFIXES = (".md", ".mdc", ".json", ".jsonl", ".db")
_PASSED_OVER = {".git", "node_modules", ".venv", "venv", "__pycache__", "target", "dist", "build"}
_RULES = {"agents.md", "claude.md", "gemini.md", "copilot-instructions.md", ".cursorrules", "memory.md"}


class Note(Item, frozen=True):
    """A text, what it is in its own place, and what is known of it beside."""

    path: str
    place: str
    text: str
    kind: str
    about: dict[str, str]


Items = Note | Fault | Link | Read
# Files that were read, and Markdown in a folder that is of no known form.
FILES, OTHERS = "files", "others"


def read(path: str, marks: Sequence[str]) -> Iterator[Note | Fault | Link | Read]:
    """The notes of a file, or of all rules, skills and memories below a folder; links are not followed.

    Parameters
    ----------
    marks
        Between which whatworks itself writes into rules; that is left out.

    Raises
    ------
    InvalidInputError
        There is no such file or folder, or a file that was named is none of these forms.
    MissingExtraError
        Markdown needs the extra ``importers``.
    """
    given = Path(path)
    files = files_at(
        given,
        _is_wanted,
        most=MAX_FILES,
        expected="rules, skills or a memory",
        passed_over=_PASSED_OVER,
    )
    for file in files:
        if isinstance(file, Fault | Link):
            yield file
            continue
        name = printable(file)
        kind = OTHERS if file.suffix.lower() == ".md" and file != given else FILES
        try:
            for note in _notes(file, marks, named=file == given):
                kind = FILES
                yield Note(name, note.place, note.text, note.kind, _told(note.about))
        except MissingExtraError:
            raise
        except (InvalidInputError, OSError, ValueError, RecursionError, sqlite3.Error) as error:
            if file == given:
                raise InvalidInputError(f"{name} cannot be imported: {error}") from error
            yield Fault(name, "file", str(error))
            continue
        yield Read(kind)


def _told(about: Mapping[str, Any]) -> dict[str, str]:
    """Text alone: what YAML makes of a few aliases would take for ever to write out."""
    return {name: value for name, value in about.items() if isinstance(value, str) and value}


class _Note(NamedTuple):
    """A note of a file that is known, with whatever is known of it."""

    text: str
    kind: str
    place: str
    about: Mapping[str, Any]


# -- which files --------------------------------------------------------------------------------------


def _is_wanted(name: str) -> bool:
    return name.lower() in _RULES or name.lower().endswith(SUFFIXES)


def _notes(file: Path, marks: Sequence[str], *, named: bool) -> Iterable[_Note]:
    """The notes of a file; none of one that was not named itself and is of another kind."""
    suffix = file.suffix.lower()
    with opened(file) as begun:
        size = os.fstat(begun.fileno()).st_size
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
    return _markdown(file, marks, named=named)


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
    with closing(_database(file)) as con:
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


def _database(file: Path) -> sqlite3.Connection:
    """One whose log is empty is read as a file that nobody changes: beside it nothing may be made."""
    log = Path(f"{file}-wal")
    idle = not log.exists() or log.stat().st_size == 0
    uri = f"{file.absolute().as_uri()}?mode=ro{'&immutable=1' if idle else ''}"
    con = sqlite3.connect(uri, uri=True)
    con.execute("PRAGMA query_only = 1")
    return con


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


def _markdown(file: Path, marks: Sequence[str], *, named: bool) -> Iterator[_Note]:
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
        yield from _rules(text, marks)
        return
    head, body = _front(text) if text.startswith("---") else ({}, text)
    if "permalink" in head:
        yield from _basic_memory(head, body)
    elif "id" in head and "confidence" in head:
        yield from _mem0_export(text)
    elif named:
        yield from _rules(text, marks)


def _front(text: str) -> tuple[dict[str, Any], str]:
    try:
        import frontmatter
    except ModuleNotFoundError as error:
        raise MissingExtraError(NEEDED) from error
    try:
        held = frontmatter.loads(text)
    except Exception as error:  # YAML has keys that are no names, and its parser errors of its own
        raise InvalidInputError(f"its front matter is no YAML: {error}") from error
    return dict(held.metadata), str(held.content)


def _rules(text: str, marks: Sequence[str]) -> Iterator[_Note]:
    """Each item of a list and each paragraph, under its heading; without the block of whatworks."""
    _, body = _front(text)
    before, mark, rest = body.partition(marks[0])
    body = before + (rest.partition(marks[1])[2] if mark else "")
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
