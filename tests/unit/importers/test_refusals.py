"""What no importer reads, however it is named: archives, pipes, and what links lead to."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.reading import read_here
from whatworks import InvalidInputError, Memory
from whatworks.confined import paths
from whatworks.importers import Report, import_files, import_jsonl, import_table
from whatworks.importers.junit import import_tests
from whatworks.importers.notes import import_notes
from whatworks.importers.scores import import_scores
from whatworks.importers.transcripts import import_transcripts
from whatworks.readers import apart
from whatworks.readers.notes import Items

SECRET = "the neighbours keep their key below the mat"
COLUMNS = {"pattern": "p", "outcome": "o"}


def table(memory: Memory, path: Path) -> Report:
    return import_table(memory, path, columns=COLUMNS)


# Each importer with the names of files that it reads.
IMPORTERS: list[tuple[Callable[[Memory, Path], Report], str]] = [
    (import_jsonl, "a.jsonl"),
    (import_tests, "a.xml"),
    (import_tests, "a.jsonl"),
    (table, "a.csv"),
    (table, "a.jsonl"),
    (table, "a.parquet"),
    (import_notes, "AGENTS.md"),
    (import_notes, "memory.jsonl"),
    (import_notes, "a.json"),
    (import_notes, "claude-mem.db"),
    (import_transcripts, "a.jsonl"),
    (import_transcripts, "a.json"),
    (import_scores, "a.jsonl"),
    (import_scores, "a.json"),
    (import_scores, "a.parquet"),
]
NAMES = [f"{importer.__name__} {name}" for importer, name in IMPORTERS]
FOLDERS = [pair for pair in IMPORTERS if pair[0] in (import_notes, import_transcripts, import_scores)]


def archives() -> dict[str, bytes]:
    inner = SECRET.encode() * 100
    zipped, taken = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../AGENTS.md", inner)
    with tarfile.open(fileobj=taken, mode="w") as tape:
        about = tarfile.TarInfo("../../AGENTS.md")
        about.size = len(inner)
        tape.addfile(about, io.BytesIO(inner))
    return {
        "ZIP": zipped.getvalue(),
        "tar": taken.getvalue(),
        "gzip": gzip.compress(inner),
        "bzip2": bz2.compress(inner),
        "xz": lzma.compress(inner),
    }


ARCHIVES = archives()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "store", embedder="none") as opened:
        yield opened


def said(importer: Any, memory: Memory, path: Path) -> str:
    """Why a file was not read; no importer may have written anything."""
    try:
        with read_here():
            report = importer(memory, path)
        reasons = " ".join(skip.reason for skip in report.skipped)
    except InvalidInputError as error:
        reasons = str(error)
    assert memory.stats().patterns == memory.stats().events == 0
    return reasons


@pytest.mark.parametrize(("importer", "name"), IMPORTERS, ids=NAMES)
def test_archives_are_refused_whatever_their_name(
    importer: Any, name: str, memory: Memory, tmp_path: Path
) -> None:
    for kind, content in ARCHIVES.items():
        (tmp_path / name).write_bytes(content)
        assert f"is an archive ({kind}); unpack it first" in said(importer, memory, tmp_path / name)


def test_an_archive_in_a_file_based_memory_is_one_skip(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "patterns").mkdir()
    for kind, content in ARCHIVES.items():
        (tmp_path / "patterns" / f"{kind}.json").write_bytes(content)
    report = import_files(memory, tmp_path)
    assert len(report.skipped) == len(ARCHIVES)
    assert memory.stats().patterns == 0


@pytest.mark.parametrize(("importer", "name"), IMPORTERS, ids=NAMES)
def test_a_pipe_is_refused_and_not_waited_for(
    importer: Any, name: str, memory: Memory, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / name)
    assert "no " in said(importer, memory, tmp_path / name)


@pytest.mark.parametrize(("importer", "name"), FOLDERS, ids=[f"{i.__name__} {n}" for i, n in FOLDERS])
def test_a_link_in_a_folder_leads_nowhere(
    importer: Any, name: str, memory: Memory, tmp_path: Path
) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / name).write_text(f"- {SECRET}\n")
    (inside / name).symlink_to(outside / name)
    (inside / "folder").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    assert SECRET not in said(importer, memory, inside)


@pytest.mark.parametrize("name", ["AGENTS.md", "folder"])
def test_a_file_that_becomes_a_link_while_it_is_read_is_kept_out_by_the_kernel(
    name: str, memory: Memory, tmp_path: Path
) -> None:
    """A reader that was taken over, or was too slow to look: it opens what it was not given."""
    if not paths.known():
        pytest.skip("this kernel has no rules on files")
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "AGENTS.md").write_text(f"- {SECRET}\n")
    (inside / name).symlink_to(outside if name == "folder" else outside / name)
    given = {"path": str(inside / name), "marks": ["<", ">"]}
    found: list[Any] = []
    with suppress(InvalidInputError):
        found += apart.read("notes", Items, given, below=[inside])
    assert SECRET not in repr(found)
    wide = list(apart.read("notes", Items, given, below=[tmp_path]))  # the same, allowed
    assert SECRET in repr(wide)
