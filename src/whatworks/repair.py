"""What opening a store mends by itself, done by hand, and a word on each thing that was done.

Nothing is thrown away that is nowhere else: what is cut out of the journal and
files that could not be read go into the folder ``quarantine`` of the store.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from whatworks import config, doctor, failpoints, journal, system
from whatworks.errors import NotFoundError, StoreError, WhatWorksError, disk_error
from whatworks.lock import KeeperLock

__all__ = ["QUARANTINE", "Repair", "repair"]

QUARANTINE, REPORT = "quarantine", "report.txt"


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that was mended: in which layer, and what was done."""

    layer: str
    message: str


def repair(path: str | os.PathLike[str] | None = None) -> list[Repair]:
    """Mend what can be mended of the store at ``path``; return what was done, in order.

    Records of the journal that are damaged cannot be, and are left where they
    are. Empty if there was nothing to do.

    Parameters
    ----------
    path
        Folder of the store; without it, the one that ``Memory.open`` would take.

    Raises
    ------
    NotFoundError
        There is no store.
    StoreBusyError
        Somebody has the store open; nothing was touched.
    StoreError
        The disk refuses; what was done until then is done.
    """
    folder = config.locate(path)
    if not folder.is_dir():
        raise NotFoundError(f"there is no store in {folder}: create one with whatworks init")
    if not (folder / "journal").is_dir():
        raise StoreError(f"{folder / 'journal'} is missing: restore it from a backup")
    try:
        with _owned(folder):
            done = [*_modes(folder), *_left_overs(folder), *_torn_ends(folder)]
        if _configured(folder):  # else the next examination says so
            done += _evidence(folder)
            with _owned(folder):
                done += [*_vectors(folder), *_set_aside(folder)]
    except OSError as error:
        raise disk_error(error, f"repair {folder}") from error
    return done


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    lock = KeeperLock(folder)
    try:
        yield
    finally:
        lock.release()


def _configured(folder: Path) -> bool:
    with suppress(StoreError, NotFoundError):
        return config.load(folder).format > 0
    return False


# -- files ----------------------------------------------------------------------------------------


def _modes(folder: Path) -> Iterator[Repair]:
    """The folder keeps others out, whatever lies in it; so do the files, but for those of engines."""
    closed: list[str] = []
    engines = folder / "vectors"
    for path in [folder, *folder.rglob("*")]:
        if engines in (path, *path.parents):
            continue
        mode = path.lstat().st_mode
        right = 0o700 if stat.S_ISDIR(mode) else 0o600
        if (stat.S_ISDIR(mode) or stat.S_ISREG(mode)) and stat.S_IMODE(mode) & 0o077:
            path.chmod(right)
            closed.append(str(path.relative_to(folder.parent)))
    if closed:
        more = f" and {len(closed) - 3:,} more" if len(closed) > 3 else ""
        yield Repair("folder", f"closed to other users: {', '.join(closed[:3])}{more}")


def _left_overs(folder: Path) -> Iterator[Repair]:
    """What interrupted work has left: drafts of files, and vectors of an earlier generation."""
    found = [*folder.rglob("*.tmp"), *folder.glob("evidence.duckdb.new*")]
    try:
        named = config.load(folder).generations()
        found += [path for path in (folder / "vectors").glob("*") if path.name not in named]
    except WhatWorksError:
        pass  # without store.json nobody knows which are current
    for path in found:
        _remove(path)
        yield Repair(
            "folder", f"{path.relative_to(folder)}, left over from interrupted work, is removed"
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# -- journal --------------------------------------------------------------------------------------


def _torn_ends(folder: Path) -> Iterator[Repair]:
    for segment in journal.segments(folder / "journal"):
        file = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if system.try_lock(file):  # else somebody writes it, without being the keeper
                yield from _torn_end(folder, segment, file)
        finally:
            os.close(file)


def _torn_end(folder: Path, segment: journal.Segment, file: int) -> Iterator[Repair]:
    end = 0
    for record in journal.read(segment):
        end = record.end
    size = os.fstat(file).st_size
    tail = os.pread(file, size - end, end)
    if not tail or tail == journal.SEALED:
        return
    kept = _quarantine(folder) / f"{segment.name}.from-{end}"
    config.replace_file(kept, tail)
    _report(folder, f"{kept.name}: {len(tail)} bytes cut off {segment.name} at byte {end}")
    failpoints.reached("repair.quarantined")
    os.ftruncate(file, end)
    os.fsync(file)
    failpoints.reached("repair.cut")
    yield Repair(
        "journal",
        f"{len(tail):,} bytes that were never acknowledged are cut off the end of {segment.name}, "
        f"and kept in {QUARANTINE}/{kept.name}",
    )


# -- views of the journal -------------------------------------------------------------------------


def _evidence(folder: Path) -> Iterator[Repair]:
    """Open the store as anyone would, and make the evidence anew if it does not add up then."""
    from whatworks.memory import Memory

    before = _audit(folder)
    with Memory.open(folder, embedder="none", create=False) as memory:
        memory.stats()
        wrong = "; ".join(before.faults)
        if before.build is not None and before.faults:
            memory.rebuild()
    after = _audit(folder)
    if before.build != after.build:
        yield Repair("evidence", f"made anew from the journal: {wrong}")
    failpoints.reached("repair.evidence")


@dataclass(frozen=True, slots=True)
class _Audited:
    """Which file the evidence is (``None``: not one that opens), and what is wrong with it."""

    build: int | None
    faults: list[str]


def _audit(folder: Path) -> _Audited:
    from whatworks.embeddings import COLLECTIONS
    from whatworks.evidence.audit import Audit

    path = folder / "evidence.duckdb"
    if not path.exists():
        return _Audited(None, ["there was none"])
    try:
        audit = Audit(path)
    except StoreError as error:
        return _Audited(None, [str(error)])
    try:
        made = config.load(folder)
        faults = [f"{wrong:,} {rule}" for wrong, rule in audit.violations()]
        for name in COLLECTIONS:
            seen = audit.embedded(name, made.embedder, made.dim)
            if seen.lost or seen.odd:
                faults.append(f"{seen.lost + seen.odd:,} {name} lacked their embedding")
        return _Audited(audit.build, faults)
    finally:
        audit.close()


def _vectors(folder: Path) -> Iterator[Repair]:
    """Throw away vector stores that do not fit; they are filled again when they are needed."""
    if not (folder / "vectors").exists():
        return
    for message in doctor.faulty_vectors(folder):
        _remove(folder / "vectors")
        yield Repair("vectors", f"thrown away, to be made again from the embeddings: {message}")
        return


def _set_aside(folder: Path) -> Iterator[Repair]:
    for path in sorted(folder.glob("evidence.aside-*")):
        _report(folder, f"{path.name}: could not be used, and was made anew from the journal")
        path.rename(_quarantine(folder) / path.name)
        yield Repair("evidence", f"{path.name}, which could not be used, is kept in {QUARANTINE}")


# -- quarantine -----------------------------------------------------------------------------------


def _quarantine(folder: Path) -> Path:
    path = folder / QUARANTINE
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _report(folder: Path, line: str) -> None:
    """Write down what lies in quarantine and why."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    file = os.open(_quarantine(folder) / REPORT, flags, 0o600)
    try:
        os.write(file, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)
